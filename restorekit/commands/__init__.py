"""The commands of `python -m restorekit`, one file each. Nothing heavy is imported before a command runs."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path


class UserError(Exception):
    """Bad input: told to the user in one sentence, exit code 2."""


@contextmanager
def user_input() -> Iterator[None]:
    """Turn what the package says about bad input into a UserError; only around the handling of input, so that a fault of the
    program keeps its traceback."""
    try:
        yield
    except (ValueError, TypeError, OSError) as error:
        raise UserError(str(error)) from error


def numbers(text: str, count: int | Sequence[int], kind: type = float) -> tuple[float, ...]:
    """The comma-separated numbers of an option; argparse.ArgumentTypeError if they are not `count` (or one of) many."""
    allowed = (count,) if isinstance(count, int) else tuple(count)
    try:
        values = tuple(kind(part) for part in text.split(","))
    except ValueError:
        values = ()
    if len(values) not in allowed:
        raise argparse.ArgumentTypeError(f"got {text!r}, want {' or '.join(map(str, allowed))} numbers with commas between")
    return values


def align(text: str) -> str | tuple[float, ...]:
    """'resize', 'phase0' or DY,DX."""
    return text if text in ("resize", "phase0") else numbers(text, 2)


def scale(text: str) -> int:
    """1, 2, 3 or 4."""
    if text not in ("1", "2", "3", "4"):
        raise argparse.ArgumentTypeError(f"got {text!r}, want 1, 2, 3 or 4; for a larger factor restore twice")
    return int(text)


def output_path(path: Path, *, force: bool, suffixes: Sequence[str]) -> Path:
    """Check before the work starts that a result can be written to `path`."""
    if path.suffix.lower() not in suffixes:
        raise UserError(f"Got the output {path.name}. Allowed: {', '.join(suffixes)}. Fix: name it for example {path.stem}.png.")
    if not path.parent.is_dir():
        raise UserError(f"Got the folder {path.parent}, which does not exist. Allowed: an existing folder. Fix: create it first.")
    if path.is_dir():
        raise UserError(f"Got the output {path}, which is a folder. Allowed: a file. Fix: add a file name.")
    if path.exists() and not force:
        raise UserError(
            f"Got the output {path}, which exists. Allowed: a new file. Fix: choose another name, or add --force to replace it."
        )
    return path
