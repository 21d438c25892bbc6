"""The command line: `python -m restorekit restore | degrade | experiments | claims | weights | data`.

Exit codes: 0 done, 1 something failed on the way, 2 bad input (said in one sentence), 130 stopped by Ctrl-C.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from . import __version__
from .commands import UserError, claims, data, degrade, experiments, restore, weights


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; argv: the words after the program's name (default: those of the process)."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        args = _parser().parse_args(arguments)
        args.argv = arguments
        code = int(args.run(args))
        sys.stdout.flush()
        return code
    except UserError as error:
        print(f"restorekit: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # the reader, such as `head`, has seen enough; Python's own flush at exit must not fail again
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        print("\nStopped before there was anything to keep.", file=sys.stderr)
        return 130
    except SystemExit as exit:  # argparse, after --help or a word it does not know
        return exit.code if isinstance(exit.code, int) else 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="restorekit", description="Restore pictures, degrade them, rerun the papers' experiments.")
    parser.add_argument("--version", action="version", version=f"restorekit {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for module in (restore, degrade, experiments, claims, weights, data):
        module.add_parser(commands)
    return parser
