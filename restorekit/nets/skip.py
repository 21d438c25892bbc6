"""The image net of deep image priors: an encoder-decoder whose structure favours pictures over noise."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .._check import fail
from ._init import draw_weights
from .nonlocal_block import NonLocalBlock

_SLOPE = 0.2


class Conv1x1(nn.Conv2d):
    """A 1x1 convolution. With one picture on a CPU it is computed as a matrix product, whose backward pass is faster there."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        if x.device.type != "cpu" or x.shape[0] != 1:
            return super().forward(x)
        pixels = x.permute(0, 2, 3, 1)  # contiguous, if the memory format is channels_last
        return F.linear(pixels, self.weight[:, :, 0, 0], self.bias).permute(0, 3, 1, 2)


def _norm(channels: int) -> nn.Module:
    return nn.BatchNorm2d(channels, track_running_stats=False)


def _block(conv: nn.Module, channels: int) -> nn.Sequential:
    return nn.Sequential(conv, _norm(channels), nn.LeakyReLU(_SLOPE, inplace=True))


def _conv3x3(inputs: int, outputs: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, stride, padding=1, padding_mode="reflect")


def _dense_gradient(x: Tensor) -> Tensor:
    """x; its gradient, a strided slice of that of `cat`, is copied, or the backward pass of bilinear upsampling is 10 times slower."""
    if x.requires_grad:
        form = torch.channels_last if x.is_contiguous(memory_format=torch.channels_last) else torch.contiguous_format
        x.register_hook(lambda g: g.contiguous(memory_format=form))
    return x


class _Level(nn.Module):
    """Down by 2, the levels below, up by 2, joined with a narrow skip connection."""

    def __init__(self, inputs: int, channels: int, skip: int, below: nn.Module | None, attends: bool) -> None:
        super().__init__()
        self.skip = _block(Conv1x1(inputs, skip), skip) if skip else None
        self.down = nn.Sequential(
            _block(_conv3x3(inputs, channels, stride=2), channels),
            *([NonLocalBlock(channels)] if attends else []),
            _block(_conv3x3(channels, channels), channels),
        )
        self.below = below
        joined = channels + skip
        self.up = nn.Sequential(
            _norm(joined),
            _block(_conv3x3(joined, channels), channels),
            _block(Conv1x1(channels, channels), channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        deep = self.down(x)
        if self.below is not None:
            deep = self.below(deep)
        deep = F.interpolate(deep, size=x.shape[-2:], mode="bilinear", align_corners=False)
        return self.up(deep if self.skip is None else torch.cat([_dense_gradient(deep), self.skip(x)], 1))


class SkipNet(nn.Module):
    """x = G_x(z; phi): maps noise z (B, inputs, H, W) to a picture (B, outputs, H, W) in (0, 1), any H and W.

    `levels` times down and up by 2 with `channels` feature maps, skip connections of `skip` maps, bilinear
    upsampling, reflection padding, batch normalisation, LeakyReLU, sigmoid (Ulyanov et al. 2018; MLMC Sec. 5.1 uses
    its defaults: 5 levels, 128 channels, skip 16). The smallest side that `levels` can halve is 2**levels + 1; see
    `SkipNet.deepest`. The `nonlocal_levels` deepest encoder levels have a `NonLocalBlock` (published MLMC code: 3).
    Weights are drawn from `generator`. Raises ValueError for a picture too small.
    """

    def __init__(
        self,
        inputs: int = 32,
        outputs: int = 3,
        *,
        channels: int = 128,
        skip: int = 16,
        levels: int = 5,
        nonlocal_levels: int = 0,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        if min(inputs, outputs, channels, levels) < 1 or min(skip, nonlocal_levels) < 0:
            fail(
                f"inputs={inputs}, outputs={outputs}, channels={channels}, levels={levels}, skip={skip}, nonlocal_levels={nonlocal_levels}",
                "1 or more (skip and nonlocal_levels: 0 or more)",
                "keep the defaults",
            )
        below: nn.Module | None = None
        for level in reversed(range(levels)):
            below = _Level(inputs if level == 0 else channels, channels, skip, below, level >= levels - nonlocal_levels)
        self.levels = levels
        self.body = below
        self.head = Conv1x1(channels, outputs)
        draw_weights(self, generator)

    @staticmethod
    def deepest(size: tuple[int, int], levels: int = 5) -> int:
        """The largest number of levels, at most `levels`, at which the deepest maps still have 2 x 2 pixels."""
        side, depth = min(size), 0
        while depth < levels and (side + 1) // 2 >= 2:
            side, depth = (side + 1) // 2, depth + 1
        return depth

    def forward(self, z: Tensor) -> Tensor:
        if self.deepest((z.shape[-2], z.shape[-1]), self.levels) < self.levels:
            fail(
                f"a picture of {z.shape[-2]}x{z.shape[-1]} for {self.levels} levels",
                f"sides of at least {2**self.levels + 1}",
                "use SkipNet.deepest(size) levels",
            )
        return torch.sigmoid(self.head(self.body(z)))  # type: ignore[misc]
