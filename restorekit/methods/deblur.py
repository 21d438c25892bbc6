"""Blind deblurring by a net, a fitted kernel and one exact data step: dynamic plug-and-play as it should be (`deblur_dynamic`)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .._check import check_image, fail
from ..operators import Blur, LinearOperator
from ..solvers import Denoiser
from ..varying_blur import VaryingBlur
from .kernel_fit import RIDGE, fit_kernel, fit_varying

# chosen on eight shaken crops of BSDS400 pictures, none of which any table reports
MU = 0.03  # weight of |x - v|^2 against |A x - y|^2
COMMON = 0.02  # how strongly the kernels of a grid are drawn to the common one
CELL = 96  # px: side of a cell of the grid
VARIES = 0.85  # the grid is believed if it leaves less than this share of the residual of one kernel
WORTH = 0.9  # and a kernel at all, if it leaves less than this share of |v - y|
_TOLERANCE = 1e-4  # relative residual of conjugate gradients


@dataclass(frozen=True)
class Deblurred:
    """image: x, or v where the safeguard held (B, C, H, W); prior: v = f(y); kernels: per picture (G, 1, size, size), G = 1 for one
    kernel for all; grids: their rows and columns; residuals: per picture the root mean squares of v - y, of v * k - y with one
    kernel, of A v - y with a grid (NaN: none fitted) and of A x - y; taken: whether the data step was."""

    image: Tensor
    prior: Tensor
    kernels: tuple[Tensor, ...]
    grids: tuple[tuple[int, int], ...]
    residuals: Tensor
    taken: tuple[bool, ...]


def deblur_dynamic(
    y: Tensor,
    prior: Denoiser | Tensor,
    *,
    kernel_size: int = 25,
    grid: tuple[int, int] | str | None = "auto",
    mu: float = MU,
    ridge: float = RIDGE,
    common: float = COMMON,
    padding: str = "replicate",
    safeguard: bool = True,
) -> Deblurred:
    """One round of dynamic plug-and-play with each step done exactly, for y = A x, A an unknown blur:

        v = f(y);   A = argmin_A 1/2 sum_d |d_d (A v) - d_d y|^2, kernels k >= 0, sum k = 1;   x = argmin_x 1/2 |A x - y|^2 + mu/2 |x - v|^2

    The result is x and not f(x): part-deblurred pictures are outside a deblurrer's training. prior: a deblurrer (x, sigma) -> x, such
    as DMPHN or `self_ensemble` of it, or v itself if it is at hand. grid: None, one kernel for the whole picture; (rows, columns) a
    kernel for each cell (`VaryingBlur`); 'auto' cells of about CELL pixels, kept where they leave less than VARIES of the residual
    of one kernel. safeguard: v is kept where the kernels leave more than WORTH of |v - y|, for then blur does not explain the
    difference, or where the step would raise the data term. y (B, C, H, W) in [0, 1]; each picture for itself; nothing is clipped.
    Raises ValueError for an even kernel_size, a mu or padding out of range.
    """
    check_image(y, "y")
    if not mu > 0:
        fail(f"mu={mu}", "mu > 0", f"mu={MU}")
    if isinstance(grid, str) and grid != "auto":
        fail(f"grid={grid!r}", "'auto', None or (rows, columns)", "grid='auto'")
    with torch.no_grad():
        v = prior if isinstance(prior, Tensor) else prior(y, 0.0)
        done = [_one(v[i : i + 1], y[i : i + 1], kernel_size, grid, mu, ridge, common, padding, safeguard) for i in range(y.shape[0])]
    image, kernels, grids, residuals, taken = zip(*done, strict=True)
    return Deblurred(torch.cat(image), v, kernels, grids, torch.tensor(residuals), taken)


def _one(
    v: Tensor,
    y: Tensor,
    size: int,
    grid: tuple[int, int] | str | None,
    mu: float,
    ridge: float,
    common: float,
    padding: str,
    safeguard: bool,
) -> tuple[Tensor, Tensor, tuple[int, int], list[float], bool]:
    """The round for a single picture."""
    k, cells, varying = fit_kernel(v, y, size, padding=padding, ridge=ridge), (1, 1), float("nan")
    A: LinearOperator = Blur(k, padding)
    plain, single = _rms(v - y), _rms(A(v) - y)
    best = single
    wanted = _cells(y) if isinstance(grid, str) else grid
    if wanted is not None and wanted != (1, 1):
        many = fit_varying(v, y, size, wanted, ridge=ridge, common=common)
        B = VaryingBlur(many, wanted, padding)
        varying = _rms(B(v) - y)
        if grid != "auto" or varying < VARIES * single:
            k, cells, A, best = many, wanted, B, varying
    if safeguard and not best < WORTH * plain:
        return v, k, cells, [plain, single, varying, best], False
    x = A.prox(v, y, mu, tol=_TOLERANCE)
    after = _rms(A(x) - y)
    if safeguard and not after <= best:
        return v, k, cells, [plain, single, varying, best], False
    return x, k, cells, [plain, single, varying, after], True


def _cells(y: Tensor) -> tuple[int, int]:
    return max(1, round(y.shape[-2] / CELL)), max(1, round(y.shape[-1] / CELL))


def _rms(r: Tensor) -> float:
    return r.square().mean().sqrt().item()
