"""The exercises of page 05b: reference, known-wrong answers with the sentence each deserves, and three hints."""

from __future__ import annotations

from math import log

import torch
from torch import Tensor

from .exercises import Exercise, exercise

QUIZ = [
    (
        "A proxy reads the rain map off the rainy picture and hands it to the restorer. Which information has the restorer gained?",
        ["where it rains, which the picture does not tell", "none: the map is a function of the picture", "the picture without rain"],
        1,
        "What helps, if anything does, is what the proxy was taught, not what it saw.",
    ),
    (
        "A wall is as white as the airlight. What does the dark channel prior make of it?",
        ["thick haze, and takes too much away", "clear air", "it leaves white things alone"],
        0,
        "Section 6.2: without one dark pixel in the window, the wall's own white counts as haze.",
    ),
    (
        "The haze is twice as dense. How many times as large are the errors of rounding where only t = 0.1 was left, after dividing by t?",
        ["2", "10", "100"],
        1,
        "There t falls from 0.1 to 0.01, so 1 / t grows from 10 to 100.",
    ),
]


def _draw(*shape: int, seed: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def half_distance() -> Exercise:
    """ln 2 / 0.2: where t = exp(-0.2 d) is one half."""
    return exercise(
        "where half of the light is left",
        log(2) / 0.2,
        wrong={
            "That is 0.5 / beta; t falls exponentially, so a logarithm is needed": 0.5 / 0.2,
            "Divide by beta: the denser the haze, the nearer": log(2) * 0.2,
            "Distances are positive: exp(-beta d) already has the minus sign": -log(2) / 0.2,
        },
        hints=["Set t = exp(-beta d) to 1/2.", "-beta d = ln(1/2) = -ln 2.", "d = ln 2 / 0.2."],
        tol=1e-3,
    )


def region() -> Exercise:
    """1 where some color of y exceeds x by more than tau, (B, 1, H, W)."""

    def solve(y: Tensor, x: Tensor, tau: float) -> Tensor:
        return ((y - x).amax(1, keepdim=True) > tau).to(y)

    x = 0.8 * _draw(1, 3, 6, 6, seed=1)
    rain = 0.3 * _draw(1, 1, 6, 6, seed=2) * (_draw(1, 1, 6, 6, seed=3) < 0.5)
    clipped = (x + rain).clamp(max=0.95)
    clipped[..., 0, :2] -= 0.2  # something that is darker than the truth is no rain
    return exercise(
        "the region from a pair",
        solve,
        cases=[(clipped, x, 0.05), (x + rain, x, 0.2)],
        wrong={
            "Rain adds light: where y is darker than x it does not rain": lambda y, x, tau: ((y - x).abs().amax(1, keepdim=True) > tau).to(
                y
            ),
            "One map for all colors is wanted, (B, 1, H, W)": lambda y, x, tau: (y - x > tau).to(y),
            "Clipping hides rain in a bright color, so the mean is too small: one color is enough": lambda y, x, tau: (
                (y - x).mean(1, keepdim=True) > tau
            ).to(y),
            "Above the threshold it rains, not below": lambda y, x, tau: ((y - x).amax(1, keepdim=True) <= tau).to(y),
        },
        hints=[
            "What does rain do to a pixel, and in how many of its colors must it show?",
            "Largest difference over the colors, then compare with tau.",
            "((y - x).amax(1, keepdim=True) > tau).to(y).",
        ],
        tol=1e-9,
    )


def memory() -> Exercise:
    """(h, c) of an LSTM from its four gates before their functions."""

    def solve(i: Tensor, f: Tensor, g: Tensor, o: Tensor, c: Tensor) -> Tensor:
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        return torch.stack([o.sigmoid() * c.tanh(), c])

    def swapped(i: Tensor, f: Tensor, g: Tensor, o: Tensor, c: Tensor) -> Tensor:
        return solve(f, i, g, o, c)

    def no_tanh(i: Tensor, f: Tensor, g: Tensor, o: Tensor, c: Tensor) -> Tensor:
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        return torch.stack([o.sigmoid() * c, c])

    def old(i: Tensor, f: Tensor, g: Tensor, o: Tensor, c: Tensor) -> Tensor:
        new = f.sigmoid() * c + i.sigmoid() * g.tanh()
        return torch.stack([o.sigmoid() * c.tanh(), new])

    def gated(i: Tensor, f: Tensor, g: Tensor, o: Tensor, c: Tensor) -> Tensor:
        c = f.sigmoid() * c + i.sigmoid() * g.sigmoid()
        return torch.stack([o.sigmoid() * c.tanh(), c])

    case = tuple(4 * _draw(1, 2, 3, 3, seed=s) - 2 for s in range(5))
    return exercise(
        "one step of the memory",
        solve,
        cases=[case],
        wrong={
            "f keeps the old memory and i lets the new in; you have them the other way round": swapped,
            "h = o tanh(c): the memory passes through tanh before it is shown": no_tanh,
            "h shows the new memory, not the old one": old,
            "g is what is written, between -1 and 1: tanh, not a gate": gated,
        },
        hints=[
            "Three of the four are gates between 0 and 1; one is a proposal between -1 and 1.",
            "First the new c from f, the old c, i and g; then h from o and the new c.",
            "c = sigmoid(f) c + sigmoid(i) tanh(g); h = sigmoid(o) tanh(c).",
        ],
        tol=1e-9,
    )


def clear() -> Exercise:
    """(y - A) / max(t, floor) + A."""

    def solve(y: Tensor, t: Tensor, A: float, floor: float) -> Tensor:
        return (y - A) / t.clamp(min=floor) + A

    y, t = _draw(1, 3, 5, 5, seed=1), _draw(1, 1, 5, 5, seed=2)
    return exercise(
        "haze undone, with a floor",
        solve,
        cases=[(y, t, 0.9, 0.3), (y, t, 0.7, 0.1)],
        wrong={
            "Where t is small you divide by nearly nothing: t must not fall below the floor": lambda y, t, A, floor: (y - A) / t + A,
            "Add A again at the end: y - A = t (x - A)": lambda y, t, A, floor: (y - A) / t.clamp(min=floor),
            "The airlight is added in the haze, so take it away before dividing": lambda y, t, A, floor: y / t.clamp(min=floor),
            "The floor is the smallest t, not the largest": lambda y, t, A, floor: (y - A) / t.clamp(max=floor) + A,
        },
        hints=[
            "Solve y = t x + (1 - t) A for x.",
            "y - A = t (x - A).",
            "(y - A) / t.clamp(min=floor) + A.",
        ],
        tol=1e-9,
    )
