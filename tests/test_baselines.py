"""Baselines against definitions: exact grids, closed forms by dense matrices, scikit-image, and what they gain on a picture."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from skimage import data
from skimage.restoration import denoise_tv_chambolle
from torch import Tensor

from restorekit._random import rand, randn
from restorekit.kernels import align_centroid, gaussian_kernel, kernel_moments
from restorekit.methods.baselines import (
    bicubic,
    bicubic_downsample,
    generic_deconvolution,
    generic_width,
    richardson_lucy,
    total_variation,
    tv_deconvolve,
    tv_denoise,
    tv_denoiser,
    wiener,
)
from restorekit.methods.baselines.tv import gradient, gradient_adjoint
from restorekit.operators import Blur, BlurDown, Identity, operator_norm
from restorekit.solvers import PGD, run

F64 = torch.float64
ALIGNS: list[Any] = ["resize", "phase0", (0.3, -1.7)]


def noise(*shape: int, seed: int = 0) -> Tensor:
    return rand(shape, generator=torch.Generator().manual_seed(seed), like=torch.empty(0, dtype=F64))


def camera(size: int = 96) -> Tensor:
    picture = torch.from_numpy(data.camera().astype(np.float64) / 255)[None, None]
    return F.interpolate(picture[..., 60:444, 120:504], size=(size, size), mode="bicubic", antialias=True, align_corners=False).clamp(0, 1)


def mse(a: Tensor, b: Tensor, border: int = 0) -> float:
    d = a - b
    return d[..., border : d.shape[-2] - border, border : d.shape[-1] - border].square().mean().item()


# --- bicubic


@pytest.mark.parametrize("scale", [1, 2, 3, 4])
def test_bicubic_on_the_grid_of_resizing_equals_torch(scale: int) -> None:
    y = noise(2, 3, 11, 14)
    torch_says = F.interpolate(y, scale_factor=scale, mode="bicubic", align_corners=False)
    assert torch.allclose(bicubic(y, scale), torch_says, atol=1e-12)
    assert torch.allclose(bicubic(y.float(), scale), torch_says.float(), atol=1e-6)


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("align", ALIGNS)
def test_bicubic_samples_a_ramp_at_the_stated_positions(scale: int, align: Any) -> None:
    h, w = 16, 18
    i, j = torch.meshgrid(torch.arange(h, dtype=F64), torch.arange(w, dtype=F64), indexing="ij")
    my, mx = align_centroid(align, scale)
    # low-resolution pixel i lies at s i - m: there the picture 0.02 p - 0.01 q has these values
    y = 0.02 * (scale * i - my) - 0.01 * (scale * j - mx)
    p, q = torch.meshgrid(torch.arange(scale * h, dtype=F64), torch.arange(scale * w, dtype=F64), indexing="ij")
    x = 0.02 * p - 0.01 * q
    b = 3 * scale
    # a = -0.75 does not reproduce a ramp between its samples; the error of h is at most 0.5 * |a + 1/2| * slope * s
    assert mse(bicubic(y[None, None], scale, align=align), x, b) ** 0.5 < 0.125 * 0.03 * scale


def test_bicubic_at_grid_points_returns_the_samples() -> None:
    y = noise(1, 1, 12, 12)
    m = (4.0, -8.0)  # whole low-resolution pixels at scale 4: every fourth pixel is a sample, moved by 1 and -2
    x = bicubic(y, 4, align=m)
    assert torch.allclose(x[..., 0:44:4, 8::4], y[..., 1:, :10], atol=1e-12)


def test_bicubic_of_a_subpixel_shift_is_the_shifted_convolution() -> None:
    """Impulse at 6: pixel p of the result is h((p + m)/s - 6), Keys' kernel written out."""
    y = torch.zeros(1, 1, 1, 13, dtype=F64)
    y[..., 6] = 1
    s, m, a = 3, 0.4, -0.75

    def h(d: float) -> float:
        d = abs(d)
        if d <= 1:
            return (a + 2) * d**3 - (a + 3) * d**2 + 1
        return a * d**3 - 5 * a * d**2 + 8 * a * d - 4 * a if d < 2 else 0.0

    expected = torch.tensor([h((p + m) / s - 6) for p in range(39)], dtype=F64)
    assert torch.allclose(bicubic(y, s, align=(0.0, m))[0, 0, 1], expected, atol=1e-12)


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("align", ALIGNS)
def test_aligned_bicubic_fits_what_a_kernel_of_that_centroid_made(scale: int, align: Any) -> None:
    m = align_centroid(align, scale)
    x = camera()
    k = gaussian_kernel(19, 0.5 * scale, shift=m, dtype=F64)
    assert torch.allclose(kernel_moments(k)[1], torch.tensor([m], dtype=F64), atol=0.05)
    y = BlurDown(k, scale, "reflect")(x)
    right = mse(bicubic(y, scale, align=align), x, 8)
    for other in ((m[0] + 1, m[1]), (m[0], m[1] - 1), (m[0] - 1, m[1])):
        assert right < mse(bicubic(y, scale, align=other), x, 8)


