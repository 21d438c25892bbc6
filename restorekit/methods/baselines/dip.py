"""Deep image prior (Ulyanov, Vedaldi and Lempitsky, CVPR 2018), blind only in that its kernel is a guess."""

from __future__ import annotations

from statistics import fmean
from typing import Any

import torch
from torch import Tensor

from ...kernels import KernelPrior
from ...solvers import Result
from ..learner import BlindState, ImageNetLearner

DRAWS = 200  # of the prior, whose mean is the guess


def guessed_kernel(prior: KernelPrior, *, generator: torch.Generator, like: Tensor) -> Tensor:
    """Mean of DRAWS kernels of the prior, (1, 1, size, size): the guess of a method that cannot estimate.

    Its covariance is the mean covariance of the prior: for the default Gaussians `generic_width(scale)`^2 on both axes, but
    for the sampling and the truncation to the window. It has the prior's centroid.
    """
    return prior.sample(DRAWS, generator=generator).to(device=like.device, dtype=like.dtype).mean(0, keepdim=True)


class DIP(ImageNetLearner):
    """min over phi_x of |y - (G_x(z_x; phi_x) * k) down s|^2 / sigma^2 + rho prior(G_x), k fixed at `guessed_kernel`.

    One outer step makes Q P Adam steps on phi_x, `settings` as for MLMC. The paper inverts a known degradation; here the
    kernel is not known, so this is the same net, loss and number of steps as MLMC with no kernel step at all.
    Arguments: `BlindLearner`.
    """

    _TENSORS = (*ImageNetLearner._TENSORS, "_kernel")

    def _build(self) -> None:
        super()._build()
        self._kernel = guessed_kernel(self.prior, generator=self._generator, like=self._y)

    def kernel(self) -> Tensor:
        """The guess, the same at all steps."""
        return self._kernel

    def step(self) -> BlindState:
        """One outer step: Q P steps on the image net."""
        self._losses.clear()
        optimizer = self._optimizers["image"]
        for _ in range(self.image_steps):
            x = self._image()
            loss = self._loss(x, self._kernel)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            self._keep(x.detach())
        self._step += 1
        return self.snapshot(fmean(self._losses))


def dip(y: Tensor, scale: int, *, generator: torch.Generator, **options: Any) -> Result:
    """x = G_x(z_x; phi_x) fitted to y through a guessed kernel: `super_resolve_blind` with method="dip".

    y (1, C, h, w) in [0, 1] -> `.image` (1, C, s h, s w), `.kernel` the guess. options and errors as there. Source: Ulyanov,
    Vedaldi and Lempitsky, "Deep Image Prior", CVPR 2018. What differs: `DIP`.
    """
    from ..blind import super_resolve_blind

    return super_resolve_blind(y, scale, method="dip", generator=generator, **options)
