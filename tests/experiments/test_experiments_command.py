"""`restorekit experiments`: list, run and show a table."""

import sys

import pytest

from restorekit.cli import main


@pytest.fixture
def toy(monkeypatch):
    """A table `toy` of two methods and two seeds, as a module that the registry finds."""
    from types import ModuleType

    from restorekit.experiments import grid, mean_and_spread, tables

    module = ModuleType("toy", "Two numbers that differ.\n\nMore.")
    module.NAME, module.SIZES, module.broken = "toy", ("smoke", "quick"), False
    module.cells = lambda size: grid(table="toy", method=["a", "b"], seed=range(2))

    def run(cell):
        if module.broken and cell.method == "b":
            raise RuntimeError("broken")
        return {"score": float(cell.seed + 10 * (cell.method == "b"))}

    module.run = run
    module.summarize = lambda rows: mean_and_spread(rows, by=["method"], values=["score"])
    monkeypatch.setitem(sys.modules, "restorekit.experiments.tables.toy", module)
    monkeypatch.setattr(tables, "names", lambda: ["toy"])
    return module


def test_experiments_list_run_show(toy, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["experiments", "list"]) == 0
    assert "| toy | smoke (4), quick (4) | - | Two numbers that differ. |" in capsys.readouterr().out
    assert main(["experiments", "show", "toy", "--out", "."]) == 2
    assert "python -m restorekit experiments run toy --size quick" in capsys.readouterr().err
    toy.broken = True
    assert main(["experiments", "run", "toy", "--size", "quick", "--out", "."]) == 1
    assert "2 of 4 cells failed" in capsys.readouterr().err and not (tmp_path / "toy_quick.csv").exists()
    toy.broken = False
    assert main(["experiments", "run", "toy", "--size", "quick", "--out", "."]) == 0
    out = capsys.readouterr().out
    assert "| b | 10.50 ± 0.71 | 2 |" in out and "4 cells, 2 computed now" in out
    assert main(["experiments", "show", "toy", "--out", "."]) == 0
    out = capsys.readouterr().out
    assert "| b | 10.50 ± 0.71 | 2 |" in out and "Made by: python -m restorekit experiments run toy --size quick" in out


@pytest.mark.parametrize(
    ("words", "message"),
    [(["nothing"], "table='nothing'"), (["toy", "--size", "paper"], "smoke, quick"), (["toy", "--jobs", "0"], "--jobs 0")],
)
def test_bad_experiment(words, message, toy, capsys):
    assert main(["experiments", "run", *words]) == 2
    assert message in capsys.readouterr().err
