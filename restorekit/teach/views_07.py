"""The figures and computed sentences of page 07; what is computed for the argument stands on the page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import torch
from IPython.display import Markdown
from torch import Tensor

from .. import metrics
from ..experiments import command_for, load_results, markdown, tables
from ..experiments.ledger import PAPERS, ledger
from ..experiments.published import compare_with_published, sources
from ._picture import Picture, check_alt
from .cards import Card, card
from .figures import show, show_kernels
from .plots import plot_lines
from .shorthands import seeded as seeded
from .sizes import stamp
from .steps import Stepper, stepper
from .views_03b import reading, table

GOALS = (
    "give each unknown of a blurred, noisy picture to the method that finds it",
    "write the A-step, a least-squares fit of a kernel, equal to the library's",
    "judge a combination by what is lost when one part is taken out",
    "rerun a table of a paper, and read it beside the printed numbers",
    "find any claim's verdict, its evidence and the command that makes it",
)


def opening() -> Card:
    """The card of the page."""
    return card(
        "07_restoration_lab",
        goals=GOALS,
        needs=["page 03 (MLMC)", "page 05 (noise maps)", "page 06 (dynamic plug-and-play)", "page 03b, section 4.3 (verdicts)"],
        papers=["MLMC Alg. 1", "Bilevel Eq. 4, 5", "Dynamic PnP Eq. 3, 9", "AND Eq. 1", "all their tables"],
        minutes=60,
        seed=0,
    )


def dB(a: Tensor, b: Tensor) -> float:
    """PSNR without rounding or border."""
    return metrics.psnr(a, b, luma=False, quantize=False).item()


def alone(pictures: Mapping[str, Tensor], truth: Tensor) -> Picture:
    """What each method makes of one observation, with its score."""
    scores = {name: dB(x, truth) for name, x in pictures.items()}
    says = "One blurred, noisy picture and what is made of it: " + ", ".join(f"{n} {v:.1f} dB" for n, v in scores.items()) + "."
    return show({**{f"{n}\n{scores[n]:.1f} dB": x for n, x in pictures.items()}, "truth": truth}, alt=says, cols=3, stamp=stamp())


def kernels(found: Mapping[str, Tensor], truth: Tensor) -> Picture:
    """Kernels beside the true one, with their distance to it."""
    far = {name: metrics.kernel_distance(k, truth).item() for name, k in found.items()}
    says = "Kernels and their distance to the true one: " + ", ".join(f"{n} {v:.2f}" for n, v in far.items()) + "."
    return show_kernels({**{f"{n}: {far[n]:.2f}": k for n, k in found.items()}, "truth": truth}, alt=says, stamp=stamp())


class Rounds:
    """The rounds of a combination: picture, kernel, score; as a strip and as a stepper."""

    def __init__(self, states: Sequence[tuple[Tensor, Tensor]], truth: Tensor, kernel: Tensor) -> None:
        self.truth, self.kernel = truth, kernel
        self.states: list[Any] = [SimpleNamespace(step=i, v=v, k=k, score=dB(v, truth)) for i, (v, k) in enumerate(states)]

    def strip(self) -> Picture:
        """The pictures of all rounds."""
        says = "Rounds of the A-step: " + ", ".join(f"{s.step}: {s.score:.2f} dB" for s in self.states) + "."
        shown = {f"round {s.step}\n{s.score:.2f} dB": s.v for s in self.states} | {"truth": self.truth}
        return show(shown, alt=says, cols=5, stamp=stamp())

    def frame(self, state: SimpleNamespace) -> Picture:
        """Picture and kernel of one round beside the true ones; the kernels as pictures of the same height."""
        side = self.truth.shape[-1]
        far = metrics.kernel_distance(state.k, self.kernel).item()
        top = self.kernel.max().clamp_min(1e-6)
        small = {"its kernel": state.k, "true kernel": self.kernel}
        grown = {name: torch.nn.functional.interpolate((k / top).clamp(0, 1), size=(side, side)) for name, k in small.items()}
        says = f"Round {state.step}: {state.score:.2f} dB, its kernel {far:.2f} from the true one."
        return show({f"round {state.step}\n{state.score:.2f} dB": state.v, "truth": self.truth, **grown}, alt=says, cols=4)

    def player(self) -> Stepper:
        """The stepper over the rounds."""
        return stepper(self.states, self.frame, question="Where does a round still gain, and does the kernel come nearer the true one?")


def starts(widths: Sequence[float], scores: Mapping[str, Sequence[float]], true: float, width: float) -> Picture:
    """PSNR against the width of the Gaussian that a restoration starts from; one width is marked."""
    i = min(range(len(widths)), key=lambda j: abs(widths[j] - width))
    here = ", ".join(f"{name} {values[i]:.2f} dB" for name, values in scores.items())
    return plot_lines(
        {name: (widths, values) for name, values in scores.items()},
        xlabel="std of the starting kernel (px)",
        ylabel="PSNR (dB)",
        marks={"true": true, "here": widths[i]},
        alt=f"Started from a Gaussian of {widths[i]:.1f} px where the true kernel has {true:.1f}: {here}.",
        stamp=stamp(),
    )


def summary(rows: Sequence[Mapping[str, Any]], stored: Any) -> Markdown:
    """The lab's table, best first."""
    return table(sorted(rows, key=lambda row: -row["psnr"]), stored)


