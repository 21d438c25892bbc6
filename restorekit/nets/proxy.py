"""The proxy of hyper-guidance: a small net that reads the guidance map off the degraded picture (Bilevel Sec. 3.2, 4.1 to 4.3)."""

from __future__ import annotations

from itertools import pairwise
from math import pi, sqrt

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .._check import check_choice, check_image, check_like, fail
from ._init import draw_weights

KINDS = {"noise": 4, "rain": 2, "depth": 4}  # and the side of the blocks in which each is read
UNIT = 0.05  # noise levels are handed to the convolutions, and come out of them, in units of 5%
_DILATIONS = {"noise": (1, 1, 1, 1), "rain": (1, 1, 1, 1), "depth": (1, 2, 4, 1)}


class ProxyNet(nn.Module):
    """sigma = H_theta(y): four convolutions 3x3 with ReLU between them (Bilevel Eq. 4, Sec. 4.1).

    kind says what the map is, and what the convolutions see of y (B, channels, H, W):
    'noise': std of the noise, in [0, 1] units. On blocks of 4x4: mean of y, `high_pass` energy, and the mean slope of the
    smoothed picture, by which texture can be told from noise. On y alone such a net stays constant for hundreds of steps.
    'rain': share of rain at each pixel. y in blocks of 2x2 (pixel-unshuffle), the result put together again, between 0 and 1.
    'depth': y in blocks of 4x4, convolutions dilated by 1, 2, 4, 1 so that a pixel sees 68 pixels around it.
    closed_form ('noise' alone): the convolutions give what is added to the energy averaged over 28x28 pixels, Immerkaer's estimate,
    and begin with 0: the two are combined, and training starts from a sound map.
    Output (B, 1, H, W), linear but for rain: it may be negative, and whoever needs a std clips it. Sides from 4, those that a
    block does not divide are continued by mirroring. Weights from `generator`.
    Raises ValueError for another kind, other channels, sides below 4, closed_form for another map.
    """

    def __init__(
        self, kind: str = "noise", channels: int = 1, *, features: int = 24, closed_form: bool = False, generator: torch.Generator
    ) -> None:
        super().__init__()
        check_choice(kind, KINDS, "kind")
        if min(channels, features) < 1:
            fail(f"channels={channels}, features={features}", "1 or more", "keep the defaults")
        if closed_form and kind != "noise":
            fail(f"closed_form=True for kind={kind!r}", "a closed form for 'noise' alone", "leave it out")
        self.kind, self.channels, self.block, self.closed_form = kind, channels, KINDS[kind], closed_form
        inputs = channels + 2 if kind == "noise" else channels * self.block**2
        outputs = self.block**2 if kind == "rain" else 1
        sizes = pairwise([inputs, features, features, features, outputs])
        convs = [nn.Conv2d(a, b, 3, padding=d, dilation=d) for (a, b), d in zip(sizes, _DILATIONS[kind], strict=True)]
        self.body = nn.Sequential(*(part for conv in convs[:-1] for part in (conv, nn.ReLU())), convs[-1])
        draw_weights(self, generator)
        with torch.no_grad():
            for conv in convs[:-1]:  # as in NoiseMapDenoiser: the variance of signals is held
                conv.weight *= sqrt(6)
            if closed_form:
                for p in convs[-1].parameters():
                    p.zero_()

    def forward(self, y: Tensor) -> Tensor:
        """The guidance map of y."""
        check_image(y, "y", self.channels)
        check_like(y, next(self.parameters()), "y", "the net")
        H, W = y.shape[-2:]
        if min(H, W) < 4:
            fail(f"y of {H}x{W}", "sides of 4 and more", "use a larger picture")
        y = F.pad(y, (0, -W % self.block, 0, -H % self.block), mode="reflect")
        if self.kind == "noise":
            seen = self._energies(y)
            out = UNIT * self.body(seen)
            if self.closed_form:
                out = out + UNIT * F.avg_pool2d(seen[:, -2:-1], 7, 1, 3, count_include_pad=False)
        else:
            out = self.body(F.pixel_unshuffle(y, self.block))
        if self.kind == "rain":
            return F.pixel_shuffle(out, self.block).sigmoid()[..., :H, :W]
        return F.interpolate(out, scale_factor=self.block, mode="bilinear", align_corners=False)[..., :H, :W]

    def _energies(self, y: Tensor) -> Tensor:
        """(B, channels + 2, H / 4, W / 4)."""
        smooth = F.avg_pool2d(F.pad(y, (2, 2, 2, 2), mode="replicate"), 3, 1)
        down, right = smooth[..., 2:, 1:-1] - smooth[..., :-2, 1:-1], smooth[..., 1:-1, 2:] - smooth[..., 1:-1, :-2]
        energy, slope = (v.mean(1, keepdim=True) / UNIT for v in (high_pass(y), down.abs() + right.abs()))
        return F.avg_pool2d(torch.cat([y, energy, slope], 1), self.block)


def high_pass(y: Tensor) -> Tensor:
    """sqrt(pi/2) |y * N| / 6, whose mean is sigma where y is noise of that std on a plane (Immerkaer, CVIU 64, 1996).

    N = [[1,-2,1],[-2,4,-2],[1,-2,1]], each channel by itself; the outermost pixels repeat the next. Shape of y.
    """
    n = y.new_tensor([[1.0, -2, 1], [-2, 4, -2], [1, -2, 1]])[None, None] / 6
    inner = F.conv2d(y.reshape(-1, 1, *y.shape[-2:]), n).abs()
    return sqrt(pi / 2) * F.pad(inner, (1, 1, 1, 1), mode="replicate").reshape(y.shape)
