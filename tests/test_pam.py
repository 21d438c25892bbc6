"""PAM: gradients of its energy, its steps, a planted kernel, resume."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import restorekit
from restorekit.kernels import GaussianPrior, gaussian_kernel, kernel_moments
from restorekit.methods.baselines.pam import EPSILON, ITERATIONS, PAM
from restorekit.methods.mlmc_presets import QUICK
from restorekit.operators import BlurDown
from restorekit.solvers import load_state, run, save_state

TINY = replace(QUICK, outer=4, meta_steps=2, image_steps=2)
PRIOR = GaussianPrior(7, (-0.5, -0.5))


def gen(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def blocks(h: int = 48, w: int = 48, channels: int = 1, side: int = 5) -> Tensor:
    """Blocks of random gray levels: piecewise constant, edges at all phases of decimation."""
    small = torch.rand(1, channels, -(-h // side), -(-w // side), generator=gen(7))
    return small.repeat_interleave(side, 2).repeat_interleave(side, 3)[..., :h, :w]


def learner(y: Tensor, scale: int = 2, seed: int = 0, **options: Any) -> PAM:
    return PAM(y, scale, **{"prior": PRIOR, "settings": TINY, **options}, generator=gen(seed))


def same(a: Any, b: Any) -> bool:
    return torch.equal(a.x, b.x) and torch.equal(a.k, b.k) and (a.step, a.loss, a.sigma) == (b.step, b.loss, b.sigma)


def problem() -> tuple[PAM, Tensor, Tensor]:
    y = 0.8 * torch.rand(1, 3, 9, 10, generator=gen(1)).double()  # darker than x: taps want to fall
    x, k = torch.rand(1, 3, 18, 20, generator=gen(2)).double(), gaussian_kernel(7, 0.6, dtype=torch.float64)
    return learner(y), x, k


def test_the_energy_is_the_loop_over_pixels() -> None:
    a, x, k = problem()
    expected = 0.5 * (BlurDown(k, 2, "reflect")(x) - a._y).square().sum().item()
    for c in range(3):
        for i in range(18):
            for j in range(20):
                down = (x[0, c, i + 1, j] - x[0, c, i, j]).item() if i < 17 else 0.0
                right = (x[0, c, i, j + 1] - x[0, c, i, j]).item() if j < 19 else 0.0
                expected += a.lam * (down**2 + right**2 + EPSILON**2) ** 0.5
    assert a.energy(x, k).item() == pytest.approx(expected, rel=1e-10)


def test_both_steps_follow_finite_differences_of_the_energy() -> None:
    a, x, k = problem()
    t, h = 1e-3, 1e-5
    moved = (x - a.image_step(x, k, t)) / t
    for c, i, j in ((0, 0, 0), (1, 7, 12), (2, 17, 19)):
        e = torch.zeros_like(x)
        e[0, c, i, j] = h
        slope = (a.energy(x + e, k) - a.energy(x - e, k)) / (2 * h)
        assert moved[0, c, i, j].item() == pytest.approx(slope.item(), rel=1e-5, abs=1e-8)
    slopes = torch.zeros_like(k)
    for i in range(7):
        for j in range(7):
            e = torch.zeros_like(k)
            e[0, 0, i, j] = h
            slopes[0, 0, i, j] = (a.energy(x, k + e) - a.energy(x, k - e)) / (2 * h)
    expected = (k - t * slopes).clamp(min=0)
    assert expected.min() == 0  # positivity is at work
    assert torch.allclose(a.kernel_step(x, k, t), expected / expected.sum(), atol=1e-9)


@pytest.mark.parametrize("padding", ["reflect", "zero"])
def test_the_step_on_the_picture_never_raises_the_energy(padding: str) -> None:
    a = learner(torch.rand(1, 1, 12, 11, generator=gen(1)).double(), padding=padding)
    x, k = torch.rand(1, 1, 24, 22, generator=gen(2)).double(), a.kernel()
    t, _ = a.step_sizes()
    energies = []
    for _ in range(40):
        energies.append(a.energy(x, k).item())
        x = a.image_step(x, k, t)
    assert all(after <= before for before, after in zip(energies[:-1], energies[1:], strict=True))
    assert energies[-1] < 0.5 * energies[0]


def test_step_sizes_are_the_inverse_curvatures() -> None:
    a, _, _ = problem()
    for _ in range(30):
        t_x, t_k = a.step_sizes()  # the power iteration on k goes on where it stopped
    taps = torch.eye(49, dtype=torch.float64).reshape(49, 1, 7, 7) - 1 / 49  # kernels of sum 0
    M = torch.stack([BlurDown(tap[None], 2, "reflect")(a._x).flatten() for tap in taps], 1)
    assert 1 / t_k == pytest.approx(1.1 * torch.linalg.matrix_norm(M, 2).item() ** 2, rel=0.02)
    pixels = torch.eye(360, dtype=torch.float64).reshape(360, 1, 18, 20)
    A = BlurDown(a.kernel(), 2, "reflect")(pixels).flatten(1)
    assert 1 / t_x >= torch.linalg.matrix_norm(A, 2).item() ** 2 + 8 * a.lam / EPSILON


def test_a_planted_kernel_is_approached_from_a_wrong_start() -> None:
    """Piecewise constant picture, kernel narrower than the guess: its error falls by a third, the picture's by a quarter."""
    x, k = blocks().double(), gaussian_kernel(7, (1.2, 0.7), 0.5, shift=(-0.5, -0.5), dtype=torch.float64)
    row, column = kernel_moments(k)[1][0].tolist()
    y = BlurDown(k, 2, "reflect")(x)
    a = PAM(y, 2, GaussianPrior(7, (row, column), variance=(2.0, 3.0)), settings=replace(TINY, outer=25), generator=gen())
    start, first = a.kernel(), a.snapshot().x
    state = run(a, a.total_steps).state
    assert (state.k - k).norm() < 0.65 * (start - k).norm()
    assert (state.x - x).norm() < 0.75 * (first - x).norm()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_resume_is_bitwise(dtype: torch.dtype, tmp_path: Path) -> None:
    y = blocks(17, 20, 3).to(dtype)
    a = learner(y)
    run(a, 2)
    save_state(tmp_path / "state", a)
    rest = [a.step() for _ in range(2)]
    b = load_state(tmp_path / "state", learner(y, seed=99))  # another seed: everything must come from the file
    assert all(same(p, q) for p, q in zip(rest, [b.step() for _ in range(2)], strict=True))
    assert rest[0].x.shape == (1, 3, 34, 40) and rest[0].x.dtype == rest[0].k.dtype == dtype
    assert torch.equal(a.data_step(rest[-1]), b.data_step(rest[-1]))


