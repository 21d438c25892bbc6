"""From a kernel to a picture: the hand-off of a blind method's estimate to a non-blind one with a strong prior.

min_x 1/2 |(x * k) down s - y|^2 + lam R(x),   k now known, R given by a denoiser
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .._check import check_choice, check_image, check_kernel, check_like, check_scale, fail
from .._convolution import PADDINGS
from ..kernels import kernel_moments
from ..nets import USRNet, load_denoiser
from ..operators import BlurDown
from ..solvers import HQS, Denoiser, run, schedules
from .baselines.bicubic import bicubic

SIGMA_START = 49 / 255  # the denoiser's first strength, as in DPIR
SIGMA_LAST = 5 / 255  # its last, unless there is more noise; 3, 5 and 7 gave equal scores on camera, coins, astronaut and cat
SIGMA_LEAST = 0.3 / 255  # std of the rounding to 8 bit
LAM = 0.23  # weight of the prior in |A x - y|^2 / (2 sigma^2) + LAM R(x), as in DPIR; 0.1 and 0.5 are worse on those with noise
_TOLERANCE = 1e-4  # of the data step where it has no closed form; the denoiser's error is larger


def nonblind(
    y: Tensor,
    kernel: Tensor,
    scale: int,
    *,
    sigma: float,
    denoiser: Denoiser | USRNet | None = None,
    padding: str = "reflect",
    iterations: int = 8,
) -> Tensor:
    """x with y = (x * k) down s + n, k known: half-quadratic splitting with a denoiser (Zhang et al., DPIR, 2021).

        z <- argmin_z 1/2 |A z - y|^2 + rho_i/2 |z - x|^2,  rho_i = LAM sigma^2 / sigma_i^2
        x <- D(z, sigma_i),  sigma_i falling geometrically from SIGMA_START to max(SIGMA_LAST, sigma)

    from x = bicubic on the grid of the kernel's centroid. y (B, C, h, w) in [0, 1], kernel (1 or B, 1, kh, kw), scale 1 to 4,
    sigma >= 0 the noise std in [0, 1] units (below SIGMA_LEAST that is taken). denoiser: any D(x, sigma), by default the
    shipped net for gray pictures, channel by channel; or a `USRNet`, which has iterations and penalties of its own. padding: what the
    blur saw beyond the border. Returns (B, C, s h, s w), not clipped. Raises ValueError or TypeError for bad input.
    """
    check_image(y, "y")
    check_like(check_kernel(kernel), y, "kernel", "y")
    s = check_scale(scale)
    check_choice(padding, PADDINGS, "padding")
    if not 0 <= sigma < 1:
        fail(f"sigma={sigma}", "a noise std in [0, 1), for pictures in [0, 1]", "divide an 8-bit std by 255")
    if isinstance(denoiser, USRNet):
        return _unfolded(y, kernel, s, max(sigma, SIGMA_LEAST), denoiser, padding)
    if denoiser is None:
        denoiser = each_channel(load_denoiser(1).to(y.device))
    last = max(sigma, SIGMA_LAST)
    sigmas = schedules.geometric(max(SIGMA_START, last), last, iterations)
    solver = HQS(_Inexact(kernel, s, padding), y, denoiser, sigmas, LAM * max(sigma, SIGMA_LEAST) ** 2)
    return run(solver, iterations, solver.init(_start(y, kernel, s))).image


def each_channel(denoiser: Denoiser) -> Denoiser:
    """A denoiser of gray pictures made one of pictures with any number of channels, each restored by itself.

    sigma: a number, (B,) or a map (B or 1, 1, H, W), the same for all channels.
    """

    def D(x: Tensor, sigma: float | Tensor) -> Tensor:
        channels = x.shape[1]
        level = torch.as_tensor(sigma, dtype=x.dtype, device=x.device)
        if level.ndim and level.shape[0] > 1:
            level = level.repeat_interleave(channels, 0)
        return denoiser(x.reshape(-1, 1, *x.shape[-2:]), level).reshape(x.shape)

    return D


class _Inexact(BlurDown):
    """BlurDown whose conjugate gradients stop early."""

    def _prox(self, v: Tensor, y: Tensor, rho: Tensor, tol: float | None, max_iter: int) -> Tensor:
        return super()._prox(v, y, rho, tol or _TOLERANCE, max_iter)


def _start(y: Tensor, kernel: Tensor, scale: int) -> Tensor:
    """Bicubic enlargement of each picture, on the grid that its kernel's centroid defines."""
    centroids = kernel_moments(kernel)[1].tolist()
    pictures = y.expand(max(y.shape[0], len(centroids)), -1, -1, -1)
    return torch.cat([bicubic(p[None], scale, align=tuple(centroids[i % len(centroids)])) for i, p in enumerate(pictures)])


@torch.no_grad()
def _unfolded(y: Tensor, kernel: Tensor, scale: int, sigma: float, net: USRNet, padding: str) -> Tensor:
    """USRNet on a periodic continuation of y; gray as three equal channels."""
    h, w = y.shape[-2:]
    m = 0 if padding == "circular" else min(max(kernel.shape[-2:]), h - 1, w - 1)
    mode = {"zero": "constant"}.get(padding, padding)
    wide = F.pad(y, (m, m, m, m), mode=mode) if m else y
    color = wide.expand(-1, 3, -1, -1) if y.shape[1] == 1 else wide
    x = net(color, kernel, scale, sigma)[..., scale * m : scale * (m + h), scale * m : scale * (m + w)]
    return x.mean(1, keepdim=True) if y.shape[1] == 1 else x
