"""Page 04: the references of its exercises are true, and its figures state their numbers."""

import math

import pytest
import torch

from restorekit.methods.adversarial import Ball, ball_project, neutral
from restorekit.nets.degradation_net import NeuralDegradation, identity_init
from restorekit.teach import tasks_04
from restorekit.teach import views_04 as views


def drawn(*shape, seed=0):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def test_last_layer_is_the_librarys():
    net = identity_init(NeuralDegradation(2, features=6, blocks=(2, 2)).double(), generator=torch.Generator().manual_seed(1), draw="xavier")
    taps = [w.detach()[..., 1, 1] for w in net.convs]
    assert torch.allclose(tasks_04.last_layer().reference(taps[:-1]), taps[-1], atol=1e-9)


def test_projection_is_the_librarys():
    delta, groups, factors, radius = tasks_04.projection().cases[0]
    library = ball_project(delta, Ball(radius, joint=False, factors=factors), groups)
    mine = tasks_04.projection().reference(delta, groups, factors, radius)
    assert all(torch.allclose(mine[n], library[n]) for n in delta)


def test_the_step_has_its_length_in_the_metric():
    delta, g, f, step = tasks_04.ascent_step().cases[0]
    moved = tasks_04.ascent_step().reference(delta, g, f, step) - delta
    assert math.isclose(f * moved.norm().item(), step) and (moved * g).sum() > 0


def test_a_cast_is_repaired_and_noise_is_not():
    t = drawn(1, 3, 24, 24)
    assert views.repaired(0.7 * t + 0.2, t) > 60
    assert views.repaired(t + 0.1 * torch.randn(t.shape, generator=torch.Generator().manual_seed(2)), t) < 25


def test_detail_kept_ignores_noise_and_sees_blur():
    t = drawn(1, 3, 64, 64)
    noisy = t + 0.1 * torch.randn(t.shape, generator=torch.Generator().manual_seed(3))
    assert views.kept(t, t) == pytest.approx(1) and abs(views.kept(noisy, t) - 1) < 0.05
    assert views.kept(t - views.fine(t), t) < 0.35
    f, H = views.transfer(0.5 * t, t)
    assert torch.allclose(H, torch.full_like(H, 0.5)) and 0 < f[0] < f[-1] < 0.5


def test_shares_follow_the_factors():
    g = {"a": torch.ones(1), "b": torch.ones(1)}
    share = views.shares(g, {"conv": 1.0, "slope": 10.0}, {"conv": ("a",), "slope": ("b",)})
    assert share["conv"] == pytest.approx(100 / 101) and sum(share.values()) == pytest.approx(1)


def test_the_film_says_what_each_adversary_did():
    t = drawn(1, 3, 24, 24)
    film = views.Film({"cast": [(t, 0.1), (0.8 * t, 0.2)], "blur": [(t, 0.1), (t - views.fine(t), 0.15)]}, t)
    assert "cast" in film.strip().alt and film.strip().png[:4] == b"\x89PNG"
    assert "0.200" in film.frame(film.states[1]).alt
    assert len(film.states) == 2


def test_neutral_takes_casts_only():
    t = drawn(1, 3, 32, 32)
    assert views.dB(neutral(0.8 * t + 0.1, t, window=4), t) > 40
    assert views.spectrum_slope(views.fine(t)) > views.spectrum_slope(t)
