"""MLMC: blind super-resolution by meta-learning and Monte Carlo kernels (Xia et al., TPAMI 2024), one picture, no training.

    y = (x * k) down s + n (Eq. 1),   x = G_x(z_x; phi_x),   k = G_k(z_k; phi_k)

`MLMC.step` is Algorithm 1, `mcka_step` Algorithm 2, `mlao_step` Algorithm 3. The last iterates are returned (as printed,
both algorithms return the one before and so drop their final update).
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from .._check import check_choice, check_probability
from .._random import rand, randn
from ..kernels import KernelPrior
from ..nets import KernelNet, SkipNet
from ..operators import BlurDown
from .baselines.bicubic import bicubic
from .mlmc_presets import PAPER, WEIGHT_RULES, MLMCSettings
from .spectral import SpectralPrior, spectral_prior

Loss = Callable[[Tensor, Tensor], Tensor]
START_SAMPLES = 200  # whose mean the kernel net starts at, where the settings ask for it
TINY_TAP = 1e-12  # keeps logarithms finite
START_FLOOR = 1e-5  # of the largest tap: what an empty tap counts as


def sample_kernels(prior: KernelPrior, n: int, *, generator: torch.Generator, like: Tensor | None = None) -> Tensor:
    """k_tau ~ p(k), tau = 1..n: independent draws (MLMC Alg. 2, line 4), (n, 1, size, size), placed as `like`.

    Raises ValueError if a draw is no probability or is off the prior's centroid.
    """
    k = prior.sample(n, generator=generator)
    return k if like is None else k.to(device=like.device, dtype=like.dtype)


def kernel_weights(nu: Tensor, rule: str = "inverse", *, variance: Tensor | float = 1.0) -> Tensor:
    """omega_tau proportional to 1/nu_tau ('inverse', MLMC Eq. 21) or exp(-nu_tau / (2 variance)) ('posterior'); sum 1.

    nu (T,): the misfits of Eq. 22, all positive. The two rules differ much: 1/nu is almost flat over the samples, the
    posterior almost always picks one of them. variance: noise variance, for 'posterior' only.
    """
    check_choice(rule, WEIGHT_RULES, "rule")
    if rule == "posterior":
        return torch.softmax(-nu / (2 * variance), 0)
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
) -> MCKA:
    """phi_k <- phi_k - gamma Adam(d/dphi_k sum_tau omega_tau |G_k(z_k; phi_k) - k_tau|^2): MLMC Alg. 2, lines 6 to 12.

    x (1, C, H, W): the picture so far, no gradient; y (1, C, h, w); samples (T, 1, kh, kw). Raises ValueError if a
    sample is no probability.
    """
    check_probability(samples, "samples")
    k = kernel_net(z_k)  # Eq. 16
    nu = kernel_misfits(y, x.detach(), samples, k.detach(), scale, padding, epsilon)  # Eq. 22
    omega = kernel_weights(nu, rule, variance=variance)  # Eq. 21
    loss = (omega * (k - samples).square().sum((1, 2, 3))).sum()  # Eq. 25
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()  # Eq. 26
    return MCKA(samples, omega, loss.item())


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


def noise_variance(residual: Tensor, floor: float) -> Tensor:
    """sigma^2 = mean r^2 (MLMC Eq. 36), at least floor^2, without gradient: with one, r^2 / sigma^2 would be constant."""
    return residual.detach().square().mean().clamp(min=floor**2)


def hyper_laplacian(x: Tensor, eta: float = 1 / 3, *, diagonals: bool = False, epsilon: float = 1e-6) -> Tensor:
    """sum_c sum_j (|(f_c * x)_j|^2 + epsilon)^eta, f_c the horizontal and vertical (and two diagonal) differences.

    The form that the name stands for; as printed in MLMC Eq. 33 the power is taken of the whole norm. epsilon makes it
    differentiable at 0. x (1, C, H, W) -> a number.
    """
    pairs = [(x[..., 1:, :], x[..., :-1, :]), (x[..., :, 1:], x[..., :, :-1])]
    if diagonals:
        pairs += [(x[..., 1:, 1:], x[..., :-1, :-1]), (x[..., 1:, :-1], x[..., :-1, 1:])]
    return torch.stack([((a - b).square() + epsilon).pow(eta).sum() for a, b in pairs]).sum()


@dataclass(frozen=True)
class MLMCState:
    """After outer step `step`: picture x (1, C, H, W) as it would be reported, kernel k (1, 1, kh, kw), loss |y - (x * k) down s|^2
    (Eq. 27, mean over the image steps of this outer step; the value of L_RE-n itself says little, since dividing by Eq. 36
    makes its data term constant), estimated noise std sigma, and the kernels drawn last with their weights. All detached copies."""

    step: int
    x: Tensor
    k: Tensor
    loss: float
    sigma: float
    samples: Tensor
    weights: Tensor


class MLMC:
    """Learner of Algorithm 1 on one observation y (1, C, h, w) in [0, 1]; the result is (1, C, s h, s w).

    `prior` gives the kernels that MCKA draws; its size and centroid are those of the estimated kernel. sigma: noise std
    if it is known, otherwise Eq. 36. All randomness comes from `generator`; device and dtype are those of y. `run(learner,
    learner.total_steps)` does it all; `state_dict` and `load_state_dict` resume bitwise on a CPU.
    """

    def __init__(
        self,
        y: Tensor,
        scale: int,
        prior: KernelPrior,
        *,
        settings: MLMCSettings = PAPER,
        padding: str = "reflect",
        sigma: float | None = None,
        generator: torch.Generator,
    ) -> None:
        self.scale, self.padding, self.sigma, self.prior, self.settings = scale, padding, sigma, prior, settings
        self._y, self._generator = y, generator
        if settings.spectral:
            self.prior = spectral_prior(y, scale, prior, sigma=sigma, generator=generator)
        size = (scale * y.shape[-2], scale * y.shape[-1])
        c = settings
        levels = SkipNet.deepest(size, c.levels)
        guide = [bicubic(y, scale, align=prior.centroid)] if c.guided else []
        image_net = SkipNet(
            c.inputs + len(guide) * y.shape[1], y.shape[1], channels=c.channels, skip=c.skip, levels=levels, generator=generator
        )
        image_net = image_net.to(device=y.device, dtype=y.dtype)
        self.image_net = image_net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        kernel_net = KernelNet(prior.size, hidden=c.hidden, centroid=prior.centroid, generator=generator)
        self.kernel_net = kernel_net.to(device=y.device, dtype=y.dtype)
        z_x = 0.1 * rand((1, c.inputs, *size), generator=generator, like=y)
        self.z_x = torch.cat([*guide, z_x], 1).contiguous(memory_format=torch.channels_last)
        self.z_k = rand((1, 200), generator=generator, like=y)
        self._optimizers = {
            "image": Adam(self.image_net.parameters(), c.lr_image),
            "mcka": Adam(self.kernel_net.parameters(), c.lr_mcka),
            "kernel": Adam(self.kernel_net.parameters(), c.lr_kernel),
        }
        self._step, self._averaged = 0, 0
        self._losses: list[float] = []
        self._average = y.new_zeros(1, y.shape[1], *size)
        with torch.no_grad():
            self._x = self._image()
        self._variance = noise_variance(y, c.sigma_floor)
        with torch.no_grad():
            self._start = self.kernel_net(self.z_k)
        if settings.start_at_mean:
            self._start_at_mean()

    @property
    def total_steps(self) -> int:
        """Outer steps of a whole run: I."""
        return self.settings.outer

    def _start_at_mean(self) -> None:
        """G_k(z_k) = geometric mean of samples of the prior: for Gaussians the one of mean precision, which leans to the
        narrow side, where an error costs less. `anchor` holds the kernel near it."""
        samples = sample_kernels(self.prior, START_SAMPLES, generator=self._generator, like=self._y)
        mean = torch.softmax((samples + START_FLOOR * samples.amax((2, 3), keepdim=True)).log().mean(0).flatten(), 0).view_as(samples[:1])
        self.kernel_net.start_at(self.z_k, mean)
        with torch.no_grad():
            self._start = self.kernel_net(self.z_k)

    def _image(self) -> Tensor:
        z = self.z_x
        if self.settings.jitter:
            z = z + self.settings.jitter * randn(z.shape, generator=self._generator, like=z)
        return self.image_net(z)

    def _loss(self, x: Tensor, k: Tensor) -> Tensor:
        """L_RE-n = |y - (x * k) down s|^2 / sigma^2 + rho sum |f_c * x|^(2 eta) (Eq. 35, corrected to a hyper-Laplacian).

        Ours, where the settings have an anchor: + anchor h w C KL(start kernel | k), which only the kernel feels.
        """
        c = self.settings
        residual = self._y - BlurDown(k, self.scale, self.padding)(x)  # Eq. 27
        squares = residual.square().sum()
        self._losses.append(squares.item())
        self._variance = noise_variance(residual, c.sigma_floor)  # Eq. 36
        weight = 1 / self._variance if c.noise_variance else 1.0
        if self.sigma is not None:
            weight = 1 / max(self.sigma, c.sigma_floor) ** 2
        loss = weight * squares
        if c.anchor:
            away = (self._start * (self._start / k.clamp(min=TINY_TAP)).clamp(min=TINY_TAP).log()).sum()  # KL(start | k)
            loss = loss + c.anchor * residual.numel() * away
        return loss + c.rho * hyper_laplacian(x, c.eta, diagonals=c.diagonals) if c.rho else loss

    def _draw(self) -> Tensor:
        return sample_kernels(self.prior, self.settings.samples, generator=self._generator, like=self._y)

    def step(self) -> MLMCState:
        """MLMC Algorithm 1, one pass of the outer loop: MCKA, then MLAO. Returns a detached snapshot."""
        c, opt = self.settings, self._optimizers
        samples = self._draw()  # Alg. 2, line 4
        weights = samples.new_full((c.samples,), 1 / c.samples)
        for _ in range(c.mcka_steps if c.mcka else 0):  # l = 1..L
            drawn = mcka_step(  # line 5: phi_k,ML <- f_MCKA(k_tau, z_k, phi_k,MC), Eq. 14
                self.kernel_net,
                self.z_k,
                opt["mcka"],
                samples,
                x=self._x,
                y=self._y,
                scale=self.scale,
                padding=self.padding,
                rule=c.weights,
                epsilon=c.epsilon,
                variance=self._variance,
            )
            weights = drawn.weights
        learns = c.mlao and self._step >= c.kernel_from
        self._losses.clear()
        for _ in range(c.meta_steps):  # line 7: phi_x, phi_k,MC <- f_MLAO(phi_k,ML, phi_x, y, z_x, z_k), Eq. 15
            kernel_optimizer = opt["kernel"] if learns else None
            mlao_step(
                self._image, self.kernel_net, self.z_k, opt["image"], kernel_optimizer, self._loss, c.image_steps, on_image=self._keep
            )
        self._step += 1
        return self.snapshot(fmean(self._losses), samples, weights)

    def _keep(self, x: Tensor) -> None:
        """The latest output is what MCKA scores its samples with; late outputs are averaged."""
        self._x = x
        if self._step >= self.settings.average_from * self.settings.outer:
            self._averaged += 1
            self._average += (x - self._average) / self._averaged

    @torch.no_grad()
    def snapshot(self, loss: float = 0.0, samples: Tensor | None = None, weights: Tensor | None = None) -> MLMCState:
        """The learner as it stands, detached."""
        empty = self._y.new_zeros(0)
        x = self._average if self._averaged else self._x
        k = self.kernel_net(self.z_k)
        sigma = self._variance.sqrt().item() if self.sigma is None else self.sigma
        return MLMCState(
            self._step,
            x.clone(memory_format=torch.contiguous_format),
            k.clone(),
            loss,
            sigma,
            empty if samples is None else samples,
            empty if weights is None else weights,
        )

    @torch.no_grad()
    def data_step(self, state: MLMCState) -> Tensor:
        """argmin_x 1/2 |A x - y|^2 + mu/2 |x - state.x|^2 with A of state.k: the closing step of the presets that have one."""
        mu = self.settings.data_weight
        return BlurDown(state.k, self.scale, self.padding).prox(state.x, self._y, mu, tol=1e-4) if mu else state.x

    _PLAIN = ("_step", "_averaged")
    _TENSORS = ("z_x", "z_k", "_x", "_average", "_variance", "_start")

    def state_dict(self) -> dict[str, Any]:
        """Copies of nets, optimisers, inputs, averages, counters and the generator's state."""
        return {
            "image_net": deepcopy(self.image_net.state_dict()),
            "kernel_net": deepcopy(self.kernel_net.state_dict()),
            "optimizers": {name: deepcopy(o.state_dict()) for name, o in self._optimizers.items()},
            "tensors": {name: getattr(self, name).clone() for name in self._TENSORS},
            "plain": {name: getattr(self, name) for name in self._PLAIN},
            "pool": {"kernels": self.prior.pool, "probabilities": self.prior.probabilities}
            if isinstance(self.prior, SpectralPrior)
            else {},
            "generator": self._generator.get_state(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from `state_dict()`; the learner must have been made for the same picture with the same settings."""
        self.image_net.load_state_dict(state["image_net"])
        self.kernel_net.load_state_dict(state["kernel_net"])
        for name, optimizer in self._optimizers.items():
            optimizer.load_state_dict(deepcopy(state["optimizers"][name]))
        for name in self._TENSORS:
            setattr(self, name, state["tensors"][name].to(self._y.device).clone())
        for name in self._PLAIN:
            setattr(self, name, state["plain"][name])
        if isinstance(self.prior, SpectralPrior):
            self.prior = SpectralPrior(
                self.prior.size, self.prior.centroid, *(state["pool"][name].to(self._y.device) for name in ("kernels", "probabilities"))
            )
        self._generator.set_state(state["generator"])
