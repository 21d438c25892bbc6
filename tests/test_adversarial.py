"""AND's search: balls, ascent, strength, color neutrality, and what the degraders promise."""

from __future__ import annotations

from math import log10, sqrt

import pytest
import torch
from torch import Tensor

import restorekit as rk
from restorekit.methods.adversarial import (
    Ball,
    ascend,
    ball_project,
    deviated,
    fresh_identity,
    match_strength,
    minimax_step,
    neutral,
    random_deviation,
)
from restorekit.methods.degraders import AdversarialNoise, make_degrader, random_degradation
from restorekit.nets.degradation_net import NeuralDegradation, identity_init
from restorekit.nets.rrdb import light_rrdb

EACH = Ball(0.7, joint=False, factors={"conv": 1.0, "noise": 20.0, "slope": 0.5})
NEURAL = ("random_literal", "random", "random_init", "adversarial")


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def picture(size: int = 32) -> Tensor:
    return torch.cat([rk.bundled(name, size=size) for name in ("coffee", "cat")])


def small(scale: int = 2, noise: str = "amplitude") -> NeuralDegradation:
    return identity_init(NeuralDegradation(scale, features=8, blocks=(1, 1), noise=noise), generator=seeded(4)).requires_grad_(False)


def decibels(y: Tensor, t: Tensor) -> float:
    return -10 * log10(float((y - t).square().mean()))


def length(delta: dict[str, Tensor], names: tuple[str, ...]) -> float:
    return sqrt(sum(float(delta[n].square().sum()) for n in names))


@pytest.mark.parametrize("joint", [True, False])
def test_projection_is_the_nearest_point_of_the_ball(joint: bool) -> None:
    net, x = small(), picture()
    ball = Ball(0.7, joint=joint, factors={"conv": 1.0, "noise": 10.0, "slope": 50.0})
    groups = net.groups()
    far = {n: 3 * v for n, v in random_deviation(net, x, ball, generator=seeded()).items()}
    near = ball_project(far, ball, groups)
    norms = ball.norms(near, groups)
    if joint:
        assert sqrt(sum(v * v for v in norms.values())) == pytest.approx(0.7, rel=1e-5)
    else:
        assert norms == pytest.approx(dict.fromkeys(norms, 0.7), rel=1e-5)
    again = ball_project(near, ball, groups)
    inside = {n: 0.1 * v for n, v in near.items()}
    assert all(torch.allclose(again[n], near[n]) for n in near)
    assert all(torch.equal(ball_project(inside, ball, groups)[n], inside[n]) for n in inside)
    for seed in range(20):  # no other point of the ball is nearer, in the ball's metric
        other = ball_project(random_deviation(net, x, ball, generator=seeded(seed)), ball, groups)
        away = [ball.norms({n: far[n] - p[n] for n in far}, groups) for p in (near, other)]
        assert sum(v * v for v in away[0].values()) <= sum(v * v for v in away[1].values())


def test_factors_leave_groups_out() -> None:
    net, x = small(), picture()
    delta = random_deviation(net, x, Ball(1.0, joint=False, factors={"slope": 2.0}), generator=seeded())
    assert set(delta) == set(net.groups()["slope"])
    assert length(delta, net.groups()["slope"]) == pytest.approx(0.5, rel=1e-5)


@pytest.mark.parametrize("ball", [EACH, Ball(0.7, joint=True)])
@pytest.mark.parametrize("target", [None, 28.0])
def test_ascent_stays_in_the_ball_and_never_falls(ball: Ball, target: float | None) -> None:
    net, x = small(), picture()
    G = light_rrdb(2, generator=seeded(1))
    draws = net.draw_noise(x, generator=seeded(2))
    t = net.pool(x)

    def loss(y: Tensor) -> Tensor:
        return (G(y) - x).abs().mean()

    start = random_deviation(net, x, ball, generator=seeded(3))
    best, losses = ascend(net, loss, x, ball=ball, steps=4, step=0.4, start=start, draws=draws, target=target)
    with torch.no_grad():
        reached = float(loss(deviated(net, best, x, draws)))
    assert reached == pytest.approx(max(losses), rel=1e-4)
    assert reached >= losses[0]
    assert max(losses[1:]) > 1.01 * losses[0]  # it climbs
    if target is None:
        norms = ball.norms(best, net.groups())
        assert max(norms.values()) <= ball.epsilon * (1 + 1e-5)
        assert not ball.joint or sqrt(sum(v * v for v in norms.values())) <= ball.epsilon * (1 + 1e-5)
    else:
        assert abs(decibels(deviated(net, best, x, draws), t) - target) <= 0.1


