"""`restorekit experiments list | run NAME | show NAME`: the papers' tables, resumable, stamped."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from . import UserError, user_input

SIZES = ("smoke", "quick", "paper")


def add_parser(commands: Any) -> None:
    parser = commands.add_parser("experiments", help="run and show the papers' tables", description=__doc__)
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    actions.add_parser("list", help="the tables, their sizes, and what has been run").set_defaults(run=_list)
    action = actions.add_parser("run", help="run a table; a stopped or killed run goes on where it was")
    action.add_argument("name")
    action.add_argument("--size", choices=SIZES, default="smoke", help="smoke (seconds), quick (minutes), paper; changes counts only")
    action.add_argument("--jobs", type=int, default=1, metavar="N", help="processes of one thread each; -1: one for each core")
    action.add_argument("--store", type=Path, default=Path("results"), help="folder of the cells (default results)")
    action.add_argument("--out", type=Path, help="folder of the stamped CSV (default data/results of the project)")
    action.set_defaults(run=_run)
    action = actions.add_parser("show", help="print a stored table")
    action.add_argument("name")
    action.add_argument("--size", choices=SIZES, default="quick")
    action.add_argument("--out", type=Path, help="folder of the stamped CSV (default data/results of the project)")
    action.set_defaults(run=_show)


def _list(args: argparse.Namespace) -> int:
    from ..experiments import data_folder, markdown, tables

    rows = []
    for name in tables.names():
        module = tables.load(name)
        stored = [size for size in module.SIZES if (data_folder("results") / f"{name}_{size}.csv").exists()]
        cells = {size: len(module.cells(size)) for size in module.SIZES}
        sizes = ", ".join(f"{size} ({count})" for size, count in cells.items())
        rows.append({"table": name, "sizes (cells)": sizes, "stored": ", ".join(stored), "shows": tables.purpose(name)})
    print(markdown(rows, columns=["table", "sizes (cells)", "stored", "shows"]))
    return 0


def _run(args: argparse.Namespace) -> int:
    from ..experiments import export_results, markdown, run_cells

    module = _table(args)
    with user_input():
        cells = module.cells(args.size)
    if args.jobs == 0:
        raise UserError("Got --jobs 0. Allowed: 1 or more, or -1 for each core. Fix: --jobs 1.")
    run = run_cells(cells, module.run, store=args.store, jobs=args.jobs, progress=sys.stderr.isatty())
    if run.rows:
        print(markdown(module.summarize(run.rows)))
    if run.interrupted:
        return 130
    if run.failures:
        print(
            f"{len(run.failures)} of {len(cells)} cells failed; the table is not stored. The same command tries them again.",
            file=sys.stderr,
        )
        return 1
    path = export_results(args.name, args.size, run.rows, folder=args.out)
    print(f"\nStored as {path}: {len(run.rows)} cells, {run.computed} computed now.")
    for record in module.claims(run.rows, args.size) if hasattr(module, "claims") else []:
        where = record.save(args.out / "claims" if args.out else None)
        print(f"Claim {record.id} {record.verdict}: {where}")
    return 0


def _show(args: argparse.Namespace) -> int:
    from ..experiments import load_results, markdown

    module = _table(args)
    with user_input():
        results = load_results(args.name, args.size, folder=args.out)
    stamp, machine = results.stamp, results.stamp["environment"]
    print(markdown(module.summarize(results.rows)))
    seeds = ", ".join(map(str, stamp["seeds"]))
    print(f"\n{args.size}: {stamp['rows']} cells, seeds {seeds}; {stamp['date']}; {machine['cpu']}, torch {machine['torch']}.")
    print(f"Made by: {stamp['command']}")
    return 0


def _table(args: argparse.Namespace) -> Any:
    from ..experiments import tables

    with user_input():
        module = tables.load(args.name)
    if args.size not in module.SIZES:
        raise UserError(f"Got --size {args.size} for {args.name}. Allowed: {', '.join(module.SIZES)}. Fix: choose one of these.")
    return module
