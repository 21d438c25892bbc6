"""What stands around the lessons: sizes, cards, questions, variants, and a page executed from top to bottom."""

import json
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from restorekit.teach import card, measure_page, pick, predict, quiz, size, size_switch, stamp, to_html, variant

GOALS = ["derive a", "compute b", "decide c"]


def test_size_changes_counts(monkeypatch):
    monkeypatch.delenv("RESTOREKIT_SIZE", raising=False)
    assert size() == "quick" and pick(smoke=1, quick=2, full=3) == 2
    monkeypatch.setenv("RESTOREKIT_SIZE", "full")
    assert pick(smoke=1, quick=2, full=3) == 3
    assert [stamp(), stamp(120), stamp(120, 1000), stamp(3, 8, "pictures")] == [
        "full",
        "full: 120 iterations",
        "full: 120 of 1000 iterations",
        "full: 3 of 8 pictures",
    ]
    monkeypatch.setenv("RESTOREKIT_SIZE", "huge")
    with pytest.raises(ValueError, match="'smoke', 'quick', 'full'"):
        size()


def test_switch_sets_the_size_and_says_to_run_again(monkeypatch):
    monkeypatch.setenv("RESTOREKIT_SIZE", "quick")
    switch = size_switch()
    assert switch._repr_mimebundle_()["text/plain"].startswith("Size of this page: quick")
    switch.choice.value = "smoke"
    assert size() == "smoke" and "run all cells again" in switch.note.value


def test_card_shows_measured_times_or_says_there_are_none(tmp_path, monkeypatch):
    monkeypatch.setenv("RESTOREKIT_SIZE", "quick")
    times = tmp_path / "page_times.json"
    settings = {"goals": GOALS, "needs": ["page 00"], "papers": ["MLMC Eq. 1 & 2"], "minutes": 40, "seed": 3}
    text = repr(card("01_page", **settings, times=times))
    assert "quick: not measured yet; full: not measured yet" in text and "size quick, seed 3" in text and "about 40 minutes" in text
    row = {"cpu_s": 61.2, "peak_mb": 812.0, "longest_cell_s": 12.4, "cores": 2, "date": "2026-01-01"}
    times.write_text(json.dumps({"01_page": {"quick": row}}))
    shown = card("01_page", **settings, times=times)
    assert "quick: 61 s of CPU time, 812 MB of memory, longest cell 12 s (2 cores); full: not measured yet" in repr(shown)
    assert "MLMC Eq. 1 &amp; 2" in shown._repr_html_()
    with pytest.raises(ValueError, match="3 to 5"):
        card("01_page", **{**settings, "goals": ["one"]})


def test_prediction_is_taken_up_again():
    guess = predict("Which is <larger>?", ["left", "right", "neither"])
    assert guess.choice is None and "no prediction" in repr(guess.reveal(1, "It is."))
    guess.buttons.value = "left"
    assert repr(guess.reveal(1, "It is.")).splitlines()[1:] == ["You predicted: left.", "Answer: right. It is."]
    data = guess._repr_mimebundle_()
    assert "&lt;larger&gt;" in data["text/html"] and data["text/plain"].count("\n") == 3
    with pytest.raises(ValueError, match="0 to 2"):
        guess.reveal(3, "")
    with pytest.raises(ValueError, match="2 to 5"):
        predict("Which?", ["only"])


def test_quiz_marks_and_folds_out():
    made = quiz([("2 + 2?", ["3", "4"], 1, "count <it>"), ("3 + 3?", ["6", "7"], 0, "count")])
    made.questions[0].buttons.value = "4"
    made.press.click()
    assert made.score == (1, 2) and "right: count &lt;it&gt;" in made.notes[0].value and "choose an answer" in made.notes[1].value
    made.questions[1].buttons.value = "7"
    made.press.click()
    assert made.score == (1, 2) and "not quite" in made.notes[1].value
    static = made._repr_mimebundle_()
    assert static["text/html"].count("<details>") == 2 and "count" not in static["text/plain"]
    with pytest.raises(ValueError, match="0 to 1"):
        quiz([("2 + 2?", ["3", "4"], 2, "")])


def tagged() -> nbformat.NotebookNode:
    cells = [
        new_markdown_cell("# Title"),
        new_markdown_cell("Say this.", metadata={"tags": ["instructor"]}),
        new_code_cell("1", metadata={"tags": ["exercise"]}),
    ]
    cells += [
        new_markdown_cell("hint", metadata={"tags": ["hint"]}),
        new_code_cell("2", metadata={"tags": ["solution"]}),
        new_markdown_cell("### Part"),
    ]
    return new_notebook(cells=[*cells, new_code_cell("3"), new_markdown_cell("words")])


