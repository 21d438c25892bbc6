"""BSRDM: the explicit Gaussian, the patchwise variance, the Langevin steps, planted truth, resume."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import restorekit
from restorekit.images import bundled
from restorekit.kernels import (
    GaussianPrior,
    KernelPrior,
    MotionPrior,
    centered_gaussian,
    gaussian_kernel,
    kernel_moments,
    random_gaussian_kernel,
)
from restorekit.methods.baselines.bicubic import bicubic
from restorekit.methods.baselines.bsrdm import BSRDM, Z_VARIANCE, H, factor_of, gaussian_of, local_variance
from restorekit.methods.blind import blind_solver, finish
from restorekit.methods.mlmc_presets import QUICK
from restorekit.metrics import psnr
from restorekit.operators import BlurDown
from restorekit.solvers import load_state, run, save_state

TINY = replace(QUICK, outer=4, meta_steps=2, image_steps=2, channels=4, skip=2, levels=2, inputs=2, kernel_from=0)
M = (-0.5, -0.5)


def gen(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def blocks(h: int = 48, w: int = 48, channels: int = 1) -> Tensor:
    """Blocks of random gray levels: edges everywhere."""
    small = torch.rand(1, channels, -(-h // 6), -(-w // 6), generator=gen(7))
    return small.repeat_interleave(6, 2).repeat_interleave(6, 3)[..., :h, :w]


def learner(seed: int = 0, y: Tensor | None = None, prior: KernelPrior | None = None, **options: Any) -> BSRDM:
    options = {"settings": TINY, **options}
    return BSRDM(blocks(24, 24) if y is None else y, 2, prior or GaussianPrior(7, M), generator=gen(seed), **options)


def same(a: Any, b: Any) -> bool:
    return torch.equal(a.x, b.x) and torch.equal(a.k, b.k) and (a.step, a.loss, a.sigma) == (b.step, b.loss, b.sigma)


@pytest.mark.parametrize("theta", [0.0, 0.6, 2.2])
def test_the_explicit_gaussian_is_that_of_its_covariance(theta: float) -> None:
    sigma, angle = torch.tensor([[2.0, 0.9]]).double(), torch.tensor([theta]).double()
    expected = centered_gaussian(21, sigma, angle, (-0.5, 0.25))
    cos, sin = torch.cos(angle), torch.sin(angle)
    R = torch.stack([torch.cat([sin, cos]), torch.cat([cos, -sin])])  # rows: (row, column); columns: the axes of s1 and s2
    k = gaussian_of(factor_of(R @ torch.diag(sigma[0] ** 2) @ R.T), 21, (-0.5, 0.25))
    assert (k - expected).abs().max() < 1e-5
    assert torch.allclose(kernel_moments(k)[1], torch.tensor([[-0.5, 0.25]]).double(), atol=1e-6)


def test_the_local_variance_is_the_mode_of_its_posterior() -> None:
    """Against a grid over lambda of log InverseGamma(lambda; n/2 - 1, n v/2) + sum over the patch of log N(r; 0, lambda)."""
    r, v = 0.1 * torch.randn(1, 2, 12, 15, generator=gen()).double(), torch.tensor(0.02).double()
    found = local_variance(r, v)
    grid = torch.linspace(1e-4, 0.05, 20001).double()
    for c, i, j in ((0, 6, 7), (1, 0, 0), (1, 5, 14)):
        patch = r[0, c, max(0, i - 3) : i + 4, max(0, j - 3) : j + 4]
        n = patch.numel()
        log_p = -(n / 2) * grid.log() - n * v / 2 / grid - n / 2 * grid.log() - patch.square().sum() / 2 / grid
        assert found[0, c, i, j].item() == pytest.approx(grid[log_p.argmax()].item(), abs=5e-6)


def test_the_loss_weighs_each_pixel_by_its_variance() -> None:
    a, x, k = learner(settings=replace(TINY, rho=0.0)), torch.rand(1, 1, 48, 48, generator=gen(3)), gaussian_kernel(7, 1.0)
    residual = blocks(24, 24) - BlurDown(k, 2, "reflect")(x)
    assert a._loss(x, k).item() == pytest.approx((residual.square() / local_variance(residual, residual.square().mean())).sum().item())
    known = learner(settings=replace(TINY, rho=0.0), sigma=0.05)
    assert known._loss(x, k).item() == pytest.approx((residual.square() / 0.05**2).sum().item(), rel=1e-5)


def test_langevin_steps_sample_the_prior_where_the_picture_says_nothing() -> None:
    a = learner(settings=replace(TINY, inputs=8))
    guide = a.z_x[:, :1].detach().clone()
    a.z_x.grad = torch.zeros_like(a.z_x)
    for _ in range(2500):
        a._move_input()
    assert torch.equal(a.z_x[:, :1], guide)
    z = a.z_x[:, 1:].detach()
    assert z.var().item() == pytest.approx(Z_VARIANCE / (1 - H / (4 * Z_VARIANCE)), rel=0.05)
    assert abs(z.mean().item()) < 0.01 * Z_VARIANCE**0.5 + 5 * (Z_VARIANCE / z.numel()) ** 0.5


def test_the_input_follows_the_gradient() -> None:
    """Without noise in the step's mean: the difference to a step with no gradient is -h/2 times half the gradient."""
    moved = []
    for gradient in (0.0, 3000.0):
        a = learner()
        a.z_x.grad = torch.full_like(a.z_x, gradient)
        a._move_input()
        moved.append(a.z_x.detach().clone())
    difference = moved[1] - moved[0]
    assert torch.equal(difference[:, :1], torch.zeros_like(difference[:, :1]))
    assert torch.allclose(difference[:, 1:], torch.full_like(difference[:, 1:], -H / 2 * 1500), atol=1e-7)


