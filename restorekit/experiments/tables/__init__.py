"""The tables that can be run: each module of this folder is one, found by its file.

A table module has NAME (its file's name), SIZES (those it offers, of smoke, quick, paper), cells(size) -> list[Cell],
run(cell) -> dict of numbers and text, summarize(rows) -> rows to print, and a docstring whose first line says what it shows.
It may have claims(rows, size) -> list[ClaimRecord]: what the finished table says of the papers' claims, saved with it.
"""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules
from typing import Any

from ..._check import check_choice, fail

_PARTS = ("NAME", "SIZES", "cells", "run", "summarize")


def names() -> list[str]:
    """The names of all tables, sorted; nothing is imported."""
    return sorted(item.name for item in iter_modules(__path__) if not item.name.startswith("_"))


def load(name: str) -> Any:
    """The module of one table; ValueError that lists the tables if there is none of that name."""
    check_choice(name, names(), "table")
    module = import_module(f".{name}", __name__)
    if missing := [part for part in _PARTS if not hasattr(module, part)]:
        fail(
            f"table {name} without {', '.join(missing)}",
            f"a module with {', '.join(_PARTS)}",
            f"add them to {module.__file__}",
            AttributeError,
        )
    return module


def purpose(name: str) -> str:
    """The first line of a table's docstring."""
    return (load(name).__doc__ or name).strip().splitlines()[0]
