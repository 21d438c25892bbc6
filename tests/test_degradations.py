"""Degradations against their own equations: moments of noise, planted kernels and paths, determinism, bad input."""

import io
from math import cos, pi, sin

import numpy as np
import pytest
import torch
from PIL import Image

import restorekit
from restorekit.degradations import (
    CameraPath,
    Degradation,
    camera_shake,
    estimate_sigma,
    gaussian_noise,
    haze,
    jpeg,
    noise_map,
    poisson_noise,
    rain,
    round_to_8_bit,
)
from restorekit.images import bundled, bundled_depth
from restorekit.kernels import GaussianPrior, KernelPrior, gaussian_kernel, kernel_moments
from restorekit.operators import Blur, BlurDown


def gen(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def rand(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.rand(*shape, generator=gen(seed), dtype=dtype)


FLAT = torch.full((2, 1, 128, 128), 0.5)
CAT = bundled("cat", size=(96, 128))


def test_gaussian_noise_levels():
    for sigma, expected in ((0.1, [0.1, 0.1]), (torch.tensor([0.02, 0.2]), [0.02, 0.2])):
        n = gaussian_noise(FLAT, sigma, generator=gen()) - FLAT
        assert n.std((1, 2, 3)).tolist() == pytest.approx(expected, rel=0.03)
        assert (n.mean((1, 2, 3)).abs() < 3 * torch.tensor(expected) / 128).all()
    level = noise_map((128, 128), "quadrants", low=0.01, high=0.1)
    n = gaussian_noise(FLAT, level, generator=gen()) - FLAT
    quarters = [n[0, 0, i : i + 64, j : j + 64].std().item() for i in (0, 64) for j in (0, 64)]
    assert quarters == pytest.approx([0.01, 0.04, 0.07, 0.1], rel=0.06)
    assert torch.equal(gaussian_noise(FLAT, 0.0, generator=gen()), FLAT)
    assert gaussian_noise(FLAT.double(), 0.1, generator=gen()).dtype == torch.float64


def test_poisson_noise_moments():
    x = torch.tensor([0.2, 0.8]).view(2, 1, 1, 1).expand(2, 1, 256, 256)
    y = poisson_noise(x, 50.0, generator=gen())
    assert y.mean((1, 2, 3)).tolist() == pytest.approx([0.2, 0.8], rel=0.01)
    assert y.var((1, 2, 3)).tolist() == pytest.approx([0.2 / 50, 0.8 / 50], rel=0.03)
    assert torch.allclose(y * 50, (y * 50).round(), atol=1e-4)  # whole photons
    assert poisson_noise(-x, 50.0, generator=gen()).abs().max() == 0
    each = poisson_noise(x, torch.tensor([10.0, 1000.0]), generator=gen())
    assert each.var((1, 2, 3)).tolist() == pytest.approx([0.2 / 10, 0.8 / 1000], rel=0.05)


def test_noise_maps():
    for kind in ("quadrants", "ramp", "spot"):
        level = noise_map((21, 31), kind, low=0.02, high=0.06)
        assert level.shape == (1, 1, 21, 31) and level.min() >= 0.02 - 1e-7
        assert level.max().item() == pytest.approx(0.06)
    assert noise_map((21, 31), "ramp")[0, 0, 5, 15].item() == pytest.approx(0.03)
    spot = noise_map((21, 31), "spot", low=0.0, high=0.06)[0, 0]
    assert spot.argmax().item() == 10 * 31 + 15 and torch.allclose(spot, spot.flip(0).flip(1))


def test_jpeg_is_pillow():
    x = torch.cat([CAT, CAT.flip(3)])
    y = jpeg(x, [30, 80])
    for i, quality in enumerate((30, 80)):
        pixels = (x[i].permute(1, 2, 0) * 255).round().byte().numpy()
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "JPEG", quality=quality, subsampling=2)
        assert torch.equal((y[i].permute(1, 2, 0) * 255).round().byte(), torch.from_numpy(np.array(Image.open(buffer))))
    errors = [(jpeg(CAT, q) - CAT).square().mean().item() for q in (10, 40, 90)]
    assert errors == sorted(errors, reverse=True)
    gray = jpeg(CAT[:, :1].double(), 95)
    assert gray.shape == (1, 1, 96, 128) and gray.dtype == torch.float64 and (gray - CAT[:, :1]).abs().mean() < 0.01


def test_estimate_sigma():
    x = torch.linspace(0, 1, 200)[:, None] * torch.ones(200) * 0.5 + 0.2  # a plane is invisible to the mask
    x = x.expand(3, 1, 200, 200)
    truth = torch.tensor([0.01, 0.05, 0.1])
    y = gaussian_noise(x, truth, generator=gen())
    assert estimate_sigma(y).tolist() == pytest.approx(truth.tolist(), rel=0.03)
    assert estimate_sigma(y, robust=True).tolist() == pytest.approx(truth.tolist(), rel=0.03)
    assert estimate_sigma(x).max() < 1e-6
    by_hand = [
        abs(sum(w * y[0, 0, i + a, j + b].item() for (a, b), w in np.ndenumerate([[1, -2, 1], [-2, 4, -2], [1, -2, 1]])))
        for i in range(4)
        for j in range(4)
    ]
    assert estimate_sigma(y[:1, :, :6, :6]).item() == pytest.approx((pi / 2) ** 0.5 / (6 * 16) * sum(by_hand), rel=1e-5)
    # robust: less disturbed by the texture of a real picture
    assert estimate_sigma(CAT, robust=True) < estimate_sigma(CAT)


def test_estimate_sigma_map():
    level = noise_map((128, 128), "ramp", low=0.02, high=0.1)
    y = gaussian_noise(torch.full((1, 3, 128, 128), 0.5), level, generator=gen())
    found = estimate_sigma(y, window=25)
    assert found.shape == (1, 1, 128, 128)
    assert (found / level - 1).abs().mean() < 0.1


def test_rain_is_additive_and_seeded():
    x = torch.cat([CAT, CAT])
    y, layer = rain(x, generator=gen(3))
    assert layer.shape == (2, 1, 96, 128) and layer.min() >= 0 and layer.max() > 0.3
    assert torch.equal(y, x + layer)
    assert not torch.equal(layer[0], layer[1])
    again, _ = rain(x, generator=gen(3))
    assert torch.equal(y, again)
    assert rain(x, density=0, generator=gen())[1].max() == 0
    light, heavy = (rain(x, density=d, generator=gen())[1].mean() for d in (30, 300))
    assert heavy / light == pytest.approx(10, rel=0.4)


@pytest.mark.parametrize("angle", [-0.6, 0.0, 0.6])
def test_rain_falls_along_its_angle(angle):
    """The mean autocorrelation of the streaks has its long axis along (cos angle, sin angle) in (rows, columns)."""
    _, layer = rain(torch.zeros(1, 1, 256, 256), angle=angle, density=20, length=30, generator=gen(1))
    s = layer[0, 0] - layer.mean()
    auto = torch.fft.fftshift(torch.fft.irfft2(torch.fft.rfft2(s).abs() ** 2, s=(256, 256)))[118:139, 118:139].clamp_min(0)
    _, _, covariance = kernel_moments(auto[None, None])
    _, axes = torch.linalg.eigh(covariance[0])
    long = axes[:, 1] * axes[0, 1].sign()
    assert torch.atan2(long[1], long[0]).item() == pytest.approx(angle, abs=0.12)


def test_haze():
    picture, depth = bundled_depth(size=(60, 90))
    y, t = haze(picture, depth, beta=0.5, airlight=0.8)
    assert torch.allclose(t, torch.exp(-0.5 * depth)) and torch.allclose(y, t * picture + (1 - t) * 0.8, atol=1e-6)
    assert torch.allclose(haze(picture, depth, beta=0.0)[0], picture)
    thick, _ = haze(picture, depth, beta=20.0, airlight=torch.tensor([0.7, 0.8, 0.9]))
    assert torch.allclose(thick.mean((2, 3)), torch.tensor([[0.7, 0.8, 0.9]]), atol=1e-4)
    two, t2 = haze(torch.cat([picture, picture]), depth, beta=torch.tensor([0.5, 1.0]), airlight=0.8)
    assert torch.allclose(two[:1], y) and t2.shape == (2, 1, 60, 90)


def test_camera_shake_without_turning_is_a_convolution():
    x = rand(2, 3, 40, 51, dtype=torch.float64)
    y, path = camera_shake(x, extent=7.5, generator=gen(2))
    kernel = path.kernel_at(3, 40)
    assert torch.allclose(kernel, path.kernel_at(20, 9))  # the same everywhere
    assert (y - Blur(kernel, "replicate")(x)).abs().max() < 1e-9
    assert kernel.sum((2, 3)).flatten().tolist() == pytest.approx([1, 1])
    assert kernel_moments(kernel)[1].abs().max() < 1e-6  # mean displacement 0: the picture stays where it is
    spread = torch.cdist(path.shifts, path.shifts).amax((1, 2))
    assert spread.tolist() == pytest.approx([7.5, 7.5])
    steps = path.shifts.diff(dim=1).norm(dim=2)
    assert steps.max() < 5 * 7.5 / 64 * 3  # smooth: no jumps
    assert not torch.allclose(path.shifts[0], path.shifts[1])


def test_signs_of_a_camera_path():
    """Positive shifts move content down and right; positive angles turn columns towards rows: the right side moves down."""

    def centroid(shift: list[float], angle: float) -> list[float]:
        path = CameraPath(torch.tensor([[shift]], dtype=torch.float64), torch.tensor([[angle]], dtype=torch.float64), (81, 81))
        return kernel_moments(path.kernel_at(40, 75))[1][0].tolist()

    assert centroid([2.0, -1.5], 0.0) == pytest.approx([2.0, -1.5])
    assert centroid([0.0, 0.0], 0.1) == pytest.approx([35 * sin(0.1), 35 * (1 - cos(0.1))])


def test_camera_shake_turning():
    """Only turning: the centre stays sharp, and each dot far from it is smeared by the local kernel."""
    x = torch.zeros(1, 1, 81, 81, dtype=torch.float64)
    x[..., 40, 40] = x[..., 40, 75] = x[..., 8, 40] = 1
    y, path = camera_shake(x, extent=0.0, rotation=0.12, samples=96, generator=gen(4))
    assert (path.angles.amax(1) - path.angles.amin(1)).item() == pytest.approx(0.12)
    assert y[0, 0, 40, 40].item() == pytest.approx(1, abs=1e-9)
    for row, column in ((40, 75), (8, 40)):
        local = path.kernel_at(row, column)
        r = local.shape[-1] // 2
        smear = torch.nn.functional.pad(y, (r,) * 4)[..., row : row + 2 * r + 1, column : column + 2 * r + 1]
        found, expected = kernel_moments(smear), kernel_moments(local)
        assert (found[1] - expected[1]).abs().max() < 0.25 and (found[2] - expected[2]).abs().max() < 0.5
    tall, wide = kernel_moments(path.kernel_at(40, 75))[2][0], kernel_moments(path.kernel_at(8, 40))[2][0]
    assert tall[0, 0] > 4 * tall[1, 1] and wide[1, 1] > 4 * wide[0, 0]


def test_camera_shake_in_linear_light():
    x = rand(1, 1, 30, 30)
    y, path = camera_shake(x, extent=5, gamma=2.2, generator=gen())
    expected = Blur(path.kernel_at(0, 0).float(), "replicate")(x**2.2) ** (1 / 2.2)
    assert torch.allclose(y, expected, atol=1e-4)
    assert torch.allclose(camera_shake(torch.full_like(x, 0.3), gamma=2.2, generator=gen())[0], torch.tensor(0.3))


@pytest.mark.parametrize("scale", [1, 2, 3])
@pytest.mark.parametrize("padding", ["circular", "reflect"])
def test_degradation_can_be_rebuilt(scale, padding):
    x = torch.cat([CAT, CAT.flip(2)])
    d = Degradation(GaussianPrior(11), scale, padding, noise=(0.01, 0.05), jpeg=(60, 90), quantize=True)
    y, truth = d(x, generator=gen(7))
    again, same = d(x, generator=gen(7))
    assert torch.equal(y, again) and torch.equal(truth.kernel, same.kernel) and truth.quality == same.quality
    assert not torch.equal(y, d(x, generator=gen(8))[0])
    assert y.shape == (2, 3, -(-96 // scale), -(-128 // scale))
    assert truth.kernel.shape == (2, 1, 11, 11) and not torch.equal(truth.kernel[0], truth.kernel[1])
    assert truth.sigma.shape == (2,) and truth.sigma.min() >= 0.01 and truth.sigma.max() <= 0.05
    assert all(60 <= q <= 90 for q in truth.quality)
    assert torch.equal(truth.operator(x), BlurDown(truth.kernel, scale, padding)(x))
    # from the recorded draws, with the generator brought to the same place: bit by bit the same
    replay = gen(7)
    GaussianPrior(11).sample(2, generator=replay)
    torch.rand(2, generator=replay)
    noisy = gaussian_noise(truth.operator(x), truth.sigma, generator=replay)
    assert torch.equal(jpeg(round_to_8_bit(noisy), truth.quality), y)


def test_degradation_parts_are_optional():
    y, truth = Degradation()(CAT, generator=gen())
    assert torch.equal(y, CAT) and truth.sigma is None and truth.quality is None and truth.kernel.shape == (1, 1, 1, 1)
    assert torch.equal(Degradation(scale=2)(CAT, generator=gen())[0], CAT[..., ::2, ::2])
    k = gaussian_kernel(7, 1.2)
    assert torch.equal(Degradation(k)(CAT, generator=gen())[0], Blur(k)(CAT))
    y, truth = Degradation(noise=0.1)(torch.cat([FLAT, FLAT]), generator=gen())
    assert truth.sigma.tolist() == pytest.approx([0.1] * 4) and (y - 0.5).std().item() == pytest.approx(0.1, rel=0.02)
    level = noise_map((48, 64), "spot")
    y, truth = Degradation(scale=2, noise=level)(CAT.double(), generator=gen())
    assert y.dtype == torch.float64 and torch.equal(truth.sigma, level.double())
    y, _ = Degradation(noise=0.3, quantize=True)(CAT, generator=gen())
    assert y.min() >= 0 and y.max() <= 1 and torch.allclose(y * 255, (y * 255).round(), atol=1e-4)


class NotAPrior(KernelPrior):
    def _draw(self, n: int, generator: torch.Generator) -> torch.Tensor:
        return torch.ones(n, 1, self.size, self.size)


@pytest.mark.parametrize(
    ("call", "error", "part"),
    [
        (lambda: gaussian_noise(FLAT, -0.1, generator=gen()), ValueError, "0 or more"),
        (lambda: gaussian_noise(FLAT, float("nan"), generator=gen()), ValueError, "finite"),
        (lambda: gaussian_noise(FLAT, torch.ones(3), generator=gen()), ValueError, "one number"),
        (lambda: gaussian_noise(FLAT, torch.ones(1, 1, 4, 4), generator=gen()), ValueError, "one number"),
        (lambda: gaussian_noise(FLAT, 0.1, generator=0), TypeError, "manual_seed"),
        (lambda: gaussian_noise(FLAT[0], 0.1, generator=gen()), ValueError, "B, C, H, W"),
        (lambda: gaussian_noise(FLAT / 0, 0.1, generator=gen()), ValueError, "NaN"),
        (lambda: poisson_noise(FLAT, 0, generator=gen()), ValueError, "photons"),
        (lambda: noise_map((8, 8), "swirl"), ValueError, "quadrants"),
        (lambda: noise_map((8, 8), low=0.2, high=0.1), ValueError, "low <= high"),
        (lambda: jpeg(FLAT, 0), ValueError, "1 to 95"),
        (lambda: jpeg(FLAT, [50]), ValueError, "one a picture"),
        (lambda: jpeg(rand(1, 4, 8, 8), 50), ValueError, "1 or 3"),
        (lambda: estimate_sigma(FLAT[..., :2]), ValueError, "sides from 3"),
        (lambda: estimate_sigma(FLAT, window=4), ValueError, "odd window"),
        (lambda: rain(FLAT, width=0, generator=gen()), ValueError, "width above 0"),
        (lambda: rain(FLAT, density=-1, generator=gen()), ValueError, "density=-1"),
        (lambda: haze(FLAT, rand(2, 1, 9, 9)), ValueError, "resize the depth"),
        (lambda: haze(FLAT, -FLAT), ValueError, "depth from"),
        (lambda: haze(FLAT, FLAT, airlight=3.0), ValueError, "airlight"),
        (lambda: camera_shake(FLAT, samples=1, generator=gen()), ValueError, "samples from 2"),
        (lambda: Degradation(scale=0), ValueError, "scale=0"),
        (lambda: Degradation(scale=5), ValueError, "scale=5"),
        (lambda: Degradation(kernel="gaussian"), TypeError, "KernelPrior"),
        (lambda: Degradation(noise=(0.2, 0.1)), ValueError, "low <= high"),
        (lambda: Degradation(jpeg=(0, 200)), ValueError, "95"),
        (lambda: Degradation(gaussian_kernel(5, 1).repeat(3, 1, 1, 1))(FLAT, generator=gen()), ValueError, "3 kernels for 2"),
        (lambda: Degradation(NotAPrior(5))(FLAT, generator=gen()), ValueError, "sum to 1"),
        (lambda: Degradation(noise=0.1)(FLAT, generator=None), TypeError, "torch.Generator"),
    ],
)
def test_bad_input(call, error, part):
    with pytest.raises(error, match=part):
        call()


def test_top_level_names():
    assert restorekit.Degradation is Degradation and restorekit.camera_shake is camera_shake and restorekit.rain is rain
