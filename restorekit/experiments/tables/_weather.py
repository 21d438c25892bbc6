"""What the tables on rain and haze share: pictures, methods by name, scores and margins over pictures. Not a table.

Held-back pictures: every fourth of CBSD68, the middle, at most 160 x 160; no weights of ours were trained on CBSD68 or tuned by it. Weather
and map depend on (picture, level) alone (`recipes.weather.held_back`) and are the same for every method. There is one net each, so
that spreads are over pictures: standard errors.
"""

from __future__ import annotations

import hashlib
import statistics
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from ...images import bundled, dataset
from ...methods.baselines.dark_channel import dark_channel
from ...metrics import psnr, ssim
from ...nets import load_prenet, load_weather
from ...nets.prenet import PUBLISHED
from ...weights import shipped
from .. import Cell, Value, grid
from ..recipes.weather import VALIDATED, held_back

SIDE = {"smoke": 64, "quick": 160}
HELD_BACK = ("101085", "108005", "123074", "145086", "160068", "175032", "197017", "220075", "241004", "285079", "300091", "33039")
SMOKE = ("cat", "rocket")
INPUT, PLAIN, GUIDED, TOLD = "input", "plain", "guided", "guided, true map"
METHODS = {"rain": (INPUT, *PUBLISHED, PLAIN, GUIDED, TOLD), "haze": (INPUT, "dark channel", PLAIN, GUIDED, TOLD)}
NET = {"rain": "prenet", "haze": "dehaze"}

Restorer = Callable[[Tensor, Tensor], Tensor]  # (y, true map) -> x


def weather_cells(table: str, task: str, size: str) -> list[Cell]:
    """Picture x method; one cell has all levels, and names the weights that it stands for. Smoke: bundled pictures, nothing published."""
    source, names = ("bundled", SMOKE) if size == "smoke" else ("cbsd68", HELD_BACK)
    methods = [m for m in METHODS[task] if size != "smoke" or m not in PUBLISHED]
    axes: dict[str, Any] = {"table": table, "side": SIDE[size]}
    return [
        cell
        for name in names
        for m in methods
        for cell in grid(method=m, dataset=source, image=name, weights=weights_digest(task, m), **axes)
    ]


def weights_digest(task: str, method: str) -> str:
    """What names a shipped net's weights in a cell, so that no result outlives them; "" where there are none."""
    if method not in (PLAIN, GUIDED, TOLD):
        return ""
    try:
        return hashlib.sha256(shipped(_name(task, method)).read_bytes()).hexdigest()[:8]
    except FileNotFoundError:
        return ""


@torch.no_grad()
def scores(task: str, cell: Cell) -> dict[str, float]:
    """PSNR and SSIM (luma, 8 bit, no border) for each level; for the guided net also its map's RMSE."""
    x = bundled(cell.image) if cell.dataset == "bundled" else dataset(cell.dataset)[cell.image].load()
    found: dict[str, float] = {}
    for level in VALIDATED[task]:
        x_level, y, sigma = held_back(x, cell.image, task, level, int(cell.params["side"]))
        found |= score(restorer(task, cell.method)(y, sigma), x_level, level)
        if cell.method == GUIDED:
            found[f"map {level}"] = map_error(task, y, sigma)
    return found


def score(guess: Tensor, x: Tensor, level: str) -> dict[str, float]:
    """PSNR and SSIM under names of their level."""
    return {f"psnr {level}": psnr(guess, x).item(), f"ssim {level}": ssim(guess, x).item()}


def map_error(task: str, y: Tensor, sigma: Tensor) -> float:
    """RMSE of the map that the guided net's proxy reads off y."""
    proxy = load_weather(_name(task, GUIDED))[1]
    assert proxy is not None
    return (proxy(y) - sigma).square().mean().sqrt().item()


@lru_cache(maxsize=8)
def restorer(task: str, method: str) -> Restorer:
    """The method of that name as (y, true map) -> x; only TOLD looks at the true map."""
    if method == INPUT:
        return lambda y, sigma: y
    if method == "dark channel":
        return lambda y, sigma: dark_channel(y).x
    if method in PUBLISHED:
        published = load_prenet(method)
        return lambda y, sigma: published(y)
    net, proxy = load_weather(_name(task, method))
    if proxy is None:
        return lambda y, sigma: net(y)
    return (lambda y, sigma: net(y, sigma)) if method == TOLD else (lambda y, sigma: net(y, proxy(y)))


def means(rows: Sequence[Mapping[str, Any]], task: str) -> list[dict[str, Any]]:
    """Mean PSNR and SSIM of each method by level, methods as columns."""
    table = []
    for kind in ("psnr", "ssim"):
        for level in VALIDATED[task]:
            by = {m: [row[f"{kind} {level}"] for row in rows if row["method"] == m] for m in METHODS[task]}
            table.append({"score": kind, "level": level, **{m: statistics.fmean(v) for m, v in by.items() if v}, "n": len(by[INPUT])})
    return table


def gap(rows: Sequence[Mapping[str, Any]], better: str, worse: str, level: str, *, above: float = 0.0) -> Value | None:
    """The margin by which `better` is more than `above` dB over `worse`: mean over pictures; spread: its standard error."""
    return _mean([g - above for g in gaps(rows, better, worse, level)])


def gap_of_gaps(rows: Sequence[Mapping[str, Any]], better: str, worse: str, high: str, low: str) -> Value | None:
    """The margin by which the gain at level `high` is over that at `low`, picture by picture."""
    pairs = zip(gaps(rows, better, worse, high), gaps(rows, better, worse, low), strict=True)
    return _mean([a - b for a, b in pairs])


def gaps(rows: Sequence[Mapping[str, Any]], better: str, worse: str, level: str) -> list[float]:
    """PSNR of one method minus that of the other, one number a picture."""
    of = {m: {r["image"]: r[f"psnr {level}"] for r in rows if r["method"] == m} for m in (better, worse)}
    return [of[better][name] - of[worse][name] for name in of[better] if name in of[worse]]


def _mean(values: list[float]) -> Value | None:
    if len(values) < 2:
        return None
    return Value(statistics.fmean(values), statistics.stdev(values) / len(values) ** 0.5, len(values), margin=True)


def _name(task: str, method: str) -> str:
    return f"{NET[task]}_{PLAIN if method == PLAIN else GUIDED}"
