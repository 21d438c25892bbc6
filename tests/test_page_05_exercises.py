"""Page 05: the references of its exercises are true, and its figures state their numbers."""

import math

import pytest
import torch

from restorekit.methods.ridge import BestResponse, ProxyDescent, random_ridge, two_valleys
from restorekit.solvers import run
from restorekit.teach import tasks_05
from restorekit.teach import views_05 as views

D = torch.float64


def test_implicit_is_that_of_ridge():
    problem, h = random_ridge(12, 4, generator=torch.Generator().manual_seed(0)), torch.tensor([0.3], dtype=D)
    w = problem.solution(h)
    slope = problem.X_val.T @ (problem.X_val @ w - problem.y_val) / len(problem.y_val)
    mixed = (h.exp() * w)[:, None]
    exact = tasks_05.implicit().reference(problem.hessian(h), mixed, slope, torch.zeros(1, dtype=D))
    assert torch.allclose(exact, problem.derivative(h[0])[None], atol=1e-12)


def test_naive_slope_is_the_derivative_of_both_losses():
    problem, rho = random_ridge(12, 4, generator=torch.Generator().manual_seed(0)), torch.tensor(0.7, dtype=D)
    w = torch.ones(4, dtype=D)
    both = torch.func.grad(lambda r: problem.outer(w) + problem.inner(w, r))(rho)
    assert torch.isclose(both, tasks_05.naive_slope().reference(w, rho.exp().item()))


def test_the_film_names_lam_and_draws():
    problem = random_ridge(12, 4, generator=torch.Generator().manual_seed(0))
    descent = ProxyDescent(problem, BestResponse(4, features=4), inner_steps=2)
    states = [descent.init(10.0), run(descent, 1, descent.init(10.0)).state]
    film = views.Film(descent, states, torch.linspace(-4, 4, 9, dtype=D))
    assert "10" in film.strip().alt and film.strip().png[:4] == b"\x89PNG"
    assert "lam = 10" in film.frame(states[0]).alt


def test_paths_say_how_far_from_the_least_loss():
    problem = two_valleys()
    rho = torch.linspace(math.log(1e-4), math.log(1e2), 201, dtype=D)
    best, values = problem.grid_search(rho)
    assert ", 0% above" in views.paths(problem, rho, values, [best.item(), best.item()], "there").alt
    worse = views.paths(problem, rho, values, [math.log(1e-3), math.log(0.007)], "left").alt
    assert "35% above" in worse or "36% above" in worse


def test_gain_lines_subtract_the_unguided_net():
    rows = [
        {"method": "guided_tiny", "guide": "proxy", "1%": 30.0, "7%": 26.0},
        {"method": "unguided_tiny", "guide": "none", "1%": 29.5, "7%": 24.0},
    ]
    alt = views.gain_lines(rows, ["1%", "7%"]).alt
    assert "+0.50 at 1%" in alt and "+2.00 at 7%" in alt


def test_small_figures_say_their_numbers():
    x = torch.full((1, 1, 8, 8), 0.5)
    assert "20.00 dB" in views.restored({"a": x + 0.1}, x, "Two pictures.").alt
    assert "with an error of 1.0%" in views.painted(0 * x, 0 * x + 0.01, {"a": x + 0.1}, x, x, 0.1).alt
    assert "+0.50" in views.guided_weights({"1%": 0.5}, None).alt
    assert "a 1.00%" in views.maps(0 * x + 0.02, {"a": 0 * x + 0.03}).alt
    told = [{"sweep": "told", "method": "HQS", "1%": 24.0, "2%": 26.0, "n": 3}, {"sweep": "true", "method": "HQS", "1%": 1.0, "n": 3}]
    assert "HQS 24.0 to 26.0" in views.sweep(told, "told", "told noise (%)").alt
    assert views.dB(x + 0.1, x) == pytest.approx(20, abs=1e-4)
