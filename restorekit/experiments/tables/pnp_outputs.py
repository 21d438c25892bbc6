"""The published deblurring nets in our code against their own outputs on a GoPro picture (claim R1, as far as it can be tested).

One picture of 1280 x 720 px; PSNR in 8 bit over all channels between our result and the published one, and of the blurred input for
comparison. Needs RESTOREKIT_DATA, RESTOREKIT_WEIGHTS and RESTOREKIT_BENCH.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from ...images import dataset, load_image
from ...nets import load_dmphn
from .. import Cell, grid
from ._pnp import score

NAME = "pnp_outputs"
SIZES = ("quick",)
NETS = {"1_2_4": "dmphn_1_2_4", "stack2": "stack2_dmphn"}


def cells(size: str) -> list[Cell]:
    """One cell a net."""
    return grid(table=NAME, method=list(NETS), dataset="gopro_blurry_samples", image="000011")


def run(cell: Cell) -> dict[str, Any]:
    """Agreement in dB."""
    y = dataset(cell.dataset)[cell.image].load()
    with torch.no_grad():
        x = load_dmphn(cell.method)(y)
    published = load_image(Path(os.environ["RESTOREKIT_BENCH"]) / "dmphn" / f"{cell.image}_{NETS[cell.method]}.png")
    return {"psnr to published": score(x, published, quantize=True), "psnr of y to published": score(y, published, quantize=True)}


def summarize(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The rows."""
    return [{"net": r["method"], **{k: r[k] for k in ("psnr to published", "psnr of y to published")}} for r in rows]
