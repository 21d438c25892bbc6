"""True convolution with a boundary rule, kept at every s-th pixel, and its exact adjoint: y = (x * k) down s.

Two forms with equal results: `direct` computes only the kept pixels (a strided convolution), `fft` multiplies
spectra. `cheaper` chooses. The centre of k is (kh // 2, kw // 2).
"""

from __future__ import annotations

from math import ceil, log2

import torch
import torch.nn.functional as F
from scipy.fft import next_fast_len
from torch import Tensor

from ._check import fail

PADDINGS = ("circular", "reflect", "replicate", "zero")
_TORCH_MODE = {"circular": "circular", "reflect": "reflect", "replicate": "replicate", "zero": "constant"}
# Cost of an FFT pass per pixel and log2, in multiply-adds of the direct form: forward and backward, timed on one CPU thread.
_FFT_UNIT = 0.7


def margins(kernel_size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Rows before, after, columns before, after that the convolution reads beyond the picture."""
    kh, kw = kernel_size
    return kh - 1 - kh // 2, kh // 2, kw - 1 - kw // 2, kw // 2


def check_window(size: tuple[int, int], kernel_size: tuple[int, int], padding: str) -> None:
    """ValueError if the boundary rule is not defined for so large a kernel."""
    reach = tuple(max(margins(kernel_size)[i : i + 2]) for i in (0, 2))
    least = {"circular": kernel_size, "reflect": (reach[0] + 1, reach[1] + 1)}.get(padding, (1, 1))
    if size[0] < least[0] or size[1] < least[1]:
        fail(
            f"a {kernel_size[0]}x{kernel_size[1]} kernel on a {size[0]}x{size[1]} picture with padding={padding!r}",
            f"a picture of at least {least[0]}x{least[1]}",
            "use a smaller kernel, a larger picture, or padding='replicate' or 'zero'",
        )


def cheaper(size: tuple[int, int], kernel_size: tuple[int, int], scale: int) -> str:
    """'direct' or 'fft', whichever needs fewer operations for one plane."""
    kept = ceil(size[0] / scale) * ceil(size[1] / scale)
    direct = kept * kernel_size[0] * kernel_size[1]
    area = (size[0] + kernel_size[0]) * (size[1] + kernel_size[1])
    return "direct" if direct <= _FFT_UNIT * area * log2(area) else "fft"


def pad(x: Tensor, kernel_size: tuple[int, int], padding: str) -> Tensor:
    """x continued beyond its border as far as the kernel reads."""
    top, bottom, left, right = margins(kernel_size)
    return F.pad(x, (left, right, top, bottom), mode=_TORCH_MODE[padding])


def pad_adjoint(z: Tensor, size: tuple[int, int], kernel_size: tuple[int, int], padding: str) -> Tensor:
    """The adjoint of `pad`: what lies beyond the border is added back to the pixels that it was copied from."""
    top, _, left, _ = margins(kernel_size)
    z = _fold(z, -2, size[0], top, padding)
    return _fold(z, -1, size[1], left, padding)


def _fold(z: Tensor, axis: int, n: int, before: int, padding: str) -> Tensor:
    if padding == "zero":
        return z.narrow(axis, before, n)
    at = torch.arange(z.shape[axis], device=z.device) - before
    if padding == "circular":
        source = at % n
    elif padding == "replicate":
        source = at.clamp(0, n - 1)
    else:
        source = at.abs()
        source = torch.where(source > n - 1, 2 * (n - 1) - source, source)
    shape = list(z.shape)
    shape[axis] = n
    return z.new_zeros(shape).index_add(axis if axis >= 0 else z.ndim + axis, source, z)


def direct(x: Tensor, k: Tensor, scale: int, padding: str) -> Tensor:
    """Strided convolution: only the pixels that are kept are computed."""
    x = pad(x, (k.shape[-2], k.shape[-1]), padding)
    k = k.flip(-2, -1)  # torch correlates
    if k.shape[0] == 1:
        return F.conv2d(x.flatten(0, 1)[:, None], k, stride=scale)[:, 0].unflatten(0, x.shape[:2])
    if x.shape[0] == 1:
        return F.conv2d(x.transpose(0, 1), k, stride=scale).transpose(0, 1)
    return F.conv2d(x.transpose(0, 1), k, stride=scale, groups=k.shape[0]).transpose(0, 1)


def direct_adjoint(y: Tensor, k: Tensor, scale: int, padding: str, size: tuple[int, int]) -> Tensor:
    """Transposed strided convolution, then the adjoint of the boundary rule."""
    kh, kw = k.shape[-2:]
    missing = [size[i] + n - 1 - (scale * (y.shape[i - 2] - 1) + n) for i, n in enumerate((kh, kw))]
    k = k.flip(-2, -1)
    if k.shape[0] == 1:
        z = F.conv_transpose2d(y.flatten(0, 1)[:, None], k, stride=scale, output_padding=missing)[:, 0].unflatten(0, y.shape[:2])
    else:
        z = F.conv_transpose2d(y.transpose(0, 1), k, stride=scale, output_padding=missing, groups=k.shape[0]).transpose(0, 1)
    return pad_adjoint(z, size, (kh, kw), padding)


def fft_size(size: tuple[int, int], kernel_size: tuple[int, int], padding: str) -> tuple[int, int]:
    """Size of the spectra: the picture itself if periodic, else padded and rounded up to a fast length."""
    if padding == "circular":
        return size
    return tuple(next_fast_len(n + m - 1, real=True) for n, m in zip(size, kernel_size, strict=True))


def transfer(k: Tensor, size: tuple[int, int]) -> Tensor:
    """Spectrum of k on a grid of `size` (half plane of rfft2), its centre moved to the origin."""
    kh, kw = k.shape[-2:]
    placed = F.pad(k, (0, size[1] - kw, 0, size[0] - kh))
    return torch.fft.rfft2(placed.roll((-(kh // 2), -(kw // 2)), (-2, -1)))


def by_fft(x: Tensor, spectrum: Tensor, kernel_size: tuple[int, int], scale: int, padding: str) -> Tensor:
    """Product of spectra, then every s-th pixel."""
    size = (x.shape[-2], x.shape[-1])
    grid = fft_size(size, kernel_size, padding)
    top, left = 0, 0
    if padding != "circular":
        x = pad(x, kernel_size, padding)
        top, _, left, _ = margins(kernel_size)
    full = torch.fft.irfft2(torch.fft.rfft2(x, s=grid) * spectrum, s=grid)
    return full[..., top : top + size[0] : scale, left : left + size[1] : scale]


def by_fft_adjoint(y: Tensor, spectrum: Tensor, kernel_size: tuple[int, int], scale: int, padding: str, size: tuple[int, int]) -> Tensor:
    """Zeros between the pixels, product with the conjugate spectrum, then the adjoint of the boundary rule."""
    grid = fft_size(size, kernel_size, padding)
    top, _, left, _ = (0, 0, 0, 0) if padding == "circular" else margins(kernel_size)
    spread = y.new_zeros(*y.shape[:2], *grid)
    spread[..., top : top + size[0] : scale, left : left + size[1] : scale] = y
    z = torch.fft.irfft2(torch.fft.rfft2(spread) * spectrum.conj(), s=grid)
    if padding == "circular":
        return z
    padded = z[..., : size[0] + kernel_size[0] - 1, : size[1] + kernel_size[1] - 1]
    return pad_adjoint(padded, size, kernel_size, padding)
