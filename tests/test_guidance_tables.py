"""The tables on hyper-guidance: held-back pictures and kernels, planted rows, margins, resuming."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest
import torch

from restorekit.experiments import run_cells, tables
from restorekit.experiments.recipes import guidance as recipe
from restorekit.experiments.tables import _guidance, guidance_gain, guidance_maps, guidance_strategies, guidance_told
from restorekit.images import bundled, save_image
from restorekit.kernels import kernel_moments
from restorekit.nets import GuidedRestorer, ProxyNet
from restorekit.nets.guided import deconvolve
from restorekit.solvers import save_state

NAMES = [name for name in tables.names() if name.startswith("guidance_")]
needs_data = pytest.mark.skipif(not os.environ.get("RESTOREKIT_DATA"), reason="RESTOREKIT_DATA is not set")


def gen(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def fresh_nets(monkeypatch):
    """Untrained nets under every name: guided and unguided give the data step."""

    def nets(name, seed):
        guided = not name.startswith("un")
        net = GuidedRestorer(1, "tiny", guided, "data" in name, features=4, generator=gen()).requires_grad_(False)
        return net, ProxyNet(features=4, generator=gen(seed)).requires_grad_(False) if guided else None

    for module in (_guidance, guidance_gain, guidance_maps, guidance_told):
        monkeypatch.setattr(module, "nets", nets, raising=False)
        monkeypatch.setattr(module, "weights_digest", lambda name, seed: "" if name == "guided_general" else "0" * 8, raising=False)


@needs_data
def test_pictures_and_kernels_are_enough_and_held_back():
    chosen = _guidance.PICTURES["quick"]
    assert len(set(chosen)) == len(chosen) >= 20 and not any(source == recipe.FOLDER for source, _ in chosen)
    kernels = _guidance.held_back_kernels()
    assert len(kernels) == 16
    for k in kernels:
        torch.testing.assert_close(k.sum(), torch.tensor(1.0))
        assert max(k.shape) <= 27
    flat = [torch.nn.functional.pad(k, ((27 - k.shape[3]) // 2,) * 2 + ((27 - k.shape[2]) // 2,) * 2) for k in kernels]
    assert all((a - b).abs().sum() > 0.05 for i, a in enumerate(flat) for b in flat[:i])
    for source, name in chosen[:3]:
        x, y, k, sigma = _guidance.observe(source, name, "5%")
        assert x.shape == y.shape == sigma.shape and max(x.shape) <= 256
        assert abs(kernel_moments(k)[0].item() - 1) < 1e-5


def test_observations_have_the_stated_noise_and_do_not_depend_on_the_method():
    x, y, k, sigma = _guidance.observe("bundled", "camera", "quadrants", 64)
    again = _guidance.observe("bundled", "camera", "quadrants", 64)[1]
    assert torch.equal(y, again) and sigma.unique().numel() == 4
    noise = (y - _guidance.Blur(k)(x)) / sigma
    assert abs(noise.std().item() - 1) < 0.06


def test_gaps_pair_pictures_and_seeds():
    rows = [
        {"method": m, "dataset": "d", "image": i, "seed": s, "a": 30 + s + (0.5 + s / 10 if m == "one" else 0)}
        for m in ("one", "two")
        for i in "xyz"
        for s in (0, 1)
    ]
    value = _guidance.gap(rows, ("one", "a"), ("two", "a"))
    assert value.value == pytest.approx(0.55) and value.spread == pytest.approx(0.1 / 2**0.5) and value.margin
    assert _guidance.gap(rows, ("one", "a"), ("two", "a"), above=0.4).value == pytest.approx(0.15)
    alone = [r for r in rows if r["method"] == "one" or r["seed"] == 0]  # a method without seeds
    assert _guidance.gap(alone, ("one", "a"), ("two", "a")).value == pytest.approx(0.5 + 0.05 + 0.5)
    assert _guidance.gap(rows, ("one", "a"), ("none", "a")) is None


def test_the_gain_table_runs_and_an_untrained_net_gains_nothing(fresh_nets, tmp_path):
    cells = guidance_gain.cells("smoke")
    assert {c.method for c in cells} == {"deconvolution", *guidance_gain.NETS} - {"guided_general"}
    done = run_cells(cells, guidance_gain.run, store=tmp_path, progress=False)
    assert not done.failures
    summary = guidance_gain.summarize(done.rows)
    of = {(r["method"], r["guide"]): r for r in summary}
    assert of["guided_tiny", "true"]["3%"] == of["unguided_tiny", "none"]["3%"] == of["deconvolution", "none"]["3%"]
    x, y, k, _ = _guidance.observe("bundled", "camera", "3%", 64)
    assert of["deconvolution", "none"]["3%"] == pytest.approx(_guidance.score(deconvolve(y, k), x))
    records = {r.id: r for r in guidance_gain.claims(done.rows, "smoke")}
    assert set(records) == {"B1", "B2", "B4", "B6"}
    assert records["B1"].values["3% (dB)"].value == 0 and records["B1"].verdict == "cannot be tested at this size"


def planted(gains):
    """Rows of a finished table: unguided 25 dB everywhere, guided better by `gains`."""
    rows = []
    for i, name in enumerate("abcd"):
        for seed in (0, 1):
            base = {"dataset": "d", "image": name, "seed": seed}
            columns = dict.fromkeys(guidance_gain.COLUMNS["quick"], 25 + i)
            rows.append({**base, "method": "unguided_tiny", **{f"none {v}": p for v, p in columns.items()}})
            rows.append({**base, "method": "unguided_general", **{f"none {v}": p + 0.1 for v, p in columns.items()}})
            better = {v: p + gains[v] + 0.01 * seed for v, p in columns.items()}
            rows.append({**base, "method": "guided_tiny", **{f"{g} {v}": p for v, p in better.items() for g in ("proxy", "both", "true")}})
    return rows


def test_verdicts_follow_the_numbers():
    gains = dict(zip(guidance_gain.COLUMNS["quick"], (0.6, 0.5, 0.3, 0.5, 0.8, 1.0, -0.2), strict=True))
    records = {r.id: r for r in guidance_gain.claims(planted(gains), "quick")}
    assert [records[i].verdict for i in ("B1", "B2", "B4", "B6")] == ["holds", "holds", "holds", "does not hold here"]
    assert records["B1"].values["7% over 3% (dB)"].value == pytest.approx(0.7)
    assert records["B1"].values["5% (dB)"].value == pytest.approx(0.505)


def test_the_map_table_measures_the_error(fresh_nets, tmp_path, monkeypatch):
    monkeypatch.setattr(guidance_maps, "_estimate", lambda cell, y: torch.full_like(y, 0.04 if cell.method == "proxy" else 0.03))
    done = run_cells(guidance_maps.cells("smoke"), guidance_maps.run, store=tmp_path, progress=False)
    of = {r["method"]: r for r in guidance_maps.summarize(done.rows)}
    assert of["proxy"]["rmse 3%"] == pytest.approx(1, rel=1e-4) and of["both"]["bias 3%"] == pytest.approx(0, abs=1e-4)
    assert of["classical 25"]["rmse quadrants"] == pytest.approx(1.4907, rel=1e-3)  # std of the four levels


def test_the_map_table_tells_the_estimates_apart(fresh_nets):
    y = _guidance.observe("bundled", "camera", "quadrants", 64)[1]
    cells = {c.method: c for c in guidance_maps.cells("smoke")}
    maps = {name: guidance_maps._estimate(cell, y) for name, cell in cells.items()}
    assert maps["classical whole"].numel() == 1 < maps["classical 9"].unique().numel()
    assert maps["classical 9"].std() > maps["classical 49"].std()
    assert not torch.equal(maps["proxy"], maps["both"])


def test_told_methods_are_told_and_free_ones_are_not(fresh_nets, tmp_path, monkeypatch):
    heard = []

    def restore(method, y, k, told):
        heard.append((method, told))
        return y

    monkeypatch.setattr(guidance_told, "_restore", restore)
    done = run_cells(guidance_told.cells("smoke"), guidance_told.run, store=tmp_path, progress=False)
    assert not done.failures and len(done.rows) == 7
    levels = [told for method, told in heard if method == "HQS"]
    assert levels == [v / 100 for v in (1, 2, 3, 4, 5)] + [0.03] * 7
    row = next(r for r in guidance_told.summarize(done.rows) if r["sweep"] == "told" and r["method"] == "guided")
    assert row["1%"] == row["5%"]


def test_told_verdicts():
    def row(method, image, cost):
        told = {f"told {t}": 25 - cost * (t != 3) + (image == "b") * 0.01 * t for t in (1, 2, 3, 4, 5)}
        return {"method": method, "dataset": "d", "image": image, "seed": 0, **told, **{f"true {t}": 28 - cost * t for t in range(1, 8)}}

    rows = [row(m, i, c) for m, c in (("HQS", 1.0), ("guided", 0.2), ("HQS estimated", 0.1)) for i in "ab"]
    five, ten = guidance_told.claims(rows, "quick")
    assert five.verdict == ten.verdict == "holds", "a method that reads the level itself is evidence, no part of the verdict"
    assert ten.values["over HQS estimated (dB)"].value == pytest.approx(-0.6)
    assert ten.values["over HQS (dB)"].value == pytest.approx(4.8)


def test_a_stopped_training_of_a_strategy_goes_on_exactly(tmp_path, monkeypatch):
    where = tmp_path / "train400"
    where.mkdir()
    for i in range(20):
        save_image(bundled("camera", gray=True)[..., 15 * i : 15 * i + 70, 100:180], where / f"p{i:02d}.png")
    monkeypatch.setenv("RESTOREKIT_DATA", str(tmp_path))
    monkeypatch.setattr(recipe, "BATCH", 2)
    monkeypatch.setattr(recipe, "PATCH", 32)
    monkeypatch.setattr(guidance_strategies, "RECIPE", replace(guidance_strategies.RECIPE, features=4))
    monkeypatch.setattr(guidance_strategies, "KEEP_EVERY", 1)
    cell = next(c for c in guidance_strategies.cells("smoke") if c.method == "naive")
    whole = guidance_strategies.train(cell, tmp_path / "whole.pt")
    half = recipe.GuidanceTrainer(guidance_strategies.RECIPE, 2, seed=cell.seed, strategy="naive")
    half.step()
    save_state(tmp_path / "half.pt", half)
    steps = []
    monkeypatch.setattr(recipe.GuidanceTrainer, "step", lambda self, step=recipe.GuidanceTrainer.step: steps.append(1) or step(self))
    again = guidance_strategies.train(cell, tmp_path / "half.pt")
    assert len(steps) == 1 and all(torch.equal(v, again.weights()[n]) for n, v in whole.weights().items())
    done = run_cells(guidance_strategies.cells("smoke"), guidance_strategies.run, store=tmp_path / "r", progress=False)
    assert not done.failures and {r["method"] for r in done.rows} == set(guidance_strategies.METHODS)
    of = {(r["method"], r["seed"]): r for r in done.rows}
    assert of["true_map", 0]["map 3%"] == 0 < of["naive", 0]["map 3%"]


def test_strategies_are_compared_seed_by_seed():
    rows = [
        {"method": m, "seed": s, **{f"psnr {v}": 25 + s + g for v in guidance_strategies.COLUMNS["quick"]}, **{"map 3%": 0.3}}
        for m, g in (("alternating", 0.0), ("naive", 0.1), ("stop_gradient", 0.0), ("two_stage", 0.0), ("true_map", 0.2))
        for s in (0, 1, 2)
    ]
    (record,) = guidance_strategies.claims(rows, "quick")
    assert record.verdict == "does not hold here" and record.values["over true_map, 3% (dB)"].value == pytest.approx(-0.2)


@pytest.mark.parametrize("name", NAMES)
def test_tables_load_and_name_their_cells(name, fresh_nets):
    module = tables.load(name)
    for size in module.SIZES:
        cells = module.cells(size)
        assert len({c.id for c in cells}) == len(cells) > 0 and all(c.table == name for c in cells)
