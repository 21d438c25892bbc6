"""The notebook's view of a run: it fills, stops, goes on, tells errors, and stands beside the printed numbers. Headless."""

import sys
import time
from types import ModuleType

import pytest

pytest.importorskip("ipywidgets")

from restorekit.experiments import grid, mean_and_spread, progress_view, tables
from restorekit.experiments.view import table_html


@pytest.fixture
def toy(monkeypatch):
    """A table `toy` whose cells take a moment, and that a test can break."""
    module = ModuleType("toy", "Two methods.\n\nMore.")
    module.NAME, module.SIZES, module.pause, module.broken = "toy", ("smoke", "quick"), 0.0, False
    module.cells = lambda size: grid(table="toy", method=["a", "b"], seed=range(3), size=size)

    def run(cell):
        time.sleep(module.pause)
        if module.broken and cell.method == "b":
            raise RuntimeError("<broken>")
        return {"score": float(cell.seed)}

    module.run = run
    module.summarize = lambda rows: mean_and_spread(rows, by=["method"], values=["score"])
    monkeypatch.setitem(sys.modules, "restorekit.experiments.tables.toy", module)
    monkeypatch.setattr(tables, "names", lambda: ["toy"])
    return module


def test_a_run_fills_the_table(toy, tmp_path):
    view = progress_view("toy", store=tmp_path)
    assert "Two methods." in view.told.value and view.wait() is None
    view.start.click()
    run = view.wait(60)
    assert run.computed == 6 and (view.bar.value, view.bar.max, view.bar.bar_style) == (6, 6, "success")
    assert "6 of 6 cells" in view.told.value and "6 computed now" in view.told.value
    assert view.filled.value == table_html(toy.summarize(run.rows)) and "1.00 ± 1.00" in view.filled.value
    assert view.beside.value == "" and not view.start.disabled and view.stop.disabled
    view.run()
    assert view.wait(60).computed == 0, "nothing is computed twice"
    view.size.value = "quick"
    view.run()
    assert view.wait(60).computed == 6


def test_stop_and_go_on(toy, tmp_path):
    toy.pause = 0.1
    view = progress_view("toy", store=tmp_path)
    view.run()
    view.run()  # a second press does nothing
    end = time.monotonic() + 30
    while view.bar.value == 0 and time.monotonic() < end:
        time.sleep(0.01)
    assert view.start.disabled and not view.stop.disabled
    view.stop.click()
    run = view.wait(30)
    assert run.interrupted and 0 < view.bar.value < 6 and view.bar.bar_style == "warning" and "Run goes on" in view.told.value
    toy.pause = 0.0
    view.run()
    assert view.wait(30).computed == 6 - len(run.rows) and view.bar.value == 6


def test_failures_and_errors_are_told_and_escaped(toy, tmp_path):
    toy.broken = True
    view = progress_view("toy", store=tmp_path)
    view.run()
    view.wait(30)
    assert view.bar.bar_style == "danger" and "3 failed: RuntimeError: &lt;broken&gt;" in view.told.value and view.bar.value == 3
    toy.cells = lambda size: 1 / 0
    view.run()
    view.wait(30)
    assert "ZeroDivisionError" in view.told.value and not view.start.disabled


def test_a_table_of_a_paper_stands_beside_the_print(tmp_path, monkeypatch):
    module = tables.load("and_ablation")
    monkeypatch.setattr(
        module, "run", lambda cell: {"psnr clean": 30.0, "ssim clean": 0.9, "psnr unseen": 20.0 + cell.seed, "ssim unseen": 0.5}
    )
    view = progress_view("and_ablation", store=tmp_path, names=["and_ablation", "alignment"])
    view.run()
    view.wait(60)
    assert "Beside the print" in view.beside.value and "28.47" in view.beside.value and "the paper RealSR x4" in view.beside.value
    view.table.value = "alignment"
    assert view.beside.value == view.filled.value == "" and list(view.size.options) == list(tables.load("alignment").SIZES)
    with pytest.raises(ValueError, match="size='full'"):
        progress_view("alignment", "full")
