"""Which weight rho suits each regularizer of MLMC under noise: a small search on pictures that no table reports.

Loss of MLMC Eq. 35 with rho times the regularizer; y blurred by Gaussians, x2, noise of 3.92% and 7.84%, level unknown; budget:
`_mlmc_trials`, without the closing data step. Pictures: bundled ones. RHO holds the best weight of each regularizer by mean PSNR over
both levels; `mlmc_noise` uses it.

Size quick: 2 pictures x 1 seed x 2 noise levels x 10 weights; 40 runs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .. import Cell, mean_and_spread
from ._mlmc_trials import Variant, run_trial, trial_cells

NAME = "mlmc_rho"
SIZES = ("smoke", "quick")
RHO = {"hyper_laplacian": 0.03, "tv": 0.1, "tikhonov": 1.0, "none": 0.0}  # in the paper's order, best first
TRIED = {"hyper_laplacian": (0.01, 0.1, 1.0), "tv": (0.03, 0.3, 3.0), "tikhonov": (0.3, 3.0, 30.0), "none": (0.0,)}
PICTURES = {"bundled": ("coffee", "astronaut")}
NOISE = (3.92, 7.84)


def regularized(name: str, rho: float) -> Variant:
    """MLMC with one regularizer and no closing data step, which would fit the noise."""
    return Variant(changes={"regularizer": name, "rho": rho, "data_weight": 0.0})


VARIANTS = {f"{name} {rho:g}": regularized(name, rho) for name, tried in TRIED.items() for rho in tried}


def cells(size: str) -> list[Cell]:
    """Regularizer and weight x picture x noise level, one seed."""
    made = trial_cells(NAME, size, VARIANTS, pictures=PICTURES, degradation="gaussian", scale=2, noise=list(NOISE))
    return [cell for cell in made if cell.seed == 0]


def run(cell: Cell) -> dict[str, Any]:
    """Scores of one weight on one observation."""
    return run_trial(cell, VARIANTS[cell.method])


def summarize(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Per regularizer and weight: means over pictures and noise levels."""
    return mean_and_spread(rows, by=("method",), values=("psnr", "kernel_distance", "width_error", "seconds"))


def best(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """The weight of highest mean PSNR for each regularizer: what RHO must be."""
    means = {row["method"]: row["psnr"] for row in summarize(rows)}
    return {name: max(tried, key=lambda rho: means[f"{name} {rho:g}"]) for name, tried in TRIED.items()}
