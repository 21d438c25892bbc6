"""Pictures: the reader's own, those that come with scikit-image, dataset folders, patches and splits.

A picture is (1, C, H, W), float32 in [0, 1], C = 1 (gray) or 3 (RGB). Pixel values are taken as stored: no gamma, no color profile.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, overload

import numpy as np
import torch
from torch import Tensor

from . import registry
from ._bundled import BUNDLED, Bundled, bundled, bundled_depth, bundled_names
from ._check import check_image, fail
from ._imagefile import MIN_SIDE, SUFFIXES, load_image, save_image

__all__ = [
    "BUNDLED",
    "MIN_SIDE",
    "SUFFIXES",
    "Bundled",
    "Dataset",
    "Picture",
    "bundled",
    "bundled_depth",
    "bundled_names",
    "dataset",
    "load_image",
    "patches",
    "save_image",
    "split",
]


@dataclass(frozen=True)
class Picture:
    """A picture of a dataset: its name (file name without suffix) and path; read when asked."""

    name: str
    path: Path

    def load(self, *, gray: bool = False) -> Tensor:
        """The picture as `load_image` returns it."""
        return load_image(self.path, gray=gray)


class Dataset(Sequence[Picture]):
    """Named pictures in one folder, sorted by name; `d[0]`, `d["baby"]`, `d[:3]`, `d.names`. Nothing is decoded before `.load()`."""

    def __init__(self, name: str, pictures: Sequence[Picture]) -> None:
        self.name, self.pictures = name, tuple(pictures)
        self.names = tuple(p.name for p in self.pictures)

    def __len__(self) -> int:
        return len(self.pictures)

    @overload
    def __getitem__(self, index: int | str) -> Picture: ...
    @overload
    def __getitem__(self, index: slice) -> Dataset: ...
    def __getitem__(self, index: Any) -> Picture | Dataset:
        if isinstance(index, slice):
            return Dataset(self.name, self.pictures[index])
        if isinstance(index, str):
            if index not in self.names:
                fail(f"the picture {index!r} of {self.name}", ", ".join(self.names[:20]), "choose one of these", KeyError)
            return self.pictures[self.names.index(index)]
        return self.pictures[index]

    def __repr__(self) -> str:
        return f"Dataset({self.name!r}, {len(self)} pictures)"


def dataset(name: str | os.PathLike[str]) -> Dataset:
    """The pictures of a folder: `name` below the folder that the variable RESTOREKIT_DATA names, itself a path, or a standard set
    under another of its names or downloaded by `python -m restorekit data get` (see `restorekit.registry`).

    Subfolders are not entered ("levin/gt" names one). Raises FileNotFoundError for a missing folder (and says whether
    RESTOREKIT_DATA is set, or how to get the set) and for a download that is not complete, ValueError for a folder without
    pictures or with two files of one name.
    """
    root = os.environ.get("RESTOREKIT_DATA")
    tried = ([Path(root) / name] if root else []) + [Path(name).expanduser()]
    first, *inner_folders = Path(name).parts or ("",)
    if not any(f.is_dir() for f in tried) and registry.known(first):
        tried = [registry.found(first).joinpath(*inner_folders)]
    folder = next((f for f in tried if f.is_dir()), None)
    if folder is None:
        fix = "check the name" if root else "set RESTOREKIT_DATA to the folder that holds your datasets, or give a path"
        fail(f"the dataset {str(name)!r}, found neither as " + " nor ".join(map(str, tried)), "an existing folder", fix, FileNotFoundError)
        raise AssertionError
    files = sorted((f for f in folder.iterdir() if f.suffix.lower() in SUFFIXES and not f.name.startswith(".")), key=lambda f: f.stem)
    names = [f.stem for f in files]
    twice = sorted({n for n in names if names.count(n) > 1})
    if not files or twice:
        got = f"{folder} with two files named {twice[0]!r}" if twice else f"{folder} without a picture"
        inner = ", ".join(sorted(f"{name}/{f.name}" for f in folder.iterdir() if f.is_dir()))
        fix = f"name a folder inside it: {inner}" if inner else "put the pictures directly into it"
        fail(got, f"a folder of pictures ({', '.join(SUFFIXES)}), each name once", fix)
    return Dataset(str(name), [Picture(f.stem, f) for f in files])


def patches(x: Tensor, size: int, stride: int | None = None) -> Tensor:
    """All size x size windows of x at multiples of `stride` (default: size), row by row: (B, C, H, W) -> (N, C, size, size).

    N = B (floor((H - size)/stride) + 1)(floor((W - size)/stride) + 1); what does not fill a window is left out.
    """
    check_image(x)
    stride = size if stride is None else stride
    if not 1 <= size <= min(x.shape[-2:]) or stride < 1:
        fail(f"size={size}, stride={stride}", f"size 1 to {min(x.shape[-2:])}, stride from 1", "choose smaller patches")
    windows = x.unfold(2, size, stride).unfold(3, size, stride)
    return windows.permute(0, 2, 3, 1, 4, 5).reshape(-1, x.shape[1], size, size)


def split(names: Sequence[str], fractions: Sequence[float], *, generator: torch.Generator | None = None) -> tuple[tuple[str, ...], ...]:
    """Disjoint parts of `names` whose sizes are `fractions` (sum 1, each count rounded), each part sorted.

    Without a generator the order is that of the names' SHA-256: the same on every machine and whatever the order given.
    With one, a permutation drawn from it. Raises ValueError for repeated names or fractions that are no partition.
    """
    if len(set(names)) != len(names):
        fail("repeated names", "each name once", "remove duplicates, or the parts would overlap")
    if not fractions or min(fractions) < 0 or abs(sum(fractions) - 1) > 1e-9:
        fail(f"fractions={tuple(fractions)}", "non-negative numbers that sum to 1", "for example (0.8, 0.1, 0.1)")
    order = sorted(names, key=lambda n: hashlib.sha256(n.encode()).digest())
    if generator is not None:
        order = [order[i] for i in torch.randperm(len(order), generator=generator, device=generator.device).tolist()]
    ends = np.round(np.cumsum([0.0, *fractions]) * len(order)).astype(int)
    return tuple(tuple(sorted(order[a:b])) for a, b in pairwise(ends))
