"""Finished tables: stamped CSV files that pages read, means with their spread, Markdown."""

from __future__ import annotations

import csv
import hashlib
import io
import math
import os
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .._check import check_choice, fail
from ._files import plain, read_json, write_atomic, write_json
from .stamp import data_folder, environment, now

SIZES = ("smoke", "quick", "paper")
Row = dict[str, Any]


@dataclass(frozen=True)
class Results:
    """A table as it was stored: rows (dicts) and the stamp (size, date, command, seeds, machine, versions)."""

    rows: list[Row]
    stamp: dict[str, Any]


def command_for(name: str, size: str) -> str:
    """The one command that makes a table."""
    return f"python -m restorekit experiments run {name} --size {size}"


def export_results(name: str, size: str, rows: Sequence[Mapping[str, Any]], *, folder: str | os.PathLike[str] | None = None) -> Path:
    """Write rows to <folder>/<name>_<size>.csv and the stamp to the .json beside it; returns the CSV's path.

    folder: data/results of the project by default. Numbers are written so that they read back exactly. ValueError if there
    are no rows.
    """
    check_choice(size, SIZES, "size")
    if not rows:
        fail(f"no rows for table {name}", "at least one finished cell", f"run {command_for(name, size)}")
    columns, text = list(dict.fromkeys(key for row in rows for key in row)), as_csv(rows)
    path = Path(folder if folder is not None else data_folder("results")) / f"{name}_{size}.csv"
    # the stamp goes first: a CSV without its stamp is never seen
    write_json(path.with_suffix(".json"), {**_stamp(name, size, rows, columns), "sha256": _digest(text)})
    return write_atomic(path, text)


def load_results(name: str, size: str = "quick", *, folder: str | os.PathLike[str] | None = None) -> Results:
    """Read what `export_results` wrote; FileNotFoundError that names the command which makes the
    table, ValueError if the CSV is not the one that was stamped."""
    check_choice(size, SIZES, "size")
    return load_file(Path(folder if folder is not None else data_folder("results")) / f"{name}_{size}.csv")


def load_file(path: str | os.PathLike[str]) -> Results:
    """Like `load_results`, of a CSV anywhere, with its stamp (.json) beside it."""
    path = Path(path)
    name, _, size = path.stem.rpartition("_")
    if not path.exists() or not path.with_suffix(".json").exists():
        got = f"no stored table {path.name} in {path.parent}"
        fail(got, "a table that has been run, CSV and JSON", command_for(name or "NAME", size), FileNotFoundError)
    stamp = read_json(path.with_suffix(".json"))
    text = path.read_text(encoding="utf-8")  # line ends of any system become one newline
    if _digest(text) != stamp["sha256"]:
        fail(f"{path.name} that differs from its stamp", "the two as written together by one run", command_for(name, size))
    table = csv.DictReader(io.StringIO(text))
    rows = [{key: _parse(item, stamp["columns"][key]) for key, item in row.items()} for row in table]
    return Results(rows, stamp)


def mean_and_spread(rows: Iterable[Mapping[str, Any]], *, by: Sequence[str], values: Sequence[str], over: str = "seed") -> list[Row]:
    """Mean and seed spread of each group: for each value v, v = mean of all, v_spread = std of the means per seed.

    Rows are grouped by the columns `by`, in order of appearance. The spread (n - 1 in the denominator) is that of the
    group's mean when only `over` changes, which is what a verdict has to be measured against; None with a single seed. n
    counts rows. Rows without the value are left out of its mean.
    """
    groups: dict[tuple[Any, ...], list[Mapping[str, Any]]] = {}
    for row in rows:
        groups.setdefault(tuple(row.get(name) for name in by), []).append(row)
    return [_summary(dict(zip(by, key, strict=True)), group, values, over) for key, group in groups.items()]


def markdown(rows: Sequence[Mapping[str, Any]], *, columns: Sequence[str] | None = None, digits: int = 2) -> str:
    """A Markdown table; a column with its spread becomes "mean ± spread", a missing value "-"; ssim has one digit more."""
    names, numeric, lines = shown_table(rows, columns, digits)
    head = [" | ".join(names), " | ".join("---:" if numeric[name] else "---" for name in names)]
    return "\n".join(f"| {line} |" for line in [*head, *(" | ".join(text.replace("|", "\\|") for text in line) for line in lines)])


