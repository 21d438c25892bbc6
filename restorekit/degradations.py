"""What happens to a picture before we see it: y = jpeg(round((x * k) down s + n)), and rain, haze and camera shake."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from math import pi, sqrt

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from ._check import check_choice, check_generator, check_image, check_kernel, check_scale, fail
from ._random import randn, uniform
from .kernels import KernelPrior, delta_kernel
from .operators import BlurDown
from .weather import CameraPath, camera_shake, haze, rain

__all__ = [
    "CameraPath",
    "Degradation",
    "Truth",
    "camera_shake",
    "estimate_sigma",
    "gaussian_noise",
    "haze",
    "jpeg",
    "noise_map",
    "poisson_noise",
    "rain",
    "round_to_8_bit",
]


def gaussian_noise(x: Tensor, sigma: float | Tensor, *, generator: torch.Generator) -> Tensor:
    """y = x + sigma n, n standard normal. sigma is a std in [0, 1] units: 1% noise is 2.55/255 = 0.01.

    x (B, C, H, W); sigma one number, (B,), or a map (B or 1, 1, H, W). Not clipped. ValueError for a negative or NaN sigma or
    another shape.
    """
    check_image(x)
    return x + _level(sigma, x) * randn(x.shape, generator=check_generator(generator), like=x)


def poisson_noise(x: Tensor, peak: float | Tensor, *, generator: torch.Generator) -> Tensor:
    """y = Poisson(peak x) / peak: shot noise when white is `peak` photons; its variance is x / peak.

    x (B, C, H, W), negative values count as 0; peak one number, (B,) or a map, above 0. Not clipped. No gradient.
    """
    check_image(x)
    photons = _level(peak, x, "peak")
    if photons.min() <= 0:
        fail(f"peak={photons.min().item():.3g}", "a number of photons above 0", "for example peak=100")
    rate = (x * photons).clamp_min(0).detach().to(check_generator(generator).device)
    return torch.poisson(rate, generator=generator).to(x) / photons


def noise_map(size: tuple[int, int], kind: str = "quadrants", *, low: float = 0.01, high: float = 0.05) -> Tensor:
    """A map of noise levels sigma(p) between low and high, (1, 1, H, W), for `gaussian_noise` and sigma-map denoisers.

    kind: 'quadrants' four constant levels, evenly spaced, in reading order; 'ramp' linear from the left to the right column;
    'spot' high in the centre, falling to low as a Gaussian with a std of a fifth of the shorter side.
    """
    check_choice(kind, ("quadrants", "ramp", "spot"), "kind")
    height, width = size
    if min(size) < 2 or not 0 <= low <= high:
        fail(f"size={size}, low={low}, high={high}", "sides from 2 and 0 <= low <= high", "swap low and high, or enlarge size")
    rows, columns = torch.arange(height)[:, None], torch.arange(width)[None]
    if kind == "quadrants":
        share = (2 * (rows >= height // 2) + (columns >= width // 2)) / 3
    elif kind == "ramp":
        share = (columns / (width - 1)).expand(height, width)
    else:
        away = (rows - (height - 1) / 2) ** 2 + (columns - (width - 1) / 2) ** 2
        share = torch.exp(-away / (2 * (min(size) / 5) ** 2))
    return (low + (high - low) * share)[None, None]


def round_to_8_bit(x: Tensor) -> Tensor:
    """round(255 clip(x, 0, 1)) / 255: what a file of 8 bits keeps."""
    return (x.clamp(0, 1) * 255).round() / 255


def jpeg(x: Tensor, quality: int | Sequence[int]) -> Tensor:
    """Each picture of (B, C, H, W) written as a JPEG file by Pillow and read again (C = 1 or 3).

    quality: 1 to 95, one or one for each picture. Values are clipped and rounded to 8 bit first; color is stored at half
    resolution (4:2:0), as cameras and the web do. Not differentiable: the result carries no gradient.
    """
    check_image(x)
    if x.shape[1] not in (1, 3):
        fail(f"x with {x.shape[1]} channels", "1 or 3", "compress gray or RGB pictures")
    each = [quality] * x.shape[0] if isinstance(quality, int) else list(quality)
    if len(each) != x.shape[0] or any(isinstance(q, bool) or not isinstance(q, int) or not 1 <= q <= 95 for q in each):
        fail(f"quality={quality!r} for {x.shape[0]} pictures", "integers from 1 to 95, one or one a picture", "for example quality=40")
    pixels = (x.detach().cpu().double().clamp(0, 1) * 255).round().numpy().astype(np.uint8)
    out = np.empty_like(pixels)
    for i, q in enumerate(each):
        picture = Image.fromarray(pixels[i, 0] if x.shape[1] == 1 else np.ascontiguousarray(pixels[i].transpose(1, 2, 0)))
        buffer = io.BytesIO()
        picture.save(buffer, "JPEG", quality=q, subsampling="4:2:0")
        read = np.asarray(Image.open(buffer))
        out[i] = read if read.ndim == 2 else read.transpose(2, 0, 1)
    return torch.from_numpy(out).to(x) / 255


def estimate_sigma(y: Tensor, *, robust: bool = False, window: int | None = None) -> Tensor:
    """sigma = sqrt(pi/2) mean |y * N| / 6, N = [[1,-2,1],[-2,4,-2],[1,-2,1]] (Immerkaer, CVIU 64, 1996, Eq. 8).

    N is blind to planes and straight edges along the axes, and has norm 6; the mean of |normal| is sqrt(2/pi) sigma. Texture
    counts as noise, so the estimate is high on sharp pictures. Channels are averaged.
    robust: the median / 0.6745 instead of the mean, less disturbed by edges. window (odd, pixels): a map (B, 1, H, W) from means
    over a window, for noise that varies. Otherwise (B,). Needs sides of at least 3; differentiable.
    """
    check_image(y)
    if min(y.shape[-2:]) < 3 or (window is not None and (robust or window % 2 == 0 or not 1 <= window <= 2 * min(y.shape[-2:]) - 5)):
        got = f"a picture of {y.shape[-2]}x{y.shape[-1]}, window={window}, robust={robust}"
        fail(got, "sides from 3; an odd window that fits the picture, without robust", "use a larger picture or a smaller window")
    n = torch.tensor([[1.0, -2, 1], [-2, 4, -2], [1, -2, 1]], dtype=y.dtype, device=y.device)
    residual = F.conv2d(y.reshape(-1, 1, *y.shape[-2:]), n[None, None]).abs().reshape(*y.shape[:2], y.shape[-2] - 2, -1) / 6
    if robust:
        return residual.flatten(2).median(2).values.mean(1) / 0.6744897501960817
    scaled = sqrt(pi / 2) * residual.mean(1, keepdim=True)
    if window is None:
        return scaled.mean((1, 2, 3))
    reach = window // 2
    pooled = F.avg_pool2d(F.pad(scaled, (reach,) * 4, mode="reflect"), window, 1)
    return F.pad(pooled, (1, 1, 1, 1), mode="replicate")  # the outermost pixels have no full 3x3 neighbourhood


@dataclass(frozen=True, eq=False)
class Truth:
    """Everything that a `Degradation` drew for a batch, enough to repeat and to judge an experiment."""

    kernel: Tensor  # (B or 1, 1, kh, kw)
    sigma: Tensor | None  # (B,) or the map (B or 1, 1, h, w); None: no noise
    quality: tuple[int, ...] | None  # of JPEG, one a picture
    operator: BlurDown  # y without noise and rounding is operator(x)


@dataclass(frozen=True, eq=False)
class Degradation:
    """y = jpeg(round((x * k) down s + sigma n)) with whatever is random drawn anew, one draw a picture.

    kernel: a tensor (1 or B, 1, kh, kw), a `KernelPrior` to draw from, or None (no blur). scale, padding: of `BlurDown`.
    noise: std, (low, high) drawn uniformly, a map (B or 1, 1, h, w) at the size of y, or None. jpeg: quality, (low, high) drawn
    uniformly, or None. quantize: clip and round to 8 bit (JPEG does so in any case).

    `d(x, generator=g)` returns (y, truth): y (B, C, ceil(H/s), ceil(W/s)) and the frozen `Truth`. The same seed gives the same
    draws on every device. Raises ValueError or TypeError for settings out of range, when the object is made or called.
    """

    kernel: Tensor | KernelPrior | None = None
    scale: int = 1
    padding: str = "circular"
    noise: float | tuple[float, float] | Tensor | None = None
    jpeg: int | tuple[int, int] | None = None
    quantize: bool = False

    def __post_init__(self) -> None:
        check_scale(self.scale)
        if isinstance(self.kernel, Tensor):
            check_kernel(self.kernel)
        elif self.kernel is not None and not isinstance(self.kernel, KernelPrior):
            fail(
                f"kernel of type {type(self.kernel).__name__}",
                "a tensor, a KernelPrior or None",
                "for example GaussianPrior(11)",
                TypeError,
            )
        if isinstance(self.noise, tuple) and not 0 <= self.noise[0] <= self.noise[1]:
            fail(f"noise={self.noise}", "0 <= low <= high", "give (low, high) as std in [0, 1]")
        if isinstance(self.jpeg, tuple) and not 1 <= self.jpeg[0] <= self.jpeg[1] <= 95:
            fail(f"jpeg={self.jpeg}", "1 <= low <= high <= 95", "give (low, high) as quality")

    def __call__(self, x: Tensor, *, generator: torch.Generator) -> tuple[Tensor, Truth]:
        check_image(x)
        kernel = self._kernel(x, check_generator(generator))
        operator = BlurDown(kernel, self.scale, self.padding)
        y, sigma, quality = operator(x), None, None
        if self.noise is not None:
            sigma = self._sigma(x, generator)
            y = gaussian_noise(y, sigma, generator=generator)
        if self.quantize:
            y = round_to_8_bit(y)
        if self.jpeg is not None:
            quality = self._quality(x.shape[0], generator)
            y = jpeg(y, quality)
        return y, Truth(kernel, sigma, quality, operator)

    def _kernel(self, x: Tensor, generator: torch.Generator) -> Tensor:
        if isinstance(self.kernel, KernelPrior):
            return self.kernel.sample(x.shape[0], generator=generator).to(x)
        if self.kernel is None:
            return delta_kernel().to(x)
        if self.kernel.shape[0] not in (1, x.shape[0]):
            fail(f"{self.kernel.shape[0]} kernels for {x.shape[0]} pictures", "one, or one a picture", "repeat the picture")
        return self.kernel.to(x)

    def _sigma(self, x: Tensor, generator: torch.Generator) -> Tensor:
        if isinstance(self.noise, tuple):
            return uniform(*self.noise, (x.shape[0],), generator=generator, like=x)
        if isinstance(self.noise, Tensor):
            return self.noise.to(x)
        return x.new_full((x.shape[0],), float(self.noise))  # type: ignore[arg-type]

    def _quality(self, n: int, generator: torch.Generator) -> tuple[int, ...]:
        if isinstance(self.jpeg, tuple):
            low, high = self.jpeg
            return tuple(torch.randint(low, high + 1, (n,), generator=generator, device=generator.device).tolist())
        return (self.jpeg,) * n  # type: ignore[return-value]


def _level(value: float | Tensor, x: Tensor, name: str = "sigma") -> Tensor:
    """A level as a tensor that broadcasts against x: (B, 1, 1, 1) or (B or 1, 1, H, W)."""
    level = torch.as_tensor(value, dtype=x.dtype, device=x.device)
    if not torch.isfinite(level).all() or level.min() < 0:
        fail(f"{name} with a smallest value of {level.min().item():.3g}", "finite, 0 or more", "give it in units of a picture in [0, 1]")
    if level.ndim == 0 or (level.ndim == 1 and level.shape[0] == x.shape[0]):
        return level.reshape(-1, 1, 1, 1)
    if level.ndim == 4 and level.shape[0] in (1, x.shape[0]) and level.shape[1] == 1 and level.shape[2:] in (x.shape[2:], (1, 1)):
        return level
    fail(f"{name} of shape {tuple(level.shape)} for {tuple(x.shape)}", "one number, (B,) or a map (B or 1, 1, H, W)", "reshape it")
    raise AssertionError
