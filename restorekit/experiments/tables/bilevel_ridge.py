"""Hypergradients and Algorithm 1 where the truth is known: ridge regression with its weight lam to be learned, 30 rows, 20 columns.

`hypergradient`: relative error and CPU seconds of d phi/d log lam_j, one lam for each column (at 1.35), against the closed form.
implicit: by the tolerance of its conjugate gradients; neumann: by its terms; unrolled: by its steps of gradient descent from 0, all at
the best constant step; differences: central difference quotients of the closed-form phi, by their half width.

`descent`: one lam. excess = phi(lam found) / min phi - 1, from a start at either end; 40 outer steps, 10 inner ones each, at one rate.
alternating: Algorithm 1 with a proxy of F polynomials (linear in theta, so that g is convex in theta, as Theorem 1 asks) and gradient
steps in lam; argmin: the literal Eq. 5, lam the best of a fine grid under the proxy; net: F tanh units, not convex; naive: f + g at
once; stop_gradient: no response in the outer step; implicit: no proxy, the exact w*(lam) and its hypergradient; grid: the best of 9.
Problems: `one valley`, random data; `two valleys`, where phi has two minima although g is convex (`methods.ridge.two_valleys`, its
target moved a little at random). Theorem 1 speaks of both.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from ..._random import randn
from ...methods.bilevel import gradient_descent, hypergradient_implicit, hypergradient_neumann, hypergradient_unrolled
from ...methods.ridge import BestResponse, ProxyDescent, Ridge, best_theta, random_ridge, two_valleys
from ...solvers import run as run_solver
from .. import Cell, ClaimRecord, Value, command_for, grid, mean_and_spread
from ._and import seeded
from ._mlmc import margin
from ._mlmc_trials import known, shown

NAME = "bilevel_ridge"
SIZES = ("smoke", "quick")
SEEDS = {"smoke": (0,), "quick": (0, 1, 2)}
BUDGETS: dict[str, Sequence[float]] = {
    "implicit": (1e-1, 1e-2, 1e-4, 1e-10),
    "neumann": (5, 20, 80, 320),
    "unrolled": (5, 20, 80, 320),
    "differences": (1e-1, 1e-3, 1e-5, 1e-8),
}
RANGES = {"one valley": (1e-2, 1e2), "two valleys": (1e-4, 1e2)}
STARTS = {"one valley": (0.02, 50.0), "two valleys": (1e-3, 30.0)}
PROXIES = ("alternating 4", "alternating 12", "argmin 12", "net 12", "naive 12", "stop_gradient 12")
ALONE = ("implicit", "grid")
STEPS, OUTER_RATE, CLOSE = 40, 3.0, 0.01  # CLOSE: an excess that passes for the optimum


def cells(size: str) -> list[Cell]:
    """Hypergradients by method, budget and seed; descents by problem, method, start and seed."""
    made: list[Cell] = []
    for method, budgets in BUDGETS.items():
        made += grid(table=NAME, method=method, kind="hypergradient", budget=list(budgets), seed=list(SEEDS[size]))
    fixed: dict[str, Any] = {"table": NAME, "kind": "descent", "steps": 3 if size == "smoke" else STEPS}
    for problem, starts in STARTS.items():
        made += grid(method=[*PROXIES, *ALONE], problem=problem, start=list(starts), seed=list(SEEDS[size]), **fixed)
    return made


def run(cell: Cell) -> dict[str, Any]:
    """Error and cost of a hypergradient, or where a descent ended."""
    if cell.params["kind"] == "hypergradient":
        return _hypergradient(cell)
    problem, points = _problem(str(cell.params["problem"]), cell.seed)
    best, values = problem.grid_search(points)
    start = time.process_time()
    log_lam, response = _descend(problem, cell, points)
    return {
        "seconds": time.process_time() - start,
        "excess": (problem.value(log_lam) / values.min() - 1).item(),
        "distance": abs(log_lam - best).item(),
        "lam": log_lam.exp().item(),
        "response_error": response,
    }


def _hypergradient(cell: Cell) -> dict[str, float]:
    problem, budget = random_ridge(generator=seeded(NAME, cell.seed)), cell.params["budget"]
    h = torch.full((20,), 0.3, dtype=torch.float64)
    exact, w, step = problem.derivative(h), problem.solution(h), 2 / sum(problem.curvatures(h))
    f = lambda w, h: problem.outer(w)  # noqa: E731
    calls: dict[str, Callable[[], Tensor]] = {
        "implicit": lambda: hypergradient_implicit(f, problem.inner, w, h, tol=budget),
        "neumann": lambda: hypergradient_neumann(f, problem.inner, w, h, terms=int(budget), step=step),
        "unrolled": lambda: hypergradient_unrolled(f, gradient_descent(problem.inner, step), 0 * w, h, steps=int(budget)),
        "differences": lambda: torch.stack(
            [(problem.value(h + budget * e) - problem.value(h - budget * e)) / (2 * budget) for e in torch.eye(20, dtype=h.dtype)]
        ),
    }
    start = time.process_time()
    found = calls[cell.method]()
    seconds = time.process_time() - start
    return {"error": ((found - exact).norm() / exact.norm()).item(), "seconds": seconds}


def _problem(name: str, seed: int) -> tuple[Ridge, Tensor]:
    """The problem and a fine grid of log lam over its range."""
    low, high = RANGES[name]
    points = torch.linspace(math.log(low), math.log(high), 401, dtype=torch.float64)
    if name == "one valley":
        return random_ridge(generator=seeded(NAME, seed)), points
    problem = two_valleys()
    moved = problem.y_val + 0.02 * randn((2,), generator=seeded(NAME, name, seed), like=problem.y_val)
    return replace(problem, y_val=moved), points


def _descend(problem: Ridge, cell: Cell, points: Tensor) -> tuple[Tensor, float | None]:
    """The log lam that a method ends with, and the proxy's largest error over the range."""
    start, steps = float(cell.params["start"]), int(cell.params["steps"])
    low, high = RANGES[str(cell.params["problem"])]
    if cell.method == "grid":
        return problem.grid_search(torch.linspace(math.log(low), math.log(high), 9, dtype=torch.float64))[0], None
    if cell.method == "implicit":
        log_lam = torch.tensor(start, dtype=torch.float64).log()
        for _ in range(steps):
            slope = hypergradient_implicit(lambda w, h: problem.outer(w), problem.inner, problem.solution(log_lam), log_lam)
            log_lam = (log_lam - OUTER_RATE * slope).clamp(math.log(low), math.log(high))
        return log_lam, None
    descent, name = _algorithm(problem, cell.method, low, high)
    # the polynomials' theta starts at its optimum: what is compared is what becomes of lam
    theta = None if name == "net" else best_theta(descent)
    first = descent.init(start, theta=theta, generator=seeded(NAME, cell.seed))
    end = run_solver(descent, steps, first).state
    some = points[::8]
    truth = torch.stack([problem.solution(point) for point in some])
    return end.log_lam, (descent.proxy(end.theta, some) - truth).abs().max().item()


