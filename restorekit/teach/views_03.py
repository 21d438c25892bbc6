"""The figures of page 03: what is drawn and said in their alt texts; what is computed stands on the page."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from statistics import fmean
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .. import metrics
from ..experiments.results import markdown
from ._picture import DASHES, FAINT, FONT, INK, PALETTE, Picture, canvas
from .cards import Card, card
from .figures import Layout, draw, label, place_kernel, show, show_kernels
from .plots import plot_lines
from .shorthands import seeded as seeded
from .sizes import stamp
from .steps import Stepper, stepper
from .trace import Snapshot, Trace, filmstrip

TOP = 0.6  # of the loss axis in `landscape`
GOALS = (
    "explain why alternating minimisation can fit perfectly and still be stuck",
    "derive the first-order and the unrolled meta-gradient, and test both against finite differences",
    "write MLAO and the whole loop of MLMC, equal to the library's to rounding",
    "find the step size at which a softmax kernel net stops learning, and say why",
    "judge from ablations which part of MLMC earns its place",
)


def opening() -> Card:
    """The card of the page."""
    return card(
        "03_meta_learned_kernel_updates",
        goals=GOALS,
        needs=["pages 01 and 02", "gradients and the chain rule", "what Adam does"],
        papers=["MLMC Algorithms 1 and 3, Eq. 27 to 30, 33 to 38, Sec. 5.6, Table 6, Fig. 4 and 8"],
        minutes=80,
        seed=3,
    )


def portrait(energy: Callable[[Any, Any], Any], paths: Mapping[str, Tensor], truth: tuple[float, float]) -> Picture:
    """Paths (n, 2) of picture and kernel over the level lines of an energy f(x, k) of two numbers."""
    figure, ax = canvas(width=7.6, height=4.0)
    x, k = np.meshgrid(np.linspace(0.3, 3.0, 160), np.linspace(0.2, 1.6, 140))
    ax.contour(x, k, np.log10(energy(x, k) + 1e-6), levels=14, colors="#BBBBBB", linewidths=0.7, linestyles="solid")
    for i, (name, path) in enumerate(paths.items()):
        ax.plot(*path.T.numpy(), color=PALETTE[i], linestyle=DASHES[i], linewidth=1.8, label=name)
        ax.plot(*path[-1].numpy(), marker="o", markersize=7, color=PALETTE[i])
    ax.plot(*truth, marker="*", markersize=15, color=INK, linestyle="none", label="truth")
    ax.set(xlabel="picture x", ylabel="kernel k", xlim=(0.3, 3.0), ylim=(0.2, 1.6))
    ax.legend(fontsize=FONT - 1, frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5), handlelength=3.2)
    ends = "; ".join(f"{name} ends at k = {path[-1, 1]:.2f}" for name, path in paths.items())
    return Picture(figure, alt=f"Level lines with a curved valley through the truth, k = {truth[1]:.0f}. {ends}.")


def landscape(k: Tensor, curves: Mapping[str, Tensor]) -> Picture:
    """Loss as a function of the kernel, one curve for each number of picture steps."""
    low = ", ".join(f"{name}: at {k[curve.argmin()]:.2f}, curvature {_curvature(k, curve):.3f}" for name, curve in curves.items())
    lines = {name: (k, curve.where(curve < TOP, torch.nan)) for name, curve in curves.items()}
    return plot_lines(lines, xlabel="kernel k", ylabel="loss", alt=f"Lowest point of the loss over k and its curvature there. {low}.")


def _curvature(k: Tensor, curve: Tensor) -> float:
    """Second difference at the lowest inner point."""
    i = int(curve.argmin().clamp(1, len(curve) - 2))
    return ((curve[i + 1] - 2 * curve[i] + curve[i - 1]) / (k[1] - k[0]) ** 2).item()


def gradients(k: Tensor, first: Tensor, unrolled: Tensor) -> Picture:
    """The two meta-gradients against the kernel."""
    apart = (first.sign() != unrolled.sign()).double().mean().item()
    alt = f"First-order and unrolled meta-gradient over the kernel: on {apart:.0%} of the range they point in opposite directions."
    return plot_lines({"first order": (k, first), "unrolled": (k, unrolled)}, xlabel="kernel k", ylabel="dM/dk", alt=alt)


def alignment(cosines: Mapping[str, Sequence[float]]) -> Picture:
    """Cosine between the first-order and the unrolled gradient of a kernel against P."""
    steps = range(1, 1 + max(len(line) for line in cosines.values()))
    says = "; ".join(f"{name}: {line[-1]:.3f} at P = {len(line)}" for name, line in cosines.items())
    lines = {name: (steps, line) for name, line in cosines.items()}
    alt = f"Cosine of the angle between the two kernel gradients: 1 at P = 1; {says}."
    return plot_lines(lines, xlabel="picture steps P", ylabel="cosine", alt=alt)


def landings(lands: Mapping[str, float], paths: Mapping[str, Tensor]) -> str:
    """Where each way reaches the valley and where it ends, as Markdown."""
    return markdown([{"way": name, "lands at k": k, "ends at k": paths[name][-1, 1].item()} for name, k in lands.items()])


class Movie:
    """A stored run of MLMC beside its truth: key frames, curves and a stepper."""

    def __init__(self, trace: Trace, truth: Tensor, kernel: Tensor, scale: int) -> None:
        self.trace, self.truth, self.kernel, self.scale = trace, truth, kernel, scale
        self.steps = trace.steps
        self.dB = [metrics.psnr(s.x, truth, border=scale).item() for s in trace]
        self.distance = [metrics.kernel_distance(s.k, kernel).item() for s in trace]
        self.misfit = [255 * (s.loss / (truth.numel() / scale**2)) ** 0.5 for s in trace]
        self.moved = [0.0] + [(b.k - a.k).abs().sum().item() for a, b in zip(trace[:-1], trace[1:], strict=True)]

    def __len__(self) -> int:
        return len(self.steps)

    def strip(self) -> Picture:
        """Five key frames of picture and kernel."""
        score = dict(zip(self.steps, self.dB, strict=True))
        says = (
            f"Picture and kernel at five stages: from {self.dB[0]:.1f} to {self.dB[-1]:.1f} dB, "
            f"kernel distance from {self.distance[0]:.2f} to {self.distance[-1]:.2f}."
        )
        head = stamp(len(self), unit="outer steps")
        return filmstrip(self.trace, 5, fields=["x", "k"], titles=lambda s: f"step {s.step}: {score[s.step]:.1f} dB", stamp=head, alt=says)

    def frame(self, state: Snapshot) -> Picture:
        """One step: picture, kernel, the weighted mean of what MCKA drew, the true kernel, and the curves so far."""
        i = self.steps.index(state.step)
        drawn = (state.weights[:, None, None, None] * state.samples).sum(0, keepdim=True)
        kernels = {"kernel": state.k, "mean of the draws": drawn, "true kernel": self.kernel}
        layout = Layout([22], 5, (170, 170))
        layout.figure.set_size_inches(layout.wide / 80, 5.2)
        boxes = [layout.figure.add_axes((0.012 + 0.197 * c, 0.52, 0.185, 0.41)) for c in range(5)]
        draw(boxes[0], self.truth)
        draw(boxes[1], state.x)
        label(boxes[0], "truth")
        label(boxes[1], f"step {state.step}: {self.dB[i]:.1f} dB")
        top, reach = max(k.max().item() for k in kernels.values()), self.kernel.shape[-1] // 2 + 0.5
        for ax, (name, k) in zip(boxes[2:], kernels.items(), strict=True):
            place_kernel(ax, k, top, reach)
            label(ax, name)
        for ax in boxes:
            ax.set_xticks([])
            ax.set_yticks([])
        self._curves(layout.figure, i)
        alt = f"Step {state.step}: {self.dB[i]:.1f} dB, kernel distance {self.distance[i]:.2f}, misfit {self.misfit[i]:.1f} gray levels."
        return Picture(layout.figure, alt=alt)

    def _curves(self, figure: Any, i: int) -> None:
        rows = {"misfit (gray levels)": self.misfit, "kernel distance": self.distance, "kernel's move": self.moved}
        for c, (name, values) in enumerate(rows.items()):
            ax = figure.add_axes((0.06 + 0.325 * c, 0.11, 0.25, 0.28))
            ax.plot(self.steps, values, color=PALETTE[c], linestyle=DASHES[c], linewidth=1.6)
            ax.plot(self.steps[i], values[i], "o", color=INK)
            ax.set_title(name, size=FONT, color=INK, pad=4)
            ax.tick_params(labelsize=FONT - 1, colors=INK)
            ax.grid(True, color="#DDDDDD", linewidth=0.6)
            ax.set_ylim(bottom=0)
            ax.spines[["top", "right"]].set_visible(False)
        figure.text(0.99, 0.012, "outer step", ha="right", size=FONT - 1, color=FAINT)

    def halves(self) -> str:
        """Misfit, kernel distance and the kernel's way in words: what happens early and what late."""
        half, third = len(self) // 2, len(self) // 3
        lines = [
            f"{name}: {values[0]:.2f} after step {self.steps[0]}, {values[half]:.2f} half-way, {values[-1]:.2f} at the end"
            for name, values in {"misfit (gray levels)": self.misfit, "kernel distance": self.distance}.items()
        ]
        early, late = sum(self.moved[1 : third + 1]), sum(self.moved[-third:])
        return "\n".join([*lines, f"way of the kernel: {early:.2f} in the first third, {late:.2f} in the last"])

    def player(self) -> Stepper:
        """The stepper over all stored steps."""
        ask = "When does the kernel stop wandering, and is the misfit's fall a sign that it is right?"
        return stepper(self.trace, self.frame, question=ask)


