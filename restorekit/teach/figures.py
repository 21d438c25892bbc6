"""Pictures side by side: fixed range, nearest neighbour, equal zoom, scores in the titles, alt text always."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

from restorekit._check import check_image, fail

from ._picture import DPI, FAINT, FONT, INK, PALETTE, Picture, check_alt

Images = Tensor | Sequence[Tensor] | Mapping[str, Tensor]
GAP, LINE, WIDEST = 10, 17, 960  # pixels: between panels, per line of title, of a figure
CHAR = 6.8  # pixels of a letter in a title
PANEL = 256  # pixels a picture may be wide


class Score(NamedTuple):
    """PSNR in dB and SSIM of one picture against the reference."""

    psnr: float
    ssim: float


class Layout:
    """A grid of equal picture boxes in whole pixels, so that nearest neighbour enlarges every pixel equally.

    heads: pixels for the titles above each row; box: height and width; notes: small texts at the foot.
    """

    def __init__(self, heads: Sequence[int], cols: int, box: tuple[int, int], notes: Sequence[str | None] = ()) -> None:
        self.box, self.tops, at = box, [], GAP
        for head in heads:
            self.tops.append(at + head)
            at += head + box[0] + GAP
        self.wide = max(cols * (box[1] + GAP) + GAP, 200)
        self.left = (self.wide - cols * (box[1] + GAP) + GAP) // 2
        foot = "    ".join(note for note in notes if note)
        if len(foot) * CHAR > self.wide:
            foot = "\n".join(note for note in notes if note)
        self.high = at + (LINE * (foot.count("\n") + 1) if foot else 0)
        self.figure = Figure(figsize=(self.wide / DPI, self.high / DPI), dpi=DPI)
        if foot:
            self.figure.text(1 - GAP / self.wide, 5 / self.high, foot, ha="right", va="bottom", size=FONT - 1, color=FAINT)

    def axes(self, row: int, col: int) -> Any:
        """The axes of one box, without ticks."""
        left, bottom = self.left + col * (self.box[1] + GAP), self.high - self.tops[row] - self.box[0]
        ax = self.figure.add_axes((left / self.wide, bottom / self.high, self.box[1] / self.wide, self.box[0] / self.high))
        ax.set_xticks([])
        ax.set_yticks([])
        ax.spines[:].set_color("#BBBBBB")
        return ax


def named(images: Images, titles: Sequence[str] | None = None) -> dict[str, Tensor]:
    """Pictures with their titles, each (1, C, H, W) with 1 or 3 channels; a batch becomes one panel per picture."""
    if isinstance(images, Mapping):
        pairs = list(images.items())
    else:
        listed = list(images.split(1)) if isinstance(images, Tensor) and images.ndim == 4 else list(images)
        if titles is not None and len(titles) != len(listed):
            fail(f"{len(titles)} titles for {len(listed)} pictures", "one title a picture", "give as many titles as pictures")
        pairs = list(zip(titles if titles is not None else [f"{i + 1}" for i in range(len(listed))], listed, strict=True))
    if not pairs:
        fail("no picture", "at least one", "hand in a tensor, a list or a dict of name: tensor")
    for name, x in pairs:
        check_image(x, f"picture {name!r}")
        if x.shape[0] != 1 or x.shape[1] not in (1, 3):
            fail(f"picture {name!r} of shape {tuple(x.shape)}", "(1, 1, H, W) or (1, 3, H, W)", "show one picture a panel, gray or RGB")
    return {name: x.detach().cpu() for name, x in pairs}


def pixels(x: Tensor, limits: tuple[float, float] = (0.0, 1.0)) -> np.ndarray:
    """(1, C, H, W) -> (H, W) or (H, W, 3) in [0, 1] for imshow: the fixed range `limits` mapped to [0, 1] and clipped."""
    y = ((x[0].double() - limits[0]) / (limits[1] - limits[0])).clamp(0, 1)
    return (y[0] if y.shape[0] == 1 else y.permute(1, 2, 0)).numpy()


def box_of(shapes: Sequence[torch.Size], count: int, panel: int = PANEL) -> tuple[int, int]:
    """Height and width in pixels of the boxes: the largest picture enlarged by a whole factor where it fits."""
    h, w = max(s[-2] for s in shapes), max(s[-1] for s in shapes)
    fit = min(panel, (WIDEST - GAP) // min(count, 4) - GAP) / max(h, w)
    factor = math.floor(fit) if fit >= 1 else max(fit, min(1.0, 320 / max(h, w)) if count <= 2 else fit)
    return max(1, round(h * factor)), max(1, round(w * factor))


def draw(ax: Any, x: Tensor, *, limits: tuple[float, float] = (0.0, 1.0), extent: tuple[int, int] | None = None, cmap: str = "gray") -> Any:
    """One picture in one box; `extent` (H, W) places a smaller picture on a larger grid."""
    h, w = extent or (x.shape[-2], x.shape[-1])
    return ax.imshow(pixels(x, limits), cmap=cmap, vmin=0, vmax=1, interpolation="nearest", extent=(0, w, h, 0), aspect="auto")


def wrapped(text: str, width_px: int) -> str:
    """The title broken so that it fits over a box of `width_px` pixels."""
    chars = max(8, int(width_px / CHAR))
    return "\n".join(line for part in text.split("\n") for line in (textwrap.wrap(part, chars, break_on_hyphens=False) or [""]))


def titles_for(names: Sequence[str], width_px: int) -> tuple[list[str], int]:
    """Wrapped titles and the pixels that the tallest needs."""
    texts = [wrapped(name, width_px) for name in names]
    return texts, max(text.count("\n") + 1 if text else 0 for text in texts) * LINE + 5


def label(ax: Any, text: str) -> None:
    """Title of a box."""
    ax.set_title(text, size=FONT, color=INK, pad=4, linespacing=1.15)


def show(
    images: Images,
    titles: Sequence[str] | None = None,
    *,
    alt: str,
    cols: int | None = None,
    limits: tuple[float, float] = (0.0, 1.0),
    stamp: str | None = None,
) -> Picture:
    """Pictures side by side on the fixed range `limits`, nearest neighbour.

    images: one (B, C, H, W) tensor, a list of (1, C, H, W), or a dict title: tensor (C is 1 or 3). Sizes may differ.
    alt: what the figure shows, at least 15 characters. cols: panels a row (default: at most 4). stamp: small text at the foot.
    """
    alt, panels = check_alt(alt), named(images, titles)
    cols = min(cols or 4, len(panels))
    box = box_of([x.shape for x in panels.values()], cols)
    heads, title = titles_for(list(panels), box[1])
    layout = Layout([title] * math.ceil(len(panels) / cols), cols, box, [stamp])
    for i, (head, x) in enumerate(zip(heads, panels.values(), strict=True)):
        ax = layout.axes(i // cols, i % cols)
        h, w = x.shape[-2:]
        grow = min(box[0] / h, box[1] / w)
        draw(ax, x, limits=limits)
        ax.set_xlim(w / 2 - box[1] / grow / 2, w / 2 + box[1] / grow / 2)
        ax.set_ylim(h / 2 + box[0] / grow / 2, h / 2 - box[0] / grow / 2)
        label(ax, head)
    return Picture(layout.figure, alt=alt)


def score(x: Tensor, ref: Tensor, *, border: int = 0, luma: bool = True, quantize: bool = True) -> Score:
    """PSNR and SSIM of one picture, by restorekit.metrics in the same convention."""
    from restorekit import metrics

    options: dict[str, Any] = {"border": border, "luma": luma, "quantize": quantize}
    return Score(float(metrics.psnr(x, ref, **options)), float(metrics.ssim(x, ref, **options)))


def compare(
    images: Mapping[str, Tensor],
    ref: Tensor | None = None,
    *,
    alt: str | Callable[[dict[str, Score]], str] | None = None,
    zoom: tuple[int, int, int] | None = None,
    errors: bool = False,
    border: int = 0,
    luma: bool = True,
    quantize: bool = True,
    stamp: str | None = None,
) -> Picture:
    """Methods side by side with PSNR/SSIM in the titles, the same zoom box in all panels, error maps on one shared scale.

    images: dict method: (1, C, H, W); one smaller by a whole factor is shown enlarged and gets no score. ref: the truth,
    shown last. zoom: (top, left, size) in pixels of the largest picture, shown under each panel. errors: adds |x - ref|.
    border, luma, quantize: convention of the scores. alt: text, or a function of the scores dict name: (psnr, ssim) giving it.
    Returns a Picture whose `.scores` holds the numbers.
    """
    panels = named(images)
    if ref is not None:
        panels["ground truth"] = named({"ground truth": ref})["ground truth"]
    h, w = (max(x.shape[d] for x in panels.values()) for d in (-2, -1))
    options: dict[str, Any] = {"border": border, "luma": luma, "quantize": quantize}
    truth = panels.get("ground truth") if ref is not None else None
    scores = {n: score(x, truth, **options) for n, x in panels.items() if truth is not None and x is not truth and x.shape == truth.shape}
    text = check_alt(alt if alt is None or isinstance(alt, str) else alt(scores))
    if zoom is not None:
        _check_zoom(zoom, h, w)
    figure = _comparison(panels, scores, truth if errors else None, zoom, (h, w), stamp)
    return Picture(figure, alt=text, scores=scores)


def _check_zoom(zoom: tuple[int, int, int], h: int, w: int) -> None:
    top, left, side = zoom
    if side < 2 or top < 0 or left < 0 or top + side > h or left + side > w:
        fail(f"zoom={zoom} for a picture of {h} x {w}", "(top, left, size) inside the picture, size >= 2", "move or shrink the box")


def _comparison(
    panels: dict[str, Tensor],
    scores: dict[str, Score],
    truth: Tensor | None,
    zoom: tuple[int, int, int] | None,
    size: tuple[int, int],
    stamp: str | None,
) -> Figure:
    """The grid of `compare`: for each row of methods the pictures, their zooms, their errors."""
    h, w = size
    cols = min(4, len(panels))
    box = box_of([torch.Size((h, w))], cols)
    heads, title = titles_for([_head(name, x, scores, size) for name, x in panels.items()], box[1])
    bands = 1 + (zoom is not None) + (truth is not None)
    worst = _worst(panels, truth)
    rows = math.ceil(len(panels) / cols)
    note = f"errors: black 0 to yellow {worst:.2g}" if truth is not None else None
    layout = Layout(([title] + [LINE + 5] * (bands - 1)) * rows, cols, box, [note, stamp])
    for i, (head, x) in enumerate(zip(heads, panels.values(), strict=True)):
        row, col = (i // cols) * bands, i % cols
        ax = layout.axes(row, col)
        draw(ax, x, extent=size)
        label(ax, head)
        if zoom is not None:
            _zoomed(ax, layout.axes(row + 1, col), x, zoom, size)
        if truth is not None and x.shape == truth.shape and x is not truth:
            ax = layout.axes(row + bands - 1, col)
            ax.imshow(_error(x, truth), cmap="magma", vmin=0, vmax=worst, interpolation="nearest", extent=(0, w, h, 0), aspect="auto")
            label(ax, "absolute error")
    return layout.figure


def _head(name: str, x: Tensor, scores: dict[str, Score], size: tuple[int, int]) -> str:
    if name in scores:
        return f"{name}\n{scores[name].psnr:.2f} dB / {scores[name].ssim:.3f}"
    return f"{name}\n{x.shape[-1]} x {x.shape[-2]} px" if tuple(x.shape[-2:]) != size else name


def _error(x: Tensor, truth: Tensor) -> np.ndarray:
    return (x.double() - truth.double()).abs().mean(1)[0].numpy()


def _worst(panels: dict[str, Tensor], truth: Tensor | None) -> float:
    """Top of the shared error scale: the 99th percentile over all panels, so that one pixel does not darken all."""
    if truth is None:
        return 1.0
    errors = [_error(x, truth).ravel() for x in panels.values() if x.shape == truth.shape and x is not truth]
    return max(float(np.quantile(np.concatenate(errors), 0.99)), 1e-6) if errors else 1.0


def _zoomed(ax: Any, under: Any, x: Tensor, zoom: tuple[int, int, int], size: tuple[int, int]) -> None:
    """Mark the zoom box in `ax` and show it in `under`, as wide as the panel above."""
    top, left, side = zoom
    ax.add_patch(Rectangle((left, top), side, side, fill=False, edgecolor=PALETTE[1], linewidth=1.6))
    draw(under, x, extent=size)
    under.set_aspect("equal", adjustable="box")
    under.set_xlim(left, left + side)
    under.set_ylim(top + side, top)
    under.spines[:].set_color(PALETTE[1])
    label(under, "zoom")


def show_kernels(
    kernels: Images, titles: Sequence[str] | None = None, *, alt: str, cols: int | None = None, stamp: str | None = None
) -> Picture:
    """Blur kernels side by side on one shared scale (black = 0, white-yellow = the largest weight of all), centers aligned.

    kernels: (B, 1, kh, kw), a list, or a dict title: (1, 1, kh, kw); sizes may differ: one pixel has one size in all panels.
    A cross marks the center (kh // 2, kw // 2), from which an offset can be read.
    """
    alt, panels = check_alt(alt), named(kernels, titles)
    cols = min(cols or 5, len(panels))
    top = max(max(float(k.max()) for k in panels.values()), 1e-12)
    reach = max(max(k.shape[-2:]) for k in panels.values()) // 2 + 0.5
    side = max(round(min(170, (WIDEST - GAP) // cols - GAP) / (2 * reach)), 1) * round(2 * reach)
    heads, title = titles_for(list(panels), side)
    layout = Layout([title] * math.ceil(len(panels) / cols), cols, (side, side), [f"scale: 0 to {top:.3g}", stamp])
    for i, (head, k) in enumerate(zip(heads, panels.values(), strict=True)):
        ax = layout.axes(i // cols, i % cols)
        place_kernel(ax, k, top, reach)
        label(ax, head)
    return Picture(layout.figure, alt=alt)


def place_kernel(ax: Any, k: Tensor, top: float, reach: float) -> None:
    """One kernel around its center on the scale [0, top]; the axes reach `reach` pixels to each side."""
    kh, kw = k.shape[-2:]
    extent = (-(kw // 2) - 0.5, kw - kw // 2 - 0.5, kh - kh // 2 - 0.5, -(kh // 2) - 0.5)
    ax.set_facecolor("black")
    ax.imshow(k[0, 0].double().numpy(), cmap="magma", vmin=0, vmax=top, interpolation="nearest", extent=extent, aspect="auto")
    ax.plot([0], [0], marker="+", color="#56B4E9", markersize=9, markeredgewidth=1.2)
    ax.set_xlim(-reach, reach)
    ax.set_ylim(reach, -reach)
