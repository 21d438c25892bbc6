"""The exercises of page 06: reference, known-wrong answers with the sentence each deserves, and three hints."""

from __future__ import annotations

import torch
from torch import Tensor

from .exercises import Exercise, exercise

QUIZ = [
    (
        "The curve of PSNR over the iterations is flat. What do you look at before you call it converged?",
        ["how far the iterates moved", "a longer run", "SSIM"],
        0,
        "Section 6: with steps of 0.001 nothing has moved, and the curve is flat for that reason.",
    ),
    (
        "A diagonal A fits the data exactly. What does that say about the picture?",
        ["it is the right one", "nothing: it does so for every picture without zeros", "it has no noise"],
        1,
        "Section 4.6: as many unknowns as pixels explain a camera by a cat.",
    ),
    (
        "Half-quadratic splitting with the right blur gains over its rounds, with A = I it loses. Why?",
        ["the network is better at blur", "the data term knows the blur, which the network does not", "eight rounds are too few for A = I"],
        1,
        "Section 4.2: with A = I the data term knows y only, which the network has seen already.",
    ),
]


def _draw(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def unknowns() -> Exercise:
    """H H unknowns for H W equations: H / W = 64 / 48."""
    return exercise(
        "unknowns of a dense operator",
        64 / 48,
        wrong={
            "A multiplies columns of 64 entries from the left: it is 64 x 64, not 48 x 48": 48 * 48 / (64 * 48),
            "One equation for each pixel: divide by 64 * 48": 64.0 * 64,
            "A acts on columns; a matrix on the whole picture as one vector would have (64 * 48)^2 entries": 64.0 * 48,
        },
        hints=[
            "How large must A be, so that A x has the size of x?",
            "A is 64 x 64; A x = t has an equation for each pixel.",
            "64 * 64 / (64 * 48).",
        ],
        tol=1e-6,
    )


def exact_step() -> Exercise:
    """(a y + mu v) / (a^2 + mu)."""

    def solve(v: Tensor, y: Tensor, a: Tensor, mu: float) -> Tensor:
        return (a * y + mu * v) / (a**2 + mu)

    case = (_draw(3, 4, seed=1), _draw(3, 4, seed=2), 1 + 0.5 * _draw(3, 4, seed=3), 0.7)
    return exercise(
        "the exact x-step for weights",
        solve,
        cases=[case, (*case[:3], 3.0)],
        wrong={
            "The normal equation has A^T y, so y is multiplied by a": lambda v, y, a, mu: (y + mu * v) / (a**2 + mu),
            "The second derivative of |a x - y|^2 is a^2, not a": lambda v, y, a, mu: (a * y + mu * v) / (a + mu),
            "mu is missing at v": lambda v, y, a, mu: (a * y + v) / (a**2 + mu),
            "That inverts A and forgets v": lambda v, y, a, mu: y / a,
        },
        hints=[
            "Set the derivative by x to zero, pixel by pixel.",
            "a (a x - y) + mu (x - v) = 0.",
            "(a * y + mu * v) / (a**2 + mu).",
        ],
        tol=1e-9,
    )


def line_search() -> Exercise:
    """|D|^2 / |D x|^2 with D = r x^T."""

    def solve(x: Tensor, r: Tensor) -> Tensor:
        D = r @ x.mT
        return D.square().sum() / (D @ x).square().sum()

    def inner(x: Tensor, r: Tensor) -> Tensor:
        D = r @ x.mT
        return r.square().sum() / (D @ x).square().sum()

    def sizes(x: Tensor, r: Tensor) -> Tensor:
        D = r @ x.mT
        return D.norm() / (D @ x).norm()

    def direction(x: Tensor, r: Tensor) -> Tensor:
        D = r @ x.mT
        return D.square().sum() / D.square().sum() / x.square().sum()

    return exercise(
        "the best step along the gradient",
        solve,
        cases=[(_draw(5, 7, seed=1), _draw(5, 7, seed=2)), (_draw(4, 4, seed=3), 0.1 * _draw(4, 4, seed=4))],
        wrong={
            "The slope at alpha = 0 is <r, D x> = |D|^2, not |r|^2": inner,
            "Squared lengths: a parabola's minimum is slope over curvature": sizes,
            "The curvature is |D x|^2: apply D to the picture, do not multiply the lengths": direction,
        },
        hints=[
            "|r - alpha D x|^2 is a parabola in alpha.",
            "Its minimum is at <r, D x> / |D x|^2, and <r, D x> = <r x^T, D>.",
            "D = r @ x.mT; D.square().sum() / (D @ x).square().sum().",
        ],
        tol=1e-9,
    )


def row_column() -> Exercise:
    """(sum_j r x b, sum_i r x a) for A x = diag(a) x diag(b), r = A x - t."""

    def solve(a: Tensor, b: Tensor, x: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        r = a[:, None] * x * b - t
        return (r * x * b).sum(1), (r * x * a[:, None]).sum(0)

    def no_partner(a: Tensor, b: Tensor, x: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        r = a[:, None] * x * b - t
        return (r * x).sum(1), (r * x).sum(0)

    def wrong_sums(a: Tensor, b: Tensor, x: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        r = a[:, None] * x * b - t
        return (r * x * a[:, None]).sum(1), (r * x * b).sum(0)

    def no_residual(a: Tensor, b: Tensor, x: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        r = a[:, None] * x * b
        return (r * x * b).sum(1), (r * x * a[:, None]).sum(0)

    def doubled(a: Tensor, b: Tensor, x: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        first, second = solve(a, b, x, t)
        return 2 * first, 2 * second

    case = (1 + 0.3 * _draw(4, seed=1), 1 + 0.3 * _draw(6, seed=2), _draw(4, 6, seed=3), _draw(4, 6, seed=4))
    return exercise(
        "gains for rows and columns",
        solve,
        cases=[case],
        wrong={
            "By a, what multiplies a_i is x b; by b, what multiplies b_j is a x": no_partner,
            "a and b are swapped: a's gradient holds b": wrong_sums,
            "The residual is A x - t; t is missing": no_residual,
            "The objective has a 1/2: no factor 2": doubled,
        },
        hints=[
            "Write one entry: r_ij = a_i x_ij b_j - t_ij. What is its derivative by a_i?",
            "Sum r times that derivative over all entries in which a_i occurs: over j.",
            "r = a[:, None] * x * b - t; (r * x * b).sum(1) and (r * x * a[:, None]).sum(0).",
        ],
        tol=1e-9,
    )
