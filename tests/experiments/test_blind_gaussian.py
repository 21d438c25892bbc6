"""The table of blind super-resolution: what it degrades, what it averages, what it concludes."""

import pytest

import restorekit as rk
from restorekit.experiments.tables import blind_gaussian as table
from restorekit.kernels import align_centroid


@pytest.mark.parametrize("cell", [c for c in table.cells("smoke") if c.method == "bicubic"], ids=lambda c: c.degradation)
def test_observation_is_the_blurred_picture_on_the_stated_grid(cell):
    x, y, kernel = table.degrade(cell)
    centroid = rk.kernel_moments(kernel)[1][0].tolist()
    assert centroid == pytest.approx(align_centroid(cell.degradation, 2), abs=0.01)
    again = rk.BlurDown(kernel, 2, "reflect")(x)
    inside = (..., slice(3, -3), slice(3, -3))  # the border saw what lies outside the part
    assert (again - y)[inside].abs().max() < 0.6 / 255


def test_only_the_bound_is_told_the_kernel():
    cell = table.cells("smoke")[0]
    _, y, kernel = table.degrade(cell)
    for method in ("bicubic", "generic"):
        one, none = (table.restore(method, y, k, cell.degradation, 0)[0] for k in (kernel, rk.delta_kernel(11)))
        assert one.equal(none)


def rows(with_gain, without_gain, spread=0.0):
    made = []
    for dataset, offset in (("set5", 0.0), (table.TUNED_ON, 50.0)):
        for seed in range(3):
            key = {"dataset": dataset, "image": "a", "degradation": "resize", "seed": seed}
            scores = {"bicubic": 25.0, "quick": 25 + with_gain + offset + spread * seed, "quick_without_mlmc": 25 + without_gain}
            made += [{**key, "method": m, "psnr": psnr, "kernel_distance": 30 - psnr} for m, psnr in scores.items()]
    return made


def test_pictures_that_were_tuned_on_enter_no_mean():
    summary = {row["method"]: row for row in table.summarize(rows(2.0, 1.0))}
    assert summary["quick"]["gain"] == pytest.approx(2.0) and summary["quick"]["n"] == 3


def test_worst_case_and_losses_are_counted():
    summary = {row["method"]: row for row in table.summarize(rows(-0.5, -0.2))}
    assert summary["quick"]["worst_gain"] == pytest.approx(-0.5) and summary["quick"]["worse_by_0.3"] == 3
    assert summary["quick_without_mlmc"]["worse_by_0.3"] == 0


@pytest.mark.parametrize(
    ("numbers", "verdict"),
    [((2.0, 1.0, 0.1), "holds"), ((1.0, 2.0, 0.1), "does not hold here"), ((1.1, 1.0, 0.5), "undecided")],
)
def test_verdict_follows_the_margin_and_its_seed_spread(numbers, verdict):
    assert table.claims(rows(*numbers), "quick")[0].verdict == verdict


def test_readers_without_datasets_can_compute_one_cell():
    assert table.live_cell().dataset == table.TUNED_ON and table.live_cell() in table.cells("quick")


def test_running_a_table_saves_its_claims(tmp_path, monkeypatch):
    from restorekit.cli import main
    from restorekit.experiments import load_claims

    monkeypatch.setattr(table, "cells", lambda size, all=table.cells: [c for c in all(size) if c.method in ("bicubic", "generic")])
    record = table.ClaimRecord.decide("X1", "here", "text", command="c", size="smoke", values={"a": table.Value(1.0, 0.1, margin=True)})
    monkeypatch.setattr(table, "claims", lambda rows, size: [record])
    where = ["--store", str(tmp_path / "store"), "--out", str(tmp_path)]
    assert main(["experiments", "run", "blind_gaussian", "--size", "smoke", *where]) == 0
    assert [(record.id, record.verdict) for record in load_claims(tmp_path / "claims")] == [("X1", "holds")]
