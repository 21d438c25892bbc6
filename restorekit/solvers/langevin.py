"""Langevin dynamics: gradient steps with noise, whose iterates are samples of p(x) instead of one maximum of it.

score(x) is the gradient of log p at each chain; the first axis of x counts chains, the rest is free. The noise comes from
the generator state in the State, so that `step` is pure and a resumed chain is bitwise the same on a CPU.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from math import sqrt

import torch
from torch import Tensor

from .._check import check_generator, fail
from .._random import randn
from .proximal import Schedule, at

Score = Callable[[Tensor], Tensor]
NoisyScore = Callable[[Tensor, torch.Generator], Tensor]


def score_of(log_prob: Score) -> Score:
    """x -> d log p / dx by automatic differentiation; log_prob gives one number a chain, (n, ...) -> (n,)."""

    def score(x: Tensor) -> Tensor:
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            return torch.autograd.grad(log_prob(x).sum(), x)[0]

    return score


@dataclass(frozen=True)
class ULAState:
    """x: one iterate a chain, (n, ...); random: state of the generator (uint8); step: iterations done."""

    x: Tensor
    random: Tensor
    step: int = 0


@dataclass(frozen=True)
class ULA:
    """Unadjusted Langevin algorithm (Roberts and Tweedie 1996): approximate samples of p(x)^(1/temperature).

    Update     x <- x + h/2 grad log p(x) + sqrt(h temperature) xi,  xi ~ N(0, 1)

    score: grad log p, (n, ...) -> (n, ...) (`score_of` makes it from log p). h: step size, a number or one for each
    iteration. temperature 0 is gradient ascent. There is no acceptance step, so the samples are biased: for N(0, v) their
    variance is v / (1 - h / (4 v)), and from h = 4 v on the chain diverges. generator: read, never advanced; two solvers
    with generators in one state draw the same noise. Raises ValueError if h is not positive or temperature is negative.
    """

    score: Score
    start: Tensor
    h: Schedule
    temperature: float = 1.0
    generator: torch.Generator = field(kw_only=True)

    def __post_init__(self) -> None:
        _check(self.start, self.h, self.temperature, self.generator)

    def init(self, x0: Tensor | None = None) -> ULAState:
        return ULAState(self.start if x0 is None else x0, self.generator.get_state())

    def step(self, state: ULAState) -> ULAState:
        h, generator = at(self.h, state.step), _resume(self.generator, state.random)
        xi = randn(state.x.shape, generator=generator, like=state.x)
        x = state.x + h / 2 * self.score(state.x) + sqrt(h * self.temperature) * xi
        return ULAState(x, generator.get_state(), state.step + 1)


@dataclass(frozen=True)
class SGLDState:
    """x: one iterate a chain, (n, ...); v: running mean of squared gradients; random: state of the generator (uint8)."""

    x: Tensor
    v: Tensor
    random: Tensor
    step: int = 0


@dataclass(frozen=True)
class SGLD:
    """Stochastic gradient Langevin dynamics (Welling and Teh 2011), preconditioned as Li et al. (2016).

    Update     g = unbiased estimate of grad log p(x);  v <- beta v + (1 - beta) g^2
               x <- x + h_t/2 G g + sqrt(h_t temperature G) xi,  G = 1 / (sqrt(v / (1 - beta^t)) + damping), or 1 without beta

    score(x, generator) -> g: draws its mini-batch from the generator it is given. h: step sizes; p(x) is reached for
    sum h_t = infinity, sum h_t^2 < infinity (`decaying`), a constant h leaves a bias, in which the noise of g counts as
    well. beta: memory of the preconditioner, None for none; 1 - beta^t corrects its start at 0, as in Adam. Its derivative
    (Gamma of Li et al.) is left out: an error that vanishes only while v is constant. generator: read, never advanced.
    Raises ValueError for h <= 0, temperature < 0, damping <= 0 and beta outside [0, 1).
    """

    score: NoisyScore
    start: Tensor
    h: Schedule
    temperature: float = 1.0
    beta: float | None = None
    damping: float = 1e-5
    generator: torch.Generator = field(kw_only=True)

    def __post_init__(self) -> None:
        _check(self.start, self.h, self.temperature, self.generator)
        if self.beta is not None and not 0 <= self.beta < 1:
            fail(f"beta={self.beta}", "0 <= beta < 1, or None for no preconditioner", "choose for example 0.99")
        if not self.damping > 0:
            fail(f"damping={self.damping}", "a positive number", "choose for example 1e-5")

    def init(self, x0: Tensor | None = None) -> SGLDState:
        x = self.start if x0 is None else x0
        return SGLDState(x, torch.zeros_like(x), self.generator.get_state())

    def step(self, state: SGLDState) -> SGLDState:
        h, generator = at(self.h, state.step), _resume(self.generator, state.random)
        g, v, G = self.score(state.x, generator), state.v, torch.ones_like(state.x)
        if self.beta is not None:
            v = self.beta * v + (1 - self.beta) * g.square()
            G = 1 / ((v / (1 - self.beta ** (state.step + 1))).sqrt() + self.damping)
        xi = randn(state.x.shape, generator=generator, like=state.x)
        x = state.x + h / 2 * G * g + (h * self.temperature * G).sqrt() * xi
        return SGLDState(x, v, generator.get_state(), state.step + 1)


def decaying(a: float, b: float, gamma: float, n: int) -> list[float]:
    """h_t = a (b + t)^-gamma, t = 0..n-1 (Welling and Teh 2011, Sec. 4); convergent for gamma in (0.5, 1]."""
    if not (a > 0 and b > 0 and 0.5 < gamma <= 1 and n >= 1):
        fail(f"a={a}, b={b}, gamma={gamma}, n={n}", "a, b > 0, 0.5 < gamma <= 1, n >= 1", "choose for example a=0.1, b=1, gamma=0.55")
    return [a * (b + t) ** -gamma for t in range(n)]


def _resume(generator: torch.Generator, state: Tensor) -> torch.Generator:
    """A generator of the same kind in the saved state; the caller's is left alone."""
    return torch.Generator(generator.device).set_state(state.cpu())


def _check(start: Tensor, h: Schedule, temperature: float, generator: torch.Generator) -> None:
    check_generator(generator)
    if not (isinstance(start, Tensor) and start.is_floating_point() and start.ndim >= 1 and bool(torch.isfinite(start).all())):
        fail("a start that is no finite floating tensor", "(n, ...), one row a chain", "start=torch.zeros(chains, dimensions)")
    steps = torch.as_tensor(h)
    if steps.ndim > 1 or steps.numel() == 0 or not (steps > 0).all():
        fail(f"h={h}", "a positive number, or a non-empty list of them for a schedule", "choose h > 0")
    if not temperature >= 0:
        fail(f"temperature={temperature}", "0 (no noise) or more", "temperature=1 samples p itself")
