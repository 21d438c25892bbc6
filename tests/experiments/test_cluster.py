"""`run_cells` on a Dask cluster of two worker processes: the table of one machine, also when a worker is killed in the middle."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from restorekit.experiments import Store, grid

pytest.importorskip("distributed", reason="distributed is not installed (the extra `cluster`)")
pytestmark = pytest.mark.skipif(os.name == "nt", reason="SIGKILL")

SCRIPT = """
import os, signal, sys, threading, time
from pathlib import Path

def work(cell, folder):
    import os, time
    with open(folder.parent.parent / "log", "a") as file:
        file.write(f"{cell.seed} {os.getpid()}\\n")
    time.sleep(0.1)
    return {"square": cell.seed**2}

if __name__ == "__main__":
    import logging
    from distributed import Client, LocalCluster
    from joblib import parallel_config
    from restorekit.experiments import grid, run_cells

    root, kill = Path(sys.argv[1]), sys.argv[2] == "kill"
    root.mkdir()
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    options = dict(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, host="127.0.0.1")
    with LocalCluster(**options) as cluster, Client(cluster) as client:
        def strike():
            log = root / "log"
            while not log.exists() or len(log.read_text().splitlines()) < 6:
                time.sleep(0.01)
            os.kill(int(log.read_text().splitlines()[-1].split()[1]), signal.SIGKILL)
        if kill:
            threading.Thread(target=strike, daemon=True).start()
        with parallel_config(backend="dask"):
            run = run_cells(grid(table="sleep", method="m", seed=range(16)), work, store=root, jobs=-1, progress=False)
    print(len(run.rows), run.computed, len(run.failures), flush=True)
"""


def run_on_cluster(root: Path, mode: str) -> tuple[list[int], list[tuple[int, int]]]:
    script = root.with_suffix(".py")
    script.write_text(SCRIPT)
    done = subprocess.run([sys.executable, str(script), str(root), mode], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    log = [tuple(map(int, line.split())) for line in (root / "log").read_text().splitlines()]
    return [int(word) for word in done.stdout.split()], log


def squares(root: Path) -> list[tuple[int, int]]:
    return [(row["seed"], row["square"]) for row in Store(root).rows(grid(table="sleep", method="m", seed=range(16)))]


def test_two_workers_share_a_table(tmp_path):
    counts, log = run_on_cluster(tmp_path / "calm", "calm")
    assert counts == [16, 16, 0] and len(log) == 16 and len({pid for _, pid in log}) == 2
    assert squares(tmp_path / "calm") == [(seed, seed**2) for seed in range(16)]


def test_a_killed_worker_changes_nothing(tmp_path):
    counts, log = run_on_cluster(tmp_path / "kill", "kill")
    assert counts[0] == 16 and counts[2] == 0
    assert squares(tmp_path / "kill") == [(seed, seed**2) for seed in range(16)]
    assert 16 < len(log) <= 18, "only what the dead worker was at is done twice"


COMMAND = """
import logging, sys

if __name__ == "__main__":
    from distributed import LocalCluster
    from restorekit.cli import main

    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    options = dict(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, host="127.0.0.1")
    with LocalCluster(**options) as cluster:
        run = ["experiments", "run", "bilevel_ridge", "--store", sys.argv[1], "--out", sys.argv[2]]
        sys.exit(main([*run, "--dask", cluster.scheduler_address]))
"""


def test_the_command_sends_a_table_to_the_cluster(tmp_path):
    from restorekit.experiments import load_results, run_cells, tables

    (tmp_path / "command.py").write_text(COMMAND)
    words = [sys.executable, str(tmp_path / "command.py"), str(tmp_path / "store"), str(tmp_path)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr[-2000:]
    table = tables.load("bilevel_ridge")
    here = run_cells(table.cells("smoke"), table.run, store=tmp_path / "here", progress=False).rows
    there = load_results("bilevel_ridge", "smoke", folder=tmp_path).rows
    timed = ("cpu_seconds", "seconds")
    strip = [[{k: v for k, v in row.items() if k not in timed and v is not None} for row in rows] for rows in (here, there)]
    assert [row["id"] for row in strip[0]] == [row["id"] for row in strip[1]]
    assert [row.get("excess") for row in strip[0]] == [row.get("excess") for row in strip[1]]


def test_no_scheduler_there(tmp_path, capsys, monkeypatch):
    import distributed

    from restorekit.cli import main

    def refused(address, timeout):
        raise OSError(f"Timed out trying to connect to {address}")

    monkeypatch.setattr(distributed, "Client", refused)
    words = ["experiments", "run", "bilevel_ridge", "--dask", "tcp://127.0.0.1:1", "--store", str(tmp_path)]
    assert main(words) == 2 and "Got no Dask scheduler at tcp://127.0.0.1:1" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "distributed", None)
    assert main(words) == 2 and "pip install 'restorekit[cluster]'" in capsys.readouterr().err
