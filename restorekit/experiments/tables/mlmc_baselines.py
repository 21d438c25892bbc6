"""MLMC against the other unsupervised methods at x2, x3 and x4, with one budget, and its hand-off to a non-blind restorer.

Claims M1 (MLMC Table 1), M9 and M11 (Table 2). Pictures, kernels and budget: `_mlmc_trials`. Each method is told the grid, has the
same image net, number of image steps, averaging and closing data step; `pam` and `kernelgan` have no such net. `bicubic` is
aligned; `generic` inverts one guessed Gaussian. handoff: PSNR of `nonblind` (half-quadratic splitting with the shipped denoiser) with
the kernel that MLMC, or Double-DIP, found on the same y.

Size quick: 3 pictures x 3 seeds x 3 scales x 9 methods (`kernelgan` and `dip` at x2 only, `fkp_dip` and `bsrdm` not at x3 below size
paper); 129 runs of a learner.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ...methods.handoff import nonblind
from ...metrics import psnr
from .. import Cell, ClaimRecord, Value, command_for, mean_and_spread
from ._mlmc import margin, read_published
from ._mlmc_trials import LIVE, Variant, at, differences, fair, gap, known, observe, scores, shown, solve, trial_cells
from .mlmc_tuning import DOUBLE_DIP

NAME = "mlmc_baselines"
SIZES = ("smoke", "quick", "paper")
VARIANTS = {
    "bicubic": Variant("bicubic"),
    "generic": Variant("generic"),
    "pam": Variant("pam"),
    "dip": Variant("dip"),
    "kernelgan": Variant("kernelgan"),
    "double_dip": DOUBLE_DIP,
    "fkp_dip": Variant("fkp_dip"),
    "bsrdm": Variant("bsrdm"),
    "mlmc": Variant(),
}
X2_ONLY = ("kernelgan", "dip")
NOT_X3 = ("fkp_dip", "bsrdm")  # below size paper
HANDED_ON = ("mlmc", "double_dip")
PRINTED = {  # our names -> those of MLMC Table 1
    "bicubic": "Bicubic",
    "pam": "PAM",
    "dip": "DIP",
    "kernelgan": "KernelGAN+ZSSR",
    "double_dip": "Double-DIP",
    "fkp_dip": "FKP-DIP",
    "bsrdm": "BSRDM",
    "mlmc": "MLMC",
}
SUPERVISED = ("BSRGAN", "RCAN", "KDSR", "UDKE", "DASR", "KXNet", "KULNet", "MANet+USRNet")


def cells(size: str) -> list[Cell]:
    """Method x picture x seed x scale."""
    scales = [2] if size == "smoke" else [2, 3, 4]
    made = trial_cells(NAME, size, VARIANTS, live="mlmc", degradation="gaussian", scale=scales)
    made = [c for c in made if c.method not in X2_ONLY or c.params["scale"] == 2]
    return [c for c in made if size == "paper" or c.method not in NOT_X3 or c.params["scale"] != 3]


def run(cell: Cell) -> dict[str, Any]:
    """Scores of one method on one observation; of two methods also with their kernel handed on."""
    x, y, kernel = observe(cell)
    scale = int(cell.params["scale"])
    outcome = solve(cell, VARIANTS[cell.method], y)
    row = scores(outcome, x, kernel, scale)
    if cell.method in HANDED_ON and outcome.kernel is not None:
        row["handoff"] = psnr(nonblind(y, outcome.kernel, scale, sigma=0.0), x, border=scale).item()
    return row


def summarize(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Per scale and method: means with their seed spread."""
    values = ("psnr", "ssim", "kernel_psnr", "kernel_distance", "width_error", "handoff", "seconds")
    return mean_and_spread(fair(rows), by=("scale", "method"), values=values)


