"""The figures of page 02: their alt texts state what was computed."""

from __future__ import annotations

import pytest
import torch

from restorekit import gaussian_kernel, grid_posterior
from restorekit.teach import views_02 as views
from restorekit.teach.panel import Panel

AXIS = torch.linspace(0.6, 2.2, 17, dtype=torch.float64)
TRUTH = torch.tensor([1.4, 1.0, 0.5], dtype=torch.float64)


def density(t: torch.Tensor) -> torch.Tensor:
    return -((t - TRUTH).square().sum(1)) / 0.02


GRID = grid_posterior(density, [AXIS, AXIS, torch.linspace(0, 3, 20, dtype=torch.float64)])


def draw(theta: torch.Tensor) -> torch.Tensor:
    return gaussian_kernel(11, theta[:, :2], theta[:, 2], dtype=torch.float64)


def walked(n: int) -> views.Trace:
    step = torch.tensor([[0.1, 0.0, 0.0]], dtype=torch.float64)
    return views.trace_of((TRUTH[None] - (n - i) * step / n, TRUTH[None] + step, i % 2 == 0) for i in range(n))


def test_posterior_says_mean_and_spread():
    alt = views.posterior({"known": GRID}, TRUTH).alt
    mean, std = GRID.mean, GRID.cov.diagonal().sqrt()
    assert f"s1 = {mean[0]:.2f} ± {std[0]:.2f} px" in alt and "Truth: 1.4 and 1.0 px" in alt


def test_kernels_say_their_distance():
    k = gaussian_kernel(11, 1.5)
    assert "same 0.00, narrow " in views.kernels({"same": k.clone(), "narrow": gaussian_kernel(11, 0.7)}, k).alt


def test_weights_say_the_share_of_the_best():
    nu = torch.tensor([3.0, 1.0, 2.0])
    assert "flat: 33.3%, sharp: 80.0%" in views.weights(nu, {"flat": torch.ones(3), "sharp": torch.tensor([0.1, 0.8, 0.1])}).alt


def test_a_chain_counts_its_accepted_proposals_and_steps():
    trace = walked(8)
    assert "50% of 8 proposals are accepted" in views.chain_film(trace, GRID, TRUTH).alt
    assert "Step 8: the proposal is rejected" in views.chain_step(trace[-1], trace, GRID, TRUTH, draw).alt
    made = views.stepping(trace, GRID, TRUTH, draw)
    assert isinstance(made, Panel) and sum(1 for _ in made.drive()) >= 2


def test_draws_say_what_they_are_worth():
    theta = TRUTH.repeat(4, 1)
    k = draw(TRUTH[None])
    assert "4 draws worth 2.0" in views.draws(theta, torch.tensor([1.0, 1.0, 0.0, 0.0]), GRID, TRUTH, k, k).alt


def test_wells_say_the_share_on_the_right():
    two = grid_posterior(lambda x: torch.where(x[:, 0] > 0, 3.0, 1.0).log(), [torch.linspace(-1.95, 1.95, 40, dtype=torch.float64)])
    alt = views.wells(two, {"stuck": torch.full((10, 1), -1.0), "free": torch.tensor([[1.0]] * 3 + [[-1.0]])}).alt
    assert "exact 75%, stuck 0%, free 75%" in alt


def test_the_cliff_names_the_best_width():
    alt = views.cliff(torch.tensor([0.1, 1.0, 8.0]), torch.tensor([0.9, 0.4, 0.01]), torch.tensor([0.002, 0.1, 0.001])).alt
    assert "1.00 times as wide" in alt and "10.0%" in alt and "40% acceptance" in alt


def test_stds_are_drawn_with_uniform_variances():
    t = views.uniform_stds(4000, 0.6, 2.2, views.seeded(0))
    assert (t[:, 0] >= t[:, 1]).all() and t[:, 1].min() >= 0.6 and t[:, 0].max() <= 2.2 and t[:, 2].max() < torch.pi
    # mean of a uniform variance, 4.5 standard errors (false-alarm rate 7e-6)
    low, high = 0.6**2, 2.2**2
    error = (high - low) / (12 * 8000) ** 0.5
    assert t[:, :2].square().mean().item() == pytest.approx((low + high) / 2, abs=4.5 * error)


def test_the_ranking_has_a_row_a_method_and_the_spread_over_seeds():
    k = gaussian_kernel(11, 1.5)
    rows = [r for seed in (0, 1) for r in views.rows_of({"a": k, "b": k}, {"a": k, "b": gaussian_kernel(11, 1.0)}, k, image="i", seed=seed)]
    table = views.ranking(rows)
    assert "| a | 0.00 ± 0.00 | 0.00 ± 0.00 | 2 |" in table and "1 pictures x 2 seeds" in table
