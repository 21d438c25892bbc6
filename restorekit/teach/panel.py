"""What every widget with a picture shares: controls, redrawing, errors under the picture, a static copy, driving by tests."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from html import escape
from itertools import count
from typing import Any

import ipywidgets as widgets

from ._picture import bundle

_NUMBERS = count()
_LIVE: weakref.WeakSet[Panel] = weakref.WeakSet()


class Panel(widgets.VBox):
    """Controls above a picture. `.controls` is a dict name: widget, `.frame` the PNG bytes, `.alt` its text, `.error` a message.

    `render()` of a subclass returns (PNG bytes, alt text). An error in it is shown, escaped, under the last good picture.
    """

    def __init__(
        self, controls: dict[str, widgets.Widget], *, text: str, question: str | None = None, extra: tuple[widgets.Widget, ...] = ()
    ) -> None:
        self.controls, self.text, self.error, self.alt = controls, text, "", ""
        self.serial, self._silent = next(_NUMBERS), False
        self.defaults = {name: control.value for name, control in controls.items()}
        # flex-start: a box stretches its children, which would blur the pixels
        self.image = widgets.Image(format="png", layout=widgets.Layout(align_self="flex-start", max_width="100%"))
        self.spoken, self.message = widgets.HTML(), widgets.HTML()
        self.display(*self.render())
        for control in controls.values():
            control.observe(self._moved, names="value")
        head = [widgets.HTMLMath(f"<b>{escape(question)}</b>")] if question else []
        super().__init__([*head, *controls.values(), *extra, self.image, self.spoken, self.message])
        _LIVE.add(self)

    def render(self) -> tuple[bytes, str]:
        """PNG bytes and alt text for the present values."""
        raise NotImplementedError

    @property
    def frame(self) -> bytes:
        """The picture on the screen, as PNG bytes."""
        return bytes(self.image.value)

    @property
    def values(self) -> dict[str, Any]:
        """What the controls are set to."""
        return {name: control.value for name, control in self.controls.items()}

    def redraw(self) -> None:
        """Draw again; an error is shown under the picture and kept in `.error`."""
        try:
            frame, alt = self.render()
        except Exception as error:  # a widget callback must not die silently in the kernel's log
            self.say(error)
            return
        self.error = self.message.value = ""
        self.display(frame, alt)

    def display(self, frame: bytes, alt: str) -> None:
        """Put a picture and its alt text on the screen."""
        self.image.value, self.alt = frame, alt
        # an Image widget has no alt attribute, and its view fails in JupyterLab with a tooltip: text for screen readers only
        self.spoken.value = f'<span role="status" style="position: absolute; clip-path: inset(50%); width: 1px">{escape(alt)}</span>'

    def say(self, error: Exception) -> None:
        """Show an error, escaped, under the picture and keep it in `.error`."""
        self.error = f"{type(error).__name__}: {error}"
        self.message.value = f'<pre role="alert" style="white-space: pre-wrap; color: #A33B00">{escape(self.error)}</pre>'

    def reset(self, *_: object) -> None:
        """Set every control to its default, then draw once."""
        with self.quiet():
            for name, value in self.defaults.items():
                self.controls[name].value = value
        self.redraw()

    @contextmanager
    def quiet(self) -> Iterator[None]:
        """Context in which moving a control does not draw."""
        self._silent = True
        try:
            yield
        finally:
            self._silent = False

    def _moved(self, change: dict[str, Any]) -> None:
        if not self._silent:
            self.redraw()

    def drive(self) -> Iterator[tuple[str, Any]]:
        """Move each control to its least, first and largest value (each option of a list) and yield (name, value).

        AssertionError if the picture does not change or an error is shown. Ends where it began.
        """
        self.reset()
        for name, control in self.controls.items():
            for value in _stops(control, self.defaults[name]):
                if value != control.value:
                    yield from self.moved(name, value, partial(setattr, control, "value", value))

    def moved(self, name: str, value: Any, act: Callable[[], None]) -> Iterator[tuple[str, Any]]:
        """Do act() and yield (name, value) if it changed the picture without an error, AssertionError otherwise."""
        before = self.frame
        act()
        assert not self.error, f"{self.text}: {name} = {value!r}: {self.error}"
        assert self.frame != before, f"{self.text}: the picture did not change when {name} went to {value!r}"
        yield name, value

    def close(self) -> None:
        """Close the widget and forget it."""
        _LIVE.discard(self)
        super().close()

    def _repr_mimebundle_(self, **kwargs: object) -> tuple[dict[str, Any], dict[str, Any]]:
        static, metadata = bundle(self.frame, self.alt, self.text)
        return {**(super()._repr_mimebundle_(**kwargs) or {}), **static}, metadata


def _stops(control: widgets.Widget, default: Any) -> list[Any]:
    if hasattr(control, "min") and hasattr(control, "max"):
        ends = [control.min, control.max]
        if isinstance(control, widgets.FloatLogSlider):
            ends = [control.base**end for end in ends]
        return [ends[0], default, ends[1], default]
    if isinstance(control, widgets.Checkbox | widgets.ToggleButton):
        return [not default, default]
    if hasattr(control, "options"):
        return [*(option[1] if isinstance(option, tuple) else option for option in control.options), default]
    raise TypeError(f"Got a control {type(control).__name__}. Allowed: sliders, lists, checkboxes. Fix: give the panel its own drive().")


def button(text: str, action: Callable[..., Any], tip: str = "") -> widgets.Button:
    """A small button that calls action() when it is pressed."""
    made = widgets.Button(description=text, tooltip=tip or text, layout=widgets.Layout(width="auto", align_self="flex-start"))
    made.on_click(lambda _: action())
    return made


def live_widgets() -> list[Panel]:
    """The widgets with pictures that exist in this kernel, in the order they were made."""
    return sorted(_LIVE, key=lambda panel: panel.serial)


def drive_all() -> int:
    """Drive every live widget through the ends of all its controls; the number of pictures that changed as they should.

    AssertionError names the widget, the control and the value that failed or left the picture unchanged.
    """
    return sum(1 for panel in live_widgets() for _ in panel.drive())
