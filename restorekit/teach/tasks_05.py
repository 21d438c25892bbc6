"""The exercises of page 05: reference, known-wrong answers with the sentence each deserves, and three hints."""

from __future__ import annotations

import torch
from torch import Tensor

from .exercises import Exercise, exercise

QUIZ = [
    (
        "The inner problem is min |sigma - sigma_gt|^2. How does its solution move when the restorer's weights omega move?",
        ["along the gradient of f", "not at all", "as H_theta does"],
        1,
        "Section 7: omega does not occur in it; what is left is one training after, or beside, another.",
    ),
    (
        "K terms of the Neumann series at the minimum are the same as ...",
        ["K steps of conjugate gradients", "K steps of gradient descent, unrolled", "K difference quotients"],
        1,
        "Section 4.3: both apply step (I - step H)^k for k below K.",
    ),
    (
        "g is convex in theta. Does gradient descent in lam through the trained proxy reach the least validation loss?",
        ["yes, Theorem 1", "only where the validation loss has one valley", "never"],
        1,
        "Section 6: convexity in theta makes the response right; the valleys of phi stay.",
    ),
]


def _draw(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def _hessian(size: int, seed: int) -> Tensor:
    A = _draw(size, size, seed=seed)
    return A @ A.T / size + torch.eye(size, dtype=A.dtype)


def best_weight() -> Exercise:
    """g = (w - 1)^2 / 2 + lam w^2 / 2, f = (w - 1/4)^2: w* = 1 / (1 + lam) = 1/4 at lam = 3."""
    return exercise(
        "the best weight on paper",
        3.0,
        wrong={
            "That is 1 + lam: solve 1 / (1 + lam) = 1/4 for lam": 4.0,
            "That is the best w; what lam leads the inner problem there?": 0.25,
            "Less than 1 shrinks w by less than a half": 0.75,
            "lam = 0 gives w = 1, the minimum of g alone": 0.0,
        },
        hints=[
            "First the inner problem: where is dg/dw = 0?",
            "w* = 1 / (1 + lam). Which lam makes f least?",
            "f is least at w = 1/4, so 1 + lam = 4.",
        ],
        tol=1e-9,
    )


def implicit() -> Exercise:
    """direct - B^T H^-1 slope."""

    def solve(H: Tensor, B: Tensor, slope: Tensor, direct: Tensor) -> Tensor:
        return direct - B.mT @ torch.linalg.solve(H, slope)

    cases = [
        (_hessian(5, 1), _draw(5, 3, seed=2), _draw(5, seed=3), _draw(3, seed=4)),
        (_hessian(4, 5), _draw(4, 1, seed=6), _draw(4, seed=7), torch.zeros(1, dtype=torch.float64)),
    ]
    return exercise(
        "the implicit gradient",
        solve,
        cases=cases,
        wrong={
            "Mind the sign: x* moves against the push on dg/dx": lambda H, B, s, d: d + B.mT @ torch.linalg.solve(H, s),
            "H itself is used where its inverse is meant": lambda H, B, s, d: d - B.mT @ (H @ s),
            "That is the first-order gradient: the inverse of H is missing": lambda H, B, s, d: d - B.mT @ s,
            "The direct part df/dh is missing": lambda H, B, s, d: -B.mT @ torch.linalg.solve(H, s),
        },
        hints=[
            "dg/dx(x*(h), h) = 0 for all h. Differentiate it by h.",
            "H dx*/dh + B = 0, and d phi/dh = df/dh + (dx*/dh)^T df/dx.",
            "direct - B.mT @ torch.linalg.solve(H, slope).",
        ],
        tol=1e-8,
    )


def naive_slope() -> Exercise:
    """d(f + g)/d log lam at fixed w = lam / 2 |w|^2 for g with lam/2 |w|^2 and f without lam."""

    def solve(w: Tensor, lam: float) -> Tensor:
        return 0.5 * lam * w.square().sum()

    return exercise(
        "where the naive way goes",
        solve,
        cases=[(_draw(6, seed=1), 2.5), (_draw(3, seed=2), 0.1)],
        wrong={
            "That is the derivative by lam; by log lam it has a factor lam": lambda w, lam: 0.5 * w.square().sum(),
            "The half of g is missing": lambda w, lam: lam * w.square().sum(),
            "f does not depend on lam at fixed w, but g does": lambda w, lam: 0 * w.sum(),
            "That is the derivative by w; here lam moves": lambda w, lam: lam * w,
        },
        hints=[
            "Which of the two losses contains lam, at fixed w?",
            "g = ... + exp(rho) |w|^2 / 2 with rho = log lam.",
            "lam / 2 times the sum of the squares of w: never negative.",
        ],
        tol=1e-9,
    )
