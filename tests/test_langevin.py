"""Langevin dynamics against closed forms. Bands: 4.5 standard errors, two-sided false-alarm rate 7e-6 each; seeds are fixed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from restorekit._random import randn
from restorekit.solvers import SGLD, ULA, load_state, run, save_state
from restorekit.solvers.langevin import decaying, score_of

F64 = torch.float64
Z = 4.5


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def chains(n: int, *shape: int) -> Tensor:
    return torch.zeros(n, *shape, dtype=F64)


def assert_variance(x: Tensor, expected: float) -> None:
    """Independent Gaussian samples: the variance estimate has standard error expected * sqrt(2/n)."""
    error = expected * (2 / x.numel()) ** 0.5
    assert abs(x.square().mean().item() - expected) < Z * error


@pytest.mark.parametrize(("v", "h"), [(1.0, 0.2), (1.0, 1.5), (0.25, 0.5)])
def test_ula_has_the_biased_variance_of_its_closed_form(v: float, h: float) -> None:
    x = run(ULA(lambda x: -x / v, chains(40000), h, generator=seeded()), 120).state.x
    assert_variance(x, v / (1 - h / (4 * v)))
    assert abs(x.mean()) < Z * x.std() / x.numel() ** 0.5


def test_ula_forgets_its_start_at_the_rate_of_its_closed_form() -> None:
    """With the same noise two chains keep the distance (1 - h/2v)^n of their starts."""
    v, h = 2.0, 0.3
    a, b = (run(ULA(lambda x: -x / v, chains(5) + s, h, generator=seeded(1)), 20).state.x for s in (0.0, 1.0))
    assert torch.allclose(b - a, torch.full_like(a, (1 - h / (2 * v)) ** 20), atol=1e-12)


def test_ula_beyond_four_variances_diverges() -> None:
    assert run(ULA(lambda x: -x, chains(3), 4.2, generator=seeded()), 300).state.x.abs().max() > 1e6
    assert run(ULA(lambda x: -x, chains(3), 3.8, generator=seeded()), 300).state.x.abs().max() < 1e3


def test_temperature_scales_the_variance_and_zero_is_gradient_ascent() -> None:
    h = 0.1
    assert_variance(run(ULA(lambda x: -x, chains(40000), h, 3.0, generator=seeded(2)), 200).state.x, 3 / (1 - h / 4))
    cold = run(ULA(lambda x: 2.0 - x, chains(4), h, 0.0, generator=seeded(2)), 400).state.x
    assert torch.allclose(cold, torch.full_like(cold, 2.0), atol=1e-6)


def test_score_of_is_the_gradient_for_each_chain() -> None:
    x = randn((6, 3), generator=seeded(), like=chains(1))
    score = score_of(lambda x: -0.25 * x.pow(4).sum(1))
    with torch.no_grad():
        assert torch.allclose(score(x), -x.pow(3))


def test_ula_samples_a_correlated_gaussian() -> None:
    precision = torch.tensor([[2.0, 0.8], [0.8, 1.0]], dtype=F64)
    h = 0.02
    x = run(ULA(lambda x: -x @ precision, chains(20000, 2), h, generator=seeded(3)), 900).state.x
    # stationary: S = A S A + h, A = 1 - h/2 P commutes with P, so S = P^-1 (1 - h/4 P)^-1
    expected = torch.linalg.inv(precision @ (torch.eye(2, dtype=F64) - h / 4 * precision))
    d = expected.diagonal()
    error = ((expected**2 + d[:, None] * d[None]) / len(x)).sqrt()
    assert ((x.T @ x / len(x) - expected).abs() < Z * error).all()


def test_sgld_without_noise_in_the_gradient_is_ula() -> None:
    a = run(ULA(lambda x: -x, chains(7, 2), [0.3, 0.2], generator=seeded(4)), 9).state.x
    b = run(SGLD(lambda x, g: -x, chains(7, 2), [0.3, 0.2], generator=seeded(4)), 9).state.x
    assert torch.allclose(a, b, atol=1e-14)


def test_noise_of_the_gradient_adds_to_the_variance() -> None:
    """x' = (1 - h/2) x + sqrt(h) xi + h/2 tau e: variance (h + h^2 tau^2 / 4) / (1 - (1 - h/2)^2)."""
    h, tau = 0.2, 3.0
    noisy = lambda x, g: -x + tau * randn(x.shape, generator=g, like=x)  # noqa: E731
    x = run(SGLD(noisy, chains(40000), h, generator=seeded(5)), 120).state.x
    assert_variance(x, (h + h**2 * tau**2 / 4) / (1 - (1 - h / 2) ** 2))


