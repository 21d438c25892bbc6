"""Checks that print one stable line, and the verdict block of a claim."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from restorekit._check import check_choice, fail

from ._html import table
from .sizes import SIZES, size

VERDICTS = ("holds", "holds in part", "does not hold here", "undecided", "cannot be tested at this size")
_EDGES = dict(zip(VERDICTS, ("#009E73", "#E69F00", "#D55E00", "#767676", "#767676"), strict=True))


def difference(a: Any, b: Any) -> float:
    """max |a - b| over numbers, tensors, arrays, and lists or dicts of them; ValueError where the structures differ."""
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        if set(a) != set(b):
            fail(f"the names {sorted(a)}", f"{sorted(b)}", "return the same names")
        return max((difference(a[name], b[name]) for name in b), default=0.0)
    if isinstance(a, list | tuple) and isinstance(b, list | tuple):
        if len(a) != len(b):
            fail(f"{len(a)} values", f"{len(b)}", "return as many")
        return max((difference(u, v) for u, v in zip(a, b, strict=True)), default=0.0)
    if isinstance(b, str | bool) or isinstance(a, str):
        return 0.0 if a == b else math.inf
    u, v = (torch.as_tensor(value).detach().cpu() for value in (a, b))
    if u.ndim and v.ndim and u.shape != v.shape:
        fail(f"shape {tuple(u.shape)}", f"{tuple(v.shape)}", "bring both to the same shape")
    wide = torch.complex128 if u.is_complex() or v.is_complex() else torch.float64
    gap = (u.to(wide) - v.to(wide)).abs()
    return math.inf if bool(gap.isnan().any()) else float(gap.max()) if gap.numel() else 0.0


def check(name: str, lhs: Any, rhs: Any, tol: float, reason: str | None = None) -> None:
    """Print one line if max |lhs - rhs| <= tol, raise AssertionError with the difference if not.

    lhs, rhs: numbers, tensors, or lists and dicts of them; NaN fails. tol is absolute; reason says why it is that large.
    The printed line holds the tolerance, not the digits of the difference, so that it is the same on every machine.
    """
    gap = difference(lhs, rhs)
    why = f" ({reason})" if reason else ""
    if not gap <= tol:
        raise AssertionError(f"{name}: the two sides differ by {gap:.3g}, allowed {tol:.3g}{why}")
    print(f"ok  {name}: difference at most {tol:.3g}{why}")


def check_range(name: str, value: Any, low: float | None = None, high: float | None = None, reason: str | None = None) -> None:
    """Print one line if low <= value <= high, raise AssertionError if not: for orderings and for bands of random results.

    Leave out the end that does not matter: `check_range("gain over bicubic in dB", gain, low=1.5)`.
    """
    if low is None and high is None:
        fail("no band", "low, high or both", 'check_range("gain", gain, low=1.5)')
    number = float(value)
    band = f"at least {low:.3g}" if high is None else f"at most {high:.3g}" if low is None else f"between {low:.3g} and {high:.3g}"
    why = f" ({reason})" if reason else ""
    if not (-math.inf if low is None else low) <= number <= (math.inf if high is None else high):
        raise AssertionError(f"{name}: {number:.4g}, expected {band}{why}")
    print(f"ok  {name}: {band}{why}")


def parity(mine: Any, library: Any, tol: float = 1e-10, *, name: str = "same as the library") -> None:
    """Print one line if the notebook's result equals the library's in float64 to `tol`, raise AssertionError if not.

    mine, library: tensors (or lists and dicts of them). TypeError if a tensor is not float64: in float32 an honest
    difference hides in rounding.
    """
    for side, value in (("mine", mine), ("library", library)):
        for x in _tensors(value):
            if x.is_floating_point() and x.dtype != torch.float64:
                fail(f"{side} in {x.dtype}", "torch.float64", "compute both sides from inputs.double()", TypeError)
    check(name, mine, library, tol, "float64")


def _tensors(value: Any) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [value]
    parts = value.values() if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else ()
    return [x for part in parts for x in _tensors(part)]


class Claim:
    """A claim of a paper with its evidence and verdict; displays as a block of HTML and as text/plain."""

    def __init__(self, rows: list[tuple[str, str]], verdict: str) -> None:
        self.rows, self.verdict = rows, verdict

    def __repr__(self) -> str:
        return "\n".join(f"{name}: {value}" for name, value in self.rows)

    def _repr_html_(self) -> str:
        style = f"border-left:6px solid {_EDGES[self.verdict]}"
        return table([(name, [value]) for name, value in self.rows], style=style)


def claim(
    id: Any,
    text: str | None = None,
    locator: str | None = None,
    evidence: Any = None,
    verdict: str | None = None,
    *,
    decidable_at: str | None = None,
) -> Claim:
    """The verdict on one claim of a paper: `claim("MLMC-3", "MCKA gains 1 dB", "MLMC Table 4", {"gain in dB": 0.4}, "holds in part")`.

    The first argument may be a record with the fields id, text, locator, values, verdict, size, command, environment
    (restorekit.experiments.ClaimRecord); what is also given by name wins. evidence: a sentence, or a dict name: number or
    (mean, spread). verdict: "holds", "holds in part", "does not hold here", "undecided", "cannot be tested at this size".
    decidable_at: the smallest size at which the claim can be decided; a smaller run must say "cannot be tested at this size".
    """
    record = None if isinstance(id, str) else id
    get = (lambda name: getattr(record, name, None)) if record is not None else (lambda name: None)
    text, locator = text or get("text"), locator or get("locator")
    evidence, verdict = (get("values") if evidence is None else evidence), verdict or get("verdict")
    check_choice(verdict, VERDICTS, "verdict")
    here = get("size") or size()
    for name, value in (("text", text), ("locator", locator), ("evidence", evidence)):
        if value is None or value == "":
            fail(f"a claim without {name}", "text, locator, evidence and verdict", f"give {name}=...")
    rows = [("claim", f"[{locator}] {text}"), ("evidence", _evidence(evidence)), ("verdict", str(verdict))]
    rows.append(("size", here + (f"; {_decides(here, decidable_at, str(verdict))}" if decidable_at else "")))
    rows += [("command", str(get("command")))] if get("command") else []
    return Claim([("id", str(get("id") if record is not None else id)), *rows], str(verdict))


def _decides(here: str, needed: str, verdict: str) -> str:
    check_choice(needed, SIZES, "decidable_at")
    order = {"paper": len(SIZES), **{name: i for i, name in enumerate(SIZES)}}
    if order.get(here, 0) >= order[needed]:
        return "this size can decide it"
    if verdict not in ("undecided", "cannot be tested at this size"):
        fail(
            f"verdict {verdict!r} from a {here} run",
            f'"undecided" or "cannot be tested at this size": the claim is decidable at {needed}',
            f"run at {needed}, or say so",
        )
    return f"this size cannot decide it, {needed} can"


def _evidence(evidence: Any) -> str:
    if not isinstance(evidence, Mapping):
        return str(evidence)
    return ", ".join(f"{name} = {_number(value)}" for name, value in evidence.items())


def _number(value: Any) -> str:
    """Three digits, with the spread where there is one: (mean, spread) or an experiments.Value."""
    if hasattr(value, "spread"):
        value = value.value if value.spread is None else (value.value, value.spread)
    if isinstance(value, list | tuple) and len(value) == 2:
        return f"{value[0]:.3g} ± {value[1]:.2g}"
    return f"{value:.3g}" if isinstance(value, float) else str(value)
