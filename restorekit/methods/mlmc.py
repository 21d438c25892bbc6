"""MLMC: blind super-resolution by meta-learning and Monte Carlo kernels (Xia et al., TPAMI 2024), one picture, no training.

    y = (x * k) down s + n (Eq. 1),   x = G_x(z_x; phi_x),   k = G_k(z_k; phi_k)

`MLMC.step` is Algorithm 1, `mcka_step` Algorithm 2, `mlao_step` Algorithm 3. The last iterates are returned (as printed,
both algorithms return the one before and so drop their final update).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean
from typing import Any

import torch
from torch import Tensor
from torch.optim import Adam

from .._check import fail
from .._random import rand
from ..kernels import KernelPrior
from ..metrics import ssim
from ..nets import KernelNet
from .learner import BlindState, ImageNetLearner
from .mlmc_presets import PAPER, MLMCSettings
from .mlmc_steps import MCKA, kernel_misfits, kernel_weights, mcka_step, mlao_step, noise_variance, sample_kernels, warm_up
from .mlmc_unrolled import unrolled_mlao_step
from .spectral import SpectralPrior, spectral_prior

__all__ = ["MCKA", "MLMC", "MLMCState", "kernel_misfits", "kernel_weights", "mcka_step", "mlao_step", "noise_variance", "sample_kernels"]

START_SAMPLES = 200  # whose mean the kernel net starts at, where the settings ask for it
TINY_TAP = 1e-12  # keeps logarithms finite
START_FLOOR = 1e-5  # of the largest tap: what an empty tap counts as
SSIM_SIDE = 11  # px: side of SSIM's window


@dataclass(frozen=True)
class MLMCState(BlindState):
    """`BlindState` and the kernels that MCKA drew last, samples (T, 1, kh, kw), with their weights (T,)."""

    samples: Tensor
    weights: Tensor


class MLMC(ImageNetLearner):
    """Learner of Algorithm 1 on one observation y (1, C, h, w) in [0, 1]; the result is (1, C, s h, s w).

    `prior` gives the kernels that MCKA draws; its size and centroid are those of the estimated kernel. sigma: noise std
    if it is known, otherwise Eq. 36. All randomness comes from `generator`; device and dtype are those of y. `run(learner,
    learner.total_steps)` does it all; `state_dict` and `load_state_dict` resume bitwise on a CPU.
    """

    _NETS = ("image_net", "kernel_net")
    _TENSORS = (*ImageNetLearner._TENSORS, "z_k", "_start", "_still_x", "_still_k")
    _PLAIN = (*ImageNetLearner._PLAIN, "_still")

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
        if settings.ssim_steps and min(y.shape[-2:]) < SSIM_SIDE:
            fail(f"ssim_steps={settings.ssim_steps} for y of {tuple(y.shape[-2:])}", f"sides of {SSIM_SIDE} px or more", "use ssim_steps=0")
        if settings.spectral:
            prior = spectral_prior(y, scale, prior, sigma=sigma, generator=generator)
        super().__init__(y, scale, prior, settings=settings, padding=padding, sigma=sigma, generator=generator)
        rates = (settings.lr_kernel, settings.lr_mcka)
        kernel_steps, mcka = (Adam(self.kernel_net.parameters(), rate, fused=True) for rate in rates)
        self._optimizers |= {"kernel": kernel_steps, "mcka": kernel_steps if settings.shared_adam else mcka}
        self._gain = y.numel() / prior.size**2 if settings.shared_adam else 1.0
        if settings.start_at_mean:
            self._start_at_mean()
        if settings.warmup:
            samples = sample_kernels(self.prior, settings.warmup, generator=generator, like=y)
            warm_up(self.kernel_net, self.z_k, self._optimizers["mcka"], samples, gain=self._gain)
        self._start = self.kernel().detach()
        self._still_x, self._still_k, self._still = self._x, self._start, 0

    def _build(self) -> None:
        self.image_net = self._make_image_net()
        net = KernelNet(self.prior.size, hidden=self.settings.hidden, centroid=self.prior.centroid, generator=self._generator)
        self.kernel_net = net.to(device=self._y.device, dtype=self._y.dtype)
        self.z_x = self._make_input()
        self.z_k = self.settings.kernel_input * rand((1, net.inputs), generator=self._generator, like=self._y)

    def kernel(self) -> Tensor:
        """k = G_k(z_k; phi_k) (Eq. 16)."""
        return self.kernel_net(self.z_k)

    def _start_at_mean(self) -> None:
        """G_k(z_k) = geometric mean of samples of the prior: for Gaussians the one of mean precision, which leans to the
        narrow side, where an error costs less. `anchor` holds the kernel near it."""
        samples = sample_kernels(self.prior, START_SAMPLES, generator=self._generator, like=self._y)
        mean = torch.softmax((samples + START_FLOOR * samples.amax((2, 3), keepdim=True)).log().mean(0).flatten(), 0).view_as(samples[:1])
        self.kernel_net.start_at(self.z_k, mean)

    def _loss(self, x: Tensor, k: Tensor) -> Tensor:
        """L_RE-n (Eq. 35). Ours, where the settings have an anchor: + anchor h w C KL(start kernel | k), which only the kernel feels."""
        loss = super()._loss(x, k)
        if self.settings.anchor:
            away = (self._start * (self._start / k.clamp(min=TINY_TAP)).clamp(min=TINY_TAP).log()).sum()  # KL(start | k)
            loss = loss + self.settings.anchor * self._y.numel() * away
        return loss

    def _data_term(self, Ax: Tensor, squares: Tensor) -> Tensor:
        """In the SSIM phase h w C (1 - SSIM), a size that goes well with the rest of the loss and with a shared Adam."""
        if self._step * self.image_steps + len(self._losses) < self.settings.ssim_steps:
            return self._y.numel() * (1 - ssim(Ax, self._y, luma=False, quantize=False)[0]).to(Ax.dtype)
        return super()._data_term(Ax, squares)

    @property
    def finished(self) -> bool:
        """Whether the settings' stopping rule has ended the run."""
        return self.settings.stop is not None and self._still >= self.settings.stop_window

    def _watch(self, state: BlindState) -> None:
        """Count the outer steps since picture or kernel last left the ball of the settings' tolerances."""
        if self.settings.stop is None or (self.settings.average_from < 1 and not self._averaged):
            return
        moved = (state.x - self._still_x).square().mean().sqrt().item(), (state.k - self._still_k).abs().sum().item()
        if moved[0] < self.settings.stop[0] and moved[1] < self.settings.stop[1]:
            self._still += 1
        else:
            self._still_x, self._still_k, self._still = state.x.clone(), state.k.clone(), 0

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
                gain=self._gain,
            )
            weights = drawn.weights
        self._losses.clear()
        for image_steps, learns in self._rounds():  # line 7: phi_x, phi_k,MC <- f_MLAO(phi_k,ML, phi_x, y, z_x, z_k), Eq. 15
            self._mlao(image_steps, learns and c.mlao and self._step >= c.kernel_from)
        self._step += 1
        state = self.snapshot(fmean(self._losses), samples, weights)
        self._watch(state)
        return state

    def _rounds(self) -> list[tuple[int, bool]]:
        """Image steps of this outer step, cut where a kernel step follows: Q times P (Alg. 3), or as `kernel_every` has it."""
        every, first = self.settings.kernel_every, self._step * self.image_steps
        if not every:
            return [(self.settings.image_steps, True)] * self.settings.meta_steps
        last = first + self.image_steps
        cuts = [first, *(i for i in range(first + 1, last + 1) if i % every == 0), last]
        return [(b - a, b % every == 0) for a, b in pairwise(cuts) if b > a]

    def _mlao(self, image_steps: int, learns: bool) -> None:
        opt = self._optimizers
        if learns and self.settings.meta_gradient == "unrolled":
            unrolled_mlao_step(
                self.image_net, self._input, self.kernel_net, self.z_k, opt["image"], opt["kernel"], self._loss, image_steps,
                on_image=self._keep,
            )  # fmt: skip
        else:
            kernel_optimizer = opt["kernel"] if learns else None
            mlao_step(self._image, self.kernel_net, self.z_k, opt["image"], kernel_optimizer, self._loss, image_steps, on_image=self._keep)

    @torch.no_grad()
    def snapshot(self, loss: float = 0.0, samples: Tensor | None = None, weights: Tensor | None = None) -> MLMCState:
        """The learner as it stands, detached."""
        s, empty = super().snapshot(loss), self._y.new_zeros(0)
        drawn = (empty if samples is None else samples, empty if weights is None else weights)
        return MLMCState(s.step, s.x, s.k, s.loss, s.sigma, *drawn)

    def _noise(self) -> float:
        return self.prior.noise if isinstance(self.prior, SpectralPrior) else super()._noise()

    def state_dict(self) -> dict[str, Any]:
        """Copies of nets, optimisers, tensors, counters, the generator's state and the pool that samples are drawn from."""
        state = super().state_dict()
        if isinstance(self.prior, SpectralPrior):
            state["pool"] = {"kernels": self.prior.pool, "probabilities": self.prior.probabilities, "noise": self.prior.noise}
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from `state_dict()`; the learner must have been made for the same picture with the same settings."""
        super().load_state_dict(state)
        if isinstance(self.prior, SpectralPrior):
            pool = state["pool"]
            self.prior = SpectralPrior(self.prior.size, self.prior.centroid, pool["kernels"], pool["probabilities"], pool["noise"])
