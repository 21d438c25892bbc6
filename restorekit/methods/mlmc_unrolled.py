"""The meta-gradient of MLMC taken through the image updates, which the method itself cuts (Alg. 3, Eq. 28).

    M(k) = (1/P) sum_{p=1}^{P} L(x^p, k),   x^{p+1} = U(x^p, dL(x^p, k)/dx)

The exact derivative is dM/dk = (1/P) sum_p [dL/dk + dL/dx dx^p/dk]. First order leaves the second term out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.optim import Optimizer

from .mlmc_steps import Loss

Update = Callable[[Tensor, Tensor], Tensor]
Parameters = dict[str, Tensor]
TINY = 1e-30  # under the root of Adam's second moment: no infinite derivative where a gradient is exactly 0


def unrolled_meta_gradient(loss: Loss, update: Update, x0: Tensor, k: Tensor, steps: int) -> Tensor:
    """dM/dk by differentiating through the updates x^{p+1} = update(x^p, gradient), from x^1 = x0. Shape of k.

    loss(x, k) -> a number; update(x, g) -> the next x, differentiable, for example `lambda x, g: x - 0.1 * g`; steps: P.
    x may be a picture or the parameters of one. Memory grows with P.
    """
    return _meta_gradient(loss, update, x0, k, steps, lambda x: x)


def first_order_meta_gradient(loss: Loss, update: Update, x0: Tensor, k: Tensor, steps: int) -> Tensor:
    """(1/P) sum_p dL(x^p, k)/dk with each x^p a constant: what MLMC follows. Arguments as in `unrolled_meta_gradient`."""
    return _meta_gradient(loss, update, x0, k, steps, lambda x: x.detach().requires_grad_())


def _meta_gradient(loss: Loss, update: Update, x0: Tensor, k: Tensor, steps: int, link: Callable[[Tensor], Tensor]) -> Tensor:
    x, k = x0.detach().requires_grad_(), k.detach().requires_grad_()
    total = k.new_zeros(())
    for _ in range(steps):
        value = loss(x, k)
        total = total + value / steps
        (g,) = torch.autograd.grad(value, x, create_graph=True)
        x = link(update(x, g))
    return torch.autograd.grad(total, k)[0]


def unrolled_mlao_step(
    image_net: nn.Module,
    image_input: Callable[[], Tensor],
    kernel_net: nn.Module,
    z_k: Tensor,
    image_optimizer: Optimizer,
    kernel_optimizer: Optimizer,
    loss: Loss,
    image_steps: int,
    *,
    on_image: Callable[[Tensor], None] | None = None,
) -> float:
    """`mlao_step` whose kernel step follows the whole derivative: phi_x^{p+1} is a function of phi_k through P Adam updates.

    The picture goes the way it goes in `mlao_step`, to rounding; only the kernel's gradient differs. image_optimizer must be
    an Adam without weight decay; its moments are part of what is differentiated. At its first steps Adam moves by about the
    sign of the gradient, whose derivative almost vanishes, so the two gradients differ little there. Memory: that of P
    graphs and their derivatives. Returns the meta-loss.
    """
    kq = kernel_net(z_k)
    k = kq.detach().requires_grad_()
    phi: Parameters = dict(image_net.named_parameters())
    moments = _moments(image_net, image_optimizer)
    total = k.new_zeros(())
    for _ in range(image_steps):
        x = functional_call(image_net, phi, (image_input(),))
        loss_p = loss(x, k)
        gradients = torch.autograd.grad(loss_p, list(phi.values()), create_graph=True)
        phi, moments = _adam(phi, gradients, moments, image_optimizer.param_groups[0])
        total = total + loss_p / image_steps
        if on_image:
            on_image(x.detach())
    (gradient,) = torch.autograd.grad(total, k)
    kernel_optimizer.zero_grad()
    kq.backward(gradient)
    kernel_optimizer.step()
    _write(image_net, image_optimizer, phi, moments)
    return total.item()


def _moments(net: nn.Module, optimizer: Optimizer) -> dict[str, dict[str, Tensor]]:
    """Adam's state by parameter name; zeros before its first step."""
    fresh = {
        n: {"step": torch.zeros((), device=p.device), "exp_avg": torch.zeros_like(p), "exp_avg_sq": torch.zeros_like(p)}
        for n, p in _named(net)
    }
    return {n: dict(optimizer.state[p]) or fresh[n] for n, p in _named(net)}


def _adam(
    phi: Parameters, gradients: tuple[Tensor, ...], moments: dict[str, dict[str, Tensor]], group: dict[str, Any]
) -> tuple[Parameters, dict[str, dict[str, Tensor]]]:
    """Adam's update as a differentiable function of parameters, gradients and moments."""
    (b1, b2), new_phi, new_moments = group["betas"], {}, {}
    for (name, p), g in zip(phi.items(), gradients, strict=True):
        old = moments[name]
        step = old["step"] + 1
        first = b1 * old["exp_avg"] + (1 - b1) * g
        second = b2 * old["exp_avg_sq"] + (1 - b2) * g.square()
        root = (second + TINY).sqrt() / (1 - b2 ** step.item()) ** 0.5 + group["eps"]
        new_phi[name] = p - group["lr"] / (1 - b1 ** step.item()) * first / root
        new_moments[name] = {"step": step, "exp_avg": first, "exp_avg_sq": second}
    return new_phi, new_moments


@torch.no_grad()
def _write(net: nn.Module, optimizer: Optimizer, phi: Parameters, moments: dict[str, dict[str, Tensor]]) -> None:
    for name, p in _named(net):
        p.copy_(phi[name])
        optimizer.state[p] = {key: value.detach() for key, value in moments[name].items()}


def _named(net: nn.Module) -> list[tuple[str, nn.Parameter]]:
    return list(net.named_parameters())
