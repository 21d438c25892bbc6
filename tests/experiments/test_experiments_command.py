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
    assert main(["experiments", "show", "toy", "--results", "."]) == 2
    assert "python -m restorekit experiments run toy --size quick" in capsys.readouterr().err
    toy.broken = True
    assert main(["experiments", "run", "toy", "--size", "quick", "--out", "."]) == 1
    assert "2 of 4 cells failed" in capsys.readouterr().err and not (tmp_path / "toy_quick.csv").exists()
    toy.broken = False
    assert main(["experiments", "run", "toy", "--size", "quick", "--out", "."]) == 0
    out = capsys.readouterr().out
    assert "| b | 10.50 ± 0.71 | 2 |" in out and "4 cells, 2 computed now" in out
    assert main(["experiments", "show", "toy", "--results", "."]) == 0
    out = capsys.readouterr().out
    assert "| b | 10.50 ± 0.71 | 2 |" in out and "Made by: python -m restorekit experiments run toy --size quick" in out


def test_a_table_is_written_in_three_formats(toy, tmp_path, capsys):
    main(["experiments", "run", "toy", "--size", "quick", "--out", str(tmp_path), "--store", str(tmp_path / "s")])
    show = ["experiments", "show", "toy", "--results", str(tmp_path), "--format"]
    for kind, first in (("markdown", "| method |"), ("csv", "method,score,score_spread,n"), ("latex", r"\begin{tabular}{lrr}")):
        assert main([*show, kind, "--out", str(tmp_path / "table")]) == 0
        assert (tmp_path / "table").read_text().startswith(first)
        capsys.readouterr()
        assert main([*show, kind]) == 0
        out = capsys.readouterr().out
        assert out.startswith((tmp_path / "table").read_text()) and ("Made by" in out) == (kind != "csv")
    assert main([*show, "csv", "--out", str(tmp_path)]) == 2 and "Fix: --out toy.csv" in capsys.readouterr().err


def test_compare_two_runs(toy, tmp_path, capsys):
    for size, shift in (("smoke", 0), ("quick", 1)):
        toy.run = lambda cell, shift=shift: {"score": float(cell.seed + shift * (cell.method == "b"))}
        toy.cells = lambda size, n=2 + shift: __import__("restorekit.experiments").experiments.grid(
            table="toy", method=["a", "b"], seed=range(n), run=size
        )
        where = ["--out", str(tmp_path), "--store", str(tmp_path / "s")]
        assert main(["experiments", "run", "toy", "--size", size, *where]) == 0
    capsys.readouterr()
    compare = ["experiments", "compare", "toy", "--results", str(tmp_path), "--size", "smoke", "--against"]
    for against in ("quick", str(tmp_path / "toy_quick.csv")):
        assert main([*compare, against]) == 0
        out = capsys.readouterr().out
        assert "| b | score | 0.50 ± 0.71 | 2.00 ± 1.00 | 1.50 | 1.22 | - |" in out
        assert "first: size smoke, 4 cells" in out and "second: size quick, 6 cells" in out and "Missing: 0 in the first run" in out
    assert main([*compare, "published"]) == 2 and "answers no printed table. Allowed: and_ablation" in capsys.readouterr().err
    assert main([*compare, "paper"]) == 2 and "run toy --size paper" in capsys.readouterr().err


def test_compare_with_the_print(capsys):
    assert main(["experiments", "compare", "and_ablation"]) == 0
    out = capsys.readouterr().out
    assert "| printed gain |" in out and "data/published/and_table2.csv" in out and "the paper RealSR x4" in out


@pytest.mark.parametrize(
    ("words", "message"),
    [(["nothing"], "table='nothing'"), (["toy", "--size", "paper"], "smoke, quick"), (["toy", "--jobs", "0"], "--jobs 0")],
)
def test_bad_experiment(words, message, toy, capsys):
    assert main(["experiments", "run", *words]) == 2
    assert message in capsys.readouterr().err
