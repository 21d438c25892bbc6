"""Test pictures for motion deblurring, made like GoPro's: means of the light along a camera's path, with the middle frame as truth."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ._check import check_generator, check_image, fail
from ._random import randn
from .weather import CameraPath

BRIGHT = 0.9  # above this a pixel may have been clipped by the sensor
_ORDERS = 3  # velocity, acceleration and its change, each a third of the one before


def shaken_pair(
    x: Tensor,
    *,
    extent: float = 10.0,
    rotation: float = 0.0,
    samples: int = 41,
    gamma: float = 1.0,
    boost: float = 1.0,
    sigma: float = 0.0,
    margin: int = 16,
    round8: bool = True,
    generator: torch.Generator,
) -> tuple[Tensor, Tensor, CameraPath]:
    """y = round(min(1, mean_t warp_t(h(x^gamma)))^(1/gamma) + sigma n), and x, both without a border of `margin` pixels.

    A camera exposed along a short smooth path, the same for all pictures of the batch: a cubic in t, scaled so that two of its points are
    `extent` px apart and its angle spans `rotation` radians, which makes the blur vary over the picture. x is the frame at half
    time, as in GoPro, whose nets restore that one; `camera_shake` has the mean position instead, off by a few pixels.
    gamma 2.2 averages light as a sensor does; 1 averages pixel values, so that without rotation y is a convolution. boost > 1: pixels above
    BRIGHT stand for highlights up to `boost` times as bright as white, h(l) = l (1 + (boost - 1) s), s rising from 0 at BRIGHT
    to 1 at white; they leave clipped streaks. sigma: std of Gaussian noise; round8: clipped and rounded to 8 bit. x (B, C, H, W) in
    [0, 1]. Returns y, x and the path; its kernel_at(row, column) counts before the crop. ValueError for bad settings.
    """
    check_image(x)
    check_generator(generator)
    height, width = x.shape[-2:]
    if min(extent, rotation, sigma) < 0 or boost < 1 or samples < 3 or samples % 2 == 0 or not 0 <= 2 * margin < min(height, width):
        got = f"extent={extent}, rotation={rotation}, sigma={sigma}, boost={boost}, samples={samples}, margin={margin}"
        fail(got, "0 or more; boost from 1, samples odd from 3, margin below half of each side", "extent=10, samples=41, margin=16")
    path = smooth_path((height, width), extent=extent, rotation=rotation, samples=samples, generator=generator)
    edge = BRIGHT**gamma
    light = x.clamp(0, 1) ** gamma
    light = light * (1 + (boost - 1) * ((light - edge) / (1 - edge)).clamp_min(0))
    mean = torch.zeros_like(light)
    for t in range(samples):
        mean = mean + _warp(light, path, t) / samples
    y = mean.clamp(0, 1) ** (1 / gamma)
    if sigma:
        y = y + sigma * randn(y.shape, generator=generator, like=y)
    if round8:
        y = (y.clamp(0, 1) * 255).round() / 255
    inside = (..., slice(margin, height - margin), slice(margin, width - margin))
    return y[inside], x[inside], path


def smooth_path(
    size: tuple[int, int], *, extent: float, rotation: float = 0.0, samples: int = 41, generator: torch.Generator
) -> CameraPath:
    """sum_j c_j t^j for t in [-1, 1], j = 1 to 3, c_j normal with std 3^-j: still at t = 0, the middle of the exposure."""
    t = torch.linspace(-1, 1, samples, dtype=torch.float64)
    powers = torch.stack([t**j / 3**j for j in range(1, _ORDERS + 1)])
    path = (randn((3, _ORDERS), generator=generator).double() @ powers).T  # rows, columns, angle
    shifts, angles = path[:, :2], path[:, 2]
    shifts = shifts * (extent / torch.cdist(shifts, shifts).max())
    angles = angles * (rotation / (angles.max() - angles.min()))
    return CameraPath(shifts[None], angles[None], size)


def _warp(x: Tensor, path: CameraPath, t: int) -> Tensor:
    """x turned by angles[t] about its center, then moved by shifts[t]; interpolated linearly, the border repeated."""
    height, width = x.shape[-2:]
    rows, columns = (torch.arange(n, dtype=torch.float64) - (n - 1) / 2 for n in (height, width))
    row, column = rows[:, None] - path.shifts[0, t, 0], columns - path.shifts[0, t, 1]
    cos, sin = path.angles[0, t].cos(), path.angles[0, t].sin()
    source = torch.stack([(cos * column + sin * row) * 2 / width, (cos * row - sin * column) * 2 / height], -1)
    return F.grid_sample(x, source.to(x).expand(x.shape[0], -1, -1, -1), padding_mode="border", align_corners=False)
