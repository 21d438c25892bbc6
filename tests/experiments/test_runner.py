"""A run that is killed, interrupted, doubled or fails in part loses nothing and computes nothing twice."""

import os
import random
import signal
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path

import pytest
import torch

from restorekit._lock import lock
from restorekit.experiments import Cell, Store, grid, run_cells
from restorekit.experiments._files import write_atomic

SCRIPT = """
import os, sys, time
from pathlib import Path
from restorekit.experiments import Store, grid, run_cells

root, log, jobs, pause = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])

def work(cell, folder):
    line = f"{cell.seed} {int((folder / 'metrics.json').exists())}\\n"
    with open(log, "a") as file:
        file.write(line)
    time.sleep(pause)
    return {"square": cell.seed**2, "text": "x" * 5000}

print("ready", flush=True)
sys.stdin.readline()
run = run_cells(grid(table="sleep", method="m", seed=range(20)), work, store=root, jobs=jobs, progress=False)
print(len(run.rows), run.computed, len(run.failures), flush=True)
"""


def start(tmp_path, jobs=1, pause=0.03):
    command = [sys.executable, "-c", SCRIPT, str(tmp_path / "store"), str(tmp_path / "log"), str(jobs), str(pause)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True)


def go(*processes):
    """Let processes that have finished their imports begin at once."""
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()


def table(root):
    rows = Store(root).rows(grid(table="sleep", method="m", seed=range(20)))
    return [(row["seed"], row["square"], len(row["text"])) for row in rows]


def calls(tmp_path):
    return [tuple(map(int, line.split())) for line in (tmp_path / "log").read_text().splitlines()]


