"""The dark channel prior: windows by brute force, the guided filter's limits, planted haze, pictures whose haze is known."""

from __future__ import annotations

import os

import pytest
import torch
from torch import Tensor

from restorekit.depth import made_depth, plane_depth
from restorekit.images import bundled, dataset
from restorekit.methods.baselines.dark_channel import dark_channel, darkest, guided_filter
from restorekit.metrics import psnr
from restorekit.weather import haze

needs_data = pytest.mark.skipif(not os.environ.get("RESTOREKIT_DATA"), reason="RESTOREKIT_DATA not set")


def gen(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def drawn(*shape: int, seed: int = 1) -> Tensor:
    return torch.rand(shape, generator=gen(seed), dtype=torch.float64)


def test_darkest_by_brute_force():
    x = drawn(2, 3, 9, 11)
    dark = darkest(x, 5)
    for b, i, j in ((0, 0, 0), (0, 4, 5), (1, 8, 10), (1, 2, 9)):
        window = x[b, :, max(0, i - 2) : i + 3, max(0, j - 2) : j + 3]
        assert dark[b, 0, i, j] == window.min()
    assert torch.equal(darkest(x, 1)[:, 0], x.amin(1))


def test_planted_haze_is_removed_exactly_where_the_prior_holds():
    x = drawn(1, 3, 40, 40)
    x[:, 0, ::3, ::3] = 0  # a black color in every window
    y, t = haze(x, torch.full((1, 1, 40, 40), 1.0).double(), beta=0.7, airlight=0.9)
    found = dark_channel(y, patch=7, omega=1.0, radius=0, airlight=0.9)
    assert torch.allclose(found.t, t.expand_as(found.t)) and torch.allclose(found.x, x)
    kept = dark_channel(y, patch=7, omega=0.8, radius=0, airlight=torch.tensor([0.9, 0.9, 0.9]))
    assert torch.allclose(1 - kept.t, 0.8 * (1 - t))


def test_airlight_is_read_off_the_thickest_haze():
    x, depth = drawn(1, 3, 60, 60), plane_depth(60, 60, near=1, far=40).double()
    A = torch.tensor([0.7, 0.8, 0.9]).double()
    found = dark_channel(haze(x, depth, beta=0.4, airlight=A)[0], patch=5, radius=0)
    assert torch.allclose(found.airlight.flatten(), A, atol=0.01)


def test_guided_filter_by_its_limits():
    guide, p = drawn(1, 1, 20, 24), drawn(1, 1, 20, 24, seed=2)
    assert torch.allclose(guided_filter(guide, guide, 4, 1e-12), guide, atol=1e-5)
    assert torch.allclose(guided_filter(3 * guide + 0.5, guide, 4, 1e-12), 3 * guide + 0.5, atol=1e-5)
    flat = guided_filter(p, guide, 19, 1e9)  # a mean of means
    assert flat.std() < 0.05 * p.std() and torch.allclose(guided_filter(torch.full_like(p, 0.3), guide, 3, 1e-3), torch.full_like(p, 0.3))


def test_haze_on_a_photograph_gets_less():
    x = bundled("cat", size=120)
    y, _ = haze(x, made_depth(x, generator=gen()), beta=0.15, airlight=0.9)
    assert psnr(dark_channel(y).x, x) > psnr(y, x) + 2


@needs_data
def test_pictures_of_known_haze():
    pictures = dataset("haze_pairs/lap_simulated")
    x = pictures["clean"].load()
    A = pictures["airlight"].load().mean((2, 3)).flatten()
    gains = []
    for i in range(1, 6):
        y, t = pictures[f"hazy_{i}"].load(), pictures[f"transmission_{i}"].load(gray=True)
        assert psnr(t * x + (1 - t) * A.view(1, 3, 1, 1), y) > 40  # the pictures obey the model
        told = dark_channel(y, airlight=A.clamp_max(1.0))
        gains.append((psnr(told.x, x) - psnr(y, x)).item())
    assert sum(gains) / len(gains) > 0


def test_bad_input():
    y = drawn(1, 3, 20, 20)
    for options in ({"patch": 4}, {"omega": 0}, {"floor": 0.0}, {"radius": -1}, {"radius": 20}, {"eps": 0.0}, {"airlight": 0.0}):
        with pytest.raises(ValueError, match="Allowed"):
            dark_channel(y, **options)
    with pytest.raises(ValueError, match="airlight"):
        dark_channel(y, airlight=torch.ones(2))
