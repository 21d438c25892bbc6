"""The exercises of page 02: reference, known-wrong answers with the sentence each deserves, and three hints."""

from __future__ import annotations

from math import exp
from typing import Any

import torch
from torch import Tensor

from .._random import rand, randn
from ..samplers import rhat
from .exercises import Exercise, exercise

QUIZ = [
    (
        "MCKA draws new kernels in each step and weighs them. Why is that no Markov chain over kernels?",
        ["it draws too few", "no draw depends on an earlier one, and none is accepted or rejected", "the weights do not sum to 1"],
        1,
        "Independent draws with weights are importance sampling. What remembers is the network.",
    ),
    (
        "All chains agree, R-hat is 1.00, and the kernel is wrong. What do you suspect?",
        ["the chains are too short", "the proposal is too wide", "the density: picture or noise level are wrong"],
        2,
        "Diagnostics say whether the chain samples its density, not whether the density is the right one.",
    ),
    (
        "Which noise makes gradient steps of size h/2 sample from p?",
        ["white noise of variance h", "any noise of mean zero", "random targets drawn from a prior"],
        0,
        "Other noise has another stationary distribution; random targets also pull.",
    ),
]


def downhill() -> Exercise:
    """The acceptance probability of a step from log p = -3 to log p = -5."""
    return exercise(
        "a step downhill",
        exp(-2),
        cases=(),
        wrong={
            "A step downhill is not always refused: a chain that only climbs finds a maximum, it does not sample": 0.0,
            "A step downhill is not always taken; then all kernels would be equally probable": 1.0,
            "That is the density at the new point; only the ratio of the two densities counts": exp(-5),
            "Upside down: new over old, and at most 1": exp(2),
        },
        hints=[
            "Accept with probability min(1, p(new) / p(old)).",
            "The ratio of two densities is the exponential of the difference of their logarithms.",
            "exp(-5 - (-3)).",
        ],
        tol=2e-3,
    )


def acceptance() -> Exercise:
    """Which of several proposals are accepted, from log densities and uniform numbers."""
    generator = torch.Generator().manual_seed(1)
    old, new = (3 * randn((64,), generator=generator).double() for _ in range(2))
    u = rand((64,), generator=generator).double()

    def rule(new: Tensor, old: Tensor, u: Tensor) -> Tensor:
        return u.log() < new - old

    return exercise(
        "the acceptance rule",
        lambda new, old, u: rule(new, old, u).double(),
        cases=[(new, old, u), (new - 900, old - 900, u)],
        wrong={
            "This climbs only: a worse proposal must be taken with probability p(new) / p(old)": lambda n, o, u: (n > o).double(),
            "Upside down: the ratio is new over old": lambda n, o, u: rule(o, n, u).double(),
            "You compare u itself with a difference of logarithms: take its logarithm first": lambda n, o, u: (u < n - o).double(),
            "exp underflows for small log densities: subtract the logarithms before you exponentiate": lambda n, o, u: (
                u * o.exp() < n.exp()
            ).double(),
        },
        hints=[
            "Accept if u < p(new) / p(old), u uniform in [0, 1).",
            "Both sides may underflow. Take the logarithm of both.",
            "return u.log() < new - old",
        ],
        check=None,
    )


