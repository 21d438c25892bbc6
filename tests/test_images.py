"""Pictures in and out: every kind of file, every kind of bad file, bundled pictures, datasets, patches, splits."""

import io
import socket
import struct
import zlib

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from restorekit.images import BUNDLED, bundled, bundled_depth, bundled_names, dataset, load_image, patches, save_image, split

RNG = np.random.default_rng(0)
GRAY8 = RNG.integers(0, 256, (12, 17), dtype=np.uint8)
RGB8 = RNG.integers(0, 256, (12, 17, 3), dtype=np.uint8)
GRAY16 = RNG.integers(0, 65536, (12, 17), dtype=np.uint16)
RGB16 = RNG.integers(0, 65536, (12, 17, 3), dtype=np.uint16)


def encode(array: np.ndarray | Image.Image, kind: str, **settings) -> bytes:
    buffer = io.BytesIO()
    picture = array if isinstance(array, Image.Image) else Image.fromarray(array)
    picture.save(buffer, kind, **settings)
    return buffer.getvalue()


def tiff(array: np.ndarray, **settings) -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, array, **settings)
    return buffer.getvalue()


def as_tensor(array: np.ndarray, top: float) -> torch.Tensor:
    planes = array[None] if array.ndim == 2 else array.transpose(2, 0, 1)
    return torch.from_numpy(planes.astype(np.float64) / top).float()[None]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (encode(GRAY8, "PNG"), as_tensor(GRAY8, 255)),
        (encode(RGB8, "PNG"), as_tensor(RGB8, 255)),
        (encode(RGB8, "BMP"), as_tensor(RGB8, 255)),
        (encode(RGB8, "TIFF"), as_tensor(RGB8, 255)),
        (encode(RGB8, "WEBP", lossless=True), as_tensor(RGB8, 255)),
        (encode(GRAY16, "PNG"), as_tensor(GRAY16, 65535)),
        (tiff(GRAY16), as_tensor(GRAY16, 65535)),
        (tiff(RGB16, photometric="rgb"), as_tensor(RGB16, 65535)),
        (tiff((RGB16 / 65535).astype(np.float32), photometric="rgb"), as_tensor(RGB16, 65535)),
        (tiff((GRAY16 / 65535).astype(np.float32)), as_tensor(GRAY16, 65535)),
        (encode(Image.fromarray(GRAY8 > 127), "PNG"), as_tensor((GRAY8 > 127).astype(np.uint8), 1)),
    ],
    ids=["gray", "rgb", "bmp", "tiff", "webp", "gray16", "tiff16", "tiff16rgb", "tifffloatrgb", "tifffloat", "bilevel"],
)
def test_load_exact(data, expected):
    x = load_image(data)
    assert x.dtype == torch.float32 and x.shape == expected.shape
    assert torch.allclose(x, expected, atol=1e-7)


