"""The unseen degradations: registered with the clean reduction, on 8 bits, repeatable, each worse than clean in its own way."""

import pytest
import torch

from restorekit.experiments.unseen import CLEAN, UNSEEN, degrade_unseen
from restorekit.images import bundled
from restorekit.methods.baselines.bicubic import bicubic_downsample
from restorekit.metrics import psnr

X = bundled("cat", size=(96, 144))
NAMES = [name for name in UNSEEN if name != CLEAN]


def degraded(name: str, scale: int = 2, x: torch.Tensor = X, seed: int = 0) -> torch.Tensor:
    return degrade_unseen(x, name, scale, generator=torch.Generator().manual_seed(seed))


def test_there_are_enough():
    assert CLEAN in UNSEEN and len(NAMES) >= 10


@pytest.mark.parametrize("name", UNSEEN)
def test_shape_depth_and_repeatability(name):
    for scale, x in ((1, X[..., :48, :48]), (2, X), (3, X[:, :1]), (4, X.double())):
        y = degraded(name, scale, x)
        assert y.shape == (1, x.shape[1], x.shape[2] // scale, x.shape[3] // scale) and y.dtype == x.dtype
        assert torch.allclose(y * 255, (y * 255).round(), atol=1e-4) and 0 <= y.min() and y.max() <= 1
        assert torch.equal(y, degraded(name, scale, x))


def test_clean_is_the_rounded_bicubic_reduction():
    assert (degraded(CLEAN) - bicubic_downsample(X, 2)).abs().max() <= 0.5 / 255 + 1e-6
    assert (degraded(CLEAN, 1) - X).abs().max() <= 0.5 / 255 + 1e-6


@pytest.mark.parametrize("scale", [2, 4])
@pytest.mark.parametrize("name", NAMES)
def test_each_is_a_moderate_degradation(name, scale):
    found = psnr(degraded(name, scale), degraded(CLEAN, scale)).item()
    assert 15 < found < 40


@pytest.mark.parametrize("scale", [1, 2, 3, 4])
@pytest.mark.parametrize("name", ["blur", "wide blur", "anisotropic blur", "motion blur", "noise 10", "Poisson noise", "JPEG 50"])
def test_no_shift(name, scale):
    """A bump stays where the clean reduction has it: centroids over the pixels that it covers, means of many draws."""
    side, at = 96, 45.7
    rows = torch.exp(-((torch.arange(side) - at) ** 2) / (2 * 12.0**2)).double()
    x = (0.8 * rows[:, None] * rows)[None, None].expand(1, 3, -1, -1)
    draws = [degraded(name, scale, x, seed).mean((0, 1)) for seed in range(12)]
    position = torch.arange(side // scale, dtype=torch.float64)
    clean = degraded(CLEAN, scale, x).mean((0, 1))
    weight = torch.where(clean > 0.02, 1.0, 0.0)  # noise far from the bump would have a long lever
    for axis in (0, 1):
        center = [float(((v * weight).sum(axis) * position).sum() / (v * weight).sum()) for v in (sum(draws) / len(draws), clean)]
        assert center[0] == pytest.approx(center[1], abs=0.2 / scale)  # px; a wrong grid would be (s - 1) / 2s off


def test_what_each_does():
    clean = degraded(CLEAN)

    def detail(y: torch.Tensor) -> float:
        return float((y[..., 1:] - y[..., :-1]).square().mean())

    for name in ("blur", "wide blur", "anisotropic blur", "motion blur"):
        assert detail(degraded(name)) < 0.8 * detail(clean)
    flat = torch.full((1, 3, 128, 128), 0.5)
    for name, std in (("noise 10", 10 / 255), ("noise 20", 20 / 255), ("Poisson noise", (0.5 / 200) ** 0.5), ("blur and noise", 10 / 255)):
        assert (degraded(name, 2, flat) - 0.5).std().item() == pytest.approx(std, rel=0.05)
    assert (degraded("JPEG 30") - clean).square().mean() > (degraded("JPEG 50") - clean).square().mean() > 1e-5
    drops = degraded("rain") - clean
    assert drops.mean() > 0.005 and (drops < -2 / 255).float().mean() < 0.02  # light is added; the cubic undershoots beside a streak


def test_bad_input():
    with pytest.raises(ValueError, match="clean"):
        degraded("fog")
    with pytest.raises(ValueError, match="Fix:"):
        degraded("blur", 2, X[..., :-1])
    with pytest.raises(ValueError, match="Fix:"):
        degraded("blur", 5)
    with pytest.raises(TypeError, match="Fix:"):
        UNSEEN["blur"](X, 2, 0)
