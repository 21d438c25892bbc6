"""Cells are named by their content: the same name everywhere, another name for any change."""

import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch

from restorekit.experiments import Cell, data_folder, grid, load_file

CELL = {
    "table": "t",
    "method": "mlmc",
    "dataset": "Set5",
    "image": "bird",
    "degradation": "gaussian",
    "seed": 3,
    "params": {"T": 10, "lr": 5e-3},
}
KNOWN = "c90cd972d27f852b"


def test_known_id_does_not_change():
    assert Cell(**CELL).id == KNOWN, "ids changed: stored results would be orphaned; raise SCHEMA if that is meant"


def test_id_is_the_same_in_another_process_with_another_hash_seed():
    code = f"from restorekit.experiments import Cell; print(Cell(**{CELL!r}).id)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": "17", "PATH": ""})
    assert out.stdout.strip() == KNOWN


def test_id_ignores_order_number_type_and_unicode_form():
    params = {"b": 2, "a": [1.5, {"y": 0, "x": True}]}
    same = {"a": (np.float64(1.5), {"x": True, "y": torch.tensor(0)}), "b": 2.0}
    assert Cell("t", "m", params=params).id == Cell("t", "m", params=same).id
    assert Cell("t", "m", image="caf\u00e9").id == Cell("t", "m", image="cafe\u0301").id


@pytest.mark.parametrize(
    "change",
    [
        {"table": "u"},
        {"method": "x"},
        {"dataset": ""},
        {"image": "x"},
        {"degradation": {"s": 1}},
        {"seed": 4},
        {"params": {"T": 11, "lr": 5e-3}},
        {"params": {"T": "10", "lr": 5e-3}},
    ],
)
def test_any_change_changes_the_id(change):
    assert Cell(**{**CELL, **change}).id != KNOWN


def test_cell_is_frozen_hashable_and_survives_pickle_and_dict():
    cell = Cell("t", "m", degradation={"sigma": [1.0, 2.0]}, params={"a": {"b": [1, 2]}})
    with pytest.raises(TypeError):
        cell.params["a"]["b"] = 3
    with pytest.raises(AttributeError):
        cell.seed = 1
    assert pickle.loads(pickle.dumps(cell)) == cell == Cell.from_dict(cell.to_dict())
    assert len({cell, pickle.loads(pickle.dumps(cell))}) == 1


@pytest.mark.parametrize(
    ("bad", "kind"),
    [
        ({"params": {"x": float("nan")}}, ValueError),
        ({"params": {"x": object()}}, TypeError),
        ({"params": {1: 2}}, TypeError),
        ({"params": [1]}, TypeError),
        ({"params": {"x": np.zeros(3)}}, TypeError),
        ({"table": "a/b"}, ValueError),
        ({"table": ""}, ValueError),
        ({"seed": 1.5}, TypeError),
        ({"seed": True}, TypeError),
        ({"image": 3}, TypeError),
    ],
)
def test_bad_content_is_refused(bad, kind):
    with pytest.raises(kind, match=r"Got .*Allowed: .*Fix: "):
        Cell(**{**CELL, **bad})


def test_grid_is_the_product_and_unknown_axes_are_params():
    cells = grid(table="t", method=["a", "b"], seed=range(3), T=[5, 10], params={"lr": 0.1})
    assert len({cell.id for cell in cells}) == len(cells) == 12
    assert [cell.params["T"] for cell in cells[:3]] == [5, 10, 5]
    assert cells[-1] == Cell("t", "b", seed=2, params={"lr": 0.1, "T": 10})


@pytest.mark.parametrize("path", sorted(data_folder("results").glob("*.csv")), ids=lambda path: path.stem)
def test_ids_of_stored_cells_never_change(path):
    """A changed id would make every stored result stale: rows that hold all of their cell's content have the id they were stored with."""
    own, same = ("table", "method", "dataset", "image", "degradation", "seed"), 0
    for row in load_file(path).rows:
        settings = list(row)[1 : list(row).index("cpu_seconds")]  # those that the table's first cell has
        params = {name: row[name] for name in settings if name not in own and row[name] is not None}
        same += Cell(**{name: row[name] for name in own}, params=params).id == row["id"]
    assert same > 0
