"""How far the printed update of A (dynamic plug-and-play, Eq. 10) is from the gradient of its own objective (Eq. 9).

A planted A (identity + 5% Gaussian) gives the target t = y - g(y) = A x, the noise estimated without error, for bundled pictures;
readings for which the print's sizes fit: dense on columns (square pictures) and diagonal. `cosine start`: between print and
gradient at A^(0) = I, where the scheme begins. `cosine random`: at I + Gaussian. `print at truth` and `gradient at truth`: their
size at the planted A over their size at I; 0 at a minimum. `best step`: the objective after the best step along the print from
I, over that at I; 1 means that no step of any size helps. `gradient step`: the same along the gradient.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ..._random import randn
from ...images import bundled
from ...methods.operator_updates import Dense, Diagonal, OperatorUpdate, Reading
from .. import Cell, grid, mean_and_spread

NAME = "pnp_gradients"
SIZES = ("smoke", "quick")
READINGS: dict[str, Reading] = {"dense": Dense(), "diagonal": Diagonal()}
IMAGES = {"smoke": ("camera",), "quick": ("camera", "astronaut", "coffee", "cat")}
SIDE = {"smoke": 48, "quick": 128}
PLANTED = 0.05
VALUES = ("cosine start", "cosine random", "print at truth", "gradient at truth", "best step", "gradient step")


def cells(size: str) -> list[Cell]:
    """Reading x picture."""
    return grid(table=NAME, method=list(READINGS), dataset="bundled", image=list(IMAGES[size]), side=SIDE[size], planted=PLANTED)


def run(cell: Cell) -> dict[str, Any]:
    """Cosines and sizes for one reading and picture, in float64."""
    side = int(cell.params["side"])
    reading = READINGS[cell.method]
    x = bundled(cell.image, size=(side, side), gray=True).double()
    g = torch.Generator().manual_seed(zlib.crc32(f"{cell.method} {cell.image}".encode()))
    start = reading.identity(x)
    true, random = (start + s * randn(start.shape, generator=g, like=x) for s in (cell.params["planted"], 1.0))
    t = reading.apply(true, x)  # y - n, whatever the noise n, if g(y) estimates it without error
    printed, gradient = (OperatorUpdate(reading, rule) for rule in ("printed", "gradient"))
    P, D = printed.direction(start, x, t), gradient.direction(start, x, t)
    return {
        "cosine start": _cosine(P, D),
        "cosine random": _cosine(printed.direction(random, x, t), gradient.direction(random, x, t)),
        "print at truth": (printed.direction(true, x, t).norm() / P.norm()).item(),
        "gradient at truth": (gradient.direction(true, x, t).norm() / D.norm()).item(),
        "best step": _best(reading, start, P, x, t),
        "gradient step": _best(reading, start, D, x, t),
    }


def _cosine(a: Tensor, b: Tensor) -> float:
    return ((a * b).sum() / (a.norm() * b.norm())).item()


def _best(reading: Reading, A: Tensor, D: Tensor, x: Tensor, t: Tensor) -> float:
    """min over alpha >= 0 of |(A - alpha D) x - t|^2 / |A x - t|^2."""
    r, moved = reading.apply(A, x) - t, reading.apply(D, x)
    alpha = ((r * moved).sum() / moved.square().sum()).clamp_min(0)
    return ((r - alpha * moved).square().sum() / r.square().sum()).item()


def summarize(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Means over pictures."""
    means = mean_and_spread(rows, by=("method",), values=VALUES)
    return [{"reading": m["method"], **{k: m[k] for k in (*VALUES, "n")}} for m in means]