def test_ascent_steps_along_the_unit_gradient() -> None:
    """One step from 0 inside the ball, on a loss that is linear in y: delta must be step g / |g| of autograd's g."""
    net, x = small(1, "map"), picture(16)
    c = torch.randn(x.shape, generator=seeded(7))
    zero = {n: torch.zeros(2, 8, 16, 16) for n in net.groups()["noise"]}
    ball = Ball(10.0, joint=False, factors={"noise": 4.0})
    delta, _ = ascend(net, lambda y: (c * y).sum(), x, ball=ball, steps=1, step=2.0, start=zero)
    variables = {n: v.clone().requires_grad_() for n, v in zero.items()}
    g = dict(zip(variables, torch.autograd.grad((c * deviated(net, variables, x)).sum(), list(variables.values())), strict=True))
    size = length(g, tuple(g))
    assert all(torch.allclose(delta[n], 2.0 / 4.0 * g[n] / size, atol=1e-6) for n in g)


def test_literal_ball_starves_noise_and_slopes() -> None:
    net, x = small(), picture()
    G = light_rrdb(2, generator=seeded(1))
    draws = net.draw_noise(x, generator=seeded(2))
    delta, _ = ascend(net, lambda y: (G(y) - x).abs().mean(), x, ball=Ball(), steps=1, step=6.0, draws=draws)
    groups = net.groups()
    assert length(delta, groups["conv"]) > 100 * length(delta, groups["slope"])


def test_an_amplitude_of_zero_has_no_mean_gradient() -> None:
    """E n = 0: the gradient of E |F(x) - t|^2 in the amplitude vanishes at 0; at 0.01 it is 2 * 0.01 * (what the noise does)."""
    net = small()
    x = picture(16)
    name = net.groups()["noise"][1]
    slopes = {}
    for amplitude in (0.0, 0.01):
        total = 0.0
        for seed in range(64):
            b = torch.full((1, 8, 1, 1), amplitude, requires_grad=True)
            y = deviated(net, {name: b}, x, net.draw_noise(x, generator=seeded(seed)))
            total += float(torch.autograd.grad((y - net.pool(x)).square().mean(), b)[0].sum()) / 64
        slopes[amplitude] = total
    assert abs(slopes[0.0]) < 1e-3 * slopes[0.01]


@pytest.mark.parametrize("target", [20.0, 28.0, 40.0])
@pytest.mark.parametrize("window", [None, 1, 4])
def test_strength_is_met(target: float, window: int | None) -> None:
    x = picture()
    for seed in range(4):
        net = NeuralDegradation(2, features=16, blocks=(2, 1)).requires_grad_(False)
        draws = fresh_identity(net, x, generator=seeded(seed))
        t = net.pool(x)

        def view(y: Tensor, t: Tensor = t) -> Tensor:
            return y if window is None else neutral(y, t, window=window)

        delta = match_strength(net, random_deviation(net, x, EACH, generator=seeded(seed)), x, target, draws=draws, view=view)
        assert abs(decibels(view(deviated(net, delta, x, draws)), t) - target) <= 0.1


def test_a_deviation_without_effect_is_refused() -> None:
    net, x = small(), picture()
    with pytest.raises(ValueError, match="no scaling brings to 30.0 dB"):
        match_strength(net, {n: torch.zeros_like(p) for n, p in net.named_parameters()}, x, 30.0)


def test_neutral_removes_casts_and_nothing_else() -> None:
    x = picture(48).double()
    A = torch.tensor([[0.8, 0.1, 0.0], [0.0, 1.2, 0.1], [0.1, 0.0, 0.9]], dtype=x.dtype)
    cast = torch.einsum("dc,bchw->bdhw", A, x) + torch.tensor([0.05, -0.02, 0.0], dtype=x.dtype)[:, None, None]
    blurred = rk.Blur(rk.gaussian_kernel(7, 1.2, dtype=x.dtype), "reflect")(x)
    for window in (1, 4):
        assert decibels(neutral(cast, x, window=window), x) > 40 > 25 > decibels(cast, x)
        assert torch.equal(neutral(x, x, window=window), x)
    assert decibels(neutral(blurred, x, window=4), blurred) > 8 + decibels(neutral(blurred, x), blurred)  # windows spare a blur
    e = neutral(blurred, x) - x
    parts = torch.cat([x, torch.ones_like(x[:, :1])], 1).flatten(2)
    left = (parts @ e.flatten(2).mT).abs().amax() / e.shape[-1] ** 2
    assert left < 1e-4  # nothing affine in the colors is left, up to the ridge


