"""The figures and computed sentences of page 04b; what is computed for the argument stands on the page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import torch
from IPython.display import Markdown
from torch import Tensor, nn

from .. import metrics
from ..experiments import command_for, load_results, markdown, tables
from ..methods.baselines.bicubic import bicubic, bicubic_downsample
from ._picture import DASHES, FONT, INK, PALETTE, Picture, style
from .cards import Card, card
from .figures import Layout, draw, label, show
from .plots import plot_lines
from .shorthands import seeded as seeded
from .sizes import stamp
from .steps import Stepper, stepper
from .views_03b import reading, table
from .views_04 import fine

GOALS = (
    "solve a game of restorer against adversary in closed form, and say what insurance costs",
    "write one step of min-max training, equal to the library's to rounding",
    "count what such a step costs, and compare with what is printed and measured",
    "read a table of unseen degradations: mean, clean input, what carries the mean",
    "judge AND's claims A1 to A6, one of them not testable here",
)


def opening() -> Card:
    """The card of the page."""
    return card(
        "04b_and_tested",
        goals=GOALS,
        needs=["page 04 (identity networks, the adversary)", "page 03b, section 4.3 (verdicts)"],
        papers=["AND Sec. 3.3 to 3.5 and 4, Eq. 1 to 3, Tables 1 and 2"],
        minutes=60,
        seed=0,
    )


def insurance(top: float) -> Picture:
    """Loss of three gains against the noise variance met; ranges up to `top` were prepared for."""
    s2 = torch.linspace(0, top, 50, dtype=torch.float64)
    gains = {"classical": 1.0, "average case": 1 / (1 + top / 2), "worst case": 1 / (1 + top)}
    lines = {name: (s2, (1 - g) ** 2 + g**2 * s2) for name, g in gains.items()}
    says = "; ".join(f"{name} {(1 - g) ** 2:.2f} at 0, {(1 - g) ** 2 + g**2 * top:.2f} at the end" for name, g in gains.items())
    return plot_lines(lines, xlabel="noise variance met", ylabel="loss", alt=f"Loss of three gains, noise variance 0 to {top:g}: {says}.")


def preparations(met: float, made_for: float) -> Picture:
    """Loss above the best possible, against the variance prepared for, at the variance met."""
    axis = torch.linspace(0, 4, 161, dtype=torch.float64)

    def excess(prepared: Any) -> Any:
        g = 1 / (1 + prepared)
        return (1 - g) ** 2 + g**2 * met - met / (1 + met)

    here = excess(torch.tensor(made_for, dtype=torch.float64)).item()
    return plot_lines(
        {"loss above the best possible": (axis, excess(axis)), "this preparation": ([made_for], [here])},
        xlabel="variance prepared for",
        ylabel="loss above the best",
        marks={"met": met},
        alt=f"Prepared for variance {made_for:g}, met {met:g}: {here:.3f} above the best possible loss.",
    )


@torch.no_grad()
def look(step: int, attacked: Tensor, error: float, G: nn.Module, x: Tensor) -> SimpleNamespace:
    """What is kept of a training at one step: a restored attacked picture, its mean error, PSNR on clean input."""
    clean = metrics.psnr(G(bicubic_downsample(x, 2)), x, border=2).item()
    return SimpleNamespace(step=step, picture=attacked, error=255 * error, clean=clean)


class Race:
    """Trainings side by side: restored pictures under a fresh attack, errors, clean scores, step by step."""

    def __init__(self, runs: Mapping[str, Sequence[Any]], x: Tensor) -> None:
        self.runs, self.x = dict(runs), x
        self.steps = [state.step for state in next(iter(self.runs.values()))]
        self.bicubic = metrics.psnr(bicubic(bicubic_downsample(x, 2), 2), x, border=2).item()

    def ratio(self) -> float:
        """Mean error under attack at the end: the last run's over the first one's."""
        first, *_, last = (states[-1].error for states in self.runs.values())
        return last / first

    def reading(self) -> Markdown:
        """First and last error under attack and clean score of each run."""
        says = "; ".join(
            f"*{n}* {s[0].error:.1f} to {s[-1].error:.1f} gray levels, clean {s[0].clean:.1f} to {s[-1].clean:.1f} dB"
            for n, s in self.runs.items()
        )
        return Markdown(f"Error under a fresh attack, {self.steps[-1]} steps: {says}. Bicubic on clean input: {self.bicubic:.1f} dB.")

    def strip(self) -> Picture:
        """Three stages of each run under attack, and the truth."""
        at = torch.linspace(0, len(self.steps) - 1, 3).round().long().unique().tolist()
        layout = Layout([44] * len(self.runs), len(at) + 1, (180, 180), [stamp(self.steps[-1], unit="training steps") + ", one run each"])
        for row, (name, states) in enumerate(self.runs.items()):
            for col, i in enumerate(at):
                ax = layout.axes(row, col)
                draw(ax, states[i].picture)
                label(ax, f"{name}, step {states[i].step}\nerror {states[i].error:.1f} under attack")
            ax = layout.axes(row, len(at))
            draw(ax, self.x)
            label(ax, "truth")
        ends = "; ".join(f"{n} {s[0].error:.1f} to {s[-1].error:.1f}" for n, s in self.runs.items())
        return Picture(layout.figure, alt=f"Pictures restored under a fresh attack while training. Mean error in gray levels: {ends}.")

    def frame(self, state: SimpleNamespace) -> Picture:
        """One stage: the restored pictures, and error under attack and clean PSNR so far."""
        i = self.steps.index(state.step)
        layout = Layout([44], len(self.runs) + 1, (230, 230))
        layout.figure.set_size_inches(layout.wide / 80, 6.3)
        panels = {f"{n}\nerror {s[i].error:.1f}": s[i].picture for n, s in self.runs.items()} | {"truth": self.x}
        for c, (head, picture) in enumerate(panels.items()):
            ax = layout.figure.add_axes((0.015 + c * 0.33, 0.47, 0.31, 0.43))
            ax.set_xticks([])
            ax.set_yticks([])
            draw(ax, picture)
            label(ax, head)
        self._curves(layout.figure, i)
        says = "; ".join(f"{n}: error {s[i].error:.1f} under attack, {s[i].clean:.1f} dB clean" for n, s in self.runs.items())
        return Picture(layout.figure, alt=f"Step {state.step}. {says}.")

    def _curves(self, figure: Any, i: int) -> None:
        for c, (title, field) in enumerate({"error under attack (gray levels)": "error", "PSNR on clean input (dB)": "clean"}.items()):
            ax = figure.add_axes((0.08 + 0.5 * c, 0.1, 0.39, 0.26))
            style(ax)
            for k, (name, states) in enumerate(self.runs.items()):
                values = [getattr(s, field) for s in states]
                ax.plot(self.steps, values, color=PALETTE[k], linestyle=DASHES[k], linewidth=1.8, label=name)
                ax.plot(self.steps[i], values[i], "o", color=INK)
            if field == "clean":
                ax.axhline(self.bicubic, color=PALETTE[2], linestyle=":", linewidth=1.6, label="bicubic")
            ax.set_title(title, size=FONT, color=INK, pad=4)
            ax.set_xlabel("training step")
            ax.locator_params(nbins=4)  # drawing ticks is most of a frame's time
            ax.legend(fontsize=FONT - 2, frameon=False)

    def player(self) -> Stepper:
        """The stepper over all stored stages."""
        states = next(iter(self.runs.values()))
        return stepper(states, self.frame, question="When do the two part under attack, and what does that cost on clean input?")


def ranking(rows: Sequence[Mapping[str, Any]], table: Any) -> Markdown:
    """Gain over bicubic on the mean of the unseen, on clean input, and where the robust net leads and trails most, in words."""
    psnr = [row for row in rows if row["score"] == "psnr"]
    mean, clean = (next(r for r in psnr if r["degradation"] == name) for name in (table.MEAN, "clean"))
    nets = [m for m in table.METHODS if m != "bicubic"]
    gains = ", ".join(f"{m} {mean[m] - mean['bicubic']:+.1f}" for m in sorted(nets, key=lambda m: -mean[m]))
    price = ", ".join(f"{m} {clean[m] - clean['bicubic']:+.1f}" for m in sorted(nets, key=lambda m: -clean[m]))
    single = [r for r in psnr if r["degradation"] not in (table.MEAN, "clean")]
    most, least = (f(single, key=lambda r: r["adversarial"] - r["classical"]) for f in (max, min))
    return Markdown(
        f"**x{rows[0]['scale']}.** Gain over bicubic, dB, mean of the unseen: {gains}. On clean input: {price}. "
        f"Adversarial minus classical is largest on {most['degradation']} ({most['adversarial'] - most['classical']:+.1f} dB), "
        f"smallest on {least['degradation']} ({least['adversarial'] - least['classical']:+.1f} dB)."
    )


def same_cell(table: Any, stored: Any, method: str = "classical") -> Markdown:
    """One stored cell computed again, if its picture is at hand; AssertionError if the two differ by more than 0.05 dB."""
    row = next(r for r in stored.rows if r["method"] == method and r["scale"] == 2)
    cell = next(c for c in table.cells("quick") if c.id == row["id"])
    try:
        again = table.run(cell)
    except (FileNotFoundError, ValueError):
        return Markdown(f"Not computed again: {cell.dataset} is not at hand (RESTOREKIT_DATA).")
    name = f"psnr {table.MEAN}"
    if not abs(again[name] - row[name]) <= 0.05:
        raise AssertionError(f"{cell.image}: {again[name]:.3f} dB now, {row[name]:.3f} dB stored")
    return Markdown(f"{cell.dataset}/{cell.image}, {method}: {again[name]:.2f} dB now, {row[name]:.2f} dB stored.")


def restorations(pictures: Mapping[str, Tensor], dB: Mapping[str, float], truth: Tensor, degradation: str) -> Picture:
    """All methods on one degradation, with their scores in dB, beside the truth."""
    says = f"Restored from {degradation}: " + ", ".join(f"{m} {v:.1f} dB" for m, v in dB.items()) + "."
    return show({**{f"{m}\n{dB[m]:.1f} dB": v for m, v in pictures.items()}, "truth": truth}, alt=says, cols=3)


def evidence(name: str, rows: str, columns: Sequence[str] | None = None) -> tuple[list[Markdown], dict[str, Any]]:
    """A stored table as the function `rows` of its module reads it, then each of its claims, if any, in words; and the claims by id.

    columns: which to show; rows without the first two are left out. A table that is not stored is named with its command.
    """
    module = tables.load(name)
    try:
        stored = load_results(name, "quick")
    except FileNotFoundError:
        return [Markdown(f"Table `{name}` is not stored; `{command_for(name, 'quick')}` makes it.")], {}
    made = [row for row in getattr(module, rows)(stored.rows) if columns is None or all(c in row for c in columns[:2])]
    records = {record.id: record for record in module.claims(stored.rows, "quick")} if hasattr(module, "claims") else {}
    return [table(made, stored, columns), *(reading(record) for record in records.values())], records


def roughness(v: Tensor) -> float:
    """Mean |v minus its 3 x 3 mean| in gray levels: detail and grain together."""
    return 255 * float(fine(v).abs().mean())


def beside_bicubic(pictures: Mapping[str, Tensor], method: str, says: str) -> Picture:
    """One method's enlargement beside bicubic interpolation; says: what was measured of all."""
    shown = {name: pictures[name].clamp(0, 1) for name in ("bicubic", method)}
    return show(shown, alt=f"The chosen picture enlarged by bicubic and {method}. Finest detail and grain, gray levels: {says}.")


def plain_table(rows: Sequence[Mapping[str, Any]]) -> Markdown:
    """Rows as Markdown, stamped with the size."""
    return Markdown(f"{markdown(list(rows))}\n\n*{stamp()}, one picture*")


def tally(records: Sequence[Any]) -> Markdown:
    """How many claims got which verdict."""
    counts = Counter(record.verdict for record in records)
    return Markdown(f"Of {len(records)} claims: " + ", ".join(f"{n} {word}" for word, n in counts.items()) + ".")