def test_bicubic_of_sizes_that_do_not_divide() -> None:
    x = noise(1, 1, 13, 18)
    y = BlurDown(gaussian_kernel(5, 1.0, dtype=F64), 4)(x[..., :, :])
    out = bicubic(y, 4, align="phase0", size=(13, 18))
    assert out.shape == x.shape and torch.equal(out, bicubic(y, 4, align="phase0")[..., :13, :18])


def test_bicubic_downsample_keeps_ramps_and_the_grid_of_resizing() -> None:
    p = torch.arange(48, dtype=F64)
    x = (0.01 * p)[None, None, None].expand(1, 1, 48, 48)
    y = bicubic_downsample(x.contiguous(), 4)
    assert torch.allclose(y[..., 3:-3], (0.01 * (4 * p[:12] + 1.5))[3:-3].expand(1, 1, 12, 6), atol=1e-9)


def test_bicubic_downsample_has_the_parameter_minus_one_half() -> None:
    x = torch.zeros(1, 1, 1, 24, dtype=F64)
    x[..., 11] = 1
    a, s = -0.5, 2
    d = [abs((11 - (s * j + 0.5)) / s) for j in range(12)]
    h = torch.tensor(
        [(a + 2) * t**3 - (a + 3) * t**2 + 1 if t <= 1 else (a * (t**3 - 5 * t**2 + 8 * t - 4) if t < 2 else 0.0) for t in d], dtype=F64
    )
    assert torch.allclose(bicubic_downsample(x.expand(1, 1, 2, 24).contiguous(), s)[0, 0, 0], h / 2, atol=1e-9)


# --- Wiener


def dense(A: BlurDown, h: int, w: int) -> Tensor:
    return torch.stack([A(e.reshape(1, 1, h, w)).flatten() for e in torch.eye(h * w, dtype=F64)], 1)


@pytest.mark.parametrize("padding", ["circular", "reflect", "replicate", "zero"])
@pytest.mark.parametrize("prior", ["natural", "flat"])
def test_wiener_solves_its_least_squares(padding: str, prior: str) -> None:
    h, w, r = 7, 8, 0.03
    k = gaussian_kernel(3, (0.9, 0.6), 0.5, (0.2, 0.0), dtype=F64)
    A = BlurDown(k, 1, padding)
    y, M = noise(1, 1, h, w), dense(BlurDown(k, 1, padding), h, w)
    x = wiener(y, k, noise_to_signal=r, prior=prior, padding=padding).flatten()
    if prior == "flat":
        v = y.mean().expand(h * w)
        residual = M.T @ (M @ x - y.flatten()) + r * (x - v)
    elif padding == "circular":
        X = x.reshape(h, w)
        laplacian = 4 * X - X.roll(1, 0) - X.roll(-1, 0) - X.roll(1, 1) - X.roll(-1, 1)
        residual = M.T @ (M @ x - y.flatten()) + r * laplacian.flatten()
    else:
        residual = M.T @ (M @ x - y.flatten()) + r * gradient_adjoint(gradient(x.reshape(1, 1, h, w))).flatten()
    assert A.padding == padding and residual.abs().max() < 1e-8


def test_wiener_without_noise_inverts_a_mild_blur() -> None:
    k = gaussian_kernel(5, 0.6, dtype=F64)
    x = noise(2, 3, 16, 17)
    for prior in ("natural", "flat"):
        assert torch.allclose(wiener(Blur(k)(x), k, noise_to_signal=1e-9, prior=prior), x, atol=1e-5)


@pytest.mark.parametrize("prior", ["natural", "flat"])
def test_wiener_from_sigma_is_near_the_best_ratio(prior: str) -> None:
    k, x = gaussian_kernel(11, 1.5, dtype=F64), camera()
    y = Blur(k)(x) + 0.02 * randn(x.shape, generator=torch.Generator().manual_seed(0), like=x)
    best = min(mse(wiener(y, k, noise_to_signal=r, prior=prior), x) for r in np.geomspace(1e-4, 1, 17).tolist())
    assert mse(wiener(y, k, sigma=0.02, prior=prior), x) < 1.25 * best < mse(y, x)


