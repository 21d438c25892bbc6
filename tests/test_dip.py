"""DIP and Double-DIP: what each may learn, planted truth, resume."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import restorekit
from restorekit.kernels import GaussianPrior, MotionPrior, gaussian_kernel, kernel_moments
from restorekit.methods.baselines.dip import DIP, guessed_kernel
from restorekit.methods.baselines.double_dip import DoubleDIP
from restorekit.methods.baselines.tv import generic_width
from restorekit.methods.blind import blind_solver, default_kernel_prior
from restorekit.methods.learner import ImageNetLearner
from restorekit.methods.mlmc_presets import QUICK
from restorekit.operators import BlurDown
from restorekit.solvers import load_state, run, save_state

TINY = replace(QUICK, outer=4, meta_steps=2, image_steps=2, channels=4, skip=2, levels=2, inputs=2, hidden=(16,))
BOTH = pytest.mark.parametrize("kind", [DIP, DoubleDIP])


def gen(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def blocks(h: int = 48, w: int = 48, channels: int = 1) -> Tensor:
    """Blocks of random gray levels: edges everywhere."""
    small = torch.rand(1, channels, -(-h // 6), -(-w // 6), generator=gen(7))
    return small.repeat_interleave(6, 2).repeat_interleave(6, 3)[..., :h, :w]


def learner(kind: type[ImageNetLearner], seed: int = 0, y: Tensor | None = None, **options: Any) -> ImageNetLearner:
    options = {"settings": TINY, **options}
    return kind(blocks(24, 24) if y is None else y, 2, GaussianPrior(7, (-0.5, -0.5)), generator=gen(seed), **options)


def same(a: Any, b: Any) -> bool:
    return torch.equal(a.x, b.x) and torch.equal(a.k, b.k) and (a.step, a.loss, a.sigma) == (b.step, b.loss, b.sigma)


@BOTH
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_resume_is_bitwise(kind: type[ImageNetLearner], dtype: torch.dtype, tmp_path: Path) -> None:
    y = blocks(24, 20, 3).to(dtype)
    a = learner(kind, y=y)
    run(a, 2)
    save_state(tmp_path / "state", a)
    rest = [a.step() for _ in range(2)]
    b = load_state(tmp_path / "state", learner(kind, seed=99, y=y))  # another seed: everything must come from the file
    assert all(same(p, q) for p, q in zip(rest, [b.step() for _ in range(2)], strict=True))
    assert rest[0].x.shape == (1, 3, 48, 40) and rest[0].x.dtype == rest[0].k.dtype == dtype


@BOTH
def test_same_seed_same_result_and_no_global_randomness(kind: type[ImageNetLearner]) -> None:
    torch.manual_seed(1)
    a = learner(kind).step()
    torch.manual_seed(2)
    assert same(a, learner(kind).step())
    assert not torch.equal(a.x, learner(kind, seed=1).step().x)


@BOTH
def test_as_many_image_steps_as_the_settings_say_and_the_loss_falls(kind: type[ImageNetLearner]) -> None:
    a = learner(kind, settings=replace(TINY, outer=6))
    calls: list[int] = []
    image = a._image
    a._image = lambda: (calls.append(1), image())[1]  # type: ignore[method-assign, func-returns-value]
    losses = [a.step().loss for _ in range(a.total_steps)]
    assert len(calls) == 6 * 2 * 2
    assert losses[-1] < 0.7 * losses[0]


def test_the_guess_is_the_middle_of_the_default_prior() -> None:
    for scale in (2, 3, 4):
        prior = default_kernel_prior(scale, 8 * scale + 3, (0.0, 0.0))  # wide: little is cut
        mass, centroid, covariance = kernel_moments(guessed_kernel(prior, generator=gen(), like=torch.zeros(1, dtype=torch.float64)))
        assert mass.item() == pytest.approx(1) and centroid.abs().max() < 0.01
        # 200 draws: standard error of a mean variance 0.67 s / sqrt(400), the tolerance is 5 of them
        assert covariance[0].diagonal().mean().item() == pytest.approx(generic_width(scale) ** 2, abs=0.17 * scale)


def test_dip_never_moves_its_kernel() -> None:
    a = learner(DIP)
    start = a.snapshot().k
    assert all(torch.equal(a.step().k, start) for _ in range(3))
    assert (start >= 0).all() and start.sum().item() == pytest.approx(1, abs=1e-5)
    assert torch.allclose(kernel_moments(start)[1], torch.tensor([[-0.5, -0.5]]), atol=0.01)


def test_dip_fits_the_observation_through_its_kernel() -> None:
    """With the guess as the true kernel, what it fits is the picture: the error falls."""
    prior = GaussianPrior(7, (-0.5, -0.5))
    a = learner(DIP)
    x = blocks()
    y = BlurDown(a.kernel(), 2, "reflect")(x)
    settings = replace(TINY, outer=40, guided=False, jitter=0.0)
    a = DIP(y, 2, prior, settings=settings, generator=gen())
    before = (a.snapshot().x - x).norm()
    assert (run(a, 40).state.x - x).norm() < 0.5 * before


def test_double_dip_finds_the_kernel_when_the_picture_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """x clamped to the truth: its kernel steps alone must reach the planted kernel. White noise shows every tap."""
    x, k = torch.rand(1, 1, 48, 48, generator=gen(3)).double(), gaussian_kernel(7, (1.3, 0.8), 0.6, dtype=torch.float64)
    centroid = tuple(kernel_moments(k)[1][0].tolist())
    y = BlurDown(k, 2, "reflect")(x)
    settings = replace(TINY, outer=20, hidden=(50,), lr_kernel=3e-3)
    a = DoubleDIP(y, 2, GaussianPrior(7, (centroid[0], centroid[1])), settings=settings, generator=gen())
    monkeypatch.setattr(a, "_image", lambda: x + 0 * next(a.image_net.parameters()).sum())
    before = (a.kernel() - k).norm().item()
    after = (run(a, a.total_steps).state.k - k).norm().item()
    assert before > 0.2
    assert after < 0.02


def test_double_dip_moves_both_nets_from_one_loss() -> None:
    a = learner(DoubleDIP, settings=replace(TINY, rho=0.0, meta_steps=1, image_steps=1, jitter=0.0))
    assert isinstance(a, DoubleDIP)
    images, kernels = list(a.image_net.parameters()), list(a.kernel_net.parameters())
    gradients = torch.autograd.grad(a._loss(a._image(), a.kernel()), images + kernels)
    old = [p.detach().clone() for p in images + kernels]
    a.step()
    for p, before, g in zip(images + kernels, old, gradients, strict=True):
        moved = p.detach() - before
        sure = g.abs() > 1e-3 * g.abs().max()
        assert torch.equal(moved[sure].sign(), -g[sure].sign())  # Adam's first step follows the sign


@pytest.mark.parametrize("prior", [GaussianPrior(7, (-0.5, -0.5)), MotionPrior(9, (-0.5, -0.5))])
def test_double_dip_stays_on_the_simplex_and_at_the_centroid(prior: Any) -> None:
    a = DoubleDIP(blocks(24, 24), 2, prior, settings=replace(TINY, lr_kernel=0.05), generator=gen())
    for _ in range(4):
        k = a.step().k
        assert torch.allclose(kernel_moments(k)[1], torch.tensor([[-0.5, -0.5]]), atol=0.01)
        assert (k >= 0).all() and k.sum().item() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("name", ["dip", "double_dip"])
def test_one_call_does_the_whole_run(name: str) -> None:
    y = blocks(16, 18, 3)
    assert type(blind_solver(y, 2, method=name, settings=TINY, generator=gen())) in (DIP, DoubleDIP)
    result = getattr(restorekit, name)(y[:, :1], 1, preset="quick", generator=gen(), callback=_stop)
    assert result.interrupted and result.image.shape == (1, 1, 16, 18) and result.kernel.shape == (1, 1, 15, 15)


def _stop(step: int, state: object) -> None:
    raise KeyboardInterrupt
