"""Reading and writing picture files: `restorekit.images.load_image` and `save_image`."""

from __future__ import annotations

import io
import os
import warnings
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from ._check import check_image, fail

MIN_SIDE = 8  # the smallest picture that the package restores
SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp", ".bmp")
_FORMATS = ("PNG", "JPEG", "TIFF", "WEBP", "BMP", "GIF", "PPM")  # others reach for outside programs or carry no picture
_KINDS = "PNG, JPEG, TIFF, WebP or BMP"


class _Refused(ValueError):
    """A whole picture of a size that is not allowed."""


Source = str | os.PathLike[str] | bytes | IO[bytes]


def load_image(source: Source, *, gray: bool = False, max_pixels: int = 16_000_000) -> Tensor:
    """The picture in a file, as bytes or as an open binary file: (1, 1, H, W) or (1, 3, H, W), float32 in [0, 1].

    PNG, JPEG, TIFF, WebP, BMP; 8 bit, 16 bit (16-bit RGB keeps all bits in TIFF, in PNG its upper 8), float TIFF in [0, 1],
    palette, CMYK. The EXIF orientation is applied; of several frames the first is read. Transparent pixels are laid over
    white, as a viewer shows them: the color stored below full transparency is arbitrary. Gray files stay gray; gray=True turns
    color into 0.299 R + 0.587 G + 0.114 B (full range; `metrics.luma` is another scale).
    Raises FileNotFoundError; ValueError if it is no picture, is damaged, has a side below 8 pixels or, before anything is
    decoded, more than `max_pixels`; TypeError for another kind of source.
    """
    name, stream = _open(source)
    with stream, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's bomb warning (max_pixels decides) and remarks on odd metadata
        try:
            values = _decode(stream, name, max_pixels)
        except UnidentifiedImageError:
            fail(f"{name}, which is not a picture that can be read", _KINDS, "convert it first (HEIC and raw photos: export as JPEG)")
        except Image.DecompressionBombError:
            fail(f"{name}, a picture of very many pixels", f"at most max_pixels={max_pixels}", "resize or crop it, or raise max_pixels")
    if values.ndim == 3 and gray:
        values = values @ np.array([0.299, 0.587, 0.114])
    planes = values[None] if values.ndim == 2 else values.transpose(2, 0, 1)
    return torch.from_numpy(np.ascontiguousarray(planes, dtype=np.float32))[None]


def save_image(x: Tensor, path: str | os.PathLike[str], *, bits: int = 8, quality: int = 95) -> Path:
    """Write a picture, clipped to [0, 1] and rounded; the suffix of `path` names the format. Returns the path.

    x: (1, 1, H, W) or (1, 3, H, W). bits=16: TIFF, or PNG if gray. quality: of JPEG and WebP, 1 to 95.
    A killed call leaves an older file intact. Raises ValueError (batch, channels, suffix, bits, NaN), FileNotFoundError (folder).
    """
    path, suffix = Path(path), Path(path).suffix.lower()
    check_image(x)
    if x.shape[0] != 1 or x.shape[1] not in (1, 3):
        fail(f"x of shape {tuple(x.shape)}", "(1, 1, H, W) or (1, 3, H, W)", "save one picture at a time: x[i:i+1]")
    if suffix not in SUFFIXES:
        fail(f"the suffix {suffix!r}", ", ".join(SUFFIXES), "rename the file, for example result.png")
    tiff = suffix in (".tif", ".tiff")
    if bits not in (8, 16) or (bits == 16 and not (tiff or (suffix == ".png" and x.shape[1] == 1))):
        fail(f"bits={bits} for {x.shape[1]} channels in {suffix}", "8; 16 in TIFF, and in PNG if gray", "save as .tif")
    if not path.parent.is_dir():
        fail(f"the folder {path.parent}, which does not exist", "an existing folder", "create it first", FileNotFoundError)
    top = 2**bits - 1
    values = (x[0].detach().cpu().double().clamp(0, 1) * top).round().numpy().astype(np.uint16 if bits == 16 else np.uint8)
    values = values[0] if values.shape[0] == 1 else np.ascontiguousarray(values.transpose(1, 2, 0))
    buffer = io.BytesIO()
    if tiff:
        import tifffile  # a dependency of scikit-image; Pillow cannot write 16-bit RGB

        tifffile.imwrite(buffer, values, photometric="rgb" if values.ndim == 3 else "minisblack")
    else:
        kind = {".png": "PNG", ".bmp": "BMP", ".webp": "WEBP"}.get(suffix, "JPEG")
        Image.fromarray(values).save(buffer, kind, **({"quality": quality} if kind in ("JPEG", "WEBP") else {}))
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    part.write_bytes(buffer.getvalue())
    os.replace(part, path)
    return path