def saturation(rate: float, curves: Mapping[float, Sequence[float]], kernels: Mapping[float, Tensor], goal: Tensor) -> Picture:
    """The kernel that one step size reaches beside its goal."""
    found, far = kernels[rate], curves[rate][-1]
    alt = f"Step size {rate:g}: kernel distance {far:.2f} to the goal, largest tap {found.max():.2f} where {goal.max():.2f} is right."
    return show_kernels({f"step size {rate:g}": found, "goal": goal}, alt=alt, stamp=f"{len(curves[rate]) - 1} Adam steps")


def learning(curves: Mapping[float, Sequence[float]]) -> Picture:
    """Kernel distance against the number of Adam steps, one line a step size."""
    says = ", ".join(f"{rate:g}: {line[-1]:.2f}" for rate, line in curves.items())
    lines = {f"step size {rate:g}": (range(len(line)), line) for rate, line in curves.items()}
    alt = f"Kernel distance after {len(next(iter(curves.values()))) - 1} Adam steps, by step size: {says}."
    return plot_lines(lines, xlabel="Adam steps", ylabel="kernel distance", alt=alt)


def cliff(rows: Sequence[Mapping[str, Any]], note: str) -> Picture:
    """Kernel distance against the step size in the stored table, mean over pictures with the spread over seeds."""
    rates = [row["rate"] for row in rows]
    mean, spread = (torch.tensor([row[name] or 0.0 for row in rows]) for name in ("kernel_distance", "kernel_distance_spread"))
    best = min(rows, key=lambda row: row["kernel_distance"])
    last = rows[-1]
    alt = (
        f"Kernel distance is lowest, {best['kernel_distance']:.2f}, at step size {best['rate']:g}; at the printed {last['rate']:g} it is "
        f"{last['kernel_distance']:.2f} with a largest tap of {last['peak']:.2f}."
    )
    lines = {"kernel distance": (rates, mean)}
    band = {"kernel distance": (mean - spread, mean + spread)}
    return plot_lines(lines, spread=band, xlabel="step size of the kernel net", ylabel="kernel distance", logx=True, stamp=note, alt=alt)


