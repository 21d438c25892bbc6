"""The Wiener filter: the linear restoration with the least mean square error, for a known kernel."""

from __future__ import annotations

import torch
from torch import Tensor

from ..._check import check_choice, check_image, check_kernel, fail
from ..._linear import conjugate_gradient
from ...kernels import kernel_moments
from ...operators import BlurDown
from .bicubic import bicubic
from .tv import gradient, gradient_adjoint


def wiener(
    y: Tensor,
    kernel: Tensor,
    *,
    noise_to_signal: float | None = None,
    sigma: float | None = None,
    prior: str = "natural",
    scale: int = 1,
    padding: str = "circular",
) -> Tensor:
    """X = conj(K) Y / (|K|^2 + r |P|^2) at each frequency: argmin_x 1/2 |x * k - y|^2 + r/2 |P x|^2.

    y (B, C, h, w), kernel (1 or B, 1, kh, kw). r = noise_to_signal, or from sigma, the std of the noise:
    r = sigma^2 / s^2, s^2 the mean square of P x. Give exactly one of the two. s^2 is estimated as that of P y less the
    noise's share, for 'natural' divided by |k|^2, the part that passes the blur if the picture has that spectrum.
    prior: the spectrum 1/|P|^2 assumed of the picture. 'natural' falls as 1/|frequency|^2 (|P|^2 is the symbol of
    minus the Laplacian, four-neighbor); 'flat' is constant (P = identity, applied to the picture less its mean).
    padding: 'circular' has the closed form above; 'reflect', 'replicate' and 'zero' solve the same least squares by
    conjugate gradients. scale > 1: argmin_x 1/2 |(x * k) down s - y|^2 + r/2 |x - v|^2 with v = bicubic on the grid of
    the kernel's centroid, which is prior='flat' around v. Raises ValueError for other choices.
    Source: Wiener 1949; Gonzalez and Woods, Digital Image Processing, Section 5.8.
    """
    check_image(y, "y")
    check_kernel(kernel)
    check_choice(prior, ("natural", "flat"), "prior")
    A = BlurDown(kernel, scale, padding)
    r = _ratio(y, kernel, noise_to_signal, sigma, prior if scale == 1 else "flat")
    if scale > 1:
        return A.prox(_centered_bicubic(y, kernel, scale), y, r)
    if prior == "flat":
        return A.prox(y.mean((-2, -1), keepdim=True).expand_as(y).contiguous(), y, r)
    if padding == "circular":
        if (kernel.sum((-2, -1)).abs() < 1e-6).any():
            fail("a kernel whose entries sum to 0", "a kernel that passes the mean brightness", "use prior='flat'")
        return _closed_form(y, A, r)
    size = (y.shape[-2], y.shape[-1])
    tol = 1e-10 if y.dtype == torch.float64 else 1e-5
    x, residual = conjugate_gradient(
        lambda p: A.adjoint(A(p), size) + r * gradient_adjoint(gradient(p)), A.adjoint(y, size), y, tol=tol, max_iter=2000
    )
    if not residual <= tol:
        raise RuntimeError(
            f"Conjugate gradients stopped at a relative residual of {residual:.1e}; asked for {tol:.0e}. Fix: raise noise_to_signal."
        )
    return x


def _closed_form(y: Tensor, A: BlurDown, r: Tensor) -> Tensor:
    """conj(K) Y / (|K|^2 + r |P|^2), K taken from the operator's answer to an impulse."""
    h, w = y.shape[-2:]
    impulse = torch.zeros(1, 1, h, w, dtype=y.dtype, device=y.device)
    impulse[..., 0, 0] = 1
    K = torch.fft.rfft2(A(impulse))
    fy, fx = torch.fft.fftfreq(h, dtype=y.dtype, device=y.device)[:, None], torch.fft.rfftfreq(w, dtype=y.dtype, device=y.device)
    laplacian = 4 - 2 * torch.cos(2 * torch.pi * fy) - 2 * torch.cos(2 * torch.pi * fx)
    return torch.fft.irfft2(K.conj() * torch.fft.rfft2(y) / (K.abs() ** 2 + r * laplacian), s=(h, w))


def _ratio(y: Tensor, kernel: Tensor, noise_to_signal: float | None, sigma: float | None, prior: str) -> Tensor:
    """r, a number or (B, 1, 1, 1)."""
    if (noise_to_signal is None) == (sigma is None):
        fail(f"noise_to_signal={noise_to_signal}, sigma={sigma}", "exactly one of them", "give sigma, the std of the noise, if you know it")
    given = noise_to_signal if sigma is None else sigma
    if not (isinstance(given, int | float) and 0 < given < float("inf")):
        fail(
            f"noise_to_signal={noise_to_signal}, sigma={sigma}",
            "a positive number",
            "without noise take the rounding to 8 bit, sigma=0.3/255",
        )
    if sigma is None:
        return torch.tensor(given, dtype=y.dtype, device=y.device)
    if prior == "natural":
        power, share = gradient(y).square().sum(2), 4
    else:
        power, share = (y - y.mean((-2, -1), keepdim=True)).square(), 1
    mean = power.mean((1, 2, 3), keepdim=True)
    # a picture darker than its noise: trust a hundredth of its power rather than divide by nothing
    signal = torch.maximum(mean - share * sigma**2, mean / 100).clamp(min=torch.finfo(y.dtype).eps)
    # the variance ('flat') of a picture lies in low frequencies, which pass the blur whole
    passed = kernel.square().sum((1, 2, 3), keepdim=True) if prior == "natural" else 1
    return sigma**2 * passed / signal


def _centered_bicubic(y: Tensor, kernel: Tensor, scale: int) -> Tensor:
    """Bicubic upsampling of each picture, on the grid that its kernel's centroid defines."""
    centroids = kernel_moments(kernel)[1]
    n = max(y.shape[0], kernel.shape[0])
    picked = [(y[i % y.shape[0]], centroids[i % kernel.shape[0]].tolist()) for i in range(n)]
    return torch.cat([bicubic(picture[None], scale, align=(m[0], m[1])) for picture, m in picked])
