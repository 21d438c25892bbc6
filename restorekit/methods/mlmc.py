"""MLMC: blind super-resolution by meta-learning and Monte Carlo kernels (Xia et al., TPAMI 2024), one picture, no training.

    y = (x * k) down s + n (Eq. 1),   x = G_x(z_x; phi_x),   k = G_k(z_k; phi_k)

`MLMC.step` is Algorithm 1, `mcka_step` Algorithm 2, `mlao_step` Algorithm 3. The last iterates are returned (as printed,
both algorithms return the one before and so drop their final update).
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import torch
from torch import Tensor
from torch.optim import Adam

from .._random import rand, randn
from ..kernels import KernelPrior
from ..nets import KernelNet, SkipNet
from ..operators import BlurDown
from .baselines.bicubic import bicubic
from .mlmc_presets import PAPER, MLMCSettings
from .mlmc_steps import MCKA, kernel_misfits, kernel_weights, mcka_step, mlao_step, noise_variance, sample_kernels
from .regularizers import hyper_laplacian
from .spectral import SpectralPrior, spectral_prior

__all__ = ["MCKA", "MLMC", "MLMCState", "kernel_misfits", "kernel_weights", "mcka_step", "mlao_step", "noise_variance", "sample_kernels"]

START_SAMPLES = 200  # whose mean the kernel net starts at, where the settings ask for it
NET_ERROR = 5 / 255  # std of the image net's error that the closing data step assumes
TINY_TAP = 1e-12  # keeps logarithms finite
START_FLOOR = 1e-5  # of the largest tap: what an empty tap counts as


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
        self._build(size)
        self._step, self._averaged = 0, 0
        self._losses: list[float] = []
        self._average = y.new_zeros(1, y.shape[1], *size)
        with torch.no_grad():
            self._x = self._image()
        self._variance = self._noise_variance(y)
        with torch.no_grad():
            self._start = self.kernel_net(self.z_k)
        if settings.start_at_mean:
            self._start_at_mean()

    def _build(self, size: tuple[int, int]) -> None:
        """Nets, their inputs and optimisers, drawn in this order from the generator."""
        y, c, generator = self._y, self.settings, self._generator
        guide = [bicubic(y, self.scale, align=self.prior.centroid)] if c.guided else []
        inputs, levels = c.inputs + len(guide) * y.shape[1], SkipNet.deepest(size, c.levels)
        image_net = SkipNet(inputs, y.shape[1], channels=c.channels, skip=c.skip, levels=levels, generator=generator)
        image_net = image_net.to(device=y.device, dtype=y.dtype)
        self.image_net = image_net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        kernel_net = KernelNet(self.prior.size, hidden=c.hidden, centroid=self.prior.centroid, generator=generator)
        self.kernel_net = kernel_net.to(device=y.device, dtype=y.dtype)
        z_x = 0.1 * rand((1, c.inputs, *size), generator=generator, like=y)
        self.z_x = torch.cat([*guide, z_x], 1).contiguous(memory_format=torch.channels_last)
        self.z_k = rand((1, kernel_net.inputs), generator=generator, like=y)
        self._optimizers = {
            "image": Adam(self.image_net.parameters(), c.lr_image),
            "mcka": Adam(self.kernel_net.parameters(), c.lr_mcka),
            "kernel": Adam(self.kernel_net.parameters(), c.lr_kernel),
        }

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
        self._variance = self._noise_variance(residual)
        loss = squares / self._variance if c.noise_variance or self.sigma is not None else squares
        if c.anchor:
            away = (self._start * (self._start / k.clamp(min=TINY_TAP)).clamp(min=TINY_TAP).log()).sum()  # KL(start | k)
            loss = loss + c.anchor * residual.numel() * away
        return loss + c.rho * hyper_laplacian(x, c.eta, diagonals=c.diagonals) if c.rho else loss

    def _noise_variance(self, residual: Tensor) -> Tensor:
        """Eq. 36, or what the caller knows."""
        if self.sigma is None:
            return noise_variance(residual, self.settings.sigma_floor)
        return residual.new_tensor(max(self.sigma, self.settings.sigma_floor) ** 2)

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
        """argmin_x 1/2 |A x - y|^2 + mu/2 |x - state.x|^2 with A of state.k: the closing step of the presets that have one.

        mu = data_weight + (noise / NET_ERROR)^2, noise being `sigma` or what the spectrum suggests: the ratio of the
        variances of what y and what the net leave open.
        """
        mu = self.settings.data_weight
        if mu:
            noise = self.prior.noise if isinstance(self.prior, SpectralPrior) else self.sigma or 0.0
            mu += (noise / NET_ERROR) ** 2
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
            "pool": {"kernels": self.prior.pool, "probabilities": self.prior.probabilities, "noise": self.prior.noise}
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
            pool = state["pool"]
            self.prior = SpectralPrior(self.prior.size, self.prior.centroid, pool["kernels"], pool["probabilities"], pool["noise"])
        self._generator.set_state(state["generator"])
