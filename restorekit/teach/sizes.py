"""One switch for how much a page computes: RESTOREKIT_SIZE = smoke, quick or full. It changes counts, never an algorithm."""

from __future__ import annotations

import os
from html import escape
from typing import Any, TypeVar

import ipywidgets as widgets

from restorekit._check import check_choice

T = TypeVar("T")
SIZES = ("smoke", "quick", "full")
VARIABLE = "RESTOREKIT_SIZE"


def size() -> str:
    """The size this kernel runs in, from RESTOREKIT_SIZE: "smoke" (tests), "quick" (the default) or "full".

    Raises ValueError for any other word.
    """
    chosen = os.environ.get(VARIABLE, "").strip() or "quick"
    check_choice(chosen, SIZES, VARIABLE)
    return chosen


def pick(*, smoke: T, quick: T, full: T) -> T:
    """The one of three values that belongs to the current size: `steps = pick(smoke=5, quick=120, full=1000)`."""
    return {"smoke": smoke, "quick": quick, "full": full}[size()]


def stamp(done: int | None = None, of: int | None = None, unit: str = "iterations") -> str:
    """What a figure or table was made with: `stamp(120, 1000)` is "quick: 120 of 1000 iterations", `stamp()` is "quick"."""
    if done is None:
        return size()
    return f"{size()}: {done} {unit}" if of is None else f"{size()}: {done} of {of} {unit}"


class SizeSwitch(widgets.HBox):
    """Drop-down that sets the size of this kernel; see `size_switch`."""

    def __init__(self) -> None:
        self.choice = widgets.Dropdown(options=SIZES, value=size(), description="size")
        self.note = widgets.HTML(value=self._say())
        self.choice.observe(self._set, names="value")
        super().__init__([self.choice, self.note])

    def _say(self) -> str:
        return f"This page runs in size <b>{escape(size())}</b>."

    def _set(self, change: dict[str, Any]) -> None:
        os.environ[VARIABLE] = change["new"]
        self.note.value = self._say() + " Now run all cells again: menu Run, Run All Cells."

    def _repr_mimebundle_(self, **kwargs: object) -> dict[str, Any]:
        data = dict(super()._repr_mimebundle_(**kwargs) or {})
        data["text/plain"] = f"Size of this page: {size()} (set {VARIABLE}=smoke, quick or full before starting to change it)."
        data["text/html"] = f"<p>{escape(data['text/plain'])}</p>"
        return data


def size_switch() -> SizeSwitch:
    """A drop-down for the top of a page: sets RESTOREKIT_SIZE for this kernel and says to run the cells again.

    Without a live front end a sentence names the size.
    """
    return SizeSwitch()