NURSERY = """
import os, sys, time
from pathlib import Path
import joblib, torch, tqdm
from restorekit.experiments import export_results, grid, run_cells

cells = grid(table="sleep", method="m", seed=range(400))

def work(cell, folder):
    with open(folder.parent.parent.parent / "log", "a") as file:
        file.write(f"{cell.seed} {int((folder / 'metrics.json').exists())}\\n")
    time.sleep(0.005)
    return {"square": cell.seed**2, "text": "x" * 5000, "cpu_seconds": 0.0}

print("ready", flush=True)
for line in sys.stdin:
    root, jobs = line.split()
    child = os.fork()
    if child == 0:
        run = run_cells(cells, work, store=Path(root) / "store", jobs=int(jobs), progress=False)
        export_results("sleep", "quick", run.rows, folder=root)
        os._exit(0)
    os.setpgid(child, child)
    print(child, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


@pytest.mark.skipif(os.name == "nt", reason="SIGKILL")
def test_kills_at_20_random_moments_lose_nothing(tmp_path):
    rng, cells = random.Random(5), grid(table="sleep", method="m", seed=range(400))
    for name in ("killed", "calm"):
        (tmp_path / name).mkdir()
    store = Store(tmp_path / "killed" / "store")
    process = subprocess.Popen([sys.executable, "-c", NURSERY], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def run(name, jobs=1):
        process.stdin.write(f"{tmp_path / name} {jobs}\n")
        process.stdin.flush()
        return int(process.stdout.readline())

    try:
        assert process.stdout.readline() == "ready\n"
        done = set()
        for attempt in range(20):
            child = run("killed", jobs=2 if attempt == 19 else 1)
            if attempt == 19:  # two worker processes, which take their time to start
                end = time.monotonic() + 60
                while sum(map(store.done, cells)) == len(done) and time.monotonic() < end:
                    time.sleep(0.02)
            time.sleep(rng.uniform(0, 0.1))
            os.killpg(child, signal.SIGKILL)
            assert int(process.stdout.readline()) == -signal.SIGKILL, "it had ended before it was killed"
            before, done = done, {row["seed"] for row in store.rows(cells)}  # every stored cell can be read
            assert before <= done and len(done) < len(cells)
        for name in ("killed", "calm"):
            run(name)
            assert int(process.stdout.readline()) == 0
    finally:
        process.communicate()
    assert (tmp_path / "killed" / "sleep_quick.csv").read_bytes() == (tmp_path / "calm" / "sleep_quick.csv").read_bytes()
    calls = [tuple(map(int, line.split())) for line in (tmp_path / "killed" / "log").read_text().splitlines()]
    assert all(finished == 0 for _, finished in calls), "a finished cell was computed again"
    assert len(calls) <= 400 + 21, "more was lost than the cell in which each run was killed"
    assert {path.name for path in store.root.rglob("*") if path.is_file()} == {"cell.json", "metrics.json"}


def test_what_a_kill_left_beside_a_finished_cell_goes(tmp_path):
    cell, store = Cell("sleep", "m", seed=1), Store(tmp_path)
    store.write(cell, {"score": 1.0})
    for name in ("lock", "state.pt"):
        (store.folder(cell) / name).touch()
    assert len(run_cells([cell], lambda c: {}, store=store, progress=False).rows) == 1
    assert [path.name for path in store.folder(cell).iterdir()] == ["metrics.json"]


def test_two_concurrent_runs_share_the_work(tmp_path):
    runs = [start(tmp_path, pause=0.05), start(tmp_path, pause=0.05)]
    go(*runs)
    counts = [list(map(int, run.communicate(timeout=60)[0].split())) for run in runs]
    assert all(count[1] > 0 for count in counts), "one run did it all"
    assert [count[0] for count in counts] == [20, 20], "each run hands back the whole table"
    assert sum(count[1] for count in counts) == 20 and len(calls(tmp_path)) == 20, "a cell was computed twice"


def threads_of(cell, folder):
    assert folder.is_dir()
    return {"threads": torch.get_num_threads(), "draw": float(torch.rand((), generator=torch.Generator().manual_seed(cell.seed)))}


@pytest.mark.parametrize("backend", ["loky", "threading"])
def test_result_does_not_depend_on_jobs(tmp_path, backend):
    from joblib import parallel_config

    cells = grid(table="t", method="m", seed=range(4))
    before = torch.get_num_threads()
    serial = run_cells(cells, threads_of, store=tmp_path / "one", progress=False)
    with parallel_config(backend=backend):
        parallel = run_cells(cells, threads_of, store=tmp_path / "two", jobs=2, progress=False)
    assert serial.computed == parallel.computed == 4 and torch.get_num_threads() == before
    strip = [[{**row, "cpu_seconds": 0} for row in run.rows] for run in (serial, parallel)]
    assert strip[0] == strip[1] and {row["threads"] for row in serial.rows} == {1}


def test_failures_are_kept_reported_and_tried_again(tmp_path, capsys):
    cells, broken = grid(table="t", method="m", seed=range(3)), {1}

    def work(cell):
        if cell.seed in broken:
            raise RuntimeError("no such luck")
        return {"value": cell.seed}

    run = run_cells(cells, work, store=tmp_path, progress=False)
    assert [row["value"] for row in run.rows] == [0, 2]
    assert list(run.failures) == [cells[1].id] and "no such luck" in run.failures[cells[1].id] and "in work" in run.failures[cells[1].id]
    assert Store(tmp_path).failure(cells[1]) == run.failures[cells[1].id]
    assert "RuntimeError: no such luck" in capsys.readouterr().err
    broken.clear()
    run = run_cells(cells, work, store=tmp_path, progress=False)
    assert len(run.rows) == 3 and run.computed == 1 and not run.failures
    assert Store(tmp_path).failure(cells[1]) is None


def test_interrupt_keeps_what_is_done_and_the_state_of_what_is_not(tmp_path):
    cells, stop = grid(table="t", method="m", seed=range(4)), [2]

    def work(cell, folder):
        (folder / "state.pt").write_text("half way")
        if cell.seed in stop:
            raise KeyboardInterrupt
        return {"value": cell.seed}

    run = run_cells(cells, work, store=tmp_path, progress=False)
    assert run.interrupted and [row["seed"] for row in run.rows] == [0, 1] and not run.failures
    assert (Store(tmp_path).folder(cells[2]) / "state.pt").exists() and not (Store(tmp_path).folder(cells[0]) / "state.pt").exists()
    stop.clear()
    run = run_cells(cells, work, store=tmp_path, progress=False)
    assert not run.interrupted and run.computed == 2 and len(run.rows) == 4


def die(cell):
    if cell.seed == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return {"value": cell.seed}


@pytest.mark.skipif(os.name == "nt", reason="SIGKILL")
def test_a_dead_worker_is_a_failure_and_not_a_crash(tmp_path):
    cells = grid(table="t", method="m", seed=range(3))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # joblib warns about the worker, as it should
        run = run_cells(cells, die, store=tmp_path, jobs=2, progress=False)
    assert cells[1].id in run.failures and "worker process died" in run.failures[cells[1].id]
    again = run_cells([cells[0], cells[2]], die, store=tmp_path, progress=False)
    assert len(again.rows) == 2


@pytest.mark.parametrize(
    ("metrics", "kind"),
    [([1], TypeError), ({"x": object()}, TypeError), ({"seed": 1}, ValueError), ({"T": 1}, ValueError), ({"x": torch.zeros(2)}, TypeError)],
)
def test_bad_metrics_are_refused(tmp_path, metrics, kind):
    cell = Cell("t", "m", params={"T": 1})
    with pytest.raises(kind, match=r"Got .*Allowed: .*Fix: "):
        Store(tmp_path).write(cell, metrics)
    assert not Store(tmp_path).done(cell)


def test_metrics_come_back_exactly(tmp_path):
    cell, values = (
        Cell("t", "m", params={"T": 1}),
        {"a": 0.1 + 0.2, "b": float("inf"), "c": "text", "d": None, "e": True, "f": torch.tensor(2)},
    )
    Store(tmp_path).write(cell, values)
    assert Store(tmp_path).metrics(cell) == {**values, "f": 2}
    row = Store(tmp_path).row(cell)
    assert row["id"] == cell.id and row["T"] == 1 and row["e"] is True
    with pytest.raises(KeyError, match="not finished"):
        Store(tmp_path).row(Cell("t", "other"))


def test_write_atomic_shows_old_or_new_but_never_half(tmp_path):
    path, texts, stop = tmp_path / "f", {"a" * 100_000, "b" * 200_000}, threading.Event()
    write_atomic(path, "a" * 100_000)

    def write():
        while not stop.is_set():
            for text in texts:
                write_atomic(path, text)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        assert all(path.read_text() in texts for _ in range(200))
    finally:
        stop.set()
        thread.join()
    assert [item.name for item in Path(tmp_path).iterdir()] == ["f"]


def test_lock_excludes_and_is_free_again(tmp_path):
    with lock(tmp_path / "l", wait=False) as first, lock(tmp_path / "l", wait=False) as second:
        assert first and not second
    with lock(tmp_path / "l", wait=True) as third:
        assert third


def test_damaged_file_and_bad_jobs_say_what_to_do(tmp_path):
    cell = Cell("t", "m")
    Store(tmp_path).write(cell, {"x": 1})
    (Store(tmp_path).folder(cell) / "metrics.json").write_text('{"metr')
    with pytest.raises(ValueError, match=r"damaged file .*delete it and run again"):
        Store(tmp_path).metrics(cell)
    with pytest.raises(ValueError, match="jobs=0"):
        run_cells([cell], lambda cell: {}, store=tmp_path, jobs=0)
