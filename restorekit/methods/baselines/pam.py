"""Projected alternating minimisation (Perrone and Favaro, CVPR 2014): total variation, one gradient step on each unknown."""

from __future__ import annotations

from statistics import fmean
from typing import Any

import torch
from torch import Tensor

from ..._random import randn
from ...kernels import KernelPrior
from ...nets import hold_centroid
from ...operators import BlurDown, operator_norm
from ...solvers import Result
from ..learner import BlindLearner, BlindState
from .dip import guessed_kernel
from .tv import gradient, gradient_adjoint

LAM = 6e-4  # weight of TV without noise, as in the paper; grows with a known noise: 1e-3 at 1%
EPSILON = 1e-2  # |g| is smoothed to sqrt(|g|^2 + EPSILON^2): the step on x shrinks with it
ITERATIONS = 4  # alternations for each image step of a net, which costs several times as much
POWER_STEPS = 10  # of the power iterations that bound the two curvatures, once in each outer step
SLACK = 1.1  # power iterations approach a norm from below
TINY_TAP = 1e-12  # keeps logarithms finite
FLAT = 0.01  # std of a picture below which it says nothing of k, so that rounding must not move it


class PAM(BlindLearner):
    """min over x and k of E(x, k) = 1/2 |y - (x * k) down s|^2 + lam sum_j sqrt(|grad x|_j^2 + epsilon^2), k on the simplex.

    An alternation: x <- x - t_x dE/dx;  k <- max(k - t_k dE/dk, 0);  k <- k / sum k. Positivity and sum are restored one
    after the other, as in the paper ("delayed scaling"): it is no Euclidean projection, so E need not fall in the step on k,
    and that is what keeps the method from the kernel that blurs nothing. Steps: t_x = 1 / (|A|^2 + 8 lam / epsilon), t_k = 1 /
    |k -> (x * k) down s|^2 over kernels of sum 0, norms by power iteration. What differs from the paper: decimation; the border is
    that of `padding`, not left free; k starts at `guessed_kernel` instead of in a pyramid of coarser pictures, and is tilted
    back to the prior's centroid after each outer step (`hold_centroid`); lam is constant. Arguments: `BlindLearner`.
    """

    _TENSORS = (*BlindLearner._TENSORS, "_kernel", "_direction")

    def __init__(self, y: Tensor, scale: int, prior: KernelPrior, **options: Any) -> None:
        super().__init__(y, scale, prior, **options)
        self._kernel = guessed_kernel(prior, generator=self._generator, like=y)
        self._direction = randn(self._kernel.shape, generator=self._generator, like=y)
        self.lam = max(LAM, 0.1 * (self.sigma or 0.0))
        self._losses: list[float] = []

    def kernel(self) -> Tensor:
        """k as it stands."""
        return self._kernel

    def energy(self, x: Tensor, k: Tensor) -> Tensor:
        """E(x, k), differentiable in both."""
        misfit = (BlurDown(k, self.scale, self.padding)(x) - self._y).square().sum() / 2
        return misfit + self.lam * (gradient(x).square().sum(2) + EPSILON**2).sqrt().sum()

    @torch.no_grad()
    def image_step(self, x: Tensor, k: Tensor, t: float) -> Tensor:
        """x - t dE/dx."""
        A, g = BlurDown(k, self.scale, self.padding), gradient(x)
        slope = gradient_adjoint(g / (g.square().sum(2, keepdim=True) + EPSILON**2).sqrt())
        return x - t * (A.adjoint(A(x) - self._y) + self.lam * slope)

    def kernel_step(self, x: Tensor, k: Tensor, t: float) -> Tensor:
        """max(k - t dE/dk, 0), then scaled to sum 1."""
        k = k.detach().requires_grad_()
        misfit = (BlurDown(k, self.scale, self.padding)(x) - self._y).square().sum()
        self._losses.append(misfit.item())
        (slope,) = torch.autograd.grad(misfit / 2, k)
        moved = (k.detach() - t * slope).clamp(min=0)
        return moved / moved.sum()

    def step_sizes(self) -> tuple[float, float]:
        """t_x and t_k at the x and k of now."""
        A = BlurDown(self._kernel.cpu(), self.scale, self.padding)  # where `operator_norm` draws
        norm = operator_norm(A, (1, 1, *self.size), generator=self._generator, n_iter=POWER_STEPS, dtype=self._y.dtype)
        t_x = 1 / (SLACK * norm**2 + 8 * self.lam / EPSILON)
        for _ in range(POWER_STEPS):
            v = self._direction - self._direction.mean()
            v = (v / v.norm().clamp(min=TINY_TAP)).requires_grad_()
            out = BlurDown(v, self.scale, self.padding)(self._x)
            (self._direction,) = torch.autograd.grad(out.square().sum() / 2, v)
        curvature = (self._direction - self._direction.mean()).norm().item()
        return t_x, 1 / (SLACK * max(curvature, FLAT**2 * self._y.numel()))

    def step(self) -> BlindState:
        """One outer step: ITERATIONS Q P alternations. The picture is the last one: these iterates do not fluctuate."""
        self._losses.clear()
        t_x, t_k = self.step_sizes()
        for _ in range(ITERATIONS * self.image_steps):
            self._x = self.image_step(self._x, self._kernel, t_x)
            self._kernel = self.kernel_step(self._x, self._kernel, t_k)
        self._kernel = hold_centroid(self._kernel.clamp(min=TINY_TAP).log(), self.prior.centroid)
        self._variance = self._noise_variance(BlurDown(self._kernel, self.scale, self.padding)(self._x) - self._y)
        self._step += 1
        return self.snapshot(fmean(self._losses))


def pam(y: Tensor, scale: int, *, generator: torch.Generator, **options: Any) -> Result:
    """Picture and kernel by alternating gradient steps under total variation: `super_resolve_blind` with method="pam".

    y (1, C, h, w) in [0, 1] -> `.image` (1, C, s h, s w), `.kernel` (1, 1, kh, kw). options and errors as there. Source: Perrone and
    Favaro, "Total Variation Blind Deconvolution: The Devil is in the Details", CVPR 2014. What differs: `PAM`.
    """
    from ..blind import super_resolve_blind

    return super_resolve_blind(y, scale, method="pam", generator=generator, **options)
