"""One loop for every method: step, record, stop, save, resume.

Two kinds of method share it.

- Closed-form solvers (HQS, ADMM, PGD, CG): a frozen dataclass of hyper-parameters with `init() -> State` and a pure
  `step(state) -> State`. Everything that changes is a field of the frozen State, random state included.
- Learners (deep image priors, trainers): objects that own modules and optimisers. `step()` takes no state, advances the
  object and returns a frozen, detached snapshot; `state_dict()` and `load_state_dict()` hold modules, optimisers,
  counters and generator states, so that saving and loading continues bitwise on a CPU.

A notebook writes the same loop for both: `for state in islice(iterate(solver), 30): ...`.
"""

from __future__ import annotations

import math
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields, is_dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Protocol

import torch
from torch import Tensor

from .._check import fail
from ._saving import Learner, load_state, save_state

__all__ = ["Diverged", "History", "Learner", "Result", "Solver", "iterate", "load_state", "run", "save_state"]


class Solver(Protocol):
    """A closed-form method: `step` is pure."""

    def init(self) -> Any: ...
    def step(self, state: Any) -> Any: ...


class History:
    """The recorded values of a run: `history["loss"]` is a list, `history.steps` the iterations they belong to."""

    def __init__(self) -> None:
        self.steps: list[int] = []
        self._values: dict[str, list[float | Tensor]] = {}

    def append(self, step: int, values: Mapping[str, float | Tensor]) -> None:
        """Add one row. One-element tensors become floats; larger ones are kept as detached copies on the CPU."""
        if self.steps and set(values) != set(self._values):
            fail(f"values {sorted(values)}", f"the names of the first row, {sorted(self._values)}", "record the same names in each row")
        self.steps.append(step)
        for name, value in values.items():
            self._values.setdefault(name, []).append(_plain(value))

    def __getitem__(self, name: str) -> list[Any]:
        if name not in self._values:
            fail(f"history[{name!r}]", f"the recorded names {sorted(self._values)}", "name it in run(..., record={...})", KeyError)
        return self._values[name]

    def __len__(self) -> int:
        return len(self.steps)

    def __contains__(self, name: object) -> bool:
        return name in self._values

    def __add__(self, other: History) -> History:
        """The rows of both, as after a resumed run."""
        total = History.from_dict(self.to_dict())
        for i, step in enumerate(other.steps):
            total.append(step, {name: other[name][i] for name in other.names})
        return total

    def __repr__(self) -> str:
        return f"History({len(self)} rows of {', '.join(self.names) or 'nothing'})"

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._values)

    def to_dict(self) -> dict[str, Any]:
        """Plain lists, ready for `save_state` or JSON (if only numbers were recorded)."""
        return {"steps": list(self.steps), "values": {name: list(v) for name, v in self._values.items()}}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> History:
        """The inverse of `to_dict`."""
        history = cls()
        history.steps = list(data["steps"])
        history._values = {name: list(v) for name, v in data["values"].items()}
        return history


@dataclass(frozen=True)
class Result:
    """What `run` returns: the last state, the history, and whether the user interrupted it."""

    state: Any
    history: History
    interrupted: bool = False

    @property
    def image(self) -> Tensor:
        """The restored picture, `state.x`."""
        return self.state.x

    @property
    def kernel(self) -> Tensor:
        """The estimated blur kernel, `state.k`; AttributeError for a method that estimates none."""
        return self.state.k


class Diverged(RuntimeError):
    """A state with NaN or infinity. `.iteration` says when; `.result` ends with the last finite state."""

    def __init__(self, message: str, iteration: int, result: Result) -> None:
        super().__init__(message)
        self.iteration = iteration
        self.result = result


def iterate(solver: Solver | Learner, state: Any = None) -> Iterator[Any]:
    """Yield step(state), step(step(state)), ... without end; `state` defaults to `solver.init()`.

    A learner holds its own state: leave `state` out and use `load_state_dict` to resume. Gradients are kept, so that a
    hypergradient can be taken through the steps of a closed-form solver.
    """
    if isinstance(solver, Learner):
        if state is not None:
            fail("a state for a learner", "none: a learner holds its own", "call learner.load_state_dict(...) first", TypeError)
        while True:
            yield solver.step()
    if state is None:
        state = solver.init()
    while True:
        state = solver.step(state)
        yield state


