"""The hand-off: a known kernel and a denoiser, on planted truth."""

from __future__ import annotations

import pytest
import torch

from restorekit.degradations import gaussian_noise, round_to_8_bit
from restorekit.images import bundled
from restorekit.kernels import gaussian_kernel, kernel_moments, motion_kernel
from restorekit.methods.baselines import bicubic, tv_deconvolve, wiener
from restorekit.methods.baselines.tv import tv_denoiser
from restorekit.methods.handoff import each_channel, nonblind
from restorekit.metrics import psnr
from restorekit.nets import USRNet, load_denoiser
from restorekit.operators import BlurDown


def gen(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def observe(name: str, scale: int, sigma: float, padding: str, *, gray: bool = True, shift=(0, 0)):
    """x, y, kernel: a Gaussian of unequal widths, then noise or rounding to 8 bit."""
    x = bundled(name, gray=gray, size=96)
    k = gaussian_kernel(4 * scale + 7, (1.8, 1.1), 0.6, shift)
    y = BlurDown(k, scale, padding)(x)
    return x, gaussian_noise(y, sigma, generator=gen()) if sigma else round_to_8_bit(y), k


def aligned(y: torch.Tensor, k: torch.Tensor, scale: int) -> torch.Tensor:
    return bicubic(y, scale, align=tuple(kernel_moments(k)[1][0].tolist()))


CASES = [("camera", 1, 0.02, "reflect"), ("camera", 2, 0.0, "circular"), ("camera", 2, 0.01, "reflect"), ("coins", 3, 0.0, "reflect")]


@pytest.mark.parametrize(("name", "scale", "sigma", "padding"), CASES)
def test_with_the_true_kernel_it_beats_simple_methods(name, scale, sigma, padding):
    x, y, k = observe(name, scale, sigma, padding)

    def score(guess):
        return psnr(guess, x, border=scale).item()

    mine = score(nonblind(y, k, scale, sigma=sigma, padding=padding))
    assert mine > score(aligned(y, k, scale)) + 2.5
    assert mine > score(wiener(y, k, sigma=max(sigma, 0.3 / 255), scale=scale, padding=padding)) + 0.7


def test_the_true_kernel_is_better_than_a_wrong_one():
    x, y, k = observe("camera", 2, 0.0, "reflect")
    right = psnr(nonblind(y, k, 2, sigma=0.0), x, border=2).item()
    for wrong in (gaussian_kernel(15, 0.6), gaussian_kernel(15, (1.8, 1.1), -0.6)):
        assert right > psnr(nonblind(y, wrong, 2, sigma=0.0), x, border=2).item() + 0.5


def test_the_result_lies_on_the_grid_of_the_kernels_centroid():
    """Kernel and observation moved together give the same picture: nothing is shifted on the way."""
    scores = []
    for shift in ((0, 0), (-0.5, -0.5), (1.2, -0.8)):
        x, y, k = observe("camera", 2, 0.0, "reflect", shift=shift)
        scores.append(psnr(nonblind(y, k, 2, sigma=0.0), x, border=4).item())
    assert max(scores) - min(scores) < 0.4


def test_color_is_restored_too():
    x, y, k = observe("cat", 2, 0.01, "reflect", gray=False)
    restored = nonblind(y, k, 2, sigma=0.01)
    assert restored.shape == x.shape
    assert psnr(restored, x, border=2) > psnr(aligned(y, k, 2), x, border=2) + 1.5


def test_any_denoiser_serves_and_more_iterations_are_asked_for():
    x, y, k = observe("camera", 2, 0.01, "reflect")
    seen = []

    def denoiser(v, sigma):
        seen.append(float(sigma))
        return tv_denoiser(20)(v, sigma)

    restored = nonblind(y, k, 2, sigma=0.01, denoiser=denoiser, iterations=5)
    assert len(seen) == 5 and seen == sorted(seen, reverse=True)
    assert psnr(restored, x, border=2) > psnr(aligned(y, k, 2), x, border=2)


def test_a_gray_denoiser_serves_each_channel():
    net = load_denoiser(1)
    D, x = each_channel(net), torch.rand(2, 3, 6, 8, generator=gen())
    by_hand = torch.cat([net(x[:, c : c + 1], torch.tensor([0.1, 0.2])) for c in range(3)], 1)
    torch.testing.assert_close(D(x, torch.tensor([0.1, 0.2])), by_hand)
    level = torch.rand(2, 1, 6, 8, generator=gen()) / 10
    torch.testing.assert_close(D(x, level)[1:, 2:], net(x[1:, 2:], level[1:]))
    torch.testing.assert_close(D(x, 0.1)[:, :1], net(x[:, :1], 0.1))


def test_kernels_and_pictures_pair_up_and_precision_stays():
    x, y, k = observe("camera", 2, 0.0, "reflect")
    kernels = torch.cat([k, gaussian_kernel(15, 1.0)])
    both = nonblind(y, kernels, 2, sigma=0.0, iterations=2)
    torch.testing.assert_close(
        both[1:], nonblind(y, kernels[1:], 2, sigma=0.0, iterations=2), atol=5e-3, rtol=0
    )  # conjugate gradients stop together
    assert nonblind(y.double(), k.double(), 2, sigma=0.0, iterations=1).dtype == torch.float64
    assert nonblind(y, motion_kernel(9, generator=gen()), 4, sigma=0.0, iterations=1).shape == (1, 1, 192, 192)


def test_usrnet_gets_a_periodic_picture_and_its_frame_is_cut():
    net = USRNet((4, 6, 8, 8), hidden=8, generator=gen()).eval().requires_grad_(False)
    y, k = torch.rand(1, 3, 12, 16, generator=gen()), gaussian_kernel(5, 1.0)
    torch.testing.assert_close(nonblind(y, k, 2, sigma=0.02, denoiser=net, padding="circular"), net(y, k, 2, 0.02))
    wide = torch.nn.functional.pad(y, (5, 5, 5, 5), mode="reflect")
    torch.testing.assert_close(nonblind(y, k, 2, sigma=0.02, denoiser=net), net(wide, k, 2, 0.02)[..., 10:-10, 10:-10])
    gray = nonblind(y[:, :1], k, 2, sigma=0.02, denoiser=net)
    color = nonblind(y[:, :1].expand(-1, 3, -1, -1), k, 2, sigma=0.02, denoiser=net)
    torch.testing.assert_close(gray, color.mean(1, keepdim=True))


def test_tv_as_a_baseline_and_the_hand_off_share_their_operator():
    """Both get the same A and start; with as good as no prior both fit y."""
    x, y, k = observe("camera", 2, 0.0, "circular")
    A = BlurDown(k, 2, "circular")
    for guess in (nonblind(y, k, 2, sigma=0.0, padding="circular"), tv_deconvolve(y, A, 1e-5, 60, x0=aligned(y, k, 2))):
        assert (A(guess) - y).square().mean().sqrt() < 3 / 255


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        ({"sigma": -0.1}, ValueError, "noise std"),
        ({"sigma": 25}, ValueError, "divide an 8-bit std"),
        ({"padding": "none"}, ValueError, "padding"),
        ({"scale": 5}, ValueError, "scale"),
        ({"iterations": 0}, ValueError, "at least 1"),
        ({"y": torch.rand(8, 8)}, ValueError, "B, C, H, W"),
        ({"kernel": torch.ones(1, 1, 3, 3, dtype=torch.float64) / 9}, TypeError, "dtype"),
    ],
)
def test_bad_input_is_refused(change, error, says):
    given = {"y": torch.rand(1, 1, 16, 16), "kernel": torch.full((1, 1, 3, 3), 1 / 9), "scale": 2, "sigma": 0.0, **change}
    y, kernel, scale = (given.pop(n) for n in ("y", "kernel", "scale"))
    with pytest.raises(error, match=says):
        nonblind(y, kernel, scale, **given)