def test_decaying_steps_remove_the_bias_of_a_constant_step() -> None:
    steps = decaying(1.5, 1.0, 0.55, 600)
    assert steps[0] == 1.5 and steps[3] == pytest.approx(1.5 * 4**-0.55)
    x = run(SGLD(lambda x, g: -x, chains(40000), steps, generator=seeded(6)), 600).state.x
    assert x.var() < 1.03 < 1 / (1 - 1.5 / 4)


def test_preconditioned_steps_by_hand() -> None:
    beta, damping, h = 0.9, 1e-3, 0.1
    x0 = torch.tensor([[1.0, 100.0]], dtype=F64)
    solver = SGLD(lambda x, g: -x, x0, h, 0.0, beta=beta, damping=damping, generator=seeded())
    one, two = run(solver, 1).state, run(solver, 2).state
    x1 = x0 - h / 2 * x0 / (x0 + damping)  # after one step the corrected v is g^2 itself
    v2 = (beta * (1 - beta) * x0**2 + (1 - beta) * x1**2) / (1 - beta**2)
    assert torch.allclose(one.x, x1) and torch.allclose(one.v, (1 - beta) * x0**2)
    assert torch.allclose(two.x, x1 - h / 2 * x1 / (v2.sqrt() + damping))


def test_preconditioner_helps_a_badly_scaled_density() -> None:
    """Variances 1 and 1e-4, chains from a tenth of them: a step that is stable for the small one hardly moves the large one."""
    scale = torch.tensor([1.0, 1e-4], dtype=F64)
    start = 0.1**0.5 * scale.sqrt() * randn((4000, 2), generator=seeded(17), like=scale)
    plain = run(SGLD(lambda x, g: -x / scale, start, 1e-4, generator=seeded(7)), 400).state.x.var(0) / scale
    better = SGLD(lambda x, g: -x / scale, start, 1e-2, beta=0.99, damping=1e-2, generator=seeded(7))
    balanced = run(better, 400).state.x.var(0) / scale
    assert plain[0] < 0.2
    assert (0.8 < balanced).all() and (balanced < 1.6).all()  # biased: Gamma is left out, and h G is not small for the second


def solvers() -> list[Any]:
    return [
        ULA(lambda x: -x, chains(3, 2), 0.1, generator=seeded(8)),
        SGLD(lambda x, g: -x + randn(x.shape, generator=g, like=x), chains(3, 2), 0.1, beta=0.9, generator=seeded(8)),
    ]


@pytest.mark.parametrize("i", [0, 1])
def test_step_is_pure_and_resume_is_bitwise(i: int, tmp_path: Path) -> None:
    solver = solvers()[i]
    whole, again = run(solver, 9).state, run(solver, 9).state
    assert torch.equal(whole.x, again.x) and whole.step == 9
    state = solver.step(solver.init())
    assert torch.equal(solver.step(state).x, solver.step(state).x)
    save_state(tmp_path / "s.pt", run(solver, 4).state)
    assert torch.equal(run(solver, 5, load_state(tmp_path / "s.pt", type(state))).state.x, whole.x)


def test_seeds_differ_and_dtype_follows() -> None:
    a, b = (run(ULA(lambda x: -x, torch.zeros(4), 0.1, generator=seeded(s)), 3).state.x for s in (0, 1))
    assert a.dtype == torch.float32 and not torch.equal(a, b)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ULA(lambda x: -x, chains(1), 0.0, generator=seeded()), "h=0"),
        (lambda: ULA(lambda x: -x, chains(1), 0.1, -1.0, generator=seeded()), "temperature=-1"),
        (lambda: ULA(lambda x: -x, torch.zeros(2, dtype=torch.long), 0.1, generator=seeded()), "start"),
        (lambda: SGLD(lambda x, g: -x, chains(1), [], generator=seeded()), "h="),
        (lambda: SGLD(lambda x, g: -x, chains(1), 0.1, beta=1.0, generator=seeded()), "beta=1"),
        (lambda: SGLD(lambda x, g: -x, chains(1), 0.1, damping=0.0, generator=seeded()), "damping=0"),
        (lambda: decaying(0.1, 1.0, 0.4, 5), "gamma=0.4"),
    ],
)
def test_bad_input_is_named(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_a_seed_is_no_generator() -> None:
    with pytest.raises(TypeError, match="torch.Generator"):
        ULA(lambda x: -x, chains(1), 0.1, generator=3)  # type: ignore[arg-type]
