"""The weight of total variation in deblurring, learned from 4 pictures at 4 noise levels and judged on 6 others: grid or gradient?

y = x * k + sigma n, circular, x the middle 24 x 24 pixels of bundled pictures reduced to 128 x 128, k a Gaussian of std 1.2 px, sigma
0.6, 2, 4, 6%. Inner problem: deblurring with smoothed total variation (`methods.tuning`); outer loss: minus the mean PSNR. Held
back: 6 other bundled pictures, each at 0.6, 1, 3, 5 and 7%, most of which were not learned from. One seed of the
noise.

one: a single weight for all pictures; guided: log weight = h_1 + h_2 log(sigma / 2%), sigma told; guided, estimated: the same h, sigma
by `estimate_sigma` in the held-back pictures. grid: the best of 9 weights, or of 6 x 6 pairs; implicit: sign descent along the
implicit hypergradient, 10 and 12 steps from a weight of e^-6. solves: inner problems solved. checked: relative difference of the
hypergradient at the start from central difference quotients.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from ..._random import randn
from ...degradations import estimate_sigma
from ...images import bundled
from ...kernels import gaussian_kernel
from ...methods.tuning import WeightDescent, WeightProblem, grid_search
from ...operators import Blur
from ...solvers import run as run_solver
from .. import Cell, grid, mean_and_spread
from ._and import seeded

NAME = "bilevel_tv"
SIZES = ("smoke", "quick")
SEEDS = {"smoke": (0,), "quick": (0,)}
SIDE = {"smoke": 16, "quick": 24}
TRAIN = ("astronaut", "cat", "coffee", "coins")
HELD = ("camera", "motorcycle", "page", "rocket", "text", "ihc")
LEVELS = (0.006, 0.02, 0.04, 0.06)
TESTED = (0.006, 0.01, 0.03, 0.05, 0.07)
UNIT = 0.02  # sigma at which the guided weight is exp(h_1)
START = (-6.0, 0.5)
STEPS = {"one": 10, "guided": 12}
METHODS = ("one, grid", "one, implicit", "guided, grid", "guided, implicit")


def cells(size: str) -> list[Cell]:
    """Method x seed of the noise."""
    return grid(table=NAME, method=list(METHODS), dataset="bundled", seed=list(SEEDS[size]), side=SIDE[size], short=size == "smoke")


@lru_cache(maxsize=4)
def problem(names: tuple[str, ...], levels: tuple[float, ...], side: int, seed: int, guided: bool) -> WeightProblem:
    """Picture i at level i, with the features that a weight may depend on."""
    at = (128 - side) // 2
    truth = torch.cat([bundled(name, gray=True, size=128)[..., at : at + side, at : at + side] for name in names]).double()
    sigma = torch.tensor(levels, dtype=torch.float64)
    noise = randn(truth.shape, generator=seeded(NAME, *names, *levels, seed), like=truth)
    A = Blur(gaussian_kernel(7, 1.2).double())
    return WeightProblem(A, A(truth) + sigma.view(-1, 1, 1, 1) * noise, truth, features(sigma, guided))


def features(sigma: Tensor, guided: bool) -> Tensor:
    """(1) or (1, log(sigma / UNIT)) for each picture."""
    one = torch.ones_like(sigma)
    return torch.stack([one, (sigma / UNIT).log()], 1) if guided else one[:, None]


def run(cell: Cell) -> dict[str, Any]:
    """The weights learned, what they cost, and PSNR on held-back pictures by noise level."""
    kind, how = cell.method.split(", ")
    side, short = int(cell.params["side"]), bool(cell.params["short"])
    learned_from = problem(TRAIN, LEVELS, side, cell.seed, kind == "guided")
    h0 = torch.tensor(START[: learned_from.features.shape[1]], dtype=torch.float64)
    start = time.process_time()
    if how == "grid":
        points = _points(kind, short)
        h, values = grid_search(learned_from, points)
        f, solves = values.min(), len(points)
    else:
        state = run_solver(WeightDescent(learned_from, h0), 2 if short else STEPS[kind]).state
        h, f, solves = state.h, state.f, state.step + 1
    found: dict[str, Any] = {"seconds": time.process_time() - start, "solves": solves, "psnr_learned": -float(f)}
    found |= {f"h{i}": float(value) for i, value in enumerate(h, 1)}
    found["checked"] = _checked(learned_from, h0) if how == "implicit" else None
    for level in TESTED:
        found |= _held_back(level, h, side, cell.seed, kind == "guided")
    return found


def _points(kind: str, short: bool) -> Tensor:
    weights = torch.linspace(-8.0, -3.0, 3 if short else 9, dtype=torch.float64)
    if kind == "one":
        return weights[:, None]
    count = 2 if short else 6
    pairs = torch.cartesian_prod(torch.linspace(-8.0, -4.0, count), torch.linspace(0.0, 2.5, count))
    return pairs.double()


def _held_back(level: float, h: Tensor, side: int, seed: int, guided: bool) -> dict[str, float]:
    held = problem(HELD, (level,) * len(HELD), side, seed, guided)
    name = f"psnr {100 * level:g}%"
    found = {name: -held.outer(held.solve(h)).item()}
    if guided:
        told = features(estimate_sigma(held.y).reshape(-1).clamp(min=1e-3), True)
        blind = WeightProblem(held.operator, held.y, held.truth, told)
        found[f"estimated {name}"] = -blind.outer(blind.solve(h)).item()
    return found


def _checked(given: WeightProblem, h: Tensor, width: float = 1e-3) -> float:
    """|hypergradient - difference quotient| / |difference quotient|."""
    x = given.solve(h, tol=1e-11)
    found = given.gradient(h, x, tol=1e-9)
    ends = [[given.outer(given.solve(h + s * width * e, x, tol=1e-11)) for s in (1, -1)] for e in torch.eye(len(h), dtype=h.dtype)]
    quotient = torch.stack([(after - before) / (2 * width) for after, before in ends])
    return ((found - quotient).norm() / quotient.norm()).item()


def summarize(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Per method: weights, solves, seconds, PSNR on the pictures learned from and on held-back ones, with the seed spread."""
    levels = [f"psnr {100 * level:g}%" for level in TESTED]
    flat = []
    for row in rows:
        mean = sum(row[name] for name in levels) / len(levels)
        flat.append({**row, "held back": mean})
        if row.get(f"estimated {levels[0]}") is not None:
            told = {name: row[f"estimated {name}"] for name in levels}
            flat.append({**row, **told, "method": f"{row['method']}, estimated", "held back": sum(told.values()) / len(levels)})
    values = ("h1", "h2", "solves", "seconds", "psnr_learned", "held back", *levels)
    made = mean_and_spread(flat, by=("method",), values=values)
    checked = {r["method"]: r["checked"] for r in rows if r.get("checked") is not None}
    return [{**r, "checked": f"{checked[r['method']]:.0e}" if r["method"] in checked else "-"} for r in made]


def gain(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """By how many dB the guided weight beats the single one on held-back pictures, by noise level; both learned by implicit gradient."""
    table = {r["method"]: r for r in summarize(rows)}
    names = [f"psnr {100 * level:g}%" for level in TESTED]
    return {name.removeprefix("psnr "): table["guided, implicit"][name] - table["one, implicit"][name] for name in names}
