"""Total variation (Rudin, Osher and Fatemi 1992): denoising, deconvolution, and the deconvolution with a guessed kernel."""

from __future__ import annotations

import torch
from torch import Tensor

from ..._check import check_image, check_scale, fail
from ...kernels import align_centroid, centered_gaussian
from ...operators import BlurDown, LinearOperator, operator_norm
from ...solvers import PGD, Denoiser, run
from ...solvers.proximal import start
from .bicubic import bicubic


def gradient(x: Tensor) -> Tensor:
    """Forward differences (B, C, 2, H, W), down and right; 0 across the last row and column."""
    g = torch.zeros(*x.shape[:2], 2, *x.shape[2:], dtype=x.dtype, device=x.device)
    g[:, :, 0, :-1, :] = x[..., 1:, :] - x[..., :-1, :]
    g[:, :, 1, :, :-1] = x[..., :, 1:] - x[..., :, :-1]
    return g


def gradient_adjoint(p: Tensor) -> Tensor:
    """The transpose of `gradient`: minus the divergence, (B, C, 2, H, W) -> (B, C, H, W)."""
    down, right = p[:, :, 0, :-1, :], p[:, :, 1, :, :-1]
    x = torch.zeros_like(p[:, :, 0])
    x[..., 1:, :] += down
    x[..., :-1, :] -= down
    x[..., :, 1:] += right
    x[..., :, :-1] -= right
    return x


def total_variation(x: Tensor) -> Tensor:
    """TV(x) = sum over channels and pixels of |grad x|_2 (isotropic, channels not coupled), shaped (B,)."""
    return _length(gradient(check_image(x))).sum((1, 2, 3, 4))


def tv_denoise(x: Tensor, weight: float | Tensor, n_iter: int = 50) -> Tensor:
    """argmin_z 1/2 |z - x|^2 + weight TV(z), by accelerated projected gradient on the dual (Beck and Teboulle 2009b).

    z = x - grad^T p with |p| <= weight at each pixel; p <- project(q + grad(x - grad^T q) / 8), q extrapolated as in
    FISTA. Isotropic, each channel by itself. weight >= 0: a number, (B,), or a map (B, 1, H, W).
    """
    radius = _weight(check_image(x), weight)
    p = q = torch.zeros_like(gradient(x))
    m = 1.0
    for _ in range(n_iter):
        step = q + gradient(x - gradient_adjoint(q)) / 8
        new = step * (radius / _length(step).clamp(min=torch.finfo(x.dtype).tiny)).clamp(max=1)
        m_new = (1 + (1 + 4 * m**2) ** 0.5) / 2
        q = torch.lerp(p, new, 1 + (m - 1) / m_new)
        p, m = new, m_new
    return x - gradient_adjoint(p)


def _length(p: Tensor) -> Tensor:
    """|p| at each pixel (B, C, 1, H, W); faster than norm(dim=2) over so short an axis."""
    return torch.hypot(p[:, :, :1], p[:, :, 1:])


def tv_denoiser(n_iter: int = 50) -> Denoiser:
    """The denoiser D(x, sigma) = tv_denoise(x, sigma^2): prior R = TV for any solver."""
    return lambda x, sigma: tv_denoise(x, sigma**2, n_iter)


def tv_deconvolve(
    y: Tensor, operator: LinearOperator, lam: float = 1e-3, n_iter: int = 60, *, x0: Tensor | None = None, t: float | None = None
) -> Tensor:
    """argmin_x 1/2 |A x - y|^2 + lam TV(x), by n_iter steps of accelerated `PGD` (Beck and Teboulle 2009b).

    y: what was observed; operator: any A, for example BlurDown(kernel, scale, padding); x0: start (default: y, resized
    to the size of x); t: step size (default: 0.95 / |A|^2, by power iteration; |A| can exceed 1 where a border repeats
    pixels). Returns the picture (B, C, H, W). lam grows with the noise: try 1e-3 at 1%.
    """
    x = start(operator, y, x0)
    if t is None:
        shape = (x.shape[0], 1, x.shape[-2], x.shape[-1])
        norm = operator_norm(operator, shape, generator=torch.Generator().manual_seed(0), n_iter=30, dtype=x.dtype)
        t = 0.95 / norm**2
    solver = PGD(operator, y, tv_denoiser(20), lam, t, accelerated=True)
    return run(solver, n_iter, solver.init(x)).image


def generic_deconvolution(
    y: Tensor,
    scale: int,
    *,
    align: str | tuple[float, float] = "resize",
    padding: str = "reflect",
    width: float | None = None,
    lam: float = 3e-4,
    n_iter: int = 60,
    size: tuple[int, int] | None = None,
) -> Tensor:
    """`tv_deconvolve` with a guessed kernel: the Gaussian of std `width`, whatever blurred the picture.

    The second trivial baseline of blind super-resolution: what a fixed kernel gains over bicubic is no merit of kernel
    estimation. width: std in high-resolution pixels, by default `generic_width(scale)`. align: as in `bicubic`, so that
    both results lie on one grid; size likewise. lam suits pictures
    with no noise but the rounding to 8 bit.
    """
    s = check_scale(scale)
    std = generic_width(s) if width is None else width
    if not std > 0:
        fail(f"width={width}", "a positive std in pixels", "leave it out for generic_width(scale)")
    x0 = bicubic(y, s, align=align, size=size)
    sigma = torch.full((1, 2), float(std), dtype=y.dtype, device=y.device)
    kernel = centered_gaussian(4 * s + 3, sigma, torch.zeros(1, dtype=y.dtype, device=y.device), align_centroid(align, s))  # type: ignore[arg-type]
    return tv_deconvolve(y, BlurDown(kernel, s, padding), lam, n_iter, x0=x0)


def generic_width(scale: int) -> float:
    """std of the guessed Gaussian: the root of the middle, 1.3375 s, of the variances [0.175 s, 2.5 s] px^2 of MLMC's data."""
    return (1.3375 * scale) ** 0.5


def _weight(x: Tensor, weight: float | Tensor) -> Tensor:
    """The weight shaped to broadcast over gradients (B, C, 2, H, W)."""
    w = torch.as_tensor(weight, dtype=x.dtype, device=x.device)
    if w.numel() == 0 or not (w >= 0).all():
        fail(f"weight={weight}", "weight >= 0", "0 leaves the picture as it is")
    if w.ndim == 1:
        w = w[:, None, None, None]
    if w.ndim not in (0, 4):
        fail(f"weight of shape {tuple(w.shape)}", "a number, (B,) or a map (B, 1, H, W)", "add the missing axes")
    return w[:, :, None] if w.ndim == 4 else w