def test_wiener_of_a_batch_treats_each_picture_by_itself() -> None:
    k = torch.cat([gaussian_kernel(7, s, dtype=F64) for s in (0.8, 1.5)])
    y = noise(2, 1, 16, 16)
    both = wiener(y, k, sigma=0.02)
    assert torch.allclose(both[1:], wiener(y[1:], k[1:], sigma=0.02), atol=1e-12)


@pytest.mark.parametrize("align", ["resize", "phase0"])
def test_wiener_super_resolution_beats_aligned_bicubic(align: str) -> None:
    m = align_centroid(align, 2)  # type: ignore[arg-type]
    k, x = gaussian_kernel(11, 1.4, shift=m, dtype=F64), camera()
    y = BlurDown(k, 2)(x)
    assert mse(wiener(y, k, sigma=0.5 / 255, scale=2), x) < 0.7 * mse(bicubic(y, 2, align=align), x)


# --- Richardson-Lucy


@pytest.mark.parametrize("size", [(5, 5), (4, 6)])
def test_richardson_lucy_has_our_convention_of_convolution(size: tuple[int, int]) -> None:
    """An off-center asymmetric kernel: its mirror image or a shift of one pixel would leave a displaced picture."""
    k = noise(1, 1, *size, seed=3)
    k[..., 0, 0] += 20
    k = k / k.sum()
    x = camera(48)
    restored = richardson_lucy(Blur(k)(x), k, 60, padding="circular")
    assert mse(restored, x, 4) < 0.05 * mse(Blur(k)(x), x, 4)
    for roll in ((1, 2), (-1, 2), (1, 3), (-1, 3)):
        assert mse(restored, x, 4) < mse(restored.roll(*roll), x, 4)


def test_richardson_lucy_equals_its_formula() -> None:
    """Where the border is zero on both sides, the iteration written with our operator is the same."""
    k = gaussian_kernel(5, (1.0, 0.6), 0.3, dtype=F64)
    A = Blur(k, "zero")
    inner = F.pad(camera(24), (20, 20, 20, 20))
    y = A(inner)
    x = torch.full_like(y, 0.5)
    for _ in range(4):
        x = x * A.adjoint(y / (A(x) + 1e-12))
    assert torch.allclose(richardson_lucy(y, k, 4, padding="zero")[..., 15:-15, 15:-15], x[..., 15:-15, 15:-15], atol=1e-9)


def test_richardson_lucy_takes_negative_values_as_zero() -> None:
    y = noise(1, 1, 12, 12) - 0.2
    k = gaussian_kernel(3, 0.7, dtype=F64)
    assert torch.equal(richardson_lucy(y, k, 5), richardson_lucy(y.clamp(min=0), k, 5))


def test_richardson_lucy_keeps_dtype_batch_and_bright_pixels() -> None:
    y = 3 * noise(2, 3, 12, 13).float()
    out = richardson_lucy(y, gaussian_kernel(3, 0.5), 5)
    assert out.shape == y.shape and out.dtype == torch.float32 and out.max() > 1.5
    assert torch.allclose(out[1:], richardson_lucy(y[1:], gaussian_kernel(3, 0.5), 5))


# --- total variation


def test_gradient_adjoint_is_one() -> None:
    x, p = noise(2, 3, 7, 9), noise(2, 3, 2, 7, 9, seed=1)
    assert torch.allclose((gradient(x) * p).sum(), (x * gradient_adjoint(p)).sum(), atol=1e-12)


def test_total_variation_of_a_square() -> None:
    x = torch.zeros(2, 1, 10, 10, dtype=F64)
    x[1, :, 3:7, 3:7] = 1
    # forward differences: 16 sides of length 1, of which two meet at the last corner
    assert torch.allclose(total_variation(x), torch.tensor([0.0, 14 + 2**0.5], dtype=F64))


def test_tv_denoise_of_a_step_lowers_both_sides_by_the_known_amount() -> None:
    """One row, left half 0, right half 1, n pixels each: the minimiser moves each side by weight / n."""
    x = torch.cat([torch.zeros(1, 1, 1, 8, dtype=F64), torch.ones(1, 1, 1, 8, dtype=F64)], -1)
    z = tv_denoise(x, 0.4, 2000)
    assert torch.allclose(z, 0.05 + 0.9 * x, atol=1e-4)


