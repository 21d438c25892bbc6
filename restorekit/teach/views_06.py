"""The figures of page 06: what is drawn and said in their alt texts; what is computed stands on the page."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from statistics import fmean, stdev
from types import SimpleNamespace
from typing import Any

import torch
from IPython.display import Markdown
from torch import Tensor, nn

from ..experiments import Results, command_for, load_results, markdown, tables
from ..experiments.tables import pnp_gradients
from ..methods.dynamic_pnp import DynamicState
from ..nets import load_denoiser, load_vdn
from ..solvers import Denoiser
from ..varying_blur import blending_windows
from ._picture import DASHES, FONT, INK, PALETTE, Picture, canvas
from .cards import Card, card
from .checks import check
from .figures import Layout, compare, draw, label
from .plots import plot_lines
from .shorthands import dB, seeded
from .sizes import stamp
from .steps import Stepper, stepper

__all__ = ["dB", "seeded"]
SPAN = 32 / 255  # residuals are drawn from minus to plus this
GOALS = (
    "test whether a denoiser is a proximal map or a projection, and say what follows if it is not",
    "write half-quadratic splitting, and say when iterating gains and when it cannot",
    "derive the gradient of the data term by the operator for five readings of it",
    "show that a printed update is no gradient, and that some operators explain everything",
    "tell a converged curve from one that never moved",
)


def opening() -> Card:
    """The card of the page."""
    return card(
        "06_dynamic_plug_and_play",
        goals=GOALS,
        needs=[
            "page 01 (blur, operators and their adjoints)",
            "gradients of quadratic functions",
            "page 04b, section 4.1 (means are smooth)",
        ],
        papers=["Dynamic PnP Sec. 3.1 to 3.4, 4.1, 4.3 and 4.4, Eq. 1 to 14, Table 1, Fig. 4"],
        minutes=80,
        seed=0,
    )


def in_double(net: nn.Module) -> nn.Module:
    """A copy of a net in float64."""
    return copy.deepcopy(net).double()


def second_denoiser() -> tuple[Denoiser, str]:
    """g of Eq. 9, another net than the prior: our VDN where its weights are, else the same net told a level 20% too high; its name."""
    try:
        return load_vdn(), "our VDN"
    except FileNotFoundError:
        net = load_denoiser(1)
        return (lambda x, sigma: net(x, 1.2 * sigma)), "the same net, told 1.2 times the level"


def windows(like: Tensor, grid: tuple[int, int]) -> Tensor:
    """The windows of spatially varying kernels over pictures like this."""
    return blending_windows((like.shape[-2], like.shape[-1]), grid, like=like)


def scored(scores: Mapping[str, Any]) -> str:
    """PSNR of each panel."""
    return "PSNR: " + ", ".join(f"{name} {score.psnr:.1f} dB" for name, score in scores.items()) + "."


def passes(films: Sequence[Tensor], truth: Tensor) -> Picture:
    """The noisy picture, one pass and the last of several, with a zoom."""
    side = truth.shape[-1] // 4
    shown = {name: films[i].clamp(0, 1) for i, name in {0: "noisy", 1: "1 pass", 4: "4 passes"}.items()}
    return compare(shown, zoom=(side, side, side), ref=truth, alt=scored, stamp=stamp())


def second_pass(levels: Sequence[float], gains: Mapping[str, Sequence[float]]) -> Picture:
    """What a second pass gains, against the level that it is told."""
    best = ", ".join(f"{name} {max(line):+.2f} dB" for name, line in gains.items())
    return plot_lines(
        {name: (list(levels), list(line)) for name, line in gains.items()},
        xlabel="level told to the second pass (of 255)",
        ylabel="gain over one pass (dB)",
        stamp=stamp(),
        alt=f"Gain of a second pass against the noise level it is told; best: {best}.",
    )


def facts_table(found: Mapping[str, Sequence[float]]) -> Markdown:
    """What a proximal map or a projection must have, for some maps."""
    columns = ("asymmetry of the Jacobian", "largest enlargement found", "second call moves, of the first")
    rows = [{"map": name, **dict(zip(columns, values, strict=True))} for name, values in found.items()]
    return Markdown(f"{markdown(rows)}\n\n*proximal map: 0, at most 1, any; projection: 0, at most 1, 0*")


def rounds(lines: Mapping[str, Sequence[float]]) -> Picture:
    """PSNR after 1, 2, ... rounds of half-quadratic splitting."""
    says = "; ".join(f"{name} {line[0]:.1f} after one, {line[-1]:.1f} dB after {len(line)}" for name, line in lines.items())
    shown = {name: (list(range(1, len(line) + 1)), list(line)) for name, line in lines.items()}
    return plot_lines(shown, xlabel="round", ylabel="PSNR (dB)", stamp=stamp(), alt=f"PSNR over rounds: {says}.")


def along(objective: Callable[[Tensor], float], start: Tensor, directions: Mapping[str, Tensor], x: Tensor) -> Picture:
    """The objective along directions of equal length from a start, relative to its value there; 1: best step along the first."""
    D = next(iter(directions.values()))
    length = D.square().sum() / (D @ x).square().sum() * D.norm()
    steps = [0.05 * i for i in range(41)]
    lines = {
        name: (steps, [objective(start - s * length * V / V.norm()) / objective(start) for s in steps]) for name, V in directions.items()
    }
    says = "; ".join(f"{name} {min(line):.2f} at best, {line[-1]:.2f} at twice that step" for name, (_, line) in lines.items())
    return plot_lines(
        lines,
        xlabel="way along the direction (1: best step along the gradient)",
        ylabel="objective, relative",
        alt=f"The objective of Eq. 9 along gradient and print, relative to its start: {says}.",
    )


def stored_gradients() -> Markdown:
    """The stored table of print against gradient; AssertionError if one of its cells, computed again, comes out otherwise."""
    stored = load_results("pnp_gradients")
    row = stored.rows[0]
    again = pnp_gradients.run(next(c for c in pnp_gradients.cells("quick") if c.id == row["id"]))
    names = pnp_gradients.VALUES
    check("a stored cell, computed again", [again[k] for k in names], [row[k] for k in names], 1e-6, "float64")
    return stamped(pnp_gradients.summarize(stored.rows), stored, digits=3)


def explained(left: Mapping[str, Sequence[float]], unknowns: Mapping[str, int]) -> Markdown:
    """What the best A of each reading leaves, for the right and for a wrong picture, beside the number of its unknowns."""
    return plain_table([{"reading": n, "unknowns": unknowns[n], "true picture": a, "a cat": b} for n, (a, b) in left.items()])


def stamped(rows: Sequence[Mapping[str, Any]], stored: Results, digits: int = 2) -> Markdown:
    """Rows of a stored table as Markdown, with what it was made from."""
    made = stored.stamp
    return Markdown(f"{markdown(list(rows), digits=digits)}\n\n*{made['size']}: {made['rows']} cells;* `{made['command']}`")


def denoising() -> tuple[list[Markdown], dict[str, Any]]:
    """The stored table of denoising, schemes as rows, mean gain over one pass for each prior and level; its claims by id."""
    name = "pnp_denoising"
    try:
        stored = load_results(name, "quick")
    except FileNotFoundError:
        return [Markdown(f"Table `{name}` is not stored; `{command_for(name, 'quick')}` makes it.")], {}
    module = tables.load(name)
    found: dict[str, dict[str, list[tuple[float, int]]]] = {}
    for row in module.summarize(stored.rows):
        for scheme in [k for k in row if k not in ("dataset", "sigma", "prior", "n", "noisy")]:
            found.setdefault(scheme, {}).setdefault(f"{row['prior']}, {row['sigma']}", []).append((row[scheme], row["n"]))
    mean = {s: {c: sum(v * n for v, n in parts) / sum(n for _, n in parts) for c, parts in by.items()} for s, by in found.items()}
    rows = [{"scheme": "one pass (dB)" if scheme == "one" else scheme, **columns} for scheme, columns in mean.items()]
    return [stamped(rows, stored)], {record.id: record for record in module.claims(stored.rows, "quick")}


def plain_table(rows: Sequence[Mapping[str, Any]]) -> Markdown:
    """Rows as Markdown, stamped with the size."""
    return Markdown(f"{markdown(list(rows))}\n\n*{stamp()}*")


class Film:
    """Rounds of the dynamic scheme with a diagonal A, one row a run: x, v, A and what A x + n leaves of y."""

    def __init__(self, runs: Mapping[str, Sequence[DynamicState]], y: Tensor, n: Tensor, truth: Tensor) -> None:
        self.runs, self.y, self.n, self.truth = dict(runs), y, n, truth
        self.states: list[Any] = [SimpleNamespace(step=s.step) for s in next(iter(self.runs.values()))]

    def _panels(self, s: DynamicState) -> dict[str, Tensor]:
        return state_panels(s, self.y, self.n, self.truth)

    def strip(self) -> Picture:
        """v at four rounds and the last A of each run."""
        at = torch.linspace(1, len(self.states) - 1, 3).round().long().unique().tolist()
        layout = Layout([40] * len(self.runs), len(at) + 1, (180, 180), [stamp()])
        for row, (name, states) in enumerate(self.runs.items()):
            for col, i in enumerate(at):
                ax = layout.axes(row, col)
                draw(ax, states[i].v)
                label(ax, f"{name}, round {i}\nv: {dB(states[i].v, self.truth):.2f} dB")
            ax = layout.axes(row, len(at))
            draw(ax, states[-1].A, limits=(0.5, 1.5))
            label(ax, f"A, round {at[-1]}\n{states[-1].A.min():.2f} to {states[-1].A.max():.2f}")
        ends = "; ".join(f"{n}: v from {dB(s[1].v, self.truth):.2f} to {dB(s[-1].v, self.truth):.2f} dB" for n, s in self.runs.items())
        return Picture(layout.figure, alt=f"The dynamic scheme with small and large steps. {ends}.")

    def frame(self, state: SimpleNamespace) -> Picture:
        """One round: x, v, A, residual of each run."""
        layout = Layout([40] * len(self.runs), 4, (180, 180), ["A: black 0.5 to white 1.5; residual: -32 to 32 gray levels"])
        said = []
        for row, (name, states) in enumerate(self.runs.items()):
            s = states[state.step]
            for col, (head, picture) in enumerate(self._panels(s).items()):
                ax = layout.axes(row, col)
                draw(ax, picture)
                label(ax, f"{name}\n{head}" if col == 0 else head)
            said.append(f"{name}: x {dB(s.x, self.truth):.2f} dB, v {dB(s.v, self.truth):.2f} dB, A {s.A.min():.2f} to {s.A.max():.2f}")
        return Picture(layout.figure, alt=f"Round {state.step}. {'; '.join(said)}.")

    def player(self) -> Stepper:
        """The stepper over all rounds."""
        return stepper(self.states, self.frame, question="What does A take up, and does v gain by it?")


def state_panels(s: DynamicState, y: Tensor, n: Tensor, truth: Tensor) -> dict[str, Tensor]:
    """x, v, A and residual of a state with a diagonal A as pictures from 0 to 1, headed by their numbers."""
    r = s.A * s.x + n - y
    return {
        f"x: {dB(s.x, truth):.2f} dB": s.x.clamp(0, 1),
        f"v: {dB(s.v, truth):.2f} dB": s.v.clamp(0, 1),
        f"A: {s.A.min():.2f} to {s.A.max():.2f}": (s.A - 0.5).clamp(0, 1),
        f"residual: {255 * r.square().mean().sqrt():.1f} levels": (0.5 + r / (2 * SPAN)).clamp(0, 1),
    }


def swept(s: DynamicState, y: Tensor, n: Tensor, truth: Tensor) -> Picture:
    """What three rounds with one step size end with."""
    panels = state_panels(s, y, n, truth)
    layout = Layout([24], 4, (200, 200), ["A: black 0.5 to white 1.5"])
    for col, (head, picture) in enumerate(panels.items()):
        ax = layout.axes(0, col)
        draw(ax, picture)
        label(ax, head)
    return Picture(layout.figure, alt=f"After {s.step} rounds: {'; '.join(panels)}.")


def cliff(sizes: Sequence[float], gains: Mapping[str, Sequence[float]], moved: Sequence[float]) -> Picture:
    """Gain over one pass against the step size, and how far x went, as two panels."""
    figure, axes = canvas(1, 2, width=9.6, height=3.4)
    for i, (name, line) in enumerate(gains.items()):
        axes[0].plot(sizes, line, color=PALETTE[i], linestyle=DASHES[i], linewidth=1.9, marker="o", markersize=4, label=name)
    axes[0].axhline(0, color=INK, linewidth=0.8)
    axes[0].set(xscale="log", ylim=(-4, 0.5), xlabel="step size", ylabel="v over one pass (dB)")
    axes[0].legend(fontsize=FONT - 1, frameon=False, loc="lower center")
    axes[1].plot(sizes, moved, color=PALETTE[2], linestyle=DASHES[2], linewidth=1.9, marker="o", markersize=4)
    axes[1].set(xscale="log", yscale="log", xlabel="step size", ylabel="|x - y|, of one pass")
    for ax in axes:
        ax.axvspan(1e-5, 1e-3, color=PALETTE[0], alpha=0.1, linewidth=0)
        ax.text(1.3e-5, 0.04, "the paper's", transform=ax.get_xaxis_transform(), size=FONT - 1, color=INK)
    says = "; ".join(f"{name} {line[0]:+.3f} dB at {sizes[0]:g}, {line[-1]:+.1f} dB at {sizes[-1]:g}" for name, line in gains.items())
    return Picture(figure, alt=f"Three rounds, gain of v over one pass: {says}. x went {moved[2]:.1%} of the way at {sizes[2]:g}.")


def gain_table(trials: Sequence[Mapping[str, float]], g: str, base: str = "one pass") -> Markdown:
    """Mean gain over one pass, its spread and the least, for each scheme."""
    rows = []
    for name in trials[0]:
        gains = [t[name] - t[base] for t in trials]
        spread = stdev(gains) / len(gains) ** 0.5 if len(gains) > 1 else None
        rows.append(
            {"scheme": name, "psnr": fmean(t[name] for t in trials), "gain": fmean(gains), "gain_spread": spread, "least": min(gains)}
        )
    return Markdown(f"{markdown(rows)}\n\n*{stamp()}: {len(trials)} pictures, standard errors over them; g: {g}*")
