"""Blind deblurring by a net, a fitted kernel and one exact data step: dynamic plug-and-play as it should be (`deblur_dynamic`)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .._check import check_image, fail
from ..operators import Blur, LinearOperator
from ..solvers import Denoiser
from ..varying_blur import VaryingBlur
from .edges import LAM, strong_edges
from .kernel_fit import RIDGE, fit_kernel
from .pose_fit import TURN, fit_poses

# chosen on twelve shaken crops of BSDS400 pictures, none of which any table reports
MU = (0.02, 0.1)  # least and largest weight of |x - v|^2 against |A x - y|^2
TRUST = 6.0  # between them it is TRUST r^4, r the share of |v - y| that the kernels leave
LEAST = 0.02  # entries of a kernel below this share of its peak are left out
CELL = 96  # px: side of a cell of the grid
WORTH = 0.9  # the data step is worth taking if the kernels leave less than this share of |v - y|
_TOLERANCE = 1e-4  # relative residual of conjugate gradients


@dataclass(frozen=True)
class Deblurred:
    """image: x, or v where the safeguard held (B, C, H, W); prior: v = f(y); kernels: per picture (G, 1, size, size), G = 1 for one
    kernel for all; grids: their rows and columns; residuals: per picture the root mean squares of v - y, of v * k - y with one
    kernel, of A v - y with a grid (NaN: not fitted) and of A x - y; taken: whether the data step was; mu: its weight."""

    image: Tensor
    prior: Tensor
    kernels: tuple[Tensor, ...]
    grids: tuple[tuple[int, int], ...]
    residuals: Tensor
    taken: tuple[bool, ...]
    mu: tuple[float, ...]


def deblur_dynamic(
    y: Tensor,
    prior: Denoiser | Tensor,
    *,
    kernel_size: int = 25,
    grid: tuple[int, int] | str | None = "auto",
    mu: float | None = None,
    edges: float = LAM,
    ridge: float = RIDGE,
    turn: float = TURN,
    padding: str = "replicate",
    safeguard: bool = True,
) -> Deblurred:
    """One round of dynamic plug-and-play with each step done exactly, for y = A x, A an unknown blur:

        v = f(y);   A = argmin_A 1/2 sum_d |d_d (A u) - d_d y|^2,  u the strong edges of v;   x = argmin_x 1/2 |A x - y|^2 + mu/2 |x - v|^2

    The result is x and not f(x): part-deblurred pictures are outside a deblurrer's training. prior: a deblurrer (x, sigma) -> x, such
    as DMPHN or `self_ensemble` of it, or v itself if it is at hand. grid: None, one kernel k >= 0, sum k = 1, for the whole picture
    (`fit_kernel`); (rows, columns) one for each cell (`VaryingBlur`), all from one path of a camera that moves and turns
    (`fit_poses`); 'auto' cells of about CELL pixels. edges: lam of `strong_edges`; 0 fits to v itself. mu: None, TRUST r^4 held
    between the two of MU, where r = |A v - y| / |v - y|: the less blur explains, the less the data step may change. safeguard: v is kept
    where r is above WORTH, or where the step would raise the data term. y (B, C, H, W) in [0, 1]; each picture for itself; nothing
    is clipped. Raises ValueError for an even kernel_size, a mu or padding out of range.
    """
    check_image(y, "y")
    if mu is not None and not mu > 0:
        fail(f"mu={mu}", "mu > 0, or None", "mu=None")
    if isinstance(grid, str) and grid != "auto":
        fail(f"grid={grid!r}", "'auto', None or (rows, columns)", "grid='auto'")
    with torch.no_grad():
        v = prior if isinstance(prior, Tensor) else prior(y, 0.0)
        done = []
        for a, b in zip(v.split(1), y.split(1), strict=True):
            operator, k, cells, residuals = _fit(a, b, kernel_size, grid, edges, ridge, turn, padding)
            done.append(_data_step(a, b, operator, residuals, mu, safeguard) + (k, cells))
    image, residual, taken, weight, kernels, grids = zip(*done, strict=True)
    return Deblurred(torch.cat(image), v, kernels, grids, torch.tensor(residual), taken, weight)


def _fit(
    v: Tensor, y: Tensor, size: int, grid: tuple[int, int] | str | None, edges: float, ridge: float, turn: float, padding: str
) -> tuple[LinearOperator, Tensor, tuple[int, int], list[float]]:
    """A, its kernels and their grid, and the residuals of v for one picture; fitted to the mean of the channels."""
    u, gray = strong_edges(v.mean(1, keepdim=True), edges), y.mean(1, keepdim=True)
    one, nan = _trimmed(fit_kernel(u, gray, size, padding=padding, ridge=ridge)), float("nan")
    plain, single = _rms(v - y), _rms(Blur(one, padding)(v) - y)
    cells = _cells(y) if isinstance(grid, str) else grid
    if cells is None or cells == (1, 1):
        return Blur(one, padding), one, (1, 1), [plain, single, nan]
    many = _trimmed(fit_poses(u, gray, size, cells, turn=turn, ridge=ridge))
    A = VaryingBlur(many, cells, padding)
    return A, many, cells, [plain, single, _rms(A(v) - y)]


def _data_step(
    v: Tensor, y: Tensor, A: LinearOperator, residuals: list[float], mu: float | None, safeguard: bool
) -> tuple[Tensor, list[float], bool, float]:
    """x or v, the residuals with that of the result, whether the step was taken, and its mu."""
    plain, before = residuals[0], _rms(A(v) - y)
    r = before / max(plain, torch.finfo(y.dtype).tiny)
    weight = min(max(TRUST * r**4, MU[0]), MU[1]) if mu is None else mu
    if safeguard and not r < WORTH:
        return v, [*residuals, before], False, weight
    x = A.prox(v, y, weight, tol=_TOLERANCE)
    after = _rms(A(x) - y)
    if safeguard and not after <= before:
        return v, [*residuals, before], False, weight
    return x, [*residuals, after], True, weight


def _trimmed(k: Tensor) -> Tensor:
    """Kernels without the faint entries that only the errors of v asked for, sum 1."""
    k = torch.where(k < LEAST * k.amax((-2, -1), keepdim=True), 0.0, k)
    return k / k.sum((-2, -1), keepdim=True)


def _cells(y: Tensor) -> tuple[int, int]:
    return max(1, round(y.shape[-2] / CELL)), max(1, round(y.shape[-1] / CELL))


def _rms(r: Tensor) -> float:
    return r.square().mean().sqrt().item()
