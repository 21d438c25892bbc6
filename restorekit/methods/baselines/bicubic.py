"""Cubic convolution (Keys 1981) on any grid: the baseline of super-resolution, with its alignment explicit."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ..._check import check_image, check_scale, fail
from ...kernels import align_centroid

_A = -0.75  # torch's parameter for upsampling; sharper, and the stronger baseline, than Keys' -0.5


def bicubic(y: Tensor, scale: int, *, align: str | tuple[float, float] = "resize", size: tuple[int, int] | None = None) -> Tensor:
    """x[p] = sum_j y[j] h((p + m)/s - j) along each axis, h Keys' cubic with a = -0.75, border pixels repeated.

    y (B, C, h, w) -> (B, C, H, W), by default (s h, s w); size=(H, W) cuts where a size was not divisible by the scale.
    align: the grid of the result, by the centroid m of the blur that made y: low-resolution pixel i lies at s i - m.
    'resize' (m = -(s-1)/2) equals torch's interpolate(mode="bicubic", align_corners=False); 'phase0' is m = 0; or
    (my, mx) in high-resolution pixels. Raises ValueError for other alignments, scales or sizes.
    """
    check_image(y, "y")
    s = check_scale(scale)
    m = align_centroid(align, s)  # type: ignore[arg-type]
    h, w = y.shape[-2:]
    H, W = size or (s * h, s * w)
    if (-(-H // s), -(-W // s)) != (h, w):
        fail(
            f"size={size} for y of {h}x{w} at scale {s}",
            f"{s * h - s + 1} to {s * h} rows, {s * w - s + 1} to {s * w} columns",
            "leave size out for the largest",
        )
    return _resample(_resample(y, -2, H, s, m[0]), -1, W, s, m[1])


def bicubic_downsample(x: Tensor, scale: int) -> Tensor:
    """y = x resized by 1/s with the antialiased cubic, a = -0.5 (Keys 1981; the field's 'bicubic degradation').

    x (B, C, H, W), H and W divisible by the scale. The result lies on the grid of resizing (align='resize').
    """
    check_image(x)
    s = check_scale(scale)
    H, W = x.shape[-2:]
    if H % s or W % s:
        fail(f"a picture of {H}x{W} at scale {s}", "sizes divisible by the scale", f"crop it: x[..., :{H - H % s}, :{W - W % s}]")
    return F.interpolate(x, size=(H // s, W // s), mode="bicubic", align_corners=False, antialias=True)


def _resample(y: Tensor, axis: int, n: int, scale: int, m: float) -> Tensor:
    """Cubic convolution along one axis at the positions (p + m)/s, p = 0 .. n-1."""
    position = (torch.arange(n, dtype=torch.float64, device="cpu") + m) / scale
    first = position.floor()
    fraction, last = position - first, y.shape[axis] - 1
    out = torch.zeros((), dtype=y.dtype, device=y.device)
    for tap in (-1, 0, 1, 2):
        index = (first.long() + tap).clamp(0, last).to(y.device)
        weight = _keys(fraction - tap).to(y)
        out = out + y.index_select(axis, index) * (weight[:, None] if axis == -2 else weight)
    return out


def _keys(d: Tensor, a: float = _A) -> Tensor:
    """Keys' kernel h(d), |d| <= 2."""
    d = d.abs()
    near = ((a + 2) * d - (a + 3)) * d**2 + 1
    far = a * (((d - 5) * d + 8) * d - 4)
    return torch.where(d <= 1, near, torch.where(d < 2, far, torch.zeros_like(d)))
