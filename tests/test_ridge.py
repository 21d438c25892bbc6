"""Ridge regression as a bilevel problem: grid search, the best-response proxy against the closed form, Algorithm 1 and its rivals."""

import math
from itertools import islice

import pytest
import torch

from restorekit.methods.ridge import BestResponse, ProxyDescent, Ridge, best_theta, random_ridge, two_valleys
from restorekit.solvers import iterate, run

D = torch.float64
WIDE = torch.linspace(math.log(1e-2), math.log(1e2), 61, dtype=D)


@pytest.fixture(scope="module")
def problem() -> Ridge:
    return random_ridge(12, 4, noise=3.0, generator=torch.Generator().manual_seed(0))


def descent(problem, features=6, **options):
    return ProxyDescent(problem, BestResponse(problem.X.shape[1], features=features), **options)


def gap(made, theta):
    """Largest error of the proxy over the range."""
    truth = torch.stack([made.problem.solution(r) for r in WIDE])
    return (made.proxy(theta, WIDE) - truth).abs().max().item()


def test_the_solution_is_the_minimum(problem):
    h = torch.tensor(0.7, dtype=D)
    slope = torch.func.grad(problem.inner)(problem.solution(h), h)
    assert slope.abs().max() < 1e-12
    batch = torch.stack([problem.solution(h), torch.zeros(4, dtype=D)])
    assert torch.isclose(problem.inner(batch, h), sum(problem.inner(w, h) for w in batch))


def test_grid_search_returns_the_best(problem):
    best, values = problem.grid_search(WIDE)
    assert torch.isclose(problem.value(best), values.min()) and values.shape == WIDE.shape
    each, _ = problem.grid_search(torch.zeros(1, 4, dtype=D))
    assert each.shape == (4,)


def test_polynomials_come_nearer_geometrically(problem):
    errors = [gap(made, best_theta(made)) for made in (descent(problem, F) for F in (4, 8, 12, 16))]
    assert all(b < 0.2 * a for a, b in zip(errors, errors[1:], strict=False)) and errors[-1] < 1e-4


def test_best_theta_is_the_minimum_of_the_mean_inner_loss(problem):
    made = descent(problem)
    (theta,) = best_theta(made)
    slope = torch.func.grad(lambda t: made.inner_loss((t,)))
    assert slope(theta).abs().max() < 1e-12
    # Theorem 1's assumption: the loss along any line is a parabola that opens upwards
    away = torch.randn(theta.shape, generator=torch.Generator().manual_seed(1), dtype=D)
    values = [made.inner_loss((theta + t * away,)).item() for t in (-2, -1, 0, 1, 2)]
    assert math.isclose(values[0] - 4 * values[1] + 6 * values[2] - 4 * values[3] + values[4], 0, abs_tol=1e-9)
    assert values[2] < min(values[1], values[3])


def test_training_reaches_the_closed_form(problem):
    made = descent(problem, 4, inner_steps=100)
    end = run(made, 3).state
    assert torch.allclose(end.theta[0], best_theta(made)[0], atol=1e-3) and end.g < made.init().g


def test_algorithm_1_finds_the_optimum_of_a_single_valley(problem):
    best, values = problem.grid_search(WIDE)
    assert WIDE[5] < best < WIDE[-5]
    for outer in ("gradient", "argmin"):
        end = run(descent(problem, 8, outer=outer, inner_steps=20, outer_rate=1.0), 30).state
        assert problem.value(end.log_lam) - values.min() < 2e-3 * values.min()


def test_naive_descent_prefers_no_regularization(problem):
    start = descent(problem, strategy="naive").init(10.0)
    end = run(descent(problem, strategy="naive", outer_rate=3.0), 40, start).state
    best, _ = problem.grid_search(WIDE)
    assert end.log_lam < best - 1 and best < start.log_lam


def test_without_the_response_lam_stays(problem):
    made = descent(problem, strategy="stop_gradient")
    assert run(made, 2, made.init(5.0)).state.log_lam == math.log(5.0)


def test_two_valleys_divide_the_readings_of_algorithm_1():
    problem = two_valleys()
    fine = torch.linspace(math.log(1e-4), math.log(1e2), 401, dtype=D)
    best, values = problem.grid_search(fine)
    inner = values[1:-1]
    assert int(((inner < values[:-2]) & (inner < values[2:])).sum()) == 2
    proxy = BestResponse(2, 1e-4, 1e2, 12)
    ends = {}
    for outer in ("gradient", "argmin"):
        made = ProxyDescent(problem, proxy, outer=outer, inner_steps=30, outer_rate=3.0)
        ends[outer] = run(made, 10, made.init(1e-3, theta=best_theta(made))).state.log_lam
    assert abs(ends["argmin"] - best) < 0.3 and ends["gradient"] < best - 3


def test_a_net_learns_the_response_too(problem):
    made = ProxyDescent(problem, BestResponse(4, features=8, kind="net"), inner_steps=60, inner_rate=0.3)
    first = made.init(generator=torch.Generator().manual_seed(0))
    end = run(made, 4, first).state
    assert len(end.theta) == 3 and gap(made, end.theta) < 0.5 * gap(made, first.theta)
    assert torch.equal(first.theta[1], made.init(generator=torch.Generator().manual_seed(0)).theta[1])


def test_steps_by_hand_equal_run(problem):
    made = descent(problem, inner_steps=2)
    assert torch.equal(list(islice(iterate(made), 3))[-1].theta[0], run(made, 2, run(made, 1).state).state.theta[0])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda p: Ridge(p.X, p.y[:2], p.X_val, p.y_val), "X, y"),
        (lambda p: Ridge(p.X, p.y, p.X_val[:, :2], p.y_val), "X_val"),
        (lambda p: BestResponse(4, low=2.0, high=1.0), "low"),
        (lambda p: BestResponse(4, kind="tree"), "kind"),
        (lambda p: ProxyDescent(p, BestResponse(3)), "columns"),
        (lambda p: descent(p, strategy="hope"), "strategy"),
        (lambda p: descent(p, inner_rate=0.0), "positive"),
        (lambda p: descent(p).init(1e9), "range"),
        (lambda p: best_theta(ProxyDescent(p, BestResponse(4, kind="net"))), "polynomials"),
    ],
)
def test_bad_input_is_refused(problem, call, message):
    with pytest.raises(ValueError, match=message):
        call(problem)
