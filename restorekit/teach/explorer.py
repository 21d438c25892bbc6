"""Look at a fast computation through 1 to 3 controls."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from math import log10
from typing import Any

import ipywidgets as widgets

from restorekit._check import fail

from ._picture import Drawing, drawn
from .panel import Panel, button

FAST = 0.1  # seconds: below, the picture follows a slider while it moves
_WIDE = {"layout": widgets.Layout(width="28em"), "style": {"description_width": "11em"}}


@dataclass(frozen=True)
class Control:
    """A labelled control: a range (lo, hi, step) or `options` (a list, or a dict label: value), with label and unit.

    `Control(0.5, 5, 0.1, default=2, label="width", unit="px")`, `Control(options=["circular", "reflect"], label="padding")`,
    `Control(1e-4, 1e-1, log=True, label="rho")` moves in factors.
    """

    lo: float = 0.0
    hi: float = 1.0
    step: float = 0.1
    default: Any = None
    label: str | None = None
    unit: str = ""
    options: Any = None
    log: bool = False

    def widget(self, name: str) -> widgets.Widget:
        """The ipywidgets control for the parameter `name`."""
        label = (self.label or name.replace("_", " ")) + (f" ({self.unit})" if self.unit else "")
        if self.options is not None:
            return _choice(label, self.options, self.default)
        if not self.lo < self.hi or self.step <= 0 or (self.log and self.lo <= 0):
            fail(
                f"{name}: lo={self.lo}, hi={self.hi}, step={self.step}",
                "lo < hi and step > 0 (lo > 0 with log=True)",
                "give (lo, hi, step[, default])",
            )
        default = self.lo if self.default is None else self.default
        if not self.lo <= default <= self.hi:
            fail(f"{name}: default {default}", f"{self.lo} to {self.hi}", "choose a default inside the range")
        if self.log:
            return _log_slider(label, self.lo, self.hi, default)
        kind = widgets.IntSlider if all(isinstance(v, int) for v in (self.lo, self.hi, self.step, default)) else widgets.FloatSlider
        return kind(value=default, min=self.lo, max=self.hi, step=self.step, description=label, **_WIDE)


def _choice(label: str, options: Any, default: Any) -> widgets.Dropdown:
    pairs = list(options.items()) if isinstance(options, Mapping) else [(str(option), option) for option in options]
    values = [value for _, value in pairs]
    if len(pairs) < 2 or (default is not None and default not in values):
        fail(f"options {options!r} with default {default!r}", "two or more options, the default among them", "list what can be chosen")
    return widgets.Dropdown(options=pairs, value=values[0] if default is None else default, description=label, **_WIDE)


def _log_slider(label: str, lo: float, hi: float, default: float) -> widgets.FloatLogSlider:
    return widgets.FloatLogSlider(value=default, min=log10(lo), max=log10(hi), step=0.05, description=label, readout_format=".2g", **_WIDE)


def as_control(name: str, given: Any) -> widgets.Widget:
    """The widget for what a page wrote: (lo, hi, step[, default]), a list, a dict, True/False or a Control."""
    if isinstance(given, Control):
        return given.widget(name)
    if isinstance(given, bool):
        return widgets.Checkbox(value=given, description=name.replace("_", " "), **_WIDE)
    if isinstance(given, tuple) and len(given) in (3, 4) and all(isinstance(v, int | float) for v in given):
        return Control(*given).widget(name)
    if isinstance(given, list | Mapping):
        return Control(options=given).widget(name)
    fail(
        f"{name}={given!r}",
        "(lo, hi, step[, default]), a list, a dict, True/False or Control(...)",
        f"for example {name}=(0.5, 5.0, 0.1, 2.0)",
        TypeError,
    )
    raise AssertionError


class Explorer(Panel):
    """Controls, a Reset button and the picture that `function(**values)` draws; see `explore`."""

    def __init__(
        self, function: Drawing, controls: dict[str, widgets.Widget], *, alt: str | None, question: str | None, slow: bool | None
    ) -> None:
        self.function, self._alt = function, alt
        start = time.perf_counter()
        names = ", ".join(control.description for control in controls.values())
        super().__init__(
            controls, text=f"Explorer of {names}", question=question, extra=(button("Reset", self.reset, "back to the first values"),)
        )
        slow = time.perf_counter() - start > FAST if slow is None else slow
        for control in controls.values():
            if hasattr(control, "continuous_update"):
                control.continuous_update = not slow

    def render(self) -> tuple[bytes, str]:
        return drawn(self.function(**self.values), self._alt)


def explore(
    function: Drawing, /, *, alt: str | None = None, question: str | None = None, slow: bool | None = None, **controls: Any
) -> Explorer:
    """Widget that redraws `function(**values)` when a control moves: `explore(draw, sigma=(0.5, 5.0, 0.1, 2.0))`.

    function returns a picture of restorekit.teach (`show(...)`, `plot_lines(...)`) with its own alt text, or a bare Figure,
    then `alt` is needed. controls: 1 to 3, each (lo, hi, step[, default]), a list, a dict label: value, True/False or a
    Control with label and unit. question: the question this widget answers, printed above it. slow: redraw only when the
    slider is let go (default: measured). An error while exploring is shown under the picture; with the first values it is raised.
    """
    if not 1 <= len(controls) <= 3:
        fail(f"{len(controls)} controls", "1 to 3: more cannot be explored by hand", "fix the other parameters in the function")
    made = {name: as_control(name, given) for name, given in controls.items()}
    return Explorer(function, made, alt=alt, question=question, slow=slow)
