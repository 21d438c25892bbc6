"""Hyper-guidance: who moves in which step, strategies, exact resuming."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import nn
from torch.optim import SGD, Adam

from restorekit.degradations import gaussian_noise
from restorekit.kernels import gaussian_kernel
from restorekit.methods.guidance import STRATEGIES, HyperGuidance, inner_step, naive_step, outer_step
from restorekit.nets import GuidedRestorer, ProxyNet
from restorekit.operators import Blur
from restorekit.solvers import load_state, run, save_state


def gen(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


class Scale(nn.Module):
    """The map a y: a proxy with one weight."""

    def __init__(self, a: float = 0.5) -> None:
        super().__init__()
        self.a = nn.Parameter(torch.tensor(a))

    def forward(self, y):
        return self.a * y


class Mix(nn.Module):
    """b y + c sigma: a reconstruction with two weights."""

    def __init__(self) -> None:
        super().__init__()
        self.b, self.c = nn.Parameter(torch.tensor(0.2)), nn.Parameter(torch.tensor(0.3))

    def forward(self, y, sigma=None):
        return self.b * y if sigma is None else self.b * y + self.c * sigma


def toy(generator):
    """y, x = 2 y + noise, sigma_gt = 0.7 y."""
    y = torch.rand(4, 1, 6, 6, generator=generator)
    return y, 2 * y + 0.01 * torch.randn(y.shape, generator=generator), 0.7 * y


def values(net):
    return [p.detach().clone() for p in net.parameters()]


def moved(net, before) -> bool:
    return any(not torch.equal(p, q) for p, q in zip(net.parameters(), before, strict=True))


def square(guess, truth):
    return (guess - truth).square().mean()


# who moves


def test_the_inner_step_is_one_of_gradient_descent_on_theta():
    proxy = Scale(0.5)
    y, _, sigma = toy(gen())
    g = inner_step(proxy, SGD(proxy.parameters(), 0.1), y, sigma)
    m = float(y.square().mean())
    assert g == pytest.approx(0.04 * m, rel=1e-5)
    assert proxy.a.item() == pytest.approx(0.5 + 0.1 * 2 * 0.2 * m, rel=1e-5)


def test_the_outer_step_moves_omega_by_the_gradient_of_f_and_leaves_theta_alone():
    net, proxy = Mix(), Scale()
    both = SGD([*net.parameters(), *proxy.parameters()], 0.1)  # theta could be moved: it is not
    y, x, _ = toy(gen())
    before = values(proxy)
    b, c, s = 0.2, 0.3, 0.5 * y
    r = b * y + c * s - x
    f = outer_step(net, proxy, both, y, x, square)
    assert f == pytest.approx(float(r.square().mean()), rel=1e-5)
    assert net.b.item() == pytest.approx(b - 0.1 * 2 * float((r * y).mean()), rel=1e-5)
    assert net.c.item() == pytest.approx(c - 0.1 * 2 * float((r * s).mean()), rel=1e-5)
    assert not moved(proxy, before) and proxy.a.grad is None


@pytest.mark.parametrize("stop", [False, True])
def test_naive_lets_f_move_theta_and_a_stopped_gradient_does_not(stop):
    net, proxy = Mix(), Scale(0.5)
    y, x, _ = toy(gen())
    right = 0.5 * y  # g = 0 and has no gradient: whatever moves theta is f
    before = values(proxy)
    f, g = naive_step(net, proxy, SGD([*net.parameters(), *proxy.parameters()], 0.1), y, x, right, f=square, stop_gradient=stop)
    assert g == 0 and f > 0
    assert moved(proxy, before) is not stop
    r = 0.2 * y + 0.3 * 0.5 * y - x
    if not stop:
        assert proxy.a.item() == pytest.approx(0.5 - 0.1 * 2 * float((r * 0.3 * y).mean()), rel=1e-5)


def test_naive_weighs_g():
    shifts = []
    for weight in (1.0, 3.0):
        net, proxy = Mix(), Scale(0.5)
        y, x, sigma = toy(gen())
        naive_step(net, proxy, SGD(proxy.parameters(), 0.1), y, x, sigma, weight=weight, stop_gradient=True)
        shifts.append(proxy.a.item() - 0.5)
    assert shifts[1] == pytest.approx(3 * shifts[0], rel=1e-4)


# strategies


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_strategy_solves_the_toy_problem(strategy):
    learner = HyperGuidance(Mix(), Scale(), toy, steps=200, strategy=strategy, f=square, lr=0.1, lr_g=0.05)
    run(learner, 200)
    a, b, c = learner.proxy.a.item(), learner.average.b.item(), learner.average.c.item()
    assert a == pytest.approx(0.7, abs=0.02) and b + c * a == pytest.approx(2, abs=0.02)


def test_two_stage_is_theta_alone_and_then_omega_alone():
    learner = HyperGuidance(Mix(), Scale(), toy, steps=10, strategy="two_stage", first_stage=0.4)
    omega, theta = values(learner.net), values(learner.proxy)
    for i in range(10):
        assert learner.stage == ("theta" if i < 4 else "omega")
        state = learner.step()
        if i < 4:
            assert not moved(learner.net, omega) and moved(learner.proxy, theta) and state.loss == 0 < state.loss_g
            theta = values(learner.proxy)
        else:
            assert moved(learner.net, omega) and not moved(learner.proxy, theta) and state.loss_g == 0 < state.loss
            omega = values(learner.net)
    by_hand = HyperGuidance(Mix(), Scale(), toy, steps=10)
    inner = Adam(by_hand.proxy.parameters(), 1e-3)
    for i in range(4):
        by_hand._step = i
        y, _, sigma = by_hand.batch("h")
        inner_step(by_hand.proxy, inner, y, sigma)
    assert torch.equal(learner.proxy.a, by_hand.proxy.a)


def test_alternating_finds_the_theta_that_training_it_alone_finds():
    """g does not depend on omega: alternation changes nothing for theta, and naive training does."""
    thetas = {}
    for strategy in STRATEGIES[:3]:
        learner = HyperGuidance(Mix(), Scale(), toy, steps=50, strategy=strategy, f=square, lr=0.01)
        for _ in range(20):
            learner.step()
        thetas[strategy] = learner.proxy.a.item()
    alone, optimizer = Scale(), None
    learner = HyperGuidance(Mix(), alone, toy, steps=50, lr=0.01)
    optimizer = Adam(alone.parameters(), 0.01)
    for i in range(20):
        learner._step = i
        y, _, sigma = learner.batch("h")
        inner_step(alone, optimizer, y, sigma)
    assert thetas["alternating"] == thetas["stop_gradient"] == alone.a.item()
    assert abs(thetas["naive"] - thetas["alternating"]) > 1e-3


def test_the_two_data_sets_differ_and_steps_draw_anew():
    learner = HyperGuidance(Mix(), Scale(), toy, steps=10)
    h, tr = learner.batch("h")[1], learner.batch("tr")[1]
    assert not torch.equal(h, tr) and torch.equal(h, learner.batch("h")[1])
    learner.step()
    assert not torch.equal(h, learner.batch("h")[1])
    assert not torch.equal(h, HyperGuidance(Mix(), Scale(), toy, steps=10, seed=1).batch("h")[1])


def test_without_a_proxy_the_net_is_trained_unguided():
    learner = HyperGuidance(Mix(), None, toy, steps=150, f=square, lr=0.1)
    run(learner, 150)
    assert learner.average.b.item() == pytest.approx(2, abs=0.02) and learner.net.c.item() == pytest.approx(0.3)
    y = toy(gen())[0]
    torch.testing.assert_close(learner.restore(y), learner.average.b * y)
    assert set(learner.weights()) == {"net.b", "net.c"}


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_resuming_is_bitwise(strategy, tmp_path):
    def fresh(seed=0):
        net = GuidedRestorer(1, "tiny", features=4, generator=gen(seed))
        return HyperGuidance(net, ProxyNet(features=4, generator=gen(seed)), blurred, steps=8, strategy=strategy, seed=seed)

    whole = fresh()
    run(whole, 8)
    first = fresh()
    run(first, 3)
    save_state(tmp_path / "s", first)
    second = fresh(9)
    load_state(tmp_path / "s", second)
    run(second, 5)
    for name, value in whole.weights().items():
        assert torch.equal(value, second.weights()[name]), name
    a, b = whole.step(), second.step()
    assert dataclasses.astuple(a) == dataclasses.astuple(b)


def blurred(generator):
    x = torch.rand(2, 1, 16, 16, generator=generator)
    k = gaussian_kernel(5, 1.0)
    sigma = 0.03 * torch.ones_like(x)
    return (gaussian_noise(Blur(k)(x), sigma, generator=generator), k), x, sigma


def test_the_average_follows_omega_late_and_the_step_size_falls():
    learner = HyperGuidance(Mix(), Scale(), toy, steps=10, ema=0.5)
    for _ in range(6):
        learner.step()
    assert torch.equal(learner.average.b, learner.net.b) and learner._optimizers["omega"].param_groups[0]["lr"] == 1e-3
    old = learner.average.b.item()
    learner.step()
    assert learner.average.b.item() == pytest.approx((old + learner.net.b.item()) / 2)
    for _ in range(3):
        learner.step()
    assert learner._optimizers["theta"].param_groups[0]["lr"] == pytest.approx(1e-3 * 0.1 / 0.4)


@pytest.mark.parametrize("wrong", [{"strategy": "joint"}, {"steps": 0}, {"lr": 0}, {"weight": -1}, {"first_stage": 1}, {"ema": 1}])
def test_bad_settings_are_refused(wrong):
    with pytest.raises(ValueError, match=r"Got.*Allowed.*Fix"):
        HyperGuidance(Mix(), Scale(), toy, **{"steps": 5, **wrong})
