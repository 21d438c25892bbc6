"""Traces: what is kept, for how much memory, and how it is shown."""

from dataclasses import dataclass
from types import SimpleNamespace

import pytest
import torch

from restorekit import gaussian_kernel
from restorekit.solvers import run
from restorekit.teach import Trace, filmstrip

ALT = "five frames of a run, from noise to picture"


@dataclass(frozen=True)
class State:
    x: torch.Tensor
    k: torch.Tensor
    step: int
    loss: float
    name: str = "not kept"


class Halve:
    """A solver of one line: x -> x / 2."""

    def init(self):
        return State(torch.ones(1, 1, 4, 4, requires_grad=True), gaussian_kernel(3, 1.0), 0, 1.0)

    def step(self, state):
        return State(state.x / 2, state.k, state.step + 1, state.loss / 2)


def test_records_a_run():
    trace = Trace(every=3)
    run(Halve(), 10, callback=trace)
    assert trace.steps == [1, 3, 6, 9, 10], "the first, each third, and the newest"
    assert [float(s.x[0, 0, 0, 0]) for s in trace] == [0.5**i for i in trace.steps]
    assert set(vars(trace[0])) == {"step", "x", "k", "loss"}
    assert len(trace[1:3]) == 2 and trace[-1].step == 10 and "5 states" in repr(trace)
    assert bool(Trace()), "an empty trace is still a callback"


def test_keeps_copies_that_do_not_change():
    trace, state = Trace(fields="x"), SimpleNamespace(x=torch.zeros(1, 1, 2, 2, requires_grad=True))
    trace(1, state)
    with torch.no_grad():
        state.x += 1
    assert trace[0].x.sum() == 0 and not trace[0].x.requires_grad


def test_memory_is_bounded_and_states_stay_evenly_spread():
    trace = Trace(fields=("x",), max_mb=0.1)
    for i in range(1, 1001):
        trace(i, SimpleNamespace(x=torch.zeros(1, 1, 32, 32)))
        assert trace.nbytes <= 0.1e6
        assert trace.steps[0] == 1 and trace.steps[-1] == i
        assert trace.steps == sorted(set(trace.steps))
    gaps = torch.tensor(trace.steps).diff()[1:-1]
    assert len(trace) >= 8 and gaps.max() <= 2 * gaps.min()


def test_functions_as_fields_and_unknown_fields():
    trace = Trace(fields={"mean": lambda s: s.x.mean()})
    run(Halve(), 2, callback=trace)
    assert [float(s.mean) for s in trace] == [0.5, 0.25]
    with pytest.raises(ValueError, match="field 'residual'.*x, k, step"):
        Trace(fields=("residual",))(1, Halve().init())


def test_a_second_run_starts_anew():
    trace = Trace()
    run(Halve(), 4, callback=trace)
    run(Halve(), 2, callback=trace)
    assert trace.steps == [1, 2]


@pytest.mark.parametrize("bad", [{"every": 0}, {"every": 1.5}, {"max_mb": 0}])
def test_bad_settings(bad):
    with pytest.raises(ValueError, match="Fix"):
        Trace(**bad)


def test_filmstrip_has_first_and_last_frame_and_one_row_a_field():
    trace = Trace()
    run(Halve(), 20, callback=trace)
    strip = filmstrip(trace, 4, alt=ALT)
    titles = [ax.get_title() for ax in strip.figure.axes]
    assert titles[:4] == ["step 1", "step 7", "step 14", "step 20"] and len(titles) == 8
    assert {ax.images[0].get_clim() for ax in strip.figure.axes[4:]} == {(0, float(gaussian_kernel(3, 1.0).max()))}, "one scale"
    with pytest.raises(ValueError, match="stored tensor"):
        filmstrip(trace, fields=("loss",), alt=ALT)
    with pytest.raises(ValueError, match="empty trace"):
        filmstrip(Trace(), alt=ALT)
