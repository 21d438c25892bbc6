"""Restored quality under the strongest attack found, for the shipped restorers and bicubic interpolation.

Claim A5. White box: F moves away from fresh identities, at x2, so as to hurt this very restorer on this very picture, color-neutral and
at a strength of 28 dB; 15 steps, far more than in training, with two identities and two step sizes. `worst`: the lowest PSNR of the
four attacks; `attacked`: their mean; `random`: mean of as many random deviations at the same strength; `clean`: none. PSNR of Y, 8
bit, a border of 2 pixels cropped; y itself is not rounded, as in training. A stronger attack may exist: `worst` is an upper
bound. 8 pictures, the middle 80 x 80; spreads are standard errors over them.

Needs RESTOREKIT_DATA but for size smoke.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ...methods.baselines.bicubic import bicubic_downsample
from ...methods.degraders import Adversarial, Degrader, Random
from ...metrics import psnr
from .. import Cell, ClaimRecord, command_for, grid
from ._and import SHIPPED, Restorer, over_pictures, picture, pictures, restorer, seeded, settings_digest, weights_digest
from ._mlmc_trials import known, shown

NAME = "and_worst_case"
SIZES = ("smoke", "quick")
METHODS = ("bicubic", *SHIPPED)
SCALE, STRENGTH = 2, 28.0
STEP_SIZES = (0.25, 0.75)
BUDGET: dict[str, dict[str, int]] = {
    "smoke": {"side": 48, "steps": 2, "identities": 1},
    "quick": {"side": 80, "steps": 15, "identities": 2},
}
KINDS = ("clean", "random", "attacked", "worst")


def cells(size: str) -> list[Cell]:
    """Method x picture. A cell names the weights and the attacks that it stands for."""
    named = {method: weights_digest(method, SCALE) for method in METHODS}
    chosen, attacks = pictures(size, {"set5": 3, "set14": 3, "cbsd68": 2}), settings_digest(*_attacks(BUDGET[size]["steps"]), _random())
    return [
        cell
        for source, name in chosen
        for method, weights in named.items()
        for cell in grid(table=NAME, method=method, dataset=source, image=name, weights=weights, attacks=attacks, **BUDGET[size])
    ]


def _attacks(steps: int) -> list[Adversarial]:
    return [Adversarial(SCALE, strength=(STRENGTH, STRENGTH), steps=steps, step=step) for step in STEP_SIZES]


def _random() -> Random:
    return Random(SCALE, strength=(STRENGTH, STRENGTH))


def run(cell: Cell) -> dict[str, Any]:
    """PSNR of one restorer on one picture: clean, under random deviations, under attack."""
    p = cell.params
    restore, x = restorer(cell.method, SCALE), picture(cell.dataset, cell.image, SCALE, int(p["side"]))
    attacked, random = (
        [
            _score(restore, _degraded(kind, restore, x, seeded(cell.dataset, cell.image, i)), x)
            for kind in kinds
            for i in range(int(p["identities"]))
        ]
        for kinds in (_attacks(int(p["steps"])), [_random()] * len(STEP_SIZES))
    )
    clean = _score(restore, bicubic_downsample(x, SCALE), x)
    return {"clean": clean, "random": statistics.fmean(random), "attacked": statistics.fmean(attacked), "worst": min(attacked)}


def _degraded(kind: Degrader, restore: Restorer, x: Tensor, generator: torch.Generator) -> Tensor:
    return kind(x, None, generator=generator, loss=lambda y: (restore(y) - x).abs().mean())


@torch.no_grad()
def _score(restore: Callable[[Tensor], Tensor], y: Tensor, x: Tensor) -> float:
    return psnr(restore(y), x, border=SCALE).item()


def summarize(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Per method: mean PSNR over the pictures, and what the strongest attack takes from the clean score."""
    table = []
    for method in METHODS:
        found = [row for row in rows if row["method"] == method]
        if found:
            means = {kind: statistics.fmean(row[kind] for row in found) for kind in KINDS}
            table.append({"method": method, **means, "lost to the worst": means["clean"] - means["worst"], "n": len(found)})
    return table


def claims(rows: Sequence[Mapping[str, Any]], size: str) -> list[ClaimRecord]:
    """A5: training against the worst case raises the worst case."""
    values = {
        "worst case, adversarial over classical (dB)": over_pictures(rows, "adversarial", "classical", "worst"),
        "worst case, adversarial over random (dB)": over_pictures(rows, "adversarial", "random", "worst"),
        "worst case, adversarial over pipeline (dB)": shown(over_pictures(rows, "adversarial", "pipeline", "worst")),
        "worst case, adversarial over bicubic (dB)": shown(over_pictures(rows, "adversarial", "bicubic", "worst")),
        "random deviations, adversarial over random (dB)": shown(over_pictures(rows, "adversarial", "random", "random")),
    }
    return [
        ClaimRecord.decide(
            "A5",
            "AND Sec. 3.3",
            "Adversarial training raises the quality of the worst case, above that of classical training and of random deviations (the "
            "shipped nets, x2, under the strongest attack found; spreads are standard errors over pictures).",
            command=command_for(NAME, size),
            size=size,
            values=known(values),
            decidable=size != "smoke",
        )
    ]
