"""The shipped denoiser on Set12 (gray) and five pictures of CBSD68 (colour), beside TV and the published DnCNN.

y = x + n, n Gaussian with std 15, 25 and 50 of 255, not clipped, not rounded. Ours: one net for all levels, told the level;
colour is restored channel by channel.
TV: weight 0.75 sigma, near the best for each level on camera, coins and astronaut. DnCNN-S: as printed, one net for each
level, for Set12 only. Scores: PSNR over all channels, no rounding, no border. Needs RESTOREKIT_DATA.
"""

from __future__ import annotations

import csv
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from ...degradations import gaussian_noise
from ...images import dataset
from ...methods.baselines.tv import tv_denoise
from ...methods.handoff import each_channel
from ...metrics import psnr, ssim
from ...nets import load_denoiser
from .. import Cell, data_folder, grid, mean_and_spread

NAME = "denoiser"
SIZES = ("smoke", "quick")
LEVELS = (15, 25, 50)
TV_WEIGHT = 0.75  # times sigma
SET12 = {"smoke": ("01",), "quick": tuple(f"{i:02d}" for i in range(1, 13))}
COLOR = ("101085", "130026", "167062", "219090", "285079")  # every ninth of the folder at hand
CBSD68 = {"smoke": COLOR[:1], "quick": COLOR}
METHODS = ("ours", "TV")


def cells(size: str) -> list[Cell]:
    """Method x picture x level."""
    return [
        cell
        for folder, names in (("set12", SET12[size]), ("cbsd68", CBSD68[size]))
        for cell in grid(table=NAME, method=list(METHODS), dataset=folder, image=list(names), degradation=list(LEVELS))
    ]


def run(cell: Cell) -> dict[str, Any]:
    """PSNR and SSIM of one method on one noisy picture, and of the noisy picture."""
    x = dataset(cell.dataset)[cell.image].load()
    sigma = cell.degradation / 255
    generator = torch.Generator().manual_seed(zlib.crc32(f"{cell.dataset} {cell.image} {cell.degradation}".encode()))
    y = gaussian_noise(x, sigma, generator=generator)
    net = each_channel(load_denoiser(1))
    guess = net(y, sigma) if cell.method == "ours" else tv_denoise(y, TV_WEIGHT * sigma)
    return {
        "psnr": _psnr(guess, x),
        "ssim": ssim(guess, x, luma=False, quantize=False).item(),
        "noisy_psnr": _psnr(y, x),
    }


def _psnr(x: torch.Tensor, ref: torch.Tensor) -> float:
    return psnr(x, ref, luma=False, quantize=False).item()


def summarize(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Means over pictures for each dataset, level and method, DnCNN's printed ones below."""
    means = mean_and_spread(rows, by=("dataset", "degradation", "method"), values=("psnr", "ssim", "noisy_psnr"))
    out = [
        {"dataset": m["dataset"], "sigma": m["degradation"], **{k: m[k] for k in ("method", "psnr", "ssim", "noisy_psnr", "n")}}
        for m in means
    ]
    if len({row["image"] for row in rows if row["dataset"] == "set12"}) == len(SET12["quick"]):
        with (data_folder("published") / "dncnn_set12.csv").open(encoding="utf-8") as file:
            for line in csv.DictReader(file):
                out.append(
                    {"dataset": "set12", "sigma": int(line["sigma"]), "method": f"{line['method']} (printed)", "psnr": float(line["psnr"])}
                )
    return sorted(out, key=lambda row: (row["dataset"] != "set12", row["sigma"]))
