"""Experiments: cells, a store that survives anything, a parallel runner, stamped tables, and the claims they decide.

`from restorekit.experiments import grid, run_cells, load_results`; tables live in `restorekit.experiments.tables`, what the papers
print in `published`, two runs side by side in `compare`, the papers' figures in `figures`.
"""

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

load_table = load_results

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
    "run_cells",
    "verdict_from",
    "write_atomic",
]