def _open(source: Source) -> tuple[str, IO[bytes]]:
    if isinstance(source, (bytes, bytearray, memoryview)):
        return "these bytes", io.BytesIO(bytes(source))
    if hasattr(source, "read"):
        data = source.read()
        if not isinstance(data, bytes):
            fail("a file opened as text", "a file opened in binary mode", 'open(path, "rb")', TypeError)
        return str(getattr(source, "name", "this file")), io.BytesIO(data)
    if not isinstance(source, (str, os.PathLike)):
        fail(f"a source of type {type(source).__name__}", "a path, bytes or a binary file", "load_image('photo.png')", TypeError)
    path = Path(source).expanduser()
    if not path.is_file():
        got = f"{path}, which is a folder" if path.is_dir() else f"{path}, which does not exist"
        fail(got, "the path of a picture", f"check the spelling; the current folder is {Path.cwd()}", FileNotFoundError)
    return str(path), path.open("rb")


def _decode(stream: IO[bytes], name: str, max_pixels: int) -> np.ndarray:
    """Values in [0, 1], (H, W) or (H, W, 3). Only the header is read before the size has been checked."""
    try:
        page = _deep_tiff_page(stream)
        if page is not None:
            _check_size((page.imagewidth, page.imagelength), name, max_pixels)
            values = _deep_values(page.asarray())
        else:
            with Image.open(stream, formats=_FORMATS) as picture:
                _check_size(picture.size, name, max_pixels)
                picture.load()
                values = _values(ImageOps.exif_transpose(picture))
    except (UnidentifiedImageError, Image.DecompressionBombError, _Refused):
        raise
    except Exception as error:  # decoders raise many kinds: OSError, SyntaxError, struct.error, zlib.error ...
        raise ValueError(
            f"Got {name}, which is damaged or cut off ({error}). Allowed: a complete {_KINDS}. Fix: export it again."
        ) from error
    if not np.isfinite(values).all() or values.min() < 0 or values.max() > 1:
        fail(
            f"{name} with values {np.nanmin(values):.3g} to {np.nanmax(values):.3g}",
            "finite values in [0, 1]",
            "rescale it before saving as float",
        )
    return values


def _check_size(size: tuple[int, int], name: str, max_pixels: int) -> None:
    width, height = size
    if min(size) < MIN_SIDE:
        fail(f"{name} of {height}x{width} pixels", f"sides of at least {MIN_SIDE} pixels", "use a larger picture", _Refused)
    if width * height > max_pixels:
        fail(f"{name} of {height}x{width} pixels", f"at most max_pixels={max_pixels}", "resize or crop it, or raise max_pixels", _Refused)


def _values(picture: Image.Image) -> np.ndarray:
    mode = picture.mode
    if mode == "F":
        return np.asarray(picture, dtype=np.float64)
    if mode.startswith("I"):
        return np.asarray(picture).astype(np.float64) / 65535  # 16 bit, which Pillow widens to 32 in some versions
    if "transparency" in picture.info or mode in ("RGBA", "LA", "PA", "RGBa", "La"):
        rgba = np.asarray(picture.convert("RGBA"), dtype=np.float64) / 255
        shown = rgba[..., :3] * rgba[..., 3:] + 1 - rgba[..., 3:]
        return shown[..., 0] if mode in ("L", "LA", "La", "1") else shown
    return np.asarray(picture.convert("L" if mode in ("L", "1") else "RGB"), dtype=np.float64) / 255


def _deep_tiff_page(stream: IO[bytes]) -> Any:
    """The first page of a TIFF with more than 8 bits a channel, which Pillow would cut to 8 in RGB; None for anything else."""
    magic = stream.read(4)
    stream.seek(0)
    if magic not in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return None
    import tifffile  # a dependency of scikit-image

    page = tifffile.TiffFile(stream).pages.first
    stream.seek(0)
    return page if np.max(page.bitspersample) > 8 else None


def _deep_values(values: np.ndarray) -> np.ndarray:
    values = values.astype(np.float64) / (np.iinfo(values.dtype).max if values.dtype.kind == "u" else 1)
    if values.ndim == 3 and values.shape[2] == 4:
        return values[..., :3] * values[..., 3:] + 1 - values[..., 3:]
    if values.ndim != 2 and (values.ndim != 3 or values.shape[2] != 3):
        raise ValueError(f"an array of shape {values.shape} is no gray, RGB or RGBA picture")
    return values
