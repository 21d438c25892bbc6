"""A small search for what the claims' tables leave open, on pictures that no table reports: rho, and Double-DIP's step size.

rho: the weight of each regularizer in MLMC Eq. 35 under noise of 3.92% and 7.84%, level unknown, without the closing data step; RHO holds
the best of each by mean PSNR over both levels, `mlmc_noise` uses it. lr: the step size of Double-DIP's kernel net without noise;
that of TRIAL was chosen for MLMC, whose net starts near a Gaussian. y blurred by Gaussians, x2; budget: `_mlmc_trials`. Pictures:
bundled ones.

Size quick: 2 pictures x 1 seed; 10 weights x 2 noise levels, 4 step sizes; 48 runs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .. import Cell, mean_and_spread
from ._mlmc_trials import Variant, run_trial, trial_cells

NAME = "mlmc_tuning"
SIZES = ("smoke", "quick")
RHO = {"hyper_laplacian": 1.0, "tv": 1.0, "tikhonov": 10.0, "none": 0.0}  # in the paper's order, best first
LR_DOUBLE_DIP = 2e-4
TRIED = {
    "hyper_laplacian": (0.1, 1.0, 10.0),
    "tv": (0.1, 1.0, 10.0),
    "tikhonov": (1.0, 10.0, 100.0),
    "none": (0.0,),
    "double_dip": (5e-5, 2e-4, 5e-4, 1e-3),
}
PICTURES = {"bundled": ("coffee", "astronaut")}
NOISE = (3.92, 7.84)  # per cent of the range


def variant(name: str, value: float) -> Variant:
    """MLMC with one regularizer of weight rho and no closing data step, which would fit the noise; or Double-DIP with a step size."""
    if name == "double_dip":
        return Variant("double_dip", {"lr_kernel": value})
    return Variant(changes={"regularizer": name, "rho": value, "data_weight": 0.0})


DOUBLE_DIP = variant("double_dip", LR_DOUBLE_DIP)
VARIANTS = {f"{name} {value:g}": variant(name, value) for name, tried in TRIED.items() for value in tried}


def cells(size: str) -> list[Cell]:
    """Name and value x picture x noise level, one seed."""
    made = []
    for name, item in VARIANTS.items():
        noise = 0.0 if item.learner == "double_dip" else list(NOISE)
        made += trial_cells(NAME, size, {name: item}, pictures=PICTURES, degradation="gaussian", scale=2, noise=noise)
    return [cell for cell in made if cell.seed == 0]


def run(cell: Cell) -> dict[str, Any]:
    """Scores of one value on one observation."""
    return run_trial(cell, VARIANTS[cell.method])


def summarize(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Per name and value: means over pictures and noise levels."""
    return mean_and_spread(rows, by=("method",), values=("psnr", "kernel_distance", "width_error", "seconds"))


def best(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """The value of highest mean PSNR for each name: what RHO and LR_DOUBLE_DIP must be."""
    means = {row["method"]: row["psnr"] for row in summarize(rows)}
    return {name: max(tried, key=lambda value: means[f"{name} {value:g}"]) for name, tried in TRIED.items()}
