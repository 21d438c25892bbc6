"""The figures of page 05: what is drawn and said in their alt texts; what is computed stands on the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import exp
from typing import Any

import torch
from IPython.display import Markdown
from torch import Tensor

from ..experiments import markdown
from ..methods.ridge import ProxyDescent, ProxyState, Ridge
from ._picture import DASHES, FAINT, FONT, PALETTE, Picture, canvas
from .cards import Card, card
from .figures import show
from .plots import plot_lines
from .shorthands import dB as dB
from .shorthands import seeded as seeded
from .sizes import stamp
from .steps import Stepper, stepper

SHOWN = 3  # coefficients drawn of a best response
GOALS = (
    "derive the gradient of a validation loss by a regularization weight, and check it against difference quotients",
    "compute it three ways and say what each costs and how fast it converges",
    "train a proxy that answers for the inner problem, and show where descent through it ends",
    "say what is bilevel, and what is not, in training a restorer with a guidance map",
    "tell when knowing the noise level pays, and when not",
)


def opening() -> Card:
    """The card of the page."""
    return card(
        "05_bilevel_training",
        goals=GOALS,
        needs=["page 01 (blur, noise, regularization)", "gradients by autograd", "least squares"],
        papers=["Bilevel Sec. 3 and 5.1 to 5.2, Eq. 1 to 6, Alg. 1, Theorem 1, Fig. 2 to 8"],
        minutes=90,
        seed=0,
    )


def relative(a: Tensor, b: Tensor) -> float:
    """|a - b| / |b|."""
    return float((a - b).norm() / b.norm())


def table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str] | None = None, digits: int = 2) -> Markdown:
    """Rows as Markdown."""
    return Markdown(markdown(list(rows), columns=columns, digits=digits))


def valley(rho: Tensor, train: Tensor, val: Tensor, best: Tensor) -> Picture:
    """Mean squared residuals, halved, on the data fitted and on held-back data, against lam."""
    lams = rho.exp()
    says = f"The training loss falls all the way to lam = {lams[0]:.2g}; the validation loss is least at lam = {best.exp():.2g}."
    return plot_lines(
        {"training data": (lams, train), "validation data": (lams, val)},
        xlabel="weight lam",
        ylabel="half mean square",
        logx=True,
        marks={"best": best.exp().item()},
        alt=says,
    )


def rates(counts: Sequence[int], errors: Mapping[str, Sequence[float]], promised: Sequence[float]) -> Picture:
    """Relative errors of hypergradients against the products with H that they took."""
    ends = ", ".join(f"{name} {line[-1]:.0e}" for name, line in errors.items())
    return plot_lines(
        {**{name: (counts[: len(line)], line) for name, line in errors.items()}, "bound of the series": (counts, promised)},
        xlabel="products with H",
        ylabel="relative error",
        logy=True,
        alt=f"Relative error of the hypergradient against the products with H; the last of each: {ends}.",
    )


class Film:
    """Algorithm 1 on ridge regression, step by step: responses of the proxy beside the exact ones, loss under both, lam."""

    def __init__(self, descent: ProxyDescent, states: Sequence[ProxyState], rho: Tensor) -> None:
        self.descent, self.states, self.rho = descent, list(states), rho
        problem = descent.problem
        self.exact = torch.stack([problem.solution(r) for r in rho])
        self.phi = torch.stack([problem.value(r) for r in rho])

    def _draw(self, axes: Any, state: ProxyState, legend: bool) -> str:
        lams, w = self.rho.exp(), self.descent.proxy(state.theta, self.rho).detach()
        problem = self.descent.problem
        told = (w @ problem.X_val.T - problem.y_val).square().mean(-1) / 2
        for j in range(SHOWN):
            axes[0].plot(lams, self.exact[:, j], color=PALETTE[j], linestyle="-", linewidth=1, label="exact" if j == 0 else None)
            axes[0].plot(lams, w[:, j], color=PALETTE[j], linestyle=DASHES[1], linewidth=2, label="proxy" if j == 0 else None)
        axes[1].plot(lams, self.phi, color=PALETTE[4], linestyle="-", linewidth=1, label="exact")
        axes[1].plot(lams, told, color=PALETTE[1], linestyle=DASHES[1], linewidth=2, label="proxy")
        lam = state.log_lam.exp().item()
        axes[1].plot([lam], [state.f.item()], marker="o", color=PALETTE[0], markersize=8)
        low, high = self.exact[:, :SHOWN].min().item(), self.exact[:, :SHOWN].max().item()
        axes[0].set(xscale="log", ylim=(low - 0.3, high + 0.3))
        axes[1].set(xscale="log", ylim=(0.8 * self.phi.min().item(), 1.1 * self.phi.max().item()), xlabel="lam")
        axes[0].set_title(f"step {state.step}: lam = {lam:.2g}", fontsize=FONT)
        if legend:
            axes[0].set_ylabel("w_1, w_2, w_3")
            axes[1].set_ylabel("validation loss")
            axes[0].legend(fontsize=FONT - 1, frameon=False)
        return f"{lam:.2g}"

    def errors(self, state: ProxyState) -> tuple[float, float]:
        """The proxy's error near lam and its largest over the range."""
        off = (self.descent.proxy(state.theta, self.rho) - self.exact).abs().amax(1)
        return off[(self.rho - state.log_lam).abs().argmin()].item(), off.max().item()

    def strip(self) -> Picture:
        """Four key frames."""
        at = sorted({round(i * (len(self.states) - 1) / 3) for i in range(4)})
        figure, axes = canvas(2, len(at), width=10.5, height=5.0, squeeze=False, sharex=True)
        lams = [self._draw(axes[:, c], self.states[i], c == 0) for c, i in enumerate(at)]
        best = self.rho[self.phi.argmin()].exp().item()
        says = f"The proxy's responses bend towards the exact ones; lam goes {', '.join(lams)}, and the best lam is {best:.2g}."
        figure.supxlabel(stamp(), x=0.99, ha="right", fontsize=FONT - 1, color=FAINT)
        return Picture(figure, alt=f"Algorithm 1 on ridge regression at steps {[self.states[i].step for i in at]}. {says}")

    def frame(self, state: ProxyState) -> Picture:
        """One step."""
        figure, axes = canvas(2, 1, width=7.0, height=5.6, sharex=True)
        lam = self._draw(axes, state, True)
        near, worst = self.errors(state)
        return Picture(figure, alt=f"Step {state.step}: lam = {lam}, error of the proxy {near:.2g} near lam, {worst:.2g} at worst.")

    def player(self) -> Stepper:
        """The stepper."""
        question = "Which is right first: the response near lam, or that at the ends of the range?"
        return stepper(list[Any](self.states), self.frame, question=question)


