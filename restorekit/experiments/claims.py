"""Claims of the papers and what our numbers say about them. Records are built from executed results, never by hand."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from .._check import check_choice, fail
from ._files import plain, read_json, write_json
from .results import SIZES
from .stamp import data_folder, environment, now

VERDICTS = ("holds", "holds in part", "does not hold here", "undecided", "cannot be tested at this size")
_HOLDS, _PART, _FAILS, _OPEN, _CANNOT = VERDICTS


def verdict_from(margin: float, spread: float | None, *, decidable: bool = True) -> str:
    """The verdict on one inequality: holds if margin >= 2 spread, does not hold here if margin <= -2 spread, else undecided.

    margin: how far the measured quantity lies on the claimed side (negative: on the other). spread: std of that margin over
    seeds; None (a single seed) decides nothing. decidable=False: this size cannot test the claim, whatever the numbers.
    """
    if not decidable:
        return _CANNOT
    if spread is None or not math.isfinite(margin) or not math.isfinite(spread) or abs(margin) < 2 * spread or margin == 0:
        return _OPEN
    return _HOLDS if margin > 0 else _FAILS


def combine_verdicts(parts: Iterable[str]) -> str:
    """The verdict on a claim made of several: all hold -> holds; some -> holds in part; none, but some refuted -> does not hold
    here; otherwise undecided. Parts that this size cannot test count as undecided, unless no part can be tested."""
    kinds = set(parts)
    for kind in kinds:
        check_choice(kind, VERDICTS, "verdict")
    if len(kinds) == 1:
        return kinds.pop()
    if kinds & {_HOLDS, _PART}:
        return _PART
    return _FAILS if _FAILS in kinds else _OPEN


@dataclass(frozen=True)
class Value:
    """A measured number: value, spread (std over seeds, None for a single seed), n (how many runs stand behind it).

    margin=True: the value is the margin of an inequality that the claim states, and takes part in the verdict.
    """

    value: float
    spread: float | None = None
    n: int = 1
    margin: bool = False

    def __post_init__(self) -> None:
        for name in ("value", "spread"):
            number = plain(getattr(self, name), name)
            object.__setattr__(self, name, None if number is None else float(number))
        if self.spread is not None and not self.spread >= 0:
            fail(f"spread={self.spread}", "a standard deviation, 0 or more, or None", "compute it over seeds")


@dataclass(frozen=True)
class ClaimRecord:
    """One claim of a paper with the evidence for or against it.

    id ("M1"), locator ("MLMC Table 1"), text (our words), command (reproduces the numbers), size (smoke, quick, paper),
    values (name -> Value or (value, spread)), verdict (one of five), environment (machine and versions), date. A verdict
    that the margins do not bear is refused: it has to be what `verdict_from` and `combine_verdicts` give, or "cannot be
    tested at this size". `ClaimRecord.decide` computes it.
    """

    id: str
    locator: str
    text: str
    command: str
    size: str
    values: Mapping[str, Value]
    verdict: str
    environment: Mapping[str, Any] = field(default_factory=environment)
    date: str = field(default_factory=now)

    def __post_init__(self) -> None:
        for name in ("id", "locator", "text", "command"):
            if not isinstance(getattr(self, name), str) or not getattr(self, name).strip():
                fail(f"{name}={getattr(self, name)!r}", "text", f"say the {name} of the claim")
        if not self.id.isalnum():
            fail(f"id={self.id!r}", "letters and digits, as in M1", "use the claim's number")
        check_choice(self.size, SIZES, "size")
        check_choice(self.verdict, VERDICTS, "verdict")
        object.__setattr__(self, "values", {name: _value(item) for name, item in self.values.items()})
        expected = _verdict(self.values)
        if self.verdict not in (expected, _CANNOT):
            fail(f"verdict={self.verdict!r} for claim {self.id}", f"{expected!r} by its margins and their spread", "use ClaimRecord.decide")

    @classmethod
    def decide(
        cls, id: str, locator: str, text: str, *, command: str, size: str, values: Mapping[str, Value], decidable: bool = True
    ) -> ClaimRecord:
        """The record with the verdict that its margins bear; decidable=False: this size cannot test the claim."""
        values = {name: _value(item) for name, item in values.items()}
        return cls(id, locator, text, command, size, values, _verdict(values) if decidable else _CANNOT)

    def save(self, folder: str | os.PathLike[str] | None = None) -> Path:
        """Write <folder>/<id>_<size>.json (default data/claims of the project), sealed by a digest; returns the path."""
        content = asdict(self)
        path = Path(folder if folder is not None else data_folder("claims")) / f"{self.id}_{self.size}.json"
        return write_json(path, {**content, "digest": _digest(content)})

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> ClaimRecord:
        """Read one record; ValueError if it was changed by hand or does not bear its verdict."""
        content = read_json(path)
        digest = content.pop("digest", None)
        unknown = set(content) ^ {item.name for item in fields(cls)}
        if unknown or digest != _digest(content):
            fail(
                f"a claim record {path} that no run has written", "a record as saved", f"run again: {content.get('command', 'its command')}"
            )
        return cls(**{**content, "values": {name: Value(**item) for name, item in content["values"].items()}})


def load_claims(folder: str | os.PathLike[str] | None = None) -> list[ClaimRecord]:
    """All records of a folder (default data/claims of the project), by id and size."""
    base = Path(folder if folder is not None else data_folder("claims"))
    return [ClaimRecord.load(path) for path in sorted(base.glob("*.json"))]


def _value(item: Any) -> Value:
    return item if isinstance(item, Value) else Value(*item) if isinstance(item, tuple) else Value(item)


def _verdict(values: Mapping[str, Value]) -> str:
    parts = [verdict_from(item.value, item.spread) for item in values.values() if item.margin]
    return combine_verdicts(parts) if parts else _OPEN


def _digest(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]
