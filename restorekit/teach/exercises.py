"""Exercises that check themselves: untouched stubs do not block a page, known errors get their own hint."""

from __future__ import annotations

import dis
import weakref
from collections.abc import Callable, Mapping, Sequence
from html import escape
from itertools import count
from typing import Any

from restorekit._check import fail

from .checks import difference

_NUMBERS = count()
_LIVE: weakref.WeakSet[Exercise] = weakref.WeakSet()
_STUB = {"RESUME", "NOP", "LOAD_CONST", "RETURN_VALUE", "RETURN_CONST", "COPY_FREE_VARS"}
GOES_ON = "The page goes on with the reference."


class Untouched(Exception):
    """The stub was not changed."""


class Exercise:
    """A task, its checker and its ladder of hints; see `exercise`.

    `task(answer)` prints one line and returns the answer if it is right, the reference if not. `.status` is "not
    attempted", "right", "wrong" or "error". Displayed, it shows the ladder: each hint opens the next.
    """

    def __init__(
        self,
        name: str,
        reference: Any,
        *,
        cases: Sequence[Any],
        wrong: Mapping[str, Any],
        hints: Sequence[str],
        check: Callable[[Any], str | None] | None,
        tol: float,
    ) -> None:
        self.name, self.reference, self.hints, self.tol = name, reference, list(hints), tol
        self.cases = [case if isinstance(case, tuple) else (case,) for case in cases]
        self.wrong, self.custom, self.status = dict(wrong), check, "not attempted"
        self.serial = next(_NUMBERS)
        _LIVE.add(self)

    def __call__(self, answer: Any = ...) -> Any:
        self.status, message = self.judge(answer)
        print(f"Exercise {self.name}: {message}")
        return answer if self.status == "right" else self.reference

    def judge(self, answer: Any) -> tuple[str, str]:
        """(status, the sentence for the learner) without printing."""
        try:
            results = self._results(answer)
            gap, hint = self._gap(results, self.reference), self.custom(answer) if self.custom else None
        except (Untouched, NotImplementedError):
            return "not attempted", f"not attempted. {GOES_ON}"
        except Exception as error:  # whatever a learner's code raises is an answer to explain, not to pass on
            return "error", f"your code stops with {type(error).__name__}: {error} {GOES_ON}"
        if hint is None and isinstance(gap, float) and gap <= self.tol:
            return "right", "right."
        return "wrong", f"not yet: {hint or self._known(results) or self._describe(gap)} {GOES_ON}"

    def _results(self, answer: Any) -> list[Any]:
        if answer is ... or answer is None:
            raise Untouched
        if not callable(self.reference):
            return [answer]
        if not callable(answer):
            raise TypeError(f"expected a function, got {type(answer).__name__}.")
        results = [answer(*_copies(case)) for case in self.cases]
        if any(r is ... for r in results) or (any(r is None for r in results) and _is_stub(answer)):
            raise Untouched
        if any(r is None for r in results):
            raise ValueError("it returns nothing; a `return` is missing.")
        return results

    def _gap(self, results: list[Any], other: Any) -> float | str:
        """Largest difference from what `other` gives, or the sentence that says how the shapes differ."""
        wanted = [other(*_copies(case)) for case in self.cases] if callable(self.reference) else [other]
        try:
            return max(difference(r, w) / max(1.0, _size(w)) for r, w in zip(results, wanted, strict=True))
        except (ValueError, TypeError, RuntimeError) as error:
            return str(error)

    def _known(self, results: list[Any]) -> str | None:
        for hint, wrong in self.wrong.items():
            gap = self._gap(results, wrong)
            if isinstance(gap, float) and gap <= self.tol:
                return hint if hint.endswith((".", "!", "?")) else hint + "."
        return None

    def _describe(self, gap: float | str) -> str:
        return gap if isinstance(gap, str) else f"the result differs from the reference by {gap:.2g}. Open a hint."

    def verify(self) -> None:
        """AssertionError unless the reference passes, a stub is "not attempted", and each known-wrong answer gets its own hint."""
        assert self.judge(self.reference)[0] == "right", f"{self.name}: the reference fails: {self.judge(self.reference)[1]}"
        assert self.judge(...)[0] == "not attempted", f"{self.name}: the stub is not recognised"
        for hint, wrong in self.wrong.items():
            status, message = self.judge(wrong)
            assert status == "wrong" and hint in message, f"{self.name}: the wrong answer {hint!r} was judged {status!r}: {message}"

    def __repr__(self) -> str:
        return f"Exercise {self.name}: {len(self.hints)} hints"

    def _repr_html_(self) -> str:
        ladder = ""
        for number, hint in reversed(list(enumerate(self.hints, 1))):
            head = f"<summary>Hint {number} of {len(self.hints)}</summary>"
            ladder = f"<details style='margin-left:1em'>{head}<p>{escape(hint)}</p>{ladder}</details>"
        return f"<div><b>Exercise: {escape(self.name)}</b>{ladder}</div>"


def _copies(case: tuple[Any, ...]) -> tuple[Any, ...]:
    """Fresh copies of tensors, so that an answer that works in place cannot spoil the reference."""
    return tuple(a.clone() if hasattr(a, "clone") and not hasattr(a, "parameters") and hasattr(a, "shape") else a for a in case)


def _size(value: Any) -> float:
    try:
        return difference(value, 0.0)
    except (ValueError, TypeError, RuntimeError):
        return 1.0


def _is_stub(function: Any) -> bool:
    """True for a body of `...`, `pass` or a docstring only."""
    code = getattr(function, "__code__", None)
    if code is None:
        return False
    return {instruction.opname for instruction in dis.get_instructions(code)} <= _STUB


def exercise(
    name: str,
    reference: Any,
    *,
    hints: Sequence[str],
    wrong: Mapping[str, Any],
    cases: Sequence[Any] = (),
    check: Callable[[Any], str | None] | None = None,
    tol: float = 1e-5,
) -> Exercise:
    """An exercise that checks itself: `task = exercise(...)` shows the hints, `mine = task(mine)` checks and returns what to use.

    reference: the right function, or the right value (number, text, tensor). cases: arguments the function is tried with, a
    tuple each. wrong: two or more, the sentence that names the error -> the function (or value) that makes it. hints: exactly
    three, from a nudge to nearly the answer. check(answer): further test, returns a hint or None. tol: relative to the
    largest entry of the reference. A stub (`...`, NotImplementedError) counts as not attempted and never blocks the page.
    """
    if len(hints) != 3 or len(wrong) < 2:
        fail(
            f"{len(hints)} hints and {len(wrong)} known-wrong answers",
            "3 hints and at least 2 wrong answers",
            "add hints=[nudge, idea, nearly the answer], wrong={...}",
        )
    if callable(reference) and not cases:
        fail("a function without cases", "at least one tuple of arguments", "cases=[(x, k)]")
    return Exercise(name, reference, cases=cases, wrong=wrong, hints=hints, check=check, tol=tol)


def live_exercises() -> list[Exercise]:
    """The exercises of this kernel, in the order they were made."""
    return sorted(_LIVE, key=lambda task: task.serial)


def verify_exercises() -> int:
    """`verify()` every exercise of this kernel; how many there are."""
    for task in live_exercises():
        task.verify()
    return len(live_exercises())
