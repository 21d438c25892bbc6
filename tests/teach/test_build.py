"""Writing, running and cleaning pages, on a page made here."""

from __future__ import annotations

import os

import nbformat
import pytest

from restorekit.teach import build

PAGE = """# %% [markdown]
# # A page

# %%
import sys
x = 2

# %% tags=["solution"]
print("answer", x * 3)

# %% [markdown]
# The end.
"""


@pytest.fixture
def source(tmp_path):
    """notebooks/py/00_a.py with PAGE."""
    path = tmp_path / "notebooks" / "py" / "00_a.py"
    path.parent.mkdir(parents=True)
    path.write_text(PAGE)
    return path


def stored(source):
    return nbformat.read(build.notebook_of(source), as_version=4)


def test_sync_writes_the_notebook_and_a_second_time_nothing(source):
    assert build.sync(source) and not build.sync(source)
    assert build.differences(source) == []
    notebook = stored(source)
    nbformat.validate(notebook)
    assert [c.cell_type for c in notebook.cells] == ["markdown", "code", "code", "markdown"]
    assert notebook.cells[2].metadata == {"tags": ["solution"], "jupyter": {"source_hidden": True}}
    assert notebook.metadata.kernelspec.name == "python3"


def test_sync_goes_by_text_not_by_file_times(source):
    build.sync(source)
    source.write_text(PAGE.replace("x = 2", "x = 5"))
    os.utime(source, (0, 0))
    assert build.sync(source)
    assert "x = 5" in stored(source).cells[1].source


def test_sync_keeps_outputs_of_unchanged_cells_only(source):
    build.sync(source)
    notebook = stored(source)
    for cell in notebook.cells[1:3]:
        cell.outputs = [nbformat.v4.new_output("stream", name="stdout", text="kept")]
    nbformat.write(notebook, build.notebook_of(source))
    source.write_text(PAGE.replace("x = 2", "x = 5").replace("# The end.", "# The end.\n\n# %%\nx + 1"))
    build.sync(source)
    assert [len(c.outputs) for c in stored(source).cells if c.cell_type == "code"] == [0, 1, 0]


@pytest.mark.parametrize(
    ("old", "new"),
    [("x = 2", "x = 3"), ("The end.", "An end."), ('["solution"]', '["hint"]'), ("# %%\nimport", "# %% [markdown]\n# import")],
)
def test_a_pair_that_differs_is_reported_and_not_written(source, old, new):
    build.sync(source)
    before = build.notebook_of(source).read_bytes()
    source.write_text(PAGE.replace(old, new))
    assert build.differences(source)
    assert build.notebook_of(source).read_bytes() == before


def test_a_missing_notebook_is_reported(source):
    assert build.differences(source) == ["00_a.ipynb is missing"]


def test_clean_outputs_hold_nothing_of_one_run():
    view = {build.WIDGET_VIEW: {"model_id": "1"}}
    outputs = [
        nbformat.v4.new_output("stream", name="stderr", text="50%|#### | 1/2"),
        nbformat.v4.new_output("display_data", data={**view, "image/png": "aGk="}, metadata={"image/png": {"alt": "seen"}}),
        nbformat.v4.new_output("display_data", data=view),
    ]
    cell = nbformat.v4.new_code_cell(
        "x", outputs=outputs, metadata={"execution": {"iopub.status.busy": "2026-01-01"}, "tags": ["a"], "trusted": True}
    )
    notebook = build.normalize(
        nbformat.v4.new_notebook(cells=[cell], metadata={"widgets": {}, "language_info": {"name": "python", "version": "3.11.0"}})
    )
    (kept,) = notebook.cells[0].outputs
    assert kept.data == {"image/png": "aGk="} and kept.metadata == {"image/png": {"alt": "seen"}}
    assert notebook.cells[0].metadata == {"tags": ["a"]}
    assert "widgets" not in notebook.metadata and "version" not in notebook.metadata.language_info


