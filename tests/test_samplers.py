"""Samplers against closed forms. Bands: 4.5 standard errors, from the effective sample size where samples are correlated
(false-alarm rate 7e-6 each); seeds are fixed, so that a run that passed passes again."""

from __future__ import annotations

from math import pi
from typing import Any

import pytest
import torch
from torch import Tensor

from restorekit._random import rand, randn
from restorekit.samplers import ess, grid_posterior, metropolis, rhat

F64 = torch.float64
Z = 4.5


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return randn(shape, generator=seeded(seed), like=torch.empty(0, dtype=F64))


def assert_mean(x: Tensor, expected: Tensor | float, what: str) -> None:
    """Mean over chains (steps, n, d) within Z standard errors, std / sqrt(ess)."""
    error = x.flatten(0, 1).std(0) / ess(x).sqrt()
    gap = (x.mean((0, 1)) - expected).abs()
    assert (gap < Z * error).all(), f"{what}: {gap} over {error}"


PRECISION = torch.tensor([[2.0, 0.8], [0.8, 1.0]], dtype=F64)


def test_metropolis_has_the_moments_of_a_gaussian() -> None:
    log_prob = lambda x: -0.5 * torch.einsum("ni,ij,nj->n", x - 1, PRECISION, x - 1)  # noqa: E731
    chains = metropolis(log_prob, normal(16, 2), steps=4000, step_size=[1.2, 1.6], generator=seeded(1))
    x = chains.samples[200:]
    covariance = torch.linalg.inv(PRECISION)
    assert (rhat(x) < 1.02).all() and (ess(x) > 2000).all()
    assert_mean(x, 1.0, "mean")
    assert_mean((x - 1) ** 2, covariance.diagonal(), "variances")
    assert_mean((x - 1).prod(-1, keepdim=True), covariance[0, 1], "covariance")
    assert torch.allclose(chains.log_prob[-1], log_prob(chains.samples[-1]))


def test_acceptance_is_that_of_a_gaussian_in_one_dimension() -> None:
    """For N(0, 1) and proposals of std s a step is accepted with probability 2/pi atan(2/s)."""
    for s in (0.5, 2.0, 6.0):
        chains = metropolis(lambda x: -0.5 * x.square().sum(1), normal(400, 1), steps=300, step_size=s, generator=seeded(2))
        moved = (chains.samples[1:] != chains.samples[:-1]).double()
        assert_mean(moved, 2 / pi * torch.tensor(2 / s).atan().item(), f"acceptance at {s}")
        assert chains.acceptance.mean().item() == pytest.approx(moved.mean().item(), abs=0.01)


def test_detailed_balance_on_three_levels() -> None:
    """Flows between levels of a step density balance: as many moves from a to b as back, and shares equal to p."""
    p = torch.tensor([0.5, 0.2, 0.3], dtype=F64)
    log_prob = lambda x: p[x[:, 0].long().clamp(0, 2)].log()  # noqa: E731
    start = 3 * rand((64, 1), generator=seeded(3), like=p)
    chains = metropolis(log_prob, start, steps=3000, step_size=1.0, low=[0.0], high=[3.0 - 1e-9], generator=seeded(4))
    level = chains.samples[100:, :, 0].long()
    assert_mean((level[..., None] == torch.arange(3)).double(), p, "shares")
    for a in range(3):
        for b in range(a):
            there, back = (((level[:-1] == i) & (level[1:] == j)).double() for i, j in ((a, b), (b, a)))
            assert there.sum() > 1000
            assert_mean((there - back)[..., None], 0.0, f"flow {a} to {b}")


def test_box_and_period() -> None:
    """Uniform on [1, 2] x a circle of length pi: the box is kept, the circle has no edge, both are uniform."""
    start = torch.tensor([[1.5, 0.1]], dtype=F64).repeat(64, 1)
    box: dict[str, Any] = {"low": [1.0, 0.0], "high": [2.0, pi], "period": [0.0, pi]}
    x = metropolis(lambda x: 0 * x[:, 0], start, steps=2000, step_size=0.4, **box, generator=seeded(5)).samples[100:]
    assert x[..., 0].min() >= 1 and x[..., 0].max() <= 2 and x[..., 1].min() >= 0 and x[..., 1].max() < pi
    assert_mean(x[..., :1], 1.5, "mean in the box")
    assert_mean((x[..., :1] - 1.5) ** 2, 1 / 12, "variance in the box")
    turned = torch.stack([(2 * x[..., 1]).cos(), (2 * x[..., 1]).sin()], -1)
    assert_mean(turned, 0.0, "angle")
    assert ((x[1:, :, 1] - x[:-1, :, 1]).abs() > pi / 2).any()  # steps through the seam


