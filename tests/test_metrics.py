"""Metrics: equal to scikit-image under its convention, invariants, planted kernels, bad input."""

import math

import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from restorekit.metrics import crop_border, kernel_distance, kernel_psnr, kernel_width, luma, psnr, ssim


def rand(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def gaussian(size: int, sigma: float, dy: float = 0.0, dx: float = 0.0) -> torch.Tensor:
    at = torch.arange(size, dtype=torch.float64) - size // 2
    k = torch.exp(-0.5 * (at[:, None] - dy).square() / sigma**2 - 0.5 * (at[None] - dx).square() / sigma**2)
    return (k / k.sum())[None, None]


def skimage_ssim(a: np.ndarray, b: np.ndarray) -> float:
    settings = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 1.0, "channel_axis": 0}
    return float(structural_similarity(a, b, **settings))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(11, 11), (17, 32), (40, 23)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_equal_to_skimage(channels, size, dtype):
    ref = rand(2, channels, *size, seed=1, dtype=dtype)
    x = (ref + 0.2 * rand(2, channels, *size, seed=2, dtype=dtype)).clamp(0, 1)
    got_psnr, got_ssim = psnr(x, ref, luma=False, quantize=False), ssim(x, ref, luma=False, quantize=False)
    assert got_psnr.shape == got_ssim.shape == (2,)
    for i in range(2):
        a, b = x[i].double().numpy(), ref[i].double().numpy()
        assert got_psnr[i].item() == pytest.approx(peak_signal_noise_ratio(b, a, data_range=1), abs=1e-6)
        assert got_ssim[i].item() == pytest.approx(skimage_ssim(a, b), abs=1e-6)


def test_table_convention_by_hand():
    """Clip, round to 8 bit, luma with its printed weights, crop, then skimage."""
    ref, x = rand(1, 3, 30, 34, seed=3), 1.3 * rand(1, 3, 30, 34, seed=4) - 0.1
    eight = [np.round(np.clip(v[0].double().numpy(), 0, 1) * 255) / 255 for v in (x, ref)]
    y = [((65.481 * v[0] + 128.553 * v[1] + 24.966 * v[2] + 16) / 255)[4:-4, 4:-4] for v in eight]
    assert psnr(x, ref, border=4).item() == pytest.approx(peak_signal_noise_ratio(y[1], y[0], data_range=1), abs=1e-6)
    assert ssim(x, ref, border=4).item() == pytest.approx(skimage_ssim(y[0][None], y[1][None]), abs=1e-6)


def test_psnr_known_values():
    ref = torch.full((2, 1, 12, 12), 0.5)
    assert psnr(ref + 0.1, ref, quantize=False).tolist() == pytest.approx([20.0, 20.0], abs=1e-5)
    assert math.isinf(psnr(ref, ref)[0])
    assert ssim(ref, ref).tolist() == pytest.approx([1.0, 1.0])
    # differences below half a gray level vanish by rounding, and values outside [0, 1] count as clipped
    assert math.isinf(psnr(torch.full_like(ref, 128 / 255) + 0.001, torch.full_like(ref, 128 / 255))[0])
    assert math.isinf(psnr(torch.ones_like(ref) + 3, torch.ones_like(ref))[0])


def test_one_reference_serves_a_batch():
    ref = rand(1, 3, 16, 16)
    x = torch.cat([ref + 0.05, ref - 0.1])
    assert torch.equal(psnr(x, ref), psnr(x, ref.repeat(2, 1, 1, 1)))
    assert torch.equal(ssim(x, ref), torch.cat([ssim(x[:1], ref), ssim(x[1:], ref)]))


def test_ssim_is_a_loss():
    ref = rand(1, 1, 16, 16, dtype=torch.float64)
    x = (ref + 0.1 * rand(1, 1, 16, 16, seed=1, dtype=torch.float64)).requires_grad_()
    assert torch.autograd.gradcheck(lambda v: ssim(v, ref, quantize=False), (x,))


def test_luma():
    white, black = torch.ones(1, 3, 2, 2), torch.zeros(1, 3, 2, 2)
    assert luma(white).unique().item() == pytest.approx(235 / 255)
    assert luma(black).unique().item() == pytest.approx(16 / 255)
    gray = rand(1, 1, 4, 4)
    assert luma(gray) is gray


def test_crop_border():
    x = torch.arange(30.0).view(1, 1, 5, 6)
    assert torch.equal(crop_border(x, 2), x[..., 2:3, 2:4])
    assert torch.equal(crop_border(x, 0), x)