@pytest.mark.parametrize("scale", [1, 2, 3, 4])
@pytest.mark.parametrize("name", ["classical", "noise", *NEURAL])
def test_degraders_keep_the_grid_and_their_seed(name: str, scale: int) -> None:
    x = picture(24)
    G = light_rrdb(scale, generator=seeded(1)).requires_grad_(False)
    settings = {"features": 8, "blocks": (1, 1)} if name in NEURAL else {}
    degrader = make_degrader(name, scale, **settings)
    y, again = (degrader(x, G, generator=seeded(5)) for _ in range(2))
    assert y.shape == (2, 3, 24 // scale, 24 // scale)
    assert torch.equal(y, again)
    assert not y.requires_grad
    if name != "classical":
        assert not torch.equal(y, degrader(x, G, generator=seeded(6)))


@pytest.mark.parametrize("name", ["noise", "random", "adversarial"])
def test_matched_degraders_have_the_drawn_strength(name: str) -> None:
    x = picture()
    G = light_rrdb(2, generator=seeded(1)).requires_grad_(False)
    settings = {} if name == "noise" else {"features": 16, "blocks": (1, 1)}
    y = make_degrader(name, 2, strength=(27.0, 27.0), **settings)(x, G, generator=seeded(5))
    assert abs(decibels(y, make_degrader("classical", 2)(x, None, generator=seeded())) - 27) <= 0.1


def test_the_adversary_hurts_more_than_random_directions_of_its_strength() -> None:
    x = picture(48)
    G = light_rrdb(2, generator=seeded(1)).requires_grad_(False)
    losses = {}
    for name in ("random", "adversarial"):
        degrader = make_degrader(name, 2, features=16, blocks=(1, 1), strength=(26.0, 26.0))
        losses[name] = [float((G(degrader(x, G, generator=seeded(s))) - x).abs().mean()) for s in range(4)]
    assert min(losses["adversarial"]) > max(losses["random"])


def test_adversarial_noise_is_a_sphere_for_each_picture() -> None:
    x = picture()
    G = light_rrdb(2, generator=seeded(1)).requires_grad_(False)
    t = make_degrader("classical", 2)(x, None, generator=seeded())
    e = AdversarialNoise(2, (30.0, 30.0))(x, G, generator=seeded()) - t
    assert e.square().mean((1, 2, 3)).log10().mul(-10).tolist() == pytest.approx([30.0, 30.0], abs=1e-3)


def test_minimax_step_descends_on_what_the_adversary_found() -> None:
    x = picture()
    G = light_rrdb(2, generator=seeded(1))
    optimizer = torch.optim.SGD(G.parameters(), 1e-3)
    degrader = make_degrader("adversarial", 2, features=8, blocks=(1, 1))
    loss, y = minimax_step(G, optimizer, x, degrader, generator=seeded(3))
    after = float((G(y) - x).abs().mean().detach())
    assert after < loss


def test_random_degradation_is_neutral_and_drawn() -> None:
    x = picture(48)
    y = random_degradation(x, 2, strength=30.0, generator=seeded(), features=8)
    assert abs(decibels(y, make_degrader("classical", 2)(x, None, generator=seeded())) - 30) <= 0.1
    assert torch.equal(y, random_degradation(x, 2, strength=30.0, generator=seeded(), features=8))


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Ball(0.0), "epsilon=0.0"),
        (lambda: make_degrader("worst", 2), "degrader='worst'"),
        (lambda: make_degrader("adversarial", 2)(picture(), None, generator=seeded()), "no restorer G"),
        (lambda: make_degrader("random", 2, strength=(30.0, 20.0))(picture(), None, generator=seeded()), "strength="),
        (lambda: ascend(small(), lambda y: y.sum(), picture(), ball=EACH, steps=0), "steps=0"),
        (lambda: neutral(torch.zeros(1, 1, 8, 8), torch.zeros(1, 3, 8, 8)), "1 channels"),
    ],
)
def test_bad_input_says_what_is_allowed(make, says: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match=says):
        make()
