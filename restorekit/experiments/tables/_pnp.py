"""What the tables of dynamic plug-and-play share: scores, margins over pictures, a prior that remembers its first pass."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ...metrics import psnr
from .. import Value

PSNR = "psnr "  # a column's name starts with it


def score(x: Tensor, ref: Tensor, *, quantize: bool) -> float:
    """PSNR over all channels and pixels."""
    return psnr(x, ref, luma=False, quantize=quantize).item()


def aligned_score(x: Tensor, ref: Tensor, reach: int = 3) -> float:
    """The best 8-bit PSNR over whole-pixel shifts up to `reach`, a border of `reach` cropped always."""
    h, w = ref.shape[-2:]
    inner = ref[..., reach : h - reach, reach : w - reach]
    shifts = range(2 * reach + 1)
    return max(score(x[..., a : a + h - 2 * reach, b : b + w - 2 * reach], inner, quantize=True) for a in shifts for b in shifts)


def margin(rows: Sequence[Mapping[str, Any]], better: str, worse: str, *, above: float = 0.0, claim: bool = True) -> Value | None:
    """Mean over rows of `psnr better` - `psnr worse` - above, with its standard error; None for fewer than two rows that have both."""
    names = (PSNR + better, PSNR + worse)
    gaps = [r[names[0]] - r[names[1]] - above for r in rows if all(r.get(n) is not None for n in names)]
    if len(gaps) < 2:
        return None
    return Value(statistics.fmean(gaps), statistics.stdev(gaps) / len(gaps) ** 0.5, len(gaps), margin=claim)


def least(rows: Sequence[Mapping[str, Any]], better: str, worse: str) -> Value | None:
    """The smallest gain of any row, as evidence only."""
    gaps = [r[PSNR + better] - r[PSNR + worse] for r in rows if r.get(PSNR + better) is not None]
    return Value(min(gaps), None, 1) if gaps else None


class Remembering:
    """f that keeps what it made of the last `keep` inputs: schemes that start alike share their first pass."""

    def __init__(self, f: Callable[..., Tensor], keep: int = 2) -> None:
        self._f, self._keep, self._seen = f, keep, list[tuple[Tensor, Tensor]]()

    @torch.no_grad()
    def __call__(self, x: Tensor, sigma: float | Tensor = 0.0) -> Tensor:
        for old, made in self._seen:
            if torch.equal(old, x):
                return made
        made = self._f(x, sigma)
        if len(self._seen) < self._keep:
            self._seen.append((x, made))
        return made
