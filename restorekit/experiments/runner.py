"""Run the cells of a table: in parallel, resumable, each failure kept."""

from __future__ import annotations

import inspect
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from .._check import fail
from .cell import Cell
from .devices import gpus_for, own_device
from .store import Store


@dataclass(frozen=True)
class Run:
    """What `run_cells` hands back.

    rows: one dict per finished cell, in the order of the cells. failures: cell id -> traceback. computed: cells
    finished by this call (the others were there already or came from another run). interrupted: stopped by Ctrl-C.
    """

    rows: list[dict[str, Any]]
    failures: dict[str, str]
    computed: int
    interrupted: bool


def run_cells(
    cells: Iterable[Cell],
    function: Callable[..., Mapping[str, Any]],
    *,
    store: Store | str | os.PathLike[str] = "results",
    jobs: int = 1,
    progress: bool = True,
    watch: Callable[[Cell, str], None] | None = None,
) -> Run:
    """Store metrics = function(cell) for each cell that has none yet, and return the rows of all.

    `function(cell)` returns names -> numbers or text; if it has a parameter `folder`, it is also given the cell's own
    folder (pathlib.Path) for preview.png and for a state.pt that the next attempt can resume from (removed at the end). The
    work goes through joblib with one thread a cell, so that results do not depend on `jobs`, and
    `joblib.parallel_config(backend=...)` sends the same call to Dask or Ray. An exception is stored with its traceback and
    the other cells go on; Ctrl-C keeps what is finished. Any number of runs may work on one store at once. Cells that ask for
    a GPU (parameter `device`) run one process a device where there are several (`experiments.devices`). watch(cell, outcome) is
    called here after each cell, outcome "done", "found" (by another run) or a traceback; a KeyboardInterrupt from it stops the run.
    """
    unique = list(dict.fromkeys(cells))
    if not isinstance(jobs, int) or isinstance(jobs, bool) or jobs == 0:
        fail(f"jobs={jobs!r}", "a positive integer, or -1 for all cores", "jobs=1")
    store = store if isinstance(store, Store) else Store(store)
    todo = [cell for cell in unique if not store.done(cell)]
    for cell in set(unique).difference(todo):
        store.tidy(cell)
    status: dict[str, str] = {}
    interrupted = False
    gpus = gpus_for(todo, jobs)
    with _bar(unique, todo, progress) as bar:

        def tell(cell: Cell, outcome: str) -> None:
            status[cell.id] = outcome
            if outcome != "busy":
                bar.update()
                if watch is not None:
                    watch(cell, outcome)

        try:
            _sweep(todo, function, store, len(gpus) or jobs, gpus, tell, wait=False)
            # what another run is computing now: wait for it, and take it over should that run die
            busy = [cell for cell in todo if status.get(cell.id) == "busy"]
            _sweep(busy, function, store, len(gpus) or jobs, gpus, tell, wait=True)
        except KeyboardInterrupt:
            interrupted = True
    failures = {cell.id: status[cell.id] for cell in todo if status.get(cell.id, "done") not in ("done", "found", "busy")}
    _report(failures, unique, store, interrupted, progress)
    return Run(store.rows(unique), failures, sum(value == "done" for value in status.values()), interrupted)


def _sweep(
    cells: Sequence[Cell],
    function: Callable[..., Any],
    store: Store,
    jobs: int,
    gpus: Sequence[int],
    tell: Callable[[Cell, str], None],
    *,
    wait: bool,
) -> None:
    if not cells:
        return
    from joblib import Parallel, delayed
    from joblib.externals.loky.process_executor import BrokenProcessPool

    by_id, left = {cell.id: cell for cell in cells}, {cell.id for cell in cells}
    tasks = (delayed(_compute)(cell, function, store, wait, gpus) for cell in cells)
    try:
        for name, outcome in Parallel(n_jobs=jobs, return_as="generator_unordered", batch_size=1)(tasks):
            left.discard(name)
            tell(by_id[name], outcome)
    except BrokenProcessPool as error:
        for cell in cells:
            if cell.id in left and not store.done(cell):
                tell(cell, f"not finished: a worker process died, often for want of memory; run again with fewer jobs ({error})")


def _compute(cell: Cell, function: Callable[..., Any], store: Store, wait: bool, gpus: Sequence[int] = ()) -> tuple[str, str]:
    """Compute one cell where it is sent: "done", "found" (another run was first), "busy", or the traceback."""
    with store.claim(cell, wait=wait) as held:
        if store.done(cell):
            return cell.id, "found"
        if not held:
            return cell.id, "busy"
        try:
            with _one_thread(), own_device(gpus):
                start = time.process_time()
                folder = {"folder": store.folder(cell)} if "folder" in inspect.signature(function).parameters else {}
                metrics = function(cell, **folder)
                store.write(cell, metrics, cpu_seconds=time.process_time() - start)
        except Exception:
            text = traceback.format_exc()
            store.fail(cell, text)
            return cell.id, text
        return cell.id, "done"


@contextmanager
def _one_thread() -> Iterator[None]:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def _bar(cells: Sequence[Cell], todo: Sequence[Cell], progress: bool) -> Iterator[Any]:
    from tqdm import tqdm

    name = cells[0].table if cells else "cells"
    with tqdm(total=len(cells), initial=len(cells) - len(todo), desc=name, unit="cell", disable=not progress, file=sys.stderr) as bar:
        yield bar


def _report(failures: Mapping[str, str], cells: Sequence[Cell], store: Store, interrupted: bool, progress: bool) -> None:
    by_id = {cell.id: cell for cell in cells}
    for name, text in failures.items():
        cell = by_id[name]
        label = f"{cell.method} {cell.dataset} {cell.image} seed {cell.seed}"
        print(f"FAILED {name} ({label}): {text.strip().splitlines()[-1]}\n  {store.folder(cell) / 'error.json'}", file=sys.stderr)
    if interrupted and progress:
        print("Interrupted. Finished cells are kept; the same call goes on from here.", file=sys.stderr)
