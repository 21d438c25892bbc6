"""Blurred pictures with their sharp ones, in folders as GoPro and RealBlur have them, for readers who own these sets."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from ._check import fail
from .images import SUFFIXES, Picture

SHARP = ("sharp", "gt")  # GoPro, RealBlur


@dataclass(frozen=True)
class Pair:
    """Two pictures of one scene; `name` is the folder below the root and the number, for example "GOPR0384_11_00/000001"."""

    name: str
    blurred: Picture
    sharp: Picture

    def load(self, *, gray: bool = False) -> tuple[Tensor, Tensor]:
        """y and x, each (1, C, H, W) in [0, 1]."""
        return self.blurred.load(gray=gray), self.sharp.load(gray=gray)


def deblurring_pairs(root: str | os.PathLike[str], *, blurred: str = "blur") -> tuple[Pair, ...]:
    """All pairs below `root` (or RESTOREKIT_DATA/root), sorted by name; nothing is decoded before `.load()`.

    Scene folders have a folder `blurred` ('blur'; GoPro's other version: 'blur_gamma') and one of 'sharp' (GoPro) or 'gt' (RealBlur);
    files belong together if their names agree without the prefixes 'blur_' and 'gt_'. For flat folders: `dataset` of each. Raises
    FileNotFoundError for a missing root, ValueError if it has no pair or a picture without partner.
    """
    base = next((p for p in (Path(os.environ.get("RESTOREKIT_DATA", ".")) / root, Path(root).expanduser()) if p.is_dir()), None)
    if base is None:
        fail(
            f"the folder {str(root)!r}, which does not exist",
            "the folder with the scenes",
            "GoPro: .../GOPRO_Large/test",
            FileNotFoundError,
        )
        raise AssertionError
    pairs = [pair for folder in sorted(base.rglob(blurred)) if folder.is_dir() for pair in _scene(base, folder)]
    if not pairs:
        fail(f"{base} without a folder {blurred!r} beside one of {SHARP}", "scenes with both", "name the folder above the scenes")
    return tuple(pairs)


def _scene(base: Path, folder: Path) -> Iterator[Pair]:
    partner = next((folder.parent / name for name in SHARP if (folder.parent / name).is_dir()), None)
    if partner is None:
        return
    blurred, sharp = (_by_number(f) for f in (folder, partner))
    if lonely := sorted(blurred.keys() ^ sharp.keys()):
        fail(f"{folder.parent} with {lonely[0]} in one folder only", "each picture in both", "copy the scene again")
    scene = folder.parent.relative_to(base).as_posix()
    for number in sorted(blurred):
        yield Pair(f"{scene}/{number}".removeprefix("./"), Picture(number, blurred[number]), Picture(number, sharp[number]))


def _by_number(folder: Path) -> dict[str, Path]:
    files = [f for f in folder.iterdir() if f.suffix.lower() in SUFFIXES and not f.name.startswith(".")]
    return {f.stem.removeprefix("blur_").removeprefix("gt_"): f for f in files}
