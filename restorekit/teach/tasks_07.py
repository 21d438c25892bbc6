"""The exercises of page 07: reference, known-wrong answers with the sentence each deserves, and three hints."""

from __future__ import annotations

import torch
from torch import Tensor

from .exercises import Exercise, exercise

QUIZ = [
    (
        "Which of the three parts can find a kernel without any other's help?",
        ["the noise map", "MLMC, and the A-step from a restored picture", "the trained prior"],
        1,
        "Section 8: the row `no mlmc` starts at A = I and still improves; the map and the prior know no kernel.",
    ),
    (
        "A run is killed in the middle of a table. What is lost?",
        ["all of it", "the cell that it was in", "nothing, not even that cell's work"],
        1,
        "A cell's numbers are moved into place as its last act; the next run computes only what has none.",
    ),
    (
        "Our PSNR is 4 dB below the printed one. What follows?",
        ["the paper is wrong", "our code is wrong", "nothing, before the protocols have been compared"],
        2,
        "Other pictures alone move a mean by more; `experiments compare` names the differences.",
    ),
]


def kernel_error() -> Exercise:
    """sqrt(sigma^2 + |(k - k') * x|^2 / N): noise and what the wrong kernel leaves are independent."""

    def solve(sigma: float, left: float) -> float:
        return float((sigma**2 + left**2) ** 0.5)

    return exercise(
        "noise that a wrong kernel adds",
        solve,
        cases=[(0.03, 0.04), (0.01, 0.02)],
        wrong={
            "Independent errors add as squares, not as standard deviations": lambda sigma, left: sigma + left,
            "That is the variance; its root is asked for": lambda sigma, left: sigma**2 + left**2,
            "The noise is still there beside what the kernel leaves": lambda sigma, left: left,
        },
        hints=[
            "y - k' * x = n + (k - k') * x. What is the mean square of a sum of independent parts?",
            "The mean squares add: sigma^2 + left^2.",
            "(sigma**2 + left**2) ** 0.5",
        ],
        tol=1e-9,
    )


def wins() -> Exercise:
    """(mean gain, its standard error, share of cases that gain)."""

    def solve(mine: Tensor, other: Tensor) -> tuple[float, float, float]:
        gain = mine - other
        return gain.mean().item(), (gain.std() / len(gain) ** 0.5).item(), (gain > 0).double().mean().item()

    def unpaired(mine: Tensor, other: Tensor) -> tuple[float, float, float]:
        error = (mine.var() / len(mine) + other.var() / len(other)) ** 0.5
        return (mine - other).mean().item(), error.item(), ((mine - other) > 0).double().mean().item()

    def spread(mine: Tensor, other: Tensor) -> tuple[float, float, float]:
        gain = mine - other
        return gain.mean().item(), gain.std().item(), (gain > 0).double().mean().item()

    def over_mean(mine: Tensor, other: Tensor) -> tuple[float, float, float]:
        gain = mine - other
        return gain.mean().item(), (gain.std() / len(gain) ** 0.5).item(), (mine > other.mean()).double().mean().item()

    g = torch.Generator().manual_seed(0)
    other = 24 + 3 * torch.randn(12, generator=g, dtype=torch.float64)
    mine = other + 0.5 + 0.4 * torch.randn(12, generator=g, dtype=torch.float64)
    return exercise(
        "a fair summary of twelve cases",
        solve,
        cases=[(mine, other)],
        wrong={
            "Pair first: a hard picture is hard for both, and that cancels": unpaired,
            "That is the spread of single cases; a mean of n has it divided by the root of n": spread,
            "A case wins against its own rival, not against the mean of all": over_mean,
        },
        hints=[
            "Which twelve numbers do all three answers come from?",
            "gain = mine - other, one number a case.",
            "gain.mean(), gain.std() / len(gain) ** 0.5, (gain > 0).double().mean()",
        ],
        tol=1e-9,
    )


def brightness() -> Exercise:
    """argmin over a of |a v - y|^2 = <v, y> / <v, v>: the A-step where A is one number."""

    def solve(v: Tensor, y: Tensor) -> float:
        return ((v * y).sum() / (v * v).sum()).item()

    g = torch.Generator().manual_seed(1)
    v = torch.rand(1, 1, 6, 6, generator=g, dtype=torch.float64)
    y = 0.7 * v + 0.05 * torch.randn(1, 1, 6, 6, generator=g, dtype=torch.float64)
    return exercise(
        "an A-step for one number",
        solve,
        cases=[(v, y), (y, v)],
        wrong={
            "A ratio of means lets dark pixels weigh as much as bright ones": lambda v, y: (y.mean() / v.mean()).item(),
            "That fits v to y / a: the squares are of y": lambda v, y: ((y * y).sum() / (v * y).sum()).item(),
            "A mean of ratios is ruled by the darkest pixels": lambda v, y: (y / v).mean().item(),
        },
        hints=[
            "Write |a v - y|^2 as a parabola in a.",
            "Its derivative, 2 <v, a v - y>, is zero at the minimum.",
            "(v * y).sum() / (v * v).sum()",
        ],
        tol=1e-9,
    )
