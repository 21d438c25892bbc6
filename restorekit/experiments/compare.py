"""Two stored runs of one table side by side."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from .._check import fail

Row = dict[str, Any]


def keys_of(rows: Sequence[Mapping[str, Any]], settings: Collection[str] = ()) -> tuple[list[str], list[str]]:
    """What names a row of a summary: the columns before the first measured one, and all that are settings; and what is measured.

    A column is measured if it has a spread beside it, or holds fractions (numbers, or text that is one) and is none of the `settings`;
    so is every column of numbers behind it that is no setting. `n` counts and is neither.
    """
    columns = [name for name in dict.fromkeys(key for row in rows for key in row) if name != "n" and not name.endswith("_spread")]

    def measured(name: str) -> bool:
        return any(f"{name}_spread" in row or _fraction(row.get(name)) for row in rows)

    start = next((i for i, name in enumerate(columns) if name not in settings and measured(name)), len(columns))
    names = [name for i, name in enumerate(columns) if i < start or name in settings]
    return names, [name for name in columns if name not in names and any(_number(row.get(name)) is not None for row in rows)]


def settings_of(rows: Sequence[Mapping[str, Any]]) -> set[str]:
    """The columns of a stored table that say what was run: all before cpu_seconds, in the order that the store writes."""
    found: set[str] = set()
    for row in rows:
        names = list(row)
        found.update(names[: names.index("cpu_seconds")] if "cpu_seconds" in names else ())
    return found


def compare_runs(first: Sequence[Mapping[str, Any]], second: Sequence[Mapping[str, Any]], *, settings: Collection[str] = ()) -> list[Row]:
    """One row for each row and measured column of two summaries: both values with their spreads, second - first, and what is missing.

    beyond: |difference| over the spread of the difference, sqrt(s1^2 + s2^2); None where a spread is missing or 0. missing: "first"
    or "second" where that run has no such row or no number there. ValueError if the two share no column that names rows.
    """
    names, measured = keys_of([*first, *second], settings)
    if not names or not measured:
        fail("summaries without names or numbers", "two summaries of one table", "compare the rows themselves")
    one, two = ({tuple(row.get(name) for name in names): row for row in rows} for rows in (first, second))
    found = []
    for key in dict.fromkeys([*one, *two]):
        for column in measured:
            a, b = (_number(rows.get(key, {}).get(column)) for rows in (one, two))
            if a is None and b is None:
                continue
            spreads = [_number(rows.get(key, {}).get(f"{column}_spread")) for rows in (one, two)]
            row: Row = {**dict(zip(names, key, strict=True)), "value": column}
            row |= {"first": a, "first_spread": spreads[0], "second": b, "second_spread": spreads[1]}
            found.append(row | _difference(a, b, spreads))
    return found


def _difference(a: float | None, b: float | None, spreads: Sequence[float | None]) -> Row:
    if a is None or b is None:
        return {"difference": None, "beyond": None, "missing": "first" if a is None else "second"}
    s, t = spreads
    both = math.hypot(s, t) if s is not None and t is not None else 0.0
    return {"difference": b - a, "beyond": abs(b - a) / both if both else None, "missing": ""}


def _fraction(value: Any) -> bool:
    return isinstance(value, float) or (isinstance(value, str) and bool(set(value) & set(".e")) and _number(value) is not None)


def _number(value: Any) -> float | None:
    """A finite number, or text that is one, as float; None for everything else."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        number = float(value)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
