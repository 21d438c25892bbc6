"""The exercises of page 03: reference, known-wrong answers with the sentence each deserves, and three hints."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from .exercises import Exercise, exercise

Scalar = Callable[[Tensor, Tensor], Tensor]
QUIZ = [
    (
        "The misfit of a blind method is zero. What do you know about its kernel?",
        ["it is right", "nothing: a picture that fits can be found for many kernels", "it is too narrow"],
        1,
        "Section 2: after one round the fit is perfect and the kernel has hardly moved.",
    ),
    (
        "For which P are the first-order and the unrolled meta-gradient the same?",
        ["P = 1", "P = 5", "never"],
        0,
        "With one step no picture depends on the kernel yet; they meet again where the picture has converged.",
    ),
    (
        "A softmax kernel net has put all its weight on one tap. What does its next Adam step do?",
        ["it spreads the weight", "almost nothing: the softmax has no slope there", "it makes the kernel negative"],
        1,
        "The derivative of a tap k is k (1 - k): zero at both ends.",
    ),
]


def contraction() -> Exercise:
    """The error of k after three rounds of alternation near the truth, from 0.1, at lam = 0.25: 0.1 / 1.25^3."""
    return exercise(
        "three rounds of alternation",
        0.0512,
        wrong={
            "The factor is 1 / (1 + lam), not 1 - lam": 0.1 * 0.75**3,
            "Each round multiplies; the rounds do not add up under one fraction": 0.1 / 1.75,
            "A small lam means a slow method: the factor is close to 1, not close to lam": 0.1 * 0.25**3,
            "That is after two rounds": 0.064,
        },
        hints=[
            "Section 2 measured by which factor one round shrinks the error. Which lam belongs to it?",
            "The factor of one round is 1 / (1 + lam) near the truth.",
            "0.1 / 1.25 / 1.25 / 1.25.",
        ],
        tol=1e-4,
    )


def unrolled() -> Exercise:
    """dM/dk through P gradient steps on x, by automatic differentiation."""
    target = torch.tensor([1.0, -0.5, 2.0], dtype=torch.float64)

    def loss(x: Tensor, k: Tensor) -> Tensor:
        return ((target - k * x).square()).sum() + 0.1 * x.square().sum()

    def solve(
        loss: Scalar, x: Tensor, k: Tensor, steps: int, eta: float, *, cut: bool = False, weight: str = "mean", late: int = 0
    ) -> Tensor:
        x, k = x.clone().requires_grad_(), k.clone().requires_grad_()
        terms = []
        for _ in range(steps + late):
            terms.append(loss(x, k))
            (slope,) = torch.autograd.grad(terms[-1], x, create_graph=True)
            x = x - eta * slope
            if cut:
                x = x.detach().requires_grad_()
        kept = terms[late:]
        total = {"mean": torch.stack(kept).mean(), "sum": torch.stack(kept).sum(), "last": kept[-1]}[weight]
        return torch.autograd.grad(total, k)[0]

    x0, k0 = torch.tensor([0.3, 1.0, 0.7], dtype=torch.float64), torch.tensor([0.8, 0.4, -0.6], dtype=torch.float64)
    return exercise(
        "the unrolled meta-gradient",
        solve,
        cases=[(loss, x0, k0, 4, 0.1), (loss, 2 * x0, k0, 2, 0.2)],
        wrong={
            "This is the first-order gradient: the path through x is cut, ask for create_graph=True and do not detach": lambda *a: solve(
                *a, cut=True
            ),
            "Eq. 28 has the mean of the P losses, not their sum": lambda *a: solve(*a, weight="sum"),
            "Only the last loss counts here: the meta-loss is the mean of all P": lambda *a: solve(*a, weight="last"),
            "You stepped before the first loss: x^1 is the picture as it came": lambda *a: solve(*a, late=1),
        },
        hints=[
            "Keep k attached to the graph through all P steps; autograd does the rest.",
            "The slope of the picture's step must itself be differentiable: torch.autograd.grad(..., x, create_graph=True).",
            "In a loop of P: add loss(x, k) / P to a total, take the slope of that loss at x, x = x - eta * slope. Last: grad(total, k).",
        ],
        tol=1e-8,
    )


def data_slope() -> Exercise:
    """The derivative of |r|^2 / sigma^2 by r with sigma^2 = mean r^2 held constant: 2 r / mean r^2."""
    r = torch.tensor([0.5, -1.0, 0.25, 2.0], dtype=torch.float64)

    def slope(r: Tensor) -> Tensor:
        return 2 * r / r.square().mean()

    return exercise(
        "slope of the data term",
        slope,
        cases=[(r,), (0.1 * r.flip(0),)],
        wrong={
            "This is zero everywhere: the variance was differentiated too, and the two cancel": lambda r: 0 * r,
            "The variance is missing: it scales the slope even though it has none of its own": lambda r: 2 * r,
            "sigma^2 is the mean of r^2, not its sum": lambda r: 2 * r / r.square().sum(),
            "Divide by the variance, not by the standard deviation": lambda r: 2 * r / r.square().mean().sqrt(),
        },
        hints=[
            "Which of the two factors of |r|^2 / sigma^2 may move when r does?",
            "sigma^2 is a number that was measured before: treat it as one.",
            "The slope of |r|^2 is 2 r; divide it by r.square().mean().",
        ],
        tol=1e-8,
    )


def weighted() -> Exercise:
    """First-order meta-gradient of the toy with weights omega^p: sum_p w_p (-x^p (y - k x^p)) / P."""

    def solve(k: float, x: float, weights: Sequence[float], eta: float, *, backwards: bool = False, share: bool = False) -> float:
        order = list(reversed(weights)) if backwards else list(weights)
        y, prior_x, lam, total = 1.0, 1.0, 0.001, 0.0
        for w in order:
            total += w * -x * (y - k * x)
            x = x - eta * (-k * (y - k * x) + lam * (x - prior_x))
        return total / (sum(weights) if share else len(weights))

    return exercise(
        "weights on the picture's steps",
        solve,
        cases=[(0.4, 1.0, [1.0, 0.5, 0.0, 0.25], 0.2), (0.7, 2.0, [0.0, 3.0], 0.1)],
        wrong={
            "The weights run backwards: omega^1 belongs to the first picture": lambda *a: solve(*a, backwards=True),
            "Eq. 28 divides by P, not by the sum of the weights": lambda *a: solve(*a, share=True),
            "The weights are not used": lambda k, x, w, eta: solve(k, x, [1.0] * len(w), eta),
            "The sign is reversed: this is the direction of the step, the gradient is its negative": lambda *a: -solve(*a),
        },
        hints=[
            "Start from `meta_gradient(..., unrolled=False)` of section 4.2; which line gets the weight?",
            "One pass over the weights: add the weighted slope of f by k, then move x by one gradient step.",
            "total += w * -x * (y - k * x); then x = x - eta * (-k * (y - k * x) + lam * (x - prior_x)); return total / len(weights).",
        ],
        tol=1e-8,
    )
