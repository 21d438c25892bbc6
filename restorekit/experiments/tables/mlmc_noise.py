"""MLMC under noise: which regularizer helps, and whether MLMC beats the methods with a learned or an explicit kernel prior.

Claims M6 (MLMC Table 7) and M10 (Table 4). Pictures and budget: `_mlmc_trials`; Gaussian kernels, x2, Gaussian noise of 3.92% and
7.84% added to y, its level unknown to all methods (Eq. 36 estimates it). No method has a closing data step here, since that step would
fit the noise. hyper_laplacian: sum |f * x|^(2/3); tv: sum |f * x|; tikhonov: sum |f * x|^2; none. Each has the weight rho that is best
in table `mlmc_tuning`, on pictures that are not in this one. Rivals have the hyper-Laplacian too, with MLMC's weight.

Size quick: 3 pictures x 3 seeds x 6 methods at 7.84%; 54 runs of a learner. Size paper has both noise levels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .. import Cell, ClaimRecord, Value, command_for, mean_and_spread
from ._mlmc import read_published
from ._mlmc_trials import Variant, at, fair, gap, known, run_trial, trial_cells
from .mlmc_tuning import NOISE, RHO, variant

NAME = "mlmc_noise"
SIZES = ("smoke", "quick", "paper")
REGULARIZED = {name: variant(name, rho) for name, rho in RHO.items()}
RIVALS = {name: Variant(name, REGULARIZED["hyper_laplacian"].changes) for name in ("fkp_dip", "bsrdm")}
VARIANTS = {"bicubic": Variant("bicubic"), **RIVALS, **REGULARIZED}
PRINTED = {"fkp_dip": "FKP-DIP", "bsrdm": "BSRDM", "hyper_laplacian": "MLMC"}


def cells(size: str) -> list[Cell]:
    """Method x picture x seed x noise level."""
    noise = list(NOISE) if size == "paper" else NOISE[-1]
    return trial_cells(NAME, size, VARIANTS, live="hyper_laplacian", degradation="gaussian", scale=2, noise=noise)


def run(cell: Cell) -> dict[str, Any]:
    """Scores of one method on one observation."""
    return run_trial(cell, VARIANTS[cell.method])


def summarize(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Per noise level and method: means with their seed spread."""
    values = ("psnr", "ssim", "kernel_psnr", "kernel_distance", "width_error", "seconds")
    return mean_and_spread(fair(rows), by=("noise", "method"), values=values)


def beside_print(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Per noise level and regularizer: PSNR here (x2) and as printed in Table 7 (Set5, x4); and the rivals, Table 4 (Set14, x2)."""
    table7 = {(float(r["noise_percent"]), r["regularizer"]): float(r["psnr"]) for r in read_published("mlmc_table7")}
    table4 = {(float(r["noise_percent"]), r["method"]): float(r["psnr"]) for r in read_published("mlmc_table4") if r["scale"] == "2"}
    return [
        {
            "noise (%)": row["noise"],
            "method": row["method"],
            **{new: row[old] for old, new in (("psnr", "PSNR"), ("psnr_spread", "PSNR_spread"))},
            "kernel distance": row["kernel_distance"],
            "kernel distance_spread": row["kernel_distance_spread"],
            "printed, Table 7": table7.get((row["noise"], row["method"])),
            "printed, Table 4": table4.get((row["noise"], PRINTED.get(row["method"], ""))),
        }
        for row in summarize(rows)
    ]


def claims(rows: Sequence[Mapping[str, Any]], size: str) -> list[ClaimRecord]:
    """M6: the order of the regularizers; M10: MLMC over FKP-DIP and BSRDM."""
    order = list(RHO)
    regularizers: dict[str, Value | None] = {}
    rivals: dict[str, Value | None] = {}
    for noise in NOISE:
        for better, worse in zip(order, order[1:], strict=False):
            regularizers[f"{better} over {worse}, {noise}% (dB)"] = gap(rows, better, worse, where=at(noise=noise))
        for name in ("fkp_dip", "bsrdm"):
            rivals[f"over {name}, {noise}% (dB)"] = gap(rows, "hyper_laplacian", name, where=at(noise=noise))
    texts = {
        "M6": ("MLMC Table 7", "Under noise the hyper-Laplacian is better than TV, TV than Tikhonov, Tikhonov than none.", regularizers),
        "M10": ("MLMC Table 4", "Under noise MLMC is better than FKP-DIP and BSRDM.", rivals),
    }
    return [
        ClaimRecord.decide(id, where, text, command=command_for(NAME, size), size=size, values=values, decidable=size != "smoke")
        for id, (where, text, found) in texts.items()
        if (values := known(found))
    ]