def restored(ways: Mapping[str, Tensor], method: str, seen: Tensor) -> Picture:
    """A small picture as it is and as one method enlarges it."""
    h, w = seen.shape[-2:]
    return show(
        {f"as it is, {w} x {h} px": seen, method: ways[method]}, alt=f"The chosen picture, {w} x {h} px, and twice its size: {method}."
    )


def paired(differences: Mapping[str, Sequence[float]], note: str) -> Picture:
    """What each observation loses in dB when a phase is left out: one point an observation, a bar at the mean."""
    figure, ax = canvas(width=7.0, height=3.2)
    for i, (_, values) in enumerate(differences.items()):
        ax.plot([i + 0.25 * (j / max(len(values) - 1, 1) - 0.5) for j in range(len(values))], values, "o", color=PALETTE[i], markersize=5)
        ax.plot([i - 0.3, i + 0.3], [fmean(values)] * 2, color=INK, linestyle="-", linewidth=2.2)
    ax.axhline(0, color=FAINT, linewidth=1.0)
    ax.set_xticks(range(len(differences)), list(differences))
    ax.set(ylabel="PSNR of full minus this (dB)")
    figure.supxlabel(note, x=0.99, ha="right", fontsize=FONT - 1, color=FAINT)
    says = "; ".join(f"{n}: {fmean(v):+.2f} dB, worse in {sum(d > 0 for d in v)} of {len(v)}" for n, v in differences.items())
    return Picture(figure, alt=f"What leaving a phase out costs, mean over observations. {says}.")
