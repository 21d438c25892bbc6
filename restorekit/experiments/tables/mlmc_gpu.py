"""Time and memory of MLMC on a GPU: 256 -> 512 (x2) and 256 -> 1024 (x4), beside the seconds that MLMC Table 8 prints.

y = (x * k) down s, rounded to 8 bit, no noise: a bundled picture, one Gaussian of the paper's range, reflection at the border.
Methods: the presets `published` (1000 image steps), `paper` (2500), `balanced`, `quick`, `strict`; each in single precision and with
the image net in bfloat16 under autocast (loss, blur and kernel net stay in float32). seconds: wall clock from the making of the
learner to the finished picture, the device synchronised, after an untimed run of one outer step. memory_mb: the most that
torch held on the device. psnr, kernel_distance: whether mixed precision costs quality.

Size paper needs a CUDA device: `python -m restorekit experiments run mlmc_gpu --size paper`. Size smoke (CPU, 16 -> 32, one outer
step) only shows that the command stands ready; memory is then that of the process.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from ..._check import fail
from ...degradations import round_to_8_bit
from ...images import bundled
from ...kernels import align_centroid, random_gaussian_kernel
from ...methods.blind import blind_solver, default_kernel_size, finish
from ...methods.mlmc_presets import MLMCSettings
from ...metrics import kernel_distance, psnr
from ...operators import Blur
from ...solvers import run as run_solver
from .. import Cell, grid, mean_and_spread
from ..reference import peak_mb
from ._mlmc import method_settings, read_published

NAME = "mlmc_gpu"
SIZES = ("smoke", "paper")
METHODS = ("published", "paper", "balanced", "quick", "strict")
PICTURE = "retina"  # the bundled picture of more than 1024 pixels a side
PRINTED = ("MLMC", "Double-DIP", "FKP-DIP", "BSRDM")


def cells(size: str) -> list[Cell]:
    """Scale x method x precision x seed; the device is part of a cell."""
    paper = size == "paper"
    image = PICTURE if paper else "camera"
    axes: dict[str, Any] = {"side": 256, "device": "cuda"} if paper else {"side": 16, "device": "cpu", "outer": 1, "channels": 8}
    methods = list(METHODS) if paper else ["paper"]
    scales, seeds = ([2, 4], [0, 1, 2]) if paper else ([2], [0])
    return grid(
        table=NAME, method=methods, dataset="bundled", image=image, scale=scales, precision=["float32", "bfloat16"], seed=seeds, **axes
    )


def run(cell: Cell) -> dict[str, Any]:
    """Seconds, memory and scores of one preset. Raises RuntimeError where there is no such device."""
    scale, device = int(cell.params["scale"]), str(cell.params["device"])
    if device == "cuda" and not torch.cuda.is_available():
        fail("no CUDA device", "a GPU that torch can use", f"run {NAME} --size paper on a machine with one, or --size smoke", RuntimeError)
    x, y, kernel = (value.to(device) for value in degrade(cell))
    _, settings = method_settings(cell.method, cell.params.get("outer"), cell.params.get("channels"))
    mixed = cell.params["precision"] == "bfloat16"
    _restore(y, scale, replace(settings, outer=1), mixed, cell.seed)  # compiles and chooses its kernels
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    _wait(device)
    start = time.perf_counter()
    guess, found = _restore(y, scale, settings, mixed, cell.seed)
    _wait(device)
    seconds = time.perf_counter() - start
    memory = torch.cuda.max_memory_allocated() / 1e6 if device == "cuda" else peak_mb()
    return {
        "seconds": seconds,
        "image_steps": settings.outer * settings.meta_steps * settings.image_steps,
        "memory_mb": memory,
        "hardware": torch.cuda.get_device_name() if device == "cuda" else "cpu",
        "psnr": psnr(guess, x, border=scale).item(),
        "kernel_distance": kernel_distance(found, kernel).item(),
    }


def degrade(cell: Cell) -> tuple[Tensor, Tensor, Tensor]:
    """Picture x (1, 3, s n, s n), observation y (1, 3, n, n) and kernel, n the cell's `side`."""
    scale = int(cell.params["scale"])
    kernel = random_gaussian_kernel(
        default_kernel_size(scale),
        variance=(0.175 * scale, 2.5 * scale),
        centroid=align_centroid("resize", scale),
        generator=torch.Generator().manual_seed(cell.seed),
    )
    x = bundled(cell.image, size=scale * int(cell.params["side"]))
    return x, round_to_8_bit(Blur(kernel, "reflect")(x)[..., ::scale, ::scale]), kernel


class MixedPrecision(nn.Module):
    """net(z) with its convolutions in bfloat16, the result in z's own precision."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, z: Tensor) -> Tensor:
        with torch.autocast(z.device.type, torch.bfloat16):
            x: Tensor = self.net(z)
        return x.to(z.dtype)


def _restore(y: Tensor, scale: int, settings: MLMCSettings, mixed: bool, seed: int) -> tuple[Tensor, Tensor]:
    learner: Any = blind_solver(y, scale, settings=settings, generator=torch.Generator().manual_seed(seed))
    if mixed:
        learner.image_net = MixedPrecision(learner.image_net)
    result = finish(learner, run_solver(learner, learner.total_steps))
    return result.image, result.kernel


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def summarize(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Per scale: what is printed, then each preset and precision with means over seeds."""
    table = []
    for scale in sorted({row["scale"] for row in rows}):
        for entry in read_published("mlmc_table8"):
            if entry["method"] in PRINTED and int(entry["scale"]) == scale:
                label = {"scale": scale, "source": "cited", "method": entry["method"], "hardware": "GeForce RTX 3090"}
                table.append({**label, "seconds": float(entry["seconds"])})
        part = [row for row in rows if row["scale"] == scale]
        by = ("scale", "method", "precision", "image_steps", "hardware")
        means = mean_and_spread(part, by=by, values=("seconds", "memory_mb", "psnr", "kernel_distance"))
        table += [{"source": "measured", **row} for row in means]
    return table
