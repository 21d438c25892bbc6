"""Curves: every line differs by dash as well as by color."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from restorekit._check import fail

from ._picture import DASHES, FAINT, FONT, PALETTE, Picture, canvas, check_alt


def _values(y: Any) -> np.ndarray:
    if isinstance(y, torch.Tensor):
        y = y.detach().cpu()
    return np.asarray([float(v) for v in np.asarray(y).ravel()])


def plot_lines(
    lines: Mapping[str, Any],
    *,
    alt: str,
    xlabel: str,
    ylabel: str,
    logx: bool = False,
    logy: bool = False,
    spread: Mapping[str, tuple[Any, Any]] | None = None,
    marks: Mapping[str, float] | None = None,
    title: str = "",
    stamp: str | None = None,
) -> Picture:
    """Curves with labels: lines is a dict name: y, or name: (x, y); x counts from 0 if it is not given.

    spread: name: (low, high), a shaded band. marks: text: x, vertical dotted lines. Palette safe for color-vision
    deficiency, dashes differ. stamp: small text under the axes.
    """
    alt = check_alt(alt)
    if not lines or len(lines) > len(PALETTE):
        fail(f"{len(lines)} lines", f"1 to {len(PALETTE)}", "split the figure: more lines cannot be told apart")
    figure, ax = canvas(width=7.0, height=3.4)
    for i, (name, line) in enumerate(lines.items()):
        x, y = (_values(line[0]), _values(line[1])) if isinstance(line, tuple) and len(line) == 2 else (None, _values(line))
        x = np.arange(len(y)) if x is None else x
        ax.plot(x, y, color=PALETTE[i], linestyle=DASHES[i], linewidth=1.9, label=name, marker="o" if len(y) == 1 else None)
        if spread and name in spread:
            low, high = spread[name]
            ax.fill_between(x, _values(low), _values(high), color=PALETTE[i], alpha=0.18, linewidth=0)
    _mark(ax, marks or {})
    ax.set(xlabel=xlabel, ylabel=ylabel, title=title, xscale="log" if logx else "linear", yscale="log" if logy else "linear")
    _legend(ax, len(lines))
    if stamp:
        figure.supxlabel(stamp, x=0.99, ha="right", fontsize=FONT - 1, color=FAINT)
    return Picture(figure, alt=alt)


def _mark(ax: Any, marks: Mapping[str, float]) -> None:
    """Dotted vertical lines with their text at the top."""
    if marks:
        ax.margins(y=0.14)  # room for the texts above the curves
    for text, at in marks.items():
        ax.axvline(at, color=FAINT, linestyle=":", linewidth=1.2)
        ax.annotate(
            text,
            (at, 0.98),
            xycoords=("data", "axes fraction"),
            xytext=(3, 0),
            textcoords="offset points",
            va="top",
            size=FONT - 1,
            color=FAINT,
        )


def _legend(ax: Any, count: int) -> None:
    """A legend for two or more lines: inside while there is room, beside the axes from four on."""
    if count > 1:
        place: dict[str, Any] = {"loc": "best"} if count < 4 else {"loc": "center left", "bbox_to_anchor": (1.0, 0.5)}
        ax.legend(fontsize=FONT - 1, frameon=False, handlelength=3.2, **place)


def plot_history(
    history: Any, keys: Sequence[str] | str = ("loss",), *, alt: str, logy: bool = False, ylabel: str | None = None, **options: Any
) -> Picture:
    """Recorded curves of a run against the iteration: history is a Result, a History, or a dict name: list.

    keys: what to draw. options go to `plot_lines`. Raises KeyError naming what was recorded.
    """
    history = getattr(history, "history", history)
    keys = [keys] if isinstance(keys, str) else list(keys)
    if isinstance(history, Mapping) and not set(keys) <= set(history):
        fail(f"keys {keys}", f"the recorded names {sorted(history)}", "name a recorded curve", KeyError)
    steps = getattr(history, "steps", None)
    lines = {key: history[key] if steps is None else (steps, history[key]) for key in keys}
    return plot_lines(lines, alt=alt, xlabel="iteration", ylabel=ylabel or ", ".join(keys), logy=logy, **options)
