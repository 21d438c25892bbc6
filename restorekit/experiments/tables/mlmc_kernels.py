"""MLMC where kernels are not what it expects: wider Gaussians, camera shake, and real pictures whose kernel nobody knows.

Claims M4 (MLMC Table 3), M5 (Table 5) and M12 (Fig. 6 and 9). Pictures and budget: `_mlmc_trials`. M4: true variances in [0.35 s, 5 s]
px^2, while every method expects [0.175 s, 2.5 s]. M5, x2: kernels of random camera paths; `mlmc` draws Gaussians, `mlmc motion` draws
such paths, nothing else changes. M12, x2: the middle 36 x 36 pixels of RealSRSet pictures taken as y; there is no truth. departure: sum
|k - g|, g the Gaussian nearest to the kernel k that was found; 0: a Gaussian, 2: nothing in common. A network's kernel departs from a
Gaussian even where the truth is one, so the same is measured on pictures blurred by Gaussians (the control).

Size quick: 3 pictures x 3 seeds; wide with 4 methods (size paper also x4, and FKP-DIP and BSRDM), motion with 5, RealSRSet and its
control with 1 (paper 2); 63 runs of a learner.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from ...images import dataset
from ...kernels import gaussian_kernel, kernel_moments
from .. import Cell, ClaimRecord, Value, command_for, mean_and_spread
from ._mlmc import read_published
from ._mlmc_trials import Variant, at, fair, gap, known, observe, scores, shown, solve, trial_cells
from .mlmc_tuning import DOUBLE_DIP

NAME = "mlmc_kernels"
SIZES = ("smoke", "quick", "paper")
TRIVIAL = {"bicubic": Variant("bicubic"), "generic": Variant("generic")}
RIVALS = {"double_dip": DOUBLE_DIP, "fkp_dip": Variant("fkp_dip"), "bsrdm": Variant("bsrdm")}
OURS = {"mlmc": Variant(), "mlmc motion": Variant(prior="motion")}
WIDE = TRIVIAL | RIVALS | {"mlmc": OURS["mlmc"]}
PAPER_ONLY = ("fkp_dip", "bsrdm")
MOTION = TRIVIAL | {"double_dip": RIVALS["double_dip"]} | OURS
VARIANTS = WIDE | MOTION
REAL: dict[str, dict[str, tuple[str, ...]]] = {
    "quick": {"realsrset": ("Lincoln", "chip", "comic2")},
    "paper": {"realsrset": ("Lincoln", "chip", "comic2", "butterfly", "dped_crop00061", "ppt3")},
}
SIDE_OF_REAL = 36
PRINTED = {"double_dip": "Double-DIP", "fkp_dip": "FKP-DIP", "bsrdm": "BSRDM", "mlmc": "MLMC", "mlmc motion": "MLMC"}


def cells(size: str) -> list[Cell]:
    """Wide, motion, real, and Gaussian as control: degradation x method x picture x seed."""
    made = trial_cells(NAME, size, WIDE, degradation="wide", scale=[2, 4] if size == "paper" else 2)
    made += trial_cells(NAME, size, MOTION, live="mlmc motion", degradation="motion", scale=2)
    free = OURS if size == "paper" else {"mlmc": OURS["mlmc"]}
    if size != "smoke":  # RealSRSet is not at hand everywhere
        made += trial_cells(NAME, size, free, pictures=REAL[size], degradation="real", scale=2)
    made += trial_cells(NAME, size, free, degradation="gaussian", scale=2)
    return [cell for cell in made if size != "quick" or cell.method not in PAPER_ONLY]


def run(cell: Cell) -> dict[str, Any]:
    """Scores against the truth, and how far the found kernel is from a Gaussian; a real picture has only the latter."""
    if cell.degradation == "real":
        outcome = solve(cell, VARIANTS[cell.method], real_picture(cell.image))
        row: dict[str, Any] = {"seconds": outcome.seconds}
    else:
        x, y, kernel = observe(cell)
        outcome = solve(cell, VARIANTS[cell.method], y)
        row = scores(outcome, x, kernel, int(cell.params["scale"])) | {"true_departure": departure(kernel)}
    return row if outcome.kernel is None else row | {"departure": departure(outcome.kernel)}


@lru_cache(maxsize=8)
def real_picture(name: str) -> Tensor:
    """The middle SIDE_OF_REAL x SIDE_OF_REAL gray pixels of a picture of RealSRSet."""
    x = dataset("realsrset")[name].load(gray=True)
    top, left = (int(n - SIDE_OF_REAL) // 2 for n in x.shape[-2:])
    return x[..., top : top + SIDE_OF_REAL, left : left + SIDE_OF_REAL]


def nearest_gaussian(k: Tensor) -> Tensor:
    """argmin over Gaussians g of |k - g|^2 (widths, angle and mean), by L-BFGS from the kernel's moments; (1, 1, kh, kw), float64."""
    k = k.detach().double().cpu()
    _, mean, covariance = kernel_moments(k)
    values, vectors = torch.linalg.eigh(covariance[0])
    widths = values.clamp(min=0.1).sqrt().log()
    angle = torch.atan2(vectors[0, 0], vectors[1, 0])  # of the axis of values[0]; rows first
    free = torch.cat([widths, angle[None], mean[0]]).requires_grad_()
    optimizer = torch.optim.LBFGS([free], max_iter=200, line_search_fn="strong_wolfe")

    def draw() -> Tensor:
        sigma = free[:2].clamp(-2, 2.5).exp()
        return gaussian_kernel(k.shape[-1], sigma[None], free[2], free[3:], dtype=torch.float64)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = 1e3 * (k - draw()).square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    return draw().detach()


