"""The figures of page 02: what is drawn and said in their alt texts; what is computed stands on the page."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from math import degrees, pi
from typing import Any

import torch
from torch import Tensor

from ..experiments import mean_and_spread
from ..experiments.results import markdown
from ..metrics import kernel_distance
from ..samplers import GridPosterior, ess
from ._picture import FAINT, FONT, PALETTE, Picture, canvas
from .cards import Card, card
from .figures import place_kernel
from .plots import plot_lines
from .shorthands import seeded as seeded
from .sizes import stamp
from .steps import Stepper, stepper
from .trace import Snapshot, Trace, key_frames

GOALS = (
    "compute the exact posterior of a blur kernel on a grid and read it",
    "write a Metropolis chain and judge it by acceptance, R-hat and effective sample size",
    "say which kernel MCKA's weights pull towards, and how strongly chance moves it",
    "tell noise that samples from noise that only disturbs, on two wells and in a network",
)
FAINTEST = 1e-8  # what a plot of weights still shows


def opening() -> Card:
    """The card of the page."""
    return card(
        "02_mcmc_kernel_sampling",
        goals=GOALS,
        needs=["page 01", "what a density and a standard deviation are"],
        papers=["MLMC Sec. 4.3 and 4.5, Alg. 2, Eq. 16-26, 37-38, Fig. 2"],
        minutes=80,
        seed=1,
    )


def _plane(ax: Any, grid: GridPosterior, truth: Tensor) -> None:
    """p(s1, s2) in shades of gray, the truth as a cross."""
    s1, s2 = grid.axes[:2]
    p = grid.marginal(0, 1)
    ax.pcolormesh(s1.numpy(), s2.numpy(), (p / p.max()).T.numpy(), cmap="Greys", vmin=0, vmax=1.6, shading="nearest", rasterized=True)
    ax.plot(truth[0], truth[1], marker="+", color=PALETTE[1], markersize=13, markeredgewidth=2, linestyle="none", label="truth")
    ax.set(xlabel="s1 (px)", ylabel="s2 (px)", xlim=(float(s1[0]), float(s1[-1])), ylim=(float(s2[0]), float(s2[-1])))
    ax.grid(False)


def posterior(grids: Mapping[str, GridPosterior], truth: Tensor) -> Picture:
    """p(s1, s2 | y) of each posterior, and all p(theta | y) in one plot."""
    figure, axes = canvas(1, len(grids) + 1, width=3.3 * (len(grids) + 1), height=3.1)
    says = []
    for i, (ax, (name, grid)) in enumerate(zip(axes[:-1], grids.items(), strict=True)):
        _plane(ax, grid, truth)
        ax.set_title(name, size=FONT)
        turn = grid.axes[2] * 180 / pi
        axes[-1].plot(turn, grid.marginal(2), label=name, color=PALETTE[(0, 2)[i % 2]])
        mean, std = grid.mean, grid.cov.diagonal().sqrt()
        says.append(f"{name}: s1 = {mean[0]:.2f} ± {std[0]:.2f} px, s2 = {mean[1]:.2f} ± {std[1]:.2f} px")
    axes[0].legend(fontsize=FONT - 1, frameon=False, loc="upper left")
    axes[-1].axvline(degrees(truth[2]), color=PALETTE[1], linestyle=":", label="truth")
    axes[-1].set(xlabel="angle (degrees)", title="probability of the angle")
    axes[-1].legend(fontsize=FONT - 1, frameon=False)
    return Picture(figure, alt=f"Posterior of the kernel. {'; '.join(says)}. Truth: {truth[0]:.1f} and {truth[1]:.1f} px.")


def _kernel(ax: Any, k: Tensor, top: float) -> None:
    """A kernel without ticks on the scale 0 to 1.1 top."""
    place_kernel(ax, k, 1.1 * top, k.shape[-1] / 2)
    ax.set(xticks=[], yticks=[], aspect="equal")
    ax.grid(False)


def kernels(panels: Mapping[str, Tensor], truth: Tensor) -> Picture:
    """Kernels on one scale, each with its distance from the true one."""
    figure, axes = canvas(1, len(panels) + 1, width=2.2 * (len(panels) + 1), height=2.7)
    far = {name: float(kernel_distance(k, truth)) for name, k in panels.items()}
    heads = {"truth": truth} | {f"{name}\ndistance {far[name]:.2f}": k for name, k in panels.items()}
    for ax, (head, k) in zip(axes, heads.items(), strict=True):
        _kernel(ax, k, float(truth.max()))
        ax.set_title(head, size=FONT)
    says = [f"{name} {d:.2f}" for name, d in far.items()]
    return Picture(figure, alt=f"Distance from the true kernel: {', '.join(says)}.")


def weights(nu: Tensor, rules: Mapping[str, Tensor]) -> Picture:
    """The weights of some draws against their misfit."""
    order = nu.argsort()
    lines = {name: (nu[order], (w[order] / w.sum()).clamp(min=FAINTEST)) for name, w in rules.items()}
    best = ", ".join(f"{name}: {float(w.max() / w.sum()):.1%}" for name, w in rules.items())
    return plot_lines(
        lines, xlabel="misfit ν", ylabel=f"weight (cut at {FAINTEST:.0e})", logy=True, alt=f"Share of the best of {len(nu)} draws. {best}."
    )


def _chain(ax: Any, state: Any, grid: GridPosterior, truth: Tensor, past: Sequence[Any]) -> None:
    _plane(ax, grid, truth)
    path = torch.stack([s.theta[0] for s in past])
    ax.plot(path[:, 0], path[:, 1], color=PALETTE[0], linewidth=1, alpha=0.6)
    color = PALETTE[2] if state.accepted else PALETTE[3]
    ax.plot(*state.proposal[0, :2], marker="o", markerfacecolor="none", color=color, markersize=9, markeredgewidth=2, linestyle="none")
    ax.plot(*state.theta[0, :2], marker="o", color=PALETTE[0], markersize=7, linestyle="none")


def _before(trace: Trace, state: Any) -> list[Any]:
    return [s for s in trace if s.step <= state.step]


def chain_step(state: Snapshot, trace: Trace, grid: GridPosterior, truth: Tensor, draw: Callable[[Tensor], Tensor]) -> Picture:
    """One step of a chain over the posterior: its path, the proposal, and the kernel at which it stands."""
    figure, (ax, small) = canvas(1, 2, width=7.4, height=3.6, width_ratios=(3, 2))
    past = _before(trace, state)
    _chain(ax, state, grid, truth, past)
    _kernel(small, draw(state.theta), float(draw(truth[None]).max()))
    share = sum(bool(s.accepted) for s in past) / len(past)
    word = "accepted" if state.accepted else "rejected"
    ax.set_title(f"step {state.step}: proposal (ring) {word}, {share:.0%} so far", size=FONT)
    small.set_title("its kernel", size=FONT)
    at = ", ".join(f"{v:.2f}" for v in state.theta[0, :2])
    return Picture(figure, alt=f"Step {state.step}: the proposal is {word}; the chain stands at s1, s2 = {at} px.")


def chain_film(trace: Trace, grid: GridPosterior, truth: Tensor) -> Picture:
    """Four key frames of a chain over the posterior."""
    frames = key_frames(trace, 4)
    figure, axes = canvas(1, len(frames), width=2.9 * len(frames), height=3.0, sharey=True)
    for ax, state in zip(axes, frames, strict=True):
        _chain(ax, state, grid, truth, _before(trace, state))
        ax.set_title(f"step {state.step}", size=FONT)
        ax.label_outer()
    share = sum(bool(s.accepted) for s in trace) / len(trace)
    figure.supxlabel(stamp(len(trace), unit="steps"), x=0.99, ha="right", fontsize=FONT - 1, color=FAINT)
    start, end = frames[0].theta[0], frames[-1].theta[0]
    return Picture(
        figure,
        alt=f"A chain walks from s1 = {start[0]:.1f}, s2 = {start[1]:.1f} px to {end[0]:.1f}, {end[1]:.1f} px; "
        f"{share:.0%} of {len(trace)} proposals are accepted.",
    )


def stepping(trace: Trace, grid: GridPosterior, truth: Tensor, draw: Callable[[Tensor], Tensor]) -> Stepper:
    """The stepper over a chain."""
    ask = "Where does the chain go first, and does it ever come to rest?"
    return stepper(trace, lambda state: chain_step(state, trace, grid, truth, draw), question=ask)


def draws(theta: Tensor, omega: Tensor, grid: GridPosterior, truth: Tensor, kernel: Tensor, mean: Tensor) -> Picture:
    """Weighted draws over the posterior, area proportional to weight, and the kernel they add up to."""
    figure, (ax, small) = canvas(1, 2, width=7.4, height=3.6, width_ratios=(3, 2))
    _plane(ax, grid, truth)
    share, worth = omega / omega.sum(), float(ess(weights=omega))
    ax.scatter(theta[:, 0], theta[:, 1], s=(12 + 400 * share).numpy(), color=PALETTE[0], alpha=0.6, linewidths=0)
    far = float(kernel_distance(mean.float(), kernel.float()))
    _kernel(small, mean, float(kernel.max()))
    ax.set_title(f"{len(theta)} draws, worth {worth:.1f}", size=FONT)
    small.set_title(f"their mean: distance {far:.2f}", size=FONT)
    return Picture(figure, alt=f"{len(theta)} draws worth {worth:.1f}; their weighted mean is {far:.2f} from the true kernel.")


def wells(grid: GridPosterior, samples: Mapping[str, Tensor]) -> Picture:
    """A density with two wells and what several chains make of it."""
    x, edges = grid.axes[0], torch.linspace(-2, 2, 61, dtype=torch.float64)
    lines: dict[str, Any] = {"exact": (x, grid.p / (x[1] - x[0]))}
    for name, values in samples.items():
        lines[name] = (edges[:-1] + 1 / 30, torch.histogram(values.flatten().double(), edges, density=True).hist.clamp(max=2))
    shares = ", ".join(f"{name} {float((v > 0).double().mean()):.0%}" for name, v in samples.items())
    right = float(grid.p[x > 0].sum())
    return plot_lines(
        lines,
        xlabel="x",
        ylabel="density (cut at 2)",
        alt=f"Share in the right well: exact {right:.0%}, {shares}; all start in the left one.",
    )


def cliff(sizes: Tensor, acceptance: Tensor, effective: Tensor) -> Picture:
    """Acceptance and effective samples per evaluation against the proposal's size."""
    best = int(effective.argmax())
    says = (
        f"Proposals {sizes[best]:.2f} times as wide as the posterior give most, {effective[best]:.1%} of an independent sample "
        f"each, at {acceptance[best]:.0%} acceptance; the narrowest are accepted to {acceptance[0]:.0%} and give {effective[0]:.2%}."
    )
    lines = {"accepted": (sizes, acceptance), "independent samples per step": (sizes, effective)}
    return plot_lines(lines, xlabel="width of the proposal / width of the posterior", ylabel="share", logx=True, logy=True, alt=says)


