"""What the tables on hyper-guidance share: pictures and kernels that no net was trained on, observations, nets by name. Not a table.

    y = x * k + sigma n, circular, not rounded

x: the middle of a gray picture, at most 256 x 256. k: six kernels of Levin et al. 2009 and the ten of USRNet that are not among them,
four to eight with pictures each; picture i has kernel i. Scores without rounding, no border. Size smoke: a bundled picture and
kernels made here.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...degradations import gaussian_noise, noise_map
from ...images import bundled, dataset
from ...kernels import gaussian_kernel, line_kernel
from ...metrics import psnr
from ...nets.guided import GuidedRestorer, load_guided
from ...nets.proxy import ProxyNet
from ...operators import Blur
from ...weights import shipped
from .. import Value, data_folder
from ._and import seeded
from ._mlmc import margin

SIDE = 256
LEVELS = {"0.6%": 0.006, "1%": 0.01, "3%": 0.03, "5%": 0.05, "6%": 0.06, "7%": 0.07}
QUADRANTS = "quadrants"  # 1, 2.33, 3.67 and 5%
SEEN = ("1%", "3%", "5%")  # within what training had
SEEDS = (0, 1)
SET12 = tuple(f"{i:02d}" for i in range(1, 13))
BSD68 = tuple(f"test{i:03d}" for i in (1, 6, 10, 15, 19, 24, 28, 33, 37, 42, 46, 51))
PICTURES = {"smoke": [("bundled", "camera")], "quick": [("set12", n) for n in SET12] + [("bsd68", n) for n in BSD68]}


@lru_cache(maxsize=32)
def picture(source: str, name: str, side: int = SIDE) -> Tensor:
    """The middle of a gray picture, (1, 1, h, w), h and w at most `side`."""
    x = bundled(name, gray=True, size=side) if source == "bundled" else dataset(source)[name].load()
    height, width = (min(side, n) for n in x.shape[-2:])
    top, left = (x.shape[-2] - height) // 2, (x.shape[-1] - width) // 2
    return x[..., top : top + height, left : left + width].contiguous()


@lru_cache(maxsize=1)
def held_back_kernels() -> list[Tensor]:
    """Levin's six, then eight Gaussians and two camera paths of USRNet's; none was trained on."""
    root = Path(os.environ.get("RESTOREKIT_DATA", ""))
    with np.load(root / "levin" / "convolution_kernels.npz") as file:
        found = [file[name] for name in sorted(file.files)]
    with np.load(root / "kernels" / "usrnet_12.npz") as file:
        found += [file["kernels"][i] for i in (0, 1, 2, 3, 4, 5, 6, 7, 10, 11)]  # 8 and 9 are Levin's 8 and 7
    return [torch.from_numpy(k / k.sum()).float()[None, None] for k in found]


def kernel_of(source: str, name: str) -> Tensor:
    """The kernel of a picture."""
    if source == "bundled":
        return gaussian_kernel(9, (1.8, 0.9), 0.5) if name == "camera" else line_kernel(9, 6.0, 0.7)
    kernels = held_back_kernels()
    return kernels[PICTURES["quick"].index((source, name)) % len(kernels)]


def level_of(name: str, like: Tensor) -> Tensor:
    """The noise level of that name as a map (1, 1, h, w)."""
    if name == QUADRANTS:
        return noise_map((like.shape[-2], like.shape[-1]), "quadrants", low=0.01, high=0.05).to(like)
    return torch.full_like(like[:1, :1], LEVELS[name])


def observe(source: str, name: str, level: str, side: int = SIDE) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """x, y, k and the true map: the same for every method."""
    x, k = picture(source, name, side), kernel_of(source, name)
    sigma = level_of(level, x)
    return x, gaussian_noise(Blur(k)(x), sigma, generator=seeded(source, name, level)), k, sigma


def weights_file(name: str, seed: int) -> Path:
    """Seed 0 is what ships; others lie where `weights train NAME --seed S --out results/weights/seedS` puts them."""
    return (
        shipped(name) if seed == 0 else data_folder("weights").parent.parent / "results" / "weights" / f"seed{seed}" / f"{name}.safetensors"
    )


def weights_digest(name: str, seed: int) -> str:
    """What names a net's weights in a cell, so that no result outlives them; "" where there are none."""
    try:
        return hashlib.sha256(weights_file(name, seed).read_bytes()).hexdigest()[:8]
    except FileNotFoundError:
        return ""


@lru_cache(maxsize=8)
def nets(name: str, seed: int) -> tuple[GuidedRestorer, ProxyNet | None]:
    """The trained net of that name and seed, and its proxy."""
    return load_guided(path=weights_file(name, seed))


def score(x: Tensor, ref: Tensor) -> float:
    """PSNR in dB without rounding or border."""
    return psnr(x, ref, luma=False, quantize=False).item()


def gap(rows: Sequence[Mapping[str, Any]], better: tuple[str, str], worse: tuple[str, str], *, above: float = 0.0) -> Value | None:
    """By how much more than `above` dB the first (method, column) is over the second: mean over pictures, spread over seeds.

    A method without a net has seed 0 alone and is compared with every seed. None if no picture has both.
    """
    (first, column), (second, other) = better, worse
    of = {(r["dataset"], r["image"], r["seed"]): r[other] for r in rows if r["method"] == second}
    fixed = {key[:2]: value for key, value in of.items()} if {key[2] for key in of} == {0} else {}

    def difference(row: Mapping[str, Any]) -> float | None:
        key = (row["dataset"], row["image"], row["seed"])
        theirs = of.get(key, fixed.get(key[:2]))
        return None if theirs is None else float(row[column]) - float(theirs) - above

    return margin([r for r in rows if r["method"] == first], difference)
