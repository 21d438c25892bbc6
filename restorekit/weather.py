"""Rain streaks, haze from a depth map, and the shake of a camera; `restorekit.degradations` offers them too."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, pi

import torch
import torch.nn.functional as F
from torch import Tensor

from ._check import check_choice, check_generator, check_image, fail
from ._random import rand, uniform
from .kernels import gaussian_kernel, line_kernel, splat
from .operators import Blur

_DEPTHS = (1.0, 0.6, 0.35)  # distance layers of rain: how long, wide and bright streaks look
_SHARES = (0.2, 0.3, 0.5)  # and how many of the drops are there
REGION = 0.05  # rain that adds more than this counts as rain in a region map
RAIN = {  # what `random_rain` draws from: ranges of the arguments of `rain`
    "light": {"density": (20.0, 80.0), "length": (12.0, 36.0), "width": (1.2, 2.2), "strength": (0.3, 0.6), "spread": (0.0, 0.1)},
    "heavy": {"density": (80.0, 220.0), "length": (14.0, 44.0), "width": (1.4, 3.0), "strength": (0.4, 0.8), "spread": (0.1, 0.7)},
}
_TILT = 0.5  # rad: largest mean angle from the vertical
_LAYERS = {"light": (1, 3), "heavy": (3, 6)}


def rain(
    x: Tensor,
    *,
    density: float = 60.0,
    length: float = 25.0,
    angle: float = 0.15,
    width: float = 1.5,
    strength: float = 0.5,
    spread: float = 0.06,
    layers: int = 3,
    generator: torch.Generator,
) -> tuple[Tensor, Tensor]:
    """y = x + S, S = sum over the layers of seeds * line: bright streaks added to the picture (hyper-guidance Sec. 4.2).

    density: streaks per 100x100 px. length and width (full width at half maximum): of the nearest streaks, px; those of the two
    farther layers are 0.6 and 0.35 times as long, wide and bright, and more. angle: tilt from the vertical, radians, positive
    streaks run down and right; that of each layer lies within +-spread of it, and each streak's brightness varies. strength:
    brightness of the strongest single streak. layers: 1 is the nearest distance alone; a fourth is near again, a fifth farther ...
    Returns y and the layer S (B, 1, H, W) >= 0; y is not clipped. `rain_region` says where it rains, `random_rain` draws the
    settings. Rain's mist is a `haze` of constant depth.
    """
    check_image(x)
    check_generator(generator)
    if min(density, length, strength, spread) < 0 or width <= 0 or layers < 1:
        got = f"density={density}, length={length}, width={width}, strength={strength}, spread={spread}, layers={layers}"
        fail(got, "0 or more, width above 0, layers from 1", "use for example density=60, length=25, width=1.5, strength=0.5")
    batch, _, height, columns = x.shape
    layer = x.new_zeros(batch, 1, height, columns)
    shares = [_SHARES[i % len(_SHARES)] for i in range(layers)]
    for i, share in enumerate(shares):
        depth = _DEPTHS[i % len(_DEPTHS)]
        tilt = angle + float(uniform(-spread, spread, generator=generator))
        streak = _streak(depth * length, depth * width, tilt).to(x)
        margin = streak.shape[-1] // 2  # streaks enter from outside
        canvas = (batch, 1, height + 2 * margin, columns + 2 * margin)
        hit = rand(canvas, generator=generator, like=x) < share / sum(shares) * density / 1e4
        bright = uniform(0.4, 1.0, canvas, generator=generator, like=x)
        drops = Blur(streak, "zero")(hit * bright * (depth * strength))
        layer = layer + drops[..., margin : margin + height, margin : margin + columns].clamp_min(0)  # FFT leaves -1e-9
    return x + layer, layer


def rain_region(layer: Tensor, threshold: float = REGION) -> Tensor:
    """1 where the rain layer S (B, 1, H, W) adds more than the threshold, else 0: the rain-region map (Bilevel Sec. 4.2).

    Same shape, dtype and device. The paper's data sets carry such a map and do not say how it was made.
    """
    check_image(layer, "layer", 1)
    return (layer > threshold).to(layer)


def random_rain(x: Tensor, kind: str = "light", *, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """(y, S) of `rain` with settings drawn evenly from RAIN[kind], the angle from +-0.5 rad; y clipped to [0, 1].

    kind: 'light', one to three layers of nearly one direction, or 'heavy', up to six layers whose directions differ, as in the
    data sets Rain100L and Rain100H. x (B, C, H, W): all in the same rain, with streaks of their own. ValueError for another kind.
    """
    check_image(x)
    check_generator(generator)
    check_choice(kind, tuple(RAIN), "kind")
    drawn = {name: float(uniform(*ends, generator=generator)) for name, ends in RAIN[kind].items()}
    angle = float(uniform(-_TILT, _TILT, generator=generator))
    low, high = _LAYERS[kind]
    layers = int(uniform(low, high + 1, generator=generator))
    y, layer = rain(x, **drawn, angle=angle, layers=layers, generator=generator)
    return y.clamp(0, 1), layer


def _streak(length: float, width: float, tilt: float) -> Tensor:
    """A line with a Gaussian cross-section, peak 1: (1, 1, n, n)."""
    sigma = width / 2.355  # full width at half maximum of a Gaussian
    size = 2 * ceil(length / 2 + 3 * sigma + 1) + 1
    streak = Blur(gaussian_kernel(size, sigma), "zero", method="direct")(line_kernel(size, length, pi / 2 - tilt))
    return streak / streak.max()


def haze(x: Tensor, depth: Tensor, *, beta: float | Tensor = 0.4, airlight: float | Tensor = 0.9) -> tuple[Tensor, Tensor]:
    """y = t x + (1 - t) A with transmission t = exp(-beta d) (Koschmieder's law; hyper-guidance Sec. 4.3).

    x (B, C, H, W); depth d (B or 1, 1, H, W) >= 0 in any unit; beta >= 0 in its inverse (`bundled_depth`: metres), one number or
    (B,); airlight A in [0, 1], one number or (C,). Differentiable in all. Returns y and t (B or 1, 1, H, W).
    """
    check_image(x)
    check_image(depth, "depth", channels=1)
    if depth.shape[-2:] != x.shape[-2:] or depth.shape[0] not in (1, x.shape[0]):
        fail(f"depth of {tuple(depth.shape)} for x of {tuple(x.shape)}", "(B or 1, 1, H, W)", "resize the depth map to the picture")
    beta, airlight = (torch.as_tensor(v, dtype=x.dtype, device=x.device) for v in (beta, airlight))
    if beta.numel() not in (1, x.shape[0]) or not (beta >= 0).all() or depth.min() < 0:
        fail(f"beta={beta.tolist()}, depth from {depth.min().item():.3g}", "0 or more; one beta or (B,)", "use for example beta=0.4")
    if airlight.numel() not in (1, x.shape[1]) or not ((airlight >= 0) & (airlight <= 1)).all():
        fail(f"airlight={airlight.tolist()}", f"numbers in [0, 1]: one or {x.shape[1]}", "use for example airlight=0.9")
    t = torch.exp(-beta.reshape(-1, 1, 1, 1) * depth.to(x))
    return t * x + (1 - t) * airlight.reshape(1, -1, 1, 1), t


@dataclass(frozen=True, eq=False)
class CameraPath:
    """A shaken camera's path: at time t the picture is turned by angles[t] about its centre, then moved by shifts[t]."""

    shifts: Tensor  # (B, T, 2): rows, columns; px
    angles: Tensor  # (B, T): radians
    size: tuple[int, int]

    def kernel_at(self, row: float, column: float) -> Tensor:
        """The blur kernel that acts at one pixel, (B, 1, n, n), n odd: time spent at each displacement.

        Exact everywhere if nothing turns and light is averaged linearly; `camera_shake` is then a convolution with it.
        """
        here = torch.tensor([row, column], dtype=self.shifts.dtype)
        moved = here - _source(here, self.shifts, self.angles, self.size)
        reach = ceil(moved.abs().max().item()) + 1
        return splat(moved, 2 * reach + 1)


def camera_shake(
    x: Tensor, *, extent: float = 10.0, rotation: float = 0.0, samples: int = 64, gamma: float = 1.0, generator: torch.Generator
) -> tuple[Tensor, CameraPath]:
    """y = ((1/T) sum_t warp(x, t)^gamma)^(1/gamma): mean of T copies moved along a smooth random path.

    extent: largest distance between two points of the path, px. rotation: range of the angle, radians; turning makes the blur
    differ from place to place. gamma: 1 averages pixel values (a convolution if nothing turns), 2.2 approximates light on a
    sensor. Copies are interpolated linearly, the border is repeated. x (B, C, H, W), one path a picture; the mean displacement is
    0. Returns y and the `CameraPath`, whose kernel_at(row, column) is the local blur kernel. Differentiable in x.
    """
    check_image(x)
    check_generator(generator)
    if min(extent, rotation) < 0 or samples < 2 or gamma <= 0:
        got = f"extent={extent}, rotation={rotation}, samples={samples}, gamma={gamma}"
        fail(got, "extent and rotation from 0, samples from 2, gamma above 0", "use for example extent=10, samples=64, gamma=1")
    batch, _, height, width = x.shape
    shifts = _smooth_path(batch, samples, 2, generator)
    shifts = shifts * (extent / torch.cdist(shifts, shifts).amax((1, 2)).view(-1, 1, 1))
    angles = _smooth_path(batch, samples, 1, generator)[..., 0]
    angles = angles * (rotation / (angles.amax(1) - angles.amin(1)))[:, None]
    path = CameraPath(shifts, angles, (height, width))
    grid = torch.stack(torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij"), -1).double()
    light = x if gamma == 1 else x.clamp_min(0) ** gamma
    total = torch.zeros_like(x)
    for t in range(samples):
        source = torch.stack([_source(grid, shifts[b, t], angles[b, t], path.size) for b in range(batch)])
        scaled = (2 * source + 1) / torch.tensor([height, width]) - 1  # grid_sample's coordinates, x before y
        total = total + F.grid_sample(light, scaled.flip(-1).to(x), padding_mode="border", align_corners=False)
    mean = total / samples
    return mean if gamma == 1 else mean ** (1 / gamma), path


def _smooth_path(batch: int, samples: int, dims: int, generator: torch.Generator) -> Tensor:
    """Random sums of four slow oscillations over t in [0, 1], of mean 0: (batch, samples, dims), float64."""
    order = torch.arange(1, 5, dtype=torch.float64)
    like = order
    amplitude = uniform(-1, 1, (batch, dims, 4), generator=generator, like=like) / order**1.5
    phase = uniform(0, 2 * pi, (batch, dims, 4), generator=generator, like=like)
    t = torch.linspace(0, 1, samples, dtype=torch.float64)
    waves = torch.cos(pi * order[:, None] * t + phase[..., None])  # (batch, dims, 4, samples)
    path = (amplitude[..., None] * waves).sum(2).transpose(1, 2)
    return path - path.mean(1, keepdim=True)


def _source(at: Tensor, shifts: Tensor, angles: Tensor, size: tuple[int, int]) -> Tensor:
    """Where the light at pixels `at` (..., 2) came from: the inverse of turning by `angles` and moving by `shifts`."""
    centre = torch.tensor([(size[0] - 1) / 2, (size[1] - 1) / 2], dtype=at.dtype)
    row, column = (at - shifts - centre).unbind(-1)
    cos, sin = angles.cos(), angles.sin()
    return torch.stack([cos * row - sin * column, sin * row + cos * column], -1) + centre
