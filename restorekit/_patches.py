"""Patches for training: random crops of pictures, turned and mirrored."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ._check import fail


def random_patches(pixels: Sequence[Tensor], count: int, size: int, *, generator: torch.Generator) -> Tensor:
    """Crops of the pictures `pixels`, each (C, H, W) of uint8: (count, C, size, size) float32 in [0, 1].

    A picture is chosen evenly, then a place in it, then one of the eight turned and mirrored views. One crop takes four numbers
    of the generator. Raises ValueError without pictures or for one smaller than the crop.
    """
    smallest = min((min(x.shape[1:]) for x in pixels), default=0)
    if not 1 <= size <= smallest:
        fail(f"crops of {size} from pictures with a side of {smallest}", f"1 to {smallest}", "choose larger pictures or smaller crops")
    out = []
    for u in torch.rand(count, 4, generator=generator).tolist():
        x = pixels[int(u[0] * len(pixels))]
        top, left = int(u[1] * (x.shape[1] - size + 1)), int(u[2] * (x.shape[2] - size + 1))
        turns, mirror = divmod(int(u[3] * 8), 2)
        patch = torch.rot90(x[:, top : top + size, left : left + size], turns, (1, 2))
        out.append(patch.flip(2) if mirror else patch)
    return torch.stack(out).float() / 255
