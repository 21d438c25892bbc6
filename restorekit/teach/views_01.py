"""The figures of page 01: what is drawn and said in their alt texts; what is computed stands on the page."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from .. import metrics
from ..experiments import mean_and_spread
from ..experiments.results import markdown
from ..kernels import pad_kernel
from ..operators import Blur
from ..weather import CameraPath
from ._picture import Picture
from .cards import Card, card
from .figures import Score, show
from .plots import plot_lines
from .shorthands import seeded as seeded
from .sizes import stamp
from .steps import Stepper, stepper
from .trace import Snapshot, Trace, filmstrip

GOALS = (
    "write blur, decimation and noise as operators, and test their adjoints",
    "predict from a kernel's spectrum how far noise explodes when the blur is undone",
    "choose between Wiener, total variation and early stopping, and say what each assumes",
    "detect a misaligned baseline, and state what it costs in dB",
)


def opening() -> Card:
    """The card of the page."""
    return card(
        "01_degradation_modelling",
        goals=GOALS,
        needs=["page 00", "Python and arrays", "what a Fourier transform is"],
        papers=["MLMC Eq. 1, Sec. 5.1, Table 1", "hyper-guidance Sec. 4.2, 4.3, 5.2.2"],
        minutes=75,
        seed=1,
    )


def psnrs(says: str) -> Callable[[dict[str, Score]], str]:
    """An alt text for `compare`: `says` with the panels' PSNRs filled in, in their order."""
    return lambda scores: says.format(*(score.psnr for score in scores.values()))


def kernel(k: Tensor, picture: Tensor, name: str) -> Picture:
    """Kernel, its spectrum on a log scale from 1/1000 (black) to 1 (white) with zero frequency in the middle, the blurred picture."""
    h, w = picture.shape[-2:]
    size = torch.fft.fftshift(torch.fft.fft2(F.pad(k, (0, w - k.shape[-1], 0, h - k.shape[-2]))).abs())
    faint = (size < 0.01).float().mean().item()
    panels = {"kernel": k / k.max(), "spectrum (log)": 1 + size.clamp(1e-3, 1).log10() / 3, "what it does": Blur(k, "reflect")(picture)}
    return show(panels, alt=f"{name}: {faint:.0%} of all frequencies keep less than 1% of their amplitude.")


def shake(blurred: Tensor, path: CameraPath, window: int = 35) -> Picture:
    """The local kernels of a shaken camera at the center and near a corner, and the picture."""
    h, w = blurred.shape[-2:]
    center, corner = (pad_kernel(path.kernel_at(*at), window).float() for at in ((h / 2, w / 2), (h / 14, w / 14)))
    shared = 1 - (center - corner).abs().sum().item() / 2
    panels = {"kernel at the center": center / center.max(), "kernel in the corner": corner / corner.max(), "what it does": blurred}
    return show(panels, alt=f"A random camera path: the kernels at the center and in the corner share {shared:.0%} of their weight.")


def noise_law(light: Tensor, stds: Mapping[str, Tensor]) -> Picture:
    """Noise std against brightness."""
    parts = ", ".join(f"{name}: {std[0]:.2f} in the dark, {std[-1]:.2f} in the light" for name, std in stds.items())
    return plot_lines({n: (light, s) for n, s in stds.items()}, xlabel="brightness", ylabel="noise std", alt=f"Std of the noise. {parts}.")


def noise_map(sigma: Tensor, noisy: Tensor, found: Tensor, top: float = 0.2) -> Picture:
    """A noise map, what it does, and the map estimated from the result."""
    panels = {"your noise map": sigma / top, "noisy picture": noisy, "map estimated from it": found / top}
    return show(panels, alt=f"A painted noise map of mean {sigma.mean():.3f}; its blind estimate has mean {found.mean():.3f}.")


def haze(depth: Tensor, t: Tensor, hazy: Tensor) -> Picture:
    """Depth, transmission and the hazy picture."""
    panels = {"depth (white: far)": depth / depth.max(), "transmission t": t, "hazy picture": hazy}
    near, far = depth.min().item(), depth.max().item()
    return show(panels, alt=f"Haze over a garage {near:.1f} to {far:.1f} m deep: on average {t.mean():.0%} of the light arrives.")


def gains(widths: Tensor, predicted: Tensor, measured: Tensor, condition: Tensor) -> Picture:
    """Noise gain of the plain inverse and condition number against the width of the blur."""
    lines = {"predicted": (widths, predicted), "measured": (widths, measured), "condition number": (widths, condition)}
    says = (
        f"Dividing multiplies the noise's power by {predicted[0]:.1f} at a blur of {widths[0]:.1f} px "
        f"and by {predicted[-1]:.0e} at {widths[-1]:.1f} px, as predicted."
    )
    return plot_lines(lines, xlabel="blur std (px)", ylabel="factor", logy=True, alt=says)


