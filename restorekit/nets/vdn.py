"""VDN (Yue et al., NeurIPS 2019): the posterior of the clean picture and of the noise variances, by two nets and a variational bound."""

from __future__ import annotations

import os
from dataclasses import dataclass
from itertools import pairwise
from math import log, pi, sqrt

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .._check import check_image, check_like, fail
from ..kernels import gaussian_kernel
from ..operators import Blur
from ..weights import load_weights, read_metadata, shipped
from ._init import draw_weights

WINDOW = 7  # p: the prior of a variance sees p x p pixels of noise
EPS2 = 5e-5  # variance of z around x: the picture that was photographed is itself not quite clean
_LOG = (-30.0, 30.0)  # of what is exponentiated
_TYPICAL = (25 / 255) ** 2  # a noise variance to start from


@dataclass(frozen=True)
class VDNPosterior:
    """q(z, s2 | y) = prod_i N(z_i; mean_i, variance_i) IG(s2_i; alpha_i, beta_i): each field (B, C, H, W)."""

    mean: Tensor
    variance: Tensor
    alpha: Tensor
    beta: Tensor

    @property
    def sigma(self) -> Tensor:
        """sqrt(beta / (alpha + 1)), the mode of each noise variance as a std: a noise map."""
        return (self.beta / (self.alpha + 1)).sqrt()


class VDN(nn.Module):
    """z = mean of q(z | y): a denoising net gives mean and variance of z, a noise-estimation net alpha and beta of the variances.

    Denoising: a U-net of `widths` feature maps, two convolutions 3x3 a scale, halved by strided convolutions, added skips; it
    predicts y - mean. Noise: five convolutions with `noise_features` maps. Leaky ReLU 0.2, no normalization. y (B, channels, H, W),
    any size; the result is not clipped. A `Denoiser`: sigma may be handed in, but is not read, for the second net estimates it;
    `posterior(y)` has all of q. The published net has widths (64, 128, 256, 512) and noise_features 64. Weights from `generator`.
    """

    def __init__(
        self, channels: int = 1, *, widths: tuple[int, ...] = (32, 64, 80), noise_features: int = 24, generator: torch.Generator
    ) -> None:
        super().__init__()
        if min(channels, noise_features, *widths) < 1 or len(widths) < 2:
            fail(f"channels={channels}, widths={widths}, noise_features={noise_features}", "1 or more, two widths", "keep the defaults")
        self.channels, self.widths, self.noise_features = channels, tuple(widths), noise_features
        self.denoising = _UNet(channels, self.widths)
        n = noise_features
        convs = [_conv(a, b) for a, b in pairwise([channels, n, n, n, n, 2 * channels])]
        self.noise = nn.Sequential(*(part for conv in convs[:-1] for part in (conv, nn.LeakyReLU(0.2))), convs[-1])
        draw_weights(self, generator)
        self._start()

    @torch.no_grad()
    def _start(self) -> None:
        """He et al.'s scale inside; at the last layers: mean = y, variance = EPS2, an inverse gamma around a typical noise."""
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
                layer.weight *= sqrt(6)
        noise = (log(WINDOW**2 / 2 - 1), log(WINDOW**2 / 2 * _TYPICAL))
        for last, values in ((self.denoising.tail, (0.0, log(EPS2))), (self.noise[-1], noise)):
            assert isinstance(last, nn.Conv2d) and last.bias is not None
            last.weight *= 0.05
            last.bias.copy_(torch.tensor(values).repeat_interleave(self.channels))

    def posterior(self, y: Tensor) -> VDNPosterior:
        """q(z, s2 | y)."""
        check_image(y, "y", self.channels)
        first: Tensor = next(self.parameters())
        check_like(y.to(first.dtype), first, "y", "the net")
        seen = y.to(first.dtype)
        residual, log_variance = self.denoising(seen).split(self.channels, 1)
        log_alpha, log_beta = self.noise(seen).split(self.channels, 1)
        variance, alpha, beta = (v.clamp(*_LOG).exp().to(y.dtype) for v in (log_variance, log_alpha, log_beta))
        return VDNPosterior(y - residual.to(y.dtype), variance, alpha, beta)

    def forward(self, y: Tensor, sigma: float | Tensor = 0.0) -> Tensor:
        """y without its noise; sigma is not read."""
        return self.posterior(y).mean


