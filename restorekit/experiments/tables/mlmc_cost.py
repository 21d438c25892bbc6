"""What MLMC costs: against Double-DIP with the same image net and steps, and the share of MCKA, timed side by side.

Claim M8 (MLMC Table 8). Three learners on one observation take turns, one outer step each, so that a busy machine slows
all alike: `mlmc`, `mlmc` without MCKA, `double_dip`; CPU seconds of one thread. ratio: mlmc / double_dip. mcka_share: 1 - (without
MCKA) / mlmc. The trials' narrow image net makes both larger than at the paper's width, since the kernel's part stays as it is.

Size quick: 3 pictures x 3 seeds at x2, 4 outer steps of each learner.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch

from ...methods.blind import blind_solver
from .. import Cell, ClaimRecord, command_for, mean_and_spread
from ._mlmc import margin, read_published
from ._mlmc_trials import Variant, expected, fair, observe, trial_cells
from .mlmc_tuning import DOUBLE_DIP

NAME = "mlmc_cost"
SIZES = ("smoke", "quick", "paper")
TIMED = {"mlmc": Variant(), "without_mcka": Variant(changes={"mcka": False}), "double_dip": DOUBLE_DIP}
CLOSE, NEGLIGIBLE = 0.25, 0.10  # what counts as close to Double-DIP, and as a negligible share
ROUNDS = {"smoke": 1, "quick": 4, "paper": 20}


def cells(size: str) -> list[Cell]:
    """Picture x seed x scale; one cell times the three learners."""
    made = trial_cells(NAME, size, {"side by side": Variant()}, degradation="gaussian", scale=[2, 4] if size == "paper" else 2)
    return [replace(cell, params={**cell.params, "rounds": ROUNDS[size]}) for cell in made]


def run(cell: Cell) -> dict[str, Any]:
    """CPU seconds an outer step takes for each learner: medians over the rounds, the first step left out where there are more."""
    _, y, _ = observe(cell)
    scale, rounds = int(cell.params["scale"]), int(cell.params["rounds"])
    learners = {
        name: blind_solver(
            y,
            scale,
            method=variant.learner,
            settings=replace(variant.settings, kernel_from=0),
            kernel_prior=expected("gaussian", scale),
            generator=torch.Generator().manual_seed(cell.seed),
        )
        for name, variant in TIMED.items()
    }
    seconds: dict[str, list[float]] = {name: [] for name in learners}
    for _ in range(rounds):
        for name, learner in learners.items():
            start = time.process_time()
            learner.step()
            seconds[name].append(time.process_time() - start)
    step = {f"{name}_s": statistics.median(values[1:] or values) for name, values in seconds.items()}
    return {**step, "ratio": step["mlmc_s"] / step["double_dip_s"], "mcka_share": 1 - step["without_mcka_s"] / step["mlmc_s"]}


def summarize(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Per scale: means with their seed spread."""
    return mean_and_spread(fair(rows), by=("scale",), values=("mlmc_s", "without_mcka_s", "double_dip_s", "ratio", "mcka_share"))


def beside_print(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Per scale: time of MLMC over that of Double-DIP here (CPU) and as printed (GPU, Table 8), and MCKA's share."""
    printed = {(row["method"], int(row["scale"])): float(row["seconds"]) for row in read_published("mlmc_table8")}
    return [
        {
            "scale": row["scale"],
            "time over Double-DIP's": row["ratio"],
            "time over Double-DIP's_spread": row["ratio_spread"],
            "printed": printed["MLMC", row["scale"]] / printed["Double-DIP", row["scale"]],
            "share of MCKA": row["mcka_share"],
            "share of MCKA_spread": row["mcka_share_spread"],
        }
        for row in summarize(rows)
    ]


def claims(rows: Sequence[Mapping[str, Any]], size: str) -> list[ClaimRecord]:
    """M8: cost close to Double-DIP, MCKA negligible."""
    chosen = fair(rows)
    values = {
        f"time over Double-DIP's, below {1 + CLOSE}": margin(chosen, lambda row: 1 + CLOSE - row["ratio"]),
        f"MCKA's share of the time, below {NEGLIGIBLE:.0%}": margin(chosen, lambda row: NEGLIGIBLE - row["mcka_share"]),
    }
    record = ClaimRecord.decide(
        "M8",
        "MLMC Table 8",
        f"MLMC costs about as much as Double-DIP (here: at most {CLOSE:.0%} more), and its Monte Carlo phase next to nothing (here: below "
        f"{NEGLIGIBLE:.0%}).",
        command=command_for(NAME, size),
        size=size,
        values={name: value for name, value in values.items() if value is not None},
        decidable=size != "smoke",
    )
    return [record]
