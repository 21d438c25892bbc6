"""The exercises of page 04b: reference, known-wrong answers with the sentence each deserves, and three hints."""

from __future__ import annotations

import torch
from torch import Tensor

from .exercises import Exercise, exercise

QUIZ = [
    (
        "A restorer prepared for the worst case meets clean input. What happens?",
        ["it does best there", "it pays a premium: something is lost", "nothing: robustness costs nothing in use"],
        1,
        "Section 2: the worst-case gain has the largest loss at zero noise.",
    ),
    (
        "A search of five steps passes through F and G. What makes it cheap?",
        ["a small G", "an F that is small beside G", "a large batch"],
        1,
        "Section 4.3: the factor is 1 + K (1 + c_F / c_G), at least 1 + K.",
    ),
    (
        "A net holds against the strongest attack that was found. What is proved?",
        ["it holds against all", "it holds against this attack; a stronger one may exist", "it holds on average"],
        1,
        "An attack found is an upper bound of the worst case's quality.",
    ),
]


def ball_gain() -> Exercise:
    """argmin over g of max over u^2 + s^2 <= eps^2 of (1 - g (1 - u))^2 + g^2 s^2 = (|1 - g| + g eps)^2: g = 1 for eps < 1."""
    eps = 0.5
    return exercise(
        "a gain against fading and noise",
        1.0,
        wrong={
            "That is the average case, with all directions of the circle equally likely": 1 / (1 + eps**2),
            "That would be right if the adversary could only add noise of variance eps": 1 / (1 + eps),
            "Brighter than the truth: now the adversary brightens too": 1 / (1 - eps),
        },
        hints=[
            "For a fixed gain below 1: does the adversary rather fade or add noise?",
            "Write L = (1 - g)^2 + 2 g (1 - g) u + g^2 (u^2 + s^2). On the circle the last term is constant.",
            "For g < 1 the worst is u = eps: L = (1 - g + g eps)^2 falls with g; for g > 1 it is u = -eps, and L grows. The kink is at 1.",
        ],
        tol=1e-6,
    )


def two_gains() -> Exercise:
    """v / (v + mean variance) and v / (v + largest variance)."""

    def solve(v: float, low: float, high: float) -> tuple[float, float]:
        return v / (v + (low + high) / 2), v / (v + high)

    return exercise(
        "average and worst case on an interval",
        solve,
        cases=[(1.0, 0.0, 2.0), (4.0, 1.0, 3.0)],
        wrong={
            "The order: average first, worst second": lambda v, low, high: solve(v, low, high)[::-1],
            "Half the highest variance is the mean only where the lowest is 0": lambda v, low, high: (v / (v + high / 2), v / (v + high)),
            "The worst is the largest variance, not the smallest": lambda v, low, high: (v / (v + (low + high) / 2), v / (v + low)),
            "The signal's variance belongs into the numerator too": lambda v, low, high: (1 / (v + (low + high) / 2), 1 / (v + high)),
        },
        hints=[
            "L(g, s2) = v (1 - g)^2 + g^2 s2. Which g makes it least for one s2?",
            "g = v / (v + s2). L is linear in s2: its mean is L at the mean variance.",
            "Average: s2 = (low + high) / 2. Worst: s2 = high.",
        ],
        tol=1e-9,
    )


def cost_factor() -> Exercise:
    """1 + (1 - clean) K (1 + f)."""

    def solve(K: int, f: float, clean: float) -> float:
        return 1 + (1 - clean) * K * (1 + f)

    return exercise(
        "cost with a clean share",
        solve,
        cases=[(5, 0.1, 0.0), (5, 0.5, 0.25), (2, 3.0, 0.5)],
        wrong={
            "The restorer's own step comes on top of the search": lambda K, f, clean: (1 - clean) * K * (1 + f),
            "Each step of the search passes through G as well as F": lambda K, f, clean: 1 + (1 - clean) * K * f,
            "Clean crops need no search, but the restorer still learns from them": lambda K, f, clean: (1 - clean) * (1 + K * (1 + f)),
            "Only the crops that are attacked pay for the search": lambda K, f, clean: 1 + K * (1 + f),
        },
        hints=[
            "One plain step for the whole batch, then what the search adds, for part of it.",
            "A step of the search costs (c_G + c_F) / c_G = 1 + f plain steps.",
            "1 + (1 - clean) * K * (1 + f).",
        ],
        tol=1e-9,
    )


def picture_margin() -> Exercise:
    """Mean over pictures of the mean gap over degradations, and its standard error over pictures."""

    def solve(a: Tensor, b: Tensor) -> tuple[float, float]:
        gap = (a - b).mean(1)
        return gap.mean().item(), (gap.std() / len(gap) ** 0.5).item()

    def all_alike(a: Tensor, b: Tensor) -> tuple[float, float]:
        gap = (a - b).flatten()
        return gap.mean().item(), (gap.std() / len(gap) ** 0.5).item()

    def not_paired(a: Tensor, b: Tensor) -> tuple[float, float]:
        spread = (a.mean(1).var() / len(a) + b.mean(1).var() / len(b)) ** 0.5
        return (a.mean() - b.mean()).item(), spread.item()

    def plain_std(a: Tensor, b: Tensor) -> tuple[float, float]:
        gap = (a - b).mean(1)
        return gap.mean().item(), gap.std().item()

    g = torch.Generator().manual_seed(0)
    hard = 3 * torch.randn(6, 1, generator=g, dtype=torch.float64)  # some pictures are harder for all
    a, b = (28 + hard + torch.randn(6, 4, generator=g, dtype=torch.float64) for _ in "ab")
    return exercise(
        "a margin over pictures",
        solve,
        cases=[(a + 0.5, b)],
        wrong={
            "Degradations of one picture are no independent pictures: average over them first": all_alike,
            "Pair first: a hard picture is hard for both, and that cancels": not_paired,
            "That is the spread of single pictures; a mean of n has it divided by the root of n": plain_std,
        },
        hints=[
            "Which numbers are independent of each other: scores, pictures or degradations?",
            "One gap a picture: the mean over its degradations of a - b.",
            "gap = (a - b).mean(1); return gap.mean(), gap.std() / sqrt(len(gap)).",
        ],
        tol=1e-9,
    )


def scaling() -> Exercise:
    """10^((p - target) / 20)."""

    def solve(p: float, target: float) -> float:
        return 10 ** ((p - target) / 20)

    return exercise(
        "to a wanted strength",
        solve,
        cases=[(32.0, 26.0), (20.0, 30.0)],
        wrong={
            "PSNR counts squared errors: 20, not 10, under the fraction": lambda p, t: 10 ** ((p - t) / 10),
            "The wrong way: a lower PSNR means a longer deviation": lambda p, t: 10 ** ((t - p) / 20),
            "Decibels are logarithms; a ratio of PSNRs is no ratio of lengths": lambda p, t: p / t,
        },
        hints=[
            "By which factor does the error grow when PSNR falls by 20 dB?",
            "PSNR = -20 log10(root of the mean squared error): 20 dB are a factor of 10.",
            "10 ** ((p - target) / 20).",
        ],
        tol=1e-8,
    )