def test_log_prob_is_never_asked_outside_the_box() -> None:
    def strict(x: Tensor) -> Tensor:
        assert (x > 0).all() and (x < 1).all()
        return torch.zeros(len(x), dtype=F64)

    metropolis(strict, torch.full((8, 2), 0.5, dtype=F64), steps=200, step_size=1.0, low=[0, 0], high=[1, 1], generator=seeded(6))


def test_same_seed_same_chain() -> None:
    a, b, c = (metropolis(lambda x: -x.square().sum(1), normal(3, 2), steps=20, step_size=1.0, generator=seeded(s)) for s in (7, 7, 8))
    assert torch.equal(a.samples, b.samples) and not torch.equal(a.samples, c.samples)


def ar1(a: float, steps: int, n: int, seed: int = 0) -> Tensor:
    e, x = normal(steps, n, seed=seed), [normal(n, seed=seed + 1)]
    for t in range(1, steps):
        x.append(a * x[-1] + (1 - a**2) ** 0.5 * e[t])
    return torch.stack(x)


@pytest.mark.parametrize("a", [-0.5, 0.0, 0.5, 0.9])
def test_ess_of_an_autoregression_is_its_closed_form(a: float) -> None:
    """rho_t = a^t, so ess / n = (1 - a) / (1 + a). The mean's own spread over 200 chains confirms it."""
    x = ar1(a, 2000, 200, seed=10)
    expected = (1 - a) / (1 + a)
    each = torch.stack([ess(x[:, i]) for i in range(200)]) / 2000
    assert each.mean().item() == pytest.approx(expected, rel=0.1)  # Geyer's rule is a little pessimistic for a <= 0
    assert (ess(x) / x.numel()).item() == pytest.approx(expected, rel=0.1)
    assert (1 / (2000 * x.mean(0).var())).item() == pytest.approx(expected, rel=Z * (2 / 199) ** 0.5)


def test_ess_counts_chains_that_disagree_for_little() -> None:
    apart = normal(500, 4) + torch.tensor([0.0, 0.0, 5.0, 5.0], dtype=F64)
    assert ess(apart) < 10 < 1000 < ess(normal(500, 4))
    assert ess(torch.ones(100, 2)) == 1


def test_ess_of_weights() -> None:
    assert ess(weights=torch.ones(7)) == pytest.approx(7)
    assert ess(weights=torch.tensor([0.0, 3.0, 0.0])) == pytest.approx(1)
    w = torch.tensor([[0.5, 0.5, 0.0, 0.0], [0.7, 0.1, 0.1, 0.1]])
    assert torch.allclose(ess(weights=w), torch.tensor([2.0, 1 / 0.52]))
    assert torch.allclose(ess(weights=w), ess(weights=9 * w))


def test_rhat_by_hand_of_independent_and_of_stuck_chains() -> None:
    x = torch.tensor([[1.0, 2.0], [3.0, 2.0], [2.0, 5.0], [4.0, 1.0]], dtype=F64)
    halves = torch.stack([x[:2, 0], x[:2, 1], x[2:, 0], x[2:, 1]])
    within, between = halves.var(1).mean(), halves.mean(1).var()
    assert rhat(x) == pytest.approx(((0.5 * within + between) / within).sqrt().item())
    good = normal(2000, 4, 2)
    stuck = 0.1 * good + torch.tensor([0.0, 1.0, 0.0, 1.0], dtype=F64)[:, None]
    assert (rhat(good) < 1.01).all() and (rhat(stuck) > 1.1).all()
    drift = normal(2000, 4) + torch.linspace(0, 3, 2000, dtype=F64)[:, None]
    assert rhat(drift) > 1.1  # chains agree with each other, their halves do not
    assert rhat(torch.zeros(10, 2)) == torch.inf


def test_ranked_rhat_sees_scale_and_heavy_tails() -> None:
    scales = normal(2000, 4) * torch.tensor([1.0, 1.0, 1.0, 3.0], dtype=F64)
    assert rhat(scales) < 1.01 and rhat(scales, rank=True) > 1.03
    cauchy = normal(2000, 4, seed=1) / normal(2000, 4, seed=2) + torch.tensor([0.0, 0.0, 0.0, 2.0], dtype=F64)
    assert rhat(cauchy) < 1.01 and rhat(cauchy, rank=True) > 1.03
    assert rhat(normal(2000, 4, 2), rank=True).max() < 1.01
    assert rhat(torch.ones(10, 2), rank=True) == torch.inf