def run(
    solver: Solver | Learner,
    n: int,
    state: Any = None,
    *,
    record: Mapping[str, Callable[[Any], float | Tensor]] | None = None,
    every: int = 1,
    callback: Callable[[int, Any], None] | None = None,
    progress: bool = False,
) -> Result:
    """Advance `solver` by n steps and return Result(state, history, interrupted).

    record: name -> function of the state; evaluated at iterations that are multiples of `every`. callback(i, state) is
    called after each iteration. Iterations count as `state.step` does (1, 2, ... without such a field), so that a
    resumed run records the same rows as an uninterrupted one. progress shows a bar with the remaining time.

    Ctrl-C (the stop button of a notebook) lets the current step finish, then returns what there is with
    `interrupted=True`; a second Ctrl-C stops at once. A learner that has `finished` (true: no more to gain) ends the run before
    its n steps; a resumed one stays finished. Raises Diverged at the first NaN or infinity in a state.
    Closed-form solvers run without gradients; use `iterate` to differentiate through the steps.
    """
    _check_counts(n, every)
    learner = isinstance(solver, Learner)
    if state is None and not learner:
        state = solver.init()  # type: ignore[union-attr]
    history, interrupted = History(), False
    states = iterate(solver, state)
    bar = _progress_bar(n, progress)
    try:
        for i in range(1, n + 1):
            if getattr(solver, "finished", False):
                break
            with _finish_before_interrupt():
                with torch.set_grad_enabled(learner):
                    new = next(states)
                number = getattr(new, "step", i)
                bad = _not_finite(new)
                if bad:
                    raise Diverged(_divergence(solver, number, bad), number, Result(state, history))
                state = new
                if record and number % every == 0:
                    with torch.no_grad():
                        history.append(number, {name: function(state) for name, function in record.items()})
                if callback is not None:  # an empty Trace is falsy
                    callback(number, state)
                bar.update()
    except KeyboardInterrupt:
        interrupted = True
    finally:
        bar.close()
    return Result(state, history, interrupted)


def _plain(value: float | Tensor) -> float | Tensor:
    if isinstance(value, Tensor):
        return value.item() if value.numel() == 1 else value.detach().to("cpu", copy=True)
    return float(value)


def _check_counts(n: int, every: int) -> None:
    if isinstance(n, bool) or not isinstance(n, int) or n < 0:
        fail(f"n={n!r}", "a number of steps, 0 or more", "run(solver, 30)")
    if isinstance(every, bool) or not isinstance(every, int) or every < 1:
        fail(f"every={every!r}", "an integer of at least 1", "every=1 records each iteration")


@contextmanager
def _finish_before_interrupt() -> Iterator[None]:
    """Hold the first Ctrl-C back until the block has ended, so that a learner is never left between two states."""
    ours = threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if not ours:
        yield
        return
    pressed = False

    def hold(signum: int, frame: Any) -> None:
        nonlocal pressed
        if pressed:
            raise KeyboardInterrupt
        pressed = True

    signal.signal(signal.SIGINT, hold)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if pressed:
        raise KeyboardInterrupt


def _progress_bar(n: int, wanted: bool) -> Any:
    """A widget in a notebook, a bar on a terminal, silent elsewhere: a log or a stored page would keep every redraw."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    widget = hasattr(shell, "kernel") and find_spec("ipywidgets") is not None
    tqdm = import_module("tqdm.notebook" if wanted and widget else "tqdm.std").tqdm
    return tqdm(total=n, disable=not (wanted and (widget or sys.stderr.isatty())), leave=False)


def _not_finite(state: Any) -> list[str]:
    """Names of the fields of a state that hold NaN or infinity."""
    if is_dataclass(state):
        return [f.name for f in fields(state) if _bad(getattr(state, f.name))]
    return ["state"] if _bad(state) else []


def _bad(value: Any) -> bool:
    if isinstance(value, Tensor):
        return value.is_floating_point() and not bool(torch.isfinite(value).all())
    if isinstance(value, float):
        return not math.isfinite(value)
    if is_dataclass(value):
        return bool(_not_finite(value))
    if isinstance(value, Mapping):
        return any(map(_bad, value.values()))
    return isinstance(value, list | tuple) and any(map(_bad, value))


def _divergence(solver: Any, iteration: int, bad: list[str]) -> str:
    return (
        f"NaN or infinity in {', '.join(bad)} at iteration {iteration} of {_describe(solver)}. "
        "The error's .result holds the last finite state. Fix: a smaller step or learning rate, or a larger rho."
    )


def _describe(solver: Any) -> str:
    """Class and hyper-parameters in one line: numbers and strings as they are, tensors by shape."""
    names = [f.name for f in fields(solver)] if is_dataclass(solver) else [name for name in vars(solver) if not name.startswith("_")]
    shown = []
    for name in names:
        value = getattr(solver, name)
        if isinstance(value, Tensor) and value.numel() > 1:
            shown.append(f"{name}=tensor{tuple(value.shape)}")
        elif isinstance(value, int | float | str | tuple | None) or is_dataclass(value):
            shown.append(f"{name}={value!r}" if len(repr(value)) <= 200 else f"{name}={type(value).__name__}")
    return f"{type(solver).__name__}({', '.join(shown)})"
