"""Random chains of blur, resizing, noise and JPEG: how restorers for real pictures are usually trained, without a network.

After the pipelines of BSRGAN (Zhang et al. 2021: shuffled) and Real-ESRGAN (Wang et al. 2021: two rounds). Left out: camera
pipelines, noise that is correlated between channels, and the ringing (sinc) filters.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from math import ceil, cos, pi, sin
from typing import Any, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor

from .._check import check_choice, check_generator, check_image, check_scale, fail
from .._random import rand, uniform
from ..degradations import gaussian_noise, jpeg, poisson_noise
from .baselines.bicubic import bicubic_downsample

RESIZERS = ("area", "bilinear", "bicubic")
QUALITY = (30, 95)  # of JPEG
NOISE = (1 / 255, 25 / 255)  # std of Gaussian noise
PHOTONS = (2.0, 4.0)  # log10 of the peak of Poisson noise
GRAY = 0.4  # how often Gaussian noise is equal in all channels
ANISOTROPIC = 0.5  # how often a blur is
_T = TypeVar("_T")


class _Dice:
    """Draws of single numbers, so that a chain reads as a chain."""

    def __init__(self, generator: torch.Generator) -> None:
        self.generator = check_generator(generator)

    def uniform(self, low: float, high: float) -> float:
        return low + (high - low) * rand((), generator=self.generator).item()

    def chance(self, p: float) -> bool:
        return self.uniform(0, 1) < p

    def choice(self, items: Sequence[_T]) -> _T:
        return items[int(self.uniform(0, len(items)))]

    def shuffled(self, items: Sequence[_T]) -> list[_T]:
        return [items[i] for i in torch.randperm(len(items), generator=self.generator, device=self.generator.device).tolist()]


_Step = Callable[[Tensor, _Dice], Tensor]


@dataclass(frozen=True)
class RandomPipeline:
    """y = (J o T_5 o ... o T_1)(x), T a shuffled {blur, blur, reduction by s, noise, JPEG}, J a last JPEG; order 2 in two rounds.

    A degrader: pipeline(x, G, generator=g) with x (B, C, H, W) in [0, 1], C = 1 or 3, sides divisible by s, gives y (B, C, H/s, W/s)
    on the grid of ordinary resizing, each picture by its own draw. The restorer G is not looked at; no gradient.

    scale: 1 to 4. order=1: the shuffled chain; the reduction goes through another random size in three of four cases.
    order=2: twice blur, resizing up or down, noise (Gaussian or Poisson) and JPEG, then the reduction to the final size and a
    JPEG, in either order. Blur: Gaussian, std 0.1 to 2 + s/5 px, half of them with two stds and an angle. Resizing: area,
    bilinear or bicubic, antialiased; in order 2 to 0.6/s to 1.5 of the sides of x, then to 0.6 to 1.2 of those of y (milder than
    Real-ESRGAN, whose patches are larger). Gaussian noise: std 1/255 to 25/255, 40% equal in all channels; Poisson noise: 100 to
    10000 photons. JPEG: quality 30 to 95.

    strength=(low, high): y is replaced by t + c (y - t), t the ideal (bicubic) reduction and c >= 0 such that PSNR(y, t) is a
    number drawn uniformly from low to high dB: equal strength, whatever was drawn. y is then not clipped. ValueError or
    TypeError for settings and pictures out of range.
    """

    scale: int
    order: int = 1
    strength: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        check_scale(self.scale)
        check_choice(self.order, (1, 2), "order")
        if self.strength is not None and not 0 < self.strength[0] <= self.strength[1]:
            fail(f"strength={self.strength}", "0 < low <= high, PSNR in dB", "for example strength=(22, 36)")

    @torch.no_grad()
    def __call__(self, x: Tensor, G: Any = None, *, generator: torch.Generator, loss: Any = None) -> Tensor:
        """One degraded batch; G and loss are taken, as every degrader takes them, and not used."""
        check_image(x)
        s, dice = self.scale, _Dice(generator)
        if x.shape[1] not in (1, 3) or x.shape[2] % s or x.shape[3] % s:
            fail(f"x of shape {tuple(x.shape)} at scale {s}", "1 or 3 channels, sides divisible by the scale", "crop the patches")
        chain = self._shuffled if self.order == 1 else self._two_rounds
        y = torch.cat([chain(one[None], dice) for one in x])
        return y if self.strength is None else at_strength(y, bicubic_downsample(x, s), self.strength, generator=generator)

    def _shuffled(self, x: Tensor, dice: _Dice) -> Tensor:
        final = (x.shape[2] // self.scale, x.shape[3] // self.scale)
        blur: _Step = partial(_blur, widest=2 + self.scale / 5)
        steps: list[_Step] = [blur, blur, partial(_reduce, size=final), _noise, _jpeg]
        for step in [*dice.shuffled(steps), _jpeg]:
            x = step(x, dice)
        return x

    def _two_rounds(self, x: Tensor, dice: _Dice) -> Tensor:
        final = (x.shape[2] // self.scale, x.shape[3] // self.scale)
        # (size that the ratio refers to, smallest and largest ratio, how often up, how often a blur)
        rounds = (((x.shape[2], x.shape[3]), 0.6 / self.scale, 1.5, 0.2, 1.0), (final, 0.6, 1.2, 0.3, 0.8))
        for size, smallest, largest, up, blurred in rounds:
            if dice.chance(blurred):
                x = _blur(x, dice, widest=2 + self.scale / 5)
            ratio = dice.uniform(1, largest) if dice.chance(up) else dice.uniform(smallest, 1)
            x = resize(x, (_times(size[0], ratio), _times(size[1], ratio)), dice.choice(RESIZERS))
            x = _jpeg(_noise(x, dice), dice)
        ends: list[_Step] = [partial(_resize_to, size=final), _jpeg]
        for step in dice.shuffled(ends):
            x = step(x, dice)
        return x


def at_strength(y: Tensor, t: Tensor, strength: tuple[float, float], *, generator: torch.Generator) -> Tensor:
    """t + c (y - t), c >= 0 such that PSNR to t is uniform in `strength` (dB), one draw for each picture; y = t stays t."""
    target = uniform(*strength, (y.shape[0], 1, 1, 1), generator=check_generator(generator), like=y)
    size = (y - t).square().mean((1, 2, 3), keepdim=True).sqrt()
    return t + (y - t) * 10 ** (-target / 20) / size.clamp_min(1e-8)


def resize(x: Tensor, size: tuple[int, int], kind: str) -> Tensor:
    """x (B, C, H, W) at another size, up or down, antialiased; both cover the same area, so that nothing is moved.

    kind: 'area' (each new pixel is the mean of what it covers), 'bilinear', 'bicubic' (a = -0.5).
    """
    check_choice(kind, RESIZERS, "kind")
    if kind != "area":
        return F.interpolate(x, size, mode=kind, align_corners=False, antialias=True)
    return _cover(x.shape[2], size[0]).to(x) @ x @ _cover(x.shape[3], size[1]).to(x).T


@lru_cache(maxsize=512)
def _cover(old: int, new: int) -> Tensor:
    """The share of each of `old` pixels in each of `new` ones that cover the same length: (new, old), rows sum to 1."""
    ratio = old / new
    low = torch.arange(new, dtype=torch.float64)[:, None] * ratio
    at = torch.arange(old, dtype=torch.float64)
    return (torch.minimum(low + ratio, at + 1) - torch.maximum(low, at)).clamp_min(0) / ratio


def _blur(x: Tensor, dice: _Dice, *, widest: float) -> Tensor:
    first = dice.uniform(0.1, widest)
    second, theta = (dice.uniform(0.1, widest), dice.uniform(0, pi)) if dice.chance(ANISOTROPIC) else (first, 0.0)
    return gaussian_blur(x, (first, second), theta)


def gaussian_blur(x: Tensor, sigma: tuple[float, float], theta: float = 0.0) -> Tensor:
    """x * k, k a Gaussian with stds `sigma` (px) turned by theta, through its spectrum exp(-2 pi^2 (s1^2 f1^2 + s2^2 f2^2)).

    The angle as in `gaussian_kernel`; the border is repeated. Cheaper than sampling a kernel and transforming that.
    """
    reach = ceil(3 * max(sigma))
    wide = F.pad(x, (reach,) * 4, mode="replicate")
    rows = torch.fft.fftfreq(wide.shape[2], dtype=x.dtype, device=x.device)[:, None]
    columns = torch.fft.rfftfreq(wide.shape[3], dtype=x.dtype, device=x.device)
    along, across = cos(theta) * columns + sin(theta) * rows, cos(theta) * rows - sin(theta) * columns
    spectrum = torch.exp(-2 * pi**2 * ((sigma[0] * along).square() + (sigma[1] * across).square()))
    blurred = torch.fft.irfft2(torch.fft.rfft2(wide) * spectrum, s=wide.shape[2:])
    return blurred[..., reach : reach + x.shape[2], reach : reach + x.shape[3]]


def _noise(x: Tensor, dice: _Dice) -> Tensor:
    if dice.chance(0.5):
        return poisson_noise(x, 10 ** dice.uniform(*PHOTONS), generator=dice.generator)
    sigma = dice.uniform(*NOISE)
    if x.shape[1] > 1 and dice.chance(GRAY):
        return x + gaussian_noise(torch.zeros_like(x[:, :1]), sigma, generator=dice.generator)
    return gaussian_noise(x, sigma, generator=dice.generator)


def _jpeg(x: Tensor, dice: _Dice) -> Tensor:
    return jpeg(x, int(dice.uniform(QUALITY[0], QUALITY[1] + 1)))


def _resize_to(x: Tensor, dice: _Dice, *, size: tuple[int, int]) -> Tensor:
    return resize(x, size, dice.choice(RESIZERS))


def _reduce(x: Tensor, dice: _Dice, *, size: tuple[int, int]) -> Tensor:
    """To `size`, in three of four cases by way of a size between half of it and that of x."""
    if dice.chance(0.75):
        ratio = dice.uniform(0.5 * size[0] / x.shape[2], 1)
        x = resize(x, (_times(x.shape[2], ratio), _times(x.shape[3], ratio)), dice.choice(RESIZERS))
    return _resize_to(x, dice, size=size)


def _times(side: int, ratio: float) -> int:
    return max(2, round(side * ratio))