def test_grid_posterior_is_the_closed_form_of_a_linear_gaussian_problem() -> None:
    """y = A x + n, x ~ N(0, 1): precision A^T A / s^2 + 1, evidence N(y; 0, A A^T + s^2)."""
    A, y, s = torch.tensor([[1.0, 0.5], [0.2, -1.0], [0.3, 0.3]], dtype=F64), torch.tensor([0.4, -0.3, 0.9], dtype=F64), 0.6
    log_prob = lambda x: (  # noqa: E731
        torch.distributions.Normal(x @ A.T, s).log_prob(y).sum(1) + torch.distributions.Normal(0.0, 1.0).log_prob(x).sum(1)
    )
    grid = grid_posterior(log_prob, [torch.linspace(-6, 6, 121, dtype=F64), torch.linspace(-5, 5, 101, dtype=F64)], chunk=1000)
    covariance = torch.linalg.inv(A.T @ A / s**2 + torch.eye(2, dtype=F64))
    mean = covariance @ A.T @ y / s**2
    evidence = torch.distributions.MultivariateNormal(torch.zeros(3, dtype=F64), A @ A.T + s**2 * torch.eye(3)).log_prob(y)
    assert grid.p.shape == (121, 101) and grid.p.sum() == pytest.approx(1)
    assert torch.allclose(grid.mean, mean, atol=1e-9) and torch.allclose(grid.cov, covariance, atol=1e-9)
    assert grid.log_evidence == pytest.approx(evidence.item(), abs=1e-6)
    marginal = torch.distributions.Normal(mean[1], covariance[1, 1].sqrt()).log_prob(grid.axes[1]).exp() * 0.1
    assert torch.allclose(grid.marginal(1), marginal, atol=1e-9)
    assert torch.equal(grid.marginal(0, 1), grid.p)
    assert torch.allclose(grid.expect(lambda x: x.square()), covariance.diagonal() + mean**2, atol=1e-9)
    assert (grid.mode - mean).abs().max() < 0.051
    x = grid.sample(40000, generator=seeded(11))
    assert_mean(x[:, None], mean, "mean of samples")
    spread = covariance.diagonal() + torch.tensor([0.1, 0.1], dtype=F64) ** 2 / 12  # uniform within a cell
    assert_mean((x - mean)[:, None] ** 2, spread, "variance of samples")


def test_metropolis_reproduces_the_grid() -> None:
    """A density with two humps and no closed-form moments."""
    log_prob = lambda x: -((x.square().sum(1) - 1) ** 2) + 0.5 * x[:, 0]  # noqa: E731
    axis = torch.linspace(-3, 3, 201, dtype=F64)
    grid = grid_posterior(log_prob, [axis, axis])
    x = metropolis(log_prob, normal(32, 2), steps=3000, step_size=0.8, generator=seeded(12)).samples[100:]
    assert_mean(x, grid.mean, "mean")
    assert_mean(x**2, grid.expect(lambda x: x**2), "second moment")


def test_forbidden_points_have_no_mass() -> None:
    grid = grid_posterior(lambda x: torch.where(x[:, 0] > 0, 0.0, -torch.inf), [torch.linspace(-1, 1, 4)])
    assert torch.allclose(grid.p, torch.tensor([0.0, 0.0, 0.5, 0.5]))


FLAT = lambda x: 0 * x[:, 0]  # noqa: E731
START = torch.full((2, 2), 0.5, dtype=F64)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: metropolis(FLAT, torch.zeros(3), steps=5, step_size=1.0, generator=seeded()), "start"),
        (lambda: metropolis(FLAT, START, steps=0, step_size=1.0, generator=seeded()), "steps=0"),
        (lambda: metropolis(FLAT, START, steps=5, step_size=0.0, generator=seeded()), "step_size=0"),
        (lambda: metropolis(FLAT, START, steps=5, step_size=[1.0], generator=seeded()), "2, one for each"),
        (lambda: metropolis(FLAT, START, steps=5, step_size=1.0, high=[0.4, 1.0], generator=seeded()), "outside the box"),
        (lambda: metropolis(FLAT, START, steps=5, step_size=1.0, period=[0.0, 1.0], generator=seeded()), "period"),
        (lambda: metropolis(lambda x: FLAT(x) - torch.inf, START, steps=5, step_size=1.0, generator=seeded()), "log_prob"),
        (lambda: metropolis(lambda x: x, START, steps=5, step_size=1.0, generator=seeded()), "shape"),
        (lambda: ess(), "both or neither"),
        (lambda: ess(torch.ones(9), weights=torch.ones(9)), "both or neither"),
        (lambda: ess(weights=torch.tensor([1.0, -1.0])), "negative"),
        (lambda: ess(torch.ones(3)), "4 steps"),
        (lambda: rhat(torch.tensor([1.0, 2.0, 3.0, torch.nan])), "finite"),
        (lambda: grid_posterior(FLAT, [torch.tensor([0.0, 1.0, 3.0])]), "equally spaced"),
        (lambda: grid_posterior(FLAT, [torch.tensor([1.0, 0.0])]), "increasing"),
        (lambda: grid_posterior(lambda x: FLAT(x) - torch.inf, [torch.linspace(0, 1, 3)]), "finite"),
    ],
)
def test_bad_input_is_named(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
