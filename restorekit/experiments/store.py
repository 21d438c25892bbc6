"""Where results live: one folder a cell, finished when its metrics.json is there."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from .._check import fail
from .._lock import lock
from ._files import plain, read_json, write_json
from .cell import SCHEMA, Cell
from .stamp import now

_RESERVED = ("id", "table", "method", "dataset", "image", "degradation", "seed")


class Store:
    """Results on disk: <root>/<table>/<id>/ with cell.json, metrics.json and what the run itself leaves there.

    metrics.json is written to a temporary name and then moved, as the last act of a cell: a run killed at any moment loses
    only the cell it was in, a finished cell is never computed again, and two runs may share one store (each cell is
    claimed by a lock that the operating system frees when its owner dies). A failed cell has error.json and is tried again
    by the next run.
    """

    def __init__(self, root: str | os.PathLike[str] = "results") -> None:
        self.root = Path(root)

    def folder(self, cell: Cell) -> Path:
        """The cell's own folder, for resumable state (state.pt) and preview.png."""
        return self.root / cell.table / cell.id

    def done(self, cell: Cell) -> bool:
        """True once the cell's metrics are stored."""
        return (self.folder(cell) / "metrics.json").exists()

    def metrics(self, cell: Cell) -> dict[str, Any]:
        """The stored metrics of a finished cell; KeyError if it is not finished."""
        return dict(self._read(cell)["metrics"])

    def row(self, cell: Cell) -> dict[str, Any]:
        """One row of the table: id, the cell's fields, its parameters, cpu_seconds (those of the run unless a metric), its metrics."""
        stored, content = self._read(cell), cell.to_dict()
        params = content.pop("params")
        return {"id": cell.id, **content, **params, "cpu_seconds": stored["cpu_seconds"], **stored["metrics"]}

    def rows(self, cells: Iterable[Cell]) -> list[dict[str, Any]]:
        """The rows of those cells that are finished, in the order of `cells`."""
        return [self.row(cell) for cell in cells if self.done(cell)]

    def write(self, cell: Cell, metrics: Mapping[str, Any], *, cpu_seconds: float = 0.0) -> None:
        """Finish a cell: numbers, text, bools or None by name, none of them a name that the cell already uses."""
        if not isinstance(metrics, Mapping):
            fail(f"metrics of type {type(metrics).__name__}", "a mapping of names to numbers or text", "return {'psnr': 30.1}", TypeError)
        if taken := sorted(set(metrics) & {*_RESERVED, *cell.params}):
            fail(f"metrics named {', '.join(taken)}", "names that the cell does not use itself", "rename them in the table's run function")
        values = {str(name): plain(value, str(name)) for name, value in metrics.items()}
        content = {"schema": SCHEMA, "metrics": values, "cpu_seconds": round(cpu_seconds, 3), "finished": now()}
        write_json(self.folder(cell) / "metrics.json", content)

    def fail(self, cell: Cell, traceback: str) -> None:
        """Record why a cell failed; the next run tries it again."""
        write_json(self.folder(cell) / "error.json", {"schema": SCHEMA, "cell": cell.to_dict(), "traceback": traceback})

    def failure(self, cell: Cell) -> str | None:
        """The traceback of the cell's last attempt if that failed, else None."""
        path = self.folder(cell) / "error.json"
        return read_json(path)["traceback"] if path.exists() and not self.done(cell) else None

    @contextmanager
    def claim(self, cell: Cell, *, wait: bool = False) -> Iterator[bool]:
        """Hold the cell; yields False at once if another run holds it and `wait` is False. Ask `done` again inside."""
        folder = self.folder(cell)
        with lock(folder / "lock", wait=wait) as held:
            if held and not self.done(cell):
                write_json(folder / "cell.json", {"id": cell.id, "schema": SCHEMA, **cell.to_dict()})
            yield held
            if held and self.done(cell):
                self.tidy(cell)

    def _read(self, cell: Cell) -> dict[str, Any]:
        if not self.done(cell):
            raise KeyError(f"cell {cell.id} of table {cell.table} is not finished in {self.root}")
        return dict(read_json(self.folder(cell) / "metrics.json"))

    def tidy(self, cell: Cell) -> None:
        """Remove what a finished cell needs no more; also what a run left that was killed just after it had finished the cell."""
        # The lock may go while others wait on it: whoever gets it next, on the old file or on a new one, finds the cell done.
        folder = self.folder(cell)
        for path in (folder / "lock", folder / "error.json", folder / "state.pt", *folder.glob(".*.tmp")):
            with suppress(OSError):  # Windows keeps files that are open
                path.unlink(missing_ok=True)
