"""What a wrong offset costs: bicubic and deconvolution whose assumed kernel centroid is off by d pixels.

y = (x * k) down s, rounded to 8 bit, no noise; k a random Gaussian of MLMC Sec. 5.1 (eigen-variances uniform in
[0.175 s, 2.5 s] px^2) whose centroid is held at m = +(s-1)/2 px on both axes, as in the published test data; circular
blur. Each method is told a centroid m - d. d = 0 is the aligned grid; d = s - 1 is ordinary resizing, which assumes
-(s-1)/2: the layout of the published bicubic row. Deconvolution: one closed-form data step from bicubic on its own grid,
rho = 0.01, with the true kernel but for its offset. Scores: 8 bit, luma, border of s pixels cropped.

Sizes smoke and quick take the bundled pictures; paper takes Set5 from the folder named by RESTOREKIT_DATA.
"""

from __future__ import annotations

import csv
import zlib
from collections.abc import Mapping, Sequence
from functools import lru_cache
from math import pi
from typing import Any

import torch
from torch import Tensor

from ..._random import uniform
from ...degradations import round_to_8_bit
from ...images import bundled, dataset
from ...kernels import centered_gaussian
from ...methods.baselines.bicubic import bicubic
from ...metrics import psnr, ssim
from ...operators import BlurDown
from .. import Cell, ClaimRecord, Value, command_for, data_folder, grid, mean_and_spread

NAME = "alignment"
SIZES = ("smoke", "quick", "paper")
PICTURES = {"smoke": ("camera",), "quick": ("astronaut", "camera", "cat", "coffee", "motorcycle")}
SET5 = ("baby_GT", "bird_GT", "butterfly_GT", "head_GT", "woman_GT")
SEEDS = {"smoke": (0,), "quick": (0, 1, 2, 3), "paper": (0, 1, 2, 3)}
FRACTIONS = (0.0, 0.25, 0.5, 1.0)
RHO = 0.01


def cells(size: str) -> list[Cell]:
    """Scale x method x picture x seed x offset; the largest offset, s - 1, is that of the published bicubic row."""
    source, names = ("set5", SET5) if size == "paper" else ("bundled", PICTURES[size])
    made = []
    for scale in (2,) if size == "smoke" else (2, 3, 4):
        offsets = sorted({*FRACTIONS, *(float(d) for d in range(1, scale))})
        axes = {"image": list(names), "seed": list(SEEDS[size]), "scale": scale, "offset": offsets}
        made += grid(table=NAME, method=["bicubic", "deconvolution"], dataset=source, degradation="gaussian, circular, 8 bit", **axes)
    return made


def run(cell: Cell) -> dict[str, Any]:
    """PSNR and SSIM of one method on one picture, its assumed centroid off by `offset` px on both axes."""
    x, guess = restore(cell)
    scale = int(cell.params["scale"])
    return {"psnr": psnr(guess, x, border=scale).item(), "ssim": ssim(guess, x, border=scale).item()}


def restore(cell: Cell) -> tuple[Tensor, Tensor]:
    """The true picture of a cell and what its method makes of the degraded one."""
    scale, offset = int(cell.params["scale"]), float(cell.params["offset"])
    x = _picture(cell.dataset, cell.image, scale)
    m = (scale - 1) / 2
    kernel = _kernel(cell, m)
    y = round_to_8_bit(BlurDown(kernel, scale)(x))
    told = (m - offset, m - offset)
    guess = bicubic(y, scale, align=told)
    if cell.method == "deconvolution":
        guess = BlurDown(_kernel(cell, told[0]), scale).prox(guess, y, RHO)
    return x, guess


