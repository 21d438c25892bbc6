"""The figures of page 05b: what is drawn and said in their alt texts; what is computed stands on the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import torch
from IPython.display import Markdown
from torch import Tensor

from .. import metrics
from ..experiments import Results, markdown
from ..experiments.tables._weather import GUIDED, PLAIN, gaps
from ..experiments.tables.rain_guidance import TARGET
from ._picture import Picture
from .cards import Card, card
from .checks import check
from .figures import show
from .plots import plot_lines
from .shorthands import seeded as seeded
from .sizes import stamp
from .steps import Stepper, stepper

GOALS = (
    "make rain and its region map, and say when the map tells little",
    "compute one stage of PReNet, memory included, equal to the library's to rounding",
    "train a net and the proxy that guides it, and say what the proxy can and cannot add",
    "undo haze whose transmission is known, and say where errors grow",
    "derive the dark channel prior, and predict on which pictures it fails",
)


def opening() -> Card:
    """The card of the page."""
    return card(
        "05b_rain_and_haze",
        goals=GOALS,
        needs=["page 05 (guidance, alternating training)", "page 01, section 3.6 (haze and rain)"],
        papers=["Bilevel Sec. 4.2, 4.3, 5.3, 5.4, Tables 1 and 2", "PReNet, GridDehazeNet, dark channel prior"],
        minutes=60,
        seed=0,
    )


def dB(x: Tensor, truth: Tensor) -> float:
    """PSNR in dB: luma, 8 bit."""
    return metrics.psnr(x, truth).item()


def scored(scores: Mapping[str, Any]) -> str:
    """PSNR of each panel."""
    return "PSNR: " + ", ".join(f"{name} {score.psnr:.1f} dB" for name, score in scores.items()) + "."


def rain(y: Tensor, layer: Tensor, region: Tensor) -> Picture:
    """Rainy picture, rain layer and its region map."""
    says = f"Rain over {region.mean():.0%} of the picture, adding {layer.mean():.3f} on average."
    return show({"rainy picture y": y, "rain layer S": layer.clamp(0, 1), "region map": region}, alt=says)


def shares(rows: Mapping[str, Sequence[float]]) -> str:
    """Share of the picture that is rain, by kind, as Markdown."""
    table = [{"rain": kind, "least": min(v), "mean": sum(v) / len(v), "most": max(v)} for kind, v in rows.items()]
    return markdown(table)


class Stages:
    """What a guided PReNet did on one picture, stage by stage: estimates, what changed, what its hidden state shows."""

    def __init__(self, y: Tensor, stages: Sequence[Any], truth: Tensor, maps: Mapping[str, Tensor]) -> None:
        self.truth, self.maps = truth, dict(maps)
        estimates = [y, *(s.x.detach().clamp(0, 1) for s in stages)]
        hidden = [torch.zeros_like(stages[0].h), *(s.h.detach() for s in stages)]
        self.states: list[Any] = [
            SimpleNamespace(step=t, x=x, h=h, dB=dB(x, truth)) for t, (x, h) in enumerate(zip(estimates, hidden, strict=True))
        ]

    def strip(self) -> Picture:
        """The rainy picture and the estimates of the first two stages and of the last."""
        shown = [*self.states[:3], *self.states[3:][-1:]]
        panels = {f"{'rainy' if s.step == 0 else f'stage {s.step}'}: {s.dB:.1f} dB": s.x for s in shown}
        ends = f"from {self.states[0].dB:.1f} dB in rain over {self.states[1].dB:.1f} dB to {self.states[-1].dB:.1f} dB"
        return show(panels, alt=f"Estimates of the stages: {ends}.", stamp=stamp())

    def frame(self, state: SimpleNamespace) -> Picture:
        """One stage: its estimate, what it changed, its hidden state, the map it was handed."""
        before = self.states[max(state.step - 1, 0)].x
        change = (4 * (state.x - before).abs()).clamp(0, 1)
        shown = state.h.abs().mean(1, keepdim=True)
        shown = torch.nn.functional.interpolate(shown / shown.max().clamp_min(1e-6), state.x.shape[-2:])
        panels = {f"estimate: {state.dB:.1f} dB": state.x, "changed, x 4": change, "mean |h|": shown, **self.maps}
        says = f"Stage {state.step}: {state.dB:.1f} dB; it changed the picture by {(state.x - before).abs().mean():.4f} on average."
        return show(panels, alt=says, cols=3)

    def player(self) -> Stepper:
        """The stepper over all stages."""
        return stepper(self.states, self.frame, question="Which stage takes most of the rain, and what do the later ones do?")


def losses(f: Sequence[float], g: Sequence[float]) -> Picture:
    """Outer and inner loss of a training, smoothed over ten steps."""

    def smooth(values: Sequence[float]) -> list[float]:
        return [sum(values[max(0, i - 9) : i + 1]) / len(values[max(0, i - 9) : i + 1]) for i in range(len(values))]

    steps = list(range(1, len(f) + 1))
    lines = {"f + 1 (outer, 1 - SSIM)": (steps, [1 + v for v in smooth(f)]), "g (inner, squared error of the map)": (steps, smooth(g))}
    ends = "; ".join(f"{name} {values[0]:.3f} to {values[-1]:.3f}" for name, (_, values) in lines.items())
    return plot_lines(
        lines, xlabel="step", ylabel="loss", logy=True, stamp=stamp(len(f), unit="steps"), alt=f"Losses over {len(f)} steps: {ends}."
    )


def haze(depth: Tensor, t: Tensor, hazy: Tensor, kind: str = "measured") -> Picture:
    """Depth, transmission, hazy picture."""
    panels = {f"depth, {kind} (white: far)": depth / depth.max(), "transmission t": t, "hazy picture y": hazy}
    return show(panels, alt=f"Haze over {kind} depth, {depth.min():.1f} to {depth.max():.1f} m: {t.mean():.0%} of the light arrives.")


def dehazed(y: Tensor, t: Tensor, x: Tensor, truth: Tensor) -> Picture:
    """Hazy picture, estimated transmission, result."""
    says = f"Dark channel: {dB(y, truth):.1f} dB in haze, {dB(x, truth):.1f} dB after; estimated t has mean {t.mean():.2f}."
    shown = {f"hazy: {dB(y, truth):.1f} dB": y, "t, estimated": t.clamp(0, 1), f"result: {dB(x, truth):.1f} dB": x.clamp(0, 1)}
    return show({**shown, "truth": truth}, alt=says, cols=2)


def gallery(pictures: Mapping[str, Tensor], says: str, cols: int = 3) -> Picture:
    """Small pictures side by side."""
    return show(dict(pictures), alt=says, cols=cols, stamp=stamp())


def patches(sizes: Sequence[int], gains: Mapping[str, Sequence[float]]) -> Picture:
    """Gain of the dark channel over the hazy input against the window's side."""
    best = "; ".join(f"{name} at most {max(v):+.1f} dB, at {sizes[max(range(len(v)), key=v.__getitem__)]} px" for name, v in gains.items())
    return plot_lines(
        {name: (list(sizes), list(v)) for name, v in gains.items()},
        xlabel="side of the window (px)",
        ylabel="gain over the hazy picture (dB)",
        stamp=stamp(),
        alt=f"Gain of the dark channel prior against its window: {best}.",
    )


