"""Pages as files: write a notebook from its .py pair, run it, clean what is stored.

    python -m restorekit.teach.build sync|execute [--measure] [PAGE ...]

notebooks/py/PAGE.py is the source of all text; notebooks/PAGE.ipynb adds the outputs. Nothing here goes by file times.
"""

from __future__ import annotations

import argparse
import base64
import difflib
import hashlib
import os
import re
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jupytext
import nbformat
from nbclient import NotebookClient

from restorekit._check import fail

from .cards import measure_page

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = ROOT / "notebooks"
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
PROGRESS = re.compile(r"\d+%\|.*\[")  # a bar such as "40%|##   | 10/25 [00:04<00:06]"
KEPT = ("tags", "slideshow", "nbgrader")  # cell metadata that both files hold
METADATA = {
    "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
    # no version: it differs between machines
    "language_info": {"file_extension": ".py", "mimetype": "text/x-python", "name": "python", "pygments_lexer": "ipython3"},
}


def pages(names: Sequence[str] = (), notebooks: Path = NOTEBOOKS) -> list[Path]:
    """The .py files of the named pages (name, number or path; all without names); ValueError for an unknown one."""
    known = sorted((notebooks / "py").glob("[0-9]*.py"))
    if not names:
        return known
    chosen: set[Path] = set()
    for stem in [Path(name).stem for name in names]:
        # "03" means 03_..., not 03b_... as well
        found = [p for p in known if f"{p.stem}_".startswith(f"{stem}_")] or [p for p in known if p.stem.startswith(stem)]
        if not found:
            fail(f"page {stem!r}", ", ".join(p.stem for p in known) or "none: notebooks/py is empty", "give a page's name or number")
        chosen.update(found)
    return [p for p in known if p in chosen]


def notebook_of(source: Path) -> Path:
    """The notebook that belongs to notebooks/py/PAGE.py."""
    return source.parent.parent / f"{source.stem}.ipynb"


def read_source(source: Path) -> Any:
    """The page of a .py file as a notebook without outputs, with cell ids that depend on the text only."""
    made = jupytext.read(source, fmt="py:percent")
    seen: Counter[str] = Counter()
    for cell in made.cells:
        text = f"{cell.cell_type}\n{cell.source}"
        seen[text] += 1
        cell.id = hashlib.sha256(f"{seen[text]}\n{text}".encode()).hexdigest()[:8]
    return normalize(made)


def normalize(notebook: Any) -> Any:
    """Store only what belongs to the page: known metadata, solutions collapsed, nothing of one run or one machine."""
    notebook.metadata = nbformat.from_dict(METADATA)
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    for cell in notebook.cells:
        cell.metadata = nbformat.from_dict({key: cell.metadata[key] for key in KEPT if key in cell.metadata})
        if cell.cell_type == "code" and "solution" in cell.metadata.get("tags", []):
            cell.metadata["jupyter"] = {"source_hidden": True}
        if cell.cell_type == "code":
            cell.outputs = [cleaned for output in cell.get("outputs", []) if (cleaned := clean_output(output)) is not None]
    return notebook


def clean_output(output: Any) -> Any | None:
    """An output as it is stored: no stderr, no view of a widget that is gone (its static picture or text stays)."""
    if output.output_type == "stream" and output.name == "stderr":
        return None
    data = output.get("data", {})
    if WIDGET_VIEW in data:
        del data[WIDGET_VIEW]
        return None if not data or PROGRESS.search(str(data.get("text/plain", ""))) else output
    return output


def keep_outputs(new: Any, old: Any) -> None:
    """Give unchanged code cells of `new` the outputs that they had in `old`."""

    def texts(notebook: Any) -> list[tuple[str, str]]:
        return [(cell.cell_type, cell.source) for cell in notebook.cells]

    for start_old, start_new, size in difflib.SequenceMatcher(None, texts(old), texts(new), autojunk=False).get_matching_blocks():
        for before, after in zip(old.cells[start_old : start_old + size], new.cells[start_new : start_new + size], strict=True):
            if after.cell_type == "code":
                after.outputs, after.execution_count = before.outputs, before.execution_count


