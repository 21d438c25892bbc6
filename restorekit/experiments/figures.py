"""The papers' figures that can be measured, drawn from stored tables, each stamped with its size and command."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .._check import check_choice, fail
from .results import Results, load_results, mean_and_spread
from .tables import load

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

Rows = Sequence[Mapping[str, Any]]
Numbers = Mapping[str, tuple[Sequence[float | None], Sequence[float | None]]]  # name -> values and their spreads
COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")  # told apart by all readers
MARKS = "osD^vPX"


@dataclass(frozen=True)
class Figure:
    """A figure: the table that it is drawn from, the printed one that it answers, what it shows, how many axes, how they are drawn."""

    table: str
    answers: str
    title: str
    axes: int
    draw: Callable[[Sequence[Axes], Rows], None]


def names() -> list[str]:
    """All figures, by name."""
    return sorted(_FIGURES)


def about(name: str) -> Figure:
    """What there is to know of one figure; ValueError for another name."""
    check_choice(name, names(), "figure")
    return _FIGURES[name]


def draw(name: str, size: str = "quick", *, folder: str | os.PathLike[str] | None = None) -> Canvas:
    """The figure of that name as a matplotlib figure.

    folder: of the stored tables, data/results of the project by default. Raises FileNotFoundError that names the command where the
    table is not stored, ModuleNotFoundError without matplotlib.
    """
    figure = about(name)
    results = load_results(figure.table, size, folder=folder)
    try:
        from matplotlib.figure import Figure as Canvas
    except ImportError:
        fail("no package matplotlib", "matplotlib 3.9 or newer", "pip install 'restorekit[notebooks]'", ModuleNotFoundError)
    canvas = Canvas(figsize=(5.6 * figure.axes, 4.0), layout="constrained")
    axes = canvas.subplots(1, figure.axes, squeeze=False)[0]
    figure.draw(list(axes), results.rows)
    for ax in axes:
        ax.grid(axis="y", alpha=0.3)
        ax.spines[["top", "right"]].set_visible(False)
    canvas.suptitle(figure.title, fontsize=11)
    canvas.supxlabel(_stamp(figure, results), fontsize=7, color="0.35")
    return canvas


def save(name: str, size: str = "quick", *, out: str | os.PathLike[str] = "figures", folder: str | os.PathLike[str] | None = None) -> Path:
    """Draw a figure into <out>/<name>_<size>.png; returns the path."""
    canvas, path = draw(name, size, folder=folder), Path(out) / f"{name}_{size}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    canvas.savefig(path, dpi=150)
    return path


def _stamp(figure: Figure, results: Results) -> str:
    stamp = results.stamp
    return f"answers {figure.answers}; size {stamp['size']}, {stamp['rows']} cells, {stamp['date'][:10]}\n{stamp['command']}"


def _lines(ax: Axes, at: Sequence[Any], series: Numbers, xlabel: str, ylabel: str) -> None:
    """A line a name over `at`, its spreads as bars."""
    places = list(range(len(at)))
    for i, (name, (values, spreads)) in enumerate(series.items()):
        points = [(x, v, s or 0.0) for x, v, s in zip(places, values, spreads, strict=True) if v is not None]
        if points:
            x, y, error = zip(*points, strict=True)
            mark = MARKS[i % len(MARKS)]
            style = "none" if isinstance(at[0], str) and "%" not in at[0] else ("-", "--")[i % 2]  # names are no axis
            ax.errorbar(x, y, error, label=name, color=COLORS[i % len(COLORS)], marker=mark, capsize=3, linestyle=style)
    if not series:
        ax.text(0.5, 0.5, "the stored table has no such nets", ha="center", transform=ax.transAxes)
    ax.set_xticks(places, [str(value) for value in at])
    _label(ax, xlabel, ylabel, len(series))


def _bars(ax: Axes, at: Sequence[Any], series: Numbers, xlabel: str, ylabel: str) -> None:
    """Groups of bars: a group for each of `at`, a bar a name."""
    width = 0.8 / max(len(series), 1)
    for i, (name, (values, spreads)) in enumerate(series.items()):
        bars = [(j, v, s or 0.0) for j, (v, s) in enumerate(zip(values, spreads, strict=True)) if v is not None]
        for first, (j, v, s) in enumerate(bars):
            label = name if first == 0 else None
            place = j + (i - (len(series) - 1) / 2) * width
            ax.bar(place, v, width, yerr=s or None, capsize=2, label=label, color=COLORS[i % len(COLORS)])
    ax.axhline(0, color="0.2", linewidth=0.8)
    many = len(at) > 4
    ax.set_xticks(range(len(at)), [str(value) for value in at], rotation=40 if many else 0, ha="right" if many else "center")
    _label(ax, xlabel, ylabel, len(series))


def _label(ax: Axes, xlabel: str, ylabel: str, count: int) -> None:
    ax.set_xlabel(xlabel)
    ax.set_ylabel(ylabel)
    if count > 1:
        ax.legend(fontsize=8)


def _column(rows: Rows, names: Sequence[Any], column: str) -> tuple[list[float | None], list[float | None]]:
    """Of a summary: the column and its spread for each method of `names`; None where there is no such row."""
    of = {row["method"]: row for row in rows}
    return [of.get(name, {}).get(column) for name in names], [of.get(name, {}).get(f"{column}_spread") for name in names]


def _mlmc_counts(axes: Sequence[Axes], rows: Rows) -> None:
    here = [row for row in load("mlmc_ablation").summarize(rows) if row["scale"] == 2]
    for ax, names, at, label in (
        (axes[0], ("T = 1", "full", "T = 20"), (1, 10, 20), "T, random kernels a step (P = 2)"),
        (axes[1], ("without meta", "full", "P = 5"), (1, 2, 5), "P, image steps in a row (T = 10)"),
    ):
        _lines(ax, at, {"PSNR": _column(here, names, "psnr")}, label, "PSNR (dB)")


def _mlmc_fluctuation(axes: Sequence[Axes], rows: Rows) -> None:
    here = [row for row in load("mlmc_ablation").summarize(rows) if row["scale"] == 2]
    names = ("full", "without MCKA", "without meta", "without both")
    series = {f"{part} third of the run": _column(here, names, part) for part in ("early", "late")}
    _lines(axes[0], names, series, "", "log10 of the variance of the kernel's change")


def _and_unseen(axes: Sequence[Axes], rows: Rows) -> None:
    summary = [row for row in load("and_unseen").summarize(rows) if row["scale"] == 2 and row["score"].startswith("psnr")]
    names = [name for name in ("classical", "random", "pipeline", "adversarial") if any(name in row for row in summary)]

    def gains(name: str) -> list[float | None]:
        return [None if row.get(name) is None else row[name] - row["bicubic"] for row in summary]

    series = {name: (gains(name), [None] * len(summary)) for name in names}
    _bars(axes[0], [row["degradation"] for row in summary], series, "", "PSNR over bicubic (dB), x2")


def _and_worst(axes: Sequence[Axes], rows: Rows) -> None:
    summary = load("and_worst_case").summarize(rows)
    columns = ("clean", "random", "attacked", "worst")
    series = {row["method"]: ([row[c] for c in columns], [row.get(f"{c}_spread") for c in columns]) for row in summary}
    _bars(axes[0], columns, series, "degradation", "PSNR (dB)")
    axes[0].set_ylim(bottom=min(value for values, _ in series.values() for value in values) - 2)


def _guidance_gain(axes: Sequence[Axes], rows: Rows) -> None:
    summary = load("guidance_gain").summarize(rows)
    of = {(row["method"], row["guide"]): row for row in summary}
    levels = [key for key in summary[0] if key.endswith("%")]
    for ax, net in zip(axes, ("tiny", "general"), strict=True):
        base, series = of.get((f"unguided_{net}", "none")), {}
        for name, guide in ((f"guided_{net}", "proxy"), (f"guided_{net}", "true"), (f"guided_data_{net}", "proxy")):
            if base is not None and (row := of.get((name, guide))) is not None:
                series[f"{name}, {guide}"] = ([row[v] - base[v] for v in levels], [row.get(f"{v}_spread") for v in levels])
        _lines(ax, levels, series, "noise", f"PSNR over unguided_{net} (dB)")
        ax.axhline(0, color="0.2", linewidth=0.8)


def _guidance_strategies(axes: Sequence[Axes], rows: Rows) -> None:
    summary = load("guidance_strategies").summarize(rows)
    levels = [key.removeprefix("psnr ") for key in summary[0] if key.startswith("psnr ") and key.endswith("%")]
    series = {r["method"]: ([r[f"psnr {v}"] for v in levels], [r.get(f"psnr {v}_spread") for v in levels]) for r in summary}
    _lines(axes[0], levels, series, "noise", "PSNR (dB)")


def _guidance_told(axes: Sequence[Axes], rows: Rows) -> None:
    summary = load("guidance_told").summarize(rows)
    for ax, sweep, label in ((axes[0], "true", "true noise; told 3%"), (axes[1], "told", "noise told; 3% in truth")):
        here = [row for row in summary if row["sweep"] == sweep]
        levels = [key for key in here[0] if key.endswith("%")]
        _lines(ax, levels, {r["method"]: ([r[v] for v in levels], [None] * len(levels)) for r in here}, label, "PSNR (dB)")


def _levels(axes: Sequence[Axes], rows: Rows, levels: Sequence[str]) -> None:
    """Gain over the degraded picture by method and level."""
    values = [f"psnr {level}" for level in levels]
    of = {row["method"]: row for row in mean_and_spread(rows, by=("method",), values=values)}
    series = {m: ([row[v] - of["input"][v] for v in values], [None] * len(values)) for m, row in of.items() if m != "input"}
    _bars(axes[0], levels, series, "", "PSNR over the input (dB)")


def _rain(axes: Sequence[Axes], rows: Rows) -> None:
    _levels(axes, rows, ("light", "heavy"))


def _haze(axes: Sequence[Axes], rows: Rows) -> None:
    _levels(axes, [row for row in rows if row["dataset"] != "measured depth"], ("thin", "thick"))


def _pnp_rounds(axes: Sequence[Axes], rows: Rows) -> None:
    """Mean PSNR less that of one pass: applied again and again, and the dynamic schemes after their rounds."""
    columns = ("static 2", "static 3", "paper", "rounds", "diagonal", "kernel")
    series = {kind: _over_one([row for row in rows if row["method"] == kind], columns) for kind in sorted({r["method"] for r in rows})}
    _bars(axes[0], columns, series, "", "PSNR over one pass (dB)")


def _pnp_deblurring(axes: Sequence[Axes], rows: Rows) -> None:
    columns = ("static 2", "literal", "one kernel", "dynamic", "ensemble + dynamic", "true kernel")
    _bars(axes[0], columns, {"gain": _over_one(rows, columns)}, "", "PSNR over one pass (dB)")


def _over_one(rows: Rows, columns: Sequence[str]) -> tuple[list[float | None], list[float | None]]:
    """The mean of each column less that of one pass, over the rows that have it."""
    gains = [[row[f"psnr {c}"] - row["psnr one"] for row in rows if row.get(f"psnr {c}") is not None] for c in columns]
    return [sum(g) / len(g) if g else None for g in gains], [None] * len(columns)


_FIGURES = {
    "mlmc_fig4": Figure("mlmc_ablation", "MLMC Fig. 4", "How many random kernels, and how many image steps in a row", 2, _mlmc_counts),
    "mlmc_fig2": Figure("mlmc_ablation", "MLMC Fig. 2 and 8", "The kernel fluctuates, then settles", 1, _mlmc_fluctuation),
    "and_unseen": Figure("and_unseen", "AND Table 2", "Degradations that no training had", 1, _and_unseen),
    "and_worst": Figure("and_worst_case", "AND Sec. 3", "Under the worst degradation that a search finds", 1, _and_worst),
    "guidance_fig2": Figure("guidance_gain", "Bilevel caption 2", "What a noise map is worth", 2, _guidance_gain),
    "guidance_fig3": Figure("guidance_strategies", "Bilevel caption 3", "One net trained four ways", 1, _guidance_strategies),
    "guidance_fig5": Figure("guidance_told", "Bilevel caption 5", "Told a noise level, right or wrong", 2, _guidance_told),
    "rain": Figure("rain_guidance", "Bilevel Table 1", "Rain removed without and with a map", 1, _rain),
    "haze": Figure("haze_guidance", "Bilevel Table 2", "Haze removed without and with depth", 1, _haze),
    "pnp_fig4": Figure("pnp_denoising", "Dynamic PnP Fig. 4, for denoising", "One pass again, and the dynamic scheme", 1, _pnp_rounds),
    "pnp_fig4_deblurring": Figure("pnp_deblurring", "Dynamic PnP Fig. 4", "One pass again, and the dynamic scheme", 1, _pnp_deblurring),
}
