"""What the tables on MLMC share: methods by name, scores, margins with their seed spread. Not a table."""

from __future__ import annotations

import csv
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from ...kernels import Align, align_centroid
from ...methods.baselines.bicubic import bicubic
from ...methods.baselines.tv import generic_deconvolution
from ...methods.blind import METHODS, blind_solver, finish
from ...methods.mlmc_presets import PRESETS, MLMCSettings, preset_settings
from ...methods.spectral import spectral_prior
from ...metrics import kernel_distance, kernel_psnr, kernel_width, psnr, ssim
from ...solvers import run as run_solver
from .. import Cell, Value, data_folder
from .blind_gaussian import Known

BASELINES = tuple(name for name in METHODS if name != "mlmc")
WITHOUT, TRUE_KERNEL = "_without_mlmc", "_true_kernel"
SCORES = ("psnr", "ssim", "kernel_psnr", "kernel_distance", "width_error", "seconds")


def method_settings(method: str, outer: int | None = None, channels: int | None = None) -> tuple[str, MLMCSettings]:
    """The learner and the settings that a table's method stands for; outer and channels replace counts in small sizes.

    A preset's name; "<preset>_without_mlmc": MCKA and MLAO's kernel steps removed, so that the kernel stays the start;
    "<preset>_true_kernel": the same told the true kernel; a baseline's name: that learner with the settings of `balanced`.
    """
    if method in BASELINES:
        learner, settings = method, preset_settings("balanced")
    else:
        learner, settings = "mlmc", preset_settings(method.removesuffix(WITHOUT).removesuffix(TRUE_KERNEL))
        if method not in PRESETS:
            settings = replace(settings, mcka=False, mlao=False)
        if method.endswith(TRUE_KERNEL):
            settings = replace(settings, spectral=False, anchor=0.0, start_at_mean=True)
    counts: dict[str, Any] = {name: value for name, value in (("outer", outer), ("channels", channels)) if value is not None}
    return learner, replace(settings, **counts)


def restore(cell: Cell, y: Tensor, scale: int, kernel: Tensor, align: Align, padding: str) -> tuple[Tensor, Tensor | None]:
    """Picture and kernel (None where no kernel is estimated) that the cell's method makes of y; only the bound uses `kernel`."""
    generator = torch.Generator().manual_seed(cell.seed)
    if cell.method == "bicubic":
        return bicubic(y, scale, align=align), None
    if cell.method == "bicubic_displaced":
        return bicubic(y, scale, align="resize"), None
    if cell.method == "generic":
        return generic_deconvolution(y, scale, align=align, padding=padding), None
    method, settings = method_settings(cell.method, cell.params.get("outer"), cell.params.get("channels"))
    size = kernel.shape[-1]
    known = Known(size, align_centroid(align, scale), kernel) if cell.method.endswith(TRUE_KERNEL) else None
    learner = blind_solver(
        y, scale, method=method, settings=settings, align=align, padding=padding, kernel_size=size, kernel_prior=known, generator=generator
    )
    result = run_solver(learner, learner.total_steps)
    if method in BASELINES:
        # one closing data step for all: at the noise level that `balanced` reads from the spectrum of y
        learner.sigma = spectral_prior(y, scale, learner.prior, generator=generator).noise
    result = finish(learner, result)
    return result.image, result.kernel


def measure(cell: Cell, x: Tensor, y: Tensor, scale: int, kernel: Tensor, align: Align, padding: str) -> dict[str, Any]:
    """Scores of the cell's method on y with the true x and kernel, and the CPU seconds of the method alone."""
    start = time.process_time()
    guess, found = restore(cell, y, scale, kernel, align, padding)
    scores: dict[str, Any] = {"seconds": time.process_time() - start}
    scores |= {"psnr": psnr(guess, x, border=scale).item(), "ssim": ssim(guess, x, border=scale).item()}
    if found is not None and not cell.method.endswith(TRUE_KERNEL):
        scores |= {"kernel_psnr": kernel_psnr(found, kernel).item(), "kernel_distance": kernel_distance(found, kernel).item()}
        scores |= {"width_error": kernel_width(found, kernel).item()}
    return scores


def margin(rows: Sequence[Mapping[str, Any]], value: Callable[[Mapping[str, Any]], float | None]) -> Value | None:
    """Mean of value(row) over rows, with the spread over seeds of the seeds' means; None if no row has one."""
    by_seed: dict[int, list[float]] = {}
    for row in rows:
        if (number := value(row)) is not None:
            by_seed.setdefault(row["seed"], []).append(number)
    means = [statistics.fmean(part) for part in by_seed.values()]
    if not means:
        return None
    return Value(statistics.fmean(means), statistics.stdev(means) if len(means) > 1 else None, n=len(means), margin=True)


def read_published(name: str) -> list[dict[str, str]]:
    """The rows of data/published/<name>.csv."""
    with open(data_folder("published") / f"{name}.csv", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
