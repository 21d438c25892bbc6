"""The restorer G: RRDB of ESRGAN (Wang et al. 2018) in the paper's size and in a light one."""

from __future__ import annotations

from math import sqrt

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .._check import check_choice, check_image, check_like, check_scale, fail
from ._init import draw_weights

SLOPE = 0.2  # of every LeakyReLU
SHARE = 0.2  # residual scaling: this much of each block's result is added to its input
_STEPS = {1: (), 2: (2,), 3: (3,), 4: (2, 2)}  # enlargements by nearest neighbor, one after the other
_DAMPED = 0.1  # ESRGAN starts the convolutions of the dense blocks at a tenth of He's size


class DenseBlock(nn.Module):
    """v + 0.2 c_5(v, u_1 .. u_4), u_i = LeakyReLU(c_i(v, u_1 .. u_{i-1})): five convolutions 3x3, each sees all before it."""

    def __init__(self, features: int, growth: int) -> None:
        super().__init__()
        outputs = (growth, growth, growth, growth, features)
        self.convs = nn.ModuleList(_conv(features + i * growth, n) for i, n in enumerate(outputs))

    def forward(self, v: Tensor) -> Tensor:
        *inner, last = self.convs
        seen = v
        for conv in inner:
            seen = torch.cat([seen, _leaky(conv(seen))], 1)
        return torch.add(v, last(seen), alpha=SHARE)


class ResidualInResidual(nn.Module):
    """v + 0.2 (three dense blocks one after the other)(v)."""

    def __init__(self, features: int, growth: int) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*(DenseBlock(features, growth) for _ in range(3)))

    def forward(self, v: Tensor) -> Tensor:
        return torch.add(v, self.blocks(v), alpha=SHARE)


class RRDB(nn.Module):
    """G(y) = tail(up(f + trunk(blocks(f)))), f = head(y): `blocks` residual-in-residual dense blocks, all at y's size.

    y (B, channels, h, w) -> (B, channels, s h, s w), not clipped; zeros outside the picture. All convolutions are 3x3, LeakyReLU
    has slope 0.2, residuals are scaled by 0.2. The defaults are ESRGAN's (Wang et al. 2018, used in AND Sec. 3.4).
    upsampler: 'nearest' repeats pixels, by 2 twice for scale 4, with a convolution and LeakyReLU after each, and one more of both;
    'shuffle' has one convolution to `growth` maps for each of the s^2 pixels that y's pixel becomes, LeakyReLU, and puts them in
    place: only `tail` works at full size. residual: the bicubic enlargement is added and `tail` starts small, so that an
    untrained net is nearly bicubic interpolation (at scale 1: the identity). Weights are drawn from `generator`.
    Raises ValueError for another scale, upsampler, number of channels, device, and TypeError for another dtype than the net's.
    """

    def __init__(
        self,
        scale: int,
        *,
        channels: int = 3,
        features: int = 64,
        blocks: int = 23,
        growth: int = 32,
        upsampler: str = "nearest",
        residual: bool = False,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.scale, self.channels, self.residual = check_scale(scale), channels, residual
        check_choice(upsampler, ("nearest", "shuffle"), "upsampler")
        if min(channels, features, blocks, growth) < 1:
            got = f"channels={channels}, features={features}, blocks={blocks}, growth={growth}"
            fail(got, "1 or more of each", "keep the defaults")
        self.head = _conv(channels, features)
        self.blocks = nn.Sequential(*(ResidualInResidual(features, growth) for _ in range(blocks)))
        self.trunk = _conv(features, features)
        self.up: nn.Sequential = _nearest(scale, features) if upsampler == "nearest" else _shuffle(scale, features, growth)
        self.tail = _conv(features if upsampler == "nearest" else growth, channels)
        self._draw(generator)

    @torch.no_grad()
    def _draw(self, generator: torch.Generator) -> None:
        draw_weights(self, generator)
        for conv in self.blocks.modules():
            if isinstance(conv, nn.Conv2d):
                _damp(conv, _DAMPED * sqrt(6))
        if self.residual:
            _damp(self.tail, _DAMPED)

    def forward(self, y: Tensor) -> Tensor:
        """The restored picture."""
        check_image(y, "y", self.channels)
        check_like(y, self.head.weight, "y", "the net")
        f = self.head(y)
        x = self.tail(self.up(f + self.trunk(self.blocks(f))))
        return x + _enlarged(y, self.scale) if self.residual else x


def light_rrdb(scale: int, channels: int = 3, *, generator: torch.Generator) -> RRDB:
    """The small restorer that this package trains: `RRDB` with 24 features, 2 blocks, growth 8, shuffled, added to bicubic.

    Its weights lie channels last, which a CPU works through faster.
    """
    net = RRDB(scale, channels=channels, features=24, blocks=2, growth=8, upsampler="shuffle", residual=True, generator=generator)
    return net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def _conv(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, padding=1)


def _damp(conv: nn.Conv2d, factor: float) -> None:
    conv.weight *= factor
    if conv.bias is not None:
        conv.bias.zero_()


def _leaky(v: Tensor) -> Tensor:
    return F.leaky_relu_(v, SLOPE)


def _nearest(scale: int, features: int) -> nn.Sequential:
    steps = [(nn.Upsample(scale_factor=s), _conv(features, features), nn.LeakyReLU(SLOPE, inplace=True)) for s in _STEPS[scale]]
    return nn.Sequential(*(part for step in steps for part in step), _conv(features, features), nn.LeakyReLU(SLOPE, inplace=True))


def _shuffle(scale: int, features: int, growth: int) -> nn.Sequential:
    return nn.Sequential(_conv(features, growth * scale**2), nn.LeakyReLU(SLOPE, inplace=True), nn.PixelShuffle(scale))


def _enlarged(y: Tensor, scale: int) -> Tensor:
    """`bicubic(y, scale)` of restorekit, by torch's own code."""
    return y if scale == 1 else F.interpolate(y, scale_factor=scale, mode="bicubic", align_corners=False)
