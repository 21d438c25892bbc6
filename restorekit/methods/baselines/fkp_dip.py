"""FKP-DIP: a deep image prior for the picture, a normalising flow learned beforehand for the kernel."""

from __future__ import annotations

from copy import deepcopy
from statistics import fmean
from typing import Any

import torch
from torch import Tensor
from torch.optim import Adam

from ..._check import fail
from ..._random import randn
from ...kernels import GaussianPrior, KernelPrior
from ...nets.kernel_flow import FlowPrior, KernelFlow, shipped_kernel_flow
from ...solvers import Result
from ..learner import BlindState, ImageNetLearner

LR_KERNEL = 0.1  # of z_k


class FKPDIP(ImageNetLearner):
    """min over phi_x and z_k of |y - (G_x(z_x; phi_x) * flow(z_k)) down s|^2 / sigma^2 + rho prior(G_x), |z_k|^2 = size^2.

    Liang et al., CVPR 2021 (MLMC Eq. 7): the kernel is a point on the sphere of latents, where nearly all of N(0, I)
    lies; it starts at random, and every step is one Adam step on phi_x and one on z_k, put back on the sphere. The flow stays
    as it was trained. Here the kernel also has the prior's centroid and sum 1 exactly, and net, loss, number of steps and the
    step at which the kernel starts to move are those of `settings`, not the paper's.

    flow: that of a `FlowPrior`. For a GaussianPrior the one that ships for this scale, whatever the prior's variances: it was
    trained on `default_kernel_prior` (align='resize'). Raises ValueError for other priors and sizes. Arguments: `BlindLearner`.
    """

    _TENSORS = (*ImageNetLearner._TENSORS, "z_k")

    def __init__(self, y: Tensor, scale: int, prior: KernelPrior, **options: Any) -> None:
        self.flow = deepcopy(_flow(prior, scale)).to(device=y.device, dtype=y.dtype).eval().requires_grad_(False)
        super().__init__(y, scale, prior, **options)
        self._optimizers["kernel"] = Adam([self.z_k], LR_KERNEL)

    def _build(self) -> None:
        super()._build()
        self.z_k = randn((1, self.flow.inputs), generator=self._generator, like=self._y).requires_grad_()
        self._to_sphere()

    @torch.no_grad()
    def _to_sphere(self) -> None:
        self.z_k *= self.flow.inputs**0.5 / self.z_k.norm()

    def kernel(self) -> Tensor:
        """k = flow(z_k)."""
        return self.flow(self.z_k, self.prior.centroid)

    def step(self) -> BlindState:
        """One outer step: Q P joint steps on the image net and z_k."""
        self._losses.clear()
        learns = self._step >= self.settings.kernel_from
        for _ in range(self.image_steps):
            x, k = self._image(), self.kernel()
            loss = self._loss(x, k if learns else k.detach())
            for optimizer in self._optimizers.values():
                optimizer.zero_grad()
            loss.backward()
            for optimizer in self._optimizers.values():  # without a gradient z_k stays
                optimizer.step()
            self._to_sphere()
            self._keep(x.detach())
        self._step += 1
        return self.snapshot(fmean(self._losses))


def _flow(prior: KernelPrior, scale: int) -> KernelFlow:
    """The prior's flow, or ours for this scale."""
    if isinstance(prior, FlowPrior) and prior.flow is not None:
        return prior.flow
    train = "train one: flow = train_kernel_flow(prior, generator=g), then kernel_prior=FlowPrior(prior.size, prior.centroid, flow)"
    if not isinstance(prior, GaussianPrior):
        fail(f"a {type(prior).__name__}, for which no flow ships", "a GaussianPrior or a FlowPrior", train)
    flow = shipped_kernel_flow(scale)
    if flow.size != prior.size:
        fail(f"kernels of {prior.size}x{prior.size} at scale {scale}", f"{flow.size}x{flow.size}, the size of the flow that ships", train)
    return flow


def fkp_dip(y: Tensor, scale: int, *, generator: torch.Generator, **options: Any) -> Result:
    """x = G_x(z_x; phi_x) and k = flow(z_k) fitted to y together: `super_resolve_blind` with method="fkp_dip".

    y (1, C, h, w) in [0, 1] -> `.image` (1, C, s h, s w), `.kernel` (1, 1, kh, kw). options and errors as there; the flow may be
    given by kernel_prior=FlowPrior(...). Source: Liang, Zhang, Gu, Van Gool and Timofte, "Flow-based Kernel Prior with
    Application to Blind Super-Resolution", CVPR 2021. What differs: `FKPDIP`.
    """
    from ..blind import super_resolve_blind

    return super_resolve_blind(y, scale, method="fkp_dip", generator=generator, **options)
