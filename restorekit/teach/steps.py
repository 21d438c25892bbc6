"""Step through the stored states of an algorithm."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import ipywidgets as widgets

from restorekit._check import fail

from ._picture import Drawing, drawn
from .panel import Panel, button
from .trace import Snapshot, Trace


class Stepper(Panel):
    """Slider, Prev, Next, Play and Reset over stored states; see `stepper`."""

    def __init__(self, trace: Sequence[Snapshot] | Trace, draw: Drawing, *, alt: str | None, question: str | None, interval: int) -> None:
        self.states, self.draw, self._alt = list(trace), draw, alt
        last = len(self.states) - 1
        slider = widgets.IntSlider(value=0, min=0, max=last, description="state", layout=widgets.Layout(width="28em"))
        self.play = widgets.Play(value=0, min=0, max=last, interval=interval, description="Play")
        self.link = widgets.link((self.play, "value"), (slider, "value"))
        self.place = widgets.Label()
        buttons = [button("Prev", lambda: self.go(-1), "one state back"), button("Next", lambda: self.go(1), "one state on"), self.play]
        buttons += [button("Reset", self.reset, "back to the first state"), self.place]
        super().__init__({"state": slider}, text=f"Stepper over {last + 1} states", question=question, extra=(widgets.HBox(buttons),))

    def go(self, by: int) -> None:
        """Move by so many states; stops at the ends."""
        slider = self.controls["state"]
        slider.value = min(max(slider.value + by, slider.min), slider.max)

    @property
    def state(self) -> Any:
        """The stored state on the screen."""
        return self.states[self.controls["state"].value]

    def render(self) -> tuple[bytes, str]:
        self.place.value = f"step {self.state.step} of {self.states[-1].step}"
        return drawn(self.draw(self.state), self._alt)


def stepper(
    trace: Sequence[Snapshot] | Trace,
    draw: Callable[[Any], Any],
    *,
    alt: str | None = None,
    question: str | None = None,
    interval: int = 600,
) -> Stepper:
    """Prev / Next / Play / slider / Reset over the stored states of a trace; `draw(state)` returns a picture or a Figure.

    state has `.step` and the fields that the Trace kept. Nothing is computed but the drawing. alt: needed if draw returns a
    bare Figure. interval: milliseconds between the states while playing. Raises ValueError for fewer than two states.
    """
    if len(trace) < 2:
        fail(f"{len(trace)} stored states", "2 or more", "run(solver, n, callback=trace) with n > trace.every, then step")
    return Stepper(trace, draw, alt=alt, question=question, interval=interval)
