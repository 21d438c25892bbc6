"""Paint a noise map on a picture: strokes from the browser, rasterised here."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import anywidget
import ipywidgets as widgets
import numpy as np
import torch
import traitlets
from PIL import Image
from torch import Tensor

from restorekit._check import check_image, fail

from ._picture import drawn
from .figures import pixels, show
from .panel import Panel, button

# used when nobody can paint (a static page, a test): a smooth S and two dabs, in fractions of the picture
_DEFAULT = (
    ([(0.15, 0.3), (0.35, 0.15), (0.55, 0.35), (0.75, 0.25)], 0.09, 1.0),
    ([(0.3, 0.75), (0.5, 0.7)], 0.12, 0.5),
    ([(0.82, 0.78)], 0.1, 0.75),
)
Stroke = Mapping[str, Any]


def default_strokes(size: tuple[int, int], top: float = 0.2) -> list[dict[str, Any]]:
    """Three strokes for a picture of `size` (H, W) with values up to `top`: what a page shows before anybody paints."""
    h, w = size
    return [{"points": [[x * w, y * h] for x, y in p], "radius": r * min(h, w), "value": v * top} for p, r, v in _DEFAULT]


def rasterize(strokes: Sequence[Stroke], size: tuple[int, int], *, background: float = 0.0) -> Tensor:
    """Map (1, 1, H, W) float32: each pixel whose center lies within `radius` of a stroke's path takes its value, later strokes on top.

    strokes: dicts with points [(x, y), ...] in pixels (x to the right, y down, the first pixel's center at 0.5), radius > 0
    in pixels and value. size: (H, W). background: value where nothing was painted. ValueError for a malformed stroke.
    """
    h, w = size
    y, x = torch.meshgrid(torch.arange(h) + 0.5, torch.arange(w) + 0.5, indexing="ij")
    field = torch.full((h, w), float(background))
    for stroke in strokes:
        points, radius, value = _parts(stroke)
        near = torch.zeros(h, w, dtype=torch.bool)
        for a, b in zip(points, points[1:] if len(points) > 1 else points, strict=False):
            near |= _distance(x, y, a, b) <= radius
        field[near] = value
    return field[None, None]


def _parts(stroke: Stroke) -> tuple[Tensor, float, float]:
    try:
        points = torch.as_tensor(np.asarray(stroke["points"], dtype=float))
        radius, value = float(stroke["radius"]), float(stroke["value"])
    except (KeyError, TypeError, ValueError):
        points, radius, value = torch.empty(0), 0.0, 0.0
    good = points.ndim == 2 and points.shape[1] == 2 and len(points) > 0 and bool(points.isfinite().all())
    if not good or not 0 < radius < float("inf") or not abs(value) < float("inf"):
        fail(f"stroke {str(stroke)[:80]}", "points [(x, y), ...], radius > 0 and value, all finite", "see restorekit.teach.default_strokes")
    return points, radius, value


def _distance(x: Tensor, y: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """Distance of each pixel from the segment a to b."""
    d = b - a
    along = ((x - a[0]) * d[0] + (y - a[1]) * d[1]) / d.square().sum().clamp_min(1e-12)
    t = along.clamp(0, 1)
    return torch.hypot(x - a[0] - t * d[0], y - a[1] - t * d[1])


class Canvas(anywidget.AnyWidget):
    """The drawing area in the browser."""

    _esm = Path(__file__).with_name("painter.js")
    picture = traitlets.Unicode().tag(sync=True)
    width = traitlets.Int().tag(sync=True)
    height = traitlets.Int().tag(sync=True)
    top = traitlets.Float().tag(sync=True)
    radius = traitlets.Float().tag(sync=True)
    level = traitlets.Float().tag(sync=True)
    strokes: Any = traitlets.List().tag(sync=True)


class Painter(Panel):
    """Canvas, brush, Clear, Reset and the picture of the map or of what is made of it; see `paint`."""

    def __init__(
        self,
        picture: Tensor,
        on_change: Callable[[Tensor], Any] | None,
        *,
        strokes: list[dict[str, Any]],
        radius: float,
        top: float,
        alt: str | None,
        question: str | None,
    ) -> None:
        self.size = (picture.shape[-2], picture.shape[-1])
        self.on_change, self._alt, self.top, self.first = on_change, alt, top, strokes
        self.canvas = Canvas(
            picture=_address(picture), width=self.size[1], height=self.size[0], top=top, radius=radius, level=top, strokes=strokes
        )
        style = {"style": {"description_width": "11em"}, "layout": widgets.Layout(width="28em")}
        brush = widgets.FloatSlider(
            value=radius, min=1, max=max(2.0, min(self.size) / 3), step=0.5, description="brush radius (px)", **style
        )
        level = widgets.FloatSlider(
            value=top, min=0, max=top, step=top / 20, description="noise std of the brush", readout_format=".3f", **style
        )
        self.links = [widgets.link((brush, "value"), (self.canvas, "radius")), widgets.link((level, "value"), (self.canvas, "level"))]
        buttons = widgets.HBox([button("Clear", self.clear, "an empty map"), button("Reset", self.reset, "the first strokes again")])
        super().__init__({"brush": brush, "level": level}, text="Noise map painter", question=question, extra=(buttons, self.canvas))
        for control in self.controls.values():
            control.unobserve(self._moved, names="value")  # a brush changes the next stroke, not the picture
        self.canvas.observe(lambda _: self.redraw(), names="strokes")

    @property
    def map(self) -> Tensor:
        """The painted map (1, 1, H, W) float32: noise std, 0 where nothing was painted."""
        return rasterize(self.canvas.strokes, self.size)

    def add(self, stroke: Stroke) -> None:
        """Paint one more stroke, as the browser does."""
        self.canvas.strokes = [*self.canvas.strokes, dict(stroke)]

    def clear(self) -> None:
        """Take all strokes away."""
        self.canvas.strokes = []

    def reset(self, *_: object) -> None:
        """The first strokes and brush again."""
        for name, value in self.defaults.items():
            self.controls[name].value = value
        self.canvas.strokes = self.first
        self.redraw()

    def render(self) -> tuple[bytes, str]:
        field = self.map
        result = self.on_change(field) if self.on_change else None
        if result is None:
            share = float((field > 0).float().mean())
            result = show({"noise map (std)": field}, limits=(0, self.top), alt=f"Painted noise map: {share:.0%} of the picture is noisy.")
        return drawn(result, self._alt)

    def drive(self) -> Iterator[tuple[str, Any]]:
        """Paint with the smallest and the largest brush, clear, reset: each must change the picture."""
        self.reset()
        h, w = self.size
        for radius in (self.controls["brush"].min, self.controls["brush"].max):
            self.controls["brush"].value = radius
            dab = {"points": [[w / 2, h / 2 + 1]], "radius": radius, "value": self.top}
            yield from self.moved("brush", radius, partial(self.add, dab))
        yield from self.moved("Clear", None, self.clear)
        yield from self.moved("Reset", None, self.reset)


def _address(picture: Tensor) -> str:
    file = BytesIO()
    Image.fromarray((pixels(picture) * 255).round().astype(np.uint8)).save(file, "PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode("ascii")


def paint(
    picture: Tensor,
    on_change: Callable[[Tensor], Any] | None = None,
    *,
    strokes: list[dict[str, Any]] | None = None,
    radius: float = 10.0,
    top: float = 0.2,
    alt: str | None = None,
    question: str | None = None,
) -> Painter:
    """Paint a noise map on a picture (1, C, H, W); `.map` is the std per pixel (1, 1, H, W) in [0, top].

    on_change(map): returns the picture shown below (`show(...)`, or a Figure, then `alt` is needed); default: the map.
    strokes: what is painted at first (default: `default_strokes`), which is also what a page without a browser shows.
    radius, top: the brush in pixels and the largest noise std in [0, 1]. Arrow keys and Space paint without a mouse.
    """
    check_image(picture, "picture")
    if picture.shape[0] != 1 or picture.shape[1] not in (1, 3) or not top > 0:
        fail(f"picture {tuple(picture.shape)}, top={top}", "(1, 1, H, W) or (1, 3, H, W) and top > 0", "hand in one picture, gray or RGB")
    first = default_strokes((picture.shape[-2], picture.shape[-1]), top) if strokes is None else list(strokes)
    return Painter(picture, on_change, strokes=first, radius=radius, top=top, alt=alt, question=question)
