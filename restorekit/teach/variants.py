"""Learner page, solution page and slides from one notebook, and HTML that keeps the alt texts."""

from __future__ import annotations

import copy
import re
from typing import Any

from restorekit._check import check_choice

KINDS = ("learner", "solution", "slides")


def variant(notebook: Any, kind: str) -> Any:
    """A copy of a notebook (nbformat 4) for learners, for those who look up solutions, or as slides, by the tags of its cells.

    learner: cells tagged instructor are dropped, solution cells are collapsed. solution: exercise stubs are dropped,
    solutions stand open, instructor notes stay. slides: headings start slides, code and figures follow as fragments,
    exercises, hints and solutions are left out, instructor cells become speaker notes. Raises ValueError for another kind.
    """
    check_choice(kind, KINDS, "kind")
    made = copy.deepcopy(notebook)
    dropped = {"learner": {"instructor"}, "solution": {"exercise"}, "slides": {"exercise", "hint", "solution"}}[kind]
    # the page needs what the hidden cells define, so slides keep the stored outputs and are not executed again
    made.cells = [cell for cell in made.cells if not dropped & tags(cell)]
    for cell in made.cells:
        if kind == "slides":
            cell.metadata["slideshow"] = {"slide_type": _place(cell)}
        elif "solution" in tags(cell):
            _fold(cell, kind == "learner")
    return made


def tags(cell: Any) -> set[str]:
    """The tags of a cell."""
    return set(cell.metadata.get("tags", []))


def _fold(cell: Any, folded: bool) -> None:
    """Collapse the source (and the output) of a cell in JupyterLab, or open it."""
    cell.metadata["jupyter"] = {"source_hidden": True, "outputs_hidden": True} if folded else {}
    if not folded:
        del cell.metadata["jupyter"]


def _place(cell: Any) -> str:
    if "instructor" in tags(cell):
        return "notes"
    if cell.cell_type == "markdown" and re.match(r"#{1,2} ", cell.source):
        return "slide"
    if cell.cell_type == "markdown" and re.match(r"#{3,} ", cell.source):
        return "subslide"
    return "fragment" if cell.cell_type == "code" else "-"


def to_html(notebook: Any, *, slides: bool = False) -> str:
    """The notebook as one HTML page (or reveal.js slides) in which every picture keeps its alt text.

    nbconvert's default template drops the alt text that an output carries in its metadata and writes that there is none;
    here it is put back.
    """
    from nbconvert.exporters import HTMLExporter, SlidesExporter

    body, _ = (SlidesExporter if slides else HTMLExporter)().from_notebook_node(notebook)
    return restore_alt(body, notebook)


def restore_alt(body: str, notebook: Any) -> str:
    """Put the alt text of each output's picture into the <img> of the exported page that holds its data."""
    from html import escape

    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            data = output.get("data", {}).get("image/png")
            alt = output.get("metadata", {}).get("image/png", {}).get("alt")
            if not data or not alt:
                continue
            at = body.find(data.strip()[:4000])
            end = body.find(">", at)
            if at >= 0 and end >= 0:
                rest = re.sub(r'\salt="[^"]*"', "", body[at:end])
                start = body.rfind("<img", 0, at)
                opening = re.sub(r'\salt="[^"]*"', "", body[start + 4 : at])
                body = f'{body[:start]}<img alt="{escape(alt)}"{opening}{rest}{body[end:]}'
    return body
