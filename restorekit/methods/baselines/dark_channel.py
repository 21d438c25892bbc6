"""The dark channel prior (He, Sun and Tang 2011): haze removed from one picture without training."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ..._check import check_image, check_like, fail

BRIGHTEST = 0.001  # share of the pixels, by dark channel, whose colors give the airlight


class Dehazed(NamedTuple):
    """x (B, C, H, W), not clipped; transmission t (B, 1, H, W); airlight A (B, C, 1, 1)."""

    x: Tensor
    t: Tensor
    airlight: Tensor


def dark_channel(
    y: Tensor,
    *,
    patch: int = 15,
    omega: float = 0.95,
    floor: float = 0.1,
    radius: int = 30,
    eps: float = 1e-3,
    airlight: float | Tensor | None = None,
) -> Dehazed:
    """x = (y - A) / max(t, floor) + A,  t = 1 - omega dark(y / A):  y = t x + (1 - t) A with dark(x) = 0.

    dark(x) = `darkest`(x, patch): nearly 0 in pictures without haze but for sky and white things, where it fails. A: mean color of
    the 0.1% of pixels with the largest dark channel, unless given (a number, (C,), or (B, C, 1, 1)). The blocks of t are fitted to
    the edges of the gray picture by `guided_filter` with `radius` and `eps` (radius 0: not), in place of the paper's matting.
    y (B, C, H, W) in [0, 1]; omega below 1 keeps a little haze. ValueError for patch even or below 1, omega or floor outside (0, 1].
    """
    check_image(y, "y")
    if patch < 1 or patch % 2 == 0 or not (0 < omega <= 1 and 0 < floor <= 1) or radius < 0 or eps <= 0:
        got = f"patch={patch}, omega={omega}, floor={floor}, radius={radius}, eps={eps}"
        fail(got, "patch odd, omega and floor in (0, 1], radius from 0, eps above 0", "keep the defaults")
    A = _airlight(y, patch) if airlight is None else _given(airlight, y)
    t = 1 - omega * darkest(y / A.clamp_min(1e-3), patch)
    if radius:
        t = guided_filter(t, y.mean(1, keepdim=True), radius, eps)
    return Dehazed((y - A) / t.clamp(floor, 1) + A, t, A)


def darkest(x: Tensor, patch: int = 15) -> Tensor:
    """dark(x) at i = min over the channels and the pixels of a square window around i: (B, 1, H, W)."""
    lowest = check_image(x).amin(1, keepdim=True)
    return -F.max_pool2d(-lowest, patch, 1, patch // 2)  # what lies outside does not count


def guided_filter(p: Tensor, guide: Tensor, radius: int, eps: float) -> Tensor:
    """q = mean(a) I + mean(b), (a, b) the line in each window that fits p to the guide I, ridge eps on a (He et al. 2013).

    p, guide (B, 1, H, W). Windows have 2 radius + 1 pixels a side and end at the border. With p = I and eps to 0: q = I.
    """
    check_like(check_image(p, "p", 1), check_image(guide, "guide", 1), "p", "guide")

    def mean(v: Tensor) -> Tensor:
        """Over rows, then over columns; pixels outside do not count."""
        across = F.avg_pool2d(v, (1, 2 * radius + 1), 1, (0, radius), count_include_pad=False)
        return F.avg_pool2d(across, (2 * radius + 1, 1), 1, (radius, 0), count_include_pad=False)

    if radius >= min(p.shape[-2:]):
        fail(f"radius={radius} for {p.shape[-2]}x{p.shape[-1]}", f"at most {min(p.shape[-2:]) - 1}", "a smaller radius")
    m_i, m_p = mean(guide), mean(p)
    a = (mean(guide * p) - m_i * m_p) / (mean(guide * guide) - m_i * m_i + eps)
    return mean(a) * guide + mean(m_p - a * m_i)


def _airlight(y: Tensor, patch: int) -> Tensor:
    dark, colors = darkest(y, patch).flatten(1), y.flatten(2)
    top = dark.topk(max(1, round(BRIGHTEST * dark.shape[1])), 1).indices
    return colors.gather(2, top[:, None].expand(-1, y.shape[1], -1)).mean(2)[..., None, None]


def _given(airlight: float | Tensor, y: Tensor) -> Tensor:
    A = torch.as_tensor(airlight, dtype=y.dtype, device=y.device)
    A = A if A.ndim == 4 else A.reshape(1, -1, 1, 1)
    if A.shape[1] not in (1, y.shape[1]) or A.shape[0] not in (1, y.shape[0]) or not ((A > 0) & (A <= 1)).all():
        fail(f"airlight of shape {tuple(A.shape)}", "numbers in (0, 1]: one, (C,) or (B, C, 1, 1)", "use for example airlight=0.9")
    return A
