"""What the tables on AND share: the pictures, scores, restorers by name, and margins over pictures. Not a table."""

from __future__ import annotations

import hashlib
import statistics
import zlib
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from ...images import bundled, dataset
from ...methods.baselines.bicubic import bicubic
from ...methods.degraders import Degrader
from ...metrics import psnr, ssim
from ...nets.rrdb import load_restorer
from ...weights import shipped
from .. import Value
from ..unseen import CLEAN, UNSEEN, degrade_unseen

Restorer = Callable[[Tensor], Tensor]
SIDE = 256  # px: the largest side of a crop
SHIPPED = ("classical", "random", "pipeline", "adversarial")
MEAN = "unseen"  # the name of the mean over all degradations but `clean`
# set14/face is set5/head; of CBSD68 every ninth picture of the folder at hand
PICTURES = {
    "set5": ("baby_GT", "bird_GT", "butterfly_GT", "head_GT", "woman_GT"),
    "set14": ("baboon", "bridge", "coastguard", "flowers", "lenna", "man", "pepper", "ppt3"),
    "cbsd68": ("101085", "130026", "167062", "219090", "285079"),
}
SMOKE = {"bundled": ("cat",)}


def pictures(size: str, most: Mapping[str, int] | None = None) -> list[tuple[str, str]]:
    """(dataset, name) of the pictures of a size; most: how many of a dataset, evenly spaced."""
    chosen = []
    for source, names in (SMOKE if size == "smoke" else PICTURES).items():
        count = min(len(names), (most or {}).get(source, len(names)))
        chosen += [(source, names[i * len(names) // count]) for i in range(count)]
    return chosen


@lru_cache(maxsize=32)
def picture(source: str, name: str, scale: int = 1, side: int = SIDE) -> Tensor:
    """The middle of a picture, at most side x side, sides divisible by the scale; gray ones with three equal channels."""
    x = bundled(name, size=(side, side)) if source == "bundled" else dataset(source)[name].load()
    height, width = (min(side, n) // scale * scale for n in x.shape[-2:])
    top, left = (x.shape[-2] - height) // 2, (x.shape[-1] - width) // 2
    return x[..., top : top + height, left : left + width].expand(1, 3, -1, -1).contiguous()


def seeded(*what: Any) -> torch.Generator:
    """A generator that depends on what is named and on nothing else."""
    return torch.Generator().manual_seed(zlib.crc32(" ".join(map(str, what)).encode()))


def observe(source: str, name: str, degradation: str, scale: int, side: int = SIDE) -> tuple[Tensor, Tensor]:
    """The true x and the degraded y: the same for every method."""
    x = picture(source, name, scale, side)
    return x, degrade_unseen(x, degradation, scale, generator=seeded(source, name, degradation, scale))


@torch.no_grad()
def unseen_scores(restore: Restorer, source: str, name: str, scale: int, degradations: Sequence[str], side: int = SIDE) -> dict[str, float]:
    """PSNR and SSIM of Y (8 bit, a border of `scale` pixels cropped) by degradation, and `unseen`: their mean without `clean`."""
    found: dict[str, float] = {}
    for degradation in degradations:
        x, y = observe(source, name, degradation, scale, side)
        guess = restore(y)
        found[f"psnr {degradation}"] = psnr(guess, x, border=scale).item()
        found[f"ssim {degradation}"] = ssim(guess, x, border=scale).item()
    for score in ("psnr", "ssim"):
        found[f"{score} {MEAN}"] = statistics.fmean(found[f"{score} {d}"] for d in degradations if d != CLEAN)
    return found


@lru_cache(maxsize=8)
def restorer(method: str, scale: int) -> Restorer:
    """bicubic, or the shipped net of that name."""
    if method == "bicubic":
        return lambda y: bicubic(y, scale)
    net: Restorer = load_restorer(method, scale)
    return net


def weights_digest(method: str, scale: int) -> str:
    """What names a shipped net's weights in a cell, so that no result outlives them; "" where there are none."""
    if method == "bicubic":
        return ""
    try:
        return hashlib.sha256(shipped(f"and_{method}_x{scale}").read_bytes()).hexdigest()[:8]
    except FileNotFoundError:
        return ""


def settings_digest(*degraders: Degrader) -> str:
    """What names the settings of degraders in a cell."""
    return hashlib.sha256(repr(degraders).encode()).hexdigest()[:8]


def unseen_names(size: str) -> list[str]:
    """The degradations of a size, clean among them."""
    return [CLEAN, "wide blur", "noise 20", "JPEG 30"] if size == "smoke" else list(UNSEEN)


def over_pictures(rows: Sequence[Mapping[str, Any]], better: str, worse: str, score: str, *, above: float = 0.0) -> Value | None:
    """The margin by which `better` is more than `above` over `worse`: mean over pictures that both have; spread: its standard error.

    For nets of which there is one each: what is uncertain is the choice of pictures. None for fewer than two pictures.
    """
    of = {name: {(r["dataset"], r["image"]): r[score] for r in rows if r["method"] == name} for name in (better, worse)}
    gaps = [of[better][key] - of[worse][key] for key in of[better] if key in of[worse]]
    if len(gaps) < 2:
        return None
    return Value(statistics.fmean(gaps) - above, statistics.stdev(gaps) / len(gaps) ** 0.5, len(gaps), margin=True)
