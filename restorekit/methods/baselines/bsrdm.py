"""BSRDM: a deep image prior whose input is sampled by Langevin steps, an explicit Gaussian kernel, noise that varies."""

from __future__ import annotations

from math import log
from statistics import fmean
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.optim import Adam

from ...kernels import KernelPrior, kernel_moments
from ...nets import hold_centroid
from ...solvers import ULA, Result
from ...solvers.langevin import ULAState
from ..learner import BlindState, ImageNetLearner

LR_KERNEL = 0.02  # of the three numbers of the Gaussian
PATCH = 7  # low-resolution pixels: side of the windows that share a noise variance
Z_VARIANCE = 0.1**2 / 3  # of p(z_x): the mean square of the values that the net's input starts with
H = 4e-3 * Z_VARIANCE  # step size of the Langevin dynamics; from 4 Z_VARIANCE on it diverges
NARROWEST = 0.25  # px: std below which a sampled Gaussian is a point
DRAWS = 200  # of the prior, whose mean covariance is the start


def gaussian_of(factor: Tensor, size: int, centroid: tuple[float, float]) -> Tensor:
    """k(u) proportional to exp(-1/2 |L (u - m)|^2), L = [[e^a, b], [0, e^c]], (a, b, c) = factor; m such that the centroid holds.

    Sigma^-1 = L^T L, any covariance there is; u = (row, column) in pixels. (3,) -> (1, 1, size, size), differentiable.
    """
    u = torch.arange(size, device=factor.device, dtype=factor.dtype) - size // 2
    rows, cols = u[:, None] - centroid[0], u[None, :] - centroid[1]
    a, b, c = factor
    logits = -0.5 * ((a.exp() * rows + b * cols).square() + (c.exp() * cols).square())
    return hold_centroid(logits[None, None], centroid)


def factor_of(covariance: Tensor) -> Tensor:
    """(a, b, c) of `gaussian_of` for a covariance (2, 2) in px^2."""
    L = torch.linalg.cholesky(torch.linalg.inv(covariance)).T
    return torch.stack([L[0, 0].log(), L[0, 1], L[1, 1].log()])


def local_variance(residual: Tensor, variance: Tensor) -> Tensor:
    """lambda_i = (v + mean of r^2 over the patch around i) / 2, shaped as r, without gradient.

    The mode of p(lambda_i | r) for n values of a patch, r ~ N(0, lambda_i), lambda_i ~ InverseGamma(n/2 - 1, n v / 2): the patch
    counts as much as what is known of the whole, v.
    """
    mean = F.avg_pool2d(residual.detach().square(), PATCH, stride=1, padding=PATCH // 2, count_include_pad=False)
    return (variance + mean) / 2


class BSRDM(ImageNetLearner):
    """min over phi_x and Sigma of sum_i r_i^2 / lambda_i + rho prior(G_x), r = y - (G_x(z_x; phi_x) * k_Sigma) down s, z_x sampled.

    Yue et al., CVPR 2022. The kernel is an anisotropic Gaussian (`gaussian_of`); the noise has a variance for each patch
    with an inverse-gamma prior (`local_variance`); z_x follows Langevin dynamics of its posterior,
    z <- z - h/2 (1/2 d loss/dz + z / var) + sqrt(h) xi. Each step takes all three from one backward pass; the paper alternates
    several Langevin steps (E) with steps on phi_x and the kernel (M). Simpler here: one variance v of the whole picture
    (MLMC Eq. 36, or the sigma that is given, which then counts everywhere) in place of the paper's hyper-parameters. Of the kernel
    prior only the size, the centroid and the mean covariance, where the Gaussian starts, are used; net, image prior,
    number of steps and the step at which the kernel starts to move are those of `settings`. Arguments: `BlindLearner`.
    """

    _TENSORS = (*ImageNetLearner._TENSORS, "_factor")

    def __init__(self, y: Tensor, scale: int, prior: KernelPrior, **options: Any) -> None:
        super().__init__(y, scale, prior, **options)
        self._optimizers["kernel"] = Adam([self._factor], LR_KERNEL)

    def _build(self) -> None:
        super()._build()
        self.z_x.requires_grad_()
        covariance = kernel_moments(self.prior.sample(DRAWS, generator=self._generator))[2].mean(0)
        self._factor = factor_of(covariance.to(self._y)).requires_grad_()
        self._bound()

    @torch.no_grad()
    def _bound(self) -> None:
        low, high = -log(self.prior.size), -log(NARROWEST)
        self._factor[0::2].clamp_(low, high)
        self._factor[1].clamp_(-1 / NARROWEST, 1 / NARROWEST)

    def kernel(self) -> Tensor:
        """k_Sigma."""
        return gaussian_of(self._factor, self.prior.size, self.prior.centroid)

    def _data_term(self, Ax: Tensor, squares: Tensor) -> Tensor:
        if self.sigma is not None or not self.settings.noise_variance:
            return super()._data_term(Ax, squares)
        residual = self._y - Ax
        return (residual.square() / local_variance(residual, self._variance)).sum()

    def step(self) -> BlindState:
        """One outer step: Q P joint steps on phi_x, Sigma and z_x."""
        self._losses.clear()
        learns = self._step >= self.settings.kernel_from
        for _ in range(self.image_steps):
            x, k = self._image(), self.kernel()
            loss = self._loss(x, k if learns else k.detach())
            self.z_x.grad = None
            for optimizer in self._optimizers.values():
                optimizer.zero_grad()
            loss.backward()
            for optimizer in self._optimizers.values():  # without a gradient the kernel stays
                optimizer.step()
            self._bound()
            self._move_input()
            self._keep(x.detach())
        self._step += 1
        return self.snapshot(fmean(self._losses))

    @torch.no_grad()
    def _move_input(self) -> None:
        """One Langevin step of the noise maps; the guide among the net's inputs is no variable."""
        assert self.z_x.grad is not None
        first = self.z_x.shape[1] - self.settings.inputs
        z, gradient = self.z_x[:, first:], self.z_x.grad[:, first:]
        chain = ULA(lambda z: -gradient / 2 - z / Z_VARIANCE, z, H, generator=self._generator)
        moved = chain.step(ULAState(z, self._generator.get_state()))
        z.copy_(moved.x)
        self._generator.set_state(moved.random)


def bsrdm(y: Tensor, scale: int, *, generator: torch.Generator, **options: Any) -> Result:
    """x = G_x(z_x; phi_x) and a Gaussian k fitted to y together, z_x sampled: `super_resolve_blind` with method="bsrdm".

    y (1, C, h, w) in [0, 1] -> `.image` (1, C, s h, s w), `.kernel` (1, 1, kh, kw). options and errors as there. Source: Yue, Zhao, Xie,
    Zhang, Meng and Wong, "Blind Image Super-resolution with Elaborate Degradation Modeling on Noise and Kernel", CVPR 2022.
    What differs: `BSRDM`.
    """
    from ..blind import super_resolve_blind

    return super_resolve_blind(y, scale, method="bsrdm", generator=generator, **options)