@pytest.mark.parametrize("name", ["00", "00_a", "notebooks/00_a.ipynb", "notebooks/py/00_a.py"])
def test_pages_are_found_by_name_number_or_path(source, name):
    assert build.pages([name], source.parents[1]) == build.pages((), source.parents[1]) == [source]


@pytest.mark.parametrize(("name", "stems"), [("03", ["03_a"]), ("03b", ["03b_b"]), ("0", ["00_a", "03_a", "03b_b"]), ("03b_b", ["03b_b"])])
def test_a_number_does_not_mean_the_page_with_a_letter_behind_it(source, name, stems):
    for stem in ("03_a", "03b_b"):
        (source.parent / f"{stem}.py").write_text(source.read_text())
    assert [p.stem for p in build.pages([name], source.parents[1])] == stems


def test_an_unknown_page_is_refused(source):
    with pytest.raises(ValueError, match="Allowed: 00_a"):
        build.pages(["07"], source.parents[1])


def test_execute_stores_outputs_twice_the_same(source):
    build.execute(source)
    first = build.notebook_of(source).read_bytes()
    assert stored(source).cells[2].outputs[0].text == "answer 6\n"
    build.execute(source)
    assert build.notebook_of(source).read_bytes() == first


def test_a_page_that_warns_or_fails_keeps_its_old_outputs(source):
    build.execute(source)
    for line, error in (("x = 2; sys.stderr.write('careful')", RuntimeError), ("x = 1 / 0", Exception)):
        source.write_text(PAGE.replace("x = 2", line))
        with pytest.raises(error, match="careful|ZeroDivision"):
            build.execute(source)
        assert stored(source).cells[2].outputs[0].text == "answer 6\n"


def test_progress_bars_on_stderr_are_no_warning(source):
    source.write_text(PAGE.replace("x = 2", "x = 2\nfrom tqdm import tqdm\nfor _ in tqdm(range(3)): pass"))
    build.execute(source)
    assert stored(source).cells[1].outputs == []


def test_progress_bars_are_not_stored_but_other_widgets_keep_their_text():
    view = {build.WIDGET_VIEW: {}}
    bar = nbformat.v4.new_output("display_data", {**view, "text/plain": "  0%|          | 0/25 [00:00<?, ?it/s]"})
    panel = nbformat.v4.new_output("display_data", {**view, "text/plain": "Choice of a picture, 50% done"})
    assert build.clean_output(bar) is None
    assert build.clean_output(panel).data == {"text/plain": "Choice of a picture, 50% done"}


def test_the_picture_of_the_readme_is_the_tagged_one(tmp_path):
    png = "iVBORw0KGgo="  # the first bytes of any PNG
    figure = nbformat.v4.new_output("display_data", {"image/png": png})
    cells = [
        nbformat.v4.new_code_cell("1", outputs=[figure]),
        nbformat.v4.new_code_cell("2", outputs=[figure], metadata={"tags": ["readme"]}),
    ]
    build.keep_picture(nbformat.v4.new_notebook(cells=cells[:1]), tmp_path / "a" / "readme.png")
    assert not (tmp_path / "a").exists()
    build.keep_picture(nbformat.v4.new_notebook(cells=cells), tmp_path / "a" / "readme.png")
    assert (tmp_path / "a" / "readme.png").read_bytes() == b"\x89PNG\r\n\x1a\n"


@pytest.mark.parametrize("words", [["execute", "--measure", "00"], ["execute", "00", "--measure"]])
def test_pages_may_stand_before_and_after_the_option(words, monkeypatch, capsys):
    monkeypatch.setattr(build, "sync", lambda source: True)
    monkeypatch.setattr(build, "measure_page", lambda path, at: {"page": path.stem})
    monkeypatch.setattr(build, "execute", lambda source, size: 1.0)
    assert build.main(words) == 0
    assert capsys.readouterr().out.splitlines() == ["00_start_here: {'page': '00_start_here'}", "00_start_here: run in 1 s"]