def beside_print(rows: Sequence[Mapping[str, Any]], dataset: str = "Set14") -> list[dict[str, Any]]:
    """Per scale and method: PSNR and kernel distance here (our pictures, small budget), PSNR as printed for a dataset."""
    printed = {(row["method"], row["scale"]): float(row["psnr"]) for row in read_published("mlmc_table1") if row["dataset"] == dataset}
    return [
        {
            "scale": row["scale"],
            "method": row["method"],
            "PSNR": row["psnr"],
            "PSNR_spread": row["psnr_spread"],
            "distance": row["kernel_distance"],
            "printed": printed.get((PRINTED.get(row["method"], ""), str(row["scale"]))),
        }
        for row in summarize(rows)
    ]


def claims(rows: Sequence[Mapping[str, Any]], size: str) -> list[ClaimRecord]:
    """M1: MLMC over each other method; M9: handing its kernel on; M11, printed numbers only."""
    options: dict[str, Any] = {"command": command_for(NAME, size), "size": size}
    over = {f"over {name} (dB)": gap(rows, "mlmc", name) for name in VARIANTS if name != "mlmc"}
    per_scale = {
        f"x{scale}, over {name} (dB)": shown(gap(rows, "mlmc", name, where=at(scale=scale)))
        for scale in (2, 3, 4)
        for name in ("bicubic", "double_dip", "bsrdm")
    }
    handed = [row for row in fair(rows) if row["method"] == "mlmc" and row.get("handoff") is not None]
    gains = {"handed on, over MLMC's own picture (dB)": margin(handed, lambda row: row["handoff"] - row["psnr"])}
    for row in handed_over(rows):
        gains[f"x{row['scale']} (dB)"] = Value(row["difference"], row["difference_spread"], row["n"])
    small = size == "smoke"
    return [
        ClaimRecord.decide(
            "M1",
            "MLMC Table 1",
            "MLMC beats the other unsupervised methods at x2, x3 and x4.",
            values=known({**over, **per_scale}),
            decidable=not small,
            **options,
        ),
        ClaimRecord.decide(
            "M9",
            "MLMC Table 2",
            "MLMC's kernel with a non-blind restorer is better than MLMC alone; here half-quadratic splitting with our denoiser, "
            "in the paper USRNet.",
            values=known(gains),
            decidable=not small,
            **options,
        ),
        ClaimRecord.decide(
            "M11",
            "MLMC Table 2",
            "Without training, MLMC beats most nets that were trained on pairs; these nets are not here, only printed numbers are.",
            values=printed_over_supervised(),
            decidable=False,
            **options,
        ),
    ]


def printed_over_supervised() -> dict[str, Value]:
    """PSNR of MLMC minus that of each supervised net in MLMC Table 2, mean over its four datasets."""
    table = {(row["method"], row["dataset"]): float(row["psnr"]) for row in read_published("mlmc_table2")}
    datasets = [dataset for method, dataset in table if method == "MLMC"]
    return {
        f"printed, over {name} (dB)": Value(sum(table["MLMC", d] - table[name, d] for d in datasets) / len(datasets)) for name in SUPERVISED
    }


def handed_over(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Per scale: what handing MLMC's kernel on gains, in dB."""
    mine = [row for row in fair(rows) if row["method"] == "mlmc" and row.get("handoff") is not None]
    full = [{**row, "difference": row["handoff"] - row["psnr"]} for row in mine]
    return mean_and_spread(full, by=("scale",), values=("psnr", "handoff", "difference"))


def wins(rows: Sequence[Mapping[str, Any]], other: str) -> str:
    """In how many observations MLMC's PSNR exceeds that of another method."""
    pairs = differences(rows, "mlmc", other)
    return f"{sum(pair['difference'] > 0 for pair in pairs)} of {len(pairs)}"


def lead(rows: Sequence[Mapping[str, Any]]) -> tuple[float, str]:
    """MLMC's mean PSNR minus that of the best other learner or baseline that was run at every scale, and its name."""
    found = {name: gap(rows, "mlmc", name) for name in VARIANTS if name not in ("mlmc", *X2_ONLY)}
    name, value = min(known(found).items(), key=lambda item: item[1].value)
    return value.value, name


def live_cell(size: str = "quick") -> Cell:
    """The cell that a page computes again: MLMC at x2 on the bundled picture."""
    return next(c for c in cells(size) if (c.dataset, c.image) == LIVE and c.params["scale"] == 2 and c.method == "mlmc")
