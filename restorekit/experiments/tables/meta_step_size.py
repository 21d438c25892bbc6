"""What the step size of the kernel net does to MLMC, from the usual one to the printed 0.5, on small pictures.

y = (x * k) down 2, rounded to 8 bit; bundled pictures shrunk to 64 x 64, random Gaussian kernels (eigen-variances 0.35 to 5 px^2)
on the grid of ordinary resizing. The method is MLMC as Algorithms 1 to 3 have it (kernel net from random weights, MCKA, MLAO; no
spectral start, no anchor) with a narrow image net, 150 image steps and 75 + 15 kernel steps in each cell; only `rate` differs, the
step size of both Adam optimisers of the kernel net. The paper says 0.5 for it; the published code takes 1e-4. Nothing was chosen
on these numbers: they show where a cliff lies, not how good the method can be.

gain: PSNR over bicubic interpolation on the same grid. peak: the largest tap of the kernel found. seconds: CPU time, one thread.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ...degradations import round_to_8_bit
from ...images import bundled
from ...kernels import align_centroid, random_gaussian_kernel
from ...methods.baselines.bicubic import bicubic
from ...methods.blind import blind_solver, finish
from ...methods.mlmc_presets import MLMCSettings
from ...metrics import kernel_distance, kernel_width, psnr
from ...operators import BlurDown
from ...solvers import run as run_solver
from .. import Cell, grid, mean_and_spread

NAME = "meta_step_size"
SIZES = ("smoke", "quick")
SCALE, SIDE, KERNEL = 2, 64, 11
RATES = (1e-4, 1e-3, 1e-2, 0.5)
PICTURES = {"smoke": ("camera",), "quick": ("astronaut", "cat", "coins")}
SEEDS = {"smoke": (0,), "quick": (0, 1, 2)}
OUTER = {"smoke": 2, "quick": 15}


def cells(size: str) -> list[Cell]:
    """Picture x seed x step size."""
    fixed: dict[str, Any] = {"table": NAME, "method": "mlmc", "dataset": "bundled", "degradation": "gaussian, resize"}
    return grid(**fixed, image=list(PICTURES[size]), seed=list(SEEDS[size]), outer=OUTER[size], rate=list(RATES))


def settings(rate: float, outer: int) -> MLMCSettings:
    """MLMC with a narrow image net and one step size for both phases of the kernel net."""
    return MLMCSettings(
        outer=outer, meta_steps=5, image_steps=2, channels=32, levels=4, inputs=8, lr_kernel=rate, lr_mcka=rate,
        rho=0.02, guided=True, jitter=0.03, average_from=0.6, data_weight=0.01,
    )  # fmt: skip


def degrade(image: str, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Truth x, observation y and kernel of a picture and a seed."""
    x = bundled(image, gray=True, size=SIDE)
    generator = torch.Generator().manual_seed(zlib.crc32(f"{image} {seed}".encode()))
    k = random_gaussian_kernel(KERNEL, variance=(0.35, 5.0), centroid=align_centroid("resize", SCALE), generator=generator)
    return x, round_to_8_bit(BlurDown(k, SCALE, "reflect")(x)), k


def run(cell: Cell) -> dict[str, Any]:
    """Scores of one run."""
    x, y, k = degrade(cell.image, cell.seed)
    start = time.process_time()
    chosen = settings(cell.params["rate"], cell.params["outer"])
    learner = blind_solver(y, SCALE, settings=chosen, generator=torch.Generator().manual_seed(cell.seed))
    result = finish(learner, run_solver(learner, learner.total_steps))
    score = psnr(result.image, x, border=SCALE).item()
    return {
        "psnr": score,
        "gain": score - psnr(bicubic(y, SCALE), x, border=SCALE).item(),
        "kernel_distance": kernel_distance(result.kernel, k).item(),
        "width_error": kernel_width(result.kernel, k).item(),
        "peak": result.kernel.max().item(),
        "true_peak": k.max().item(),
        "seconds": time.process_time() - start,
    }


def summarize(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Mean over pictures and seeds for each step size (`step_size` is its text), with the seed spread."""
    means = mean_and_spread(rows, by=("rate",), values=("psnr", "gain", "kernel_distance", "width_error", "peak"))
    return [{"step_size": f"{row['rate']:g}", **row} for row in means]
