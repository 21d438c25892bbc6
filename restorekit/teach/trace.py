"""What an algorithm went through: stored states, shown as a filmstrip or stepped through."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields as dataclass_fields
from dataclasses import is_dataclass
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from restorekit._check import fail

from ._picture import Picture, check_alt
from .figures import GAP, LINE, WIDEST, Layout, box_of, draw, label, place_kernel, titles_for

Fields = Sequence[str] | Mapping[str, Callable[[Any], Any]] | str | None


class Snapshot(SimpleNamespace):
    """One stored state: `.step` and the chosen fields as attributes (tensors are detached copies on the CPU)."""


class Trace:
    """Keeps every n-th state of a run: `trace = Trace(every=10, fields=("x", "k")); run(solver, 300, callback=trace)`.

    fields: names of attributes of the state, or a dict name: function of the state; default: all its tensors and numbers.
    The newest state is always the last element. Memory stays under `max_mb`: when it is reached every second state is
    dropped and `every` doubles, so that the stored ones stay evenly spread. A step number that does not grow starts the
    trace anew, so that a cell can be run twice. `len(trace)`, `trace[i]`, `trace[1:3]`, `.steps`, `.nbytes`.
    """

    def __init__(self, every: int = 1, fields: Fields = None, *, max_mb: float = 64.0) -> None:
        if isinstance(every, bool) or not isinstance(every, int) or every < 1:
            fail(f"every={every!r}", "an integer of at least 1", "Trace(every=10) keeps each tenth state")
        if not max_mb > 0:
            fail(f"max_mb={max_mb!r}", "a positive number of megabytes", "leave it at its default")
        self.every, self.max_mb = every, max_mb
        self._fields = (fields,) if isinstance(fields, str) else fields
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        self._states: list[Snapshot] = []
        self._kept = 0  # states that stay; one more may follow that the next call replaces

    def __call__(self, i: int, state: Any) -> None:
        """Store the fields of the state of step i (the signature of run's callback)."""
        if self._states and i <= self._states[-1].step:
            self.clear()
        del self._states[self._kept :]
        self._states.append(Snapshot(step=int(i), **{name: _plain(value) for name, value in self._read(state).items()}))
        if self._kept == 0 or i % self.every == 0:
            self._kept = len(self._states)
        while self.nbytes > self.max_mb * 1e6 and self._kept > 2:
            self._thin()

    def _thin(self) -> None:
        newest = self._states[self._kept :]
        kept = self._states[: self._kept : 2]
        self.every *= 2
        dropped_last = [] if newest or (self._kept - 1) % 2 == 0 else self._states[self._kept - 1 : self._kept]
        self._states, self._kept = kept + dropped_last + newest, len(kept)

    def _read(self, state: Any) -> dict[str, Any]:
        if isinstance(self._fields, Mapping):
            return {name: function(state) for name, function in self._fields.items()}
        found = vars(state) if not is_dataclass(state) else {f.name: getattr(state, f.name) for f in dataclass_fields(state)}
        if self._fields is None:
            kept = {n: v for n, v in found.items() if isinstance(v, Tensor | float | int) and n != "step"}
            if not kept:
                fail(f"a {type(state).__name__} without tensors or numbers", "a state with some", "name them: Trace(fields=...)")
            return kept
        missing = [name for name in self._fields if not hasattr(state, name)]
        if missing:
            fail(f"field {missing[0]!r}", f"the fields of the state: {', '.join(found)}", "choose one of these, or hand in name: function")
        return {name: getattr(state, name) for name in self._fields if name != "step"}

    def __len__(self) -> int:
        return len(self._states)

    def __bool__(self) -> bool:
        """True even when empty, so that `if callback:` calls it."""
        return True

    def __getitem__(self, index: Any) -> Any:
        return self._states[index]

    def __iter__(self) -> Iterator[Snapshot]:
        return iter(self._states)

    @property
    def steps(self) -> list[int]:
        """Step numbers of the stored states."""
        return [state.step for state in self._states]

    @property
    def nbytes(self) -> int:
        """Bytes held by the stored tensors."""
        return sum(v.numel() * v.element_size() for s in self._states for v in vars(s).values() if isinstance(v, Tensor))

    def __repr__(self) -> str:
        return f"Trace({len(self)} states, steps {self.steps[0]} to {self.steps[-1]})" if self._states else "Trace(empty)"


def _plain(value: Any) -> Any:
    return value.detach().to("cpu", copy=True) if isinstance(value, Tensor) else value


def key_frames(trace: Sequence[Snapshot] | Trace, n: int) -> list[Snapshot]:
    """n stored states spread evenly over the trace, the first and the last among them."""
    if len(trace) == 0:
        fail("an empty trace", "at least one stored state", "run(solver, n, callback=trace) first")
    picks = torch.linspace(0, len(trace) - 1, min(n, len(trace))).round().long().unique().tolist()
    return [trace[i] for i in picks]


def filmstrip(
    trace: Sequence[Snapshot] | Trace,
    n: int = 5,
    *,
    alt: str,
    fields: Sequence[str] | None = None,
    titles: Callable[[Snapshot], str] | None = None,
    limits: tuple[float, float] = (0.0, 1.0),
    stamp: str | None = None,
) -> Picture:
    """n key frames of a trace side by side, one row a field: pictures on the range `limits`, kernels on one shared scale.

    fields: default "x" and, where stored, "k"; a field named k or kernel* is drawn as a kernel. titles: function of a
    stored state giving the text above its column (default: "step 30").
    """
    alt, frames = check_alt(alt), key_frames(trace, n)
    rows = list(fields or [name for name in ("x", "k") if hasattr(frames[0], name)])
    for name in rows:
        if not isinstance(getattr(frames[0], name, None), Tensor):
            fail(f"field {name!r}", f"a stored tensor: {', '.join(vars(frames[0]))}", "name it in Trace(fields=...)")
    side = min(240, (WIDEST - GAP) // len(frames) - GAP)
    pictures = [getattr(f, name) for f in frames for name in rows if not _is_kernel(name)]
    box = box_of([x.shape for x in pictures], 1, side) if pictures else (side, side)
    heads, title = titles_for([titles(f) if titles else f"step {f.step}" for f in frames], box[1])
    layout = Layout([title] + [LINE + 5] * (len(rows) - 1), len(frames), box, [stamp])
    for r, name in enumerate(rows):
        values = [getattr(f, name) for f in frames]
        top, reach = max(max(float(v.max()) for v in values), 1e-12), max(max(v.shape[-2:]) for v in values) // 2 + 0.5
        for c, value in enumerate(values):
            ax = layout.axes(r, c)
            if _is_kernel(name):
                place_kernel(ax, value[:1], top, reach)
            else:
                draw(ax, value[:1], limits=limits)
            label(ax, heads[c] if r == 0 else (name if c == 0 else ""))
    return Picture(layout.figure, alt=alt)


def _is_kernel(name: str) -> bool:
    return name == "k" or name.startswith("kernel")
