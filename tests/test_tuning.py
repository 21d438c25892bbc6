"""Learning the weight of total variation: the inner solver against its optimality condition, the hypergradient against differences."""

import math
from itertools import islice

import pytest
import torch

import restorekit as rk
from restorekit.methods.baselines.tv import total_variation
from restorekit.methods.tuning import WeightDescent, WeightProblem, grid_search, smoothed_tv
from restorekit.solvers import iterate, run

D = torch.float64


def observed(features="one", side=12):
    """Two crops of a bundled picture, blurred, with little and with much noise."""
    g = torch.Generator().manual_seed(0)
    scene = rk.bundled("cat", gray=True, size=32).double()
    truth = torch.cat([scene[..., :side, :side], scene[..., -side:, -side:]])
    sigma = torch.tensor([0.01, 0.06], dtype=D)
    A = rk.Blur(rk.gaussian_kernel(5, 0.9).double())
    y = A(truth) + sigma.view(-1, 1, 1, 1) * torch.randn(truth.shape, generator=g, dtype=D)
    F = torch.ones(2, 1, dtype=D) if features == "one" else torch.stack([torch.ones(2, dtype=D), (sigma / 0.02).log()], 1)
    return WeightProblem(A, y, truth, F)


def start(problem, value=-5.0):
    return torch.tensor([value, *[0.5] * (problem.features.shape[1] - 1)], dtype=D)


def test_smoothed_tv_is_tv_for_small_epsilon(generator):
    x = torch.rand(2, 1, 8, 8, generator=generator, dtype=D)
    assert torch.allclose(smoothed_tv(x, 1e-9), total_variation(x), rtol=1e-6)
    assert (smoothed_tv(x, 0.1) > smoothed_tv(x, 0.01)).all()


@pytest.mark.parametrize("log_lam", [-7.0, -5.0, -2.0])
def test_the_inner_solver_reaches_the_minimum(log_lam):
    problem = observed()
    h = torch.tensor([log_lam], dtype=D)
    x = problem.solve(h)
    point = x.clone().requires_grad_()
    (slope,) = torch.autograd.grad(problem.inner(point, h), point)
    assert slope.norm() < 1e-7 * problem.y.norm()
    away = torch.randn(x.shape, generator=torch.Generator().manual_seed(1), dtype=D)
    assert all(problem.inner(x + t * away, h) > problem.inner(x, h) for t in (-0.1, -1e-3, 1e-3, 0.1))
    assert torch.allclose(problem.solve(h, torch.zeros_like(x)), x, atol=1e-4)


def test_pictures_do_not_disturb_each_other():
    both = observed("sigma")
    alone = WeightProblem(both.operator, both.y[1:], both.truth[1:], both.features[1:])
    h = start(both)
    assert torch.allclose(both.solve(h)[1:], alone.solve(h), atol=1e-6)
    assert torch.allclose(both.weights(h), torch.exp(h[0] + h[1] * both.features[:, 1]))


@pytest.mark.parametrize("features", ["one", "sigma"])
def test_the_hypergradient_is_the_difference_quotient(features):
    problem = observed(features)
    h, e = start(problem), 1e-3
    x = problem.solve(h, tol=1e-11)
    found = problem.gradient(h, x, tol=1e-10)
    for i, unit in enumerate(torch.eye(len(h), dtype=D)):
        after, before = (problem.outer(problem.solve(h + s * e * unit, x, tol=1e-11)) for s in (1, -1))
        assert math.isclose(found[i], (after - before) / (2 * e), rel_tol=1e-4)


def test_descent_ends_where_the_grid_does():
    problem = observed()
    points = torch.linspace(-6.0, -2.0, 9, dtype=D)[:, None]
    best, values = grid_search(problem, points)
    end = run(WeightDescent(problem, torch.tensor([-5.0], dtype=D)), 8).state
    assert abs(end.h - best).item() <= 0.5 and end.f <= values.min() + 0.01
    assert values.argmin() not in (0, len(values) - 1)


def test_two_weights_beat_one():
    """Little and much noise want different weights: knowing sigma pays."""
    one, guided = (run(WeightDescent(p, start(p)), 5).state for p in (observed(), observed("sigma")))
    assert guided.f < one.f - 0.05 and guided.h[1] > 0.5


def test_steps_are_pure_and_equal_run():
    descent = WeightDescent(observed(), torch.tensor([-5.0], dtype=D))
    by_hand = list(islice(iterate(descent), 2))[-1]
    again = run(descent, 1, run(descent, 1).state).state
    assert torch.equal(by_hand.h, again.h) and torch.equal(by_hand.x, again.x) and by_hand.step == 2


def test_bad_input_is_refused():
    p = observed()
    with pytest.raises(ValueError, match="features"):
        WeightProblem(p.operator, p.y, p.truth, torch.ones(3, 1, dtype=D))
    with pytest.raises(ValueError, match="one shape"):
        WeightProblem(p.operator, p.y, p.truth[:1], p.features)
    with pytest.raises(ValueError, match="epsilon"):
        WeightProblem(p.operator, p.y, p.truth, p.features, 0.0)
    with pytest.raises(TypeError, match="dtype"):
        WeightProblem(p.operator, p.y, p.truth.float(), p.features)
    with pytest.raises(RuntimeError, match="Newton"):
        p.solve(torch.tensor([-5.0], dtype=D), max_iter=1)
    with pytest.raises(ValueError, match="h0"):
        WeightDescent(p, torch.zeros(2, dtype=D))
    with pytest.raises(ValueError, match="minimum of g"):
        p.gradient(torch.tensor([-5.0], dtype=D), p.y)
