"""Kernels: moments with known values, the simplex against brute force, priors that keep their word."""

from math import pi

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import restorekit as rk
from restorekit.kernels import align_centroid


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_gaussian_has_the_covariance_it_was_asked_for():
    # wide window, std above 1 px: sampling and truncation are negligible
    k = rk.gaussian_kernel(41, (3.0, 1.5), 0.7, dtype=torch.float64)
    mass, centroid, covariance = rk.kernel_moments(k)
    along = torch.tensor([torch.sin(torch.tensor(0.7)), torch.cos(torch.tensor(0.7))], dtype=torch.float64)
    assert mass.item() == pytest.approx(1, abs=1e-12)
    assert centroid.abs().max() < 1e-9
    assert (along @ covariance[0] @ along).item() == pytest.approx(9, abs=1e-3)
    assert covariance[0].trace().item() == pytest.approx(9 + 2.25, abs=1e-3)


@pytest.mark.parametrize("theta", [0.0, 0.4, 2.0])
def test_gaussian_angle_is_periodic_and_swaps_axes(theta):
    k = rk.gaussian_kernel(15, (2.0, 1.0), theta)
    assert torch.allclose(k, rk.gaussian_kernel(15, (2.0, 1.0), theta + pi), atol=1e-6)
    assert torch.allclose(k, rk.gaussian_kernel(15, (1.0, 2.0), theta + pi / 2), atol=1e-6)


def test_angle_zero_lies_along_columns():
    covariance = rk.kernel_moments(rk.gaussian_kernel(25, (3.0, 1.0)))[2][0]
    assert covariance[1, 1] > 8 > 2 > covariance[0, 0]


@pytest.mark.parametrize("scale", [1, 2, 3, 4])
@pytest.mark.parametrize("align", ["resize", "phase0", (0.3, -0.8)])
def test_prior_holds_the_centroid_of_the_truncated_kernel(scale, align):
    prior = rk.GaussianPrior(4 * scale + 3, align_centroid(align, scale), (0.175 * scale, 2.5 * scale))
    k = prior.sample(40, generator=generator())
    assert (rk.kernel_moments(k)[1] - torch.tensor(prior.centroid)).abs().max() < 0.01


def test_random_variances_fill_the_range():
    k = rk.random_gaussian_kernel(33, 400, variance=(2.0, 6.0), generator=generator())
    eigenvalues = torch.linalg.eigvalsh(rk.kernel_moments(k)[2])
    assert eigenvalues.min() > 1.95 and eigenvalues.max() < 6.05
    # mean of uniform(2, 6) over 800 draws: 4 +- 4 standard errors of 1.155 / sqrt(800)
    assert eigenvalues.mean().item() == pytest.approx(4, abs=0.17)


def test_window_too_small_for_the_centroid_is_an_error():
    with pytest.raises(ValueError, match="enlarge size"):
        rk.random_gaussian_kernel(5, variance=(20.0, 20.0), centroid=(-2.5, 0), generator=generator())


@given(st.integers(1, 4), st.integers(1, 5), st.integers(0, 10**6))
@settings(max_examples=40, deadline=None)
def test_simplex_projection_satisfies_its_optimality_conditions(rows, cols, seed):
    k = 2 * torch.randn(2, 1, rows, cols, generator=generator(seed), dtype=torch.float64)
    p = rk.project_simplex(k)
    assert p.min() >= 0 and torch.allclose(p.sum((1, 2, 3)), torch.ones(2, dtype=torch.float64))
    # <k - p, q - p> <= 0 for every vertex q of the simplex
    slack = (k - p).flatten(1) - ((k - p) * p).sum((1, 2, 3))[:, None]
    assert slack.max() < 1e-9


def test_simplex_projection_keeps_a_probability():
    k = rk.disk_kernel(9, 3.0)
    assert torch.allclose(rk.project_simplex(k), k, atol=1e-7)


def test_line_and_disk_have_their_textbook_variances():
    line = rk.kernel_moments(rk.line_kernel(31, 20.0, 0.5))[2][0]
    assert line.trace().item() == pytest.approx(20**2 / 12, rel=0.02)
    disk = rk.kernel_moments(rk.disk_kernel(31, 9.0))[2][0]
    assert disk[0, 0].item() == pytest.approx(9**2 / 4, rel=0.01)
    assert disk[0, 1].abs() < 1e-6


