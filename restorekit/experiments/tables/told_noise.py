"""What a wrong noise level costs methods that are told one: Wiener and TV on blurred pictures with 3% noise.

y = x * k + n, n Gaussian with std 0.03, k a random Gaussian (eigen-variances 1 to 4 px^2), circular blur. Each method is
told 1 to 5%, as in the bottom row of hyper-guidance Fig. 5. Wiener: `wiener(sigma=told)`, natural spectrum. TV:
lam = 5 told^2, the scale of a maximum a posteriori estimate; of 2, 3, 5, 7, 10 and 20 the factor 5 is best at the true level on
moon, motorcycle, coffee, rocket and ihc, none of which is in the table. Scores: 8 bit, no border.
"""

from __future__ import annotations

import statistics
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from ...degradations import gaussian_noise
from ...images import bundled
from ...kernels import random_gaussian_kernel
from ...methods.baselines import tv_deconvolve, wiener
from ...metrics import psnr, ssim
from ...operators import Blur
from .. import Cell, ClaimRecord, Value, command_for, grid, mean_and_spread

NAME = "told_noise"
SIZES = ("smoke", "quick")
TRUE = 3  # per cent
PICTURES = {"smoke": ("camera",), "quick": ("astronaut", "camera", "cat", "coins", "page")}
SEEDS = {"smoke": (0, 1), "quick": (0, 1, 2, 3, 4)}


def cells(size: str) -> list[Cell]:
    """Method x picture x seed x told level in per cent."""
    axes = {"image": list(PICTURES[size]), "seed": list(SEEDS[size]), "told": [1, 2, 3, 4, 5]}
    return grid(table=NAME, method=["Wiener", "TV"], dataset="bundled", degradation="gaussian, circular, 3% noise", **axes)


def run(cell: Cell) -> dict[str, Any]:
    """PSNR and SSIM of one method told `told` per cent of noise."""
    x = bundled(cell.image, gray=True, size=128)
    generator = torch.Generator().manual_seed(zlib.crc32(f"{cell.image} {cell.seed}".encode()))
    A = Blur(random_gaussian_kernel(15, variance=(1, 4), generator=generator))
    y = gaussian_noise(A(x), TRUE / 100, generator=generator)
    sigma = cell.params["told"] / 100
    guess = wiener(y, A.kernel, sigma=sigma) if cell.method == "Wiener" else tv_deconvolve(y, A, 5 * sigma**2, 60)
    return {"psnr": psnr(guess, x).item(), "ssim": ssim(guess, x).item()}


def summarize(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Mean over pictures and seeds per method and told level, with the seed spread."""
    return mean_and_spread(rows, by=("method", "told"), values=("psnr", "ssim"))


def claims(rows: Sequence[Mapping[str, Any]], size: str) -> list[ClaimRecord]:
    """The claim of hyper-guidance Sec. 5.2.2: a wrong level harms, most when it is too low."""
    pairs = {"right over 1%": (TRUE, 1), "right over 5%": (TRUE, 5), "5% over 1%": (5, 1)}
    margins = {f"{method}, {name} (dB)": _margin(rows, method, *pair) for method in ("Wiener", "TV") for name, pair in pairs.items()}
    text = "Methods that are told the noise level lose when it is wrong, most when it is too low."
    return [
        ClaimRecord.decide(
            "D3", "hyper-guidance Sec. 5.2.2, Fig. 5 bottom", text, command=command_for(NAME, size), size=size, values=margins
        )
    ]


def _margin(rows: Sequence[Mapping[str, Any]], method: str, better: int, worse: int) -> Value:
    """Mean PSNR difference of two told levels on equal inputs, with its spread over seeds."""
    scores = {(r["image"], r["seed"], r["told"]): r["psnr"] for r in rows if r["method"] == method}
    gaps: dict[int, list[float]] = {}
    for image, seed, told in scores:
        if told == better:
            gaps.setdefault(seed, []).append(scores[image, seed, better] - scores[image, seed, worse])
    means = [statistics.fmean(gap) for gap in gaps.values()]
    return Value(statistics.fmean(means), statistics.stdev(means), n=len(means), margin=True)
