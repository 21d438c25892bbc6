"""What MLMC's two phases add, one by one, how T and P matter, and whether the kernel fluctuates and then settles.

Claims M2 (MLMC Table 6), M3 (Fig. 4) and M7 (Fig. 2 and 8). Pictures, kernels and budget: `_mlmc_trials`; the number of image steps
is the same in each row. `full`: T = 10, Q = 5, P = 2. `without MCKA`: no random kernels, neither in the run nor in the
warm-up that precedes it; `warm-up alone`: random kernels before the run only. `without meta`: P = 1, Q = 10, so a kernel step
after each image step (also P = 1 of M3). `without both`: that, and no random kernels: greedy alternation. `T = n`: n random
kernels an outer step; `P = 5`: Q = 2. The number of kernel steps of MLAO is Q I, so a larger P has fewer of them.

fluctuation: with d_i the change of the kernel in outer step i, the mean of |d_i - mean d|^2 over a third of the run, early or late;
log10 of it, so that 1 means ten times. The mean change, a drift, does not count.

Size quick: 3 pictures x 3 seeds; x2 with 8 methods, x4 with 4; 109 runs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from .. import Cell, ClaimRecord, command_for, mean_and_spread
from ._mlmc import margin, read_published
from ._mlmc_trials import LITTLE, Variant, at, differences, fair, gap, known, observe, scores, shown, solve, trial_cells, within

NAME = "mlmc_ablation"
SIZES = ("smoke", "quick", "paper")
GREEDY = {"meta_steps": 10, "image_steps": 1}
SILENT = {"mcka": False, "warmup": 0}  # no random kernel is ever seen
PHASES = {
    "full": Variant(),
    "without MCKA": Variant(changes=SILENT),
    "without meta": Variant(changes=GREEDY),
    "without both": Variant(changes={**SILENT, **GREEDY}),
}
START = {"warm-up alone": Variant(changes={"mcka": False})}
COUNTS = {
    "T = 1": Variant(changes={"samples": 1}),
    "T = 20": Variant(changes={"samples": 20}),
    "P = 5": Variant(changes={"meta_steps": 2, "image_steps": 5}),
}
VARIANTS = PHASES | START | COUNTS
PRINTED = {"full": "MLMC", "without MCKA": "without Monte Carlo", "without meta": "without meta-learning"}
VALUES = ("psnr", "ssim", "kernel_psnr", "kernel_distance", "width_error", "early", "late", "seconds")


def cells(size: str) -> list[Cell]:
    """Method x picture x seed at x2; at size paper the phases also at x4."""
    made = trial_cells(NAME, size, VARIANTS, live="full", degradation="gaussian", scale=2)
    return made if size != "paper" else made + trial_cells(NAME, size, PHASES, degradation="gaussian", scale=4)


def run(cell: Cell) -> dict[str, Any]:
    """Scores of one method on one observation, and how its kernel moved."""
    x, y, kernel = observe(cell)
    outcome = solve(cell, VARIANTS[cell.method], y)
    early, late = fluctuation(outcome.path)
    return {**scores(outcome, x, kernel, int(cell.params["scale"])), "early": early, "late": late}


def fluctuation(path: Sequence[Tensor]) -> tuple[float | None, float | None]:
    """log10 of the variance of a kernel's change per outer step, in the first and in the last third of its path.

    path: the kernels (1, 1, kh, kw) after each outer step. None where a third has fewer than two changes, or none at all.
    """
    third = (len(path) - 1) // 3
    if third < 2:
        return None, None
    kernels = torch.stack([k.flatten() for k in path]).double()
    changes = kernels.diff(dim=0)
    early, late = ((part - part.mean(0)).square().sum(1).mean().item() for part in (changes[:third], changes[-third:]))
    return tuple(None if v == 0 else torch.tensor(v).log10().item() for v in (early, late))  # type: ignore[return-value]


def summarize(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Per scale and method: means with their seed spread."""
    return mean_and_spread(fair(rows), by=("scale", "method"), values=VALUES)


def beside_print(rows: Sequence[Mapping[str, Any]], dataset: str = "Set14") -> list[dict[str, Any]]:
    """Per scale and phase left out: what it costs here and as printed, in dB of the picture."""
    printed = {(r["method"], r["scale"]): float(r["psnr"]) for r in read_published("mlmc_table6") if r["dataset"] == dataset}
    table = []
    for scale in sorted({row["scale"] for row in rows}):
        for name in [*list(PHASES)[1:], *START]:
            here = {score: gap(rows, "full", name, score, where=at(scale=scale)) for score in SCORED}
            entry: dict[str, Any] = {"scale": scale, "left out": LEFT_OUT.get(name, name.removeprefix("without "))}
            for score, value in here.items():
                if value is not None:
                    entry |= {SCORED[score]: value.value, f"{SCORED[score]}_spread": value.spread}
            known_to_print = (PRINTED.get(name, ""), str(scale)) in printed
            loss = printed["MLMC", str(scale)] - printed[PRINTED[name], str(scale)] if known_to_print else None
            table.append(entry | {f"PSNR lost, printed, {dataset}": loss})
    return table


LEFT_OUT = {"warm-up alone": "MCKA, its warm-up kept"}
SCORED = {"psnr": "PSNR lost", "kernel_distance": "kernel distance, full minus this"}


def claims(rows: Sequence[Mapping[str, Any]], size: str) -> list[ClaimRecord]:
    """M2: each phase helps picture and kernel; M3: T matters little, P = 2 suffices; M7: fluctuates, then settles."""
    phases = {}
    for name in list(PHASES)[1:]:
        phases[f"{name}: PSNR lost (dB)"] = gap(rows, "full", name)
        phases[f"{name}: kernel distance gained"] = gap(rows, "full", name, "kernel_distance", sign=-1)

    counts = {
        f"{name} moves PSNR by less than {LITTLE} dB": within(gap(rows, name, "full", where=at(scale=2)), LITTLE) for name in list(COUNTS)
    }
    counts["P = 2 over P = 1 (dB)"] = gap(rows, "full", "without meta", where=at(scale=2))
    full = [row for row in fair(rows) if row["method"] == "full" and row.get("early") is not None and row.get("late") is not None]
    moves = {
        "late below early, full (log10)": margin(full, lambda row: row["early"] - row["late"]),
        "early, full over without MCKA (log10)": gap(rows, "full", "without MCKA", "early"),
        "late, full over without MCKA (log10)": shown(gap(rows, "full", "without MCKA", "late")),
    }
    texts = {
        "M2": ("MLMC Table 6", "Without random kernels, and without meta-learning, picture and kernel get worse.", phases),
        "M3": ("MLMC Fig. 4", "The number T of random kernels matters little, and P = 2 suffices.", counts),
        "M7": (
            "MLMC Fig. 2 and 8",
            "Random kernels make the kernel fluctuate early in the run; later it settles.",
            moves,
        ),
    }
    return [
        ClaimRecord.decide(id, where, text, command=command_for(NAME, size), size=size, values=values, decidable=size != "smoke")
        for id, (where, text, found) in texts.items()
        if (values := known(found))
    ]


def added(rows: Sequence[Mapping[str, Any]], score: str = "psnr") -> list[dict[str, Any]]:
    """For each observation: `full` minus `without both`."""
    return differences(rows, "full", "without both", score)
