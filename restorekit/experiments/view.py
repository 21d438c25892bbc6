"""A run of a table in a notebook: choose table and size, watch it fill, stop it, see it beside the printed numbers."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import ipywidgets as widgets

from . import tables
from .cell import Cell
from .published import compare_with_published, sources
from .results import shown_table
from .runner import Run, run_cells
from .store import Store

NARROW = {"description_width": "initial"}


class ProgressView(widgets.VBox):
    """Controls (`.table`, `.size`, `.start`, `.stop`), a bar, the table so far, and at the end the printed numbers beside it.

    A run goes on in a thread of its own, so that the page stays usable; `run()` starts it, `wait()` waits for its end and hands
    back the `Run` (None before the first). Cells go into `store` and are never computed twice; nothing is written to data/results.
    """

    def __init__(self, name: str, size: str, names: Sequence[str], store: str | os.PathLike[str], jobs: int) -> None:
        self.store, self.jobs = Store(store), jobs
        self.table = widgets.Dropdown(options=list(names), value=name, description="Table", style=NARROW)
        self.size = widgets.Dropdown(options=list(tables.load(name).SIZES), value=size, description="Size", style=NARROW)
        self.start, self.stop = widgets.Button(description="Run"), widgets.Button(description="Stop", disabled=True)
        self.bar = widgets.IntProgress(min=0, max=1, value=0, description="Cells", style=NARROW)
        self.told, self.filled, self.beside = widgets.HTML(), widgets.HTML(), widgets.HTML()
        self._thread: threading.Thread | None = None
        self._stopped = threading.Event()
        self._result: Run | None = None
        self.table.observe(self._chosen, names="value")
        self.start.on_click(lambda _: self.run())
        self.stop.on_click(lambda _: self._stopped.set())
        super().__init__([widgets.HBox([self.table, self.size, self.start, self.stop]), self.bar, self.told, self.filled, self.beside])
        self._chosen()

    def run(self) -> None:
        """Start the chosen run, or go on with it; nothing if one is under way."""
        if self._thread is not None and self._thread.is_alive():
            return
        self._stopped.clear()
        self._lock_controls(True)
        self._thread = threading.Thread(target=self._work, args=(self.table.value, self.size.value), daemon=True)
        self._thread.start()

    def wait(self, timeout: float | None = None) -> Run | None:
        """The run's result once it has ended; TimeoutError after `timeout` seconds."""
        if self._thread is not None:
            self._thread.join(timeout)
            if self._thread.is_alive():
                raise TimeoutError(f"Got no end of the run within {timeout} s. Allowed: waiting longer. Fix: wait(), or press Stop.")
        return self._result

    def _work(self, name: str, size: str) -> None:
        try:
            module = tables.load(name)
            cells = module.cells(size)
            self.bar.max, self.bar.bar_style, self.beside.value = max(len(cells), 1), "info", ""
            self._fill(module, cells)

            def watch(cell: Cell, outcome: str) -> None:
                self._fill(module, cells)
                if self._stopped.is_set():
                    raise KeyboardInterrupt

            run = run_cells(cells, module.run, store=self.store, jobs=self.jobs, progress=False, watch=watch)
            self._result = run
            self._finish(name, module, cells, run)
        except Exception as error:  # a thread's error would be lost in the kernel's log
            self.bar.bar_style = "danger"
            self.told.value = _alert(f"{type(error).__name__}: {error}")
        finally:
            self._lock_controls(False)

    def _fill(self, module: Any, cells: Sequence[Cell]) -> None:
        rows = self.store.rows(cells)
        self.bar.value = len(rows)
        self.told.value = f'<span role="status">{len(rows)} of {len(cells)} cells</span>'
        if rows:
            self.filled.value = table_html(module.summarize(rows))

    def _finish(self, name: str, module: Any, cells: Sequence[Cell], run: Run) -> None:
        self._fill(module, cells)
        ended = "stopped; Run goes on from here" if run.interrupted else "done"
        self.bar.bar_style = "danger" if run.failures else "warning" if run.interrupted else "success"
        last = next(iter(run.failures.values()), "").strip().splitlines()
        failed = _alert(f"{len(run.failures)} failed: {last[-1]}") if last else ""
        self.told.value += f" ({ended}, {run.computed} computed now){failed}"
        if rows := compare_with_published(name, run.rows):
            differs = "".join(f"<li>{escape(line)}</li>" for line in dict.fromkeys(line for s in sources(name) for line in s.differs))
            self.beside.value = f"<b>Beside the print</b>{table_html(rows)}<ul>{differs}</ul>"

    def _chosen(self, *_: object) -> None:
        """The sizes and the purpose of the chosen table; what is stored of it, if anything, is shown by Run."""
        sizes = tables.load(self.table.value).SIZES
        keep = self.size.value if self.size.value in sizes else sizes[0]
        self.size.options, self.size.value = list(sizes), keep
        self.told.value, self.filled.value, self.beside.value = escape(tables.purpose(self.table.value)), "", ""
        self.bar.value, self.bar.bar_style = 0, ""

    def _lock_controls(self, running: bool) -> None:
        self.table.disabled = self.size.disabled = self.start.disabled = running
        self.stop.disabled = not running


def table_html(rows: Sequence[Mapping[str, Any]], digits: int = 2) -> str:
    """The rows as an HTML table, with the same cells as `markdown`."""
    names, numeric, lines = shown_table(rows, None, digits)
    head = "".join(f'<th scope="col" style="padding: 0 0.6em">{escape(name)}</th>' for name in names)
    aligned = ["right" if numeric[name] else "left" for name in names]

    def line(cells: Sequence[str]) -> str:
        return "".join(f'<td style="text-align: {side}; padding: 0 0.6em">{escape(c)}</td>' for c, side in zip(cells, aligned, strict=True))

    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(f'<tr>{line(cells)}</tr>' for cells in lines)}</tbody></table>"


def _alert(text: str) -> str:
    return f'<pre role="alert" style="white-space: pre-wrap; color: #A33B00">{escape(text)}</pre>'
