"""Experiments: cells, a store that survives anything, a parallel runner, stamped tables, and the claims they decide.

`from restorekit.experiments import grid, run_cells, load_results`; tables live in `restorekit.experiments.tables`, what the papers
print in `published`, two runs side by side in `compare`, the papers' figures in `figures`.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from .._check import check_choice
from ._files import write_atomic
from .cell import SCHEMA, Cell, grid
from .claims import VERDICTS, ClaimRecord, Value, combine_verdicts, load_claims, verdict_from
from .compare import compare_runs
from .published import compare_with_published
from .results import (
    FORMATS,
    Results,
    as_csv,
    command_for,
    export_results,
    latex,
    load_file,
    load_results,
    markdown,
    mean_and_spread,
)
from .runner import Run, run_cells
from .stamp import data_folder, environment
from .store import Store

if TYPE_CHECKING:
    from .view import ProgressView

load_table = load_results


def progress_view(
    name: str = "alignment",
    size: str = "smoke",
    *,
    names: Sequence[str] | None = None,
    store: str | os.PathLike[str] = "results",
    jobs: int = 1,
) -> ProgressView:
    """A run of a table as a widget (`experiments.view.ProgressView`): choose one of `names` (all by default) and a size, press Run.

    ModuleNotFoundError without ipywidgets, ValueError for another table or size.
    """
    from . import tables
    from .view import ProgressView

    check_choice(size, tables.load(name).SIZES, "size")
    return ProgressView(name, size, tables.names() if names is None else names, store, jobs)


__all__ = [
    "FORMATS",
    "SCHEMA",
    "VERDICTS",
    "Cell",
    "ClaimRecord",
    "Results",
    "Run",
    "Store",
    "Value",
    "as_csv",
    "combine_verdicts",
    "command_for",
    "compare_runs",
    "compare_with_published",
    "data_folder",
    "environment",
    "export_results",
    "grid",
    "latex",
    "load_claims",
    "load_file",
    "load_results",
    "load_table",
    "markdown",
    "mean_and_spread",
    "progress_view",
    "run_cells",
    "verdict_from",
    "write_atomic",
]
