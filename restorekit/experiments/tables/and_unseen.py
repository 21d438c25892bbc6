"""The shipped restorers on degradations that none of them was trained on, beside bicubic interpolation.

Claim A2shipped, and A6. Nets of one scale have the same size, pictures and steps; they differ in what they were trained against:
`classical` (bicubic reduction alone), `random` and `adversarial` (deviations of an identity network, color-neutral), `pipeline`
(blur, resizing, noise, JPEG in random order), the last three at equal strengths. Degradations: `restorekit.experiments.unseen`.
18 pictures, none used in training: Set5, Set14 without `face`, which is `head` of Set5, every ninth of CBSD68; the middle, at
most 256 x 256. `unseen`: mean over the twelve degradations. Scores: Y, 8 bit, a border of s pixels cropped. There is one net
each, so that spreads are over pictures: standard errors.

Needs RESTOREKIT_DATA but for size smoke.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from .. import Cell, ClaimRecord, command_for, grid
from ._and import MEAN, SHIPPED, over_pictures, pictures, restorer, unseen_names, unseen_scores, weights_digest
from ._mlmc_trials import known, shown

NAME = "and_unseen"
SIZES = ("smoke", "quick")
SCALES = (2, 4)
METHODS = ("bicubic", *SHIPPED)
SIDE = {"smoke": 96, "quick": 256}


def cells(size: str) -> list[Cell]:
    """Scale x picture x method; one cell has all degradations, and names the weights that it stands for."""
    axes: dict[str, Any] = {"table": NAME, "side": SIDE[size], "degradations": ", ".join(unseen_names(size))}
    made = []
    for scale in SCALES:
        named = {method: weights_digest(method, scale) for method in METHODS}
        for source, name in pictures(size):
            for method, weights in named.items():
                made += grid(method=method, dataset=source, image=name, scale=scale, weights=weights, **axes)
    return made


def run(cell: Cell) -> dict[str, Any]:
    """PSNR and SSIM of one method on one picture, for each degradation and in the mean."""
    scale, side = int(cell.params["scale"]), int(cell.params["side"])
    names = str(cell.params["degradations"]).split(", ")
    return dict(unseen_scores(restorer(cell.method, scale), cell.dataset, cell.image, scale, names, side))


def summarize(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Per scale and degradation: mean PSNR of each method; the means over all but `clean` last, SSIM below them."""
    table = []
    for scale in sorted({row["scale"] for row in rows}):
        here = [row for row in rows if row["scale"] == scale]
        names = [key.removeprefix("psnr ") for key in here[0] if key.startswith("psnr ")]
        for score, shown_names in (("psnr", names), ("ssim", [names[0], MEAN])):
            for name in shown_names:
                by_method = {m: [row[f"{score} {name}"] for row in here if row["method"] == m] for m in METHODS}
                means = {m: statistics.fmean(values) for m, values in by_method.items() if values}
                table.append({"scale": scale, "score": score, "degradation": name, **means, "n": len(by_method["bicubic"])})
    return table


def claims(rows: Sequence[Mapping[str, Any]], size: str) -> list[ClaimRecord]:
    """A2shipped: adversarial over random over classical, by the shipped nets at x2. A6: four camera sets, which are not at hand."""
    here = [row for row in rows if row["scale"] == 2]

    def gap(better: str, worse: str, score: str = f"psnr {MEAN}", above: float = 0.0) -> Any:
        return over_pictures(here, better, worse, score, above=above)

    clean = "psnr clean"
    values = {
        "adversarial over random (dB)": gap("adversarial", "random"),
        "random over classical (dB)": gap("random", "classical"),
        "adversarial over classical (dB)": gap("adversarial", "classical"),
        "adversarial over pipeline (dB)": shown(gap("adversarial", "pipeline")),
        "adversarial over bicubic (dB)": shown(gap("adversarial", "bicubic")),
        "clean: adversarial over classical (dB)": shown(gap("adversarial", "classical", clean)),
        "clean: adversarial over bicubic (dB)": shown(gap("adversarial", "bicubic", clean)),
        "clean: classical over bicubic (dB)": shown(gap("classical", "bicubic", clean)),
    }
    command, decidable = command_for(NAME, size), size != "smoke"
    return [
        ClaimRecord.decide(
            "A2shipped",
            "AND Table 2",
            "On degradations never seen in training: adversarial better than random deviations, these better than classical training "
            "(the shipped nets, x2; spreads are standard errors over pictures).",
            command=command,
            size=size,
            values=known(values),
            decidable=decidable,
        ),
        ClaimRecord.decide(
            "A6",
            "AND Table 1",
            "On four sets of pictures from real cameras ANDNet has the best PSNR and ANDGAN the best LPIPS; this needs RealSR, DRealSR, "
            "SupER and ImagePairs, which are not at hand.",
            command=command,
            size=size,
            values={},
            decidable=False,
        ),
    ]
