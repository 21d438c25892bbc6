"""`restorekit claims [list | show ID | check]`: the claims ledger, from stored results; `check` recomputes every verdict."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from . import UserError, user_input


def add_parser(commands: Any) -> None:
    parser = commands.add_parser("claims", help="the papers' claims with our verdicts", description=__doc__)
    parser.set_defaults(run=_list)
    actions = parser.add_subparsers(metavar="ACTION")
    actions.add_parser("list", help="all claims with verdict and evidence (the default)").set_defaults(run=_list)
    action = actions.add_parser("show", help="one claim with all its numbers and the command that gives them")
    action.add_argument("id", help="for example M1 or A2")
    action.set_defaults(run=_show)
    actions.add_parser("check", help="compute each verdict again from the stored tables").set_defaults(run=_check)


def _list(args: argparse.Namespace) -> int:
    from ..experiments import ledger

    print(ledger.as_markdown())
    return 0


def _show(args: argparse.Namespace) -> int:
    from ..experiments import load_claims

    records = load_claims()
    chosen = [record for record in records if record.id.lower() == args.id.lower()]
    if not chosen:
        raise UserError(f"Got claim {args.id}. Allowed: {', '.join(sorted({r.id for r in records}))}. Fix: choose one of these.")
    for record in chosen:
        print(f"{record.id} ({record.locator}), size {record.size}: {record.verdict}\n{record.text}")
        for name, value in record.values.items():
            spread = "" if value.spread is None else f" ± {value.spread:.4g}"
            print(f"  {'margin' if value.margin else '      '}  {name}: {value.value:.4g}{spread}, n = {value.n}")
        machine = record.environment
        print(f"Made by: {record.command}\n{record.date}; {machine['cpu']}, torch {machine['torch']}\n")
    return 0


def _check(args: argparse.Namespace) -> int:
    from ..experiments import ledger, load_claims

    with user_input():
        found = ledger.differences()
    for line in found:
        print(line, file=sys.stderr)
    records = load_claims()
    print(f"{len(records)} records; {len(found)} differ from what the stored tables give.")
    print(f"Claims without a record: {', '.join(ledger.missing(records)) or 'none'}.")
    return 1 if found else 0