def test_with_the_true_picture_the_gaussian_reaches_the_planted_one() -> None:
    """Net fixed at the truth: stds to 5%, angle to 3 degrees."""
    x, theta = blocks(48, 48), 0.6
    truth = centered_gaussian(11, torch.tensor([[2.0, 1.0]]), torch.tensor([theta]), M)
    y = BlurDown(truth, 2, "reflect")(x)
    a = learner(y=y, prior=GaussianPrior(11, M), settings=replace(TINY, outer=60, meta_steps=1, image_steps=3, rho=0.0))
    dead = torch.zeros(1, requires_grad=True)
    a._image = lambda: x + 0 * dead + 0 * a.z_x[:, :1]  # type: ignore[method-assign]
    for _ in range(60):
        k = a.step().k
    variances, axes = torch.linalg.eigh(kernel_moments(k)[2][0])
    wanted = torch.linalg.eigvalsh(kernel_moments(truth)[2][0])
    assert torch.allclose(variances.sqrt(), wanted.sqrt(), rtol=0.05)
    angle = torch.atan2(axes[0, 1], axes[1, 1]) - theta
    assert torch.sin(angle).abs() < 0.052


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_resume_is_bitwise(dtype: torch.dtype, tmp_path: Path) -> None:
    y = blocks(24, 20, 3).to(dtype)
    a = learner(y=y)
    run(a, 2)
    save_state(tmp_path / "state", a)
    rest = [a.step() for _ in range(2)]
    b = load_state(tmp_path / "state", learner(seed=99, y=y))
    assert all(same(p, q) for p, q in zip(rest, [b.step() for _ in range(2)], strict=True))
    assert rest[0].x.shape == (1, 3, 48, 40) and rest[0].x.dtype == rest[0].k.dtype == dtype


def test_same_seed_same_result_and_no_global_randomness() -> None:
    torch.manual_seed(1)
    a = learner().step()
    torch.manual_seed(2)
    assert same(a, learner().step())
    assert not torch.equal(a.x, learner(seed=1).step().x)


def test_the_kernel_waits_for_the_picture() -> None:
    a = learner(settings=replace(TINY, kernel_from=1))
    start = a.snapshot().k
    assert torch.equal(a.step().k, start)
    assert not torch.equal(a.step().k, start)


@pytest.mark.parametrize("factor", [(9.0, 0.0, 9.0), (-9.0, 0.0, -9.0), (0.0, 50.0, 0.0)])
def test_extreme_gaussians_stay_probabilities_at_the_centroid(factor: tuple[float, float, float]) -> None:
    a = learner(prior=GaussianPrior(11, (-0.5, 0.25)))
    with torch.no_grad():
        a._factor.copy_(torch.tensor(factor))
    a._bound()
    k = a.kernel()
    assert (k >= 0).all() and k.sum().item() == pytest.approx(1, abs=1e-5)
    assert torch.allclose(kernel_moments(k)[1], torch.tensor([[-0.5, 0.25]]), atol=0.01)
    assert torch.isfinite(torch.autograd.grad(k[0, 0, 5, 5], a._factor)[0]).all()


@pytest.mark.parametrize("scale", [1, 2, 3, 4])
def test_every_scale_and_prior_through_the_one_call(scale: int) -> None:
    y = torch.rand(1, 3 if scale == 2 else 1, 9, 11, generator=gen(1))
    options: dict[str, Any] = {"kernel_prior": MotionPrior(7), "align": "phase0"} if scale == 3 else {}
    solver = blind_solver(y, scale, method="bsrdm", settings=TINY, generator=gen(), **options)
    result = finish(solver, run(solver, 2))
    assert result.image.shape == (1, y.shape[1], 9 * scale, 11 * scale) and torch.isfinite(result.image).all()
    assert result.kernel.sum().item() == pytest.approx(1, abs=1e-5)


def test_on_a_picture_the_loss_falls_and_the_result_beats_the_start() -> None:
    x = bundled("camera", size=128)[..., 16:64, 36:84]
    kernel = random_gaussian_kernel(11, variance=(1.5, 4.0), centroid=M, generator=gen(2))
    y = (BlurDown(kernel, 2, "reflect")(x) * 255).round() / 255
    settings = replace(QUICK, outer=12, channels=16)
    solver = blind_solver(y, 2, method="bsrdm", settings=settings, generator=gen())
    start = solver.snapshot().x
    result = finish(solver, run(solver, 12, record={"loss": lambda s: s.loss}))
    assert result.history["loss"][-1] < 0.2 * result.history["loss"][0]
    assert psnr(result.image, x, border=2) > psnr(start, x, border=2) + 3
    assert psnr(result.image, x, border=2) > psnr(bicubic(y, 2), x, border=2)


def test_the_public_function_runs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(restorekit.methods.mlmc_presets.PRESETS, "quick", TINY)
    y, steps = blocks(16, 16), []
    result = restorekit.bsrdm(y, 2, generator=gen(), callback=lambda i, state: steps.append(i))
    assert steps == [1, 2, 3, 4] and len(result.history) == 4
    assert torch.equal(result.image, restorekit.super_resolve_blind(y, 2, method="bsrdm", generator=gen()).image)
