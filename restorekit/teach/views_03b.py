"""The figures and the computed sentences of page 03b; what is computed for the argument stands on the page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from IPython.display import Markdown
from torch import Tensor

from .. import metrics
from ..experiments import markdown, verdict_from
from ._picture import FONT, INK, PALETTE, Picture, canvas
from .cards import Card, card
from .figures import Layout, draw, label, place_kernel, show
from .plots import plot_lines
from .shorthands import seeded as seeded
from .sizes import stamp
from .steps import Stepper, stepper
from .trace import Snapshot, Trace

GOALS = (
    "put rival methods on one footing: one grid, one net, one number of steps",
    "write a rival's step and a paired comparison, equal to the library's to rounding",
    "say how often a rule of verdicts errs, and read a table of margins with it",
    "tell what a kernel is worth by handing it to a non-blind restorer",
    "judge twelve claims, those included that cannot be tested here",
)
MARKERS = ("o", "s", "^", "D", "v")


def opening() -> Card:
    """The card of the page."""
    return card(
        "03b_mlmc_tested",
        goals=GOALS,
        needs=["page 01, section 9 (misplaced pixels)", "page 03 (what MLMC does)"],
        papers=["MLMC Sec. 5, Tables 1 to 8, Fig. 4 to 9, Eq. 33 and 35"],
        minutes=60,
        seed=0,
    )


class Race:
    """Stored runs of several methods on one observation: what each believed of picture and kernel, step by step."""

    def __init__(self, traces: Mapping[str, Trace], truth: Tensor, kernel: Tensor, scale: int) -> None:
        self.traces, self.truth, self.kernel, self.scale = dict(traces), truth, kernel, scale
        self.steps = next(iter(self.traces.values())).steps
        self.dB = {n: [metrics.psnr(s.x, truth, border=scale).item() for s in t] for n, t in self.traces.items()}
        self.distance = {n: [metrics.kernel_distance(s.k, kernel).item() for s in t] for n, t in self.traces.items()}

    def strip(self) -> Picture:
        """Kernels of each method at four stages, one row a method, the truth last in each row."""
        at = torch.linspace(0, len(self.steps) - 1, 4).round().long().unique().tolist()
        layout = Layout([38] * len(self.traces), len(at) + 1, (120, 120), [stamp(len(self.steps), unit="outer steps") + ", one run"])
        top, reach = max(k.max().item() for k in self._kernels()), self.kernel.shape[-1] // 2 + 0.5
        for row, (name, trace) in enumerate(self.traces.items()):
            heads = [f"{name}, step {self.steps[i]}\n{self.distance[name][i]:.2f} away" for i in at] + ["truth"]
            for col, (head, k) in enumerate(zip(heads, [*(trace[i].k for i in at), self.kernel], strict=True)):
                ax = layout.axes(row, col)
                place_kernel(ax, k, top, reach)
                label(ax, head)
        ends = ", ".join(f"{name} from {d[0]:.2f} to {d[-1]:.2f}" for name, d in self.distance.items())
        return Picture(layout.figure, alt=f"Kernels at {len(at)} stages of a run, one row a method. Distance to the truth: {ends}.")

    def _kernels(self) -> list[Tensor]:
        return [self.kernel, *(t[-1].k for t in self.traces.values())]

    def frame(self, state: Snapshot) -> Picture:
        """One step: picture and kernel of each method, and the truth."""
        i, names = self.steps.index(state.step), list(self.traces)
        layout = Layout([38, 24], len(names) + 1, (150, 150))
        columns = [(n, self.traces[n][i].x, self.traces[n][i].k) for n in names] + [("truth", self.truth, self.kernel)]
        top, reach = max(k.max().item() for k in self._kernels()), self.kernel.shape[-1] // 2 + 0.5
        for c, (name, x, k) in enumerate(columns):
            ax = layout.axes(0, c)
            draw(ax, x)
            label(ax, f"{name}\n{self.dB[name][i]:.1f} dB" if name in self.dB else name)
            ax = layout.axes(1, c)
            place_kernel(ax, k, top, reach)
            label(ax, f"distance {self.distance[name][i]:.2f}" if name in self.distance else "")
        says = "; ".join(f"{n}: {self.dB[n][i]:.1f} dB, kernel distance {self.distance[n][i]:.2f}" for n in names)
        return Picture(layout.figure, alt=f"Outer step {state.step}. {says}.")

    def player(self) -> Stepper:
        """The stepper over all stored steps."""
        ask = "Does the better kernel always carry the better picture?"
        return stepper(next(iter(self.traces.values())), self.frame, question=ask)

    def reading(self) -> Markdown:
        """Who leads at the end, by picture and by kernel."""
        picture = max(self.dB, key=lambda n: self.dB[n][-1])
        kernel = min(self.distance, key=lambda n: self.distance[n][-1])
        same = f"`{picture}` leads in both" if picture == kernel else f"`{picture}` has the best picture, `{kernel}` the best kernel"
        apart = [max(d) - min(d) for d in ([v[-1] for v in self.dB.values()], [v[-1] for v in self.distance.values()])]
        return Markdown(
            f"At the end of this run {same}: pictures lie {apart[0]:.1f} dB apart, kernels {apart[1]:.2f} in their distance to the truth. "
            "One run decides nothing; section 7 has pictures, kernels and seeds."
        )


def penalties(g: Tensor, curves: Mapping[str, Tensor]) -> Picture:
    """What each regularizer charges for one difference of brightness."""
    small = {name: (curve[1] / curve[-1]).item() for name, curve in curves.items()}
    says = ", ".join(f"{name} {share:.0%}" for name, share in small.items())
    lines = {name: (g, curve) for name, curve in curves.items()}
    alt = f"Price of a difference of {g[1]:.2f} as a share of the price of {g[-1]:.2f}: {says}."
    return plot_lines(lines, xlabel="difference of neighbors |g|", ylabel="price", alt=alt)


def paired(differences: Sequence[Mapping[str, Any]], rival: str) -> Picture:
    """One dot for each observation: how far MLMC is above a rival, pictures along the axis, a marker for each seed."""
    names = list(dict.fromkeys(row["image"] for row in differences))
    figure, ax = canvas(width=7.0, height=3.2)
    ax.axhline(0, color=INK, linewidth=1.0)
    for seed in sorted({row["seed"] for row in differences}):
        mine = [row for row in differences if row["seed"] == seed]
        at = [names.index(row["image"]) + 0.12 * (seed - 1) for row in mine]
        ax.plot(
            at,
            [row["difference"] for row in mine],
            linestyle="none",
            marker=MARKERS[seed % len(MARKERS)],
            markersize=8,
            color=PALETTE[seed % len(PALETTE)],
            label=f"seed {seed}",
        )
    ax.set_xticks(range(len(names)), names)
    ax.set_xlim(-0.5, len(names) - 0.5)
    ax.set_ylabel(f"MLMC minus {rival} (dB)")
    ax.legend(fontsize=FONT - 1, frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    gaps = [row["difference"] for row in differences]
    won = sum(gap > 0 for gap in gaps)
    return Picture(
        figure, alt=f"MLMC is ahead of {rival} in {won} of {len(gaps)} observations; from {min(gaps):+.2f} to {max(gaps):+.2f} dB."
    )


def stretched(factors: Sequence[float], dB: Sequence[float], baseline: float, found: Mapping[str, tuple[float, float]]) -> Picture:
    """Non-blind PSNR against the width of the kernel handed over, relative to the truth; dots: kernels that blind methods found."""
    lines = {"true shape, wrong width": (list(factors), list(dB)), "bicubic, aligned": (list(factors), [baseline] * len(factors))}
    best = max(range(len(dB)), key=dB.__getitem__)
    dots = "; ".join(f"{n}: {w:.2f} times as wide, {p:.1f} dB" for n, (w, p) in found.items())
    alt = f"Handing over the true shape peaks at {dB[best]:.1f} dB, falls to {dB[0]:.1f} dB (narrow) and {dB[-1]:.1f} dB (wide). {dots}."
    return plot_lines(
        lines | {n: ([w], [p]) for n, (w, p) in found.items()},
        xlabel="width of the kernel handed over / true width",
        ylabel="PSNR (dB)",
        stamp=stamp() + ", one observation",
        alt=alt,
    )


def handed(pictures: Mapping[float, Tensor], factor: float, truth: Tensor, border: int) -> Picture:
    """The picture that one handed-over width gives, beside the truth."""
    x = pictures[factor]
    dB = metrics.psnr(x, truth, border=border).item()
    says = f"A kernel {factor:.1f} times as wide as the true one gives {dB:.1f} dB."
    return show({f"{factor:.1f} x the width: {dB:.1f} dB": x, "truth": truth}, alt=says)


def reading(record: Any) -> Markdown:
    """A claim's margins as a sentence: which lie clearly on its side, which clearly on the other, which are open."""
    parts: dict[str, list[str]] = {"holds": [], "does not hold here": [], "undecided": []}
    for name, value in record.values.items():
        if value.margin:
            parts[verdict_from(value.value, value.spread)].append(f"{name} {value.value:+.2f}")
    words = {"holds": "on the claim's side", "does not hold here": "against it", "undecided": "open"}
    said = "; ".join(f"**{words[kind]}**: {', '.join(found)}" for kind, found in parts.items() if found)
    return Markdown(f"*{record.id}*, {record.verdict}. Margins: {said}.")


