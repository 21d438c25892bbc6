"""Haze removed by the light GridDehazeNet, without a map, led by its proxy's depth, and told the true one; dark channel beside it.

Claim B8 (Bilevel Sec. 5.4, Table 2: 32.16 -> 32.19 dB indoors, 30.86 -> 30.90 dB outdoors, with the full GridDehazeNet). Haze
y = t x + (1 - t) A, t = exp(-beta d), A = 0.9; thin: beta = 0.08, thick: beta = 0.2 per "metre", 12 held-back pictures. Their depth is
MADE (`made_depth`: a plane and segments that stand on it), as it was in training. `motorcycle`: the bundled stereo pair's left view
with its measured depth, in no mean and no verdict. plain and guided: `light_griddehaze`, same pictures, haze, steps. guided, true
map: the guided net, handed d. Scores: Y, 8 bit, no border. Needs RESTOREKIT_DATA but for size smoke.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from ...degradations import round_to_8_bit
from ...images import bundled_depth
from ...nets.weather import DEPTH_UNIT
from ...weather import haze
from .. import Cell, ClaimRecord, command_for, grid
from ..recipes.weather import THICKNESS
from ._mlmc_trials import known, shown
from ._weather import GUIDED, INPUT, METHODS, PLAIN, TOLD, gap, means, restorer, score, scores, weather_cells, weights_digest

NAME = "haze_guidance"
SIZES = ("smoke", "quick")
REAL = "motorcycle"
REAL_SIZE = {"smoke": (64, 96), "quick": (200, 296)}


def cells(size: str) -> list[Cell]:
    """Picture x method, the picture with measured depth last."""
    made = weather_cells(NAME, "haze", size)
    real: list[Cell] = []
    for m in METHODS["haze"]:
        real += grid(
            table=NAME, method=m, dataset="measured depth", image=REAL, side=[REAL_SIZE[size][1]], weights=weights_digest("haze", m)
        )
    return made + real


def run(cell: Cell) -> dict[str, Any]:
    """PSNR and SSIM in thin and thick haze."""
    return dict(scores("haze", cell) if cell.image != REAL else _measured(cell))


@torch.no_grad()
def _measured(cell: Cell) -> dict[str, float]:
    """Scores on the picture whose depth was measured."""
    width = int(cell.params["side"])
    x, depth = bundled_depth(size=next(size for size in REAL_SIZE.values() if size[1] == width))
    found: dict[str, float] = {}
    for level, beta in THICKNESS.items():
        y = round_to_8_bit(haze(x, depth, beta=beta, airlight=0.9)[0])
        found |= score(restorer("haze", cell.method)(y, depth / DEPTH_UNIT), x, level)
    return found


def summarize(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Means over the pictures with made depth; below them the picture with measured depth."""
    parts = {"made": [r for r in rows if r["image"] != REAL], "measured": [r for r in rows if r["image"] == REAL]}
    return [{"depth": name, **row} for name, part in parts.items() for row in means(part, "haze")]


def claims(rows: Sequence[Mapping[str, Any]], size: str) -> list[ClaimRecord]:
    """B8: the depth map improves GridDehazeNet."""
    rows = [r for r in rows if r["image"] != REAL]
    values = {
        "guided over plain, thin haze (dB)": gap(rows, GUIDED, PLAIN, "thin"),
        "guided over plain, thick haze (dB)": gap(rows, GUIDED, PLAIN, "thick"),
        "thin: true depth over plain (dB)": shown(gap(rows, TOLD, PLAIN, "thin")),
        "thick: true depth over plain (dB)": shown(gap(rows, TOLD, PLAIN, "thick")),
        "thin: plain over dark channel (dB)": shown(gap(rows, PLAIN, "dark channel", "thin")),
        "thick: plain over dark channel (dB)": shown(gap(rows, PLAIN, "dark channel", "thick")),
        "thick: plain over input (dB)": shown(gap(rows, PLAIN, INPUT, "thick")),
    }
    return [
        ClaimRecord.decide(
            "B8",
            "Bilevel Table 2",
            "A depth map found by the proxy improves GridDehazeNet (light nets of ours, made depth; spreads are standard errors over "
            "pictures).",
            command=command_for(NAME, size),
            size=size,
            values=known(values),
            decidable=size != "smoke",
        )
    ]
