"""A small search for what the claims' tables leave open, on pictures that no table reports: rho, and Double-DIP's step size.

lr: the step size of Double-DIP's kernel net without noise, since that of the preset was chosen for MLMC. rho: the weight of each
regularizer in MLMC Eq. 35 under noise, one picture with 3.92% and one with 7.84%, level unknown, without the closing data step. RHO and
LR_DOUBLE_DIP hold the best by mean PSNR. y blurred by Gaussians, x2; budget: `_mlmc_trials`; bundled pictures.

Size quick: 3 step sizes x 2 pictures, 9 weights x 2 observations; 24 runs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .. import Cell, mean_and_spread
from ._mlmc_trials import Variant, run_trial, trial_cells

NAME = "mlmc_tuning"
SIZES = ("smoke", "quick")
RHO = {"hyper_laplacian": 1.0, "tv": 3.0, "tikhonov": 30.0, "none": 0.0}  # in the paper's order, best first
LR_DOUBLE_DIP = 5e-5
TRIED = {
    "hyper_laplacian": (0.3, 1.0, 3.0),
    "tv": (1.0, 3.0, 10.0),
    "tikhonov": (10.0, 30.0, 100.0),
    "double_dip": (2e-5, 5e-5, 2e-4),
}
PICTURES = {"bundled": ("coffee", "astronaut")}
NOISE = (3.92, 7.84)  # per cent of the range
SEARCHED = {("coffee", 0.0), ("astronaut", 0.0), ("coffee", 3.92), ("astronaut", 7.84)}


def variant(name: str, value: float) -> Variant:
    """Double-DIP with a step size of its kernel net; or MLMC with a regularizer and no closing data step, which would fit the noise."""
    if name == "double_dip":
        return Variant(name, {"lr_kernel": value})
    return Variant(changes={"regularizer": name, "rho": value, "data_weight": 0.0})


DOUBLE_DIP = variant("double_dip", LR_DOUBLE_DIP)
VARIANTS = {f"{name} {value:g}": variant(name, value) for name, tried in TRIED.items() for value in tried}


def cells(size: str) -> list[Cell]:
    """Name and value x picture, each picture with one noise level; one seed."""
    made = []
    for name, item in VARIANTS.items():
        noise = 0.0 if item.learner == "double_dip" else list(NOISE)
        made += trial_cells(NAME, size, {name: item}, pictures=PICTURES, degradation="gaussian", scale=2, noise=noise)
    return [c for c in made if c.seed == 0 and (size == "smoke" or (c.image, c.params["noise"]) in SEARCHED)]


def run(cell: Cell) -> dict[str, Any]:
    """Scores of one value on one observation."""
    return run_trial(cell, VARIANTS[cell.method])


def summarize(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Per name and value: means over the observations."""
    return mean_and_spread(rows, by=("method",), values=("psnr", "kernel_distance", "width_error", "seconds"))


def best(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """The value of highest mean PSNR for each name: what RHO and LR_DOUBLE_DIP must be."""
    means = {row["method"]: row["psnr"] for row in summarize(rows)}
    return {name: max(tried, key=lambda value: means[f"{name} {value:g}"]) for name, tried in TRIED.items()}