def _algorithm(problem: Ridge, method: str, low: float, high: float) -> tuple[ProxyDescent, str]:
    name, _, features = method.partition(" ")
    kind, outer = ("net" if name == "net" else "polynomial"), ("argmin" if name == "argmin" else "gradient")
    proxy = BestResponse(problem.X.shape[1], low, high, int(features), kind)
    strategy = name if name in ("naive", "stop_gradient") else "alternating"
    rate = 0.3 if kind == "net" else 1.0
    return ProxyDescent(problem, proxy, strategy, outer, inner_rate=rate, outer_rate=OUTER_RATE), name


def summarize(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Errors and seconds by method and budget; excess and distance by problem, method and start."""
    gradients = [r for r in rows if r["kind"] == "hypergradient"]
    descents = [r for r in rows if r["kind"] == "descent"]
    table = [{"problem": "hypergradient", **r} for r in mean_and_spread(gradients, by=("method", "budget"), values=("error", "seconds"))]
    for row in table:  # five digits of 1e-12 would be lost in a table of fixed decimals
        row["budget"], row["error"] = f"{row['budget']:g}", f"{row['error']:.1e}"
        row.pop("error_spread")
    return table + mean_and_spread(descents, by=("problem", "method", "start"), values=("excess", "distance", "lam", "seconds"))


def claims(rows: Sequence[Mapping[str, Any]], size: str) -> list[ClaimRecord]:
    """B9: Theorem 1 on a convex toy, in both readings of its outer step."""
    found = [r for r in rows if r["kind"] == "descent"]

    def within(problem: str, method: str, start: float | None = None) -> Value | None:
        """CLOSE minus the excess: the margin of reaching the optimum."""
        some = [r for r in found if (r["problem"], r["method"]) == (problem, method) and start in (None, r["start"])]
        return margin(some, lambda r: CLOSE - r["excess"])

    far = STARTS["two valleys"][0]
    values = {
        "one valley, gradient steps": within("one valley", "alternating 12"),
        "one valley, argmin": within("one valley", "argmin 12"),
        "two valleys, argmin": within("two valleys", "argmin 12"),
        f"two valleys, gradient steps from lam = {far:g}": within("two valleys", "alternating 12", far),
        "one valley, a net as proxy": shown(within("one valley", "net 12")),
        "one valley, naive": shown(within("one valley", "naive 12")),
        "one valley, proxy of 4 polynomials": shown(within("one valley", "alternating 4")),
    }
    text = (
        "Algorithm 1 converges to the optimum if g is convex in theta (ridge regression; values: "
        f"{CLOSE:.0%} minus the excess of the validation loss over its minimum)."
    )
    record = ClaimRecord.decide(
        "B9", "Bilevel Theorem 1", text, command=command_for(NAME, size), size=size, values=known(values), decidable=size != "smoke"
    )
    return [record]
