"""Stamped tables read back as they were, means carry the spread of their seeds."""

import statistics

import pytest

from restorekit.experiments import export_results, load_results, markdown, mean_and_spread, tables

ROWS = [
    {"id": "a", "method": "mlmc", "image": "0001", "seed": 0, "psnr": 0.1 + 0.2, "steps": 7, "ok": True, "note": 'x, "y"\n|'},
    {"id": "b", "method": "mlmc", "image": "0002", "seed": 1, "psnr": float("inf"), "steps": 8, "ok": False, "note": ""},
    {"id": "c", "method": "tv", "image": "1e5", "seed": 1, "psnr": None, "steps": None, "ok": None, "note": "z", "extra": 2.0},
]


def test_csv_and_stamp_round_trip(tmp_path):
    path = export_results("toy", "quick", ROWS, folder=tmp_path)
    assert path.name == "toy_quick.csv"
    loaded = load_results("toy", "quick", folder=tmp_path)
    assert loaded.rows == [{"extra": None, **row} for row in ROWS]
    stamp = loaded.stamp
    assert stamp["command"] == "python -m restorekit experiments run toy --size quick"
    assert stamp["size"] == "quick" and stamp["seeds"] == [0, 1] and stamp["rows"] == 3 and stamp["date"].endswith("+00:00")
    assert {"python", "torch", "restorekit", "cpu", "cores", "threads", "commit"} <= set(stamp["environment"])
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))  # a checkout on Windows
    assert load_results("toy", "quick", folder=tmp_path).rows == loaded.rows


def test_a_missing_or_altered_table_names_its_command(tmp_path):
    with pytest.raises(FileNotFoundError, match="python -m restorekit experiments run toy --size paper"):
        load_results("toy", "paper", folder=tmp_path)
    with pytest.raises(ValueError, match="size='full'"):
        load_results("toy", "full", folder=tmp_path)
    with pytest.raises(ValueError, match="no rows"):
        export_results("toy", "quick", [], folder=tmp_path)
    path = export_results("toy", "quick", ROWS, folder=tmp_path)
    path.write_text(path.read_text().replace("0.30000000000000004", "0.4"))
    with pytest.raises(ValueError, match="differs from its stamp"):
        load_results("toy", "quick", folder=tmp_path)


def test_spread_is_that_of_the_seeds_and_not_of_the_pictures():
    rows = [{"method": "m", "image": image, "seed": seed, "psnr": 10.0 * image + seed} for image in range(4) for seed in range(3)]
    (row,) = mean_and_spread(rows, by=["method"], values=["psnr"])
    assert row == {"method": "m", "psnr": 16.0, "psnr_spread": statistics.stdev([15, 16, 17]), "n": 12}
    (row,) = mean_and_spread([item for item in rows if item["seed"] == 0], by=["method"], values=["psnr", "absent"])
    assert row["psnr_spread"] is None and row["absent"] is None


def test_markdown():
    rows = [{"method": "a|b", "psnr": 25.125, "psnr_spread": 0.5, "n": 3}, {"method": "c", "psnr": None, "psnr_spread": None, "n": 1}]
    assert markdown(rows, digits=1).splitlines() == [
        "| method | psnr | n |",
        "| --- | ---: | ---: |",
        "| a\\|b | 25.1 ± 0.5 | 3 |",
        "| c | - | 1 |",
    ]
    assert markdown(rows, columns=["n"]).splitlines()[-1] == "| 1 |"


def test_each_table_is_complete_and_its_cells_differ():
    for name in tables.names():
        module = tables.load(name)
        assert name == module.NAME and tables.purpose(name)
        for size in module.SIZES:
            cells = module.cells(size)
            assert cells and len({cell.id for cell in cells}) == len(cells) and {cell.table for cell in cells} == {name}
    with pytest.raises(ValueError, match="table='nothing'"):
        tables.load("nothing")
