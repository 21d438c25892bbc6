"""A small denoiser for every noise level, told the level by a map: the prior that ships with the package."""

from __future__ import annotations

import os
from itertools import pairwise
from math import sqrt

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .._check import check_choice, check_image, check_like, fail
from ..weights import load_weights, read_metadata, shipped
from ._init import draw_weights

SIGMA_MAX = 50 / 255  # the shipped weights saw noise up to here


class NoiseMapDenoiser(nn.Module):
    """D(x, sigma) = x - sigma f(x, sigma): f estimates the noise in units of its std, so that D(x, 0) = x exactly.

    f sees the picture as four interleaved ones (pixel-unshuffle by 2) with the noise level at half resolution, passes
    `layers` convolutions 3x3 with `features` maps and ReLU, and is put together again (pixel-shuffle). After FFDNet (Zhang et
    al. 2018), which has batch normalisation, more layers, and no factor sigma. x (B, channels, H, W) with sides from 2, odd ones
    are mirrored to even; sigma >= 0, std of the noise in [0, 1] units: a number, (B,), or a map (B or 1, 1, H, W). Result in
    x's shape and dtype. A `Denoiser` for every solver. Weights are drawn from `generator`; `load_denoiser` has trained ones.
    Raises ValueError for another number of channels, other shapes of sigma, negative or infinite sigma.
    """

    def __init__(self, channels: int = 1, *, features: int = 64, layers: int = 7, generator: torch.Generator) -> None:
        super().__init__()
        if min(channels, features) < 1 or layers < 2:
            fail(f"channels={channels}, features={features}, layers={layers}", "1 or more (layers: 2 or more)", "keep the defaults")
        self.channels = channels
        widths = [4 * channels + 1, *[features] * (layers - 1), 4 * channels]
        convs = [nn.Conv2d(a, b, 3, padding=1) for a, b in pairwise(widths)]
        self.body = nn.Sequential(*(part for conv in convs[:-1] for part in (conv, nn.ReLU())), convs[-1])
        draw_weights(self, generator)
        with torch.no_grad():
            for conv in convs[:-1]:  # ReLU keeps half: the variance of signals is held by sqrt(6)/sqrt(fan_in) (He et al. 2015)
                conv.weight *= sqrt(6)

    def forward(self, x: Tensor, sigma: float | Tensor) -> Tensor:
        """x without its noise of std sigma."""
        check_image(x, "x", self.channels)
        first: Tensor = next(self.parameters())
        check_like(x.to(first.dtype), first, "x", "the net")
        H, W = x.shape[-2:]
        if min(H, W) < 2:
            fail(f"x of {H}x{W}", "sides of 2 and more", "restore a larger picture")
        level = noise_level(x, sigma)
        picture, level = (F.pad(v, (0, W % 2, 0, H % 2), mode="reflect").to(first) for v in (x, level.expand(-1, -1, H, W)))
        parts = F.pixel_unshuffle(picture, 2)
        scaled = F.avg_pool2d(level, 2).expand(x.shape[0], -1, -1, -1) / SIGMA_MAX
        f = F.pixel_shuffle(self.body(torch.cat([parts, scaled], 1)), 2)
        return x - (level * f)[..., :H, :W].to(x.dtype)


def noise_level(x: Tensor, sigma: float | Tensor) -> Tensor:
    """sigma as (1 or B, 1, 1 or H, 1 or W) in x's device and dtype; ValueError if it is negative, infinite or does not fit x."""
    level = torch.as_tensor(sigma, dtype=x.dtype, device=x.device)
    if level.numel() == 0 or not (torch.isfinite(level).all() and (level >= 0).all()):
        fail(f"sigma={sigma}", "a finite std of at least 0", "divide an 8-bit std by 255")
    shape = tuple(level.shape)
    if level.ndim < 2:
        level = level.reshape(-1, 1, 1, 1)
    b, h, w = x.shape[0], x.shape[-2], x.shape[-1]
    if level.ndim != 4 or level.shape[0] not in (1, b) or tuple(level.shape[1:]) not in ((1, 1, 1), (1, h, w)):
        fail(f"sigma of shape {shape} for x of {tuple(x.shape)}", f"a number, ({b},) or a map ({b} or 1, 1, {h}, {w})", "reshape it")
    return level


def load_denoiser(channels: int = 1, path: str | os.PathLike[str] | None = None) -> NoiseMapDenoiser:
    """The trained net that ships with the package: 1 channel (gray) or 3 (RGB), on the CPU, in float32, without gradients.

    path: another file of `python -m restorekit weights train`. Noise levels 0 to 50/255; above, nothing was trained. What it was
    trained on, by which command and with which scores stands in the JSON beside the file.
    """
    check_choice(channels, (1, 3), "channels")
    file = shipped("denoiser_gray" if channels == 1 else "denoiser_color") if path is None else path
    size = read_metadata(file)
    net = NoiseMapDenoiser(channels, features=size["features"], layers=size["layers"], generator=torch.Generator().manual_seed(0))
    net.load_state_dict(load_weights(file))
    return net.eval().requires_grad_(False).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
