"""Alternating, naive, stopped gradient, two stages: one small net and its proxy trained four ways, and scored on held-back pictures.

Claim B3 (Bilevel Sec. 5.1.3). g = |sigma - sigma_gt|^2 does not depend on omega, so that alternating differs from naive training on f + g
in one thing alone: f has no say in theta. `true_map`: the same net trained and scored with the true map, the most that any proxy
could give. f + g has the map's error in units of 5%. Nets, pictures and data of the recipe `guided_tiny`, fewer steps. Scores:
8 of the 24 pictures of `guidance_gain`, and the RMSE of the map there. Gaps are taken seed by seed.

Needs RESTOREKIT_DATA.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch

from ...methods.guidance import STRATEGIES
from ...solvers import load_state, save_state
from ...solvers import run as run_solver
from .. import Cell, ClaimRecord, Value, command_for, grid, mean_and_spread
from ..recipes.guidance import NAMES, GuidanceTrainer, TrueMap
from ._guidance import LEVELS, PICTURES, QUADRANTS, SIDE, observe, score
from ._mlmc import margin
from ._mlmc_trials import known, shown

NAME = "guidance_strategies"
SIZES = ("smoke", "quick")
TRUE = "true_map"
METHODS = (*STRATEGIES, TRUE)
STEPS = {"smoke": 2, "quick": 800}
SEEDS = {"smoke": range(2), "quick": range(3)}
COLUMNS = {"smoke": ("3%",), "quick": (*LEVELS, QUADRANTS)}
EVERY_PICTURE = {"smoke": 1, "quick": 3}
KEEP_EVERY = 50  # steps between two states on disk
RECIPE = NAMES["guided_tiny"]


def cells(size: str) -> list[Cell]:
    """Strategy x seed. A cell names the recipe that it stands for."""
    digest = sha256(repr(asdict(RECIPE)).encode()).hexdigest()[:8]
    fixed = {"steps": STEPS[size], "recipe": digest, "scored": size, "side": 64 if size == "smoke" else SIDE}
    return grid(table=NAME, method=list(METHODS), seed=list(SEEDS[size]), **fixed)


def run(cell: Cell, folder: Path) -> dict[str, Any]:
    """Mean PSNR over the pictures at each level, and the RMSE of the map in per cent; a stopped training goes on from its state."""
    trainer = train(cell, folder / "state.pt")
    p = cell.params
    found: dict[str, list[float]] = {}
    for source, name in PICTURES[str(p["scored"])][:: EVERY_PICTURE[str(p["scored"])]]:
        for level in COLUMNS[str(p["scored"])]:
            x, y, k, sigma = observe(source, name, level, int(p["side"]))
            with torch.no_grad():
                told = sigma if trainer.proxy is None else trainer.proxy(y)
                guess = trainer.average(y, k, told)
            found.setdefault(f"psnr {level}", []).append(score(guess, x))
            found.setdefault(f"map {level}", []).append(100 * (told - sigma).square().mean().sqrt().item())
    return {name: statistics.fmean(values) for name, values in found.items()}


def train(cell: Cell, path: Path) -> GuidanceTrainer:
    """The nets of a cell."""
    steps, seed = int(cell.params["steps"]), cell.seed
    if cell.method == TRUE:
        trainer: GuidanceTrainer = TrueMap(RECIPE, steps, seed=seed)
    else:
        trainer = GuidanceTrainer(RECIPE, steps, seed=seed, strategy=cell.method)
    if path.exists():
        load_state(path, trainer)
    while (done := int(trainer.describe()["steps"])) < steps:
        result = run_solver(trainer, min(KEEP_EVERY, steps - done))
        save_state(path, trainer)
        if result.interrupted:
            raise KeyboardInterrupt
    return trainer


def summarize(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Per strategy: mean PSNR at each level, and the map's error over all levels, with the spread over seeds."""
    levels = [key.removeprefix("psnr ") for key in rows[0] if key.startswith("psnr ")]
    with_mean = [{**r, "map rmse (%)": statistics.fmean(r[f"map {v}"] for v in levels)} for r in rows]
    return mean_and_spread(with_mean, by=("method",), values=(*(f"psnr {v}" for v in levels), "map rmse (%)"))


def claims(rows: Sequence[Mapping[str, Any]], size: str) -> list[ClaimRecord]:
    """B3: alternating over naive, at each level."""
    of = {(r["method"], r["seed"]): r for r in rows}

    def over(worse: str, level: str) -> Value | None:
        here = [r for r in rows if r["method"] == "alternating" and (worse, r["seed"]) in of]
        return margin(here, lambda r: r[f"psnr {level}"] - of[worse, r["seed"]][f"psnr {level}"])

    values = {f"over naive, {level} (dB)": over("naive", level) for level in COLUMNS[size]}
    for other in ("stop_gradient", "two_stage", TRUE):
        values |= {f"over {other}, {level} (dB)": shown(over(other, level)) for level in COLUMNS[size]}
    text = "Training theta and omega in turn is better than descending f + g at once, at every noise level."
    record = ClaimRecord.decide(
        "B3",
        "Bilevel Sec. 5.1.3",
        text,
        command=command_for(NAME, size),
        size=size,
        values=known(values),
        decidable=size != "smoke",
    )
    return [record]
