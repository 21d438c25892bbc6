"""The exercises of page 04: reference, known-wrong answers with the sentence each deserves, and three hints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from .exercises import Exercise, exercise

QUIZ = [
    (
        "Two networks are exactly the identity. Both get the same small change of their weights. Are the results equal?",
        ["yes: they are one function", "no: the derivatives by the weights differ", "only without noise layers"],
        1,
        "Section 4.2: one function, many neighborhoods.",
    ),
    (
        "A noise amplitude is exactly zero and the draw is held fixed. Which way does its gradient point?",
        ["up", "down", "either way, by chance"],
        2,
        "Section 4.5: to first order only the chance agreement of the draw with the residual counts; its mean is zero.",
    ),
    (
        "An adversary lowers PSNR(y, t) to 17 dB, and a color map of y brings it to 48 dB. What did it find?",
        ["a color cast", "blur", "noise"],
        0,
        "What an affine map of the colors repairs is a cast; lost detail and grain stay.",
    ),
]


def _draw(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def last_tap() -> Exercise:
    """The last of four scalar taps 2, -0.5, 4, w whose product is 1."""
    return exercise(
        "the last tap of four",
        -0.25,
        wrong={
            "The product must be 1, not the sum": 1 - (2 - 0.5 + 4),
            "Mind the sign: one of the taps is negative": 0.25,
            "That is the product of the three; the last tap undoes it": -4.0,
        },
        hints=[
            "With one feature each layer multiplies by its tap. What do all of them do together?",
            "The four taps must multiply to 1.",
            "1 / (2 * -0.5 * 4).",
        ],
        tol=1e-9,
    )


def last_layer() -> Exercise:
    """pinv(W_n ... W_1), (channels, features)."""

    def solve(W: Sequence[Tensor]) -> Tensor:
        merged = W[0]
        for w in W[1:]:
            merged = w @ merged
        return torch.linalg.pinv(merged)

    def transposed(W: Sequence[Tensor]) -> Tensor:
        merged = W[0]
        for w in W[1:]:
            merged = w @ merged
        return merged.mT

    def one_by_one(W: Sequence[Tensor]) -> Tensor:
        made = torch.linalg.pinv(W[0])
        for w in W[1:]:
            made = made @ torch.linalg.pinv(w[:, : w.shape[1] // 2]).repeat(2, 1)
        return made

    def forgot(W: Sequence[Tensor]) -> Tensor:
        return torch.linalg.pinv(W[-1] @ W[0]) if len(W) > 2 else torch.linalg.pinv(W[0])

    stack = [_draw(6, 3, seed=1), _draw(6, 6, seed=2), _draw(6, 6, seed=3)]
    return exercise(
        "the layer that makes the identity",
        solve,
        cases=[(stack,), ([_draw(8, 1, seed=4), _draw(8, 8, seed=5)],)],
        wrong={
            "The transpose undoes rotations only; general matrices need the pseudo-inverse": transposed,
            "All layers belong into the product, each once": forgot,
            "Invert the product, not the layers one by one with columns left out": one_by_one,
        },
        hints=[
            "A pixel goes through W_1 first. Which single matrix does the whole stack apply to it?",
            "merged = W_n ... W_2 W_1 has more rows than columns: it has a left inverse.",
            "torch.linalg.pinv(merged), where merged = w @ merged for each further w.",
        ],
        tol=1e-8,
    )


def projection() -> Exercise:
    """delta_k min(1, radius / (f_k |delta_k|)) for each group k."""

    def length(delta: Mapping[str, Tensor], names: Sequence[str]) -> float:
        return float(sum(delta[n].square().sum() for n in names)) ** 0.5

    def solve(
        delta: Mapping[str, Tensor], groups: Mapping[str, Sequence[str]], factors: Mapping[str, float], radius: float, *, kind: str = ""
    ) -> dict[str, Tensor]:
        made: dict[str, Tensor] = {}
        joint = sum((factors[k] * length(delta, names)) ** 2 for k, names in groups.items()) ** 0.5
        for k, names in groups.items():
            f = {"no factor": 1.0, "inverse": 1 / factors[k]}.get(kind, factors[k])
            for n in names:
                size = {"joint": joint, "tensor": f * float(delta[n].norm())}.get(kind, f * length(delta, names))
                made[n] = delta[n] * (radius / size if kind == "sphere" else min(1.0, radius / size))
        return made

    groups, factors = {"conv": ("a", "b"), "slope": ("c",)}, {"conv": 1.0, "slope": 5.0}
    delta = {"a": _draw(4, 4, seed=1), "b": _draw(3, seed=2), "c": 3 * _draw(5, seed=3)}
    inside = {n: 0.01 * v for n, v in delta.items()}
    return exercise(
        "projection, each group for itself",
        solve,
        cases=[(delta, groups, factors, 2.0), (inside, groups, factors, 2.0)],
        wrong={
            "This is the joint ball: one length for all; here each group has its own": lambda *a: solve(*a, kind="joint"),
            "The factor is missing: a slope's length counts factors['slope'] times": lambda *a: solve(*a, kind="no factor"),
            "A larger factor must shrink more, not less": lambda *a: solve(*a, kind="inverse"),
            "What is inside already stays: the shrinking factor is at most 1": lambda *a: solve(*a, kind="sphere"),
            "One length for a group, not for each tensor in it": lambda *a: solve(*a, kind="tensor"),
        },
        hints=[
            "For each kind: one length over all its tensors, times its factor.",
            "If that is above the radius, all tensors of the group are multiplied by the same number below 1.",
            "min(1, radius / (f_k * sqrt(sum of squares))).",
        ],
        tol=1e-8,
    )


def ascent_step() -> Exercise:
    """delta + step g / (f |g|): in u = f delta the gradient is g / f, of unit length f g / |g| / f; back in delta divide by f."""

    def solve(delta: Tensor, g: Tensor, f: float, step: float) -> Tensor:
        return delta + step * g / (f * g.norm())

    delta, g = _draw(3, 4, seed=1), 0.01 * _draw(3, 4, seed=2)
    return exercise(
        "a step of known length",
        solve,
        cases=[(delta, g, 10.0, 6.0), (delta, g, 50.0, 0.5)],
        wrong={
            "The gradient is not normalised: the step's length would depend on the loss": lambda d, g, f, s: d + s * g,
            "This goes downhill; the adversary wants the loss large": lambda d, g, f, s: d - s * g / (f * g.norm()),
            "The length is right without the factor only; in the metric it is f times too long": lambda d, g, f, s: d + s * g / g.norm(),
            "That is the sign step of another norm; here the length is Euclidean": lambda d, g, f, s: d + s * g.sign() / f,
        },
        hints=[
            "In the metric the length of a move m is f |m|. Which multiple of g has length `step`?",
            "Put u = f delta: a step of `step` along the unit gradient in u, then divide by f.",
            "delta + step * g / (f * g.norm()).",
        ],
        tol=1e-8,
    )