def paths(problem: Ridge, rho: Tensor, values: Tensor, path: Sequence[float], reading: str) -> Picture:
    """The validation loss over lam and where a descent went on it."""
    figure, ax = canvas(width=7.0, height=3.4)
    ax.plot(rho.exp(), values, color=PALETTE[4], linestyle="-", linewidth=1.2)
    on = [problem.value(torch.tensor(r, dtype=rho.dtype)).item() for r in path]
    ax.plot([exp(r) for r in path], on, color=PALETTE[0], linestyle=DASHES[1], marker="o", markersize=4, linewidth=1.0)
    ax.plot([exp(path[-1])], [on[-1]], color=PALETTE[1], marker="s", markersize=9)
    ax.set(xscale="log", xlabel="lam", ylabel="validation loss")
    says = f"{reading}: from lam = {exp(path[0]):.2g} to {exp(path[-1]):.2g}, {on[-1] / values.min().item() - 1:.0%} above the least loss."
    return Picture(figure, alt=f"Validation loss with two valleys. {says}")


def courses(paths: Mapping[str, Sequence[float]], best: float) -> Picture:
    """lam over the steps of each strategy, and the best one."""
    ends = ", ".join(f"{name} {line[-1]:.2g}" for name, line in paths.items())
    lines = {**{name: list(line) for name, line in paths.items()}, "best": [best] * max(map(len, paths.values()))}
    return plot_lines(lines, xlabel="outer step", ylabel="lam", logy=True, alt=f"lam by strategy; at the end: {ends}; best: {best:.2g}.")