def log_weights() -> Exercise:
    """Posterior weights exp(-nu / 2 sigma^2), normalised, for misfits at which exp underflows."""
    nu = 2 + rand((12,), generator=torch.Generator().manual_seed(2)).double()

    def not_a_number(answer: Any) -> str | None:
        w = torch.as_tensor(answer(100 * nu, 0.1))
        return "0 / 0: every exp(...) underflows to zero, so subtract the smallest misfit first" if w.isnan().any() else None

    def naive(nu: Tensor, sigma: float) -> Tensor:
        w = (-nu / (2 * sigma**2)).exp()
        return w / w.sum()

    def soft(nu: Tensor, scale: float) -> Tensor:
        return torch.softmax(-nu / scale, 0)

    return exercise(
        "weights that do not underflow",
        lambda nu, sigma: soft(nu, 2 * sigma**2),
        cases=[(nu, 0.5), (100 * nu, 0.1)],
        wrong={
            "0 / 0: every exp(...) underflows to zero, so subtract the smallest misfit first": naive,
            "The 2 of 2 sigma^2 is missing": lambda nu, sigma: soft(nu, sigma**2),
            "sigma is a standard deviation: square it": lambda nu, sigma: soft(nu, 2 * sigma),
            "These are the weights 1/nu of MLMC Eq. 21, not the posterior's": lambda nu, sigma: (1 / nu) / (1 / nu).sum(),
            "The weights do not sum to 1": lambda nu, sigma: ((nu.min() - nu) / (2 * sigma**2)).exp(),
        },
        hints=[
            "What is exp(-2000) in double precision, and what is the sum of twelve of them?",
            "A factor that all weights share cancels when you normalize: exp(-(nu - nu.min()) / (2 sigma^2)).",
            "torch.softmax(-nu / (2 * sigma**2), 0) does exactly that.",
        ],
        check=not_a_number,
    )


def step_for_bias() -> Exercise:
    """The largest step h with which ULA's std on N(0, v) is at most a share `excess` too large: 4 v (1 - (1 + excess)^-2)."""

    def h(v: float, excess: float, power: float = 2.0) -> float:
        return 4 * v * (1 - (1 + excess) ** -power)

    return exercise(
        "how long a step may be",
        h,
        cases=[(1.0, 0.05), (0.3, 0.2), (4.0, 0.01)],
        wrong={
            "The excess is that of the std, the formula gives the variance: square": lambda v, excess: h(v, excess, 1.0),
            "The step has to shrink with the variance: v is missing": lambda v, excess: h(1.0, excess),
            "That is a factor 4 off: the variance is v / (1 - h / (4 v))": lambda v, excess: h(v, excess) / 4,
            "At this h the chain is about to diverge: it is the limit of stability, not of the bias": lambda v, excess: 4 * v,
        },
        hints=[
            "Section 7 has the variance of the chain: v / (1 - h / (4 v)).",
            "std too large by a share e means: variance too large by (1 + e)^2.",
            "Solve v / (1 - h / (4 v)) = v (1 + e)^2 for h.",
        ],
        tol=1e-6,
    )


def split_rhat() -> Exercise:
    """Split R-hat of chains (steps, n)."""
    generator = torch.Generator().manual_seed(3)
    stuck = 0.3 * randn((40, 4), generator=generator).double() + torch.tensor([0.0, 0.0, 1.0, 1.0])
    drift = randn((40, 4), generator=generator).double() + torch.linspace(0, 4, 40).double()[:, None]

    def ratio(x: Tensor, between: float = 1.0, correction: int = 1) -> Tensor:
        n, within = x.shape[0], x.var(0, correction=correction).mean()
        return ((n - 1) / n + between * x.mean(0).var() / within).sqrt()

    def halves(x: Tensor) -> Tensor:
        return torch.cat([x[: len(x) // 2], x[len(x) // 2 :]], 1)

    return exercise(
        "R-hat",
        lambda x: rhat(x),
        cases=[(stuck,), (drift,)],
        wrong={
            "The chains are not split: chains that drift together agree with each other, their halves do not": lambda x: ratio(x),
            "The root is missing": lambda x: ratio(halves(x)) ** 2,
            "Do not multiply the variance of the means by the number of steps: it is compared with one sample's": lambda x: ratio(
                halves(x), between=20.0
            ),
            "(n - 1)/n counts the steps of a half, and var divides by n - 1": lambda x: ratio(halves(x), correction=0),
        },
        hints=[
            "Cut each chain in two and treat the halves as chains: torch.cat([x[:half], x[half:]], 1).",
            "within = x.var(0).mean(), between = x.mean(0).var(), n = steps in a half.",
            "((n - 1) / n + between / within).sqrt()",
        ],
        tol=1e-6,
    )
