"""`restorekit experiments list | run | show | compare | figures`: the papers' tables, resumable, stamped, beside the printed ones."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from . import UserError, user_input

SIZES = ("smoke", "quick", "paper")
FORMATS = ("markdown", "csv", "latex")
STORED = "folder of the stored tables (default data/results of the project)"


def add_parser(commands: Any) -> None:
    parser = commands.add_parser("experiments", help="run, show and compare the papers' tables", description=__doc__)
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    actions.add_parser("list", help="the tables, their sizes, and what has been run").set_defaults(run=_list)
    _add_run(actions.add_parser("run", help="run a table; a stopped or killed run goes on where it was"))
    action = actions.add_parser("show", help="print a stored table, or write it to a file")
    action.add_argument("name")
    action.add_argument("--size", choices=SIZES, default="quick")
    _add_output(action)
    action.set_defaults(run=_show)
    action = actions.add_parser("compare", help="a stored table beside the printed numbers, or beside another run of it")
    action.add_argument("name")
    action.add_argument("--size", choices=SIZES, default="quick")
    told = "published (default), another size, or the CSV of another run with its .json beside it"
    action.add_argument("--against", default="published", metavar="SIZE|FILE|published", help=told)
    _add_output(action)
    action.set_defaults(run=_compare)
    action = actions.add_parser("figures", help="draw the papers' measurable figures from stored tables; without a name: all that can be")
    action.add_argument("names", nargs="*", metavar="NAME")
    action.add_argument("--size", choices=SIZES, default="quick")
    action.add_argument("--out", type=Path, default=Path("figures"), help="folder of the pictures (default figures)")
    action.add_argument("--results", type=Path, metavar="FOLDER", help=STORED)
    action.set_defaults(run=_figures)


def _add_run(action: Any) -> None:
    action.add_argument("name")
    action.add_argument("--size", choices=SIZES, default="smoke", help="smoke (seconds), quick (minutes), paper; changes counts only")
    action.add_argument("--jobs", type=int, default=1, metavar="N", help="processes of one thread each; -1: one for each core")
    action.add_argument("--store", type=Path, default=Path("results"), help="folder of the cells (default results)")
    action.add_argument("--out", type=Path, help="folder of the stamped CSV (default data/results of the project)")
    cluster = "send the cells to the Dask scheduler there, for example tcp://host:8786; the store must be a folder that its workers see"
    action.add_argument("--dask", metavar="ADDRESS", help=cluster)
    action.set_defaults(run=_run)


def _add_output(action: Any) -> None:
    action.add_argument("--format", choices=FORMATS, default="markdown", help="markdown (default), csv (numbers in full) or latex")
    action.add_argument("--out", type=Path, metavar="FILE", help="write the table there and nothing else")
    action.add_argument("--results", type=Path, metavar="FOLDER", help=STORED)


def _list(args: argparse.Namespace) -> int:
    from ..experiments import data_folder, markdown, tables

    rows = []
    for name in tables.names():
        module = tables.load(name)
        stored = [size for size in module.SIZES if (data_folder("results") / f"{name}_{size}.csv").exists()]
        rows.append({"table": name, "sizes (cells)": _counts(module), "stored": ", ".join(stored), "shows": tables.purpose(name)})
    print(markdown(rows, columns=["table", "sizes (cells)", "stored", "shows"]))
    return 0


def _counts(module: Any) -> str:
    """Sizes with their number of cells, "?" where the pictures that the cells are named after are not here."""
    counts = []
    for size in module.SIZES:
        try:
            counts.append(f"{size} ({len(module.cells(size))})")
        except (FileNotFoundError, KeyError, ValueError):
            counts.append(f"{size} (?)")
    return ", ".join(counts)


def _run(args: argparse.Namespace) -> int:
    from ..experiments import export_results, markdown, run_cells

    module = _table(args)
    with user_input():
        cells = module.cells(args.size)
    if args.jobs == 0:
        raise UserError("Got --jobs 0. Allowed: 1 or more, or -1 for each core. Fix: --jobs 1.")
    with _cluster(args.dask) as jobs:
        run = run_cells(cells, module.run, store=args.store, jobs=jobs or args.jobs, progress=sys.stderr.isatty())
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


@contextmanager
def _cluster(address: str | None) -> Iterator[int | None]:
    """joblib on the workers of a Dask scheduler; yields the number of jobs to ask for, None without an address."""
    if address is None:
        yield None
        return
    from joblib import parallel_config

    try:
        from distributed import Client
    except ImportError as error:
        raise UserError("Got --dask without the package distributed. Allowed: with it. Fix: pip install 'restorekit[cluster]'.") from error
    try:
        client = Client(address, timeout=10)
    except (OSError, ValueError) as error:
        raise UserError(f"Got no Dask scheduler at {address} ({error}). Allowed: tcp://HOST:PORT of one. Fix: dask scheduler") from error
    with client, parallel_config(backend="dask"):
        yield -1


def _show(args: argparse.Namespace) -> int:
    from ..experiments import load_results

    module = _table(args)
    with user_input():
        results = load_results(args.name, args.size, folder=args.results)
    stamp, machine = results.stamp, results.stamp["environment"]
    seeds = ", ".join(map(str, stamp["seeds"]))
    told = f"\n{args.size}: {stamp['rows']} cells, seeds {seeds}; {stamp['date']}; {machine['cpu']}, torch {machine['torch']}."
    _put(args, module.summarize(results.rows), f"{told}\nMade by: {stamp['command']}")
    return 0


def _compare(args: argparse.Namespace) -> int:
    from ..experiments import load_file, load_results
    from ..experiments.compare import compare_runs, settings_of

    module = _table(args)
    with user_input():
        results = load_results(args.name, args.size, folder=args.results)
    if args.against == "published":
        return _beside_print(args, results.rows)
    with user_input():
        if args.against in SIZES:
            other = load_results(args.name, args.against, folder=args.results)
        else:
            other = load_file(args.against)
        if other.stamp["table"] != args.name:
            raise UserError(f"Got a run of {other.stamp['table']}. Allowed: one of {args.name}. Fix: name its file.")
        settings = settings_of([*results.rows, *other.rows])
        rows = compare_runs(module.summarize(results.rows), module.summarize(other.rows), settings=settings)
    missing = {which: sum(row["missing"] == which for row in rows) for which in ("first", "second")}
    told = [f"{which}: {_origin(run.stamp)}" for which, run in (("first", results), ("second", other))]
    told.append(f"difference = second - first; beyond: in spreads of the difference. Missing: {missing['first']} in the first run, ")
    _put(args, rows, "\n" + "\n".join(told) + f"{missing['second']} in the second.")
    return 0


def _origin(stamp: Mapping[str, Any]) -> str:
    machine = stamp["environment"]
    return f"size {stamp['size']}, {stamp['rows']} cells, {stamp['date']}; {machine['cpu']}, torch {machine['torch']}, {machine['commit']}"


def _beside_print(args: argparse.Namespace, rows: Sequence[Mapping[str, Any]]) -> int:
    from ..experiments.published import answered, compare_with_published, sources

    if not (found := sources(args.name)):
        fix = "choose one of these, or --against another size or file"
        raise UserError(f"Got {args.name}, which answers no printed table. Allowed: {', '.join(answered())}. Fix: {fix}.")
    told = ["\ndifference = ours - printed, which is the protocols' difference too; gain: over the same method in each."]
    for source in found:
        base = f" (gains over {source.base})" if source.base else ""
        told += [f"{source.locator}{base}, data/published/{source.file}.csv", *(f"  {line}" for line in source.differs)]
    _put(args, compare_with_published(args.name, rows), "\n".join(told))
    return 0


def _figures(args: argparse.Namespace) -> int:
    from ..experiments import figures

    for name in args.names or figures.names():
        try:
            with user_input():
                print(figures.save(name, args.size, out=args.out, folder=args.results))
        except ModuleNotFoundError as error:
            raise UserError(str(error)) from error
        except UserError as error:
            if args.names or not isinstance(error.__cause__, FileNotFoundError):
                raise
            print(f"{name}: {error}", file=sys.stderr)
    return 0


def _put(args: argparse.Namespace, rows: Sequence[Mapping[str, Any]], told: str) -> None:
    """Print a table with what is told of it, or write it, alone, to --out."""
    from ..experiments import FORMATS, write_atomic

    text = FORMATS[args.format](rows).rstrip("\n")
    if args.out is None:
        print(text)
        print(told, file=sys.stderr if args.format == "csv" else sys.stdout)
        return
    if args.out.is_dir() or not args.out.resolve().parent.is_dir():
        raise UserError(f"Got --out {args.out}. Allowed: a file in an existing folder. Fix: --out {args.name}.{args.format[:3]}.")
    write_atomic(args.out, text + "\n")
    print(f"Written: {args.out}")


def _table(args: argparse.Namespace) -> Any:
    from ..experiments import tables

    with user_input():
        module = tables.load(args.name)
    if args.size not in module.SIZES:
        raise UserError(f"Got --size {args.size} for {args.name}. Allowed: {', '.join(module.SIZES)}. Fix: choose one of these.")
    return module
