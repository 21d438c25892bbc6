"""What a restorer is trained against: y = degrader(x, G, generator=g). The rows of AND Table 2, and random pipelines.

x (B, C, H, W) sharp, in [0, 1], sides divisible by the scale; y (B, C, H/s, W/s) on the grid of `bicubic`, without gradient.
G is the restorer in training; only adversaries look at it. loss(y) replaces what they maximize, by default |G(y) - x|_1.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from .._check import check_choice, check_image, fail
from .._random import randn
from ..nets.degradation_net import NeuralDegradation, xavier_init
from .adversarial import (
    Ball,
    Loss,
    ascend,
    deviated,
    draw_strength,
    fresh_identity,
    match_strength,
    neutral,
    random_deviation,
)
from .baselines.bicubic import bicubic_downsample

# at one length, noise amplitudes change a picture far more than convolution weights do, slopes less; so weighted, both show
BALANCED = {"conv": 1.0, "noise": 10.0, "slope": 0.5}

STRENGTH = (22.0, 42.0)  # dB: from plainly visible to hardly


class Degrader(Protocol):
    def __call__(self, x: Tensor, G: nn.Module | None, *, generator: torch.Generator, loss: Loss | None = None) -> Tensor: ...


@dataclass(frozen=True)
class Neural:
    """What the neural degraders share: the net's size, the ball S, the strength. Each call draws a fresh identity.

    strength: PSNR of y against the ideal reduction, in dB, uniform in (low, high); None: whatever the ball gives.
    window: of `neutral`; None leaves color casts in.
    """

    scale: int = 2
    channels: int = 3
    features: int = 32
    blocks: tuple[int, int] = (2, 2)
    pool: str = "bicubic"
    noise: str = "amplitude"
    ball: Ball = field(default_factory=lambda: Ball(1.0, joint=False, factors=BALANCED))
    strength: tuple[float, float] | None = STRENGTH
    window: int | None = 4

    def net(self, x: Tensor) -> NeuralDegradation:
        """F, ready for an identity."""
        net = NeuralDegradation(
            self.scale, channels=self.channels, features=self.features, blocks=self.blocks, pool=self.pool, noise=self.noise
        )
        return net.to(x).requires_grad_(False)

    def view(self, t: Tensor) -> Callable[[Tensor], Tensor] | None:
        """What is done to F(x) before it is handed on."""
        return None if self.window is None else lambda y: neutral(y, t, window=self.window or 1)


@dataclass(frozen=True)
class Random(Neural):
    """y = F(x; theta_id + delta), delta a random direction (AND Sec. 3.3, first way)."""

    @torch.no_grad()
    def __call__(self, x: Tensor, G: nn.Module | None, *, generator: torch.Generator, loss: Loss | None = None) -> Tensor:
        net = self.net(x)
        draws = fresh_identity(net, x, generator=generator)
        view = self.view(net.pool(x))
        delta = random_deviation(net, x, self.ball, generator=generator)
        if self.strength:
            target = draw_strength(self.strength, generator)
            delta = match_strength(net, delta, x, target, draws=draws, view=view)
        y = deviated(net, delta, x, draws)
        return y if view is None else view(y)


@dataclass(frozen=True)
class Adversarial(Neural):
    """y = F(x; theta_id + delta), delta the worst that `ascend` finds from a random direction (AND Sec. 3.3, second way).

    steps, step: of the ascent. Without a strength it starts at the identity itself, as printed. watched: the search looks at the
    first so many pictures of the batch only, which costs less; the deviation and its strength then hold for all.
    """

    steps: int = 3
    step: float = 1.0
    watched: int | None = None

    def __call__(self, x: Tensor, G: nn.Module | None, *, generator: torch.Generator, loss: Loss | None = None) -> Tensor:
        net = self.net(x)
        draws = fresh_identity(net, x, generator=generator)
        target = draw_strength(self.strength, generator) if self.strength else None
        seen = x if loss or self.watched is None or self.noise == "map" else x[: self.watched]
        delta, _ = ascend(
            net,
            loss or against(G, seen),
            seen,
            ball=self.ball,
            steps=self.steps,
            step=self.step,
            start=random_deviation(net, seen, self.ball, generator=generator) if target else None,
            draws=draws and [n[: len(seen)] for n in draws],
            target=target,
            view=self.view(net.pool(seen)),
        )
        with torch.no_grad():
            view = self.view(net.pool(x))
            if target and seen is not x:
                delta = match_strength(net, delta, x, target, draws=draws, view=view)
            y = deviated(net, delta, x, draws)
            return y if view is None else view(y)


@dataclass(frozen=True)
class RandomInit(Neural):
    """y = F(x; theta), theta random, far from any identity: the ablation "severe random style shift" of AND Table 2."""

    @torch.no_grad()
    def __call__(self, x: Tensor, G: nn.Module | None, *, generator: torch.Generator, loss: Loss | None = None) -> Tensor:
        return xavier_init(self.net(x), generator=generator)(x)


@dataclass(frozen=True)
class Classical:
    """y = the bicubic reduction of x and nothing else; x itself at scale 1."""

    scale: int = 2

    def __call__(self, x: Tensor, G: nn.Module | None, *, generator: torch.Generator, loss: Loss | None = None) -> Tensor:
        return x if self.scale == 1 else bicubic_downsample(x, self.scale)


@dataclass(frozen=True)
class AdversarialNoise:
    """y = t + e, t the bicubic reduction, e the noise that hurts most: projected gradient in a sphere of the drawn strength.

    Adversarial noise training (AND Table 2): each picture has its own e, |e| is held at the drawn PSNR, `steps` steps of
    `step` |e| along the unit gradient from a random e.
    """

    scale: int = 2
    strength: tuple[float, float] = STRENGTH
    steps: int = 3
    step: float = 1.0

    def __call__(self, x: Tensor, G: nn.Module | None, *, generator: torch.Generator, loss: Loss | None = None) -> Tensor:
        t = Classical(self.scale)(x, G, generator=generator)
        size = 10 ** (-draw_strength(self.strength, generator) / 20) * t[0].numel() ** 0.5
        e, loss = _of_length(randn(t.shape, generator=generator, like=t), size), loss or against(G, x)
        for _ in range(self.steps):
            e.requires_grad_()
            (g,) = torch.autograd.grad(loss(t + e), e)
            e = _of_length(e.detach() + _of_length(g, self.step * size), size)
        return t + e


def against(G: nn.Module | None, x: Tensor) -> Loss:
    """y -> |G(y) - x|_1, the mean over pixels."""
    if G is None:
        fail("no restorer G", "the net in training", "an adversary needs one: degrader(x, G, generator=g), or a loss")
    restore: nn.Module = G  # type: ignore[assignment]
    return lambda y: (restore(y) - x).abs().mean()


def make_degrader(name: str, scale: int, channels: int = 3, **settings: Any) -> Degrader:
    """A degrader by its name in the tables; settings replace fields of its class.

    classical; noise (adversarial additive); random_literal (small random numbers in all parameters, casts included); random
    (color-neutral, strength drawn); random_init (no identity); pipeline (blur, noise, JPEG in random order); adversarial.
    """
    from .pipeline import RandomPipeline

    literal = {"window": None, "ball": Ball(0.6, joint=True, factors=BALANCED)}
    made: dict[str, Callable[[], Degrader]] = {
        "classical": lambda: Classical(scale, **settings),
        "noise": lambda: AdversarialNoise(scale, **settings),
        "random_literal": lambda: Random(scale, channels, **{**literal, **settings}),
        "random": lambda: Random(scale, channels, **settings),
        "random_init": lambda: RandomInit(scale, channels, **settings),
        "pipeline": lambda: RandomPipeline(scale, **settings),
        "adversarial": lambda: Adversarial(scale, channels, **settings),
    }
    check_choice(name, made, "degrader")
    return made[name]()


def random_degradation(
    x: Tensor, scale: int = 1, *, strength: float | tuple[float, float] = STRENGTH, generator: torch.Generator, features: int = 32
) -> Tensor:
    """y = F(x; theta_id + delta): a fresh identity and a random, color-neutral deviation of a drawn strength.

    strength: PSNR of y against the ideal reduction in dB, or (low, high) drawn uniformly, one draw for the batch.
    x (B, C, H, W) in [0, 1], sides divisible by scale -> (B, C, H/scale, W/scale), on the grid of `bicubic`.
    """
    low, high = strength if isinstance(strength, tuple) else (strength, strength)
    return make_degrader("random", scale, check_image(x).shape[1], features=features, strength=(low, high))(x, None, generator=generator)


def _of_length(v: Tensor, length: float) -> Tensor:
    """Each picture of v scaled to this Euclidean length."""
    return v * (length / v.flatten(1).norm(dim=1).clamp_min(1e-30))[:, None, None, None]
