"""What the power spectrum of a picture says about its blur."""

from __future__ import annotations

import pytest
import torch

from restorekit.images import bundled
from restorekit.kernels import GaussianPrior, gaussian_kernel, kernel_moments
from restorekit.methods.spectral import spectral_evidence, spectral_prior
from restorekit.operators import BlurDown


def gen(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_spectral_evidence_finds_a_planted_blur() -> None:
    """A picture whose spectrum obeys the model: the wide blur and the narrow one must be told apart, and the axis too."""
    f = (torch.fft.fftfreq(160)[:, None].square() + torch.fft.fftfreq(160)[None].square() + 1e-4).sqrt()
    x = torch.fft.ifft2(torch.fft.fft2(torch.randn(160, 160, generator=gen(1))) * f**-1.2).real[None, None]
    x = (x - x.min()) / (x.max() - x.min())
    stds = torch.tensor([[0.7, 0.7], [2.0, 2.0], [2.2, 0.8], [0.8, 2.2]])
    kernels = gaussian_kernel(11, stds)
    for i in range(4):
        y = (BlurDown(kernels[i : i + 1], 2, "circular")(x) * 255).round() / 255
        assert spectral_evidence(y, kernels, 2).logsumexp(0).argmax() == i
        prior = spectral_prior(y, 2, GaussianPrior(11), n=60, generator=gen(2))
        spread = kernel_moments(prior.sample(100, generator=gen(3)))[2].mean(0)
        assert (spread - kernel_moments(kernels[i : i + 1])[2][0]).abs().max() < 1.2


def test_spectral_prior_sees_the_noise() -> None:
    x = bundled("camera", gray=True, size=160)
    y = BlurDown(gaussian_kernel(11, 1.5), 2, "reflect")(x)
    found = [
        spectral_prior(y + s * torch.randn(y.shape, generator=gen(1)), 2, GaussianPrior(11), n=20, generator=gen()).noise
        for s in (0.0, 0.03)
    ]
    assert found[0] < 0.008 and 0.02 < found[1] < 0.045
    assert spectral_prior(y, 2, GaussianPrior(11), n=20, sigma=0.05, generator=gen()).noise == pytest.approx(0.05)


def test_spectral_prior_of_a_flat_picture_is_the_prior() -> None:
    prior = spectral_prior(torch.full((1, 1, 20, 20), 0.5), 2, GaussianPrior(7), n=20, generator=gen())
    assert torch.isfinite(prior.sample(5, generator=gen())).all()
