"""Ours beside the printed numbers, two runs side by side, and the formats of a table."""

import csv
import io
import math

import pytest

from restorekit.experiments import (
    as_csv,
    compare_runs,
    compare_with_published,
    data_folder,
    export_results,
    latex,
    load_file,
    load_results,
    tables,
)
from restorekit.experiments.compare import keys_of, settings_of
from restorekit.experiments.published import answered, read_published, sources


@pytest.mark.parametrize("name", answered())
def test_every_printed_number_that_is_named_is_there(name):
    assert name in tables.names()
    for source in sources(name):
        printed = read_published(source.file)
        assert (
            source.locator and source.differs and len({(p.group, p.method, p.score, p.column) for p in source.pairs}) == len(source.pairs)
        )
        assert source.base in ("", *(pair.method for pair in source.pairs))
        for pair in source.pairs:
            assert set(pair.printed) <= set(printed[0]) and pair.score in printed[0], pair
        found = [sum(all(row[k] == v for k, v in pair.printed.items()) for row in printed) for pair in source.pairs]
        # a wider net of printed rows than one would compare with whichever comes first
        assert max(found) == 1 and sum(found) >= len(found) / 2, (source.file, found)


def test_planted_rows_beside_the_print():
    column = next(p.column for p in sources("and_ablation")[0].pairs)
    rows = [{"method": m, "seed": s, column: v + s} for m, v in (("classical", 20.0), ("adversarial", 25.0)) for s in (0, 1)]
    classical, adversarial = compare_with_published("and_ablation", rows)
    printed = {row["degrader"]: float(row["psnr"]) for row in read_published("and_table2")}
    assert (classical["ours"], classical["n"], classical["printed"]) == (20.5, 2, printed["classical"])
    assert classical["ours_spread"] == pytest.approx(math.sqrt(0.5)) and classical["gain"] is None
    assert adversarial["difference"] == pytest.approx(25.5 - printed["adversarial"])
    assert adversarial["gain"] == 5 and adversarial["printed gain"] == pytest.approx(printed["adversarial"] - printed["classical"])
    assert compare_with_published("and_ablation", []) == [] and sources("and_cost") == ()


def test_stored_tables_answer_the_print():
    """Whatever is stored at size quick has a row in the comparison: a renamed method or column would leave it empty."""
    for name in answered():
        if (data_folder("results") / f"{name}_quick.csv").exists():
            rows = load_results(name).rows
            for source in sources(name):
                where = {row["where"] for row in compare_with_published(name, rows)}
                assert source.locator in where, (name, source.file)


FIRST = [
    {"noise": 7.84, "method": "a", "psnr": 20.0, "psnr_spread": 0.3, "seconds": None, "n": 3},
    {"noise": 7.84, "method": "b", "psnr": 21.0, "psnr_spread": None, "seconds": 2.0, "n": 3},
]
SECOND = [
    {"noise": 7.84, "method": "b", "psnr": 21.5, "psnr_spread": 0.1, "seconds": 4.0, "n": 5},
    {"noise": 7.84, "method": "a", "psnr": 22.5, "psnr_spread": 0.4, "seconds": None, "n": 5},
    {"noise": 7.84, "method": "c", "psnr": 1.0, "psnr_spread": 0.0, "seconds": 1.0, "n": 5},
]


def test_two_runs_side_by_side():
    rows = compare_runs(FIRST, SECOND, settings={"noise"})
    assert [(r["method"], r["value"], r["difference"]) for r in rows] == [
        ("a", "psnr", 2.5),
        ("b", "psnr", 0.5),
        ("b", "seconds", 2.0),
        ("c", "psnr", None),
        ("c", "seconds", None),
    ]
    assert rows[0]["beyond"] == pytest.approx(5.0), "2.5 over sqrt(0.3^2 + 0.4^2)"
    assert rows[1]["beyond"] is None and [r["missing"] for r in rows] == ["", "", "", "first", "first"]
    assert {r["missing"] for r in compare_runs(SECOND, FIRST, settings={"noise"})} == {"", "second"}
    assert all(r["difference"] == 0 for r in compare_runs(FIRST, FIRST, settings={"noise"}))
    with pytest.raises(ValueError, match="without names or numbers"):
        compare_runs([{"method": "a"}], [])