def errors(bins: Sequence[float], measured: Sequence[float], predicted: Sequence[float]) -> Picture:
    """Error after undoing the haze against the transmission, beside the prediction."""
    return plot_lines(
        {"measured": (list(bins), list(measured)), "rounding / t": (list(bins), list(predicted))},
        xlabel="transmission t",
        ylabel="rms error (gray levels)",
        logy=True,
        alt=f"Error after division: {measured[0]:.2f} gray levels at t = {bins[0]:.2f}, {measured[-1]:.2f} at t = {bins[-1]:.2f}.",
    )


def pairs(results: Results) -> str:
    """The stored table of the three rain pairs as Markdown: PSNR of all colors, published figures beside it, stamp."""
    by: dict[str, dict[str, Any]] = {}
    for row in results.rows:
        by.setdefault(row["method"], {"method": row["method"]})[f"pair {row['image']}"] = row["psnr"]
    for row in by.values():
        values = [v for k, v in row.items() if k.startswith("pair")]
        row["mean"] = sum(values) / len(values)
    made = results.stamp
    return f"{markdown(list(by.values()))}\n\n*{made['size']}: {made['rows']} cells, {made['date'][:10]}, `{made['command']}`*"


def target(rows: Sequence[Mapping[str, Any]]) -> Markdown:
    """Whether the guided net gains what we set out for, level by level, from the stored rows."""
    said = []
    for level in ("light", "heavy"):
        found = gaps(rows, GUIDED, PLAIN, level)
        mean = sum(found) / len(found)
        said.append(f"{level} {mean:+.2f} dB, {'reached' if mean >= TARGET else 'not reached'}")
    return Markdown(f"Rain, guided over plain; our aim was {TARGET:+.1f} dB: {'; '.join(said)}.")


def same_cell(module: Any, stored: Any, image: str = "motorcycle", method: str = "guided") -> None:
    """One stored cell computed again; AssertionError if a PSNR differs by more than 0.05 dB, which another CPU's rounding does not."""
    row = next(r for r in stored.rows if (r["image"], r["method"]) == (image, method))
    again = module.run(next(c for c in module.cells("quick") if c.id == row["id"]))
    names = [name for name in again if name.startswith("psnr")]
    check("a cell computed again, dB", [again[n] for n in names], [row[n] for n in names], 0.05, "another CPU rounds otherwise")


def led(maps: Mapping[str, Tensor], results: Mapping[str, Tensor], truth: Tensor) -> Picture:
    """Depth maps on one scale above, what nets made with them below."""
    top = max(float(m.max()) for m in maps.values())
    shown = {name: (m / top).clamp(0, 1) for name, m in maps.items()}
    scores = {name: dB(x, truth) for name, x in results.items()}
    says = "PSNR: " + ", ".join(f"{name} {value:.1f} dB" for name, value in scores.items()) + "."
    return show({**shown, **{f"{n}: {scores[n]:.1f} dB": x.clamp(0, 1) for n, x in results.items()}}, alt=says, cols=3)
