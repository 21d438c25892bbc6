"""What an adversarial training step costs beside a plain one: operations counted, and steps timed, for three pairs of nets.

Claim A4 (AND Sec. 3.5: 57.85 / 8.92 TFLOPs = 6.49). Nets: `light`, what this package ships; `middle`; `paper`, ESRGAN's restorer
with 23 blocks and F with 64 features and 5 + 5 blocks, x4. Plain: y is the bicubic reduction, one step down the L1 loss.

`counted` (torch.utils.flop_counter, convolutions and products, a multiplication and an addition are two; a picture of 256 x 256):
plain, a plain step; ascent, one step of the search, which needs no gradient of G's weights; whole, one that computes them as well;
degrade, F alone. ratio = (plain + K ascent + degrade) / plain; formula = 1 + K whole / plain, the paper's own sum, K = 5.
inference: G alone, for 256 x 256 restored pixels, however it was trained.

`timed`: CPU seconds of one thread for `minimax_step`, medians; the kinds of step take turns. printed: K = 5 steps as printed;
ours: also scaled to a drawn strength, colors removed. The paper's nets see patches of 64, not 256: the ratio hardly depends on it.

Size quick: 3 pairs of nets; timed with 3 seeds.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from ...methods.adversarial import Ball, deviated, minimax_step
from ...methods.degraders import Adversarial, Classical, Degrader
from ...nets.degradation_net import NeuralDegradation
from ...nets.rrdb import RRDB, light_rrdb
from .. import Cell, ClaimRecord, Value, command_for, grid, mean_and_spread
from ._mlmc import margin
from ._mlmc_trials import known, shown

NAME = "and_cost"
SIZES = ("smoke", "quick")
STEPS = 5  # K, AND Sec. 4.3
PRINTED = 6.49
COUNTED_SIDE, PAPER_BATCH, PAPER_PLAIN = 256, 48, 8.92  # px; pictures; TFLOPs of a plain step, AND Sec. 3.5
CLOSE = 0.25  # what counts as near the printed ratio


@dataclass(frozen=True)
class Pair:
    """A restorer, its F, and the batch that is timed."""

    scale: int
    restorer: Callable[[torch.Generator], nn.Module]
    features: int
    blocks: tuple[int, int]
    batch: int
    patch: int = 64


PAIRS = {
    "light": Pair(2, lambda g: light_rrdb(2, generator=g), 32, (2, 2), 4),
    "middle": Pair(2, lambda g: RRDB(2, features=32, blocks=3, growth=16, generator=g), 32, (3, 3), 2),
    "paper": Pair(4, lambda g: RRDB(4, generator=g), 64, (5, 5), 1),
}


def cells(size: str) -> list[Cell]:
    """Nets counted once, timed once for each seed."""
    names = ["light"] if size == "smoke" else list(PAIRS)
    rounds = 1 if size == "smoke" else 3
    return grid(table=NAME, method="counted", nets=names) + grid(table=NAME, method="timed", nets=names, seed=[0, 1, 2], rounds=rounds)


def run(cell: Cell) -> dict[str, Any]:
    """The counts, in 10^9 operations for one picture, or the times."""
    pair = PAIRS[str(cell.params["nets"])]
    return counts(pair) if cell.method == "counted" else times(pair, cell.seed, int(cell.params["rounds"]))


def counts(pair: Pair) -> dict[str, float]:
    """Operations of each kind of step; the nets have shapes and no numbers (device "meta"), so that nothing is computed."""
    G = pair.restorer(torch.Generator().manual_seed(0)).to("meta")
    net = NeuralDegradation(pair.scale, features=pair.features, blocks=pair.blocks).to("meta").requires_grad_(False)
    x = torch.zeros(1, 3, COUNTED_SIDE, COUNTED_SIDE, device="meta")
    y = net.pool(x)

    def search() -> None:
        delta = {n: torch.zeros_like(p).requires_grad_() for n, p in net.named_parameters()}
        (G(deviated(net, delta, x)) - x).abs().mean().backward()

    out = {
        "plain": _count(lambda: (G(y) - x).abs().mean().backward()),
        "whole": _count(search),
        "degrade": _count(lambda: net(x)),
        "inference": _count(lambda: G(y)),
    }
    G.requires_grad_(False)
    out["ascent"] = _count(search)
    ratio = (out["plain"] + STEPS * out["ascent"] + out["degrade"]) / out["plain"]
    return {**out, "ratio": ratio, "formula": 1 + STEPS * out["whole"] / out["plain"]}


def _count(action: Callable[[], object]) -> float:
    with FlopCounterMode(display=False) as counter:
        action()
    return counter.get_total_flops() / 1e9


def times(pair: Pair, seed: int, rounds: int) -> dict[str, float]:
    """CPU seconds of a step by kind, and their ratios to the plain one."""
    generator = torch.Generator().manual_seed(seed)
    G = pair.restorer(generator)
    optimizer = torch.optim.Adam(G.parameters(), 1e-4)
    x = torch.rand(pair.batch, 3, pair.patch, pair.patch, generator=generator)
    size: dict[str, Any] = {"scale": pair.scale, "features": pair.features, "blocks": pair.blocks, "steps": STEPS}
    kinds: dict[str, Degrader] = {
        "plain": Classical(pair.scale),
        "printed": Adversarial(**size, ball=Ball(), step=6.0, strength=None, window=None),
        "ours": Adversarial(**size),
    }
    seconds: dict[str, list[float]] = {name: [] for name in kinds}
    for _ in range(rounds):
        for name, degrader in kinds.items():
            # as in training: the search needs no gradient of G's weights
            search = _frozen(G, degrader)
            start = time.process_time()
            minimax_step(G, optimizer, x, search, generator=generator)
            seconds[name].append(time.process_time() - start)
    found = {f"{name}_s": statistics.median(values) for name, values in seconds.items()}
    return {**found, "printed_ratio": found["printed_s"] / found["plain_s"], "ours_ratio": found["ours_s"] / found["plain_s"]}


def _frozen(G: nn.Module, degrader: Degrader) -> Callable[..., torch.Tensor]:
    def degrade(x: torch.Tensor, restorer: nn.Module, *, generator: torch.Generator) -> torch.Tensor:
        G.requires_grad_(False)
        y = degrader(x, restorer, generator=generator)
        G.requires_grad_(True)
        return y

    return degrade


COUNTS = ("plain", "ascent", "whole", "degrade", "inference", "ratio", "formula")
TIMES = ("plain_s", "printed_s", "ours_s", "printed_ratio", "ours_ratio")


def summarize(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Per pair of nets: counts for one picture of 256 x 256 in 10^9 operations, seconds, and ratios."""
    counted = {row["nets"]: row for row in rows if row["method"] == "counted"}
    timed = mean_and_spread([row for row in rows if row["method"] == "timed"], by=("nets",), values=TIMES)
    return [
        {"nets": row["nets"], **{name: counted[row["nets"]][name] for name in COUNTS if row["nets"] in counted}, **row} for row in timed
    ]


