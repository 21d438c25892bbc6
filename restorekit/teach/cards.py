"""The card on top of a page, with measured times, and the measurement."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from restorekit._check import check_choice, fail

from ._html import table
from .sizes import SIZES, VARIABLE, size

TIMES = Path(__file__).resolve().parents[2] / "data" / "results" / "page_times.json"
_PROBE = "from restorekit.teach.cards import peak_mb as _peak; print(_peak())"


class Card:
    """What a page promises and costs; displays as HTML and as text/plain."""

    def __init__(self, title: str, rows: list[tuple[str, list[str]]]) -> None:
        self.title, self.rows = title, rows

    def __repr__(self) -> str:
        return "\n".join([self.title, *(f"{name}: {'; '.join(values)}" for name, values in self.rows)])

    def _repr_html_(self) -> str:
        return table(self.rows, style="border-left:4px solid #0072B2", caption=self.title)


def card(
    page: str,
    *,
    goals: Sequence[str],
    needs: Sequence[str],
    papers: Sequence[str],
    minutes: int,
    seed: int | None = None,
    times: Path | None = None,
) -> Card:
    """The card of a page ("01_degradation_modelling"): goals, prerequisites, paper sections, human minutes, cost, mode, seed.

    goals: 3 to 5, each starting with a verb that can be tested. The times are those that `measure_page` stored in
    data/results/page_times.json; a size that was not measured says so.
    """
    if not 3 <= len(goals) <= 5:
        fail(f"{len(goals)} goals", "3 to 5", "merge or split them")
    measured = read_times(times).get(page, {})
    cost = [f"{kind}: {_cost(measured[kind])}" if kind in measured else f"{kind}: not measured yet" for kind in ("quick", "full")]
    rows = [("You will", list(goals)), ("You need", list(needs) or ["nothing"]), ("Papers", list(papers) or ["none"])]
    rows += [
        ("Your time", [f"about {minutes} minutes"]),
        ("Computing", cost),
        ("This run", [f"size {size()}" + (f", seed {seed}" if seed is not None else "")]),
    ]
    return Card(page, rows)


def _cost(row: dict[str, Any]) -> str:
    cost = f"{row['cpu_s']:.0f} s of CPU time, {row['peak_mb']:.0f} MB of memory"
    return f"{cost}, longest cell {row['longest_cell_s']:.0f} s ({row['cores']} cores)"


def read_times(path: Path | None = None) -> dict[str, Any]:
    """page -> size -> measured row; empty where nothing was measured."""
    path = path or TIMES
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def peak_mb() -> float:
    """Largest memory of this process so far in megabytes."""
    if sys.platform == "win32":
        import psutil

        return psutil.Process().memory_info().peak_wset / 1e6
    import resource

    unit = 1.0 if sys.platform == "darwin" else 1024.0  # macOS counts bytes, Linux kilobytes
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def measure_page(
    path: str | os.PathLike[str], *, at: str = "quick", timeout: int = 600, times: Path | None = None, write: bool = True
) -> dict[str, Any]:
    """Run a notebook in a fresh kernel and store what it cost: process CPU seconds, peak memory in MB, longest cell.

    Returns the row {"cpu_s", "peak_mb", "longest_cell_s" (CPU), "cores", "date"} and writes it under the page's name and
    size into data/results/page_times.json (`times`). The notebook on disk is not changed. Errors of a cell are passed on.
    """
    import nbformat
    import psutil
    from nbclient import NotebookClient

    check_choice(at, SIZES, "at")
    path = Path(path)
    notebook = nbformat.read(path, as_version=4)
    notebook.cells.append(nbformat.v4.new_code_cell(_PROBE))
    client: Any = NotebookClient(notebook, timeout=timeout, resources={"metadata": {"path": str(path.parent)}}, store_widget_state=False)
    marks: list[float] = []

    def note(cell: Any, cell_index: int, **_: Any) -> None:
        times_now = psutil.Process(client.km.provisioner.pid).cpu_times()
        marks.append(times_now.user + times_now.system)

    client.on_cell_executed = note
    client.execute(env={**os.environ, VARIABLE: at})
    row = {
        "cpu_s": round(marks[-1], 1),
        "peak_mb": round(float(notebook.cells[-1].outputs[0].text)),
        "longest_cell_s": round(max(b - a for a, b in zip([0.0, *marks], marks, strict=False)), 1),
        "cores": os.cpu_count(),
        "date": time.strftime("%Y-%m-%d"),
    }
    if write:
        _store(path.stem, at, row, times or TIMES)
    return row


def _store(page: str, at: str, row: dict[str, Any], path: Path) -> None:
    known = read_times(path)
    known.setdefault(page, {})[at] = row
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".tmp")
    draft.write_text(json.dumps(known, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    os.replace(draft, path)