def test_tv_denoise_optimality_gap_and_weights() -> None:
    x, weight = noise(2, 3, 12, 11), 0.1
    z = tv_denoise(x, weight, 800)
    # duality: the minimiser satisfies <x - z, z> = weight TV(z)
    gap = weight * total_variation(z) - ((x - z) * z).sum((1, 2, 3))
    assert gap.abs().max() < 1e-4
    assert torch.equal(tv_denoise(x, 0.0), x)
    per_picture = tv_denoise(x, torch.tensor([0.05, 0.2], dtype=F64))
    assert torch.allclose(per_picture[1:], tv_denoise(x[1:], 0.2), atol=1e-12)
    assert torch.allclose(tv_denoise(x, torch.full((2, 1, 12, 11), 0.05, dtype=F64)), tv_denoise(x, 0.05), atol=1e-12)
    assert torch.allclose(tv_denoise(x, 0.05)[:, 1:2], tv_denoise(x[:, 1:2], 0.05), atol=1e-12)
    assert torch.equal(tv_denoiser()(x, 0.3), tv_denoise(x, 0.3**2))


def test_tv_denoise_reaches_at_least_the_energy_of_scikit_image() -> None:
    x = camera(48)
    x = x + 0.1 * randn(x.shape, generator=torch.Generator().manual_seed(0), like=x)
    # scikit-image minimises 1/2 |z - x|^2 + weight/2 ... up to its own scaling: compare energies at its solution
    theirs = torch.from_numpy(denoise_tv_chambolle(x[0, 0].numpy(), weight=0.1, eps=1e-9, max_num_iter=3000))[None, None]

    def energy(z: Tensor) -> float:
        return (0.5 * (z - x).square().sum() + 0.1 * total_variation(z).sum()).item()

    assert energy(tv_denoise(x, 0.1, 300)) <= energy(theirs) + 1e-3


def test_tv_deconvolve_is_the_pgd_minimiser_and_restores() -> None:
    k, x = gaussian_kernel(11, 1.5, dtype=F64), camera()
    A = Blur(k, "reflect")
    y = A(x) + 0.01 * randn(x.shape, generator=torch.Generator().manual_seed(0), like=x)
    restored = tv_deconvolve(y, A)
    assert mse(restored, x) < 0.75 * mse(y, x)
    long = run(PGD(A, y, tv_denoiser(40), 1e-3, accelerated=True), 300).image
    assert mse(restored, long) < 0.02 * mse(y, x)
    assert torch.allclose(tv_deconvolve(x, Identity(), 0.02, 3), tv_denoise(x, 0.02, 20), atol=1e-3)


@pytest.mark.parametrize("padding", ["reflect", "replicate"])
def test_tv_deconvolve_stays_stable_where_the_operator_amplifies(padding: str) -> None:
    A = Blur(gaussian_kernel(19, 3.0, shift=(3.0, 3.0), dtype=F64), padding)
    x = camera(48)
    y = A(x)
    assert operator_norm(A, (1, 1, 48, 48), generator=torch.Generator().manual_seed(0)) > 1.1
    assert mse(tv_deconvolve(y, A, n_iter=150), x, 8) < mse(y, x, 8)


# --- deconvolution with a guessed kernel


@pytest.mark.parametrize("scale", [1, 2, 4])
@pytest.mark.parametrize("align", ["resize", "phase0", (0.4, -0.3)])
def test_generic_deconvolution_lies_on_the_grid_and_beats_bicubic(scale: int, align: Any) -> None:
    m = align_centroid(align, scale)
    x = camera()
    k = gaussian_kernel(4 * scale + 7, ((1.1 * scale) ** 0.5, (1.8 * scale) ** 0.5), 0.7, m, dtype=F64)
    y = BlurDown(k, scale, "reflect")(x)
    guessed = generic_deconvolution(y, scale, align=align)
    border = 2 * scale
    assert mse(guessed, x, border) < 0.85 * mse(bicubic(y, scale, align=align), x, border)
    for roll in ((1, 2), (-1, 2), (1, 3), (-1, 3)):
        assert mse(guessed, x, border) < mse(guessed.roll(*roll), x, border)


def test_generic_deconvolution_of_sizes_that_do_not_divide() -> None:
    y = BlurDown(gaussian_kernel(5, 1.0), 2, "reflect")(camera(33).float())
    assert generic_deconvolution(y, 2, size=(33, 33), n_iter=3).shape == (1, 1, 33, 33)
    assert generic_width(2) == pytest.approx(1.3375**0.5 * 2**0.5)
