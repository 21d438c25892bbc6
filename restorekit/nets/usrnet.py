"""USRNet (Zhang, Van Gool and Timofte 2020): half-quadratic splitting with a fixed number of iterations, its prior learned."""

from __future__ import annotations

import os
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .._check import check_image, check_kernel, check_like, check_scale
from ..operators import BlurDown
from ..weights import load_weights
from ._init import draw_weights
from .noise_map_denoiser import noise_level

TINY = (16, 32, 64, 64)  # feature maps at each scale of the prior
ITERATIONS = 6
_LEAST = 1e-6  # added to the penalties, which are then positive
_PUBLISHED = {  # prefixes of the published checkpoint -> ours
    "p.m_head.": "prior.head.",
    "p.m_down1.": "prior.down.0.",
    "p.m_down2.": "prior.down.1.",
    "p.m_down3.": "prior.down.2.",
    "p.m_body.": "prior.body.",
    "p.m_up3.": "prior.up.0.",
    "p.m_up2.": "prior.up.1.",
    "p.m_up1.": "prior.up.2.",
    "p.m_tail.": "prior.tail.",
    "h.mlp.": "hyper.",
}


class _Residual(nn.Module):
    """v + conv(relu(conv(v)))."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.res = nn.Sequential(_conv(channels, channels), nn.ReLU(), _conv(channels, channels))

    def forward(self, v: Tensor) -> Tensor:
        return v + self.res(v)


class ResUNet(nn.Module):
    """The prior: (B, 4, H, W), picture and noise-level map, -> (B, 3, H, W). No bias, no batch normalisation, added skips.

    widths: feature maps at each scale, each half as large as the one before. Any H, W: the border pixels are repeated
    up to a multiple of 8 (2 to the number of halvings).
    """

    def __init__(self, widths: tuple[int, ...] = TINY, blocks: int = 2, channels: int = 3) -> None:
        super().__init__()
        steps = list(pairwise(widths))
        self.head = _conv(channels + 1, widths[0])
        self.down = nn.ModuleList(nn.Sequential(*_blocks(a, blocks), nn.Conv2d(a, b, 2, stride=2, bias=False)) for a, b in steps)
        self.body = nn.Sequential(*_blocks(widths[-1], blocks))
        self.up = nn.ModuleList(
            nn.Sequential(nn.ConvTranspose2d(b, a, 2, stride=2, bias=False), *_blocks(a, blocks)) for a, b in reversed(steps)
        )
        self.tail = _conv(widths[0], channels)

    def forward(self, v: Tensor) -> Tensor:
        H, W = v.shape[-2:]
        multiple = 2 ** len(self.down)
        v = self.head(F.pad(v, (0, -W % multiple, 0, -H % multiple), mode="replicate"))
        skips = []
        for down in self.down:
            skips.append(v)
            v = down(v)
        skips.append(v)
        v = self.body(v)
        for up in self.up:
            v = up(v + skips.pop())
        return self.tail(v + skips.pop())[..., :H, :W]


class USRNet(nn.Module):
    """x with y = (x * k) down s + n for a known k: K times a data step and a prior step, unfolded.

        (alpha_1..K, beta_1..K) = h(sigma, s)
        z <- argmin_z |(z * k) down s - y|^2 + alpha_i |z - x|^2      closed form: `BlurDown(kernel, scale).prox(x, y, alpha_i)`
        x <- P(z, beta_i)                                              a ResUNet, the same in each iteration

    from x = y, each pixel repeated s times. Forward: y (B, 3, h, w) in [0, 1], kernel (B or 1, 1, kh, kw) of sum 1 under this
    package's convention (true convolution, phase 0, which is also the net's), scale 1 to 4, sigma the noise std in [0, 1]: a
    number or (B,). Result (B, 3, s h, s w). The border is periodic; `methods.handoff.nonblind` extends other pictures first.
    The defaults are the tiny variant of which weights are published with FKP (Liang et al. 2021): trained for
    sigma up to 25/255. Weights are drawn from `generator`; `load_usrnet` reads published ones.
    """

    def __init__(
        self, widths: tuple[int, ...] = TINY, *, iterations: int = ITERATIONS, hidden: int = 32, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.iterations = iterations
        self.prior = ResUNet(widths)
        self.hyper = nn.Sequential(
            nn.Conv2d(2, hidden, 1), nn.ReLU(), nn.Conv2d(hidden, hidden, 1), nn.ReLU(), nn.Conv2d(hidden, 2 * iterations, 1), nn.Softplus()
        )
        draw_weights(self, generator)

    def forward(self, y: Tensor, kernel: Tensor, scale: int, sigma: float | Tensor = 0.0) -> Tensor:
        """The restored picture."""
        check_image(y, "y", 3)
        check_like(check_kernel(kernel), y, "kernel", "y")
        check_like(y, next(self.parameters()), "y", "the net")
        s = check_scale(scale)
        level = noise_level(y, sigma).expand(y.shape[0], 1, 1, 1)
        penalties = self.hyper(torch.cat([level, torch.full_like(level, s)], 1)) + _LEAST
        alpha, beta = penalties.split(self.iterations, 1)
        A = BlurDown(kernel, s)
        x = F.interpolate(y, scale_factor=s, mode="nearest")
        for i in range(self.iterations):
            z = A.prox(x, y, alpha[:, i : i + 1])
            x = self.prior(torch.cat([z, beta[:, i : i + 1].expand(-1, 1, *z.shape[-2:])], 1))
        return x


def load_usrnet(path: str | os.PathLike[str] = "usrnet_tiny", *, sha256: str | None = None) -> USRNet:
    """USRNet with published weights, strictly matched by name and shape, without gradients.

    path: a checkpoint of the tiny variant in the published naming, or its name below RESTOREKIT_WEIGHTS. sha256: its checksum.
    Raises FileNotFoundError, ValueError for a damaged file, RuntimeError for a checkpoint of another architecture.
    """
    net = USRNet(generator=torch.Generator().manual_seed(0))
    net.load_state_dict(load_weights(path, sha256=sha256, published=True, rename=_PUBLISHED))
    return net.eval().requires_grad_(False)


def _conv(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)


def _blocks(channels: int, n: int) -> list[nn.Module]:
    return [_Residual(channels) for _ in range(n)]
