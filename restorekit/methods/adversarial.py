"""AND: the small deviation of an identity network that hurts a restorer most (Luo, Wu, Guo, NeurIPS 2023).

min over theta_G of E max over theta_F in S of L(x, G(F(x; theta_F); theta_G)),  S = {theta: |theta - theta_id| < epsilon} (AND Eq. 1).

A deviation is a dict name -> delta = theta - theta_id. What is moved: convolution weights, slopes, noise; never biases.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import log10, sqrt

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from .._check import check_generator, check_image, check_like, fail
from .._random import randn, uniform
from ..nets.degradation_net import NeuralDegradation, identity_init

Deviation = dict[str, Tensor]
Loss = Callable[[Tensor], Tensor]  # degraded picture y -> what the adversary wants large
FACTORS = {"conv": 1.0, "noise": 10.0, "slope": 50.0}  # AND Sec. 4.3
FIRST_NOISE = 1e-3  # an amplitude of exactly 0 has no gradient: E n = 0
_TRIES = 40


@dataclass(frozen=True)
class Ball:
    """S = {delta: |delta| <= epsilon}, with a factor for each kind of parameter (AND Eq. 1, Sec. 4.3).

    joint, as printed: sqrt(sum_g (f_g |delta_g|)^2) <= epsilon, f = 1 for convolutions, 10 for noise, 50 for slopes; the
    convolutions then hold nearly all of the gradient, and the others hardly move. Not joint: f_g |delta_g| <= epsilon in each group g.
    """

    epsilon: float = 20.0
    joint: bool = True
    factors: Mapping[str, float] = field(default_factory=lambda: dict(FACTORS))

    def __post_init__(self) -> None:
        if self.epsilon <= 0 or min(self.factors.values(), default=1.0) <= 0:
            got = f"epsilon={self.epsilon}, factors={dict(self.factors)}"
            fail(got, "numbers above 0", "to hold a group still, leave it out of factors")

    def norms(self, delta: Mapping[str, Tensor], groups: Mapping[str, tuple[str, ...]]) -> dict[str, float]:
        """f_g |delta_g| for each group."""
        return {g: f * sqrt(sum(float(delta[n].square().sum()) for n in groups[g])) for g, f in self.factors.items()}


def deviated(net: NeuralDegradation, delta: Mapping[str, Tensor], x: Tensor, draws: list[Tensor] | None = None) -> Tensor:
    """F(x; theta_id + delta); differentiable in delta."""
    return functional_call(net, {name: p.detach() + delta[name] for name, p in net.named_parameters() if name in delta}, (x, draws))


def ball_project(delta: Mapping[str, Tensor], ball: Ball, groups: Mapping[str, tuple[str, ...]]) -> Deviation:
    """The nearest point of S in the ball's own metric: each group, or all at once (joint), shrunk if it is too long."""
    norms = ball.norms(delta, groups)
    total = sqrt(sum(v * v for v in norms.values()))
    shrink = {g: min(1.0, ball.epsilon / max(total if ball.joint else n, 1e-30)) for g, n in norms.items()}
    return {name: delta[name] * shrink[g] for g in norms for name in groups[g]}


def random_deviation(net: NeuralDegradation, x: Tensor, ball: Ball, *, generator: torch.Generator) -> Deviation:
    """A random direction at the edge of S: normal numbers, each group (or all, if joint) of length epsilon (AND Sec. 3.3).

    x: a picture of the batch's size, which noise of the kind "map" needs.
    """
    delta = {n: randn(v.shape, generator=generator, like=v) for n, v in _zeros(net, x, ball).items()}
    groups = net.groups()
    norms = ball.norms(delta, groups)
    total = sqrt(sum(v * v for v in norms.values()))
    return {name: delta[name] * (ball.epsilon / (total if ball.joint else norms[g])) for g in norms for name in groups[g]}


