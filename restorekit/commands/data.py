"""`restorekit data list | get NAME | check | path NAME`: the standard sets of pictures, downloaded, recognized and checked."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from . import UserError, user_input


def add_parser(commands: Any) -> None:
    parser = commands.add_parser("data", help="list, get and check the standard sets of pictures", description=__doc__)
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    action = actions.add_parser("list", help="the sets, what can be downloaded, what is here; with names: all about these")
    action.add_argument("names", nargs="*", metavar="NAME")
    action.set_defaults(run=_list)
    action = actions.add_parser("get", help="download sets into the user's cache; a stopped download goes on where it was")
    action.add_argument("names", nargs="+", metavar="NAME")
    action.set_defaults(run=_get)
    action = actions.add_parser("check", help="is a set whole and unaltered? Without a name: each set that is here")
    action.add_argument("names", nargs="*", metavar="NAME")
    action.add_argument("--folder", type=Path, help="look there for the set (one NAME), not in RESTOREKIT_DATA and the cache")
    action.set_defaults(run=_check)
    action = actions.add_parser("path", help="print the folder of a set")
    action.add_argument("name", metavar="NAME")
    action.set_defaults(run=_path)


def _list(args: argparse.Namespace) -> int:
    from .. import registry
    from ..experiments import markdown

    with user_input():
        chosen = [registry.entry(name) for name in args.names]
    for entry in chosen:
        print(_about(entry))
    if not chosen:
        rows = []
        for entry in registry.entries().values():
            whole, known = sum(entry.pictures.values()), sum(entry.known.values())
            get = "by hand" if not entry.files else "get" if known == whole else f"get {known}, the rest by hand"
            size = f"{entry.bytes / 1e6:.1f}" if entry.files else "-"
            here = registry.find(entry.name)
            rows.append({"set": entry.name, "pictures": str(whole), "how": get, "MB": size, "here": str(here or "-"), "what": entry.title})
        print(markdown(rows))
        print("\nLicense, layout and source of one: python -m restorekit data list NAME")
    return 0


def _about(entry: Any) -> str:
    from .. import registry

    counts = ", ".join(str(n) if folder == "." else f"{n} in {folder}" for folder, n in entry.pictures.items())
    known = f"{len(entry.files)} files, {entry.bytes / 1e6:.1f} MB, SHA-256 known" if entry.files else "nothing that get can fetch"
    lines = {
        "license": entry.license,
        "source": entry.source,
        "pictures": counts,
        "layout": entry.layout,
        "download": known,
        "by hand": entry.by_hand,
        "here": registry.find(entry.name) or "no",
    }
    return "\n".join([f"{entry.name}. {entry.title}", *(f"  {key}: {value}" for key, value in lines.items() if value)])


def _get(args: argparse.Namespace) -> int:
    from .. import registry
    from .._download import fetch

    with user_input():
        chosen = [registry.entry(name) for name in args.names]
    for entry in chosen:
        own = registry.find(entry.name)
        if own is not None and own != _cached(entry):
            _keep(entry, own)
            continue
        print(f"{entry.name}: license: {entry.license}; source: {entry.source}")
        try:
            with user_input():
                folder = fetch(entry)
        except ModuleNotFoundError as error:
            raise UserError(str(error)) from error
        except KeyboardInterrupt:
            print("\nStopped; the same command goes on.", file=sys.stderr)
            return 130
        print(f"{entry.name}: {len(entry.files)} files, checksums right, in {folder}")
        if entry.partial:
            print(f"  not the whole set: {entry.by_hand}")
    return 0


def _keep(entry: Any, own: Path) -> None:
    """The user's folder comes before the cache: no download if it is sound, an error if it is not."""
    from .. import registry

    report = registry.check(entry, own)
    if not report.ok:
        raise UserError(
            f"Got {own}, which is used before the cache and is not sound (python -m restorekit data check {entry.name}). "
            f"Allowed: a sound folder or none. Fix: complete it from {entry.source}, or rename it and give the command again."
        )
    print(f"{entry.name}: already in {own}, nothing to download")


def _check(args: argparse.Namespace) -> int:
    from .. import registry

    if args.folder is not None and len(args.names) != 1:
        raise UserError(f"Got --folder with {len(args.names)} names. Allowed: one. Fix: name the set that is in {args.folder}.")
    with user_input():
        chosen = [registry.entry(name) for name in args.names] or [e for e in registry.entries().values() if registry.find(e.name)]
    if not chosen:
        print("No set is here. Get one: python -m restorekit data get set5; or let RESTOREKIT_DATA name the folder that holds yours.")
    bad = False
    for entry in chosen:
        folder = args.folder or _found(entry)
        with user_input():
            report = registry.check(entry, folder)
        bad = bad or not report.ok
        print("\n".join(report.lines()))
    return 1 if bad else 0


def _path(args: argparse.Namespace) -> int:
    from .. import registry

    with user_input():
        entry = registry.entry(args.name)
    print(_found(entry))
    return 0


def _found(entry: Any) -> Path:
    from .. import registry

    with user_input():
        return registry.found(entry.name)


def _cached(entry: Any) -> Path | None:
    from .. import registry

    root = registry.cache_folder()
    return root / entry.name if root else None
