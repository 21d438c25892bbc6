"""Double-DIP: one net for the picture and one for the kernel, learned together from one observation."""

from __future__ import annotations

from statistics import fmean
from typing import Any

import torch
from torch import Tensor
from torch.optim import Adam

from ..._random import rand
from ...kernels import KernelPrior
from ...nets import KernelNet
from ...solvers import Result
from ..learner import BlindState, ImageNetLearner


class DoubleDIP(ImageNetLearner):
    """min over phi_x and phi_k of |y - (G_x(z_x; phi_x) * G_k(z_k; phi_k)) down s|^2 / sigma^2 + rho prior(G_x).

    Every step is one Adam step on phi_x and one on phi_k, from one backward pass; an outer step makes Q P of them. Of the
    kernel prior only the size and the centroid are used: G_k starts from random weights, and no sample, anchor or
    spectrum holds it. So this is MLMC without its kernel samples and its meta-loss, as MLMC Eq. 6 has it. Gandelsman,
    Shocher and Irani (CVPR 2019) join two image nets; the kernel net, fully connected with a softmax, is that of Ren et al.
    ("SelfDeblur", CVPR 2020), with MLMC's size and held centroid. Ren et al. use 2500 and more steps, a pure data term, and
    their learning rates; here they are those of `settings`. Arguments: `BlindLearner`.
    """

    _NETS = (*ImageNetLearner._NETS, "kernel_net")
    _TENSORS = (*ImageNetLearner._TENSORS, "z_k")

    def __init__(self, y: Tensor, scale: int, prior: KernelPrior, **options: Any) -> None:
        super().__init__(y, scale, prior, **options)
        self._optimizers["kernel"] = Adam(self.kernel_net.parameters(), self.settings.lr_kernel)

    def _build(self) -> None:
        super()._build()
        net = KernelNet(self.prior.size, hidden=self.settings.hidden, centroid=self.prior.centroid, generator=self._generator)
        self.kernel_net = net.to(device=self._y.device, dtype=self._y.dtype)
        self.z_k = rand((1, net.inputs), generator=self._generator, like=self._y)

    def kernel(self) -> Tensor:
        """k = G_k(z_k; phi_k)."""
        return self.kernel_net(self.z_k)

    def step(self) -> BlindState:
        """One outer step: Q P joint steps on both nets."""
        self._losses.clear()
        for _ in range(self.image_steps):
            x = self._image()
            loss = self._loss(x, self.kernel())
            for optimizer in self._optimizers.values():
                optimizer.zero_grad()
            loss.backward()
            for optimizer in self._optimizers.values():
                optimizer.step()
            self._keep(x.detach())
        self._step += 1
        return self.snapshot(fmean(self._losses))


def double_dip(y: Tensor, scale: int, *, generator: torch.Generator, **options: Any) -> Result:
    """x = G_x(z_x; phi_x) and k = G_k(z_k; phi_k) fitted to y together: `super_resolve_blind` with method="double_dip".

    y (1, C, h, w) in [0, 1] -> `.image` (1, C, s h, s w), `.kernel` (1, 1, kh, kw). options and errors as there. Source: Gandelsman,
    Shocher and Irani, "Double-DIP", CVPR 2019, in the form of Ren et al., CVPR 2020. What differs: `DoubleDIP`.
    """
    from ..blind import super_resolve_blind

    return super_resolve_blind(y, scale, method="double_dip", generator=generator, **options)
