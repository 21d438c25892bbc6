"""Algorithms 1 to 3 of MLMC: samples, weights, both kinds of kernel step, the learner around them."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from restorekit.kernels import GaussianPrior, KernelPrior, MotionPrior, gaussian_kernel, kernel_moments, random_gaussian_kernel
from restorekit.methods.mlmc import (
    MLMC,
    kernel_misfits,
    kernel_weights,
    mcka_step,
    mlao_step,
    noise_variance,
    sample_kernels,
)
from restorekit.methods.mlmc_presets import BALANCED, PAPER, QUICK, MLMCSettings, preset_settings
from restorekit.methods.regularizers import hyper_laplacian
from restorekit.nets import KernelNet
from restorekit.operators import BlurDown
from restorekit.solvers import Learner, load_state, run, save_state

pytestmark = pytest.mark.usefixtures("few_kernels")
TINY = replace(QUICK, outer=4, meta_steps=2, image_steps=2, channels=4, skip=2, levels=2, inputs=2, hidden=(16,), kernel_from=0)


def gen(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def picture(h: int = 24, w: int = 24, channels: int = 1) -> Tensor:
    """Blocks of random gray levels: edges everywhere."""
    small = torch.rand(1, channels, -(-h // 6), -(-w // 6), generator=gen(7))
    return small.repeat_interleave(6, 2).repeat_interleave(6, 3)[..., :h, :w]


def learner(settings: MLMCSettings = TINY, seed: int = 0, y: Tensor | None = None, **options: object) -> MLMC:
    return MLMC(picture() if y is None else y, 2, GaussianPrior(7), settings=settings, generator=gen(seed), **options)  # type: ignore[arg-type]


def same(a: object, b: object) -> bool:
    fields = ("step", "x", "k", "loss", "sigma", "samples", "weights")
    pairs = [(getattr(a, f), getattr(b, f)) for f in fields]
    return all(torch.equal(p, q) if isinstance(p, Tensor) else p == q for p, q in pairs)


# samples and weights


def test_samples_have_the_planted_moments() -> None:
    """Variances uniform in [low, high] and angle uniform: the mean covariance is (low + high) / 2 on both axes, 0 across."""
    prior = GaussianPrior(31, (0.0, 0.0), variance=(1.0, 5.0))
    k = sample_kernels(prior, 3000, generator=gen(), like=torch.zeros(1, dtype=torch.float64))
    mass, centroid, covariance = kernel_moments(k)
    assert k.dtype == torch.float64 and k.shape == (3000, 1, 31, 31) and (k >= 0).all()
    assert torch.allclose(mass, torch.ones_like(mass), atol=1e-6)
    assert centroid.abs().max() < 0.01
    # std of one diagonal entry is below 1.2, so 5 standard errors of the mean are 0.11
    assert torch.allclose(covariance.mean(0), 3.0 * torch.eye(2, dtype=torch.float64), atol=0.11)


def test_a_prior_that_is_no_probability_is_refused() -> None:
    class Broken(KernelPrior):
        def _draw(self, n: int, generator: torch.Generator) -> Tensor:
            return torch.full((n, 1, 3, 3), 0.2)

    with pytest.raises(ValueError, match="sums"):
        sample_kernels(Broken(3), 2, generator=gen())


def test_misfits_and_weights_equal_the_loop_over_samples() -> None:
    x, y = torch.rand(1, 3, 14, 13, generator=gen(1)).double(), torch.rand(1, 3, 7, 7, generator=gen(2)).double()
    k, samples = (random_gaussian_kernel(7, n, generator=gen(n)).double() for n in (1, 5))
    nu = kernel_misfits(y, x, samples, k, 2, "reflect", 1e-6)
    for t in range(5):
        data = (BlurDown(samples[t : t + 1], 2, "reflect")(x) - y).square().sum()
        assert nu[t] == pytest.approx((data + (k - samples[t]).square().sum() + 1e-6).item(), rel=1e-10)
    inverse = [1 / v for v in nu.tolist()]
    assert kernel_weights(nu).tolist() == pytest.approx([v / sum(inverse) for v in inverse])
    posterior = [math.exp(-v / 0.4) for v in nu.tolist()]
    assert kernel_weights(nu, "posterior", variance=0.2).tolist() == pytest.approx([v / sum(posterior) for v in posterior])
    with pytest.raises(ValueError, match="rule"):
        kernel_weights(nu, "uniform")


# the two steps


def _kernel_problem() -> tuple[KernelNet, Tensor, Tensor, Tensor]:
    net = KernelNet(5, hidden=(6,), inputs=4, generator=gen()).double()
    z = torch.rand(1, 4, generator=gen(1)).double()
    return net, z, torch.rand(1, 1, 10, 10, generator=gen(2)).double(), torch.rand(1, 1, 5, 5, generator=gen(3)).double()


def test_mcka_step_follows_the_gradient_of_equation_25() -> None:
    net, z, x, y = _kernel_problem()
    samples = random_gaussian_kernel(5, 4, variance=(0.3, 1.0), generator=gen(4)).double()
    before = [p.detach().clone() for p in net.parameters()]
    k = net(z)
    omega = kernel_weights(kernel_misfits(y, x, samples, k.detach(), 2, "zero", 1e-6))
    loss = sum(w * (k - s).square().sum() for w, s in zip(omega, samples, strict=True))
    gradients = torch.autograd.grad(loss, list(net.parameters()))  # type: ignore[arg-type]
    done = mcka_step(net, z, torch.optim.SGD(net.parameters(), 0.1), samples, x=x, y=y, scale=2, padding="zero")
    assert done.loss == pytest.approx(loss.item())  # type: ignore[union-attr]
    for p, old, g in zip(net.parameters(), before, gradients, strict=True):
        assert torch.allclose(p, old - 0.1 * g, atol=1e-12)
    with pytest.raises(ValueError, match="sum"):
        mcka_step(net, z, torch.optim.SGD(net.parameters(), 0.1), 2 * samples, x=x, y=y, scale=2)


def test_mcka_steps_reach_a_repeated_sample() -> None:
    net, z, x, y = _kernel_problem()
    target = gaussian_kernel(5, 0.8, dtype=torch.float64)
    optimizer = torch.optim.Adam(net.parameters(), 0.05)
    for _ in range(150):
        mcka_step(net, z, optimizer, target.repeat(3, 1, 1, 1), x=x, y=y, scale=2)
    assert (net(z) - target).abs().max() < 0.01


def test_mlao_meta_gradient_equals_autograd_with_the_image_path_cut() -> None:
    """The kernel step must follow d/dphi_k of the mean of P losses, each at its own x^p, x^p taken as constant."""
    net, z, _, y = _kernel_problem()
    x = torch.rand(1, 1, 10, 10, generator=gen(5)).double().requires_grad_()

    def loss(x: Tensor, k: Tensor) -> Tensor:
        return (BlurDown(k, 2, "reflect")(x) - y).square().sum()

    iterates, v = [], x.detach().clone()
    for _ in range(3):  # the same three image steps, by hand
        iterates.append(v)
        leaf = v.clone().requires_grad_()
        v = v - 0.01 * torch.autograd.grad(loss(leaf, net(z).detach()), leaf)[0]
    expected = torch.autograd.grad(sum(loss(it, net(z)) for it in iterates) / 3, list(net.parameters()))  # type: ignore[operator]
    before = [p.detach().clone() for p in net.parameters()]
    seen: list[Tensor] = []
    total = mlao_step(
        lambda: 1 * x, net, z, torch.optim.SGD([x], 0.01), torch.optim.SGD(net.parameters(), 0.1), loss, 3, on_image=seen.append
    )
    assert all(torch.allclose(a, b, atol=1e-12) for a, b in zip(seen, iterates, strict=True))
    assert torch.allclose(x, v, atol=1e-12)
    assert total == pytest.approx(sum(loss(it, _before(net, before, z)).item() for it in iterates) / 3)
    for p, old, g in zip(net.parameters(), before, expected, strict=True):
        assert torch.allclose(p, old - 0.1 * g, atol=1e-10)


def _before(net: KernelNet, values: list[Tensor], z: Tensor) -> Tensor:
    now = [p.detach().clone() for p in net.parameters()]
    with torch.no_grad():
        for p, v in zip(net.parameters(), values, strict=True):
            p.copy_(v)
        k = net(z)
        for p, v in zip(net.parameters(), now, strict=True):
            p.copy_(v)
    return k


def test_mlao_without_a_kernel_optimizer_leaves_the_kernel() -> None:
    net, z, _, y = _kernel_problem()
    x = torch.rand(1, 1, 10, 10, generator=gen(5)).double().requires_grad_()
    k = net(z).detach()
    mlao_step(lambda: 1 * x, net, z, torch.optim.SGD([x], 0.01), None, lambda x, k: (BlurDown(k, 2)(x) - y).square().sum(), 2)
    assert torch.equal(net(z), k)


# the loss


def test_noise_variance_is_a_constant_with_a_floor() -> None:
    r = torch.tensor([0.3, -0.1, 0.2], requires_grad=True)
    variance = noise_variance(r, 0.01)
    assert variance.item() == pytest.approx(r.detach().square().mean().item()) and not variance.requires_grad
    (gradient,) = torch.autograd.grad((r.square() / variance).sum(), r)
    assert torch.allclose(gradient, 2 * r / variance)
    (literal,) = torch.autograd.grad(r.square().sum() / r.square().mean(), r)  # Eq. 35 and 36 as printed
    assert literal.abs().max() < 1e-5 < gradient.abs().max()
    assert noise_variance(1e-6 * r, 0.01).item() == pytest.approx(1e-4)


def test_hyper_laplacian_is_the_sum_over_pixels() -> None:
    x = torch.rand(1, 2, 4, 5, generator=gen()).double()
    down = (x[..., 1:, :] - x[..., :-1, :]).abs()
    right = (x[..., 1:] - x[..., :-1]).abs()
    expected = (down ** (2 / 3)).sum() + (right ** (2 / 3)).sum()
    assert hyper_laplacian(x, epsilon=0.0).item() == pytest.approx(expected.item())
    cross = (x[..., 1:, 1:] - x[..., :-1, :-1]).abs(), (x[..., 1:, :-1] - x[..., :-1, 1:]).abs()
    expected = expected + sum((c ** (2 / 3)).sum() for c in cross)
    assert hyper_laplacian(x, diagonals=True, epsilon=0.0).item() == pytest.approx(expected.item())
    assert torch.isfinite(torch.autograd.grad(hyper_laplacian(v := torch.zeros(1, 1, 3, 3, requires_grad=True)), v)[0]).all()


# the learner


def test_manual_stepping_equals_run() -> None:
    a, b = learner(), learner()
    assert isinstance(a, Learner)
    states = [a.step() for _ in range(3)]
    seen: list[object] = []
    run(b, 3, callback=lambda i, state: seen.append(state))
    assert all(same(p, q) for p, q in zip(states, seen, strict=True))


def test_states_are_frozen_and_detached() -> None:
    a = learner()
    first = a.step()
    x, k = first.x.clone(), first.k.clone()
    a.step()
    assert torch.equal(first.x, x) and torch.equal(first.k, k)
    assert not first.x.requires_grad and not first.k.requires_grad
    with pytest.raises(AttributeError):
        first.step = 5  # type: ignore[misc]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_resume_is_bitwise(dtype: torch.dtype, tmp_path: Path) -> None:
    y = picture().to(dtype)
    a = learner(y=y)
    for _ in range(2):
        a.step()
    save_state(tmp_path / "state", a)
    rest = [a.step() for _ in range(2)]
    b = load_state(tmp_path / "state", learner(seed=99, y=y))  # another seed: everything must come from the file
    assert all(same(p, q) for p, q in zip(rest, [b.step() for _ in range(2)], strict=True))
    assert torch.equal(a.data_step(rest[-1]), b.data_step(rest[-1]))


def test_a_state_dict_does_not_follow_the_learner() -> None:
    a = learner()
    a.step()
    saved = a.state_dict()
    later = [a.step() for _ in range(2)]
    a.load_state_dict(saved)
    assert all(same(p, q) for p, q in zip(later, [a.step() for _ in range(2)], strict=True))


def test_same_seed_same_result_and_no_global_randomness() -> None:
    torch.manual_seed(1)
    a = learner().step()
    torch.manual_seed(2)
    assert same(a, learner().step())
    assert not torch.equal(a.x, learner(seed=1).step().x)


def test_phases_can_be_left_out() -> None:
    without = replace(TINY, mcka=False, mlao=False)
    a = learner(without)
    start = a.snapshot().k
    assert torch.equal(a.step().k, start)
    assert not torch.equal(learner(replace(TINY, mlao=False)).step().k, start)
    assert not torch.equal(learner(replace(TINY, mcka=False)).step().k, start)


def test_kernel_steps_wait_for_the_picture() -> None:
    a = learner(replace(TINY, mcka=False, kernel_from=1))
    start = a.snapshot().k
    assert torch.equal(a.step().k, start)
    assert not torch.equal(a.step().k, start)


def test_reported_picture_is_the_mean_of_late_outputs() -> None:
    a = learner(replace(TINY, average_from=0.5))
    outputs: list[Tensor] = []
    keep = a._keep
    a._keep = lambda x: (outputs.append(x.clone()), keep(x))[1]  # type: ignore[method-assign, func-returns-value, assignment]
    states = [a.step() for _ in range(4)]
    assert torch.equal(states[1].x, outputs[7])  # 4 outputs a step; before half time the latest
    assert torch.allclose(states[3].x, torch.cat(outputs[8:]).mean(0, keepdim=True), atol=1e-6)


# rho=3 flattens so small a picture for hundreds of steps before it lets the edges in
TINY_PAPER = replace(PAPER, meta_steps=2, image_steps=2, channels=4, skip=2, levels=2, inputs=2, hidden=(16,), rho=0.3)


@pytest.mark.parametrize(("settings", "steps"), [(TINY, 6), (TINY_PAPER, 8)])
def test_the_loss_decreases(settings: MLMCSettings, steps: int) -> None:
    history = run(learner(replace(settings, outer=steps)), steps, record={"loss": lambda s: s.loss}).history["loss"]
    assert history[-1] < 0.7 * history[0]


def test_a_given_sigma_replaces_the_estimate() -> None:
    a = learner(replace(TINY, anchor=0.0), sigma=0.02)
    assert a.step().sigma == 0.02
    x, k = torch.rand(1, 1, 48, 48, generator=gen(3)), gaussian_kernel(7, 1.0)
    residual = picture() - BlurDown(k, 2, "reflect")(x)
    expected = residual.square().sum() / 0.02**2 + TINY.rho * hyper_laplacian(x, TINY.eta)
    assert a._loss(x, k).item() == pytest.approx(expected.item(), rel=1e-5)


def test_the_anchor_is_a_relative_entropy_felt_by_the_kernel_alone() -> None:
    a, free = learner(replace(TINY, anchor=3.0)), learner(replace(TINY, anchor=0.0))
    x = torch.rand(1, 1, 48, 48, generator=gen(3), requires_grad=True)
    start = a.snapshot().k
    assert a._loss(x, start).item() == pytest.approx(free._loss(x, start).item(), rel=1e-6)
    k = gaussian_kernel(7, 1.0)
    away = (start * (start / k).log()).sum().item()
    assert away > 0.01
    assert a._loss(x, k).item() - free._loss(x, k).item() == pytest.approx(3 * 24 * 24 * away, rel=1e-3)
    gradients = [torch.autograd.grad(one._loss(x, k), x)[0] for one in (a, free)]
    assert torch.allclose(*gradients)


@pytest.mark.parametrize("prior", [GaussianPrior(7, (-0.5, -0.5)), MotionPrior(9, (-0.5, -0.5))])
def test_the_kernel_stays_at_the_centroid_of_the_prior(prior: KernelPrior) -> None:
    a = MLMC(picture(), 2, prior, settings=TINY, generator=gen())
    for _ in range(3):
        k = a.step().k
        assert torch.allclose(kernel_moments(k)[1], torch.tensor([[-0.5, -0.5]]), atol=0.01)
        assert (k >= 0).all() and k.sum().item() == pytest.approx(1, abs=1e-5)


def test_presets_are_there_and_bad_settings_are_refused() -> None:
    assert preset_settings("paper") == PAPER
    assert (PAPER.outer, PAPER.mcka_steps, PAPER.meta_steps, PAPER.image_steps, PAPER.samples) == (100, 1, 5, 5, 10)
    assert not PAPER.spectral and not PAPER.guided and BALANCED.spectral
    with pytest.raises(ValueError, match="preset"):
        preset_settings("fast")
    with pytest.raises(ValueError, match="samples"):
        replace(PAPER, samples=0)
    with pytest.raises(ValueError, match="weights"):
        replace(PAPER, weights="uniform")
