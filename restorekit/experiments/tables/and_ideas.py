"""What was tried so that adversarial deviations beat random ones: one idea a row, on pictures held out from training, x2.

No claim. Each row is the light restorer of table `and_ablation`, trained as there, with one thing changed in the adversary or in the
training; `random` is what they are to beat. Scored on the middle 160 x 160 of pictures of bsds400_color that no training saw and no
other table reports, so that a choice made here is not made on the pictures of a test: PSNR of Y, 8 bit, a border of 2 pixels
cropped; `unseen`: mean over twelve degradations. Single runs: table `and_ablation` shows how far two seeds lie apart.

Needs RESTOREKIT_DATA but for size smoke.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from ..._random import rand
from ...images import dataset, split
from ...methods.adversarial import Ball, Loss
from ...methods.degraders import BALANCED, STRENGTH, Degrader, make_degrader
from .. import Cell, grid
from ..recipes.adversarial import SETTINGS
from ..recipes.denoiser import EXCLUDED, HELD_OUT
from ._and import MEAN, SMOKE, settings_digest, unseen_names, unseen_scores
from .and_ablation import FOLDER, SCALE, TRAINING, train

NAME = "and_ideas"
SIZES = ("smoke", "quick")
AND, RANDOM = SETTINGS["adversarial"], SETTINGS["random"]


@dataclass(frozen=True)
class Either:
    """y by one of two degraders, by a fair coin a batch."""

    first: Degrader
    second: Degrader

    def __call__(self, x: Tensor, G: nn.Module | None, *, generator: Any, loss: Loss | None = None) -> Tensor:
        chosen = self.first if rand((), generator=generator) < 0.5 else self.second
        return chosen(x, G, generator=generator, loss=loss)


def _noise(factor: float) -> dict[str, Any]:
    return {"ball": Ball(1.0, joint=False, factors={**BALANCED, "noise": factor})}


IDEAS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {  # of the adversary, of the training
    "adversarial": ({}, {}),
    "little noise in the ball": (_noise(BALANCED["noise"]), {}),
    "more noise in the ball": (_noise(0.4), {}),
    "noise map": ({"noise": "map"}, {}),
    "mild strength": ({"strength": (STRENGTH[0] + 6, STRENGTH[1])}, {}),
    "severe strength": ({"strength": (STRENGTH[0] - 6, STRENGTH[1])}, {}),
    "one step": ({"steps": 1}, {}),
    "four steps": ({"steps": 4}, {}),
    "all crops watched": ({"watched": None}, {}),
    "larger F": ({"features": 32, "blocks": (2, 2)}, {}),
    "four identities a batch": ({}, {"nets": 4}),
    "no clean pairs": ({}, {"clean_share": 0.0}),
}
SIDE = {"smoke": 48, "quick": 160}
STEPS = {"smoke": 2, "quick": 150}
COUNT = 10  # pictures


def degraders() -> dict[str, Degrader]:
    """By row: what the restorer is trained against."""
    adversaries = {name: make_degrader("adversarial", SCALE, **{**AND, **changed}) for name, (changed, _) in IDEAS.items()}
    random = make_degrader("random", SCALE, **RANDOM)
    return {"random": random, **adversaries, "half random": Either(random, adversaries["adversarial"])}


def cells(size: str) -> list[Cell]:
    """One training a row. A cell names the settings that it stands for."""
    fixed = {"table": NAME, "side": SIDE[size], "degradations": ", ".join(unseen_names(size)), "scored": size}
    made = []
    for name, degrader in degraders().items():
        training = {**TRAINING[size], "steps": STEPS[size], **IDEAS.get(name, ({}, {}))[1]}
        if size == "smoke":
            training["nets"] = 1
        made += grid(method=name, seed=0, settings=settings_digest(degrader), **training, **fixed)
    return made


def run(cell: Cell, folder: Path) -> dict[str, Any]:
    """Mean scores over the pictures, by degradation; a stopped training goes on from its state."""
    G, p = train(cell, degraders()[cell.method], folder / "state.pt"), cell.params
    names, side = str(p["degradations"]).split(", "), int(p["side"])
    found = [unseen_scores(G, source, name, SCALE, names, side) for source, name in held_out(str(p["scored"]))]
    return {key: statistics.fmean(scores[key] for scores in found) for key in found[0]}


def held_out(size: str) -> list[tuple[str, str]]:
    """(dataset, name) of the pictures that are scored."""
    if size == "smoke":
        return [(source, name) for source, names in SMOKE.items() for name in names]
    names = [n for n in dataset(FOLDER).names if n not in EXCLUDED[FOLDER]]
    return [(FOLDER, n) for n in split(names, (1 - HELD_OUT, HELD_OUT))[1][:COUNT]]


def summarize(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Per idea: PSNR on clean input and over the unseen, the gain over `random`, and CPU seconds as multiples of its."""
    base = next((row for row in rows if row["method"] == "random"), None)
    table = []
    for row in rows:
        entry = {"idea": row["method"], "clean": row["psnr clean"], MEAN: row[f"psnr {MEAN}"]}
        if base is not None:
            entry |= {"over random": row[f"psnr {MEAN}"] - base[f"psnr {MEAN}"], "cost": row["cpu_seconds"] / base["cpu_seconds"]}
        table.append(entry)
    return table
