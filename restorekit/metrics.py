"""Scores of pictures and of blur kernels, in the conventions that the field's tables use.

Super-resolution tables: clipped, rounded to 8 bit, luma, border of `scale` pixels cropped (the defaults plus `border=scale`).
Gray denoising tables: `quantize=False`, no border. All scores are computed and returned in float64.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ._check import check_image, check_kernel, check_like, fail
from .kernels import kernel_moments, pad_kernel

_WINDOW, _SIGMA = 11, 1.5  # SSIM's Gaussian window
_C1, _C2 = 0.01**2, 0.03**2  # SSIM's stabilisers for pictures of range 1


def luma(x: Tensor) -> Tensor:
    """Y = (65.481 R + 128.553 G + 24.966 B + 16) / 255, the studio-range luma of ITU-R BT.601.

    Shapes: (B, 3, H, W) in [0, 1] -> (B, 1, H, W) in [16/255, 235/255]. A gray picture (B, 1, H, W) passes through unchanged.
    Any other number of channels is a ValueError.
    """
    check_image(x)
    if x.shape[1] == 1:
        return x
    if x.shape[1] != 3:
        fail(f"x with {x.shape[1]} channels", "1 (gray) or 3 (RGB)", "drop the alpha channel: x[:, :3]")
    weights = torch.tensor([65.481, 128.553, 24.966], dtype=x.dtype, device=x.device).view(1, 3, 1, 1)
    return ((weights * x).sum(1, keepdim=True) + 16) / 255


def crop_border(x: Tensor, border: int) -> Tensor:
    """x without `border` pixels on each of its four sides; ValueError if nothing would be left."""
    check_image(x)
    height, width = x.shape[-2:]
    if isinstance(border, bool) or int(border) != border or border < 0 or 2 * border >= min(height, width):
        fail(
            f"border={border!r} for a picture of {height}x{width}",
            f"0 to {(min(height, width) - 1) // 2}",
            "use a smaller border or a larger picture",
        )
    border = int(border)
    return x[..., border : height - border, border : width - border]


def psnr(x: Tensor, ref: Tensor, *, border: int = 0, luma: bool = True, quantize: bool = True) -> Tensor:
    """PSNR = -10 log10 mean((x - ref)^2) in dB, peak 1, one number per picture.

    Shapes: x (B, C, H, W), ref the same or (1, C, H, W) -> (B,) float64; equal pictures give inf.
    quantize: both are clipped to [0, 1] and rounded to 8 bit first (no gradient; pass False to use it as a loss).
    luma: RGB pictures are then compared in `luma`; gray ones pass through. border: pixels cropped from each side, last.
    Raises ValueError or TypeError on unequal sizes, devices or dtypes, NaN and other than (B, C, H, W).
    """
    x, ref = _prepare(x, ref, border, luma, quantize)
    return -10 * torch.log10((x - ref).square().mean((1, 2, 3)))


def ssim(x: Tensor, ref: Tensor, *, border: int = 0, luma: bool = True, quantize: bool = True) -> Tensor:
    """SSIM = mean of (2 mx mr + c1)(2 cov + c2) / ((mx^2 + mr^2 + c1)(vx + vr + c2)), Wang et al. 2004.

    Moments are weighted by a Gaussian window of 11x11 with sigma 1.5, biased; only windows that lie wholly inside count.
    c1 = 0.01^2, c2 = 0.03^2. Channels are averaged. Arguments, shapes and errors as in `psnr`; each side needs 11 pixels
    after the border is cropped.
    """
    x, ref = _prepare(x, ref, border, luma, quantize)
    if min(x.shape[-2:]) < _WINDOW:
        fail(
            f"a picture of {x.shape[-2]}x{x.shape[-1]} after cropping",
            f"at least {_WINDOW}x{_WINDOW}",
            "use a larger picture or a smaller border",
        )
    mx, mr = _window_mean(x), _window_mean(ref)
    vx, vr = _window_mean(x * x) - mx * mx, _window_mean(ref * ref) - mr * mr
    cov = _window_mean(x * ref) - mx * mr
    score = (2 * mx * mr + _C1) * (2 * cov + _C2) / ((mx * mx + mr * mr + _C1) * (vx + vr + _C2))
    return score.mean((1, 2, 3))


def kernel_psnr(k: Tensor, ref: Tensor) -> Tensor:
    """-10 log10 mean((k - ref)^2) in dB over the taps, with peak 1 as published codes have it; shifts are not aligned.

    Lenient: taps of a blur kernel are far below 1, so a poor kernel already scores above 40 dB. Read `kernel_distance` beside it.
    Shapes: (B, 1, kh, kw) and (B or 1, 1, ...) -> (B,) float64. Unequal sizes are padded with zeros about the common centre.
    """
    k, ref = _common_size(k, ref)
    return -10 * torch.log10((k - ref).square().mean((1, 2, 3)))


def kernel_distance(k: Tensor, ref: Tensor) -> Tensor:
    """min over shifts d of sum |S_d k - ref|: L1 distance of two kernels after the best sub-pixel alignment.

    0: equal up to a shift; 2: two kernels of sum 1 that never overlap. Blind restoration cannot know a global shift, hence the
    alignment. S_d shifts by cubic interpolation (Keys, a = -1/2; exact at whole pixels) on a zero-padded support. The search
    tries every whole-pixel shift of up to half the kernel's size, then halves the step from 1/2 to 1/64 pixel. Interpolation
    leaves a residue for narrow kernels: below 0.08 for a Gaussian of std 1 moved by half a pixel, 0.01 for std 2.
    Shapes: (B, 1, kh, kw) and (B or 1, 1, ...) -> (B,) float64; sizes may differ.
    """
    k, ref = _common_size(k, ref)
    reach = max(k.shape[-2:]) // 2
    k, ref = (F.pad(v, (reach + 3,) * 4) for v in (k, ref.expand_as(k)))
    return torch.stack([_aligned_l1(a, b, reach) for a, b in zip(k[:, 0], ref[:, 0], strict=True)])


def kernel_width(k: Tensor, ref: Tensor | None = None, *, floor: float = 0.02) -> Tensor:
    """sqrt(trace(C) / 2), C the covariance of the kernel: its standard deviation in pixels, averaged over directions.

    With `ref` the signed difference kernel_width(k) - kernel_width(ref): negative means too narrow, which is what costs PSNR most.
    A softmax leaves a small positive pedestal far from the centre that would dominate the second moment; so the median of the
    outermost ring of taps is subtracted first and taps below `floor` times the largest are set to zero (floor=0 keeps all). This
    makes a Gaussian about 4% narrower than its parameter, alike for both kernels of a comparison.
    Shapes: (B, 1, kh, kw) -> (B,) float64, in pixels.
    """
    width = _width(check_kernel(k).double(), floor)
    return width if ref is None else width - _width(check_kernel(ref, "ref").double(), floor)


def _prepare(x: Tensor, ref: Tensor, border: int, use_luma: bool, quantize: bool) -> tuple[Tensor, Tensor]:
    check_image(x)
    if isinstance(ref, Tensor):  # before its values are looked at: a wrong device is the likelier mistake
        check_like(ref, x, "ref", "x")
    check_image(ref, "ref")
    if ref.shape[1:] != x.shape[1:] or ref.shape[0] not in (1, x.shape[0]):
        fail(f"x of {tuple(x.shape)} and ref of {tuple(ref.shape)}", "equal sizes (ref may have batch 1)", "crop or resize one of them")
    pair = []
    for v in (x.double(), ref.double()):
        v = (v.clamp(0, 1) * 255).round() / 255 if quantize else v
        pair.append(crop_border(luma(v) if use_luma else v, border))
    return pair[0], pair[1]


def _window_mean(x: Tensor) -> Tensor:
    at = torch.arange(_WINDOW, dtype=x.dtype, device=x.device) - _WINDOW // 2
    g = torch.exp(-0.5 * (at / _SIGMA).square())
    g = g / g.sum()
    flat = x.reshape(-1, 1, *x.shape[-2:])
    return F.conv2d(F.conv2d(flat, g.view(1, 1, -1, 1)), g.view(1, 1, 1, -1)).view(*x.shape[:2], x.shape[-2] - _WINDOW + 1, -1)


def _common_size(k: Tensor, ref: Tensor) -> tuple[Tensor, Tensor]:
    check_kernel(k, "k")
    check_kernel(ref, "ref")
    check_like(ref, k, "ref", "k")
    if ref.shape[0] not in (1, k.shape[0]):
        fail(f"{k.shape[0]} kernels and {ref.shape[0]} references", "as many, or one reference", "use ref[:1] or repeat it")
    height, width = (max(a, b) for a, b in zip(k.shape[-2:], ref.shape[-2:], strict=True))
    return pad_kernel(k.double(), (height, width)), pad_kernel(ref.double(), (height, width))


def _aligned_l1(k: Tensor, ref: Tensor, reach: int) -> Tensor:
    whole = [(dy, dx) for dy in range(-reach, reach + 1) for dx in range(-reach, reach + 1)]
    # rolling is shifting here: the zero padding is wider than any shift and its cubic taps
    scores = torch.stack([(torch.roll(k, d, (0, 1)) - ref).abs().sum() for d in whole])
    best, (y, x) = scores.min(), whole[int(scores.argmin())]
    step, at = 0.5, (float(y), float(x))
    while step >= 1 / 64:
        around = [(at[0] + i * step, at[1] + j * step) for i in (-1, 0, 1) for j in (-1, 0, 1)]
        scores = torch.stack([(_shift(k, dy, dx) - ref).abs().sum() for dy, dx in around])
        if scores.min() < best:
            best, at = scores.min(), around[int(scores.argmin())]
        step /= 2
    return best


def _shift(k: Tensor, dy: float, dx: float) -> Tensor:
    for dim, d in ((0, dy), (1, dx)):
        whole = int(d // 1)
        f = d - whole
        taps = (-f * (1 - f) ** 2 / 2, 1 - 2.5 * f**2 + 1.5 * f**3, f * (1 + 4 * f - 3 * f**2) / 2, -(f**2) * (1 - f) / 2)
        # output(i) reads k at i - whole - f; tap t belongs to the sample at i - whole + 1 - t
        k = sum((w * torch.roll(k, whole + t - 1, dim) for t, w in enumerate(taps)), torch.zeros_like(k))
    return k


def _width(k: Tensor, floor: float) -> Tensor:
    if min(k.shape[-2:]) > 2:
        ring = torch.cat([k[:, 0, 0], k[:, 0, -1], k[:, 0, 1:-1, 0], k[:, 0, 1:-1, -1]], 1)
        k = (k - ring.median(1).values.clamp_min(0).view(-1, 1, 1, 1)).clamp_min(0)
    k = torch.where(k < floor * k.amax((1, 2, 3), keepdim=True), 0.0, k)
    return (kernel_moments(k)[2].diagonal(dim1=1, dim2=2).sum(1) / 2).clamp_min(0).sqrt()
