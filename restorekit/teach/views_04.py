"""The figures of page 04: what is drawn and said in their alt texts; what is computed stands on the page."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from statistics import fmean
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from .. import metrics
from ..experiments import markdown
from ..experiments.tables.and_identity import recolored
from ..experiments.unseen import degrade_unseen
from ..methods.baselines.bicubic import bicubic
from ._picture import DASHES, FONT, INK, PALETTE, Picture, canvas, style
from .cards import Card, card
from .figures import Layout, draw, label, show
from .plots import plot_lines
from .shorthands import dB as dB
from .shorthands import seeded as seeded
from .sizes import stamp
from .steps import Stepper, stepper

GOALS = (
    "build a random network that is exactly the identity, and test it to rounding",
    "say why two such networks have different neighbors, and which layer makes which damage",
    "explain why an amplitude of zero has no gradient, and what is done about it",
    "write a projected ascent in a ball for each group, equal to the library's to rounding",
    "show what an adversary finds: a color cast, and blur when casts no longer count",
)
BINS = 12  # of the radial frequency, 0 to Nyquist's


def opening() -> Card:
    """The card of the page."""
    return card(
        "04_adversarial_degradation",
        goals=GOALS,
        needs=["page 01 (blur, noise, resizing)", "convolutional networks, gradients", "the pseudo-inverse of a matrix"],
        papers=["AND Sec. 3.1 to 3.4 and 4.3, Eq. 1, Fig. 1 and 2"],
        minutes=75,
        seed=0,
    )


def repaired(y: Tensor, t: Tensor) -> float:
    """PSNR in dB against t after the affine color map of y that comes nearest to t."""
    return dB(recolored(y.detach(), t), t)


def fine(v: Tensor) -> Tensor:
    """v minus its mean over 3 x 3 pixels: the finest detail."""
    return v - torch.nn.functional.avg_pool2d(torch.nn.functional.pad(v, (1, 1, 1, 1), mode="replicate"), 3, 1)


def kept(y: Tensor, t: Tensor) -> float:
    """<fine y, fine t> / <fine t, fine t>: the share of t's fine detail that is still in y; noise does not count."""
    return float((fine(y.detach()) * fine(t)).sum() / fine(t).square().sum())


