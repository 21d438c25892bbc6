"""A matplotlib Figure that cannot be shown without alt text, and the one style of all figures. pyplot is never used."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Callable
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from restorekit._check import fail

DPI = 80
FONT = 11.0  # points: 12 pixels at this dpi, readable at 100%
INK, FAINT = "#222222", "#767676"
# Okabe and Ito's palette without its yellow, which vanishes on white; each color has its own dash
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000", "#56B4E9", "#E69F00")
DASHES: tuple[Any, ...] = ("-", (0, (5, 2)), (0, (6, 2, 1.5, 2)), (0, (1.5, 1.5)), (0, (9, 3)), (0, (3, 1, 1, 1, 1, 1)), (0, (3, 3)))
SHORTEST_ALT = 15


def check_alt(alt: object) -> str:
    """Return the alt text if it is a sentence of at least 15 characters; TypeError or ValueError otherwise."""
    fix = 'say what the figure shows with its number, for example alt=f"MLMC reaches {gain:.1f} dB more than bicubic"'
    if not isinstance(alt, str):
        fail(f"alt={alt!r}", "a text that states what the figure shows", fix, TypeError)
    text = re.sub(r"\s+", " ", str(alt)).strip()
    if len(text) < SHORTEST_ALT:
        fail(f"alt text {text!r}", f"at least {SHORTEST_ALT} characters", fix)
    return text


def png(figure: Figure) -> bytes:
    """The figure as PNG bytes: RGB, or one gray channel where the figure has no color, without dates or versions."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    pixels = np.asarray(canvas.buffer_rgba())[..., :3]
    gray = bool((pixels[..., :1] == pixels).all())
    file = io.BytesIO()
    Image.fromarray(pixels[..., 0].copy() if gray else pixels.copy()).save(file, "PNG", compress_level=6)
    return file.getvalue()


def bundle(frame: bytes, alt: str, text: str | None = None) -> tuple[dict[str, Any], dict[str, Any]]:
    """Data and metadata of a display: the picture with its alt text, and a fixed text/plain (default: the alt text)."""
    data = {"text/plain": alt if text is None else text, "image/png": base64.b64encode(frame).decode("ascii")}
    return data, {"image/png": {"alt": alt}}


class Picture:
    """A figure with its alt text: displays as PNG with the alt text in the metadata and as text/plain.

    `.figure` is the matplotlib Figure, `.alt` the text, `.png` the bytes, `.scores` what `compare` measured.
    """

    def __init__(self, figure: Figure, *, alt: str, scores: dict[str, Any] | None = None) -> None:
        self.figure = figure
        self.alt = check_alt(alt)
        self.scores = scores or {}

    @property
    def png(self) -> bytes:
        """The figure as PNG bytes."""
        return png(self.figure)

    def save(self, path: str) -> None:
        """Write the PNG to `path`."""
        with open(path, "wb") as file:
            file.write(self.png)

    def __repr__(self) -> str:
        return self.alt

    def _repr_mimebundle_(self, **kwargs: object) -> tuple[dict[str, Any], dict[str, Any]]:
        return bundle(self.png, self.alt)


def picture(figure: Figure, *, alt: str) -> Picture:
    """Give a Figure of your own (from `canvas`) its alt text, so that it can be displayed."""
    return Picture(figure, alt=alt)


def canvas(rows: int = 1, cols: int = 1, *, width: float = 7.0, height: float = 3.2, **options: Any) -> tuple[Figure, Any]:
    """An empty figure in the course's style and its axes (one Axes, or an array as `Figure.subplots` gives it).

    width, height in inches at 80 dpi; options go to `Figure.subplots`. Needs no pyplot. Wrap it with `picture(fig, alt=...)`.
    """
    figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
    axes = figure.subplots(rows, cols, **options)
    for ax in np.atleast_1d(axes).ravel():
        style(ax)
    return figure, axes


def style(ax: Any) -> None:
    """Font sizes, thin gray grid, no box: the style of every plot with axes."""
    ax.tick_params(labelsize=FONT - 1, colors=INK)
    ax.xaxis.label.set_size(FONT)
    ax.yaxis.label.set_size(FONT)
    ax.title.set_size(FONT)
    ax.grid(True, color="#DDDDDD", linewidth=0.6)
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)
    ax.set_prop_cycle(color=list(PALETTE), linestyle=list(DASHES))


def drawn(result: object, alt: str | None) -> tuple[bytes, str]:
    """PNG bytes and alt text of what a drawing function returned: a Picture (own alt) or a Figure (then `alt` is needed)."""
    if isinstance(result, Picture):
        return result.png, result.alt
    if isinstance(result, Figure):
        return png(result), check_alt(alt)
    fail(
        f"{type(result).__name__} from the drawing function",
        "a Figure or a picture of restorekit.teach",
        "return show(...), compare(...) or a Figure",
        TypeError,
    )
    raise AssertionError


Drawing = Callable[..., "Picture | Figure"]