def test_variants_from_one_source():
    source = tagged()
    before = nbformat.writes(source)
    learner, solution, slides = (variant(source, kind) for kind in ("learner", "solution", "slides"))
    assert nbformat.writes(source) == before, "the source is not changed"
    assert [c.source for c in learner.cells] == ["# Title", "1", "hint", "2", "### Part", "3", "words"]
    assert learner.cells[3].metadata.jupyter == {"source_hidden": True, "outputs_hidden": True}
    assert [c.source for c in solution.cells] == ["# Title", "Say this.", "hint", "2", "### Part", "3", "words"]
    assert "jupyter" not in solution.cells[3].metadata
    assert "jupyter" not in variant(learner, "solution").cells[2].metadata, "opens what was collapsed"
    places = {c.source: c.metadata.slideshow.slide_type for c in slides.cells}
    assert places == {"# Title": "slide", "Say this.": "notes", "### Part": "subslide", "3": "fragment", "words": "-"}
    nbformat.validate(slides)
    with pytest.raises(ValueError, match="'learner', 'solution', 'slides'"):
        variant(source, "exam")


PAGE = """
import torch
from restorekit.teach import Trace, explore, filmstrip, paint, show, stepper, size_switch, exercise
size_switch()
---
show(torch.eye(8)[None, None], alt="The identity matrix of 8 rows is a \\"diagonal\\" & bright line.")
---
explore(lambda a: show(torch.full((1, 1, 4, 4), a), alt=f"A gray square of brightness {a:.1f}"), a=(0.0, 1.0, 0.1, 0.5))
---
trace = Trace(fields="x")
for i in range(4):
    trace(i, type("S", (), {"x": torch.full((1, 1, 4, 4), i / 4)})())
stepper(trace, lambda s: show(s.x, alt=f"The square after step {s.step}"))
---
filmstrip(trace, 3, alt="A square that becomes brighter in three frames.")
---
paint(torch.zeros(1, 1, 16, 16))
---
task = exercise("half", 0.5, wrong={"double": 2.0, "none": 0.0}, hints=["a", "b", "c"])
task
---
from restorekit.teach import drive_all, verify_exercises
print(drive_all(), verify_exercises())
"""


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> Path:
    """A small page with every kind of picture, executed in a fresh kernel."""
    notebook = new_notebook(cells=[new_markdown_cell("# A page"), *(new_code_cell(text.strip()) for text in PAGE.split("---"))])
    notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    NotebookClient(notebook, timeout=60, store_widget_state=False).execute()
    path = tmp_path_factory.mktemp("page") / "small.ipynb"
    nbformat.write(notebook, path)
    return path


def test_stored_outputs_hold_png_and_alt(page):
    notebook = nbformat.read(page, as_version=4)
    results = [cell.outputs[-1] for cell in notebook.cells[1:]]
    pictures = [out for out in results if "image/png" in out.get("data", {})]
    assert len(pictures) == 5
    for out in pictures:
        assert len(out.metadata["image/png"]["alt"]) >= 15 and "object at 0x" not in out.data["text/plain"]
    assert sum("application/vnd.jupyter.widget-view+json" in out.get("data", {}) for out in results) == 4
    assert "text/html" in results[0].data and results[-1].text == "10 1\n"
    assert all(out.get("name") != "stderr" for cell in notebook.cells[1:] for out in cell.outputs)


def test_html_export_keeps_alt_and_the_static_pictures(page):
    notebook = nbformat.read(page, as_version=4)
    for slides in (False, True):
        body = to_html(variant(notebook, "slides") if slides else notebook, slides=slides)
        assert 'alt="The identity matrix of 8 rows is a &quot;diagonal&quot; &amp; bright line."' in body
        assert 'alt="A gray square of brightness 0.5"' in body and "No description has been provided" not in body
        assert body.count("<img") == 5


def test_nbval_accepts_the_stored_page(page):
    command = [
        sys.executable,
        "-m",
        "pytest",
        "--nbval",
        "--nbval-current-env",
        "-q",
        "-p",
        "no:cacheprovider",
        "-W",
        "default",
        "--rootdir",
        str(page.parent),
        str(page),
    ]
    done = subprocess.run(command, capture_output=True, text=True, cwd=page.parent, check=False)
    assert done.returncode == 0, done.stdout[-2000:]


def test_measure_page_stores_what_a_page_costs(tmp_path):
    page, times = tmp_path / "02_busy.ipynb", tmp_path / "results" / "page_times.json"
    cells = [
        new_code_cell("import os, time\nassert os.environ['RESTOREKIT_SIZE'] == 'smoke'"),
        new_code_cell("start = time.process_time()\nwhile time.process_time() < start + 0.5: pass"),
    ]
    cells.append(new_code_cell("block = bytearray(60_000_000)"))
    nbformat.write(new_notebook(cells=cells), page)
    row = measure_page(page, at="smoke", times=times)
    assert row["cpu_s"] >= 0.5 and 0.4 <= row["longest_cell_s"] <= row["cpu_s"] and row["peak_mb"] > 60
    assert json.loads(times.read_text()) == {"02_busy": {"smoke": row}}
    assert len(nbformat.read(page, as_version=4).cells) == 3, "the page on disk is untouched"
    with pytest.raises(ValueError, match="smoke"):
        measure_page(page, at="paper")


def test_importing_the_tools_is_quick_and_leaves_pyplot_alone():
    code = "import torch, sys, time; t = time.process_time(); import restorekit.teach; "
    code += "print(time.process_time() - t, 'matplotlib.pyplot' in sys.modules)"
    took, pyplot = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert pyplot == "False" and float(took) < 1.5
