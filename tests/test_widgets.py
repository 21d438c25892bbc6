"""Every control of every widget on every page, moved to its ends in a headless kernel; every exercise verified there."""

from __future__ import annotations

import os
import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from restorekit.teach import build

pytestmark = pytest.mark.slow
# smallest size: the pages run in quick size elsewhere
DRIVE = """from restorekit.teach import drive_all as _drive, live_widgets as _widgets, verify_exercises as _verify
print("report", len(_widgets()), _drive(), _verify())"""
MAKERS = re.compile(r"^\s*(?:\w+\s*=\s*)?(?:\w+\.)?(?:explore|stepper|paint|upload)\(", re.M)


def drive(notebook, folder: Path) -> tuple[int, int, int]:
    """Run a page and then DRIVE; widgets, changed pictures, verified exercises."""
    notebook.cells.append(nbformat.v4.new_code_cell(DRIVE))
    client = NotebookClient(notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(folder)}})
    client.execute(env={**os.environ, "RESTOREKIT_SIZE": "smoke"})
    text = "".join(output.get("text", "") for output in notebook.cells[-1].outputs if output.get("name") == "stdout")
    widgets, changed, exercises = map(int, re.search(r"report (\d+) (\d+) (\d+)", text).groups())
    return widgets, changed, exercises


@pytest.mark.parametrize("path", sorted(build.NOTEBOOKS.glob("*.ipynb")), ids=lambda p: p.stem)
def test_every_control_changes_its_picture(path):
    notebook = nbformat.read(path, as_version=4)
    code = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "code")
    widgets, changed, _ = drive(notebook, path.parent)
    assert widgets >= len(MAKERS.findall(code))
    assert changed >= 2 * widgets


EXPLORER = """from restorekit.teach import canvas, explore
def draw(a):
    figure, ax = canvas()
    ax.plot([0, {value}])
    return figure
explore(draw, a=(0, 4, 1, 2), alt="A line that the control moves.")"""


def test_the_drive_counts_what_moves(tmp_path):
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(EXPLORER.format(value="a"))], metadata=build.METADATA)
    widgets, changed, exercises = drive(notebook, tmp_path)
    assert (widgets, exercises) == (1, 0) and changed >= 3  # both ends and back


@pytest.mark.parametrize(("value", "message"), [("1", "did not change"), ("1 / (4 - a)", "ZeroDivisionError")])
def test_a_dead_or_failing_control_is_caught(tmp_path, value, message):
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(EXPLORER.format(value=value))], metadata=build.METADATA)
    with pytest.raises(CellExecutionError, match=message):
        drive(notebook, tmp_path)