def departure(k: Tensor) -> float:
    """sum |k - g|, g = `nearest_gaussian(k)`."""
    return float((k.double().cpu() - nearest_gaussian(k)).abs().sum())


def summarize(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Per degradation, scale and method: means with their seed spread."""
    values = ("psnr", "ssim", "kernel_psnr", "kernel_distance", "width_error", "departure", "true_departure", "seconds")
    return mean_and_spread(fair(rows), by=("degradation", "scale", "method"), values=values)


def beside_print(rows: Sequence[Mapping[str, Any]], degradation: str, data: str = "Set14") -> list[dict[str, Any]]:
    """Per scale and method: PSNR and kernel distance here, PSNR as printed in Table 3 ('wide') or 5 ('motion')."""
    table = {"wide": "mlmc_table3", "motion": "mlmc_table5"}[degradation]
    printed = {(r["method"], r["scale"]): float(r["psnr"]) for r in read_published(table) if r["dataset"] == data}
    return [
        {
            "scale": row["scale"],
            "method": row["method"],
            **{new: row[old] for old, new in (("psnr", "PSNR"), ("psnr_spread", "PSNR_spread"))},
            "kernel distance": row["kernel_distance"],
            "kernel distance_spread": row["kernel_distance_spread"],
            f"printed, {data}": printed.get((PRINTED.get(row["method"], ""), str(row["scale"]))),
        }
        for row in summarize(rows)
        if row["degradation"] == degradation
    ]


def claims(rows: Sequence[Mapping[str, Any]], size: str) -> list[ClaimRecord]:
    """M4: wide kernels; M5: motion kernels; M12: non-Gaussian kernels on real pictures."""

    wide = {f"over {name} (dB)": gap(rows, "mlmc", name, where=at(degradation="wide")) for name in ("bicubic", "generic", *RIVALS)}
    wide |= {
        f"kernel distance, below {name}": gap(rows, "mlmc", name, "kernel_distance", sign=-1, where=at(degradation="wide"))
        for name in RIVALS
    }
    motion = {f"over {name} (dB)": gap(rows, "mlmc motion", name, where=at(degradation="motion")) for name in ("bicubic", "double_dip")}
    motion["kernel distance, below double_dip"] = gap(
        rows, "mlmc motion", "double_dip", "kernel_distance", sign=-1, where=at(degradation="motion")
    )
    motion["over MLMC that draws Gaussians (dB)"] = shown(gap(rows, "mlmc motion", "mlmc", where=at(degradation="motion")))
    real = {f"{name}: departure, real minus control": _departures(rows, name) for name in OURS}
    texts = {
        "M4": (
            "MLMC Table 3",
            "MLMC survives kernels wider than it expects, better than other methods do.",
            wide,
        ),
        "M5": ("MLMC Table 5", "MLMC restores motion blur without training, by drawing motion kernels; better than Double-DIP.", motion),
        "M12": (
            "MLMC Fig. 6 and 9",
            "On real pictures MLMC finds kernels that are not Gaussian. Without a truth this can be seen, not judged: a kernel that is no "
            "Gaussian may be right, or noise.",
            real,
        ),
    }
    return [
        ClaimRecord.decide(id, where, text, command=command_for(NAME, size), size=size, values=values, decidable=size != "smoke")
        for id, (where, text, found) in texts.items()
        if (values := known(found))
    ]


def _departures(rows: Sequence[Mapping[str, Any]], method: str) -> Value | None:
    """Mean departure on real pictures minus that on Gaussian-blurred ones; spread over seeds. The pictures differ."""
    by_seed: dict[tuple[str, int], list[float]] = {}
    for row in fair(rows):
        if row["method"] == method and row["degradation"] in ("real", "gaussian") and row.get("departure") is not None:
            by_seed.setdefault((row["degradation"], row["seed"]), []).append(row["departure"])
    means = {key: statistics.fmean(values) for key, values in by_seed.items()}
    gaps = [mean - means["gaussian", seed] for (kind, seed), mean in means.items() if kind == "real" and ("gaussian", seed) in means]
    return Value(statistics.fmean(gaps), statistics.stdev(gaps) if len(gaps) > 1 else None, len(gaps), margin=True) if gaps else None