def claims(rows: Sequence[Mapping[str, Any]], size: str) -> list[ClaimRecord]:
    """A4: 6.49 times the cost in training, none more in use."""
    counted = {row["nets"]: row for row in rows if row["method"] == "counted"}

    def near(nets: str, score: str) -> Value | None:
        return margin(
            [row for row in rows if row["nets"] == nets and row["method"] == "timed"], lambda r: CLOSE * PRINTED - abs(r[score] - PRINTED)
        )

    def timed(nets: str, score: str) -> Value | None:
        return shown(margin([row for row in rows if row["nets"] == nets and row["method"] == "timed"], lambda r: r[score]))

    values: dict[str, Value | None] = {}
    if "paper" in counted:
        exact = counted["paper"]
        for name, score in (("search without weight gradients", "ratio"), ("as the paper sums", "formula")):
            gap = CLOSE * PRINTED - abs(exact[score] - PRINTED)
            values[f"paper's nets, counted, {name}: within {CLOSE:.0%} of {PRINTED}"] = Value(gap, 0.0, 1, margin=True)
            values[f"paper's nets, counted, {name}"] = Value(exact[score])
        values[f"paper's nets, timed, as printed: within {CLOSE:.0%} of {PRINTED}"] = near("paper", "printed_ratio")
        values["paper's nets: a plain step of 48 pictures, TFLOPs, 8.92 printed"] = Value(PAPER_BATCH * exact["plain"] / 1e3)
    for nets in counted:
        values |= {f"{nets} nets, timed, {kind}": timed(nets, f"{kind}_ratio") for kind in ("printed", "ours")}
    text = (
        f"An adversarial training step costs {PRINTED} times a plain one (here: within {CLOSE:.0%}, for nets of the paper's size); a "
        "restored picture costs what it costs without, since only G is kept."
    )
    return [
        ClaimRecord.decide(
            "A4", "AND Sec. 3.5", text, command=command_for(NAME, size), size=size, values=known(values), decidable=size != "smoke"
        )
    ]
