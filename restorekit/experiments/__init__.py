"""Experiments: cells, a store that survives anything, a parallel runner, stamped tables, and the claims they decide.

`from restorekit.experiments import grid, run_cells, load_results`; tables live in `restorekit.experiments.tables`.
"""

from .cell import SCHEMA, Cell, grid
from .claims import VERDICTS, ClaimRecord, Value, combine_verdicts, load_claims, verdict_from
from .results import Results, command_for, export_results, load_results, markdown, mean_and_spread
from .runner import Run, run_cells
from .stamp import data_folder, environment
from .store import Store

__all__ = [
    "SCHEMA",
    "VERDICTS",
    "Cell",
    "ClaimRecord",
    "Results",
    "Run",
    "Store",
    "Value",
    "combine_verdicts",
    "command_for",
    "data_folder",
    "environment",
    "export_results",
    "grid",
    "load_claims",
    "load_results",
    "markdown",
    "mean_and_spread",
    "run_cells",
    "verdict_from",
]