@pytest.mark.parametrize("make", [rk.line_kernel, rk.disk_kernel])
def test_kernels_that_leave_the_window_are_errors(make):
    with pytest.raises(ValueError, match="enlarge size"):
        make(9, 30.0)


@pytest.mark.parametrize("intensity", [0.0, 0.5, 1.0])
def test_motion_kernel_is_a_centered_probability_with_mass_off_centre(intensity):
    k = rk.motion_kernel(21, intensity=intensity, n=8, generator=generator())
    mass, centroid, covariance = rk.kernel_moments(k)
    assert k.min() >= 0 and torch.allclose(mass, torch.ones(8), atol=1e-5)
    assert centroid.abs().max() < 1e-3
    assert covariance.diagonal(dim1=-2, dim2=-1).sum(-1).min() > 1


def test_straight_motion_is_a_line():
    covariance = rk.kernel_moments(rk.motion_kernel(31, intensity=0.0, generator=generator()))[2][0]
    small, large = torch.linalg.eigvalsh(covariance)
    assert small < 0.3 < 10 < large


def test_recenter_moves_exactly_and_keeps_mass():
    k = rk.motion_kernel(21, n=4, generator=generator())
    moved = rk.recenter(k, (-0.5, 1.25))
    mass, centroid, covariance = rk.kernel_moments(moved)
    assert (centroid - torch.tensor([-0.5, 1.25])).abs().max() < 0.01
    assert torch.allclose(mass, torch.ones(4), atol=1e-5) and moved.min() >= 0
    wider = (covariance - rk.kernel_moments(k)[2]).diagonal(dim1=-2, dim2=-1)
    assert wider.max() <= 0.26


def test_recenter_says_when_the_window_is_too_small():
    with pytest.raises(ValueError, match="pad_kernel"):
        rk.recenter(rk.disk_kernel(7, 3.0), (3.0, 0.0))


@pytest.mark.parametrize(("small", "large"), [(5, 9), (4, 9), (5, 10), (3, 3)])
def test_pad_kernel_keeps_the_centroid(small, large):
    k = rk.gaussian_kernel(small, 1.0)
    padded = rk.pad_kernel(k, large)
    assert padded.shape[-1] == large
    assert torch.allclose(rk.kernel_moments(padded)[1], rk.kernel_moments(k)[1], atol=1e-6)


def test_pad_kernel_does_not_crop():
    with pytest.raises(ValueError, match="9x9"):
        rk.pad_kernel(rk.delta_kernel(9), 5)


class NotAProbability(rk.KernelPrior):
    def _draw(self, n, generator):
        return torch.full((n, 1, self.size, self.size), 1.0)


class OffCentre(rk.KernelPrior):
    def _draw(self, n, generator):
        return rk.gaussian_kernel(self.size, 1.0, shift=(1.0, 0.0)).repeat(n, 1, 1, 1)


def test_prior_that_is_no_probability_is_an_error():
    with pytest.raises(ValueError, match="project_simplex"):
        NotAProbability(5).sample(2, generator=generator())


def test_prior_off_its_centroid_is_an_error():
    with pytest.raises(ValueError, match="centroid"):
        OffCentre(9).sample(2, generator=generator())


@pytest.mark.parametrize("prior", [rk.GaussianPrior(11), rk.MotionPrior(15, (-0.5, -0.5))])
def test_same_seed_same_kernels(prior):
    assert torch.equal(prior.sample(3, generator=generator(4)), prior.sample(3, generator=generator(4)))
    assert not torch.equal(prior.sample(3, generator=generator(4)), prior.sample(3, generator=generator(5)))


@pytest.mark.parametrize(
    "call",
    [
        lambda: rk.gaussian_kernel(0, 1.0),
        lambda: rk.gaussian_kernel(5, 0.0),
        lambda: rk.gaussian_kernel(5, 0.05, shift=(40.0, 0.0)),
        lambda: rk.motion_kernel(9, intensity=2.0, generator=generator()),
        lambda: rk.random_gaussian_kernel(9, variance=(2.0, 1.0), generator=generator()),
        lambda: rk.line_kernel(9, -1.0),
        lambda: align_centroid("middle", 2),
    ],
)
def test_bad_arguments_say_what_is_allowed(call):
    with pytest.raises(ValueError, match="Allowed: .* Fix: "):
        call()
