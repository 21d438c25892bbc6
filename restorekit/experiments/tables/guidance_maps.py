"""How well the noise map is found: the proxy beside the closed form, in RMSE of the map, at each level and on four quadrants.

24 pictures and 16 kernels that no net was trained on (`_guidance`). `proxy`: H_theta of `guided_tiny`, two seeds of training;
`classical <window>`: `estimate_sigma` averaged in windows of so many pixels; `classical whole`: one number for the picture; `both`: the
mean of the proxy's map and the closed form's at the window that `guidance_map` takes. In per cent of the range of the picture.

Needs RESTOREKIT_DATA but for size smoke.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ...degradations import estimate_sigma
from ...methods.guided_restoration import guidance_map
from .. import Cell, grid, mean_and_spread
from ._guidance import LEVELS, PICTURES, QUADRANTS, SEEDS, SIDE, nets, observe, weights_digest

NAME = "guidance_maps"
SIZES = ("smoke", "quick")
NET = "guided_tiny"
WINDOWS = (9, 25, 49)
COLUMNS = {"smoke": ("3%", QUADRANTS), "quick": (*LEVELS, QUADRANTS)}


def cells(size: str) -> list[Cell]:
    """Estimate x picture, and x seed for those of the proxy."""
    fixed: dict[str, Any] = {"table": NAME, "side": 64 if size == "smoke" else SIDE, "levels": ", ".join(COLUMNS[size])}
    made = []
    for source, name in PICTURES[size]:
        plain = [*(f"classical {w}" for w in WINDOWS), "classical whole"]
        made += grid(method=plain, dataset=source, image=name, **fixed)
        for seed in SEEDS:
            if digest := weights_digest(NET, seed):
                made += grid(method=["proxy", "both"], dataset=source, image=name, seed=seed, weights=digest, **fixed)
    return made


@torch.no_grad()
def run(cell: Cell) -> dict[str, Any]:
    """RMSE of the map and its mean error (bias), in per cent, by level."""
    found = {}
    for level in str(cell.params["levels"]).split(", "):
        _, y, _, sigma = observe(cell.dataset, cell.image, level, int(cell.params["side"]))
        error = 100 * (_estimate(cell, y) - sigma)
        found[f"rmse {level}"], found[f"bias {level}"] = error.square().mean().sqrt().item(), error.mean().item()
    return found


def _estimate(cell: Cell, y: Tensor) -> Tensor:
    kind, _, window = cell.method.partition(" ")
    if kind != "classical":
        return guidance_map(y, nets(NET, cell.seed)[1], kind)
    return estimate_sigma(y).reshape(-1, 1, 1, 1) if window == "whole" else guidance_map(y, guide="classical", window=int(window))


def summarize(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Per estimate: RMSE and bias at each level, with the spread over seeds."""
    columns = tuple(key for key in rows[0] if key.startswith(("rmse", "bias")))
    return mean_and_spread(rows, by=("method",), values=columns)
