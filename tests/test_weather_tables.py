"""The tables on rain and haze: planted rows decide the claims, levels and pictures are the same for every method."""

from __future__ import annotations

import os

import pytest
import torch

from restorekit.experiments import data_folder, load_results
from restorekit.experiments.recipes.denoiser import EXCLUDED
from restorekit.experiments.tables import _weather, haze_guidance, rain_guidance, rain_pairs
from restorekit.nets import weather_nets

needs_both = pytest.mark.skipif(
    not (os.environ.get("RESTOREKIT_WEIGHTS") and os.environ.get("RESTOREKIT_DATA")), reason="RESTOREKIT_WEIGHTS or RESTOREKIT_DATA not set"
)


def planted(table, task: str, gains: dict[str, float]) -> list[dict]:
    """Rows of ten pictures: plain 25 dB, guided more by the gain at each level, give or take 0.05 dB."""
    levels, rows = _weather.VALIDATED[task], []
    for i in range(10):
        for method in _weather.METHODS[task]:
            gain = {level: gains[level] + 0.05 * (-1) ** i if method in ("guided", "guided, true map") else 0.0 for level in levels}
            rows.append({"image": str(i), "method": method, **{f"psnr {level}": 25 + i + gain[level] for level in levels}})
            rows[-1] |= {f"ssim {level}": 0.8 for level in levels}
    return rows


@pytest.mark.parametrize(
    ("light", "heavy", "verdict"), [(0.2, 0.6, "holds"), (0.3, 0.1, "holds in part"), (-0.4, -0.6, "does not hold here")]
)
def test_rain_is_judged_by_its_margins(light, heavy, verdict):
    (record,) = rain_guidance.claims(planted(rain_guidance, "rain", {"light": light, "heavy": heavy}), "quick")
    assert record.id == "B7" and record.verdict == verdict
    assert record.values["heavy: guided over plain, less 0.3 dB"].value == pytest.approx(heavy - 0.3)
    assert record.values["guided over plain, light rain (dB)"].value == pytest.approx(light)


def test_haze_is_judged_by_pictures_with_made_depth_alone():
    rows = planted(haze_guidance, "haze", {"thin": 0.5, "thick": 0.5})
    odd = [{**row, "image": haze_guidance.REAL, "psnr thin": 0.0} for row in rows if row["image"] == "0"]
    (record,) = haze_guidance.claims(rows + odd, "quick")
    assert record.id == "B8" and record.verdict == "holds" and next(iter(record.values.values())).n == 10
    table = haze_guidance.summarize(rows + odd)
    assert [row["depth"] for row in table] == ["made"] * 4 + ["measured"] * 4


def test_cells_are_the_same_pictures_for_every_method():
    for table, task in ((rain_guidance, "rain"), (haze_guidance, "haze")):
        cells = [c for c in table.cells("quick") if c.image != haze_guidance.REAL]
        assert len(cells) == 12 * len(_weather.METHODS[task]) == len({c.id for c in cells})
        assert all({c.image for c in cells if c.method == m} == set(_weather.HELD_BACK) for m in _weather.METHODS[task])
        assert not any(c.method in ("rain100h", "rain100l") for c in table.cells("smoke"))
    assert not set(_weather.HELD_BACK) & set(EXCLUDED["bsds400_color"])


def test_only_the_told_method_sees_the_true_map(monkeypatch):
    net, proxy = weather_nets("rain", True, generator=torch.Generator().manual_seed(0))
    monkeypatch.setattr(_weather, "load_weather", lambda name: (net, proxy))
    _weather.restorer.cache_clear()
    y, zero, one = torch.rand(1, 3, 16, 16), torch.zeros(1, 1, 16, 16), torch.ones(1, 1, 16, 16)
    for method, differs in (("guided", False), ("guided, true map", True), ("input", False)):
        restore = _weather.restorer("rain", method)
        assert torch.equal(restore(y, zero), restore(y, one)) != differs
    cell = next(c for c in rain_guidance.cells("smoke") if c.method == "guided")
    found = rain_guidance.run(cell)
    _weather.restorer.cache_clear()
    assert set(found) == {f"{kind} {level}" for kind in ("psnr", "ssim", "map") for level in ("light", "heavy")}


def test_the_dark_channel_sees_the_measured_depth_row():
    cell = next(c for c in haze_guidance.cells("smoke") if c.method == "dark channel" and c.image == haze_guidance.REAL)
    found = haze_guidance.run(cell)
    assert found["psnr thick"] > 5 and set(found) == {f"{kind} {level}" for kind in ("psnr", "ssim") for level in ("thin", "thick")}


def test_the_stored_pairs_reproduce_the_published_figures():
    if not (data_folder("results") / "rain_pairs_quick.csv").exists():
        pytest.skip("not stored")
    rows = load_results("rain_pairs").rows
    for row in rows:
        for expected in rain_pairs.EXPECTED.get(row["method"], ())[int(row["image"]) - 1 : int(row["image"])]:
            assert abs(row["psnr"] - expected) < 0.1
    assert len(rows) == 9


@needs_both
def test_a_published_net_gains_on_a_corner_of_a_pair():
    by = {c.method: rain_pairs.run(c)["psnr"] for c in rain_pairs.cells("smoke") if c.method != "rain100l"}
    assert by["rain100h"] > by["input"] + 3