def tally(records: Sequence[Any]) -> Markdown:
    """How many claims got which verdict."""
    counts = Counter(record.verdict for record in records)
    margins = sum(value.margin for record in records for value in record.values.values())
    listed = ", ".join(f"{counts[word]} {word}" for word in counts)
    chance = f"{0.0742 * margins:.0f} of these would be decided all the same (section 4.3)"
    return Markdown(f"Of {len(records)} claims: {listed}. They rest on {margins} margins; were nothing true, about {chance}.")


def pivot(rows: Sequence[Mapping[str, Any]], across: str, *, unit: str = "", by: str = "method") -> list[dict[str, Any]]:
    """One row for each value of `by`, every other column once for each value of `across`; spreads stay with their means."""
    made: dict[Any, dict[str, Any]] = {}
    columns = [name for row in rows[:1] for name in row if name not in (by, across) and not name.endswith("_spread")]
    for column in columns:
        for row in rows:
            if any(other.get(column) is not None for other in rows if other[across] == row[across]):
                name, entry = f"{column}, {_with_unit(row[across], unit)}", made.setdefault(row[by], {by: row[by]})
                entry |= {name: row.get(column), f"{name}_spread": row.get(f"{column}_spread")}
    return list(made.values())


def _with_unit(value: Any, unit: str) -> str:
    return f"x{value}" if unit == "x" else f"{value}{unit}"


def table(rows: Sequence[Mapping[str, Any]], stored: Any, columns: Sequence[str] | None = None, digits: int = 2) -> Markdown:
    """Rows as Markdown, stamped with what they were made from."""
    made, seeds = stored.stamp, ", ".join(map(str, stored.stamp["seeds"]))
    note = f"*{made['size']}: {made['rows']} runs, seeds {seeds};* `{made['command']}`"
    return Markdown(f"{markdown(rows, columns=columns, digits=digits)}\n\n{note}")


def added(records: Sequence[Any]) -> Markdown:
    """What MCKA and MLAO's kernel steps add to `balanced`: the records' margins are above +0.2 dB."""
    gains = [value.value + 0.2 for record in records for value in record.values.values() if value.margin]
    told = " and ".join(f"{gain:+.2f} dB" for gain in gains)
    enough = sum(gain >= 0.2 for gain in gains)
    says = {0: "too little: the preset is as good without MLMC", len(gains): "they earn their place"}.get(enough, "a mixed result")
    where = "the published code's inputs and other pictures"
    return Markdown(f"Added to `balanced` by MCKA and MLAO's kernel steps ({where}): {told}. With 0.2 dB as the bar, {says}.")
