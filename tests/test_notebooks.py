"""Pages as files: pairs, cells, stored outputs, alt texts, cost. nbval runs them; test_widgets.py moves their controls."""

from __future__ import annotations

import re
import statistics
from pathlib import Path

import nbformat
import pytest

from restorekit.teach import build
from restorekit.teach.cards import read_times

NOTEBOOKS = sorted(build.NOTEBOOKS.glob("*.ipynb"))
PAGE_CPU, CELL_CPU, PAGE_MB = 180.0, 60.0, 2000.0
SHORTEST_ALT = 15
every_page = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)


def read(path: Path):
    return nbformat.read(path, as_version=4)


def prose_words(text: str) -> int:
    """Words of running text: without formulas, code blocks, tags and table rows."""
    text = re.sub(r"\$\$.*?\$\$|\$[^$]*\$|```.*?```|<[^>]+>", " ", text, flags=re.S)
    text = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("|"))
    return len(re.findall(r"[A-Za-z][\w'-]*", re.sub(r"\]\([^)]*\)", "]", text)))


def cell_faults(notebook) -> list[str]:
    """What breaks the rules for the size and order of cells."""
    found: list[str] = []
    lines = {i: len([s for s in c.source.splitlines() if s.strip()]) for i, c in enumerate(notebook.cells) if c.cell_type == "code"}
    if len(notebook.cells) > 60:
        found.append(f"{len(notebook.cells)} cells, at most 60")
    if lines and statistics.median(lines.values()) > 8:
        found.append(f"median code cell {statistics.median(lines.values()):.0f} lines, at most 8")
    if sum(n > 15 for n in lines.values()) > 0.05 * len(lines) + 1:
        found.append(f"code cells over 15 lines: {[i for i, n in lines.items() if n > 15]}, at most 1 in 20")
    found += [f"cell {i}: {n} lines, at most 25" for i, n in lines.items() if n > 25]
    run = 0
    for i, cell in enumerate(notebook.cells):
        run = run + 1 if cell.cell_type == "code" else 0
        if run == 4:
            found.append(f"cell {i}: more than 3 code cells without prose")
        if cell.cell_type == "markdown" and prose_words(cell.source) > 80:
            found.append(f"cell {i}: {prose_words(cell.source)} words of prose, at most 80")
    return found


def heading_faults(notebook) -> list[str]:
    """One top heading, which opens the page, and no level skipped."""
    text = "\n\n".join(c.source for c in notebook.cells if c.cell_type == "markdown")
    levels = [len(mark) for mark in re.findall(r"^(#{1,6}) ", re.sub(r"```.*?```", "", text, flags=re.S), flags=re.M)]
    found = [] if levels[:1] == [1] and levels.count(1) == 1 else [f"heading levels {levels[:4]}...: exactly one #, and first"]
    return found + [f"a heading of level {b} follows one of level {a}" for a, b in zip(levels, levels[1:], strict=False) if b > a + 1]


def output_faults(notebook) -> list[str]:
    """Errors, stderr, views of dead widgets, pictures without alt text, cells that were not run from top to bottom."""
    found: list[str] = []
    for i, cell in enumerate(notebook.cells):
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            if output.output_type == "error" and "raises-exception" not in cell.metadata.get("tags", []):
                found.append(f"cell {i}: stored error {output.ename}")
            if output.get("name") == "stderr":
                found.append(f"cell {i}: stored stderr {output.text[:60]!r}")
            if build.WIDGET_VIEW in data:
                found.append(f"cell {i}: stored view of a widget; run.py execute removes it")
            for kind in {"image/png", "image/jpeg", "image/svg+xml"} & set(data):
                if len(output.metadata.get(kind, {}).get("alt", "")) < SHORTEST_ALT:
                    found.append(f"cell {i}: {kind} without alt text")
    counts = [c.execution_count for c in notebook.cells if c.cell_type == "code" and c.source.strip()]
    if counts != list(range(1, len(counts) + 1)):
        found.append(f"not run once from top to bottom: execution counts {counts[:6]}...")
    return found


