"""MLMC against the code that its authors published, on the same inputs: quality, kernel, CPU time and memory.

y = (x * k) down s, circular, floored to 8 bit; three 128 x 128 pictures with kernels of the published generator, whose centroid
+(s-1)/2 every method is given. Read from the folder named by RESTOREKIT_BENCH; size smoke makes one like them from a bundled
picture.

Measured here: `bicubic`, phase-aligned; `bicubic_displaced`, on the wrong grid, as published; `quick`, `balanced`, `strict`, the
presets; `balanced_without_mlmc`, the same pipeline with MCKA and MLAO's kernel steps removed; `published`, our reading of the
published code; at size paper also `balanced_true_kernel`, told the true kernel, a bound. Cited (data/published/mlmc_code.csv): the
published code itself, one seed. `balanced` and `quick` are not MLMC alone: their kernel starts where the power spectrum of y
points to; `strict` has kernel net, MCKA and MLAO only.

Each cell runs in a Python process of its own, whose peak memory counts all, imports too. seconds: CPU time of the method on one
thread. units: seconds / unit_s; unit_s is `reference_unit`, measured by the process that waits, just before and just after (mean
of two probes of 5 steps). gain, ssim_gain: over the published code, which butterfly128_x2 shows unfinished, at step 900 of 1000.
Sizes differ in seeds (3, 5) and methods only; smoke also in the picture's side and the number of steps and channels.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..._check import fail
from ...images import bundled, load_image
from ...kernels import random_gaussian_kernel
from ...operators import Blur
from .. import Cell, ClaimRecord, Value, command_for, grid, mean_and_spread
from ..reference import PUBLISHED_UNITS, in_fresh_process, reference_unit
from ._mlmc import SCORES, margin, measure, read_published

NAME = "mlmc_benchmark"
SIZES = ("smoke", "quick", "paper")
CASES = {"butterfly128_x4": 4, "bird128_x4": 4, "butterfly128_x2": 2}
TINY = {"camera48_x4": 4}  # size smoke
COUNTED = ("butterfly128_x4", "bird128_x4")  # the published code ran to its end
FIXED = ("bicubic", "bicubic_displaced")  # no seed
METHODS = (*FIXED, "quick", "balanced", "balanced_without_mlmc", "strict")
SLOW = ("published", "balanced_true_kernel")
UNFINISHED = "butterfly128_x2"  # the published code's run on it was not finished: one seed at size quick
SEEDS = {"smoke": 1, "quick": 3, "paper": 5}
PROBE = 5  # steps of the unit before, and after
GAINS = ("gain", "ssim_gain", "units", "time_percent", "memory_percent")


def cells(size: str) -> list[Cell]:
    """Case x method x seed; for `published`, whose runs take minutes, three seeds (paper) or one, on the x4 cases (quick)."""
    made = []
    for method in {"smoke": METHODS, "quick": (*METHODS, "published"), "paper": (*METHODS, *SLOW)}[size]:
        once = method in FIXED or (size, method) == ("quick", "published")
        seeds = 1 if once else min(SEEDS[size], 3 if method == "published" else 5)
        tiny = {"probe": 1} if method in FIXED else {"probe": 1, "outer": 2, "channels": 8}
        extra: dict[str, Any] = {**tiny} if size == "smoke" else {"probe": PROBE}
        extra |= {"method": method, "dataset": "mlmc", "degradation": "gaussian, circular"}
        for case in TINY if size == "smoke" else CASES:
            if (size, method, case) == ("quick", "published", UNFINISHED):
                continue
            count = 1 if size == "quick" and case == UNFINISHED else seeds
            made += grid(table=NAME, image=case, seed=range(count), **extra)
    return made


def run(cell: Cell) -> dict[str, Any]:
    """Scores, CPU time in seconds and in units, and peak memory of one method on one case, in a fresh process."""
    before = reference_unit(int(cell.params["probe"]))
    scores = in_fresh_process(scored, cell)
    unit = (before + reference_unit(int(cell.params["probe"]))) / 2
    return {**scores, "unit_s": unit, "units": scores["seconds"] / unit}


def scored(cell: Cell) -> dict[str, Any]:
    """What the fresh process computes: scores and CPU seconds."""
    x, y, kernel = observe(cell.image)
    scale = (CASES | TINY)[cell.image]
    return measure(cell, x, y, scale, kernel, ((scale - 1) / 2, (scale - 1) / 2), "circular")


@lru_cache(maxsize=4)
def observe(case: str) -> tuple[Tensor, Tensor, Tensor]:
    """Picture x, observation y and kernel k of a case. Raises FileNotFoundError where RESTOREKIT_BENCH has no such case."""
    if case in TINY:
        scale = TINY[case]
        x, centroid = bundled("camera", size=48), ((scale - 1) / 2, (scale - 1) / 2)
        kernel = random_gaussian_kernel(
            4 * scale + 3, variance=(0.175 * scale, 2.5 * scale), centroid=centroid, generator=torch.Generator().manual_seed(0)
        )
        return x, (Blur(kernel, "circular")(x)[..., ::scale, ::scale] * 255).floor() / 255, kernel
    folder = Path(os.environ.get("RESTOREKIT_BENCH", "")) / "mlmc" / case
    if "RESTOREKIT_BENCH" not in os.environ or not folder.is_dir():
        got = f"no case {case} in {folder}" if "RESTOREKIT_BENCH" in os.environ else "no RESTOREKIT_BENCH"
        fail(got, "the folder that holds mlmc/<case>", "set RESTOREKIT_BENCH, or run size smoke", FileNotFoundError)
    kernel = torch.from_numpy(np.load(folder / "kernel.npy")).float()[None, None]
    return load_image(folder / "hr.png"), load_image(folder / "lr.png"), kernel


def summarize(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Per case: what is cited, then each method's means with their seed spread; last, means over the two x4 cases.

    time_percent: of the published code's units. memory_percent: of its peak on the same case.
    """
    full, table = compared(rows), []
    for case in dict.fromkeys(row["image"] for row in full):
        table += [_cited(case, entry) for entry in read_published("mlmc_code") if entry["case"] == case]
        table += _means([row for row in full if row["image"] == case], case)
    counted = [row for row in full if row["image"] in COUNTED]
    if {row["image"] for row in counted} == set(COUNTED):
        table += _means(counted, "mean of both x4")
    return table


