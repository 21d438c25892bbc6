"""What the power spectrum of a low-resolution picture says about its blur kernel.

Not part of MLMC: our addition, used by the presets that say `spectral=True`. Pictures have spectra close to A / |f|^alpha,
so what a measured spectrum lacks at high frequency was taken by the blur. This holds the kernel's scale, which the
data term cannot: a picture too sharp with a kernel too wide explains y as well as the truth does, and so does its opposite.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .._check import fail
from .._random import rand
from ..kernels import KernelPrior

SEGMENT = 32  # low-resolution pixels: side of the windows whose periodograms are averaged
ALPHA = (2.7, 0.5)  # mean and std of the exponent of |f|
ALPHAS = (1.5, 1.9, 2.3, 2.7, 3.1, 3.5, 3.9)
SIGMAS = (0.0, 1 / 255, 2 / 255, 4 / 255, 8 / 255, 16 / 255)  # noise levels tried where none is given
SECTORS = 6  # of directions, each with an amplitude of its own: pictures have edges in some directions only
QUANTISATION = 1 / 12 / 255**2
CHUNK = 50  # kernels at a time: their spectra are the largest tensors of a whole run
EVIDENCE = 100.0  # independent frequencies that the misspecified model is worth, whatever the picture's size


def periodogram(y: Tensor) -> tuple[Tensor, float]:
    """Mean squared Fourier modulus of the channels' mean over half-overlapping Hann windows, (n, n // 2 + 1).

    Scaled so that white noise of variance v in the mean gives v at each frequency. Second value: how much of the variance of
    independent noise remains in the channels' mean, 1/C.
    """
    g = y.mean((0, 1)).double()
    sides = [min(SEGMENT, n) for n in g.shape]
    window = torch.hann_window(sides[0] + 2, periodic=False)[1:-1, None] * torch.hann_window(sides[1] + 2, periodic=False)[None, 1:-1]
    window = (window / window.square().mean().sqrt()).to(g)
    blocks = g.unfold(0, sides[0], max(1, sides[0] // 2)).unfold(1, sides[1], max(1, sides[1] // 2)).flatten(0, 1)
    centred = (blocks - (blocks * window).sum((1, 2), keepdim=True) / window.sum()) * window
    return torch.fft.rfft2(centred, norm="ortho").abs().square().mean(0), 1 / y.shape[1]


def spectral_evidence(y: Tensor, kernels: Tensor, scale: int, *, sigma: float | None = None) -> Tensor:
    """log p(spectrum of y | k, sigma) for kernels (n, 1, kh, kw) and noise levels, up to a constant, tempered; (levels, n) float64.

    Whittle's likelihood -sum_f [log S(f) + I(f)/S(f)] of the periodogram I under S = A sum_aliases |f|^-alpha |K(f)|^2 + v,
    A at its maximum in each sector of directions, alpha summed over a grid. The noise levels are SIGMAS, or the one given;
    v adds the rounding to 8 bit. The mean over frequencies is multiplied by EVIDENCE, far below their number: real spectra
    stray from the model together.
    """
    measured, share = periodogram(y)
    parts = [_evidence(measured, share, chunk, y.shape[-1], scale, sigma) for chunk in kernels.split(CHUNK)]
    return torch.cat(parts, 1)


def _evidence(measured: Tensor, share: float, kernels: Tensor, width: int, scale: int, sigma: float | None) -> Tensor:
    """`spectral_evidence` of a few kernels under a measured periodogram of a picture `width` pixels wide."""
    h, w = measured.shape[0], min(SEGMENT, width)
    rows, cols = (torch.fft.fftfreq(scale * n, dtype=torch.float64, device=measured.device) for n in (h, w))
    radius = (rows[:, None].square() + cols[None].square() + (0.5 / (scale * max(h, w))) ** 2).sqrt()
    power = torch.fft.fft2(kernels[:, 0].double(), s=(scale * h, scale * w)).abs().square().float()
    low_rows, low_cols = torch.fft.fftfreq(h, device=measured.device), torch.fft.rfftfreq(w, device=measured.device)
    # the lowest frequencies carry the scene, and the two axes the jump between opposite borders
    keep = (low_rows.abs()[:, None] > 1.5 / h) & (low_cols[None] > 1.5 / w)
    angle = torch.atan2(low_rows[:, None].expand_as(keep), low_cols[None].expand_as(keep))
    sector = ((angle / torch.pi + 0.5) * SECTORS).long().clamp(0, SECTORS - 1)
    parts = [keep & (sector == i) for i in range(SECTORS)]
    seen = measured.float()
    levels = SIGMAS if sigma is None else (sigma,)
    scores = torch.empty(len(ALPHAS), len(levels), len(kernels), dtype=torch.float64)
    for a, alpha in enumerate(ALPHAS):
        folded = (radius.pow(-alpha).float() * power).reshape(-1, scale, h, scale, w).mean((1, 3))
        model = folded[..., : w // 2 + 1]
        for i, level in enumerate(levels):
            noise = (level**2 + QUANTISATION) * share
            score = torch.stack([_whittle(seen[part][None], model[:, part], noise) for part in parts if part.any()]).sum(0) / keep.sum()
            scores[a, i] = EVIDENCE * score.double() - 0.5 * ((alpha - ALPHA[0]) / ALPHA[1]) ** 2
    return torch.logsumexp(scores, 0)


def _whittle(seen: Tensor, model: Tensor, noise: float) -> Tensor:
    """max over A of the Whittle log-likelihood of A model + noise, for each row of model."""
    amplitude = (seen / model).median(1, keepdim=True).values
    for _ in range(8):
        spectrum = amplitude * model + noise
        amplitude = amplitude * (model * seen / spectrum.square()).sum(1, keepdim=True) / (model / spectrum).sum(1, keepdim=True)
    spectrum = amplitude * model + noise
    return -(spectrum.log() + seen / spectrum).sum(1)


@dataclass(frozen=True, eq=False)
class SpectralPrior(KernelPrior):
    """Draws from a pool of kernels (n, 1, size, size) with probabilities (n,): another prior, re-weighted by the picture."""

    pool: Tensor | None = None
    probabilities: Tensor | None = None
    noise: float = 0.0  # std that the spectrum suggests, or the one given

    def _draw(self, n: int, generator: torch.Generator) -> Tensor:
        assert self.pool is not None and self.probabilities is not None
        edges = self.probabilities.cumsum(0)
        picks = torch.searchsorted(edges, rand((n,), generator=generator).to(edges) * edges[-1])
        return self.pool[picks.clamp(max=len(self.pool) - 1)]


def spectral_prior(
    y: Tensor, scale: int, prior: KernelPrior, *, n: int = 400, sigma: float | None = None, generator: torch.Generator
) -> SpectralPrior:
    """p(k | spectrum of y): n draws of `prior`, weighted by `spectral_evidence`. Raises ValueError if no weight is finite."""
    pool = prior.sample(n, generator=generator).cpu()
    evidence = spectral_evidence(y.cpu(), pool, scale, sigma=sigma)
    joint = torch.softmax(evidence.flatten(), 0).reshape(evidence.shape)
    if not torch.isfinite(joint).all():
        fail("a picture without a usable spectrum", "a picture with some structure", "use a preset or settings without spectral=True")
    levels = torch.tensor(SIGMAS if sigma is None else (sigma,), dtype=torch.float64)
    return SpectralPrior(prior.size, prior.centroid, pool, joint.sum(0), (joint.sum(1) * levels.square()).sum().sqrt().item())
