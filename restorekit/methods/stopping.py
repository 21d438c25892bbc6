"""When to stop, and which result to keep, without the true picture: y = A x + n, n of std sigma."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .._check import check_generator, check_image, fail
from .._random import rand
from ..solvers import Denoiser


def discrepancy(y: Tensor, Ax: Tensor) -> Tensor:
    """sqrt(mean |y - A x|^2) for each picture (B,): the residual's std, to be compared with a target."""
    check_image(y, "y")
    return (y - Ax).square().mean((1, 2, 3)).sqrt()


def discrepancy_target(sigma: float, mse: float = 0.0) -> float:
    """sqrt(sigma^2 - mse): the residual of a good estimate of mean squared error `mse` from y = x + n.

    For the posterior mean v = E[x | y], y - v is uncorrelated with v - x, so E|y - x|^2 = E|y - v|^2 + E|v - x|^2. The usual target
    sigma (Morozov) is right for mse = 0 only; at it, a denoiser has removed too much. `sure` estimates mse. ValueError if mse > sigma^2.
    """
    if not 0 <= mse <= sigma**2:
        fail(f"mse={mse} for sigma={sigma}", f"0 to sigma^2 = {sigma**2:.3g}", "an estimate worse than y itself has no such target")
    return math.sqrt(sigma**2 - mse)


def whiteness(r: Tensor, radius: int = 3) -> Tensor:
    """N mean_u rho(u)^2 over the lags 0 < |u|_inf <= radius, rho the periodic autocorrelation of r (rho(0) = 1), N its pixels.

    About 1 for white noise, whatever its size or level; more for a residual with structure (Almeida and Figueiredo 2013 take
    the same lags). r (B, C, H, W); channels are averaged. Returns (B,).
    """
    check_image(r, "r")
    H, W = r.shape[-2:]
    if radius < 1 or 2 * radius >= min(H, W):
        fail(f"radius={radius} for {H}x{W}", f"1 to {(min(H, W) - 1) // 2}", "radius=3")
    centered = r - r.mean((2, 3), keepdim=True)
    power = torch.fft.rfft2(centered).abs().square()
    rho = torch.fft.irfft2(power, s=(H, W))
    rho = rho / rho[..., :1, :1].clamp_min(torch.finfo(r.dtype).tiny)
    near = rho.roll((radius, radius), (-2, -1))[..., : 2 * radius + 1, : 2 * radius + 1]
    lags = (2 * radius + 1) ** 2 - 1
    return H * W * (near.square().sum((2, 3)) - 1).mean(1) / lags


def sure(
    f: Denoiser, y: Tensor, sigma: float, *, probes: int = 8, step: float | None = None, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Stein's unbiased estimate of mean |f(y) - x|^2 from y = x + n alone (Stein 1981; by probes: Ramani et al. 2008).

        SURE = mean |f(y) - y|^2 - sigma^2 + 2 sigma^2 / N div f(y),   div f ~ b^T (f(y + h b) - f(y - h b)) / (2 h),  b = +-1

    The divergence's estimate has a standard error that falls with sqrt(probes) and with the number of pixels: one probe often cannot
    tell neighboring settings apart. step: h, by default sigma / 10. Returns SURE and its standard error over probes, each (B,);
    with one probe the error is NaN. May be negative.
    """
    check_image(y, "y")
    check_generator(generator)
    if not sigma > 0 or probes < 1:
        fail(f"sigma={sigma}, probes={probes}", "sigma above 0, probes from 1", "without noise there is nothing to estimate")
    h = sigma / 10 if step is None else step
    n = y[0].numel()
    slopes = []
    with torch.no_grad():
        fit = (f(y, sigma) - y).square().mean((1, 2, 3))
        for _ in range(probes):
            b = torch.where(rand(y.shape, generator=generator, like=y) < 0.5, -1.0, 1.0).to(y)
            slopes.append((b * (f(y + h * b, sigma) - f(y - h * b, sigma))).sum((1, 2, 3)) / (2 * h))
    div = torch.stack(slopes)
    scale = 2 * sigma**2 / n
    error = div.std(0) / math.sqrt(probes) if probes > 1 else torch.full_like(fit, torch.nan)
    return fit - sigma**2 + scale * div.mean(0), scale * error
