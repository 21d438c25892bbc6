"""A small search for what the claims' tables leave open, on pictures that no table reports: rho, and the kernel nets' step size.

lr: the step size of the kernel net of `mlmc` and of `double_dip` at the budget of `_mlmc_trials`, without noise; `_mlmc_trials` takes
the best of each. rho: the weight of each regularizer in MLMC Eq. 35 under noise of 3.92% and 7.84%, level unknown, without the closing
data step; RHO, for `mlmc_noise`, holds the best of each by mean PSNR over both levels. y blurred by Gaussians, x2; bundled pictures.

Size quick: 2 pictures x 1 seed; 3 step sizes for each of the two, 10 weights x 2 noise levels; 52 runs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .. import Cell, mean_and_spread
from ._mlmc_trials import LR, Variant, run_trial, trial_cells

NAME = "mlmc_tuning"
SIZES = ("smoke", "quick")
RHO = {"hyper_laplacian": 1.0, "tv": 1.0, "tikhonov": 10.0, "none": 0.0}  # in the paper's order, best first
TRIED = {
    "hyper_laplacian": (0.1, 1.0, 10.0),
    "tv": (0.1, 1.0, 10.0),
    "tikhonov": (1.0, 10.0, 100.0),
    "none": (0.0,),
    "mlmc": (2e-5, 5e-5, 2e-4),
    "double_dip": (2e-5, 5e-5, 2e-4),
}
PICTURES = {"bundled": ("coffee", "astronaut")}
NOISE = (3.92, 7.84)  # per cent of the range


def variant(name: str, value: float) -> Variant:
    """A method with a step size of its kernel net; or MLMC with a regularizer and no closing data step, which would fit the noise."""
    if name in LR:
        return Variant(name, {"lr_kernel": value})
    return Variant(changes={"regularizer": name, "rho": value, "data_weight": 0.0})


DOUBLE_DIP = variant("double_dip", LR["double_dip"])
VARIANTS = {f"{name} {value:g}": variant(name, value) for name, tried in TRIED.items() for value in tried}


def cells(size: str) -> list[Cell]:
    """Name and value x picture x noise level, one seed."""
    made = []
    for name, item in VARIANTS.items():
        noise = 0.0 if name.split()[0] in LR else list(NOISE)
        made += trial_cells(NAME, size, {name: item}, pictures=PICTURES, degradation="gaussian", scale=2, noise=noise)
    return [cell for cell in made if cell.seed == 0]


def run(cell: Cell) -> dict[str, Any]:
    """Scores of one value on one observation."""
    return run_trial(cell, VARIANTS[cell.method])


def summarize(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Per name and value: means over pictures and noise levels."""
    return mean_and_spread(rows, by=("method",), values=("psnr", "kernel_distance", "width_error", "seconds"))


def best(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """The value of highest mean PSNR for each name: what RHO and LR must be."""
    means = {row["method"]: row["psnr"] for row in summarize(rows)}
    return {name: max(tried, key=lambda value: means[f"{name} {value:g}"]) for name, tried in TRIED.items()}