def semi_convergence(trace: Trace, quality: Sequence[float]) -> Picture:
    """First step, best step, four times as many, last step of an iteration whose quality (dB) rises and falls."""
    last = len(trace) - 1
    best = max(range(last + 1), key=quality.__getitem__)
    frames = [trace[i] for i in sorted({0, best, min(4 * best + 3, last), last})]
    says = f"The estimate reaches {quality[best]:.1f} dB at step {best + 1} and falls to {quality[last]:.1f} dB at step {last + 1}."
    head = stamp(last + 1)
    return filmstrip(
        frames, len(frames), fields=["x"], titles=lambda s: f"step {s.step}: {quality[s.step - 1]:.1f} dB", stamp=head, alt=says
    )


def step(state: Snapshot, truth: Tensor, quality: Sequence[float]) -> Picture:
    """One estimate, its error and the spectrum of the error."""
    error = state.x - truth
    head = f"step {state.step}: {quality[state.step - 1]:.1f} dB"
    spectrum = torch.fft.fftshift(torch.fft.fft2(error).abs()) / 30
    return show(
        {head: state.x, "error, times 4": 4 * error.abs(), "spectrum of the error": spectrum},
        alt=f"Estimate, error and its spectrum at {head}.",
    )


def stepping(trace: Trace, truth: Tensor, quality: Sequence[float]) -> Stepper:
    """The stepper over an iteration's estimates, their errors and the errors' spectra."""
    ask = "Watch the error's spectrum: where does it shrink, and where does it grow?"
    return stepper(key_steps(trace), lambda state: step(state, truth, quality), question=ask)


def key_steps(trace: Trace, n: int = 15) -> list[Snapshot]:
    """n states of a trace, evenly spread on a log scale."""
    picks = torch.logspace(0, torch.tensor(float(len(trace))).log10().item(), n).round().long() - 1
    return [trace[i] for i in picks.unique().tolist()]


def stopping(curves: Mapping[str, tuple[Sequence[float], int]]) -> Picture:
    """Quality (dB) against the step for several noise levels, with the step at which the residual rule stops."""
    never = ", ".join(f"{max(q) - q[-1]:.1f}" for q, _ in curves.values())
    ruled = ", ".join(f"{max(q) - q[stop]:.1f}" for q, stop in curves.values())
    steps = len(next(iter(curves.values()))[0])
    return plot_lines(
        {f"{name} noise": (range(1, steps + 1), q) for name, (q, _) in curves.items()},
        marks={f"stop {name}": stop + 1 for name, (_, stop) in curves.items()},
        xlabel="step",
        ylabel="PSNR (dB)",
        logx=True,
        stamp=stamp(steps),
        alt=f"At {', '.join(curves)} noise, never stopping loses {never} dB against the best step; the residual rule loses {ruled} dB.",
    )


def scored(tried: Mapping[str, Tensor], truth: Tensor, *, border: int, **labels: Any) -> list[dict[str, Any]]:
    """One row per method with PSNR (dB) and SSIM, both on 8 bit and without a border of `border` pixels."""
    options: dict[str, Any] = {"border": border}
    return [
        {"method": m, **labels, "PSNR": metrics.psnr(z, truth, **options).item(), "SSIM": metrics.ssim(z, truth, **options).item()}
        for m, z in tried.items()
    ]


def ranking(rows: Sequence[Mapping[str, Any]]) -> str:
    """Mean and seed spread per method as Markdown, with what it was made from."""
    summary = mean_and_spread(rows, by=["method"], values=["PSNR", "SSIM"])
    seeds, pictures = ({row[name] for row in rows} for name in ("seed", "image"))
    note = f"*{stamp(len(seeds), unit='seeds')}, {len(pictures)} pictures; ± is the std over seeds of the mean over pictures.*"
    return f"{markdown(summary)}\n\n{note}"


def wins(rows: Sequence[Mapping[str, Any]], method: str, other: str) -> str:
    """In how many cases (picture and seed) a method's PSNR exceeds another's."""
    scores = {(row["method"], row["image"], row["seed"]): row["PSNR"] for row in rows}
    cases = [key for m, *key in scores if m == method]
    better = sum(scores[method, *key] > scores[other, *key] for key in cases)
    return f"{method} beats {other} in {better} of {len(cases)} cases"


def losses(curves: Mapping[str, tuple[list[float], list[float]]], cells: int) -> Picture:
    """Loss in dB against the offset of the assumed grid."""
    half = ", ".join(f"{name}: {loss[offset.index(0.5)]:.1f} dB" for name, (offset, loss) in curves.items())
    note = f"stored table, {cells} cells"
    return plot_lines(
        curves, xlabel="offset of the grid (px, each axis)", ylabel="loss (dB)", stamp=note, alt=f"Half a pixel costs {half}."
    )
