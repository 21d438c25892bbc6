"""Degradations of fixed severity that no restorer of AND's tables is trained on: `clean` and twelve others.

    y = round_8bit(d(x)): blur and rain come before the bicubic reduction by s, noise and JPEG after it

y lies on the grid of ordinary resizing (align="resize"): no entry moves the picture. Widths are in pixels of x and grow with s, so
that a scale of 4 is about as hard for its smaller picture as 2; noise and quality are the same at each scale. The severities
were fixed before any net was scored.
"""

from __future__ import annotations

from collections.abc import Callable
from math import pi
from types import MappingProxyType

import torch
from torch import Tensor

from .._check import check_choice, check_generator, check_image, check_scale
from ..degradations import gaussian_noise, jpeg, poisson_noise, rain, round_to_8_bit
from ..kernels import gaussian_kernel, motion_kernel
from ..methods.baselines.bicubic import bicubic_downsample
from ..operators import Blur

Unseen = Callable[[Tensor, int, torch.Generator], Tensor]
CLEAN = "clean"


def _blurred(x: Tensor, s: int, along: float, across: float, theta: float = 0.0) -> Tensor:
    """x * Gaussian with stds along * s and across * s, reduced."""
    stds = (along * s, across * s)
    kernel = gaussian_kernel(2 * int(3 * max(stds) + 1) + 1, stds, theta, dtype=x.dtype, device=x.device)
    return bicubic_downsample(Blur(kernel, "replicate")(x), s)


def _moved(x: Tensor, s: int, g: torch.Generator) -> Tensor:
    """x * a random path of a shaken camera, its mean at the center, reduced."""
    return bicubic_downsample(Blur(motion_kernel(4 * s + 3, generator=g).to(x), "replicate")(x), s)


def _noisy(y: Tensor, level: float, g: torch.Generator) -> Tensor:
    return gaussian_noise(y, level / 255, generator=g)


_ENTRIES: dict[str, Unseen] = {
    CLEAN: lambda x, s, g: bicubic_downsample(x, s),
    "blur": lambda x, s, g: _blurred(x, s, 0.6, 0.6),
    "wide blur": lambda x, s, g: _blurred(x, s, 1.0, 1.0),
    "anisotropic blur": lambda x, s, g: _blurred(x, s, 1.4, 0.4, pi / 6),
    "motion blur": _moved,
    "noise 10": lambda x, s, g: _noisy(bicubic_downsample(x, s), 10, g),
    "noise 20": lambda x, s, g: _noisy(bicubic_downsample(x, s), 20, g),
    "Poisson noise": lambda x, s, g: poisson_noise(bicubic_downsample(x, s), 200, generator=g),
    "JPEG 50": lambda x, s, g: jpeg(bicubic_downsample(x, s), 50),
    "JPEG 30": lambda x, s, g: jpeg(bicubic_downsample(x, s), 30),
    "blur and noise": lambda x, s, g: _noisy(_blurred(x, s, 0.6, 0.6), 10, g),
    "noise and JPEG": lambda x, s, g: jpeg(_noisy(bicubic_downsample(x, s), 10, g), 50),
    "rain": lambda x, s, g: bicubic_downsample(rain(x, density=40, strength=0.3, generator=g)[0], s),
}


def _checked(entry: Unseen) -> Unseen:
    """The entry behind the checks that all share, rounded to 8 bit."""

    def degrade(x: Tensor, scale: int, generator: torch.Generator) -> Tensor:
        check_generator(generator)
        return round_to_8_bit(entry(check_image(x), check_scale(scale), generator))

    return degrade


# name -> degrade(x, scale, generator) -> y. x (B, C, H, W), C = 1 or 3, sides divisible by the scale; y (B, C, H/s, W/s) on 8 bits
UNSEEN = MappingProxyType({name: _checked(entry) for name, entry in _ENTRIES.items()})


def degrade_unseen(x: Tensor, name: str, scale: int, *, generator: torch.Generator) -> Tensor:
    """UNSEEN[name](x, scale, generator); ValueError that lists the names if there is none of that name."""
    check_choice(name, tuple(UNSEEN), "name")
    return UNSEEN[name](x, scale, generator)
