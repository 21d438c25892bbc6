"""Learning how strong a prior should be from a handful of pictures: total variation deblurring tuned by its implicit gradient.

    inner  x_i*(h) = argmin_x g_i = 1/2 |A x - y_i|^2 + exp(F_i . h) TV_eps(x),   TV_eps(x) = sum_j sqrt(|(grad x)_j|^2 + eps^2)
    outer  f(x, h) = - mean_i PSNR(x_i, truth_i) in dB

F_i (k,) says what is known of picture i. F_i = (1) is one weight for all. F_i = (1, log sigma_i) lets the noise level guide the weight,
which is hyper-guidance (Bilevel Eq. 1) in two numbers: here the inner problem does depend on what is learned, and the outer loss
follows through `hypergradient_implicit` (Bilevel Eq. 3).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from .._check import check_image, check_like, fail
from .._linear import conjugate_gradient
from ..operators import LinearOperator
from ..solvers.proximal import data_gradient
from .baselines.tv import gradient, gradient_adjoint
from .bilevel import hypergradient_implicit

GROW, SHRINK = 1.2, 0.5  # Riedmiller and Braun 1993


def smoothed_tv(x: Tensor, epsilon: float) -> Tensor:
    """TV_eps(x) = sum over pixels and channels of sqrt(|grad x|^2 + eps^2), shaped (B,): convex, with all derivatives for eps > 0."""
    return (gradient(x).square().sum(2) + epsilon**2).sqrt().sum((1, 2, 3))


@dataclass(frozen=True)
class WeightProblem:
    """The pictures to learn from: y (B, C, H, W) observed through `operator`, truth of the same shape, features F (B, k).

    epsilon: smoothing of TV, in gray values. A runs on all pictures at once: one kernel, or one for each picture.
    """

    operator: LinearOperator
    y: Tensor
    truth: Tensor
    features: Tensor
    epsilon: float = 0.01

    def __post_init__(self) -> None:
        check_like(check_image(self.truth, "truth"), check_image(self.y, "y"), "truth", "y")
        if self.truth.shape != self.y.shape or self.features.ndim != 2 or len(self.features) != len(self.y):
            got = f"y {tuple(self.y.shape)}, truth {tuple(self.truth.shape)}, features {tuple(self.features.shape)}"
            fail(got, "y and truth of one shape (B, C, H, W), features (B, k)", "features=torch.ones(B, 1) is one weight for all")
        if not self.epsilon > 0:
            fail(f"epsilon={self.epsilon}", "epsilon > 0", "0.01 rounds differences of 2.5 gray levels")

    def weights(self, h: Tensor) -> Tensor:
        """exp(F h), one for each picture (B,)."""
        return (self.features.to(h) @ h).exp()

    def inner(self, x: Tensor, h: Tensor) -> Tensor:
        """g: the sum of the pictures' energies."""
        data = 0.5 * (self.operator(x) - self.y).square().sum()
        return data + (self.weights(h) * smoothed_tv(x, self.epsilon)).sum()

    def outer(self, x: Tensor, h: Tensor | None = None) -> Tensor:
        """f = - mean PSNR in dB, peak 1, nothing clipped or rounded."""
        return 10 * (x - self.truth).square().mean((1, 2, 3)).log10().mean()

    def solve(self, h: Tensor, x0: Tensor | None = None, *, tol: float = 1e-8, max_iter: int = 100) -> Tensor:
        """x*(h) to |dg/dx| <= tol |A^T y| for each picture, from x0 (default y), by a primal-dual Newton method.

        With q = grad x, n = sqrt(|q|^2 + eps^2) and a dual field p, |p| <= 1, that becomes q / n (Chan, Golub and Mulet 1999, Eq. 3.14):

            (A^T A + lam grad^T M grad) dx = -dg/dx,   M = (I - (p q^T + q p^T) / 2n) / n
            x <- x + dx,   p <- p + s (q/n - p + M grad dx), s <= 1 such that |p| <= 1

        Plain Newton needs thousands of steps, since q / n turns within eps. h (k,); float64 for tol below 1e-5. RuntimeError if
        max_iter steps do not reach tol.
        """
        lam, x = self.weights(h.detach()).view(-1, 1, 1, 1), self.y if x0 is None else x0
        p = torch.zeros_like(gradient(x))
        scale = data_gradient(self.operator, torch.zeros_like(x), self.y).square().sum((1, 2, 3)).sqrt()
        for _ in range(max_iter):
            q = gradient(x)
            n = (q.square().sum(2, keepdim=True) + self.epsilon**2).sqrt()
            slope = data_gradient(self.operator, x, self.y) + lam * gradient_adjoint(q / n)
            size = (slope.square().sum((1, 2, 3)).sqrt() / scale).max().item()
            if size <= tol:
                return x
            dx = self._newton(x, -slope, lam, p, q, n, tol=min(0.1, max(math.sqrt(size), 0.1 * tol)))
            p = _within(p, q / n - p + _curved(gradient(dx), p, q, n))
            x = x + dx
        fail(f"|dg/dx| = {size:.1e} of |A^T y| after {max_iter} Newton steps", f"at most {tol:.1e}", "raise tol or epsilon", RuntimeError)
        raise AssertionError

    def _newton(self, x: Tensor, right: Tensor, lam: Tensor, p: Tensor, q: Tensor, n: Tensor, tol: float) -> Tensor:
        """dx, by conjugate gradients to a rough residual: exact steps pay only near the end."""
        zero = torch.zeros_like(self.y)

        def apply(v: Tensor) -> Tensor:
            return data_gradient(self.operator, v, zero) + lam * gradient_adjoint(_curved(gradient(v), p, q, n))

        return conjugate_gradient(apply, right, torch.zeros_like(x), tol=tol, max_iter=1000)[0]

    def gradient(self, h: Tensor, x: Tensor, *, tol: float = 1e-6) -> Tensor:
        """df(x*(h))/dh (k,) at x = x*(h), implicit; tol as in `hypergradient_implicit`."""
        return hypergradient_implicit(self.outer, self.inner, x, h, tol=tol, max_iter=2000)