@pytest.mark.parametrize(
    ("call", "error", "part"),
    [
        (lambda: psnr(rand(1, 3, 8, 8), rand(1, 3, 8, 9)), ValueError, "equal sizes"),
        (lambda: psnr(rand(3, 8, 8), rand(3, 8, 8)), ValueError, "B, C, H, W"),
        (lambda: psnr(rand(1, 1, 8, 8), rand(1, 1, 8, 8).double()), TypeError, "one dtype"),
        (lambda: psnr(rand(1, 1, 8, 8), rand(1, 1, 8, 8).to("meta")), ValueError, "both on one device"),
        (lambda: psnr(rand(1, 1, 8, 8), None), TypeError, "NoneType"),
        (lambda: psnr(rand(1, 1, 8, 8) / 0, rand(1, 1, 8, 8)), ValueError, "NaN or infinite"),
        (lambda: psnr((255 * rand(1, 1, 8, 8)).byte(), rand(1, 1, 8, 8)), TypeError, "/ 255"),
        (lambda: psnr(rand(1, 4, 8, 8), rand(1, 4, 8, 8)), ValueError, "alpha"),
        (lambda: psnr(rand(1, 1, 8, 8), rand(1, 1, 8, 8), border=4), ValueError, "border"),
        (lambda: psnr(rand(1, 1, 8, 8), rand(1, 1, 8, 8), border=-1), ValueError, "border"),
        (lambda: ssim(rand(1, 1, 10, 40), rand(1, 1, 10, 40)), ValueError, "11x11"),
        (lambda: kernel_psnr(rand(1, 3, 5, 5), rand(1, 1, 5, 5)), ValueError, "one kernel for all channels"),
        (lambda: kernel_distance(rand(2, 1, 5, 5), rand(3, 1, 5, 5)), ValueError, "one reference"),
    ],
)
def test_bad_input(call, error, part):
    with pytest.raises(error, match=part):
        call()


def test_kernel_psnr():
    k, ref = gaussian(5, 1.0), gaussian(5, 1.2)
    assert kernel_psnr(k, ref).item() == pytest.approx(-10 * math.log10(((k - ref) ** 2).mean().item()))
    # a smaller kernel is padded about the common centre, whatever the parity
    delta = torch.zeros(1, 1, 9, 8)
    delta[..., 4, 4] = 1
    assert math.isinf(kernel_psnr(torch.ones(1, 1, 1, 1), delta.float())[0])


@pytest.mark.parametrize(("dy", "dx"), [(0, 0), (3, -2), (0.5, -0.5), (-1.3, 2.6)])
def test_kernel_distance_ignores_shifts(dy, dx):
    assert kernel_distance(gaussian(21, 2.0, dy, dx), gaussian(25, 2.0)).item() < 0.01
    assert kernel_distance(gaussian(25, 2.0), gaussian(21, 2.0, dy, dx)).item() < 0.01


def test_kernel_distance_residue_of_interpolation():
    assert kernel_distance(gaussian(19, 1.0, 0.5, -0.5), gaussian(21, 1.0)).item() < 0.08


def test_kernel_distance_scale():
    narrow, wide = gaussian(31, 1.0), gaussian(31, 3.0)
    plain = (narrow - wide).abs().sum().item()
    assert kernel_distance(narrow, wide).item() == pytest.approx(plain, rel=1e-3)  # concentric is already best
    assert kernel_distance(narrow, narrow).item() == 0
    lines = torch.zeros(2, 1, 15, 15, dtype=torch.float64)
    lines[0, 0, 7, :], lines[1, 0, :, 7] = 1 / 15, 1 / 15
    # crossing lines share exactly one tap wherever they cross
    assert kernel_distance(lines[:1], lines[1:]).item() == pytest.approx(2 - 2 / 15, abs=1e-9)
    assert kernel_distance(torch.cat([wide, narrow]), narrow).tolist() == pytest.approx([plain, 0], rel=1e-3)


def test_kernel_distance_beats_every_whole_shift():
    """Brute force over plain whole-pixel shifts is an upper bound."""
    k, ref = rand(1, 1, 5, 5, dtype=torch.float64), rand(1, 1, 5, 5, seed=1, dtype=torch.float64)
    k, ref = k / k.sum(), ref / ref.sum()
    pad = torch.nn.functional.pad
    shifts = [pad(k, (4 + dx, 4 - dx, 4 + dy, 4 - dy)) for dy in range(-2, 3) for dx in range(-2, 3)]
    bound = min((s - pad(ref, (4,) * 4)).abs().sum().item() for s in shifts)
    assert kernel_distance(k, ref).item() <= bound + 1e-12


@pytest.mark.parametrize("sigma", [0.8, 1.5, 2.5])
def test_kernel_width(sigma):
    k = gaussian(25, sigma)
    assert kernel_width(k, floor=0).item() == pytest.approx(sigma, rel=0.01)
    assert kernel_width(k).item() == pytest.approx(sigma, rel=0.09)
    assert kernel_width(gaussian(25, sigma, 1.5, -2)).item() == pytest.approx(kernel_width(k).item(), rel=0.03)
    # a tenth of the mass in a pedestal, as a softmax leaves it, hardly moves the figure
    noisy = torch.softmax(torch.log(0.9 * k + 0.1 / 625).flatten() + 0.2 * (rand(625, seed=5, dtype=torch.float64) - 0.5), 0).view_as(k)
    assert abs(kernel_width(noisy).item() - kernel_width(k).item()) < 0.1 * sigma
    assert kernel_width(noisy, floor=0).item() < 4 and kernel_width(k, gaussian(25, sigma + 0.5)).item() < -0.3


def test_kernel_width_of_a_delta_and_a_line():
    delta = torch.zeros(1, 1, 7, 7)
    delta[..., 3, 3] = 1
    line = torch.zeros(1, 1, 7, 9)
    line[..., 3, :] = 1 / 9
    assert kernel_width(delta).item() == 0
    assert kernel_width(line, floor=0).item() == pytest.approx(math.sqrt((81 - 1) / 12 / 2))
