"""The meta-gradient of MLMC: first order against unrolled, on toys with a closed form and on small nets."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from test_mlmc_options import PLAIN, gen, learner, small_nets
from torch import Tensor

from restorekit.methods.mlmc_steps import mlao_step
from restorekit.methods.mlmc_unrolled import first_order_meta_gradient, unrolled_meta_gradient, unrolled_mlao_step
from restorekit.nets import KernelNet, SkipNet
from restorekit.operators import BlurDown


def test_meta_gradients_of_a_bilinear_toy_are_the_closed_form() -> None:
    """L = (x k - y)^2 / 2, one gradient step of length a: x2 = x1 - a k (x1 k - y), dx2/dk = -a (2 x1 k - y)."""
    x1, k, y, a = 0.3, 1.3, 2.0, 0.1
    x2 = x1 - a * k * (x1 * k - y)
    first = ((x1 * k - y) * x1 + (x2 * k - y) * x2) / 2
    rest = (x2 * k - y) * k * -a * (2 * x1 * k - y) / 2
    problem = (
        lambda x, k: 0.5 * (x * k - y).square(),
        lambda x, g: x - a * g,
        torch.tensor(x1, dtype=torch.float64),
        torch.tensor(k, dtype=torch.float64),
        2,
    )
    assert first_order_meta_gradient(*problem).item() == pytest.approx(first, rel=1e-12)
    assert unrolled_meta_gradient(*problem).item() == pytest.approx(first + rest, rel=1e-12)
    assert abs(rest) > 0.01


def test_unrolled_meta_gradient_is_that_of_finite_differences() -> None:
    x0, k, y = (
        torch.rand(3, 4, generator=gen()).double(),
        torch.rand(4, generator=gen(1)).double(),
        torch.rand(3, generator=gen(2)).double(),
    )

    def loss(x: Tensor, k: Tensor) -> Tensor:
        return (x @ k - y).square().sum() + 0.1 * x.pow(4).sum()

    def mean_loss(k: Tensor) -> float:
        x, total = x0.clone().requires_grad_(), 0.0
        for _ in range(4):
            value = loss(x, k)
            total += value.item() / 4
            x = (x - 0.05 * torch.autograd.grad(value, x)[0]).detach().requires_grad_()
        return total

    moves = 1e-5 * torch.eye(4, dtype=torch.float64)
    numeric = [(mean_loss(k + d) - mean_loss(k - d)) / 2e-5 for d in moves]
    exact = unrolled_meta_gradient(loss, lambda x, g: x - 0.05 * g, x0, k, 4)
    assert exact.tolist() == pytest.approx(numeric, rel=1e-6)
    assert (first_order_meta_gradient(loss, lambda x, g: x - 0.05 * g, x0, k, 4) - exact).abs().max() > 0.05


@pytest.mark.parametrize("steps_before", [0, 3])
def test_unrolled_step_moves_the_picture_as_the_ordinary_one_and_follows_the_exact_gradient(steps_before: int) -> None:
    """P = 3 Adam steps of a small skip net: same picture, same moments; the kernel's gradient is that of finite differences."""

    def made() -> tuple[SkipNet, KernelNet, torch.optim.Adam, Any, Any]:
        image_net, kernel_net, z_x, z_k, y = small_nets()
        adam = torch.optim.Adam(image_net.parameters(), 1e-3)

        def loss(x: Tensor, k: Tensor) -> Tensor:
            return (BlurDown(k, 2, "reflect")(x) - y).square().sum() * 30

        for _ in range(steps_before):
            adam.zero_grad()
            loss(image_net(z_x), kernel_net(z_k).detach()).backward()
            adam.step()
        return image_net, kernel_net, adam, loss, (z_x, z_k)

    def mean_loss(name: str, at: int, shift: float) -> float:
        image_net, kernel_net, adam, loss, (z_x, z_k) = made()
        with torch.no_grad():
            dict(kernel_net.named_parameters())[name].view(-1)[at] += shift
        return mlao_step(lambda: image_net(z_x), kernel_net, z_k, adam, None, loss, 3)

    image_net, kernel_net, adam, loss, (z_x, z_k) = made()
    start = {n: p.detach().clone() for n, p in kernel_net.named_parameters()}
    pictures: list[Tensor] = []
    sgd = torch.optim.SGD(kernel_net.parameters(), 1.0)
    total = unrolled_mlao_step(image_net, lambda: z_x, kernel_net, z_k, adam, sgd, loss, 3, on_image=pictures.append)
    bias = f"layers.{len(kernel_net.layers) - 1}.bias"
    gradient = start[bias] - dict(kernel_net.named_parameters())[bias].detach()
    numeric = [(mean_loss(bias, i, 1e-5) - mean_loss(bias, i, -1e-5)) / 2e-5 for i in (7, 12, 17)]
    assert gradient[[7, 12, 17]].tolist() == pytest.approx(numeric, rel=1e-3, abs=1e-7)

    ordinary, kernel_net, other, loss, (z_x, z_k) = made()
    seen: list[Tensor] = []
    sgd = torch.optim.SGD(kernel_net.parameters(), 1.0)
    assert mlao_step(lambda: ordinary(z_x), kernel_net, z_k, other, sgd, loss, 3, on_image=seen.append) == pytest.approx(total, rel=1e-9)
    assert all(torch.allclose(a, b, atol=1e-9) for a, b in zip(pictures, seen, strict=True))
    assert torch.allclose(image_net(z_x), ordinary(z_x), atol=1e-7)
    for p, q in zip(image_net.parameters(), ordinary.parameters(), strict=True):
        assert all(torch.allclose(v, other.state[q][key], atol=1e-9) for key, v in adam.state[p].items())
    cut = start[bias] - dict(kernel_net.named_parameters())[bias].detach()
    assert (cut - gradient).abs().max() > 1e-4 * gradient.abs().max()


def test_unrolled_is_a_setting_of_the_learner() -> None:
    states = [
        learner(replace(PLAIN, mcka=False, meta_steps=1, image_steps=3, meta_gradient=name)).step() for name in ("first_order", "unrolled")
    ]
    assert torch.allclose(states[0].x, states[1].x, atol=1e-4)  # the same image steps, up to float32 sums
    assert torch.isfinite(states[1].k).all() and not torch.equal(states[0].k, states[1].k)


# order of steps, nets, stopping, resuming