def transfer(y: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
    """(f, H): H the part of t that is left in y at spatial frequency f (cycles per pixel), Re sum Y T* / sum |T|^2 over rings."""
    Y, T = (torch.fft.fft2(v.detach().double() - v.double().mean((2, 3), keepdim=True)) for v in (y, t))
    rows, columns = (torch.fft.fftfreq(n, dtype=torch.float64) for n in t.shape[-2:])
    ring = (2 * BINS * (rows[:, None].square() + columns.square()).sqrt()).long()
    inside = [ring == i for i in range(BINS)]
    H = torch.stack([(Y * T.conj()).real[..., m].sum() / T.abs().square()[..., m].sum() for m in inside])
    return (torch.arange(BINS) + 0.5) / (2 * BINS), H


def gallery(pictures: Mapping[str, Tensor], says: str, cols: int = 4) -> Picture:
    """Small pictures side by side, at most four a row."""
    return show(dict(pictures), alt=says, cols=cols, stamp=stamp())


def conditioning(widths: Sequence[int], errors: Mapping[str, Sequence[float]]) -> Picture:
    """Largest error of identity networks in float32 against their width."""
    says = "; ".join(f"{name}: {line[0]:.0e} at {widths[0]} features, {line[-1]:.0e} at {widths[-1]}" for name, line in errors.items())
    return plot_lines(
        {name: (widths, line) for name, line in errors.items()},
        xlabel="features",
        ylabel="largest error in float32",
        logy=True,
        alt=f"Largest error of identity networks against their width. {says}.",
    )


def tosses(amplitudes: Sequence[float], gradients: Tensor, expected: Sequence[float]) -> Picture:
    """Gradient by a noise amplitude for several fixed draws (rows) and its expectation, a line through zero."""
    figure, ax = canvas(width=7.0, height=3.2)
    for line in gradients:
        ax.plot(amplitudes, line.numpy(), color="#BBBBBB", linewidth=0.9, linestyle="-")
    ax.plot(amplitudes, list(expected), color=PALETTE[0], linewidth=2.2, label="expectation")
    ax.axhline(0, color=INK, linewidth=0.8, linestyle="-")
    ax.set(xlabel="noise amplitude b", ylabel="gradient by b")
    ax.legend(fontsize=FONT - 1, frameon=False)
    up = int((gradients[:, 0] > 0).sum())
    alt = f"Gradient by a noise amplitude for {len(gradients)} draws: at b = 0 it points up in {up} of them; its expectation there is 0."
    return Picture(figure, alt=alt)


def holders(share: Mapping[str, float], delta: Mapping[str, Tensor], groups: Mapping[str, Sequence[str]]) -> str:
    """What each group holds of the squared gradient and how far it moved, as Markdown."""
    moved = {k: sum(float(delta[n].square().sum()) for n in names) ** 0.5 for k, names in groups.items()}
    rows = [{"group": k, "share of the gradient": share[k], "length moved": moved[k]} for k in share]
    return markdown(rows, digits=4)


class Film:
    """Stored ascents on one picture: degraded pictures y, losses and what they did, step by step, one row an adversary."""

    def __init__(self, runs: Mapping[str, Sequence[tuple[Tensor, float]]], t: Tensor) -> None:
        self.runs, self.t = dict(runs), t
        self.states: list[Any] = [SimpleNamespace(step=i) for i in range(min(map(len, self.runs.values())))]

    def _head(self, name: str, i: int) -> str:
        y, loss = self.runs[name][i]
        return f"step {i}: loss {loss:.3f}\ncolors fitted {repaired(y, self.t):.0f} dB\ndetail kept {100 * kept(y, self.t):.0f}%"

    def strip(self) -> Picture:
        """Four key frames of each adversary, and the picture without damage."""
        at = torch.linspace(0, len(self.states) - 1, 4).round().long().unique().tolist()
        layout = Layout([60] * len(self.runs), len(at) + 1, (160, 160), [stamp()])
        for row, (name, states) in enumerate(self.runs.items()):
            for col, i in enumerate(at):
                ax = layout.axes(row, col)
                draw(ax, states[i][0])
                label(ax, self._head(name, i))
            ax = layout.axes(row, len(at))
            draw(ax, self.t)
            label(ax, f"{name}\n\nno damage: t")
        return Picture(layout.figure, alt=f"Key frames of {len(self.runs)} ascents of equal strength. {self._ends()}")

    def _ends(self) -> str:
        ends = {name: states[-1][0] for name, states in self.runs.items()}
        return " ".join(
            f"{name}: {repaired(y, self.t):.0f} dB after a color fit, {100 * kept(y, self.t):.0f}% of the fine detail kept."
            for name, y in ends.items()
        )

    def frame(self, state: SimpleNamespace) -> Picture:
        """One step: each adversary's picture above, what it leaves of each frequency below."""
        i, names = state.step, list(self.runs)
        layout = Layout([60], len(names) + 1, (200, 200))
        layout.figure.set_size_inches(layout.wide / 80, 6.2)
        for c, name in enumerate([*names, "t"]):
            ax = layout.figure.add_axes((0.015 + c * 0.99 / (len(names) + 1), 0.44, 0.95 / (len(names) + 1), 0.44))
            ax.set_xticks([])
            ax.set_yticks([])
            draw(ax, self.t if name == "t" else self.runs[name][i][0])
            label(ax, "no damage: t" if name == "t" else f"{name}\n{self._head(name, i)}")
        ax = layout.figure.add_axes((0.09, 0.09, 0.88, 0.29))
        style(ax)
        for c, name in enumerate(names):
            f, H = transfer(self.runs[name][i][0], self.t)
            ax.plot(f, H, color=PALETTE[c], linestyle=DASHES[c], linewidth=1.9, label=name)
        ax.set(ylim=(-0.2, 1.6), xlabel="frequency (cycles per pixel)", ylabel="part of t left")
        ax.legend(fontsize=FONT - 1, frameon=False, loc="lower left")
        losses = ", ".join(f"{name} {self.runs[name][i][1]:.3f}" for name in names)
        left = ", ".join(f"{name} {100 * kept(self.runs[name][i][0], self.t):.0f}%" for name in names)
        return Picture(layout.figure, alt=f"Step {i}: loss {losses}; fine detail kept {left}.")

    def player(self) -> Stepper:
        """The stepper over all stored steps."""
        return stepper(self.states, self.frame, question="Which frequencies does each adversary take away, and after how many steps?")


def dots(groups: Mapping[str, Sequence[float]], ylabel: str, says: str) -> Picture:
    """One column of dots for each group, a bar at its mean."""
    figure, ax = canvas(width=7.0, height=3.2)
    for i, values in enumerate(groups.values()):
        spread = [i + 0.3 * (j / max(len(values) - 1, 1) - 0.5) for j in range(len(values))]
        ax.plot(spread, list(values), "o", color=PALETTE[i], markersize=6, linestyle="none")
        ax.plot([i - 0.3, i + 0.3], [fmean(values)] * 2, color=INK, linewidth=2.0, linestyle="-")
    ax.set_xticks(range(len(groups)), list(groups))
    ax.set(ylabel=ylabel, xlim=(-0.5, len(groups) - 0.5))
    ends = "; ".join(f"{name} {min(v):.2f} to {max(v):.2f}" for name, v in groups.items())
    return Picture(figure, alt=f"{says} {ends}.")


def cliff(radii: Sequence[float], lines: Mapping[str, Sequence[float]], marks: Mapping[str, float]) -> Picture:
    """PSNR of the degraded picture against the radius of the ball."""
    says = "; ".join(f"{name}: {line[0]:.0f} dB at {radii[0]:g}, {line[-1]:.0f} dB at {radii[-1]:g}" for name, line in lines.items())
    return plot_lines(
        {name: (list(radii), list(line)) for name, line in lines.items()},
        xlabel="radius of the ball",
        ylabel="PSNR of y against t (dB)",
        logx=True,
        marks=marks,
        stamp=stamp(),
        alt=f"The degraded picture's PSNR against the radius of the ball. {says}.",
    )


def side_by_side(pictures: Mapping[str, Tensor], t: Tensor, says: str) -> Picture:
    """Pictures beside the one without damage, at one size."""
    return show({**pictures, "no damage: t": t}, alt=says, cols=4)


def scored(net: Callable[[Tensor], Tensor], x: Tensor, names: Sequence[str]) -> tuple[list[dict[str, Any]], dict[str, dict[str, Tensor]]]:
    """Bicubic enlarging and a net on unseen degradations of x, x2: rows with PSNR and the net's gain in dB, and the pictures."""
    rows, pictures = [], {}
    for name in names:
        y = degrade_unseen(x, name, 2, generator=seeded(0))
        with torch.no_grad():
            pair = pictures[name] = {"bicubic": bicubic(y, 2), "network": net(y)}
        dBs = {method: metrics.psnr(v, x, border=2).item() for method, v in pair.items()}
        rows.append({"input": name, **dBs, "gain": dBs["network"] - dBs["bicubic"]})
    return rows, pictures


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows as Markdown."""
    return markdown(list(rows))


def middle(x: Tensor) -> tuple[int, int, int]:
    """A zoom box of a quarter of the picture's height around its middle."""
    side = x.shape[-2] // 4
    return (x.shape[-2] - side) // 2, (x.shape[-1] - side) // 2, side


def lost(scores: Mapping[str, Any]) -> str:
    """What noise does to a network trained on clean pictures."""
    bicubic, network = (scores[n].psnr for n in ("bicubic", "network"))
    return f"Enlarging a slightly noisy picture: bicubic {bicubic:.1f} dB, the network trained on clean ones {network:.1f} dB."


def one_push(cosines: Tensor) -> str:
    """The same deviation from several identities."""
    low, high = cosines.min().item(), cosines.max().item()
    return f"The same deviation changes each identity's picture in another way: cosines of the changes {low:.1f} to {high:.1f}."


def fitted(near: Sequence[float], far: Sequence[float]) -> str:
    """What a color fit leaves of deviations and of random networks."""
    a, b = f"{min(near):.0f} to {max(near):.0f}", f"{min(far):.0f} to {max(far):.0f}"
    return f"After an affine color fit: deviations {a} dB, networks without identity {b} dB."


def stretched(y: Tensor) -> Tensor:
    """y mapped to [0, 1] by its 1st and 99th percentile, to be looked at."""
    low, high = y.flatten().quantile(0.01), y.flatten().quantile(0.99)
    return ((y - low) / (high - low).clamp_min(1e-6)).clamp(0, 1)


def spectrum_slope(e: Tensor) -> float:
    """Power of e above half of Nyquist's frequency over that below, per frequency."""
    power = torch.fft.fft2(e.detach().double() - e.double().mean((2, 3), keepdim=True)).abs().square()
    rows, columns = (torch.fft.fftfreq(n, dtype=torch.float64) for n in e.shape[-2:])
    f = (rows[:, None].square() + columns.square()).sqrt()
    return float(power[..., (f > 0.25) & (f <= 0.5)].mean() / power[..., f <= 0.25].mean())


def by_layer(panels: Mapping[str, Tensor], t: Tensor) -> str:
    """What each kind of parameter did, after a color fit."""
    return "One kind of parameter moved in one layer. After a color fit: " + "; ".join(
        f"{name} {repaired(y, t):.0f} dB" for name, y in panels.items()
    )


def what_moved(y: Tensor, t: Tensor) -> str:
    """Strength, what is left after a color fit, detail kept."""
    return f"PSNR {dB(y, t):.1f} dB, {repaired(y, t):.1f} dB after a color fit, {100 * kept(y, t):.0f}% of the fine detail kept."


def shares(gradient: Mapping[str, Tensor], factors: Mapping[str, float], groups: Mapping[str, Sequence[str]]) -> dict[str, float]:
    """Each group's share of the squared gradient in the metric f |delta|: |g_k / f_k|^2 over the sum."""
    squares = {k: sum(float(gradient[n].square().sum()) for n in groups[k]) / f**2 for k, f in factors.items()}
    return {k: v / sum(squares.values()) for k, v in squares.items()}


def swept(y: Tensor, radius: float, ball: str, t: Tensor) -> Picture:
    """What the worst deviation within one radius makes of the picture."""
    return side_by_side({f"radius {radius:g}": y}, t, f"Radius {radius:g}, {ball}: {dB(y, t):.1f} dB against the picture without damage.")


def restored(pictures: Mapping[str, Tensor], clean: Tensor, x: Tensor, strength: float) -> Picture:
    """Restored pictures after a random and an adversarial push of one strength, beside that without a push."""
    errors = {name: float((v - x).abs().mean()) * 255 for name, v in {"no push": clean, **pictures}.items()}
    says = f"At {strength:.0f} dB, mean error in gray levels: " + ", ".join(f"{n} {e:.1f}" for n, e in errors.items()) + "."
    shown = {f"{n}: error {errors[n]:.1f}": v for n, v in {"no push": clean, **pictures}.items()}
    return show({**shown, "truth": x}, alt=says)
