"""Where dynamic deblurring ends: noise, clipped highlights, and blurs far from what the published net was trained on.

Groups of pictures: `noise`: three of CBSD68, shaken, with 1% Gaussian noise; `saturation`: three more, light averaged as a sensor does
(gamma 2.2), highlights up to 8 times as bright as white, which clip; both 256 px wide and without turning; `levin`: six gray
pictures of Levin et al. (2009), each with another kernel, real shake in windows of 15 to 27 px, for a net that saw GoPro's.
`one`: one pass of DMPHN; `dynamic`: `deblur_dynamic`; `true kernel`: a data step with the true kernel, mu = 0.03, moved by whole
pixels to where it explains y best from `one`. Scores: 8 bit, all channels, the best over shifts of up to 3 px (levin: 8, for its
truth is shifted). Parameters are those of `methods.deblur`.

Needs RESTOREKIT_DATA and RESTOREKIT_WEIGHTS.
"""

from __future__ import annotations

import os
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...images import dataset, load_image
from ...kernels import pad_kernel
from ...methods.deblur import deblur_dynamic
from ...nets import load_dmphn
from ...operators import Blur
from .. import Cell
from ._pnp import HEADROOM_MU, PSNR, aligned_score, placed, shaken

NAME = "pnp_conditions"
SIZES = ("quick",)
GROUPS: dict[str, dict[str, float]] = {"noise": {"sigma": 0.01}, "saturation": {"gamma": 2.2, "boost": 8.0}}
EXTENTS = (7.0, 10.0, 13.0)
SIDE, REACH, LEVIN_REACH = 288, 3, 8
LEVIN = ((1, 1), (2, 3), (3, 4), (4, 6), (1, 7), (2, 8))  # picture, kernel


def cells(size: str) -> list[Cell]:
    """One cell a picture."""
    names = dataset("cbsd68").names[2::3]
    made = []
    for g, (group, settings) in enumerate(GROUPS.items()):
        for i, extent in enumerate(EXTENTS):
            params = {"group": group, "side": SIDE, "extent": extent, "turn": 0.0, **settings}
            made.append(Cell(NAME, "dmphn", "cbsd68", names[len(EXTENTS) * g + i], "shake", 2000 + len(EXTENTS) * g + i, params))
    return made + [Cell(NAME, "dmphn", "levin", f"im{i}_kernel{k}_img", "shake", 0, {"group": "levin"}) for i, k in LEVIN]


@torch.no_grad()
def run(cell: Cell) -> dict[str, Any]:
    """All scores on one picture."""
    levin = cell.params["group"] == "levin"
    x, y, kernel = _levin(cell.image) if levin else _shaken(cell)
    f = load_dmphn("1_2_4")
    dynamic = deblur_dynamic(y, f)
    made = {"blurred": y, "one": dynamic.prior, "dynamic": dynamic.image}
    made["true kernel"] = Blur(placed(kernel, made["one"], y), "replicate").prox(made["one"], y, HEADROOM_MU, tol=1e-4)
    reach = LEVIN_REACH if levin else REACH
    scores: dict[str, Any] = {PSNR + name: aligned_score(z, x, reach) for name, z in made.items()}
    return scores | {"taken": float(dynamic.taken[0]), "mu": dynamic.mu[0]}


def _shaken(cell: Cell) -> tuple[Tensor, Tensor, Tensor]:
    x, y, path = shaken(cell)
    return x, y, path.kernel_at(0.0, 0.0).to(y)


def _levin(name: str) -> tuple[Tensor, Tensor, Tensor]:
    """Truth, picture (both as three equal channels) and kernel of one of Levin's pairs."""
    folder = Path(os.environ["RESTOREKIT_DATA"]) / "levin"
    picture, kernel, _ = name.split("_")
    x, y = (load_image(folder / part, gray=True).expand(-1, 3, -1, -1).contiguous() for part in (f"gt/{picture}.png", f"{name}.png"))
    k = torch.from_numpy(np.load(folder / "convolution_kernels.npz")[kernel])
    size = max(k.shape) + 1 - max(k.shape) % 2
    return x, y, pad_kernel(k[None, None], size).to(y)


def summarize(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """For each group: mean score of each method, its mean and smallest gain over one pass."""
    table = []
    for group in dict.fromkeys(r["group"] for r in rows):
        here = [r for r in rows if r["group"] == group]
        for column in (c for c in here[0] if c.startswith(PSNR)):
            gains = [r[column] - r[PSNR + "one"] for r in here]
            line = {"group": group, "method": column.removeprefix(PSNR), "psnr": statistics.fmean(r[column] for r in here)}
            table.append({**line, "gain": statistics.fmean(gains), "least gain": min(gains), "n": len(here)})
    return table