def guided_weights(gains: Mapping[str, float], spread: float | None) -> Picture:
    """What a weight that knows sigma gains over one weight for all, by noise level."""
    levels = [float(name.rstrip("%")) for name in gains]
    says = ", ".join(f"{name} {value:+.2f}" for name, value in gains.items())
    return plot_lines(
        {"guided minus one weight": (levels, list(gains.values())), "no gain": (levels, [0.0] * len(levels))},
        xlabel="noise (%)",
        ylabel="gain (dB)",
        alt=f"Gain of the noise-guided weight over a single one on held-back pictures, in dB: {says}.",
    )


def maps(sigma: Tensor, guides: Mapping[str, Tensor]) -> Picture:
    """The true noise map and estimates of it on one scale, with their errors."""
    off = {name: (v - sigma).square().mean().sqrt().item() for name, v in guides.items()}
    shown = {"true map": sigma} | {f"{name}: off by {off[name]:.2%}": v for name, v in guides.items()}
    says = "A noise map and estimates of it, off by " + ", ".join(f"{name} {value:.2%}" for name, value in off.items()) + "."
    return show(shown, limits=(0, 1.2 * sigma.max().item()), alt=says, cols=4)


PAIRS = {
    "tiny": ("guided_tiny", "unguided_tiny"),
    "general": ("guided_general", "unguided_general"),
    "tiny, map in the data step too": ("guided_data_tiny", "unguided_tiny"),
    "tiny over general without": ("guided_tiny", "unguided_general"),
}


def gain_lines(rows: Sequence[Mapping[str, Any]], levels: Sequence[str], guide: str = "proxy") -> Picture:
    """Guided minus unguided against the noise level, rows as `guidance_gain` summarizes them."""
    of = {(r["method"], r["guide"]): r for r in rows}
    at = [float(level.rstrip("%")) for level in levels]
    lines: dict[str, Any] = {}
    for name, (method, without) in PAIRS.items():
        if (method, guide) in of and (without, "none") in of:
            lines[name] = (at, [of[method, guide][v] - of[without, "none"][v] for v in levels])
    says = "; ".join(f"{name} {line[1][0]:+.2f} at {levels[0]}, {line[1][-1]:+.2f} at {levels[-1]}" for name, line in lines.items())
    lines["no gain"] = (at, [0.0] * len(at))
    return plot_lines(lines, xlabel="noise (%)", ylabel="gain over unguided (dB)", alt=f"Gain over the unguided net, in dB: {says}.")


def restored(pictures: Mapping[str, Tensor], truth: Tensor, says: str) -> Picture:
    """Restored pictures with their PSNR in the titles, and the truth."""
    shown = {f"{name}\n{dB(x, truth):.2f} dB": x for name, x in pictures.items()}
    return show(
        {**shown, "truth": truth}, alt=f"{says} PSNR: " + ", ".join(f"{n} {dB(x, truth):.2f} dB" for n, x in pictures.items()) + "."
    )


def painted(sigma: Tensor, found: Tensor, results: Mapping[str, Tensor], y: Tensor, truth: Tensor, top: float) -> Picture:
    """What the reader painted, what the proxy sees of it, and the pictures restored with and without."""
    dBs = {name: dB(x, truth) for name, x in results.items()}
    scaled = {"painted noise": sigma / top, "map by the proxy": found.clamp(0, top) / top, f"input\n{dB(y, truth):.1f} dB": y}
    shown = scaled | {f"{name}\n{dBs[name]:.2f} dB": x for name, x in results.items()}
    error = (found - sigma).square().mean().sqrt().item()
    says = ", ".join(f"{name} {value:.2f} dB" for name, value in dBs.items())
    return show(shown, alt=f"Painted noise up to {top:.0%}, found with an error of {error:.1%}; restored: {says}.", cols=3)


def sweep(rows: Sequence[Mapping[str, Any]], kind: str, xlabel: str) -> Picture:
    """PSNR against a noise level, told or true: rows as `guidance_told` summarizes them."""
    lines: dict[str, Any] = {}
    for row in rows:
        if row["sweep"] == kind:
            levels = [name for name in row if name.endswith("%")]
            lines[row["method"]] = ([float(v.rstrip("%")) for v in levels], [row[v] for v in levels])
    ends = ", ".join(f"{name} {line[1][0]:.1f} to {line[1][-1]:.1f}" for name, line in lines.items())
    return plot_lines(lines, xlabel=xlabel, ylabel="PSNR (dB)", alt=f"PSNR against {xlabel}: {ends} dB.")
