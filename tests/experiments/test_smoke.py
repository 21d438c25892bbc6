"""Tables run whole in smoke size, and what must be true of them at any size is: orderings, no decibels.

Those that are not named here have tests of their own that run cells of smoke size.
"""

from __future__ import annotations

import math
import os

import pytest

from restorekit.experiments import run_cells, tables

pytestmark = pytest.mark.slow


def alignment(rows, table):
    for method in ("bicubic", "deconvolution"):
        scores = [r["psnr"] for r in sorted((r for r in table if r["method"] == method), key=lambda r: r["offset"])]
        assert scores == sorted(scores, reverse=True), "the further off the grid, the worse"


def and_ablation(rows, table):
    assert all(r["psnr clean"] > r["psnr unseen"] for r in table)


def and_cost(rows, table):
    assert all(1 < r["ratio"] < r["formula"] and r["printed_s"] > r["plain_s"] for r in table), "a search costs"


def and_ideas(rows, table):
    cost = {r["idea"]: r["cost"] for r in table}
    assert cost["four steps"] > cost["random"] and all(r["clean"] > r["unseen"] for r in table)


def and_identity(rows, table):
    error = {r["method"]: float(r["largest error"]) for r in table if r["method"].startswith("identity")}
    for kind in ("float32", "float64"):
        (turned,), (drawn,) = ([v for n, v in error.items() if kind in n and how in n] for how in ("orthogonal", "xavier"))
        assert turned < drawn, "rotations lose fewer digits"
    assert all(v < 1e-10 for n, v in error.items() if "float64" in n)


def and_unseen(rows, table):
    of = {(r["scale"], r["score"], r["degradation"]): r for r in table}
    assert of[2, "psnr", "clean"]["classical"] > of[2, "psnr", "clean"]["bicubic"]
    assert of[2, "psnr", "noise 20"]["random"] > of[2, "psnr", "noise 20"]["classical"], "what was not seen in training breaks it"


def and_worst_case(rows, table):
    assert all(r["worst"] <= r["attacked"] < r["clean"] for r in table)


def bilevel_ridge(rows, table):
    error = [float(r["error"]) for r in table if r.get("error") and r["method"] == "implicit"]
    assert error == sorted(error, reverse=True), "a tighter inner solution, a better gradient"
    for start in (0.02, 50.0):
        excess = {r["method"]: r["excess"] for r in table if r["problem"] == "one valley" and r["start"] == start}
        assert excess["argmin 12"] < excess["naive 12"]


def bilevel_tv(rows, table):
    assert all(r["psnr 1%"] > r["psnr 5%"] for r in table)


def denoiser(rows, table):
    assert all(r["psnr"] > r["noisy_psnr"] for r in table)


def told_noise(rows, table):
    for method in {r["method"] for r in table}:
        of = {r["told"]: r["psnr"] for r in table if r["method"] == method}
        assert of[3] >= of[1] if {1, 3} <= of.keys() else True


def guidance_gain(rows, table):
    of = {(r["method"], r["guide"]): r["3%"] for r in table}
    assert of["guided_tiny", "proxy"] > of["deconvolution", "none"] and of["unguided_tiny", "none"] > of["deconvolution", "none"]


def guidance_maps(rows, table):
    assert all(r["rmse 3%"] < 3 for r in table), "the map's error is below the level itself"


def guidance_told(rows, table):
    of = {r["method"]: r for r in table if r["sweep"] == "told"}
    assert of["HQS"]["3%"] > of["HQS"]["1%"] and of["Wiener"]["3%"] > of["Wiener"]["1%"], "told too little"
    assert of["guided"]["1%"] == of["guided"]["5%"], "told nothing"


def rain_pairs(rows, table):
    for image in {r["image"] for r in table}:
        of = {r["method"]: r["psnr"] for r in table if r["image"] == image}
        assert of.pop("input") < min(of.values())


def rain_guidance(rows, table):
    _beats_input(table, "psnr", "heavy")


def haze_guidance(rows, table):
    _beats_input([r for r in table if r["depth"] == "made"], "psnr", "thick")


def _beats_input(table, score, level):
    row = next(r for r in table if r["score"] == score and r["level"] == level)
    assert row["plain"] > row["input"] and row["guided"] > row["input"]


def mlmc_pairs(rows, table):
    assert all(r["seconds"] > 0 for r in table) and {"all", "noise", "no noise"} <= {r["pairs"] for r in table}


def lab_combination(rows, table):
    of = {r["method"]: r["psnr"] for r in table}
    assert of["true kernel"] > of["guidance"] > of["input"] and of["no A-step"] > of["and prior"]


ORDERINGS = {name: thing for name, thing in dict(globals()).items() if name in tables.names()}


@pytest.mark.parametrize("name", sorted(ORDERINGS))
def test_a_table_in_smoke_size(name, tmp_path):
    table = tables.load(name)
    try:
        cells = table.cells("smoke")
    except FileNotFoundError:
        assert not os.environ.get("RESTOREKIT_DATA"), "all pictures are here"
        pytest.skip("needs RESTOREKIT_DATA")
    run = run_cells(cells, table.run, store=tmp_path, progress=False)
    if run.failures and all("FileNotFoundError" in text for text in run.failures.values()) and not os.environ.get("RESTOREKIT_WEIGHTS"):
        pytest.skip("needs RESTOREKIT_WEIGHTS")
    assert not run.failures, next(iter(run.failures.values()))
    summary = table.summarize(run.rows)
    numbers = [value for row in summary for value in row.values() if isinstance(value, float)]
    assert summary and numbers and all(map(math.isfinite, numbers))
    ORDERINGS[name](run.rows, summary)
    if name != "told_noise":  # without a net or a draw: its size does not matter
        for record in table.claims(run.rows, "smoke") if hasattr(table, "claims") else []:
            assert record.verdict == "cannot be tested at this size"