def test_rgb_png_of_16_bit_keeps_the_upper_8():
    """Written by hand, because Pillow writes none."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in RGB16)
    header = struct.pack(">IIBBBBB", 17, 12, 16, 2, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    assert (load_image(data) - as_tensor(RGB16, 65535)).abs().max() <= 1 / 255


def test_palette_jpeg_and_cmyk():
    palette = Image.fromarray(RGB8).quantize(16)
    assert torch.allclose(load_image(encode(palette, "PNG")), as_tensor(np.asarray(palette.convert("RGB")), 255))
    smooth = Image.fromarray(RGB8[:4, :5]).resize((64, 48), Image.Resampling.BICUBIC)
    expected = as_tensor(np.asarray(smooth), 255)
    assert (load_image(encode(smooth, "JPEG", quality=95)) - expected).abs().mean() < 0.02
    assert load_image(encode(smooth.convert("CMYK"), "JPEG")).shape == (1, 3, 48, 64)
    assert load_image(encode(smooth.convert("L"), "JPEG")).shape == (1, 1, 48, 64)


def test_transparency_is_laid_over_white():
    alpha = RNG.integers(0, 256, (12, 17, 1), dtype=np.uint8)
    a = alpha / 255.0
    x = load_image(encode(np.concatenate([RGB8, alpha], 2), "PNG"))
    assert torch.allclose(x, as_tensor(RGB8 / 255 * a + 1 - a, 1), atol=1e-6)
    opaque = np.concatenate([RGB8, np.full_like(alpha, 255)], 2)
    assert torch.equal(load_image(encode(opaque, "PNG")), as_tensor(RGB8, 255))
    la = Image.merge("LA", [Image.fromarray(GRAY8), Image.fromarray(alpha[..., 0])])
    assert torch.allclose(load_image(encode(la, "PNG")), as_tensor(GRAY8 / 255 * a[..., 0] + 1 - a[..., 0], 1), atol=1e-6)
    deep = np.concatenate([RGB16, np.zeros((12, 17, 1), np.uint16)], 2)
    assert torch.equal(load_image(tiff(deep, photometric="rgb", extrasamples=["unassalpha"])), torch.ones(1, 3, 12, 17))
    keyed = Image.new("P", (17, 12), 0)
    assert torch.equal(load_image(encode(keyed, "PNG", transparency=0)), torch.ones(1, 3, 12, 17))


def test_exif_orientation():
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise to view
    stored = np.zeros((16, 24, 3), np.uint8)
    stored[:8, :8] = 255  # upper left as stored, upper right as viewed
    x = load_image(encode(stored, "JPEG", exif=exif, quality=95))
    assert x.shape == (1, 3, 24, 16)
    assert x[..., :7, 9:].mean() > 0.98 and x[..., :7, :7].mean() < 0.02


def test_gray_weights_and_sources(tmp_path):
    data = encode(RGB8, "PNG")
    path = tmp_path / "photo.png"
    path.write_bytes(data)
    x = load_image(path)
    with path.open("rb") as file:
        assert torch.equal(load_image(file), x)
    assert torch.equal(load_image(str(path)), x) and torch.equal(load_image(data), x)
    gray = load_image(data, gray=True)
    assert gray.shape == (1, 1, 12, 17)
    assert torch.allclose(gray[:, 0], 0.299 * x[:, 0] + 0.587 * x[:, 1] + 0.114 * x[:, 2], atol=1e-6)
    gray_file = load_image(encode(GRAY8, "PNG"), gray=True)
    assert torch.equal(gray_file, as_tensor(GRAY8, 255))


def test_bad_files(tmp_path):
    data, noise = encode(RGB8, "PNG"), RNG.integers(0, 256, (64, 64, 3), dtype=np.uint8)
    with pytest.raises(FileNotFoundError, match="does not exist.*Fix"):
        load_image(tmp_path / "missing.png")
    with pytest.raises(FileNotFoundError, match="is a folder"):
        load_image(tmp_path)
    for rubbish in (b"", b"not a picture", b"%PDF-1.4 \n", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"):
        with pytest.raises(ValueError, match="not a picture.*PNG, JPEG"):
            load_image(rubbish)
    for whole in (
        encode(noise, "PNG"),
        encode(noise, "JPEG"),
        encode(noise, "TIFF"),
        encode(noise, "WEBP"),
        tiff(RGB16, photometric="rgb"),
    ):
        with pytest.raises(ValueError, match="damaged or cut off|not a picture"):
            load_image(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match="at least 8 pixels"):
        load_image(encode(np.zeros((1, 1), np.uint8), "PNG"))
    with pytest.raises(ValueError, match="at least 8 pixels"):
        load_image(encode(np.zeros((7, 90), np.uint8), "PNG"))
    with pytest.raises(ValueError, match="max_pixels=100"):
        load_image(data, max_pixels=100)
    with pytest.raises(TypeError, match="ndarray"):
        load_image(RGB8)
    with pytest.raises(TypeError, match="binary mode"):
        load_image(io.StringIO("text"))
    for values in (np.full((9, 9), np.nan, np.float32), np.full((9, 9), 200, np.float32)):
        with pytest.raises(ValueError, match="in \\[0, 1\\]"):
            load_image(tiff(values))


@pytest.mark.parametrize("side", [5_000, 60_000])
def test_a_bomb_is_refused_before_decoding(side, monkeypatch):
    """A few kilobytes that claim billions of pixels; decoding is made impossible, so that only the header can have been read."""
    data = bytearray(encode(np.zeros((8, 8), np.uint8), "PNG"))
    data[16:24] = struct.pack(">II", side, side)
    data[29:33] = struct.pack(">I", zlib.crc32(bytes(data[12:29])))
    monkeypatch.setattr(Image.Image, "load", lambda self: pytest.fail("decoded"))
    with pytest.raises(ValueError, match="max_pixels"):
        load_image(bytes(data))


@pytest.mark.parametrize("suffix", [".png", ".tif", ".bmp", ".webp", ".jpg"])
@pytest.mark.parametrize("channels", [1, 3])
def test_save_and_load(tmp_path, suffix, channels):
    smooth = torch.nn.functional.interpolate(
        torch.rand(1, channels, 4, 4, generator=torch.Generator().manual_seed(0)), (24, 32), mode="bicubic"
    )
    path = save_image(1.2 * smooth - 0.1, tmp_path / f"picture{suffix}")
    expected = ((1.2 * smooth - 0.1).clamp(0, 1) * 255).round() / 255
    tolerance = 0.02 if suffix in (".jpg", ".webp") else 1e-6
    assert (load_image(path, gray=channels == 1) - expected).abs().mean() < tolerance
    assert list(tmp_path.iterdir()) == [path]


def test_save_16_bit(tmp_path):
    for channels, name in ((1, "a.png"), (1, "b.tiff"), (3, "c.tif")):
        x = torch.rand(1, channels, 9, 10)
        assert (load_image(save_image(x, tmp_path / name, bits=16)) - x).abs().max() <= 0.51 / 65535
    with pytest.raises(ValueError, match="save as .tif"):
        save_image(torch.rand(1, 3, 9, 9), tmp_path / "d.png", bits=16)


def test_save_bad_input(tmp_path):
    x = torch.rand(1, 3, 9, 9)
    with pytest.raises(ValueError, match="one picture at a time"):
        save_image(x.repeat(2, 1, 1, 1), tmp_path / "x.png")
    with pytest.raises(ValueError, match="suffix '.docx'"):
        save_image(x, tmp_path / "x.docx")
    with pytest.raises(FileNotFoundError, match="folder"):
        save_image(x, tmp_path / "nowhere" / "x.png")
    with pytest.raises(ValueError, match="NaN"):
        save_image(x / 0, tmp_path / "x.png")


def test_bundled_needs_no_network(monkeypatch):
    monkeypatch.setattr(socket, "socket", lambda *a, **k: pytest.fail("network"))
    for name in bundled_names():
        x = bundled(name, size=(16, 24))
        assert x.shape == (1, 3 if "RGB" in BUNDLED[name].shows else 1, 16, 24)
        assert torch.equal((x * 255).round() / 255, x) and x.min() >= 0 and x.max() <= 1
        assert BUNDLED[name].licence
        shown = tuple(int(n) for n in BUNDLED[name].shows.split()[-1].split("x"))
        assert bundled(name).shape[-2:] == shown


def test_bundled_sizes():
    x = bundled("camera")
    assert torch.equal(bundled("camera", size=512), x)
    half = bundled("camera", size=256)
    assert (half - torch.nn.functional.avg_pool2d(x, 2)).abs().mean() < 0.01  # antialiased: close to the means
    # a wide crop is centred: its middle row band is what is left
    assert torch.equal(bundled("camera", size=(256, 512)), x[..., 128:384, :])
    assert bundled("cat", gray=True, size=64).shape == (1, 1, 64, 64)
    with pytest.raises(ValueError, match="smaller size"):
        bundled("text", size=200)
    with pytest.raises(ValueError, match="astronaut.*zebra|zebra.*astronaut"):
        bundled("zebra")


def test_bundled_depth():
    picture, depth = bundled_depth()
    assert picture.shape == (1, 3, 500, 741) and depth.shape == (1, 1, 500, 741)
    assert torch.isfinite(depth).all() and 2 < depth.min() < 2.2 and 4.9 < depth.max() < 5.1
    # the wheels stand nearer than the wall behind them
    assert depth[0, 0, 300:450, 300:450].median() < depth[0, 0, :100].median() - 1
    small_picture, small = bundled_depth(size=(64, 96))
    assert small_picture.shape[-2:] == small.shape[-2:] == (64, 96)
    assert depth.min() <= small.min() and small.max() <= depth.max()


def test_holes_take_the_farther_neighbour():
    from restorekit._bundled import _fill_rows

    nan = np.inf
    rows = np.array([[nan, 5.0, nan, nan, 2.0, 3.0, nan], [1.0, nan, 4.0, nan, nan, nan, 1.0]])
    assert _fill_rows(rows).tolist() == [[5, 5, 2, 2, 2, 3, 3], [1, 1, 4, 1, 1, 1, 1]]


def test_dataset(tmp_path, monkeypatch):
    folder = tmp_path / "mine"
    folder.mkdir()
    for name in ("b.png", "a.jpg", "c.tif"):
        (folder / name).write_bytes(encode(RGB8, {"b.png": "PNG", "a.jpg": "JPEG", "c.tif": "TIFF"}[name]))
    (folder / "notes.txt").write_text("x")
    (folder / "deeper").mkdir()
    monkeypatch.setenv("RESTOREKIT_DATA", str(tmp_path))
    pictures = dataset("mine")
    assert pictures.names == ("a", "b", "c") and len(pictures) == 3
    assert torch.equal(pictures["b"].load(), as_tensor(RGB8, 255)) and pictures[1] == pictures["b"]
    assert pictures[1:].names == ("b", "c") and [p.name for p in pictures] == ["a", "b", "c"]
    (folder / "a.jpg").write_bytes(b"broken")  # found only when asked for: loading is lazy
    assert dataset("mine")["c"].load(gray=True).shape == (1, 1, 12, 17)
    monkeypatch.delenv("RESTOREKIT_DATA")
    assert dataset(folder).names == ("a", "b", "c")
    with pytest.raises(FileNotFoundError, match="set RESTOREKIT_DATA"):
        dataset("mine")
    with pytest.raises(KeyError, match="choose one"):
        pictures["zebra"]
    with pytest.raises(ValueError, match="without a picture.*directly into it"):
        dataset(folder / "deeper")
    with pytest.raises(ValueError, match="inside it: .*mine"):
        dataset(tmp_path)
    (folder / "a.png").write_bytes(encode(RGB8, "PNG"))
    with pytest.raises(ValueError, match="two files named 'a'"):
        dataset(folder)


def test_patches():
    x = torch.arange(2 * 3 * 7 * 9, dtype=torch.float32).view(2, 3, 7, 9)
    p = patches(x, 3, 2)
    assert p.shape == (2 * 3 * 4, 3, 3, 3)
    expected = [x[b : b + 1, :, i : i + 3, j : j + 3] for b in range(2) for i in (0, 2, 4) for j in (0, 2, 4, 6)]
    assert torch.equal(p, torch.cat(expected))
    assert patches(x, 4).shape[0] == 2 * 1 * 2
    with pytest.raises(ValueError, match="size 1 to 7"):
        patches(x, 8)


def test_split():
    names = [f"picture{i}" for i in range(101)]
    parts = split(names, (0.8, 0.1, 0.1))
    assert [len(p) for p in parts] == [81, 10, 10]
    assert sorted(sum(parts, ())) == sorted(names)
    assert split(names[::-1], (0.8, 0.1, 0.1)) == parts
    drawn = [split(names, (0.5, 0.5), generator=torch.Generator().manual_seed(s)) for s in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert split(["a", "b"], (1.0, 0.0)) == (("a", "b"), ())
    for bad, match in (((0.5, 0.6), "sum to 1"), ((), "sum to 1"), ((1.5, -0.5), "sum to 1")):
        with pytest.raises(ValueError, match=match):
            split(names, bad)
    with pytest.raises(ValueError, match="repeated"):
        split(["a", "a"], (1.0,))