def metadata_faults(notebook) -> list[str]:
    """JupyterLab asks for a kernel without kernelspec; stored widgets show as empty cells."""
    found = [] if notebook.metadata.get("kernelspec", {}).get("name") == "python3" else ["kernelspec is not python3"]
    return found + (["metadata.widgets is stored"] if "widgets" in notebook.metadata else [])


def test_every_page_has_its_pair():
    assert {p.stem for p in NOTEBOOKS} == {p.stem for p in build.pages()}
    assert NOTEBOOKS


@every_page
def test_pair_is_equal(path):
    found = build.differences(path.parent / "py" / f"{path.stem}.py")
    assert not found, f"run: python3 run.py execute {path.stem}\n" + "\n".join(found[:40])


@every_page
def test_cells_keep_the_rules(path):
    notebook = read(path)
    assert cell_faults(notebook) + heading_faults(notebook) == []


@every_page
def test_stored_outputs_are_clean_and_complete(path):
    notebook = read(path)
    nbformat.validate(notebook)
    assert metadata_faults(notebook) + output_faults(notebook) == []
    assert path.stat().st_size <= 1_500_000


@every_page
def test_measured_cost_is_within_the_rules(path):
    row = read_times().get(path.stem, {}).get("quick")
    assert row, f"run: python3 run.py execute --measure {path.stem}"
    assert row["cpu_s"] <= PAGE_CPU and row["longest_cell_s"] <= CELL_CPU and row["peak_mb"] <= PAGE_MB, row


def page(*cells):
    return nbformat.v4.new_notebook(cells=list(cells), metadata=build.METADATA)


def code(source="x = 1", count=1, **output):
    outputs = [nbformat.from_dict(output)] if output else []
    return nbformat.v4.new_code_cell(source, execution_count=count, outputs=outputs)


def prose(source):
    return nbformat.v4.new_markdown_cell(source)


PNG = {"output_type": "display_data", "data": {"image/png": "aGk="}}


@pytest.mark.parametrize(
    ("notebook", "fault"),
    [
        (page(*[prose("# a") for _ in range(61)]), "61 cells"),
        (page(code("x = 1\n" * 26)), "26 lines"),
        (page(code("x = 1\n" * 9)), "median"),
        (page(*[code("x = 1\n" * 16), code("x = 1\n" * 16), prose("a"), code(), prose("b"), code(), code()]), "over 15 lines"),
        (page(code(), code(), code(), code()), "more than 3 code cells"),
        (page(prose("word " * 81)), "81 words"),
        (page(prose("text"), prose("## b\n\n# a")), "heading levels"),
        (page(prose("# a\n\n### c")), "level 3 follows"),
        (page(code(output_type="error", ename="ValueError", evalue="", traceback=[])), "stored error"),
        (page(code(output_type="stream", name="stderr", text="careful")), "stored stderr"),
        (page(code(**PNG, metadata={})), "without alt"),
        (page(code(**PNG, metadata={"image/png": {"alt": "short"}})), "without alt"),
        (page(code(output_type="display_data", data={build.WIDGET_VIEW: {}}, metadata={})), "view of a widget"),
        (page(code(count=2)), "top to bottom"),
        (page(code(count=None)), "top to bottom"),
        (nbformat.v4.new_notebook(metadata={"widgets": {}}), "widgets"),
        (nbformat.v4.new_notebook(), "kernelspec"),
    ],
)
def test_each_rule_catches_its_fault(notebook, fault):
    rules = (cell_faults, heading_faults, output_faults, metadata_faults)
    assert any(fault in line for rule in rules for line in rule(notebook))


def test_a_good_page_breaks_no_rule():
    good = page(
        prose("# a\n\n| a | " + "word " * 99 + "|\n\n$" + "x " * 99 + "$"), code(**PNG, metadata={"image/png": {"alt": "A full sentence."}})
    )
    assert not [line for rule in (cell_faults, heading_faults, output_faults, metadata_faults) for line in rule(good)]