def ranking(rows: Sequence[Mapping[str, Any]]) -> str:
    """Mean kernel distances with seed spread per method."""
    values = ("picture known", "picture estimated")
    summary = mean_and_spread(rows, by=("method",), values=values)
    pictures, seeds = len({row["image"] for row in rows}), len({row["seed"] for row in rows})
    note = f"*{stamp()}: {pictures} pictures x {seeds} seeds, kernel distance (0 to 2); ±: std over seeds of the mean over pictures.*"
    return f"{markdown(summary)}\n\n{note}"


def rows_of(known: Mapping[str, Tensor], estimated: Mapping[str, Tensor], truth: Tensor, **case: Any) -> list[dict[str, Any]]:
    """Rows of the contest: each method's distance with the picture known and with an estimate of it."""
    far = lambda k: float(kernel_distance(k.float(), truth.float()))  # noqa: E731
    return [{"method": m, **case, "picture known": far(known[m]), "picture estimated": far(estimated[m])} for m in known]


def trace_of(walk: Iterable[tuple[Tensor, Tensor, bool]]) -> Trace:
    """The states (theta, proposal, accepted) of a chain as a trace."""
    trace = Trace()
    for i, (theta, proposal, accepted) in enumerate(walk, 1):
        trace(i, Snapshot(theta=theta, proposal=proposal, accepted=float(accepted)))
    return trace


def uniform_stds(n: int, low: float, high: float, generator: torch.Generator) -> Tensor:
    """n kernels (s1 >= s2, angle) whose variances are uniform in [low^2, high^2], as MCKA draws them."""
    u = torch.rand(n, 3, generator=generator).double()
    stds = (low**2 + u[:, :2] * (high**2 - low**2)).sqrt().sort(1, descending=True).values
    return torch.cat([stds, pi * u[:, 2:]], 1)
