"""Small tables for cards and claims."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape


def table(rows: Sequence[tuple[str, Sequence[str]]], *, style: str, caption: str = "") -> str:
    """An HTML table with one row heading a line and its values below each other; everything escaped."""
    left = "style='text-align:left;vertical-align:top'"
    body = "".join(f"<tr><th scope='row' {left}>{escape(n)}</th><td {left}>{'<br>'.join(map(escape, v))}</td></tr>" for n, v in rows)
    head = f"<caption style='text-align:left'><b>{escape(caption)}</b></caption>" if caption else ""
    return f"<table style='{style}'>{head}{body}</table>"
