"""Solvers against known minimisers: closed forms, each other, descent of the energy, bitwise resume."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from restorekit._random import rand
from restorekit.kernels import gaussian_kernel
from restorekit.methods.baselines.tv import total_variation, tv_denoiser
from restorekit.operators import Blur, BlurDown, Identity, LinearOperator, operator_norm
from restorekit.solvers import ADMM, CG, HQS, PGD, RED, iterate, load_state, run, save_state, schedules
from restorekit.solvers.proximal import at

F64 = torch.float64
LAM = 0.05


def picture(h: int, w: int, seed: int = 0, channels: int = 1) -> Tensor:
    return rand((1, channels, h, w), generator=torch.Generator().manual_seed(seed), like=torch.empty(0, dtype=F64))


def blur_down(scale: int, padding: str = "circular") -> BlurDown:
    return BlurDown(gaussian_kernel(5, (1.2, 0.7), 0.4, dtype=F64), scale, padding)


def quadratic(x: Tensor, sigma: float | Tensor) -> Tensor:
    """Prox of sigma^2 R with R = 1/2 |x|^2."""
    return x / (1 + sigma**2)


def ridge(operator: LinearOperator, y: Tensor, lam: float) -> Tensor:
    """argmin 1/2 |A x - y|^2 + lam/2 |x|^2, by the dense matrix of A."""
    h, w = operator.scale * y.shape[-2], operator.scale * y.shape[-1]
    A = torch.stack([operator(e.reshape(1, 1, h, w)).flatten() for e in torch.eye(h * w, dtype=F64)], 1)
    return torch.linalg.solve(A.T @ A + lam * torch.eye(h * w, dtype=F64), A.T @ y.flatten()).reshape(1, 1, h, w)


def energy(operator: LinearOperator, y: Tensor, lam: float) -> Callable[[Any], Tensor]:
    return lambda s: 0.5 * (operator(s.x) - y).square().sum() + lam * total_variation(s.x).sum()


@pytest.mark.parametrize("scale", [1, 2])
@pytest.mark.parametrize("padding", ["circular", "reflect"])
def test_quadratic_prior_has_one_minimiser_that_all_solvers_find(scale: int, padding: str) -> None:
    A = blur_down(scale, padding)
    y = A(picture(8, 12))
    exact = ridge(A, y, LAM)
    t = 1 / operator_norm(A, (1, 1, 8, 12), generator=torch.Generator().manual_seed(0)) ** 2 * 0.99
    assert torch.allclose(run(ADMM(A, y, quadratic, LAM, rho=0.2), 120).image, exact, atol=1e-7)
    assert torch.allclose(run(PGD(A, y, quadratic, LAM, t), 400).image, exact, atol=1e-7)
    assert torch.allclose(run(PGD(A, y, quadratic, LAM, t, accelerated=True), 400).image, exact, atol=1e-7)
    assert torch.allclose(run(CG(A, y, rho=LAM), 60).image, exact, atol=1e-9)


def test_hqs_with_constant_sigma_solves_the_split_problem() -> None:
    A = blur_down(2)
    y = A(picture(8, 8))
    sigma = 0.3
    rho = LAM / sigma**2
    state = run(HQS(A, y, quadratic, sigma, LAM), 200).state
    z = ridge(A, y, rho * LAM / (rho + LAM))  # x eliminated: its minimum is rho z / (rho + lam)
    assert torch.allclose(state.z, z, atol=1e-10)
    assert torch.allclose(state.x, rho / (rho + LAM) * z, atol=1e-10)


def test_hqs_approaches_the_minimiser_as_rho_grows() -> None:
    A = blur_down(1)
    y = A(picture(8, 8))
    exact = ridge(A, y, LAM)
    errors = [
        (run(HQS(A, y, quadratic, schedules.geometric(1.0, s, 400), LAM), 400).image - exact).abs().max().item() for s in (0.5, 0.1, 0.05)
    ]
    assert errors[0] > 5 * errors[1] > 10 * errors[2] and errors[2] < 3e-3


@cache
def tv_minimiser() -> tuple[LinearOperator, Tensor, Tensor]:
    """Operator, observation and the TV minimiser, by long plain PGD."""
    A = Blur(gaussian_kernel(5, 0.6, dtype=F64))
    y = A(picture(8, 10))
    return A, y, run(PGD(A, y, tv_denoiser(100), 0.02), 300).image


def test_tv_by_admm_and_fista_is_the_same_minimiser() -> None:
    A, y, x = tv_minimiser()
    assert torch.allclose(run(ADMM(A, y, tv_denoiser(100), 0.02, rho=0.3), 100).image, x, atol=1e-4)
    assert torch.allclose(run(PGD(A, y, tv_denoiser(100), 0.02, accelerated=True), 100).image, x, atol=1e-4)


def test_tv_minimiser_beats_its_neighbors() -> None:
    A, y, x = tv_minimiser()
    f = energy(A, y, 0.02)
    best = f(CG(A, y).init(x))
    generator = torch.Generator().manual_seed(1)
    for size in (1e-1, 1e-2, 1e-3):
        other = x + size * (rand(x.shape, generator=generator, like=x) - 0.5)
        assert f(CG(A, y).init(other)) > best


def test_pgd_descends_for_steps_up_to_one_over_the_norm_and_fista_is_faster() -> None:
    A = blur_down(2, "reflect")
    y = A(picture(12, 12, channels=3))
    t = 1 / operator_norm(A, (1, 1, 12, 12), generator=torch.Generator().manual_seed(0)) ** 2
    f = {"energy": energy(A, y, 0.01)}
    plain = run(PGD(A, y, tv_denoiser(100), 0.01, t), 40, record=f).history["energy"]
    fast = run(PGD(A, y, tv_denoiser(100), 0.01, t, accelerated=True), 40, record=f).history["energy"]
    assert all(b <= a + 1e-6 for a, b in zip(plain, plain[1:], strict=False))
    assert fast[-1] < plain[-1]
    solver = PGD(A, y, tv_denoiser(5), 0.01, t, accelerated=True)
    first = solver.step(solver.init())
    second = solver.step(first)
    assert torch.equal(first.z, first.x)  # FISTA starts without momentum
    golden = (1 + 5**0.5) / 2
    assert first.m == pytest.approx(golden) and second.m == pytest.approx((1 + (1 + 4 * golden**2) ** 0.5) / 2)
    assert torch.allclose(second.z, second.x + (golden - 1) / second.m * (second.x - first.x))


def test_pgd_with_too_long_a_step_diverges() -> None:
    A = Identity()
    y = picture(4, 4)
    state = run(PGD(A, y, lambda x, sigma: x, 0.1, t=2.5), 50, PGD(A, y, quadratic, 0.1).init(y + 1)).state
    assert (state.x - y).abs().max() > 1e6


def test_a_minimiser_is_a_fixed_point() -> None:
    A = blur_down(2)
    y = A(picture(8, 8))
    x = ridge(A, y, LAM)
    pgd = PGD(A, y, quadratic, LAM)
    assert torch.allclose(pgd.step(pgd.init(x)).x, x, atol=1e-12)
    admm = ADMM(A, y, quadratic, LAM, rho=0.2)
    # at the minimiser the multiplier is the prior's gradient over rho
    state = admm.step(replace(admm.init(x), u=LAM / 0.2 * x))
    assert torch.allclose(state.x, x, atol=1e-12) and torch.allclose(state.u, LAM / 0.2 * x, atol=1e-12)


def test_red_with_a_linear_denoiser_solves_its_normal_equations() -> None:
    A = blur_down(1)
    y = A(picture(8, 8))
    # D = x / (1 + sigma^2): the prior is lam sigma^2 / (2 (1 + sigma^2)) |x|^2
    exact = ridge(A, y, 0.2 * 0.25 / 1.25)
    assert torch.allclose(run(RED(A, y, quadratic, lam=0.2, sigma=0.5, t=1.0), 600).image, exact, atol=1e-8)


def test_cg_steps_reduce_the_error_and_solve_in_as_many_steps_as_unknowns() -> None:
    A = blur_down(1)
    y = A(picture(5, 5))
    v = picture(5, 5, seed=4)
    exact = A.prox(v, y, 0.1)
    errors = [(s.x - exact).norm().item() for s in islice(iterate(CG(A, y, 0.1, v)), 25)]
    assert errors[-1] < 1e-8 and all(b < a for a, b in zip(errors, errors[1:8], strict=False))


SOLVERS = {
    "HQS": lambda A, y: HQS(A, y, tv_denoiser(10), schedules.geometric(0.2, 0.05, 6), 0.01),
    "ADMM": lambda A, y: ADMM(A, y, tv_denoiser(10), 0.01, 0.1),
    "PGD": lambda A, y: PGD(A, y, tv_denoiser(10), 0.01),
    "FISTA": lambda A, y: PGD(A, y, tv_denoiser(10), 0.01, accelerated=True),
    "RED": lambda A, y: RED(A, y, tv_denoiser(10), 0.1, 0.05, 1.0),
    "CG": lambda A, y: CG(A, y, 0.01),
}


@pytest.mark.parametrize("name", SOLVERS)
def test_manual_stepping_equals_run_and_resume_is_bitwise(name: str, tmp_path: Path) -> None:
    A = BlurDown(gaussian_kernel(5, 1.0), 2)
    y = A(picture(12, 8, channels=3).float())
    solver = SOLVERS[name](A, y)
    whole = run(solver, 9).state
    state = solver.init()
    for _ in range(9):
        state = solver.step(state)
    assert torch.equal(state.x, whole.x) and whole.step == 9
    save_state(tmp_path / "s.pt", run(solver, 4).state)
    resumed = run(solver, 5, load_state(tmp_path / "s.pt", type(state))).state
    assert torch.equal(resumed.x, whole.x)


def test_a_step_leaves_its_state_alone() -> None:
    A = blur_down(2)
    y = A(picture(8, 8))
    for make in SOLVERS.values():
        solver = make(A, y)
        state = solver.step(solver.init())
        before = state.x.clone()
        assert torch.equal(solver.step(state).x, solver.step(state).x) and torch.equal(state.x, before)


def test_schedules() -> None:
    assert schedules.constant(2, 3) == [2, 2, 2]
    assert schedules.linear(1, 0, 3) == [1, 0.5, 0] and schedules.linear(1, 0, 1) == [1]
    assert schedules.geometric(8, 1, 4) == pytest.approx([8, 4, 2, 1])
    assert schedules.rho_schedule([0.2, 0.1], 0.23, 0.02) == pytest.approx([0.23 * 0.01, 0.23 * 0.04])
    assert at([3.0, 2.0], 0) == 3 and at([3.0, 2.0], 9) == 2 and at(0.5, 9) == 0.5 and at(torch.tensor([1.0, 4.0]), 5) == 4


def test_hqs_uses_the_rho_of_its_schedule() -> None:
    seen: list[float] = []

    class Spy(Identity):
        def prox(self, v: Tensor, y: Tensor, rho: float | Tensor, **kwargs: Any) -> Tensor:
            seen.append(float(rho))
            return super().prox(v, y, rho, **kwargs)

    sigmas = schedules.geometric(49 / 255, 0.02, 4)
    run(HQS(Spy(), picture(4, 4), quadratic, sigmas, 0.23 * 0.02**2), 4)
    assert seen == pytest.approx(schedules.rho_schedule(sigmas, 0.23, 0.02))


def test_gradients_flow_through_the_steps() -> None:
    A = Blur(gaussian_kernel(3, 1.0, dtype=F64))
    y = picture(6, 6).requires_grad_()
    state = next(islice(iterate(HQS(A, y, quadratic, 0.2, LAM)), 2, None))
    (g,) = torch.autograd.grad(state.x.sum(), y)
    assert torch.isfinite(g).all() and g.abs().sum() > 0


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda A, y: HQS(A, y, quadratic, [], LAM), "sigmas"),
        (lambda A, y: HQS(A, y, quadratic, 0.1, -1.0), "lam=-1"),
        (lambda A, y: ADMM(A, y, quadratic, LAM, [0.1, 0.0]), "rho"),
        (lambda A, y: PGD(A, y, quadratic, LAM, 0.0), "t=0"),
        (lambda A, y: PGD(A, y, quadratic, LAM, float("nan")), "t=nan"),
        (lambda A, y: CG(A, y, -0.1), "rho=-0.1"),
        (lambda A, y: PGD(A, y[0], quadratic, LAM), "shape"),
        (lambda A, y: PGD(A, y, quadratic, LAM).init(y), "x0 of"),
        (lambda A, y: schedules.geometric(0, 1, 3), "linear"),
        (lambda A, y: schedules.linear(0, 1, 0), "n=0"),
        (lambda A, y: schedules.rho_schedule([0.1], 0.23, 0.0), "sigma=0"),
    ],
)
def test_bad_input_is_named(make: Callable[[LinearOperator, Tensor], Any], message: str) -> None:
    A = blur_down(2)
    with pytest.raises(ValueError, match=message):
        make(A, picture(4, 4))
