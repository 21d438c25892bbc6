"""Pictures that come inside the scikit-image package: `restorekit.images.bundled` and `bundled_depth`."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ._check import fail
from ._imagefile import MIN_SIDE, load_image


@dataclass(frozen=True)
class Bundled:
    """A picture inside the scikit-image package: its file, what it shows, its terms as scikit-image states them."""

    file: str
    shows: str
    licence: str


BUNDLED = {
    "astronaut": Bundled("astronaut.png", "portrait of Eileen Collins, RGB 512x512", "public domain (NASA)"),
    "brick": Bundled("brick.png", "brick wall, gray 512x512", "CC0 (CC0Textures)"),
    "camera": Bundled("camera.png", "photographer with a camera, gray 512x512", "CC0 (Lav Varshney)"),
    "cat": Bundled("chelsea.png", "Chelsea the cat, RGB 300x451", "CC0 (Stefan van der Walt)"),
    "clock": Bundled("clock_motion.png", "wall clock, blurred by a moving camera, gray 300x400", "public domain (Stefan van der Walt)"),
    "coffee": Bundled("coffee.png", "cup of coffee, RGB 400x600", "CC0 (Rachel Michetti)"),
    "coins": Bundled("coins.png", "Greek coins, gray 303x384", "no known restrictions (Brooklyn Museum)"),
    "grass": Bundled("grass.png", "grass, gray 512x512", "CC0 (linolafett)"),
    "gravel": Bundled("gravel.png", "gravel, gray 512x512", "CC0 (CC0Textures)"),
    "hubble": Bundled("hubble_deep_field.jpg", "Hubble extreme deep field, RGB 872x1000", "public domain (NASA)"),
    "ihc": Bundled("ihc.png", "stained tissue under the microscope, RGB 512x512", "no known restrictions (CMMI)"),
    "moon": Bundled("moon.png", "surface of the moon, gray 512x512", "not stated"),
    "motorcycle": Bundled(
        "motorcycle_left.png", "motorcycle, left view of a stereo pair, RGB 500x741", "not stated (Middlebury stereo 2014)"
    ),
    "page": Bundled("page.png", "page of print under uneven light, gray 191x384", "not stated"),
    "retina": Bundled("retina.jpg", "human retina, RGB 1411x1411", "CC0 (Mikael Haggstrom)"),
    "rocket": Bundled("rocket.jpg", "start of a Falcon 9, RGB 427x640", "public domain (SpaceX)"),
    "text": Bundled("text.png", "photographed lines of text, gray 172x448", "public domain"),
}


def bundled_names() -> tuple[str, ...]:
    """Names for `bundled`, sorted. `BUNDLED[name]` says what each shows and its licence."""
    return tuple(sorted(BUNDLED))


def bundled(name: str = "cat", *, gray: bool = False, size: int | tuple[int, int] | None = None) -> Tensor:
    """A picture that scikit-image carries in its package, read without any network: (1, C, H, W), float32 in [0, 1].

    size: a side or (height, width), at most the picture's: the largest centred crop of that shape, reduced by antialiased
    bicubic interpolation (a = -1/2), clipped and rounded to 8 bit, as a picture from a file would be.
    Raises ValueError for an unknown name or a size that would enlarge.
    """
    if name not in BUNDLED:
        fail(f"the picture name {name!r}", ", ".join(bundled_names()), "choose one of these, or load_image for a file of yours")
    x = load_image(_skimage_file(BUNDLED[name].file), gray=gray)
    return x if size is None else (_reduce(x, size, "bicubic").clamp(0, 1) * 255).round() / 255


def bundled_depth(*, size: int | tuple[int, int] | None = None) -> tuple[Tensor, Tensor]:
    """Picture and depth Z = f b / (d + d0), in METRES, of the bundled Middlebury stereo pair's left view.

    Disparity d is measured, the camera's f = 994.978 px, b = 0.193001 m, d0 = 31.086 px are those that scikit-image prints.
    Where no disparity was measured (mostly background hidden from the right camera) the farther of the nearest measured
    neighbours in the same row is taken, as background continues behind an object.
    Returns (1, 3, 500, 741) and (1, 1, 500, 741), float32; `size` as in `bundled` (depth by antialiased linear interpolation).
    """
    with np.load(_skimage_file("motorcycle_disp.npz")) as archive:
        disparity = archive[archive.files[0]].astype(np.float64)
    depth = torch.from_numpy(994.978 * 0.193001 / (_fill_rows(disparity) + 31.086)).float()[None, None]
    return bundled("motorcycle", size=size), depth if size is None else _reduce(depth, size, "bilinear")


def _fill_rows(disparity: np.ndarray) -> np.ndarray:
    known = np.isfinite(disparity)
    if not known.any(1).all():
        raise ValueError("a row of the disparity map has no measured pixel")
    columns = np.arange(disparity.shape[1])
    left = np.maximum.accumulate(np.where(known, columns, -1), 1)
    right = np.minimum.accumulate(np.where(known, columns, columns.size)[:, ::-1], 1)[:, ::-1]
    rows = np.arange(disparity.shape[0])[:, None]
    padded = np.pad(disparity, ((0, 0), (1, 1)), constant_values=np.inf)  # no neighbour on this side
    return np.minimum(padded[rows, left + 1], padded[rows, right + 1])


def _reduce(x: Tensor, size: int | tuple[int, int], mode: str) -> Tensor:
    height, width = (size, size) if isinstance(size, int) else size
    if min(height, width) < MIN_SIDE or height > x.shape[-2] or width > x.shape[-1]:
        fail(f"size={size!r}", f"{MIN_SIDE} up to {x.shape[-2]}x{x.shape[-1]}", "choose a smaller size")
    ratio = min(x.shape[-2] / height, x.shape[-1] / width)
    rows, columns = round(height * ratio), round(width * ratio)
    top, left = (x.shape[-2] - rows) // 2, (x.shape[-1] - columns) // 2
    x = x[..., top : top + rows, left : left + columns]
    return F.interpolate(x, (height, width), mode=mode, antialias=True, align_corners=False)


def _skimage_file(file: str) -> Path:
    spec = find_spec("skimage")
    path = Path((spec.submodule_search_locations if spec else [""])[0]) / "data" / file  # type: ignore[index]
    if not path.is_file():
        fail(
            f"a scikit-image without its data file {file}",
            "scikit-image 0.24 or later, whole",
            "pip install --force-reinstall scikit-image",
            FileNotFoundError,
        )
    return path