def variational_bound(q: VDNPosterior, y: Tensor, x: Tensor, *, window: int = WINDOW, eps2: float = EPS2) -> Tensor:
    """-1/N times the lower bound of log p(y) (VDN Eq. 11): the loss, nats per pixel, to be minimized over both nets.

        E_q log p(y | z, s2) - KL(q(z) | N(x, eps2)) - KL(q(s2) | IG(p^2/2 - 1, p^2/2 xi)),   p(y | z, s2) = N(z, s2)
        E_q log p = -1/2 [log 2 pi + log beta - psi(alpha) + alpha / beta ((y - mean)^2 + variance)]

    x: the clean picture; xi: (y - x)^2 smoothed by a Gaussian of window x window pixels, p = window, so that the prior's mode is
    near xi. Shapes as y.
    """
    check_like(check_image(x), check_image(y, "y"), "x", "y")
    alpha0, beta0 = window**2 / 2 - 1, window**2 / 2 * local_variance(y, x, window)
    psi = torch.digamma(q.alpha)
    fit = -0.5 * (log(2 * pi) + q.beta.log() - psi + q.alpha / q.beta * ((y - q.mean).square() + q.variance))
    ratio = q.variance / eps2
    kl_z = (q.mean - x).square() / (2 * eps2) + 0.5 * (ratio - ratio.log() - 1)
    kl_s = (q.alpha - alpha0) * psi - torch.lgamma(q.alpha) + torch.lgamma(torch.full_like(psi, alpha0))
    kl_s = kl_s + alpha0 * (q.beta.log() - beta0.log()) + q.alpha * (beta0 / q.beta - 1)
    return (kl_z + kl_s - fit).mean()


def local_variance(y: Tensor, x: Tensor, window: int = WINDOW) -> Tensor:
    """xi = (y - x)^2 * a Gaussian of std window / 2 px cut to window x window; at least 1e-10."""
    k = gaussian_kernel(window, window / 2, dtype=y.dtype, device=y.device)
    return Blur(k, "replicate", method="direct")((y - x).square()).clamp_min(1e-10)


def load_vdn(path: str | os.PathLike[str] | None = None) -> VDN:
    """Our trained VDN for gray pictures (recipe vdn_gray), on the CPU, in float32, without gradients; path: another file of the recipe."""
    file = shipped("vdn_gray") if path is None else path
    size = read_metadata(file)
    net = VDN(widths=tuple(size["widths"]), noise_features=size["noise_features"], generator=torch.Generator().manual_seed(0))
    net.load_state_dict(load_weights(file))
    return net.eval().requires_grad_(False).to(memory_format=torch.channels_last)  # type: ignore[call-overload]


class _UNet(nn.Module):
    """(B, channels, H, W) -> (B, 2 channels, H, W); sides are repeated up to what the halvings need."""

    def __init__(self, channels: int, widths: tuple[int, ...]) -> None:
        super().__init__()
        steps = list(pairwise(widths))
        self.head = _pair(channels, widths[0])
        self.down = nn.ModuleList(nn.Sequential(nn.Conv2d(a, b, 2, stride=2), *_pair(b, b)) for a, b in steps)
        self.up = nn.ModuleList(nn.ConvTranspose2d(b, a, 2, stride=2) for a, b in reversed(steps))
        self.merge = nn.ModuleList(_pair(a, a) for a, _ in reversed(steps))
        self.tail = _conv(widths[0], 2 * channels)

    def forward(self, y: Tensor) -> Tensor:
        H, W = y.shape[-2:]
        multiple = 2 ** len(self.down)
        v = self.head(F.pad(y, (0, -W % multiple, 0, -H % multiple), mode="replicate"))
        skips = []
        for down in self.down:
            skips.append(v)
            v = down(v)
        for up, merge in zip(self.up, self.merge, strict=True):
            v = merge(up(v) + skips.pop())
        return self.tail(v)[..., :H, :W]


def _pair(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(_conv(inputs, outputs), nn.LeakyReLU(0.2), _conv(outputs, outputs), nn.LeakyReLU(0.2))


def _conv(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, padding=1)