def compared(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The rows with their gain over the published code and their share of its time and memory, where it is known."""
    full = []
    for row in rows:
        code = _code(row["image"])
        ratios = {
            "gain": row["psnr"] - code["psnr"] if code else None,
            "ssim_gain": row["ssim"] - code["ssim"] if code else None,
            "time_percent": 100 * row["units"] / PUBLISHED_UNITS,
            "memory_percent": 100 * row["peak_mb"] / code["peak_mb"] if code and row["peak_mb"] else None,
        }
        full.append({**row, **ratios})
    return full


def claims(rows: Sequence[Mapping[str, Any]], size: str) -> list[ClaimRecord]:
    """What this table says of our presets against the published code: quality, cost, and what MLMC itself adds."""
    full = compared(rows)
    x4 = [row for row in full if row["image"] in COUNTED]

    def over(method: str, name: str, limit: float, case: str = "") -> Value | None:
        """How far `name` lies above the limit; cost: below it."""
        sign = -1 if name in ("units", "memory_percent") else 1
        chosen = [row for row in x4 if row["method"] == method and case in row["image"]]
        return margin(chosen, lambda row: None if row[name] is None else sign * (row[name] - limit))

    each = {
        f"{case}, {unit} over the published code": over("balanced", name, 0, case)
        for case in COUNTED
        for name, unit in (("gain", "dB"), ("ssim_gain", "SSIM"))
    }
    wanted = {
        "T1balanced": (
            "balanced is at least as good as the published code on each x4 case, on average 0.8 dB better",
            {**each, "mean, dB above +0.8": over("balanced", "gain", 0.8)},
        ),
        "T1cost": (
            "balanced needs at most 10 of the published code's 67 units of CPU time and 55% of its memory",
            {"units below 10": over("balanced", "units", 10), "per cent below 55": over("balanced", "memory_percent", 55)},
        ),
        "T1strict": (
            "kernel net, MCKA and MLAO alone do not lose to the published code, at a quarter of its time",
            {"mean, dB": over("strict", "gain", 0), "units below 16.75": over("strict", "units", PUBLISHED_UNITS / 4)},
        ),
        "T1quick": (
            "quick is within 0.5 dB of the published code at 5% of its time",
            {"mean, dB above -0.5": over("quick", "gain", -0.5), "units below 3.35": over("quick", "units", PUBLISHED_UNITS / 20)},
        ),
        "T1mlmc": (
            "MCKA and MLAO's kernel steps add at least 0.2 dB to the pipeline of balanced",
            {"mean, dB above +0.2": margin(_added(x4), lambda row: row["added"] - 0.2)},
        ),
    }
    return [
        ClaimRecord.decide(name, "our own, against the published code", text, command=command_for(NAME, size), size=size, values=values)
        for name, (text, found) in wanted.items()
        if (values := {key: value for key, value in found.items() if value is not None})
    ]


def _means(rows: Sequence[Mapping[str, Any]], case: str) -> list[dict[str, Any]]:
    values = ("psnr", "gain", "ssim", "ssim_gain", *SCORES[2:], "unit_s", *GAINS[2:4], "peak_mb", "memory_percent")
    return [{"case": case, "source": "measured", **row} for row in mean_and_spread(rows, by=("method",), values=values)]


def _cited(case: str, entry: Mapping[str, str]) -> dict[str, Any]:
    numbers = {name: float(entry[name]) if entry[name] else None for name in ("psnr", "ssim", "kernel_psnr", "units", "peak_mb")}
    unfinished = entry["image_steps"] == "900"
    return {"case": case, "source": "cited", "method": entry["method"] + (", step 900" if unfinished else ""), **numbers, "n": 1}


def _code(case: str) -> dict[str, float] | None:
    found = (row for row in read_published("mlmc_code") if (row["case"], row["method"]) == (case, "published code"))
    return next(({name: float(row[name]) for name in ("psnr", "ssim", "peak_mb")} for row in found), None)


def _added(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """PSNR of `balanced` minus that of the same pipeline without MLMC, for equal cases and seeds."""
    without = {(row["image"], row["seed"]): row["psnr"] for row in rows if row["method"] == "balanced_without_mlmc"}
    pairs = [row for row in rows if row["method"] == "balanced" and (row["image"], row["seed"]) in without]
    return [{**row, "added": row["psnr"] - without[row["image"], row["seed"]]} for row in pairs]