def verdict(rows: Sequence[Mapping[str, Any]], record: Any) -> Markdown:
    """What the table says of the whole and of each part left out, in words."""
    gain = {row["method"]: row["over mlmc"] for row in rows}
    best = next(row for row in rows if row["method"] == "combination")
    lost = {part: gain["combination"] - gain[name] for name, part in LEFT_OUT.items() if name in gain}
    said = ", ".join(f"{part} {value:+.2f} dB" for part, value in lost.items())
    return Markdown(
        f"Over MLMC alone the combination has {best['over mlmc']:+.2f} dB on average ({best['cases better']} of {best['n']} cases better, "
        f"at worst {best['least']:+.2f} dB). Lost without: {said}.\n\n{reading(record).data}"
    )


LEFT_OUT = {
    "no A-step": "the A-step",
    "no mlmc": "MLMC's kernel",
    "one level": "the map (one closed-form number instead)",
    "denoiser prior": "the guided net (denoiser instead)",
    "and prior": "the guided net (AND's restorer instead)",
}


def stored_or_command(name: str, size: str = "quick") -> tuple[Any, Any]:
    """A table's module and its stored rows; FileNotFoundError names the command."""
    return tables.load(name), load_results(name, size)


def beside_print(name: str) -> Markdown:
    """A stored table beside the printed numbers and, below, what differs."""
    rows = compare_with_published(name, load_results(name).rows)
    columns = ["where", "group", "method", "ours", "ours_spread", "printed", "difference", "gain", "printed gain"]
    differs = "\n".join(f"- {line}" for line in dict.fromkeys(line for source in sources(name) for line in source.differs))
    return Markdown(f"{markdown(rows, columns=columns)}\n\nWhat differs:\n\n{differs}\n\n`{command_for(name, 'quick')}`")


def figure(name: str, alt: str) -> Picture:
    """A figure of `experiments figures`, with alt text."""
    from ..experiments import figures

    return Picture(figures.draw(name), alt=check_alt(alt))


def counts(records: Sequence[Any]) -> Markdown:
    """How many records of each paper got which verdict."""
    rows = []
    for letter, paper in {**PAPERS, "R": "Dynamic PnP, printed scores"}.items():
        found = Counter(record.verdict for record in records if record.id[0] == letter and record.id[1:2].isdigit())
        if found:
            rows.append({"paper": paper, "records": sum(found.values()), "verdicts": ", ".join(f"{n} {word}" for word, n in found.items())})
    return Markdown(markdown(rows))


def ledger_table(records: Sequence[Any], paper: str) -> Markdown:
    """The ledger of one paper: claim, verdict, evidence, size."""
    letters = [letter for letter, name in PAPERS.items() if name == paper]
    rows = [row for row in ledger(records) if row["claim"][0] in letters and row["claim"][1:2].isdigit()]
    return Markdown(markdown(rows, columns=["claim", "where", "verdict", "says", "evidence", "size"]))
