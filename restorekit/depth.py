"""Depth maps that are MADE for pictures whose depth nobody measured: a plane, and segments that stand on it."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ._check import check_generator, check_image, fail
from ._random import randn


def plane_depth(height: int, width: int, *, near: float = 2.0, far: float = 12.0) -> Tensor:
    """1/d linear in the row, from 1/far at the top to 1/near at the bottom: the ground before a level camera. (1, 1, H, W), METRES."""
    if not 0 < near <= far:
        fail(f"near={near}, far={far}", "0 < near <= far", "near=2, far=12")
    inverse = torch.linspace(1 / far, 1 / near, height)
    return (1 / inverse).view(1, 1, -1, 1).expand(1, 1, height, width).contiguous()


def made_depth(
    x: Tensor,
    *,
    near: float = 2.0,
    far: float = 12.0,
    segments: int = 60,
    jitter: float = 0.25,
    reduce: int = 1,
    generator: torch.Generator,
) -> Tensor:
    """A depth map that fits the picture's edges and is otherwise MADE, not measured: (B, 1, H, W), positive, in "metres".

    d = plane exp(jitter n), plane and n one number a segment: the picture is cut in about `segments` pieces of similar color (SLIC,
    Achanta et al. 2012, of scikit-image); each takes the mean of `plane_depth` over its pixels and stands a little nearer or farther,
    n standard normal. Use it to make haze whose depth is known exactly; no conclusion about real scenes follows. jitter 0: only the
    plane in steps. reduce: segments are found on the picture reduced by this factor. x (B, C, H, W) in [0, 1].
    """
    check_image(x)
    check_generator(generator)
    if segments < 1 or jitter < 0 or reduce < 1:
        fail(f"segments={segments}, jitter={jitter}, reduce={reduce}", "1 or more, jitter 0 or more", "keep the defaults")
    H, W = x.shape[-2:]
    plane = plane_depth(H, W, near=near, far=far).flatten()
    maps = []
    for picture in x.detach().cpu().split(1):
        of = _segments(F.avg_pool2d(picture, reduce, ceil_mode=True), segments)
        of = F.interpolate(of[None, None].float(), scale_factor=reduce)[0, 0, :H, :W].long().flatten()
        count = int(of.max()) + 1
        size = torch.zeros(count).index_add_(0, of, torch.ones_like(plane)).clamp_min(1)
        mean = torch.zeros(count).index_add_(0, of, plane) / size
        maps.append((mean * torch.exp(jitter * randn((count,), generator=generator)))[of].view(1, 1, H, W))
    return torch.cat(maps).to(x)


def _segments(picture: Tensor, count: int) -> Tensor:
    """Number of the segment at each pixel (H, W)."""
    from skimage.segmentation import slic  # loads a good part of scipy

    pixels = picture[0].permute(1, 2, 0).double().numpy()
    gray = pixels.shape[2] == 1
    found = slic(
        pixels[..., 0] if gray else pixels, count, compactness=0.1 if gray else 10.0, channel_axis=None if gray else -1, start_label=0
    )
    return torch.from_numpy(found)