def ascend(
    net: NeuralDegradation,
    loss: Loss,
    x: Tensor,
    *,
    ball: Ball,
    steps: int = 5,
    step: float = 6.0,
    start: Mapping[str, Tensor] | None = None,
    draws: list[Tensor] | None = None,
    target: float | None = None,
    view: Callable[[Tensor], Tensor] | None = None,
) -> tuple[Deviation, list[float]]:
    """max over delta in S of loss(F(x; theta_id + delta)) by projected gradient ascent (AND Sec. 4.3: 5 steps of 6, epsilon 20).

    delta <- P_S(delta + step g / |g|), g the gradient in the ball's metric: of unit length in each group, or in all (joint).
    start: default 0 but for small noise amplitudes. target: each iterate is scaled until PSNR(y, t) is `target` dB
    (`match_strength`), so that directions are compared at one strength. view: y = view(F(x)), what is handed on, for example
    `neutral`. Returns the best delta met and the losses of start and iterates; the best is never below the start.
    ValueError for no steps or a step not above 0.
    """
    if steps < 1 or step <= 0:
        fail(f"steps={steps}, step={step}", "1 step or more, of a size above 0", "the paper has steps=5, step=6.0")
    groups = net.groups()

    def fit(delta: Mapping[str, Tensor]) -> Deviation:
        delta = ball_project(delta, ball, groups)
        return delta if target is None else match_strength(net, delta, x, target, draws=draws, view=view)

    delta = fit(_start(net, x, ball) if start is None else start)
    best, losses = delta, list[float]()
    for k in range(steps + 1):
        delta = {name: v.detach().requires_grad_() for name, v in delta.items()}
        y = deviated(net, delta, x, draws)
        value = loss(y if view is None else view(y))
        losses.append(float(value.detach()))
        if losses[-1] >= max(losses):
            best = delta
        if k < steps:
            gradient = dict(zip(delta, torch.autograd.grad(value, list(delta.values()), allow_unused=True), strict=True))
            delta = fit(_uphill(delta, gradient, ball, groups, step))
    return {name: v.detach() for name, v in best.items()}, losses


@torch.no_grad()
def match_strength(
    net: NeuralDegradation,
    delta: Mapping[str, Tensor],
    x: Tensor,
    target: float,
    *,
    draws: list[Tensor] | None = None,
    view: Callable[[Tensor], Tensor] | None = None,
    tol: float = 0.1,
) -> Deviation:
    """alpha delta with PSNR(y, t) = target dB to within tol, y = view(F(x; theta_id + alpha delta)), t = the ideal reduction.

    The PSNR falls by nearly 20 dB per decade of alpha while the deviation is small, faster where layers multiply: secants in
    log alpha, and the middle of the bracket every third time. PSNR over the whole batch and all colors, peak 1.
    ValueError if no alpha reaches the target.
    """
    t, at, ends = net.pool(x), 0.0, dict[bool, tuple[float, float]]()  # at: log10 alpha; ends: too weak (True), too strong
    for i in range(_TRIES):
        scaled = {n: 10**at * v for n, v in delta.items()}
        y = deviated(net, scaled, x, draws)
        gap = _decibels(y if view is None else view(y), t) - target
        if abs(gap) <= tol:
            return scaled
        ends[gap > 0] = (at, gap)
        if len(ends) < 2:
            at += min(max(gap, -20.0), 20.0) / 20
        else:
            (weak, above), (strong, below) = ends[True], ends[False]
            at = (weak + strong) / 2 if i % 3 == 2 else weak + (strong - weak) * above / (above - below)
    got, fix = f"a deviation that no scaling brings to {target:.1f} dB", "another direction, or a target of 15 to 45 dB"
    fail(got, "one that changes the picture", fix)
    raise AssertionError