def latex(rows: Sequence[Mapping[str, Any]], *, columns: Sequence[str] | None = None, digits: int = 2) -> str:
    """A LaTeX tabular of the same cells as `markdown`; no package is needed."""
    names, numeric, lines = shown_table(rows, columns, digits)
    body = [" & ".join(map(_latex_text, line)) + r" \\" for line in [names, *lines]]
    layout = "".join("r" if numeric[name] else "l" for name in names)
    return "\n".join([rf"\begin{{tabular}}{{{layout}}}", r"\hline", body[0], r"\hline", *body[1:], r"\hline", r"\end{tabular}"])


def as_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """The rows as CSV, numbers in full, spreads in columns of their own."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([_cell_text(row.get(column), column) for column in columns] for row in rows)
    return text.getvalue()


FORMATS = {"markdown": markdown, "csv": as_csv, "latex": latex}


def shown_table(
    rows: Sequence[Mapping[str, Any]], columns: Sequence[str] | None, digits: int
) -> tuple[list[str], dict[str, bool], list[list[str]]]:
    """Column names without those of spreads, which of them hold numbers, and each row as text."""
    names = list(columns) if columns is not None else list(dict.fromkeys(key for row in rows for key in row))
    names = [name for name in names if not (name.endswith("_spread") and name.removesuffix("_spread") in names)]
    numeric = {name: any(isinstance(row.get(name), (int, float)) for row in rows) for name in names}
    lines = [[_shown(row.get(name), row.get(f"{name}_spread"), digits + name.startswith("ssim")) for name in names] for row in rows]
    return names, numeric, lines


def _latex_text(text: str) -> str:
    special = {"\\": r"\textbackslash{}", "±": r"$\pm$", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    text = "".join(special.get(c, "\\" + c if c in "&%$#_{}" else c) for c in text)
    return f"$-${text[1:]}" if text[:1] == "-" and text[1:2].isdigit() else text


def _stamp(name: str, size: str, rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> dict[str, Any]:
    return {
        "table": name,
        "size": size,
        "date": now(),
        "command": command_for(name, size),
        "seeds": sorted({row["seed"] for row in rows if row.get("seed") is not None}),
        "rows": len(rows),
        "cpu_seconds": round(sum(float(row.get("cpu_seconds") or 0) for row in rows), 1),
        "environment": environment(),
        "columns": {column: _kind([row.get(column) for row in rows]) for column in columns},
    }


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _kind(values: Iterable[Any]) -> str:
    kinds = {type(value) for value in values if value is not None}
    if kinds <= {bool}:
        return "bool"
    if kinds <= {int}:
        return "int"
    return "float" if kinds <= {int, float} else "text"


def _cell_text(value: Any, name: str) -> str:
    if isinstance(value, (list, tuple, Mapping)):  # a parameter with structure
        return str(value)
    value = plain(value, name)
    return "" if value is None else repr(value) if isinstance(value, float) else str(value)


def _parse(text: str, kind: str) -> Any:
    if text == "":
        return "" if kind == "text" else None
    return {"bool": lambda: text == "True", "int": lambda: int(text), "float": lambda: float(text), "text": lambda: text}[kind]()


def _summary(key: Row, group: Sequence[Mapping[str, Any]], values: Sequence[str], over: str) -> Row:
    row = dict(key)
    for name in values:
        by_seed: dict[Any, list[float]] = {}
        for item in group:
            if item.get(name) is not None:
                by_seed.setdefault(item.get(over), []).append(float(item[name]))
        every = [value for part in by_seed.values() for value in part]
        means = [statistics.fmean(part) for part in by_seed.values()]
        row[name] = statistics.fmean(every) if every else None
        row[f"{name}_spread"] = statistics.stdev(means) if len(means) > 1 else None
    return row | {"n": len(group)}


def _shown(value: Any, spread: Any, digits: int) -> str:
    if value is None or value == "":
        return "-"
    if not isinstance(value, float):
        return str(value)
    text = f"{value:.{digits}f}"
    return f"{text} ± {spread:.{digits}f}" if isinstance(spread, float) and math.isfinite(spread) else text