def write(notebook: Any, path: Path) -> bool:
    """Write a notebook in one move; False if the file already holds exactly that."""
    text = nbformat.writes(notebook).rstrip("\n") + "\n"
    if path.exists() and path.read_text(encoding="utf-8") == text:
        return False
    draft = path.with_suffix(".tmp")
    draft.write_text(text, encoding="utf-8")
    os.replace(draft, path)
    return True


def sync(source: Path) -> bool:
    """Write the cells of notebooks/py/PAGE.py into notebooks/PAGE.ipynb; True if that changed it."""
    new, path = read_source(source), notebook_of(source)
    if path.exists():
        keep_outputs(new, nbformat.read(path, as_version=4))
    return write(normalize(new), path)


def differences(source: Path) -> list[str]:
    """What keeps a pair from being equal: cell type, text or tags; empty if nothing. Writes nothing."""
    path = notebook_of(source)
    if not path.exists():
        return [f"{path.name} is missing"]

    def cells(notebook: Any) -> list[str]:
        lines: list[str] = []
        for cell in notebook.cells:
            lines += [f"[{cell.cell_type}] {' '.join(cell.metadata.get('tags', []))}", *cell.source.splitlines(), ""]
        return lines

    stored = nbformat.read(path, as_version=4)
    return list(difflib.unified_diff(cells(read_source(source)), cells(stored), source.name, path.name, lineterm="", n=1))


def unexpected_stderr(notebook: Any) -> list[str]:
    """Lines on stderr that are not those of a progress bar: a warning that the page should not cause."""
    lines: list[str] = []
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if output.output_type == "stream" and output.name == "stderr":
                rest = output.text.replace("\r", "\n").splitlines()
                lines += [line for line in rest if line.strip() and "it/s" not in line and "s/it" not in line and "%|" not in line]
    return lines


def execute(source: Path, *, timeout: int = 600, size: str = "quick") -> float:
    """Sync a page, run it in a fresh kernel from its folder and store clean outputs; returns the seconds it took.

    Raises what a cell raises, and RuntimeError for a warning on stderr; then the notebook on disk keeps its old outputs.
    """
    sync(source)
    path = notebook_of(source)
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook,
        timeout=timeout,
        kernel_name="python3",
        record_timing=False,
        store_widget_state=False,
        resources={"metadata": {"path": str(path.parent)}},
    )
    start = time.perf_counter()
    client.execute(env={**os.environ, "RESTOREKIT_SIZE": size})
    if rest := unexpected_stderr(notebook):
        raise RuntimeError(f"{path.name} writes to stderr: " + "; ".join(rest[:5]))
    write(normalize(notebook), path)
    keep_picture(notebook, path.parent.parent / "data" / "readme.png")
    return time.perf_counter() - start


def keep_picture(notebook: Any, target: Path) -> None:
    """Write the figure of the cell tagged `readme` to `target`: the picture that README shows is one that a page made."""
    for cell in notebook.cells:
        for output in cell.get("outputs", []) if "readme" in cell.metadata.get("tags", []) else []:
            if png := output.get("data", {}).get("image/png"):
                target.parent.mkdir(exist_ok=True)
                target.write_bytes(base64.b64decode(png))


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; see the module."""
    parser = argparse.ArgumentParser(prog="run.py", description="Write the notebooks from their .py pairs, and run them.")
    parser.add_argument("action", choices=("sync", "execute"))
    parser.add_argument("pages", nargs="*", metavar="PAGE", help="name or number (default: all)")
    parser.add_argument("--measure", action="store_true", help="execute: first measure the page's time and memory for its card")
    options = parser.parse_intermixed_args(argv)  # pages may follow the option
    size = os.environ.get("RESTOREKIT_SIZE", "quick")
    for source in pages(options.pages):
        if options.action == "sync":
            print(f"{source.stem}: {'written' if sync(source) else 'unchanged'}", flush=True)
            continue
        if options.measure:
            sync(source)
            print(f"{source.stem}: {measure_page(notebook_of(source), at=size)}", flush=True)
        print(f"{source.stem}: run in {execute(source, size=size):.0f} s", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
