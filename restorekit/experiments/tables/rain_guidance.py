"""Rain removed by the light PReNet, without a map, led by its proxy's map, and told the true one; published nets beside it.

Claim B7 (Bilevel Sec. 5.3, Table 1: 37.48 -> 37.58 dB in light, 29.46 -> 30.21 dB in heavy rain, with the full PReNet). y = clip(x + S), S
from `random_rain`, light and heavy, 12 held-back pictures. plain and guided: `light_prenet`, same pictures, rain, steps (`weights
train prenet_plain`, `prenet_guided`). guided, true map: the guided net, handed the region of S, which nobody has at test time.
rain100h, rain100l: published PReNet, twice the size and trained on other rain. Scores: Y, 8 bit, no border.

Needs RESTOREKIT_DATA and RESTOREKIT_WEIGHTS but for size smoke.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .. import Cell, ClaimRecord, command_for
from ._mlmc_trials import known, shown
from ._weather import GUIDED, INPUT, PLAIN, TOLD, gap, gap_of_gaps, means, scores, weather_cells

NAME = "rain_guidance"
SIZES = ("smoke", "quick")
TARGET = 0.3  # dB: what we set out to gain


def cells(size: str) -> list[Cell]:
    """Picture x method."""
    return weather_cells(NAME, "rain", size)


def run(cell: Cell) -> dict[str, Any]:
    """PSNR and SSIM in light and heavy rain."""
    return dict(scores("rain", cell))


def summarize(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Means over pictures."""
    return means(rows, "rain")


def claims(rows: Sequence[Mapping[str, Any]], size: str) -> list[ClaimRecord]:
    """B7: the map improves PReNet, most in heavy rain."""
    values = {
        "guided over plain, heavy rain (dB)": gap(rows, GUIDED, PLAIN, "heavy"),
        "guided over plain, light rain (dB)": gap(rows, GUIDED, PLAIN, "light"),
        "gain in heavy over gain in light rain (dB)": gap_of_gaps(rows, GUIDED, PLAIN, "heavy", "light"),
        f"heavy: guided over plain, less {TARGET} dB": shown(gap(rows, GUIDED, PLAIN, "heavy", above=TARGET)),
        f"light: guided over plain, less {TARGET} dB": shown(gap(rows, GUIDED, PLAIN, "light", above=TARGET)),
        "heavy: true map over plain (dB)": shown(gap(rows, TOLD, PLAIN, "heavy")),
        "light: true map over plain (dB)": shown(gap(rows, TOLD, PLAIN, "light")),
        "heavy: plain over input (dB)": shown(gap(rows, PLAIN, INPUT, "heavy")),
        "light: plain over input (dB)": shown(gap(rows, PLAIN, INPUT, "light")),
    }
    return [
        ClaimRecord.decide(
            "B7",
            "Bilevel Table 1",
            "A rain-region map found by the proxy improves PReNet, most in heavy rain (light nets of ours; spreads are standard errors "
            "over pictures).",
            command=command_for(NAME, size),
            size=size,
            values=known(values),
            decidable=size != "smoke",
        )
    ]
