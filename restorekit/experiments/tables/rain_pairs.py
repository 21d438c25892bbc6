"""Published PReNet weights on three pairs of pictures with and without rain, which they were not trained on.

RESTOREKIT_DATA/rain_pairs: synthetic rain of Fu et al. (DDN, 2017). rain100h: weights for heavy rain, rain100l: for light. psnr: all three
colors, 8 bit, no border; luma: as the paper's tables have it; ssim: of Y. expected: what a run of the published code gave
(the checkpoint's record). Needs RESTOREKIT_DATA and RESTOREKIT_WEIGHTS.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from ...images import dataset
from ...metrics import psnr, ssim
from ...nets import load_prenet
from ...nets.prenet import PUBLISHED
from .. import Cell, grid, mean_and_spread

NAME = "rain_pairs"
SIZES = ("smoke", "quick")
FOLDER = "rain_pairs/ddn_synthetic"
PICTURES = {"smoke": ("1",), "quick": ("1", "2", "3")}
SIDE = {"smoke": 96, "quick": 0}  # px: the upper left corner; 0: all
EXPECTED = {"input": (25.31, 19.51, 19.48), "rain100h": (30.70, 22.99, 23.06)}


def cells(size: str) -> list[Cell]:
    """Method x picture."""
    return grid(table=NAME, method=["input", *PUBLISHED], dataset=FOLDER, image=list(PICTURES[size]), side=SIDE[size])


@torch.no_grad()
def run(cell: Cell) -> dict[str, Any]:
    """The scores of one method on one pair."""
    pictures, side = dataset(cell.dataset), int(cell.params["side"]) or None
    x, y = (pictures[f"{cell.image}_{kind}"].load()[..., :side, :side] for kind in ("clean", "rain"))
    guess = y if cell.method == "input" else load_prenet(cell.method)(y)
    scores = {"psnr": psnr(guess, x, luma=False), "luma": psnr(guess, x), "ssim": ssim(guess, x)}
    return {name: value.item() for name, value in scores.items()}


def summarize(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Each picture's scores, the expected ones beside them, and the means of each method."""
    table = []
    for row in rows:
        expected = EXPECTED.get(row["method"], ())
        told = expected[int(row["image"]) - 1] if expected and not row["side"] else None
        table.append({**{k: row[k] for k in ("image", "method", "psnr")}, "expected": told, "luma": row["luma"], "ssim": row["ssim"]})
    means = mean_and_spread(rows, by=("method",), values=("psnr", "luma", "ssim"))
    return table + [{"image": "mean", **{k: m[k] for k in ("method", "psnr", "luma", "ssim")}} for m in means]
