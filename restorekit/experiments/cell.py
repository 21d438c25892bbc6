"""A cell: one number-producing run of one table, named by the hash of its content."""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from types import MappingProxyType
from typing import Any

from .._check import fail
from ._files import plain

SCHEMA = 1  # part of each id: raise it when the meaning of a stored result changes, and nothing old is reused


@dataclass(frozen=True, eq=False)
class Cell:
    """One cell of a table: id = first 16 hex digits of SHA-256(canonical JSON of the content and the schema version).

    Canonical means: sorted keys, no blanks, 2.0 written as 2, tuples as lists, text in Unicode normal form C. The id is
    therefore the same in each process, on each platform and for each order of `params`. Two cells with one id are equal.

    `degradation` and the values in `params` are text, finite numbers, bools, None, or lists and mappings of these;
    TypeError or ValueError otherwise.
    """

    table: str
    method: str
    dataset: str = ""
    image: str = ""
    degradation: Any = ""
    seed: int = 0
    params: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("table", "method", "dataset", "image"):
            if not isinstance(getattr(self, name), str):
                fail(f"{name}={getattr(self, name)!r}", "text", f"{name}=str(...)", TypeError)
        if not self.table or set(self.table) & set("/\\:") or self.table.startswith("."):
            fail(f"table={self.table!r}", "a name that can be a folder's", "use letters, digits and underscores")
        if isinstance(self.seed, bool) or not isinstance(plain(self.seed, "seed"), int):
            fail(f"seed={self.seed!r}", "an integer", "seed=0", TypeError)
        if not isinstance(self.params, Mapping):
            fail(f"params of type {type(self.params).__name__}", "a mapping", "params={'T': 10}", TypeError)
        object.__setattr__(self, "seed", plain(self.seed, "seed"))
        object.__setattr__(self, "degradation", _freeze(self.degradation, "degradation"))
        object.__setattr__(self, "params", _freeze(self.params, "params"))

    def to_dict(self) -> dict[str, Any]:
        """The fields as plain lists, dicts, numbers and text."""
        return {item.name: _thaw(getattr(self, item.name)) for item in fields(self)}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Cell:
        """The inverse of `to_dict`; keys that are no field (id, schema) are left aside."""
        return cls(**{item.name: content[item.name] for item in fields(cls) if item.name in content})

    @cached_property
    def id(self) -> str:
        """16 hex digits that name the content."""
        text = json.dumps(_canonical({"schema": SCHEMA, **self.to_dict()}), sort_keys=True, separators=(",", ":"), allow_nan=False)
        return hashlib.sha256(text.encode("ascii")).hexdigest()[:16]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Cell) and self.id == other.id

    def __hash__(self) -> int:
        return hash(self.id)

    def __reduce__(self) -> tuple[Any, ...]:  # read-only mappings do not pickle
        return Cell.from_dict, (self.to_dict(),)


def grid(**axes: Any) -> list[Cell]:
    """The product of the axes as cells, the last axis fastest.

    A list, tuple or range is an axis; anything else is one fixed value. An axis that is no field of `Cell` goes into
    `params`: grid(table="t", method=["mlmc", "bicubic"], seed=range(3), T=[5, 10]) has 12 cells.
    """
    own = {item.name for item in fields(Cell)}
    choices = [list(value) if isinstance(value, (list, tuple, range)) else [value] for value in axes.values()]
    cells = []
    for values in itertools.product(*choices):
        point = dict(zip(axes, values, strict=True))
        extra = {name: value for name, value in point.items() if name not in own}
        known = {name: value for name, value in point.items() if name in own}
        cells.append(Cell(**{**known, "params": {**known.get("params", {}), **extra}}))
    return cells


def _freeze(value: Any, name: str) -> Any:
    if isinstance(value, Mapping):
        if not all(isinstance(key, str) for key in value):
            fail(f"{name} with keys {list(value)!r}", "text keys", "name each parameter", TypeError)
        return MappingProxyType({key: _freeze(item, f"{name}[{key!r}]") for key, item in value.items()})
    if isinstance(value, (list, tuple)):
        return tuple(_freeze(item, f"an entry of {name}") for item in value)
    value = plain(value, name)
    if isinstance(value, float) and not math.isfinite(value):
        fail(f"{name}={value}", "finite numbers: a cell is named by its content", "leave it out, or use None")
    return value


def _thaw(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _thaw(item) for key, item in value.items()}
    return [_thaw(item) for item in value] if isinstance(value, tuple) else value


def _canonical(value: Any) -> Any:
    if isinstance(value, dict):
        return {unicodedata.normalize("NFC", key): _canonical(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_canonical(item) for item in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return unicodedata.normalize("NFC", value) if isinstance(value, str) else value
