"""The two phases of MLMC as functions: what MCKA draws, weighs and learns (Alg. 2), what MLAO learns (Alg. 3)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from .._check import check_choice, check_probability
from ..kernels import KernelPrior
from ..operators import BlurDown
from .mlmc_presets import WEIGHT_RULES

Loss = Callable[[Tensor, Tensor], Tensor]
FOCAL_FLOOR = 1e-3  # keeps the logarithm of the best sample finite


def sample_kernels(prior: KernelPrior, n: int, *, generator: torch.Generator, like: Tensor | None = None) -> Tensor:
    """k_tau ~ p(k), tau = 1..n: independent draws (MLMC Alg. 2, line 4), (n, 1, size, size), placed as `like`.

    Raises ValueError if a draw is no probability or is off the prior's centroid.
    """
    k = prior.sample(n, generator=generator)
    return k if like is None else k.to(device=like.device, dtype=like.dtype)


def kernel_weights(nu: Tensor, rule: str = "inverse", *, variance: Tensor | float = 1.0) -> Tensor:
    """omega_tau proportional to 1/nu_tau ('inverse', MLMC Eq. 21) or exp(-nu_tau / (2 variance)) ('posterior'), sum 1.

    'focal', as in the published code: -(1 - p)^2 log(p + 0.001), p_tau = (nu_tau - min nu) / sum of these. The best sample has
    6.9, one of T equal others about log T; they do not sum to 1, and a sample that is far worse than all others gets about 0.

    nu (T,): the misfits of Eq. 22, all positive. The rules differ much: 1/nu is almost flat over the samples, the
    posterior almost always picks one of them. variance: noise variance, for 'posterior' only.
    """
    check_choice(rule, WEIGHT_RULES, "rule")
    if rule == "posterior":
        return torch.softmax(-nu / (2 * variance), 0)
    if rule == "focal":
        excess = nu - nu.min()
        p = excess / excess.sum().clamp(min=torch.finfo(nu.dtype).tiny)
        return -(1 - p).square() * (p + FOCAL_FLOOR).log()
    return (1 / nu) / (1 / nu).sum()


@torch.no_grad()
def kernel_misfits(y: Tensor, x: Tensor, samples: Tensor, k: Tensor, scale: int, padding: str, epsilon: float) -> Tensor:
    """nu_tau = |y - (x * k_tau) down s|^2 + |k - k_tau|^2 + epsilon (MLMC Eq. 22), (T,): all samples in one convolution."""
    residuals = BlurDown(samples, scale, padding)(x) - y  # (T, C, h, w)
    return residuals.square().sum((1, 2, 3)) + (k - samples).square().sum((1, 2, 3)) + epsilon


@dataclass(frozen=True)
class MCKA:
    """What one MCKA step drew and did: samples (T, 1, kh, kw), weights (T,), loss L_MC."""

    samples: Tensor
    weights: Tensor
    loss: float


def mcka_step(
    kernel_net: nn.Module,
    z_k: Tensor,
    optimizer: Optimizer,
    samples: Tensor,
    *,
    x: Tensor,
    y: Tensor,
    scale: int,
    padding: str = "reflect",
    rule: str = "inverse",
    epsilon: float = 1e-6,
    variance: Tensor | float = 1.0,
    gain: float = 1.0,
) -> MCKA:
    """phi_k <- phi_k - gamma Adam(d/dphi_k sum_tau omega_tau |G_k(z_k; phi_k) - k_tau|^2): MLMC Alg. 2, lines 6 to 12.

    x (1, C, H, W): the picture so far, no gradient; y (1, C, h, w); samples (T, 1, kh, kw). gain: factor on the loss, felt
    only where the optimizer also follows another loss. Raises ValueError if a sample is no probability.
    """
    check_probability(samples, "samples")
    k = kernel_net(z_k)  # Eq. 16
    nu = kernel_misfits(y, x.detach(), samples, k.detach(), scale, padding, epsilon)  # Eq. 22
    omega = kernel_weights(nu, rule, variance=variance)  # Eq. 21
    loss = (omega * (k - samples).square().sum((1, 2, 3))).sum()  # Eq. 25
    optimizer.zero_grad()
    (gain * loss).backward()
    optimizer.step()  # Eq. 26
    return MCKA(samples, omega, loss.item())


def warm_up(kernel_net: nn.Module, z_k: Tensor, optimizer: Optimizer, samples: Tensor, *, gain: float = 1.0) -> None:
    """One step on |G_k(z_k; phi_k) - k_tau|^2 for each of the samples (n, 1, kh, kw) in turn, as the published code begins."""
    for k_tau in samples.split(1):
        optimizer.zero_grad()
        (gain * (kernel_net(z_k) - k_tau).square().sum()).backward()
        optimizer.step()


def mlao_step(
    image: Callable[[], Tensor],
    kernel_net: nn.Module,
    z_k: Tensor,
    image_optimizer: Optimizer,
    kernel_optimizer: Optimizer | None,
    loss: Loss,
    image_steps: int,
    *,
    on_image: Callable[[Tensor], None] | None = None,
) -> float:
    """P steps on phi_x with k fixed, then one step on phi_k of the mean of their P losses: MLMC Alg. 3, one q.

    image() computes x^p = G_x(z_x; phi_x) with its graph; loss(x, k) is L_RE-n. Each backward pass gives the gradient
    of phi_x and, at no further cost, that of k; their mean is passed through G_k once: the first-order meta-gradient
    (the dependence of x^p on phi_k through earlier image steps is cut). kernel_optimizer None: no kernel step.
    on_image(x) sees each x^p. Returns the meta-loss.
    """
    kq = kernel_net(z_k)  # line 5
    k = kq.detach().requires_grad_(kernel_optimizer is not None)
    total = 0.0
    for _ in range(image_steps):
        x = image()  # line 8
        loss_p = loss(x, k)  # lines 9 and 10
        image_optimizer.zero_grad()
        loss_p.backward()  # to phi_x, and added up in k.grad
        image_optimizer.step()  # line 11, Eq. 30
        total += loss_p.item() / image_steps
        if on_image:
            on_image(x.detach())
    if kernel_optimizer is not None:
        kernel_optimizer.zero_grad()
        kq.backward(k.grad / image_steps)  # line 16, Eq. 28 with omega^p = 1
        kernel_optimizer.step()  # line 17, Eq. 29
    return total


def noise_variance(residual: Tensor, floor: float, *, stop_gradient: bool = True) -> Tensor:
    """sigma^2 = mean r^2 (MLMC Eq. 36), at least floor^2, without gradient: with one (stop_gradient=False, the literal
    reading), |r|^2 / sigma^2 is a constant above the floor and the data have no say."""
    return (residual.detach() if stop_gradient else residual).square().mean().clamp(min=floor**2)
