"""Dynamic plug-and-play (Wang et al., ICONIP 2021): the degradation A is updated along with the picture.

y = A x + n with A unknown, A^(0) = I. Literally as printed, and with each step corrected; `deblur_dynamic` is a scheme that gains.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .._check import check_choice, check_image, check_like, fail
from .._linear import cg_init, cg_step
from ..operators import Identity, LinearOperator
from ..solvers import Denoiser
from .operator_updates import Update

X_STEPS = ("gradient", "printed", "cg", "exact")


@dataclass(frozen=True)
class DynamicState:
    """x: picture that fits the data, v: picture after the prior, A: the numbers of the operator (their shape: the reading's).

    residual: root mean square of A x + n - y (B,) after the A-step; moved: that of x^(t+1) - x^(t) (Eq. 13); taken: share of the pictures
    whose x-step and A-step passed the safeguard (1 without one); step: iterations done.
    """

    x: Tensor
    v: Tensor
    A: Tensor
    residual: Tensor
    moved: Tensor
    taken: tuple[float, float] = (1.0, 1.0)
    step: int = 0


@dataclass(frozen=True)
class DynamicPnP:
    """Problem    min_{x,v,A} 1/2 |A x - y|^2 + mu/2 |v - x|^2 + lambda f(v)    (Eq. 3, A unknown)
    Updates    x <- a step on 1/2 |A x - y|^2 + mu/2 |x - v|^2                          (Eq. 4, 6; `x_step`)
               v <- f(x; theta)                                                  (Eq. 7; `prior`)
               A <- a step on 1/2 |A x + n - y|^2,  n = g(y)                          (Eq. 9, 10; `update`)

    x_step 'gradient': x - delta (A^T (A x - y) + mu (x - v)). 'printed': the second line of Eq. 6, (1 - delta mu) x - delta A^T A x +
    delta A^T y + delta v, which lost a mu on v. 'cg': cg_steps of conjugate gradients from x. 'exact': A.prox(v, y, mu), closed
    form where there is one (periodic blur, by FFT; diagonal; matrix). mu: a number, or a map that broadcasts over x. update None:
    A = I. noise: n, for example y - g(y) with another denoiser g, 0 by default; with the prior itself as g the A-step has nothing to
    explain. sigma: strength the prior is given. fit: whether A is fitted to 'x', as printed, or to 'v', the restored picture.
    safeguard: per picture, an x-step that raises Eq. 3's first two terms and an A-step that raises its data term are not taken.

    Which of x and v to look at depends on the prior: x is v's neighbor that fits the data. As printed, with steps of 1e-3 and less, x stays
    at y and v is one pass of the net.
    """

    y: Tensor
    prior: Denoiser
    update: Update | None = None
    noise: Tensor | None = None
    sigma: float | Tensor = 0.0
    mu: float | Tensor = 1.0
    delta: float = 1e-3
    x_step: str = "gradient"
    cg_steps: int = 10
    fit: str = "x"
    safeguard: bool = False

    def __post_init__(self) -> None:
        check_image(self.y, "y")
        check_choice(self.x_step, X_STEPS, "x_step")
        check_choice(self.fit, ("x", "v"), "fit")
        if not (bool((torch.as_tensor(self.mu) > 0).all()) and self.delta > 0 and self.cg_steps >= 1):
            fail(f"mu={self.mu}, delta={self.delta}, cg_steps={self.cg_steps}", "mu and delta above 0, cg_steps from 1", "delta=1e-3")
        if self.noise is not None:
            check_like(check_image(self.noise, "noise"), self.y, "noise", "y")

    def init(self, x0: Tensor | None = None) -> DynamicState:
        """x = v = x0 (default y), A = I."""
        x = self.y if x0 is None else check_image(x0, "x0")
        zero = x.new_zeros(x.shape[0])
        A = self.update.init(self.y) if self.update else x.new_zeros(0)
        return DynamicState(x, x, A, zero, zero)

    def step(self, state: DynamicState) -> DynamicState:
        operator, y = self.parts(state.A)
        x, took_x = self._x_step(operator, y, state)
        v = self.prior(x, self.sigma)
        A, took_A = self._A_step(state.A, x if self.fit == "x" else v)
        residual = _rms(self._residual(A, x))
        return DynamicState(x, v, A, residual, _rms(x - state.x), (took_x, took_A), state.step + 1)

    def parts(self, A: Tensor) -> tuple[LinearOperator, Tensor]:
        """The operator of these numbers, and y without its offset."""
        if self.update is None:
            return Identity(), self.y
        return self.update.operator(A), self.y - self.update.offset(A)

    def _x_step(self, A: LinearOperator, y: Tensor, state: DynamicState) -> tuple[Tensor, float]:
        x, v, mu, delta = state.x, state.v, self.mu, self.delta
        size = (x.shape[-2], x.shape[-1])
        if self.x_step == "gradient":
            new = x - delta * (A.adjoint(A(x) - y, size) + mu * (x - v))
        elif self.x_step == "printed":
            new = (1 - delta * mu) * x - delta * A.adjoint(A(x), size) + delta * A.adjoint(y, size) + delta * v
        elif self.x_step == "cg":
            new = _cg(A, y, mu, v, x, self.cg_steps)
        else:
            new = A.prox(v, y, mu)
        if not self.safeguard:
            return new, 1.0

        def energy(z: Tensor) -> Tensor:
            return ((A(z) - y).square() + mu * (z - v).square()).sum((1, 2, 3))

        return _keep(new, x, energy(new) <= energy(x))

    def _A_step(self, A: Tensor, x: Tensor) -> tuple[Tensor, float]:
        if self.update is None:
            return A, 1.0
        new = self.update(A, x, self.y if self.noise is None else self.y - self.noise)
        if not self.safeguard:
            return new, 1.0
        before, after = (_rms(self._residual(value, x)) for value in (A, new))
        if A.shape[0] != x.shape[0]:  # a grid of kernels of one picture
            return (new, 1.0) if bool((after <= before).all()) else (A, 0.0)
        return _keep(new, A, after <= before)

    def _residual(self, A: Tensor, x: Tensor) -> Tensor:
        operator, y = self.parts(A)
        r = operator(x) - y
        return r if self.noise is None else r + self.noise


def _cg(A: LinearOperator, y: Tensor, mu: float | Tensor, v: Tensor, x: Tensor, steps: int) -> Tensor:
    """Conjugate gradients on (A^T A + mu) x = A^T y + mu v, from x."""
    size = (x.shape[-2], x.shape[-1])

    def normal(p: Tensor) -> Tensor:
        return A.adjoint(A(p), size) + mu * p

    state = cg_init(normal, A.adjoint(y, size) + mu * v, x)
    for _ in range(steps):
        state = cg_step(normal, state)
    return state.x


def _keep(new: Tensor, old: Tensor, good: Tensor) -> tuple[Tensor, float]:
    """`new` for the pictures where it is good, else `old`, and the share of the good."""
    return torch.where(good.view(-1, 1, 1, 1), new, old), good.double().mean().item()


def _rms(r: Tensor) -> Tensor:
    return r.square().mean((1, 2, 3)).sqrt()
