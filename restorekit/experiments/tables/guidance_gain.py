"""What a noise map is worth: the shipped restorers with and without it, from 0.6 to 7% noise and on four quadrants.

Claims B1, B2, B4, B6 (Bilevel Sec. 5.1.2 to 5.2.2). 24 pictures and 16 kernels that no net was trained on (`_guidance`).
Methods: `deconvolution`, the data step alone; `unguided` and `guided`, the same convolutions after the same data step with the same
fixed weight; `guided_data`, whose data step follows the map too; `tiny` with 6 convolutions, `general` with 9. Guides of the guided
ones: `proxy` (H_theta), `classical` (the closed form in windows), `both` (their mean), `true` (the true map). Training had 1 to 5%.
Two seeds of training; spreads are over seeds.

Needs RESTOREKIT_DATA but for size smoke, and the weights of seed 1: python -m restorekit weights train NAME --size full --seed 1
--out results/weights/seed1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from ...methods.guided_restoration import GUIDES, guidance_map
from ...nets.guided import deconvolve
from .. import Cell, ClaimRecord, Value, command_for, grid, mean_and_spread
from ._guidance import LEVELS, PICTURES, QUADRANTS, SEEDS, SIDE, gap, nets, observe, score, weights_digest
from ._mlmc_trials import known, shown

NAME = "guidance_gain"
SIZES = ("smoke", "quick")
ALONE = "deconvolution"
NETS = ("unguided_tiny", "guided_tiny", "guided_data_tiny", "unguided_general", "guided_general")
NO_GUIDE = "none"
COLUMNS = {"smoke": ("3%", QUADRANTS), "quick": (*LEVELS, QUADRANTS)}
GUIDE = "proxy"  # the paper's; the verdicts are on it


def cells(size: str) -> list[Cell]:
    """Net x seed x picture, those of which there are weights; a cell has all levels and guides."""
    fixed: dict[str, Any] = {"table": NAME, "side": 64 if size == "smoke" else SIDE, "levels": ", ".join(COLUMNS[size])}
    made = []
    for source, name in PICTURES[size]:
        made += grid(method=ALONE, dataset=source, image=name, **fixed)
        for net in NETS:
            for seed in SEEDS:
                if digest := weights_digest(net, seed):
                    made += grid(method=net, dataset=source, image=name, seed=seed, weights=digest, **fixed)
    return made


@torch.no_grad()
def run(cell: Cell) -> dict[str, Any]:
    """PSNR of one net on one picture: '<guide> <level>'."""
    found: dict[str, Any] = {}
    for level in str(cell.params["levels"]).split(", "):
        x, y, k, sigma = observe(cell.dataset, cell.image, level, int(cell.params["side"]))
        if cell.method == ALONE:
            found[f"{NO_GUIDE} {level}"] = score(deconvolve(y, k), x)
            continue
        net, proxy = nets(cell.method, cell.seed)
        if proxy is None:
            found[f"{NO_GUIDE} {level}"] = score(net(y, k), x)
            continue
        for guide in (*GUIDES, "true"):
            told = sigma if guide == "true" else guidance_map(y, proxy, guide)
            found[f"{guide} {level}"] = score(net(y, k, told), x)
    return found


def summarize(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Per net and guide: mean PSNR at each level, with the spread over seeds."""
    table = []
    for method in (ALONE, *NETS):
        here = [r for r in rows if r["method"] == method]
        for guide in (NO_GUIDE, *GUIDES, "true"):
            names = {level: f"{guide} {level}" for level in (*LEVELS, QUADRANTS)}
            names = {level: name for level, name in names.items() if here and here[0].get(name) is not None}
            if not names:
                continue
            means = mean_and_spread(here, by=("method",), values=tuple(names.values()))[0]
            row: dict[str, Any] = {"method": method, "guide": guide}
            for level, name in names.items():
                row |= {level: means[name], f"{level}_spread": means[f"{name}_spread"]}
            table.append({**row, "n": means["n"]})
    return table


def claims(rows: Sequence[Mapping[str, Any]], size: str) -> list[ClaimRecord]:
    """B1 (guided over unguided, more at high noise), B2 (small and guided against large), B4 (levels not trained on), B6 (quadrants)."""
    levels = COLUMNS[size]

    def over(level: str, better: str = "guided_tiny", worse: str = "unguided_tiny", guide: str = GUIDE) -> Value | None:
        return gap(rows, (better, f"{guide} {level}"), (worse, f"{NO_GUIDE} {level}"))

    def growth() -> Value | None:
        """The gain at 7% over that at 3%."""
        more = [{**r, "gain": r[f"{GUIDE} 7%"] - r[f"{GUIDE} 3%"]} for r in rows if r["method"] == "guided_tiny"]
        less = [{**r, "gain": r[f"{NO_GUIDE} 7%"] - r[f"{NO_GUIDE} 3%"]} for r in rows if r["method"] == "unguided_tiny"]
        return gap([*more, *less], ("guided_tiny", "gain"), ("unguided_tiny", "gain"))

    whole = set(LEVELS) < set(levels)
    seen, unseen = [v for v in ("1%", "3%", "5%") if v in levels], [v for v in ("0.6%", "6%", "7%") if v in levels]
    told = {f"{v}, true map (dB)": shown(over(v, guide="true")) for v in levels}
    worst = {f"{v}, least of any picture (dB)": _least(rows, v) for v in levels if v in ("1%", "5%", "7%")}
    in_data = {f"{v}, sigma in the data step too (dB)": shown(over(v, "guided_data_tiny")) for v in levels}
    general = {f"{v}, general nets (dB)": shown(over(v, "guided_general", "unguided_general")) for v in levels}
    records = {
        "B1": (
            "Bilevel Sec. 5.1.2",
            "Led by a noise map the restorer is better than the same net without it, most at high noise.",
            {f"{v} (dB)": over(v) for v in seen} | {"7% over 3% (dB)": growth() if whole else None} | worst | told | in_data | general,
        ),
        "B2": (
            "Bilevel Sec. 5.1.2",
            "The small net with the map is at least as good as the large one without.",
            {f"{v} (dB)": over(v, worse="unguided_general") for v in seen},
        ),
        "B4": (
            "Bilevel Sec. 5.1.3",
            "The gain holds at noise levels that training did not have.",
            {f"{v} (dB)": over(v) for v in unseen},
        ),
        "B6": (
            "Bilevel Sec. 5.2.2",
            "The map helps where the noise varies over the picture (four quadrants, 1 to 5%).",
            {f"{QUADRANTS} (dB)": over(QUADRANTS), "guide both (dB)": shown(over(QUADRANTS, guide="both"))},
        ),
    }
    command, decidable = command_for(NAME, size), size != "smoke"
    return [
        ClaimRecord.decide(claim, where, text, command=command, size=size, values=known(values), decidable=decidable)
        for claim, (where, text, values) in records.items()
    ]


def _least(rows: Sequence[Mapping[str, Any]], level: str) -> Value | None:
    """The smallest gain of any picture and seed, as evidence only."""
    plain = {(r["image"], r["seed"]): r[f"{NO_GUIDE} {level}"] for r in rows if r["method"] == "unguided_tiny"}
    led = {(r["image"], r["seed"]): r[f"{GUIDE} {level}"] for r in rows if r["method"] == "guided_tiny"}
    gains = [value - plain[key] for key, value in led.items() if key in plain]
    return Value(min(gains), None, 1) if gains else None