def _curved(v: Tensor, p: Tensor, q: Tensor, n: Tensor) -> Tensor:
    """M v, pixel by pixel."""
    along = lambda a, b: (a * b).sum(2, keepdim=True)  # noqa: E731
    return (v - (p * along(q, v) + q * along(p, v)) / (2 * n)) / n


def _within(p: Tensor, dp: Tensor) -> Tensor:
    """p + s dp, s the largest step up to 1 for which |p + s dp| <= 1 at a pixel."""
    a, b, c = dp.square().sum(2, keepdim=True), (p * dp).sum(2, keepdim=True), p.square().sum(2, keepdim=True) - 1
    room = (-b + (b.square() - a * c).clamp(min=0).sqrt()) / a.clamp(min=torch.finfo(a.dtype).tiny)
    return p + 0.999 * room.clamp(0, 1) * dp


@dataclass(frozen=True)
class WeightState:
    """h (k,), x = x*(h), f, slope = df/dh (k,), size: the next step of each h_k (k,); step: gradients taken after the first."""

    h: Tensor
    x: Tensor
    f: Tensor
    slope: Tensor
    size: Tensor
    step: int = 0


@dataclass(frozen=True)
class WeightDescent:
    """Descent on f(x*(h)) by the sign of its hypergradient (Rprop, Riedmiller and Braun 1993).

    Problem    min_h f(x*(h)), x*(h) as above
    Updates    h <- h - size sign(df/dh);  size <- 1.2 size where the sign stayed, 0.5 size where it turned

    The sign needs no step size that fits the unit of f. Each step solves the inner problem once, from the last picture. first: the
    first step of each h_k, natural logarithms.
    """

    problem: WeightProblem
    h0: Tensor
    first: float = 0.5

    def __post_init__(self) -> None:
        if self.h0.shape != self.problem.features.shape[1:] or not self.first > 0:
            k = self.problem.features.shape[1]
            fail(f"h0 of {tuple(self.h0.shape)}, first={self.first}", f"h0 of ({k},), first > 0", "one h for each feature")

    def init(self) -> WeightState:
        return self._state(self.h0, None, torch.full_like(self.h0, self.first), 0)

    def step(self, state: WeightState) -> WeightState:
        h = state.h - state.size * state.slope.sign()
        new = self._state(h, state.x, state.size, state.step + 1)
        factor = torch.where(new.slope * state.slope < 0, SHRINK, GROW).to(h)
        return WeightState(h, new.x, new.f, new.slope, state.size * factor, new.step)

    def _state(self, h: Tensor, x: Tensor | None, size: Tensor, step: int) -> WeightState:
        x = self.problem.solve(h, x)
        with torch.enable_grad():
            slope = self.problem.gradient(h, x, tol=1e-4)  # its sign is what counts
        return WeightState(h, x, self.problem.outer(x), slope, size, step)


def grid_search(problem: WeightProblem, points: Tensor) -> tuple[Tensor, Tensor]:
    """(the best of the points (n, k), f at all of them (n,)): the inner problem solved for each, from the one before."""
    x, values = None, []
    for h in points:
        x = problem.solve(h, x)
        values.append(problem.outer(x))
    found = torch.stack(values)
    return points[found.argmin()], found