def test_a_setting_names_a_row_and_a_fraction_is_measured():
    assert keys_of(FIRST, {"noise"}) == (["noise", "method"], ["psnr", "seconds"])
    assert keys_of([{"method": "a", "error": "1.5e-07", "start": 30.0, "steps": 4}], {"start"}) == (["method", "start"], ["error", "steps"])
    stored = [{"id": "x", "table": "t", "noise": 1.0, "cpu_seconds": 3.0, "psnr": 2.0}]
    assert settings_of(stored) == {"id", "table", "noise"}


@pytest.mark.parametrize("path", sorted(data_folder("results").glob("*_quick.csv")), ids=lambda path: path.stem)
def test_a_stored_table_differs_nowhere_from_itself(path):
    results = load_file(path)
    summary = tables.load(results.stamp["table"]).summarize(results.rows)
    rows = compare_runs(summary, summary, settings=settings_of(results.rows))
    assert rows and all(row["difference"] == 0 and not row["missing"] for row in rows)


def test_formats(tmp_path):
    rows = [
        {"method": "a_b & 5%", "psnr": -1.25, "psnr_spread": 0.5, "n": 3},
        {"method": "c\\d", "psnr": None, "psnr_spread": None, "n": 1},
    ]
    lines = latex(rows).splitlines()
    assert lines[0] == r"\begin{tabular}{lrr}" and lines[2] == r"method & psnr & n \\" and lines[-1] == r"\end{tabular}"
    assert lines[4] == r"a\_b \& 5\% & $-$1.25 $\pm$ 0.50 & 3 \\" and lines[5] == r"c\textbackslash{}d & - & 1 \\"
    back = list(csv.DictReader(io.StringIO(as_csv(rows))))
    assert back[0] == {"method": "a_b & 5%", "psnr": "-1.25", "psnr_spread": "0.5", "n": "3"} and back[1]["psnr"] == ""


def test_a_file_from_elsewhere(tmp_path):
    rows = [{"method": "a", "seed": 0, "psnr": 0.1 + 0.2}]
    path = export_results("toy", "paper", rows, folder=tmp_path)
    assert load_file(path).rows == rows and load_file(path).stamp["size"] == "paper"
    path.with_suffix(".json").unlink()
    with pytest.raises(FileNotFoundError, match="CSV and JSON.*run toy --size paper"):
        load_file(path)


def test_each_printed_file_is_told_of_and_whole():
    """The read-me names each file, each file has rows of one length, numbers are numbers, and no row stands twice."""
    told = (data_folder("published") / "README.md").read_text(encoding="utf-8")
    for path in sorted(data_folder("published").glob("*.csv")):
        rows = read_published(path.stem)
        assert f"`{path.name}`" in told and rows and None not in rows[0] and all(None not in row.values() for row in rows), path.name
        assert len({tuple(row.values()) for row in rows}) == len(rows), path.name
        for row in rows:
            for name in ("psnr", "ssim", "kernel_psnr", "lpips"):
                if row.get(name):
                    low, high = {"ssim": (0, 1), "lpips": (0, 1)}.get(name, (5, 70))
                    assert low < float(row[name]) < high, (path.name, row)


def test_printed_tables_are_whole():
    """As many numbers as the papers' tables have: methods x scales or levels x sets."""
    counts = {f"mlmc_table{i}": n for i, n in enumerate((96, 40, 8, 16, 16, 12, 8, 10), 1)}
    counts |= {"and_table1": 56, "and_table2": 5, "bilevel_table1": 13, "bilevel_table2": 14, "pnp_table1": 42, "pnp_table2": 19}
    for name, count in counts.items():
        assert len(read_published(name)) == count, name
