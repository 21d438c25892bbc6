"""Proximal solvers of min_x 1/2 |A x - y|^2 + lam R(x), where the prior R is given by a denoiser.

A denoiser D(x, sigma) stands for prox of sigma^2 R: argmin_z 1/2 |z - x|^2 + sigma^2 R(z). Any function (x, sigma) -> x
will do; whether a minimiser then exists is a question to the denoiser. In each solver x is the picture after the prior,
z the one that fits the data. Nothing is clipped.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import sqrt

import torch
import torch.nn.functional as F
from torch import Tensor

from .._check import check_image, check_like, fail
from ..operators import LinearOperator

Denoiser = Callable[[Tensor, "float | Tensor"], Tensor]
Schedule = float | Sequence[float] | Tensor


@dataclass(frozen=True)
class HQSState:
    """x: picture after the prior, z: picture that fits the data, each (B, C, H, W); step: iterations done."""

    x: Tensor
    z: Tensor
    step: int = 0


@dataclass(frozen=True)
class HQS:
    """Half-quadratic splitting (Geman and Yang 1995; with a denoiser: Zhang et al., DPIR, 2021).

    Problem    min_x 1/2 |A x - y|^2 + lam R(x)
    Splitting  min_{x,z} 1/2 |A z - y|^2 + rho/2 |z - x|^2 + lam R(x), rho_k = lam / sigma_k^2 growing
    Updates    z <- argmin_z 1/2 |A z - y|^2 + rho_k/2 |z - x|^2   (A.prox)
               x <- argmin_x rho_k/2 |z - x|^2 + lam R(x) = D(z, sigma_k)

    sigmas: strengths of the denoiser, a number or one for each iteration (the last is kept); DPIR takes
    schedules.geometric(49/255, sigma, 8) and lam = 0.23 sigma^2 for noise of std sigma. With a constant sigma it
    converges to the minimiser of the split problem, in which R is smoothed; only rho -> infinity gives that of the first.
    """

    operator: LinearOperator
    y: Tensor
    denoiser: Denoiser
    sigmas: Schedule
    lam: float

    def __post_init__(self) -> None:
        _check(self.y, lam=self.lam, sigmas=self.sigmas)

    def init(self, x0: Tensor | None = None) -> HQSState:
        x = start(self.operator, self.y, x0)
        return HQSState(x, x)

    def step(self, state: HQSState) -> HQSState:
        sigma = at(self.sigmas, state.step)
        rho = self.lam / sigma**2
        z = self.operator.prox(state.x, self.y, rho)
        x = self.denoiser(z, sigma)
        return HQSState(x, z, state.step + 1)


@dataclass(frozen=True)
class ADMMState:
    """x: picture after the prior, z: picture that fits the data, u: scaled multiplier; step: iterations done."""

    x: Tensor
    z: Tensor
    u: Tensor
    step: int = 0


@dataclass(frozen=True)
class ADMM:
    """Alternating direction method of multipliers (Boyd et al. 2011, Section 3.1.1, scaled form).

    Problem    min_x 1/2 |A x - y|^2 + lam R(x)
    Splitting  min_{x,z} 1/2 |A z - y|^2 + lam R(x) subject to z = x, multiplier rho u
    Updates    z <- argmin_z 1/2 |A z - y|^2 + rho/2 |z - x + u|^2   (A.prox)
               x <- argmin_x lam R(x) + rho/2 |x - z - u|^2 = D(z + u, sqrt(lam / rho))
               u <- u + z - x

    rho: a number (then, for convex R, x converges to the minimiser whatever rho > 0) or one for each iteration. u is
    not rescaled when rho changes.
    """

    operator: LinearOperator
    y: Tensor
    denoiser: Denoiser
    lam: float
    rho: Schedule

    def __post_init__(self) -> None:
        _check(self.y, lam=self.lam, rho=self.rho)

    def init(self, x0: Tensor | None = None) -> ADMMState:
        x = start(self.operator, self.y, x0)
        return ADMMState(x, x, torch.zeros_like(x))

    def step(self, state: ADMMState) -> ADMMState:
        rho = at(self.rho, state.step)
        z = self.operator.prox(state.x - state.u, self.y, rho)
        x = self.denoiser(z + state.u, (self.lam / rho) ** 0.5)
        u = state.u + z - x
        return ADMMState(x, z, u, state.step + 1)


@dataclass(frozen=True)
class PGDState:
    """x: iterate, z: point where the gradient is taken (x itself without acceleration), m: momentum counter."""

    x: Tensor
    z: Tensor
    m: float = 1.0
    step: int = 0


@dataclass(frozen=True)
class PGD:
    """Proximal gradient descent; accelerated it is FISTA (Beck and Teboulle 2009, Eq. 4.1-4.3).

    Problem    min_x 1/2 |A x - y|^2 + lam R(x)
    Updates    x' = D(z - t A^T (A z - y), sqrt(t lam))
               m' = (1 + sqrt(1 + 4 m^2)) / 2;  z <- x' + (m - 1)/m' (x' - x)   (accelerated; else z <- x')

    t: step size, at most 1/|A|^2 for a descent of the energy; |A| <= 1 for a blur whose kernel is a probability and
    circular or zero padding (`operator_norm` measures it). Accelerated, the energy may rise between iterations.
    """

    operator: LinearOperator
    y: Tensor
    denoiser: Denoiser
    lam: float
    t: float = 1.0
    accelerated: bool = False

    def __post_init__(self) -> None:
        _check(self.y, lam=self.lam, t=self.t)

    def init(self, x0: Tensor | None = None) -> PGDState:
        x = start(self.operator, self.y, x0)
        return PGDState(x, x)

    def step(self, state: PGDState) -> PGDState:
        x = self.denoiser(state.z - self.t * data_gradient(self.operator, state.z, self.y), sqrt(self.t * self.lam))
        if not self.accelerated:
            return PGDState(x, x, 1.0, state.step + 1)
        m = (1 + sqrt(1 + 4 * state.m**2)) / 2
        z = x + (state.m - 1) / m * (x - state.x)
        return PGDState(x, z, m, state.step + 1)


@dataclass(frozen=True)
class REDState:
    """x: iterate (B, C, H, W); step: iterations done."""

    x: Tensor
    step: int = 0


@dataclass(frozen=True)
class RED:
    """Regularisation by denoising, gradient descent (Romano, Elad and Milanfar 2017).

    Problem    min_x 1/2 |A x - y|^2 + lam/2 <x, x - D(x, sigma)>
    Update     x <- x - t (A^T (A x - y) + lam (x - D(x, sigma)))

    The second term is the prior's gradient only if D is homogeneous with a symmetric Jacobian; else the update is a
    fixed-point iteration. t: step size, below 2 / (|A|^2 + 2 lam) for a nonexpansive D.
    """

    operator: LinearOperator
    y: Tensor
    denoiser: Denoiser
    lam: float
    sigma: float
    t: float

    def __post_init__(self) -> None:
        _check(self.y, lam=self.lam, sigma=self.sigma, t=self.t)

    def init(self, x0: Tensor | None = None) -> REDState:
        return REDState(start(self.operator, self.y, x0))

    def step(self, state: REDState) -> REDState:
        x = state.x
        g = data_gradient(self.operator, x, self.y) + self.lam * (x - self.denoiser(x, self.sigma))
        return REDState(x - self.t * g, state.step + 1)


def data_gradient(operator: LinearOperator, x: Tensor, y: Tensor) -> Tensor:
    """A^T (A x - y), the gradient of 1/2 |A x - y|^2."""
    return operator.adjoint(operator(x) - y, (x.shape[-2], x.shape[-1]))


def start(operator: LinearOperator, y: Tensor, x0: Tensor | None) -> Tensor:
    """x0 if it fits y, by default y brought to the size of x by resizing (bicubic)."""
    if x0 is None:
        x0 = y if operator.scale == 1 else F.interpolate(y, scale_factor=operator.scale, mode="bicubic", align_corners=False)
    check_like(check_image(x0, "x0"), y, "x0", "y")
    if operator.out_size((x0.shape[-2], x0.shape[-1])) != tuple(y.shape[-2:]) or x0.shape[1] != y.shape[1]:
        fail(f"x0 of {tuple(x0.shape)} for y of {tuple(y.shape)}", "x0 with A(x0) shaped like y", "start at bicubic(y, scale, size=(H, W))")
    return x0


def at(schedule: Schedule, step: int) -> float | Tensor:
    """The value of a schedule at an iteration counted from 0; its last one after its end."""
    if isinstance(schedule, int | float) or (isinstance(schedule, Tensor) and schedule.ndim == 0):
        return schedule
    return schedule[min(step, len(schedule) - 1)]


def _check(y: Tensor, **positive: Schedule) -> None:
    check_image(y, "y")
    for name, value in positive.items():
        values = torch.as_tensor(value)
        if values.ndim > 1 or values.numel() == 0 or not (values > 0).all():
            fail(f"{name}={value}", "a positive number, or a non-empty list of them for a schedule", f"choose {name} > 0")