def neutral(y: Tensor, t: Tensor, *, window: int = 1) -> Tensor:
    """y - (A - I) t - c: y without the color map t -> A t + c that explains most of it, so that casts do not count as damage.

    A (C, C), c (C): least squares over the pixels of one picture, on means over windows of `window` pixels. window=1: y - t has
    nothing left that an affine map of t's colors explains. Larger windows see casts only: a blur keeps its full strength,
    which a fit by pixels would partly take for a loss of contrast. Nothing is divided by A: an adversary would exploit it.
    y, t (B, C, h, w). Differentiable in y and t.
    """
    check_like(check_image(y, "y", t.shape[1]), t, "y", "t")
    ones = torch.ones_like(t[:, :1])
    coarse_t, coarse_e = (F.avg_pool2d(v, window, ceil_mode=True).flatten(2) for v in (torch.cat([t, ones], 1), y - t))
    # a faint ridge: a flat patch has no contrast to fit
    gram = coarse_t @ coarse_t.mT + 1e-4 * coarse_t.shape[-1] * torch.eye(coarse_t.shape[1]).to(t)
    fitted = torch.linalg.solve(gram, coarse_t @ coarse_e.mT).mT  # (A - I, c): (B, C, C + 1)
    return y - (fitted @ torch.cat([t, ones], 1).flatten(2)).view_as(y)


def minimax_step(
    G: nn.Module, optimizer: torch.optim.Optimizer, x: Tensor, degrader: Callable[..., Tensor], *, generator: torch.Generator
) -> tuple[float, Tensor]:
    """One step of AND Eq. 1 with the L1 loss: y = F(x) at the worst deviation found, then theta_G down the gradient of |G(y) - x|_1.

    Returns that loss (mean over pixels) and y. x (B, C, H, W) on G's device.
    """
    y = degrader(x, G, generator=generator)
    loss = (G(y) - x).abs().mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return float(loss.detach()), y


def fresh_identity(net: NeuralDegradation, x: Tensor, *, generator: torch.Generator) -> list[Tensor] | None:
    """Draw a new identity into `net` and, for noise amplitudes, the noise to be held fixed during one search."""
    identity_init(net, generator=check_generator(generator))
    return net.draw_noise(x, generator=generator) if net.noise == "amplitude" else None


def draw_strength(strength: tuple[float, float], generator: torch.Generator) -> float:
    """A target PSNR in dB, uniform between the two."""
    low, high = strength
    if not 5 <= low <= high <= 60:
        fail(f"strength={strength}", "5 <= low <= high <= 60 dB", "the shipped weights saw 22 to 42 dB")
    return float(uniform(low, high, generator=generator))


def _zeros(net: NeuralDegradation, x: Tensor, ball: Ball) -> Deviation:
    groups, parameters, zeros = net.groups(), dict(net.named_parameters()), dict[str, Tensor]()
    for name in (n for g in ball.factors for n in groups[g]):
        shape = list(parameters[name].shape)
        if net.noise == "map" and name in groups["noise"]:
            s = 1 if groups["noise"].index(name) < net.blocks[0] else net.scale
            shape = [x.shape[0], net.features, x.shape[-2] // s, x.shape[-1] // s]
        zeros[name] = x.new_zeros(shape)
    return zeros


def _start(net: NeuralDegradation, x: Tensor, ball: Ball) -> Deviation:
    first = FIRST_NOISE if net.noise == "amplitude" else 0.0
    return {n: v + first if n in net.groups()["noise"] else v for n, v in _zeros(net, x, ball).items()}


def _uphill(
    delta: Mapping[str, Tensor], gradient: Mapping[str, Tensor | None], ball: Ball, groups: Mapping[str, tuple[str, ...]], step: float
) -> Deviation:
    """delta + step g / |g| in the metric f_g |delta_g|: with u = f delta, the gradient in u is that in delta divided by f."""
    g = {n: torch.zeros_like(v) if (d := gradient[n]) is None else d for n, v in delta.items()}
    lengths = {k: sqrt(sum(float(g[n].square().sum()) for n in groups[k])) / f for k, f in ball.factors.items()}
    total = sqrt(sum(v * v for v in lengths.values()))
    moved: Deviation = {}
    for k, f in ball.factors.items():
        length = max(total if ball.joint else lengths[k], 1e-30)
        moved |= {n: (delta[n] + step * g[n] / (f * f * length)).detach() for n in groups[k]}
    return moved


def _decibels(y: Tensor, t: Tensor) -> float:
    return -10 * log10(max(float((y - t).detach().square().mean()), 1e-30))
