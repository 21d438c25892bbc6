"""Files that are either whole or absent."""

from __future__ import annotations

import json
import os
import secrets
from contextlib import suppress
from pathlib import Path
from typing import Any


def write_atomic(path: str | os.PathLike[str], text: str) -> Path:
    """Write `text` so that a reader, or a run killed at any moment, sees the old file or the new one and nothing between."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}.tmp")
    try:
        with open(temporary, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return path


def write_json(path: str | os.PathLike[str], content: Any) -> Path:
    """Write `content` as indented JSON, atomically."""
    return write_atomic(path, json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def read_json(path: str | os.PathLike[str]) -> Any:
    """Read a JSON file; ValueError that names the file if it is damaged."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"Got a damaged file {path} ({error}). Allowed: JSON. Fix: delete it and run again.") from error


def plain(value: Any, name: str) -> Any:
    """Return `value` as a Python bool, int, float, str or None (numpy and torch scalars included); TypeError otherwise."""
    if hasattr(value, "dtype") and hasattr(value, "item"):
        with suppress(ValueError, RuntimeError):  # more than one element: refused below
            value = value.item()
    if not isinstance(value, (bool, int, float, str, type(None))):
        kind = type(value).__name__
        raise TypeError(
            f"Got {name} of type {kind}. Allowed: a number, text, bool or None. Fix: reduce it, for example with float({name})."
        )
    return value