def summarize(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Mean over pictures and seeds per scale, method and offset, with the seed spread; `loss` is against offset 0."""
    best = {_key(row): row["psnr"] for row in rows if row["offset"] == 0}
    full = [{**row, "loss": best[_key(row)] - row["psnr"]} for row in rows if _key(row) in best]
    return mean_and_spread(full, by=("dataset", "scale", "method", "offset"), values=("psnr", "ssim", "loss"))


def published(dataset: str = "Set5") -> dict[tuple[str, int], float]:
    """PSNR printed in MLMC Table 1 for a dataset: (method, scale) -> dB."""
    with open(data_folder("published") / "mlmc_table1.csv", encoding="utf-8", newline="") as file:
        return {(row["method"], int(row["scale"])): float(row["psnr"]) for row in csv.DictReader(file) if row["dataset"] == dataset}


def find(rows: Sequence[Mapping[str, Any]], size: str, **wanted: Any) -> tuple[Cell, Mapping[str, Any]]:
    """The first stored row with these values, and its cell."""
    row = next(row for row in rows if wanted.items() <= row.items())
    return next(cell for cell in cells(size) if cell.id == row["id"]), row


def loss_curves(rows: Sequence[Mapping[str, Any]], scales: Sequence[int]) -> dict[str, tuple[list[float], list[float]]]:
    """For plots: "method, x2" -> (offsets in px, mean loss in dB)."""
    curves: dict[str, tuple[list[float], list[float]]] = {}
    for row in summarize(rows):
        if row["scale"] in scales:
            offsets, losses = curves.setdefault(f"{row['method']}, x{row['scale']}", ([], []))
            offsets.append(row["offset"])
            losses.append(row["loss"])
    return curves


def beside_print(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """For each scale: bicubic as printed (Set5, MLMC Table 1), displaced, aligned; one data step with the true kernel; MLMC as printed."""
    printed, mine = published(), {(r["method"], r["scale"], r["offset"]): r for r in summarize(rows)}
    table = []
    for scale in (2, 3, 4):
        row: dict[str, Any] = {"scale": scale, "bicubic, printed": printed["Bicubic", scale]}
        columns = {
            "bicubic, displaced": ("bicubic", scale - 1),
            "bicubic, aligned": ("bicubic", 0),
            "one step, true kernel": ("deconvolution", 0),
        }
        for name, (method, offset) in columns.items():
            found = mine[method, scale, offset]
            row |= {name: found["psnr"], f"{name}_spread": found["psnr_spread"]}
        table.append(row | {"MLMC, printed": printed["MLMC", scale]})
    return table


def claims(rows: Sequence[Mapping[str, Any]], size: str = "paper") -> list[ClaimRecord]:
    """What MLMC Table 1 says about bicubic interpolation on Set5, held against the aligned one; other sizes hold no Set5."""
    if size != "paper":
        return []
    values: dict[str, dict[str, Value]] = {"bicubic": {}, "MLMC": {}}
    for row in beside_print(rows):
        for name, found in values.items():
            gap = row[f"{name}, printed"] - row["bicubic, aligned"]
            found[f"printed {name} minus aligned bicubic, x{row['scale']} (dB)"] = Value(
                gap, row["bicubic, aligned_spread"], n=len(SEEDS[size]), margin=True
            )
    texts = {
        "bicubic": "The printed row is what bicubic interpolation reaches.",
        "MLMC": "MLMC (printed) is better than bicubic interpolation (aligned, measured here).",
    }
    return [
        ClaimRecord.decide(name, f"MLMC Table 1, {row}, Set5", texts[row], command=command_for(NAME, size), size=size, values=values[row])
        for name, row in (("D1", "bicubic"), ("D2", "MLMC"))
    ]


def _key(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(row[name] for name in ("dataset", "image", "seed", "scale", "method"))


def _kernel(cell: Cell, centroid: float) -> Tensor:
    """The cell's Gaussian with its centroid at (centroid, centroid): equal widths and angle for each centroid."""
    scale = int(cell.params["scale"])
    generator = torch.Generator().manual_seed(zlib.crc32(f"{cell.image} {cell.seed} {scale}".encode()))
    variances = uniform(0.175 * scale, 2.5 * scale, (1, 2), generator=generator)
    angle = uniform(0, pi, (1,), generator=generator)
    size = 4 * scale + 3 + 2 * scale  # room for the widest kernel at the farthest centroid
    return centered_gaussian(size, variances.sqrt(), angle, (centroid, centroid))


@lru_cache(maxsize=8)
def _picture(source: str, name: str, scale: int) -> Tensor:
    x = dataset(source)[name].load() if source != "bundled" else bundled(name, size=192)
    return x[..., : x.shape[-2] // scale * scale, : x.shape[-1] // scale * scale]