def test_same_seed_same_result_and_no_global_randomness() -> None:
    torch.manual_seed(1)
    a = learner(blocks(20, 20)).step()
    torch.manual_seed(2)
    assert same(a, learner(blocks(20, 20)).step())
    assert not torch.equal(a.x, learner(blocks(20, 20), seed=1).step().x)


@pytest.mark.parametrize("scale", [1, 2, 3, 4])
def test_kernels_stay_on_the_simplex_and_at_the_centroid(scale: int) -> None:
    a = learner(blocks(24, 22), scale, padding="circular")
    for _ in range(3):
        k = a.step().k
        assert torch.allclose(kernel_moments(k)[1], torch.tensor([[-0.5, -0.5]]), atol=0.01)
        assert (k >= 0).all() and k.sum().item() == pytest.approx(1, abs=1e-5)


def test_the_number_of_alternations_and_the_weight() -> None:
    a = learner(blocks(16, 16))
    a.step()
    assert len(a._losses) == ITERATIONS * 4
    assert learner(blocks(16, 16), sigma=0.05).lam == pytest.approx(0.005)
    assert a.lam < 0.001


def test_a_flat_picture_stays_finite_and_one_call_does_it_all() -> None:
    y = torch.full((1, 1, 16, 17), 0.5)
    state = run(learner(y), 2).state
    assert torch.allclose(state.x, torch.full_like(state.x, 0.5), atol=1e-4)
    result = restorekit.pam(y, 2, generator=gen(), preset="quick", callback=_stop)
    assert result.interrupted and result.image.shape == (1, 1, 32, 34) and result.kernel.shape == (1, 1, 11, 11)


def _stop(step: int, state: object) -> None:
    raise KeyboardInterrupt
