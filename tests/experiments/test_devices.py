"""One process a GPU, with the number of devices faked: no GPU is needed."""

import threading
import time

import pytest
from joblib import parallel_config

from restorekit.experiments import Cell, devices, grid, run_cells


@pytest.mark.parametrize(
    ("jobs", "count", "expected"),
    [(1, 0, []), (-1, 0, []), (8, 1, []), (-1, 1, []), (1, 4, [0]), (3, 4, [0, 1, 2]), (-1, 4, [0, 1, 2, 3]), (16, 2, [0, 1])],
)
def test_assignment(jobs, count, expected):
    assert devices.assign(jobs, count) == expected


def test_only_cells_that_ask_for_a_gpu_are_limited(monkeypatch):
    monkeypatch.setattr(devices, "_count", lambda: 2)
    assert devices.gpus_for(grid(table="t", method="m", seed=range(3)), -1) == []
    assert devices.gpus_for([Cell("t", "m"), Cell("t", "m", params={"device": "cuda"})], -1) == [0, 1]
    monkeypatch.setattr(devices, "_count", lambda: 1 / 0)
    assert devices.gpus_for([Cell("t", "m", params={"device": "cpu"})], 4) == [], "CUDA is not even asked"


def test_cells_share_the_devices_and_never_meet_on_one(tmp_path, monkeypatch):
    monkeypatch.setattr(devices, "_count", lambda: 3)
    monkeypatch.setattr(devices.tempfile, "gettempdir", lambda: str(tmp_path))
    here, used, met = threading.local(), [], []
    busy: set[int] = set()
    monkeypatch.setattr(devices, "_select", lambda gpu: setattr(here, "gpu", gpu))

    def work(cell):
        if here.gpu in busy:
            met.append(here.gpu)
        busy.add(here.gpu)
        used.append(here.gpu)
        time.sleep(0.03)
        busy.discard(here.gpu)
        return {"gpu": here.gpu}

    cells = grid(table="t", method="m", seed=range(12), device="cuda")
    with parallel_config(backend="threading"):
        run = run_cells(cells, work, store=tmp_path / "store", jobs=-1, progress=False)
    assert not run.failures and len(run.rows) == 12 and not met
    assert set(used) == {0, 1, 2}


def test_a_taken_device_is_waited_for(tmp_path, monkeypatch):
    chosen = []
    monkeypatch.setattr(devices, "_select", chosen.append)
    monkeypatch.setattr(devices, "_last", 1)
    with devices.own_device([0, 1], tmp_path) as first, devices.own_device([0, 1], tmp_path) as second:
        assert (first, second) == (1, 0), "the device of before, then a free one"
        third = []

        def wait():
            with devices.own_device([0], tmp_path) as gpu:
                third.append(gpu)

        thread = threading.Thread(target=wait)
        thread.start()
        time.sleep(0.1)
        assert not third
    thread.join(10)
    assert third == [0] and chosen == [1, 0, 0]
    with devices.own_device([], tmp_path) as none:
        assert none is None
