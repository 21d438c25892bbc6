"""The common loop: manual stepping equals run, interrupt and resume are bitwise, divergence is named."""

from __future__ import annotations

import os
import pickle
import signal
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from restorekit.solvers.base import Diverged, History, Result, iterate, load_state, run, save_state


@dataclass(frozen=True)
class HalfState:
    x: Tensor
    step: int = 0


@dataclass(frozen=True)
class Half:
    """x <- factor x."""

    factor: float = 0.5
    start: Tensor = field(default_factory=lambda: torch.ones(1, 1, 2, 2))

    def init(self) -> HalfState:
        return HalfState(self.start)

    def step(self, state: HalfState) -> HalfState:
        return HalfState(self.factor * state.x, state.step + 1)


@dataclass(frozen=True)
class Snapshot:
    step: int
    x: Tensor
    loss: float


class TinyLearner:
    """A noisy least-squares fit by Adam: module, optimiser, counter and generator all matter for a bitwise resume."""

    def __init__(self, seed: int = 0, lr: float = 0.05) -> None:
        self.generator = torch.Generator().manual_seed(seed)
        self.lr = lr
        self.net = torch.nn.Linear(3, 2)
        with torch.no_grad():
            for p in self.net.parameters():
                p.copy_(torch.randn(p.shape, generator=self.generator))
        self.optimizer = torch.optim.Adam(self.net.parameters(), lr=lr)
        self.count = 0

    def step(self) -> Snapshot:
        inputs = torch.randn(5, 3, generator=self.generator)
        loss = (self.net(inputs) - inputs[:, :2]).square().sum()
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.count += 1
        return Snapshot(self.count, self.net.weight.detach().clone(), loss.item())

    def state_dict(self) -> dict[str, Any]:
        return {
            "net": self.net.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "count": self.count,
            "generator": self.generator.get_state(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.net.load_state_dict(state["net"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.count = state["count"]
        self.generator.set_state(state["generator"])


LOSS = {"loss": lambda s: s.loss}


def test_run_equals_manual_stepping_and_islice() -> None:
    solver = Half()
    state = solver.init()
    for _ in range(4):
        state = solver.step(state)
    result = run(solver, 4)
    assert torch.equal(result.image, state.x) and torch.equal(list(islice(iterate(solver), 4))[-1].x, state.x)
    assert not result.interrupted and len(result.history) == 0


def test_zero_steps_return_the_start() -> None:
    assert torch.equal(run(Half(), 0).image, Half().start)


def test_record_every_and_callback_numbers() -> None:
    seen: list[int] = []
    record = {"max": lambda s: s.x.max(), "picture": lambda s: s.x}
    result = run(Half(), 5, record=record, every=2, callback=lambda i, s: seen.append(i))
    assert seen == [1, 2, 3, 4, 5]
    assert result.history.steps == [2, 4] and result.history["max"] == [0.25, 0.0625]
    assert result.history["picture"][0].shape == (1, 1, 2, 2) and "max" in result.history


def test_pure_resume_records_the_same_rows(tmp_path: Path) -> None:
    record = {"max": lambda s: s.x.max()}
    whole = run(Half(), 7, record=record, every=2)
    first = run(Half(), 3, record=record, every=2)
    save_state(tmp_path / "s.pt", first.state)
    second = run(Half(), 4, load_state(tmp_path / "s.pt", HalfState), record=record, every=2)
    assert torch.equal(whole.image, second.image) and second.state.step == 7
    assert (first.history + second.history).to_dict() == whole.history.to_dict()


def test_learner_resume_is_bitwise(tmp_path: Path) -> None:
    whole = run(TinyLearner(), 20, record=LOSS)
    learner = TinyLearner()
    first = run(learner, 8, record=LOSS)
    save_state(tmp_path / "s.pt", learner.state_dict())
    fresh = load_state(tmp_path / "s.pt", TinyLearner(seed=99))
    second = run(fresh, 12, record=LOSS)
    assert torch.equal(whole.state.x, second.state.x)
    assert (first.history + second.history).to_dict() == whole.history.to_dict()


@pytest.mark.skipif(os.name == "nt", reason="raise_signal of SIGINT cannot be held back there")
def test_interrupt_inside_a_learner_step_finishes_the_step_and_resumes_bitwise(tmp_path: Path) -> None:
    class Interrupted(TinyLearner):
        def step(self) -> Snapshot:
            if self.count == 5:
                signal.raise_signal(signal.SIGINT)  # Ctrl-C in the middle of a step
            return super().step()

    learner = Interrupted()
    first = run(learner, 20, record=LOSS)
    assert first.interrupted and first.state.step == 6 and first.history.steps[-1] == 6
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    save_state(tmp_path / "s.pt", learner)
    second = run(load_state(tmp_path / "s.pt", TinyLearner(seed=3)), 14)
    assert torch.equal(second.state.x, run(TinyLearner(), 20).state.x)


def test_second_interrupt_stops_at_once() -> None:
    class Stubborn(TinyLearner):
        def step(self) -> Snapshot:
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)
            raise AssertionError("not reached")

    assert run(Stubborn(), 3).interrupted


def test_callback_that_is_still_empty_is_called() -> None:
    class Kept(list[int]):
        def __call__(self, i: int, state: object) -> None:
            self.append(i)

    kept = Kept()
    run(Half(), 3, callback=kept)
    assert kept == [1, 2, 3]


def test_keyboard_interrupt_from_callback_returns_what_there_is() -> None:
    def stop(i: int, state: HalfState) -> None:
        if i == 3:
            raise KeyboardInterrupt

    result = run(Half(), 10, callback=stop)
    assert result.interrupted and result.state.step == 3


def test_divergence_names_iteration_and_parameters_and_keeps_the_last_finite_state() -> None:
    solver = Half(factor=1e20)
    with pytest.raises(Diverged, match=r"in x at iteration 2 of Half\(factor=1e\+20, start=tensor\(1, 1, 2, 2\)\)") as caught:
        run(solver, 5, record={"max": lambda s: s.x.max()})
    assert caught.value.iteration == 2 and caught.value.result.state.step == 1
    assert caught.value.result.history.steps == [1]


def test_learner_divergence_names_its_parameters() -> None:
    learner = TinyLearner(lr=1e30)
    with pytest.raises(Diverged, match=r"iteration \d of TinyLearner\(.*lr=1e\+30"):
        run(learner, 5)


def test_learner_takes_no_state() -> None:
    with pytest.raises(TypeError, match="load_state_dict"):
        run(TinyLearner(), 1, HalfState(torch.ones(1)))


@pytest.mark.parametrize(("kwargs", "name"), [({"n": -1}, "n=-1"), ({"n": 2.0}, "n=2.0"), ({"n": 1, "every": 0}, "every=0")])
def test_bad_counts(kwargs: dict[str, Any], name: str) -> None:
    with pytest.raises(ValueError, match=name):
        run(Half(), **kwargs)


def test_closed_form_runs_without_gradients_but_iterate_keeps_them() -> None:
    start = torch.ones(1, 1, 2, 2, requires_grad=True)
    assert not run(Half(start=start), 2).image.requires_grad
    assert next(iterate(Half(start=start))).x.requires_grad


def test_progress_writes_nothing_when_there_is_no_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    run(Half(), 3, progress=True)
    captured = capfd.readouterr()
    assert captured.err == "" and captured.out == ""


def test_save_is_atomic_and_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "s.pt"
    save_state(path, {"a": torch.ones(2)})
    with pytest.raises(TypeError, match=r"state\['g'\].*get_state"):
        save_state(path, {"g": torch.Generator()})
    assert torch.equal(load_state(path)["a"], torch.ones(2)) and list(path.parent.iterdir()) == [path]


def test_failed_write_leaves_no_temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(payload: Any, path: Path) -> None:
        Path(path).write_bytes(b"half a fi")
        raise OSError("disk full")

    save_state(tmp_path / "s.pt", {"a": 1})
    monkeypatch.setattr(torch, "save", broken)
    with pytest.raises(OSError, match="disk full"):
        save_state(tmp_path / "s.pt", {"a": 2})
    assert load_state(tmp_path / "s.pt") == {"a": 1} and list(tmp_path.iterdir()) == [tmp_path / "s.pt"]


def test_saved_views_do_not_drag_their_storage_along(tmp_path: Path) -> None:
    save_state(tmp_path / "s.pt", {"a": torch.zeros(1_000_000)[:3]})
    assert (tmp_path / "s.pt").stat().st_size < 10_000


def test_nested_values_and_template_state(tmp_path: Path) -> None:
    value = {"h": History().to_dict(), "t": (1, 2.5, "x", None, True), "s": HalfState(torch.zeros(1), 4)}
    save_state(tmp_path / "s.pt", value)
    assert load_state(tmp_path / "s.pt")["t"] == (1, 2.5, "x", None, True)
    save_state(tmp_path / "h.pt", HalfState(torch.arange(3.0), 4))
    state = load_state(tmp_path / "h.pt", HalfState(torch.zeros(3)))
    assert isinstance(state, HalfState) and state.step == 4 and torch.equal(state.x, torch.arange(3.0))


def test_load_refuses_what_is_not_a_state(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no file"):
        load_state(tmp_path / "missing.pt")
    (tmp_path / "garbage.pt").write_bytes(b"not a state at all")
    (tmp_path / "code.pt").write_bytes(pickle.dumps(print))
    for name in ("garbage.pt", "code.pt"):
        with pytest.raises(ValueError, match="damaged or not a state"):
            load_state(tmp_path / name)
    torch.save({"format": "restorekit-state-1", "value": print}, tmp_path / "trojan.pt")
    with pytest.raises(ValueError, match="damaged or not a state"):
        load_state(tmp_path / "trojan.pt")
    torch.save({"weights": torch.ones(2)}, tmp_path / "other.pt")
    with pytest.raises(ValueError, match="another kind"):
        load_state(tmp_path / "other.pt")


def test_history_refuses_unknown_names_and_ragged_rows() -> None:
    history = History()
    history.append(1, {"a": 1.0})
    with pytest.raises(KeyError, match="recorded names"):
        history["b"]
    with pytest.raises(ValueError, match="first row"):
        history.append(2, {"b": 1.0})
    assert "1 rows of a" in repr(history)


def test_result_gives_image_and_kernel() -> None:
    @dataclass(frozen=True)
    class Blind:
        x: Tensor
        k: Tensor

    result = Result(Blind(torch.zeros(1), torch.ones(1)), History())
    assert result.image.item() == 0 and result.kernel.item() == 1
