"""KernelGAN: its linear generator, its losses at known values, its kernel at every scale, resume."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import restorekit
from restorekit.kernels import GaussianPrior, delta_kernel, gaussian_kernel, kernel_moments
from restorekit.methods.baselines import kernelgan as module
from restorekit.methods.baselines.kernelgan import KernelGAN, kernel_losses
from restorekit.methods.mlmc_presets import QUICK
from restorekit.nets._init import draw_weights
from restorekit.nets.kernel_gan import SPAN, LinearGenerator, SpectralConv, patch_discriminator
from restorekit.operators import BlurDown
from restorekit.solvers import load_state, run, save_state

TINY = replace(QUICK, outer=4, meta_steps=1, image_steps=1, channels=4)


@pytest.fixture(autouse=True)
def few_warm_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WARM_STEPS", 30)


def gen(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def learner(y: Tensor, scale: int = 2, seed: int = 0, **options: Any) -> KernelGAN:
    m = -(scale - 1) / 2
    return KernelGAN(y, scale, GaussianPrior(4 * scale + 3, (m, m)), **{"settings": TINY, **options}, generator=gen(seed))


def noise(h: int = 32, w: int = 34, channels: int = 1) -> Tensor:
    return torch.rand(1, channels, h, w, generator=gen(5))


def same(a: Any, b: Any) -> bool:
    return torch.equal(a.x, b.x) and torch.equal(a.k, b.k) and (a.step, a.loss, a.sigma) == (b.step, b.loss, b.sigma)


@pytest.mark.parametrize("stride", [2, 3])
def test_the_generator_is_the_blur_of_its_impulse_response(stride: int) -> None:
    net = LinearGenerator(stride, generator=gen()).double()
    x = noise(31, 28, 3).double()
    k = net.kernel()
    assert k.shape == (1, 1, SPAN, SPAN)
    layered = torch.cat([net.layers(x[:, c : c + 1]) for c in range(3)], 1)[..., ::stride, ::stride]  # layer by layer
    assert torch.allclose(net(x), layered, atol=1e-12)
    inside = BlurDown(k.detach(), 1, "zero")(x)[..., SPAN // 2 : 31 - SPAN // 2, SPAN // 2 : 28 - SPAN // 2]
    assert torch.allclose(net(x), inside[..., ::stride, ::stride], atol=1e-12)
    by_kernel = torch.autograd.grad(net(x).square().sum(), list(net.parameters()))
    layered = torch.cat([net.layers(x[:, c : c + 1]) for c in range(3)], 1)[..., ::stride, ::stride]
    by_layer = torch.autograd.grad(layered.square().sum(), list(net.parameters()))
    assert all(torch.allclose(a, b, rtol=1e-8) for a, b in zip(by_kernel, by_layer, strict=True))


def test_the_losses_have_their_known_values() -> None:
    k = delta_kernel(13).double()
    at = kernel_losses(k, (0.0, 0.0))
    assert at["sum"] == 0 and at["border"] == 0 and at["center"] == 0
    assert at["sparse"].item() == pytest.approx(1 / 169, rel=0.02)
    assert kernel_losses(3 * k, (0.0, 0.0))["sum"].item() == pytest.approx(2)
    moved = kernel_losses(k.roll((1, -2), (-2, -1)), (-0.5, -0.5))
    assert moved["center"].item() == pytest.approx((1.5**2 + 1.5**2) ** 0.5)
    corner = torch.zeros_like(k)
    corner[..., 0, 0] = 1
    edge = torch.zeros_like(k)
    edge[..., 6, 0] = 1
    far, near = kernel_losses(corner, (0.0, 0.0))["border"], kernel_losses(edge, (0.0, 0.0))["border"]
    assert far > near > 0
    wide, narrow = (kernel_losses(gaussian_kernel(13, s, dtype=torch.float64), (0.0, 0.0)) for s in (2.5, 1.0))
    assert wide["sparse"] > 2 * narrow["sparse"] and wide["border"] > 10 * narrow["border"]


def test_spectral_weights_have_norm_one_after_some_calls() -> None:
    conv = SpectralConv(3, 6, 5, generator=gen()).double()
    draw_weights(conv, gen(1))  # at construction they come from the global generator, now and then with two near-equal values
    x = noise(9, 9, 3).double()
    with torch.no_grad():
        for _ in range(100):
            out = conv(x)
    w = conv.weight.detach()
    expected = torch.nn.functional.conv2d(x, w / torch.linalg.matrix_norm(w.flatten(1), 2), conv.bias)
    assert torch.allclose(out, expected, atol=1e-6)


def test_the_discriminator_judges_windows_of_seven() -> None:
    net = patch_discriminator(3, generator=gen())
    answer = net(noise(20, 18, 3))
    assert answer.shape == (1, 1, 14, 12) and (answer > 0).all() and (answer < 1).all()


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_it_starts_at_the_guess_of_each_scale(scale: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WARM_STEPS", 100)
    k = learner(noise(32, 32), scale).kernel()
    mass, centroid, covariance = kernel_moments(k)
    assert k.shape[-1] == 4 * scale + 3 and mass.item() == pytest.approx(1, abs=1e-5)
    assert torch.allclose(centroid, torch.full((1, 2), -(scale - 1) / 2), atol=0.01)
    width = covariance[0].diagonal().mean().sqrt().item()
    assert width == pytest.approx((1.3375 * scale) ** 0.5, rel=0.25)  # the weak taps are cut, the window too


def test_the_kernel_of_scale_4_is_two_reductions_by_2() -> None:
    a = learner(noise(40, 40), 4)
    k2 = gaussian_kernel(SPAN, (1.0, 0.7), 0.4, shift=(-0.5, -0.5))
    k2 = torch.where(k2 >= k2.flatten().sort(descending=True).values[20], k2, 0)  # few taps: nothing is cut off
    k2 = k2 / k2.sum()
    a.generator_net.kernel = lambda: k2  # type: ignore[method-assign, assignment]
    x = noise(80, 80)
    twice = BlurDown(k2, 2, "circular")(BlurDown(k2, 2, "circular")(x))
    assert torch.allclose(BlurDown(a._finished(), 4, "circular")(x), twice, atol=0.03)
    assert (BlurDown(gaussian_kernel(19, 2.3, shift=(-1.5, -1.5)), 4, "circular")(x) - twice).abs().max() > 0.03


def test_gan_steps_then_picture_steps() -> None:
    a = learner(noise(), settings=replace(TINY, outer=5))
    start = a.snapshot()
    nets = {name: getattr(a, name) for name in ("generator_net", "discriminator", "net")}
    moved = []
    for _ in range(5):
        before = {name: [p.detach().clone() for p in net.parameters()] for name, net in nets.items()}
        state = a.step()
        moved.append(
            [not all(torch.equal(p, q) for p, q in zip(net.parameters(), before[name], strict=True)) for name, net in nets.items()]
        )
    assert moved == [[True, True, False]] * 2 + [[False, False, True]] * 3
    assert not torch.equal(start.k, state.k) and not torch.equal(start.x, state.x)


def test_the_regularizers_hold_the_kernel_when_the_discriminator_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """D constant: G feels the four terms alone, sum stays 1 and the centroid at its place."""
    a = learner(noise(), settings=replace(TINY, outer=10, image_steps=5))
    monkeypatch.setattr(a, "discriminator", lambda patch: torch.full((1, 1, 2, 2), 0.5) + 0 * patch.mean())
    a._descend = lambda name, loss: KernelGAN._descend(a, name, loss) if name == "generator" else None  # type: ignore[method-assign]
    for _ in range(2):
        a.step()
    terms = kernel_losses(a.generator_net.kernel(), a.center)
    assert terms["sum"] < 0.05 and terms["center"] < 0.1 and terms["border"] < 0.01


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_resume_is_bitwise_in_both_parts(dtype: torch.dtype, tmp_path: Path) -> None:
    y = noise(32, 28, 3).to(dtype)
    a = learner(y)
    states = [a.step()]
    save_state(tmp_path / "state", a)
    states += [a.step() for _ in range(3)]
    b = load_state(tmp_path / "state", learner(y, seed=99))  # another seed: everything must come from the file
    assert all(same(p, q) for p, q in zip(states[1:], [b.step() for _ in range(3)], strict=True))
    assert states[-1].x.shape == (1, 3, 64, 56) and states[-1].x.dtype == states[-1].k.dtype == dtype


def test_same_seed_same_result_and_no_global_randomness() -> None:
    torch.manual_seed(1)
    a = run(learner(noise()), 3).state
    torch.manual_seed(2)
    assert same(a, run(learner(noise()), 3).state)
    assert not torch.equal(a.x, run(learner(noise(), seed=1), 3).state.x)


def test_what_it_cannot_do_is_refused_with_what_to_use() -> None:
    with pytest.raises(ValueError, match="scale 1.*mlmc"):
        restorekit.kernelgan(noise(), 1, generator=gen())
    with pytest.raises(ValueError, match="at least 25x25"):
        restorekit.kernelgan(noise(24, 40), 2, generator=gen())
    result = restorekit.kernelgan(noise(), 2, generator=gen(), callback=_stop)
    assert result.interrupted and result.image.shape == (1, 1, 64, 68) and result.kernel.shape == (1, 1, 11, 11)


def _stop(step: int, state: object) -> None:
    raise KeyboardInterrupt
