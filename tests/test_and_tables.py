"""The tables on AND: their pictures, measures with planted truth, margins, resuming, and what is stored."""

import os
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from restorekit.degradations import gaussian_noise
from restorekit.experiments import data_folder, load_results, run_cells, tables
from restorekit.experiments.tables import _and, and_ablation, and_cost, and_identity, and_unseen, and_worst_case
from restorekit.experiments.tables._mlmc import read_published
from restorekit.images import bundled
from restorekit.methods.baselines.bicubic import bicubic, bicubic_downsample
from restorekit.methods.degraders import make_degrader
from restorekit.methods.pipeline import gaussian_blur
from restorekit.nets.degradation_net import NeuralDegradation
from restorekit.nets.rrdb import light_rrdb

NAMES = [name for name in tables.names() if name.startswith("and_")]
T = bundled("cat", size=(64, 64))
needs_data = pytest.mark.skipif(not os.environ.get("RESTOREKIT_DATA"), reason="RESTOREKIT_DATA is not set")


def gen(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def stub(gain: float):
    """Restorers by name: bicubic with some noise added, less for those that are to be better."""
    level = {"bicubic": 0.03, "classical": 0.03, "random": 0.03 - gain, "pipeline": 0.03, "adversarial": 0.03 - 2 * gain}
    return lambda method, scale: lambda y: gaussian_noise(bicubic(y, scale), level[method], generator=gen())


# pictures and margins


def test_pictures_are_enough_and_distinct():
    chosen = _and.pictures("quick")
    assert len(set(chosen)) == len(chosen) >= 15
    assert ("set14", "face") not in chosen  # it is set5/head
    few = _and.pictures("quick", {"set5": 2, "set14": 3, "cbsd68": 1})
    assert [source for source, _ in few] == ["set5"] * 2 + ["set14"] * 3 + ["cbsd68"] and set(few) <= set(chosen)
    assert all(source == "bundled" for source, _ in _and.pictures("smoke"))


@needs_data
def test_crops_are_the_middle_in_color():
    for source, name in _and.pictures("quick"):
        x = _and.picture(source, name, 4)
        assert x.shape[:2] == (1, 3) and max(x.shape[2:]) <= 256 and not x.shape[2] % 4 and not x.shape[3] % 4
    gray = _and.picture("set14", "bridge", 2, 64)
    assert torch.equal(gray[:, 0], gray[:, 2])


def test_observations_do_not_depend_on_the_method():
    first, again = (_and.observe("bundled", "cat", "noise 20", 2, 64) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert first[0].shape == (1, 3, 64, 64) and first[1].shape == (1, 3, 32, 32)
    assert not torch.equal(first[1], _and.observe("bundled", "cat", "noise 10", 2, 64)[1])


def test_margins_over_pictures():
    rows = [
        {"method": m, "dataset": "d", "image": str(i), "score": s}
        for m, scores in {"a": (31.0, 32.0, 36.0), "b": (30.0, 30.0, 33.0)}.items()
        for i, s in enumerate(scores)
    ]
    value = _and.over_pictures(rows, "a", "b", "score", above=0.5)
    assert value.value == pytest.approx(1.5) and value.spread == pytest.approx(1 / 3**0.5) and value.n == 3 and value.margin
    assert _and.over_pictures(rows[:1] + rows[3:4], "a", "b", "score") is None
    assert _and.over_pictures(rows, "a", "c", "score") is None


# A1


def test_looks_of_known_changes():
    t = T.double()
    colored = torch.einsum("ij,bjhw->bihw", torch.tensor([[0.5, 0.2, 0], [0, 0.9, 0], [0.1, 0, 0.6]]).double(), t) + 0.1
    found = and_identity.looks(colored, t)
    assert found["fitted"] > 100 and found["sharpness"] == pytest.approx(1) and abs(found["high"]) < 1e-6
    assert found["strength"] < 25 and found["cast"] == pytest.approx(255 * (colored - t).mean((2, 3)).abs().mean().item())
    blurred = and_identity.looks(gaussian_blur(t, (1.0, 1.0)), t)
    assert blurred["sharpness"] < 0.6 and blurred["high"] < blurred["middle"] < blurred["low"] + 0.5
    noisy = and_identity.looks(gaussian_noise(t, 0.1, generator=gen()), t)
    assert noisy["sharpness"] > 1.5 and noisy["high"] > 3


def test_spectrum_bands():
    at = torch.arange(48, dtype=torch.float64)
    for band, frequency in enumerate((4, 12, 20)):  # of Nyquist's 24
        wave = torch.cos(2 * torch.pi * frequency * at / 48).expand(1, 3, 48, 48)
        power = and_identity.spectrum(wave)
        assert power[band] == pytest.approx(power.sum().item()) and power.sum() > 1


def test_identity_errors_and_what_counts_as_alike():
    small = [c for c in and_identity.cells("smoke") if c.method == "identity" and c.params["draw"] == "orthogonal" and c.seed == 0]
    errors = {(c.params["scale"], c.params["dtype"]): and_identity.identity_error(c) for c in small}
    assert len(errors) == 8 and all(e < (1e-12 if dtype == "float64" else 2e-6) for (_, dtype), e in errors.items())
    real = [{"method": "unseen", "fitted": f, "strength": f, "sharpness": s} for f, s in ((25, 0.4), (35, 2.0))]
    cases = [(30, 30, 1.0, 1), (50, 50, 1.0, 1), (30, 20, 1.0, 0), (20, 30, 1.0, 0), (30, 30, 3.0, 0), (30, 30, 0.1, 0)]
    drawn = [{"method": "random", "fitted": f, "strength": p, "sharpness": s} for f, p, s, _ in cases]
    assert [r["alike"] for r in and_identity.alike([*real, *drawn])] == [1, 1, *(c[3] for c in cases)]


def test_random_initialization_is_no_mild_degradation():
    x = bundled("cat", size=(64, 64))
    t = NeuralDegradation(2).pool(x)
    found = {m: and_identity.looks(and_identity.deviation(m, x, gen()), t) for m in and_identity.DRAWN if m != "adversarial"}
    assert found["random_init"]["strength"] < 15 < found["random"]["strength"] < 40
    assert found["random"]["cast"] < 2 < found["random_init"]["cast"]
    assert found["printed"]["strength"] < found["random_literal"]["strength"]


# A4


def by_hand(net: nn.Module, y: torch.Tensor) -> float:
    """2 x multiplications of each convolution, by hooks."""
    total = []

    def count(layer, _, out):
        total.append(2 * layer.weight.numel() * out.shape[-2] * out.shape[-1])

    hooks = [m.register_forward_hook(count) for m in net.modules() if isinstance(m, nn.Conv2d)]
    with torch.no_grad():
        net(y)
    for hook in hooks:
        hook.remove()
    return sum(total) / 1e9


def test_counts_of_operations():
    pair = and_cost.PAIRS["light"]
    found = and_cost.counts(pair)
    side = and_cost.COUNTED_SIDE
    assert found["inference"] == pytest.approx(by_hand(light_rrdb(2, generator=gen()), torch.zeros(1, 3, side // 2, side // 2)))
    f, first, last = pair.features, side**2, (side // 2) ** 2
    assert found["degrade"] == pytest.approx(18e-9 * ((3 * f + f * f) * first + (2 * f * f + 3 * f) * last))
    assert 2.5 < found["plain"] / found["inference"] <= 3  # forward, weights, inputs but the first
    expected = (found["plain"] + 5 * found["ascent"] + found["degrade"]) / found["plain"]
    assert found["ratio"] == pytest.approx(expected) and found["formula"] > found["ratio"]
    # each skipped weight gradient of G costs as much as its forward pass
    assert found["whole"] - found["ascent"] == pytest.approx(found["inference"])


def test_times_and_the_claim():
    times = and_cost.times(replace(and_cost.PAIRS["light"], batch=1, patch=32), 0, 1)
    assert times["printed_ratio"] == pytest.approx(times["printed_s"] / times["plain_s"]) and times["printed_ratio"] > 2
    counted = {"method": "counted", "nets": "paper", "seed": 0, "ratio": 5.1, "formula": 6.7, "plain": 440.0}
    rows = [
        counted,
        *({"method": "timed", "nets": "paper", "seed": i, "printed_ratio": 6.4 + 0.1 * i, "ours_ratio": 8.0} for i in range(3)),
    ]
    (record,) = and_cost.claims(rows, "quick")
    assert record.id == "A4" and record.verdict == "holds"
    (record,) = and_cost.claims(
        [{**counted, "formula": 9.0, "ratio": 9.0}, *({**r, "printed_ratio": 12.0 + r["seed"]} for r in rows[1:])], "quick"
    )
    assert record.verdict == "does not hold here"


# A2, A3


def test_degraders_are_those_of_the_paper_and_ours():
    assert set(and_ablation.DEGRADERS) == {"classical", "noise", "random_literal", "random", "random_init", "pipeline", "adversarial"}
    assert {r["degrader"] for r in read_published("and_table2")} <= set(and_ablation.DEGRADERS)
    made = and_ablation.cells("quick")
    assert len(made) == 1 + 7 * 3 and len({c.params["steps"] for c in made if c.method != "bicubic"}) == 1


def test_a_cell_names_its_settings(monkeypatch):
    before = {c.id for c in and_ablation.cells("quick") if c.method == "adversarial"}
    monkeypatch.setitem(and_ablation.DEGRADERS, "adversarial", {**and_ablation.DEGRADERS["adversarial"], "steps": 9})
    assert before.isdisjoint(c.id for c in and_ablation.cells("quick") if c.method == "adversarial")


def test_a_stopped_training_goes_on_exactly(tmp_path, monkeypatch):
    cell = next(c for c in and_ablation.cells("smoke") if c.method == "random" and c.seed == 1)
    cell = replace(cell, params={**cell.params, "steps": 3})
    degrader = make_degrader(cell.method, 2, **and_ablation.DEGRADERS[cell.method])
    whole = and_ablation.train(cell, degrader, tmp_path / "whole.pt").state_dict()
    monkeypatch.setattr(and_ablation, "KEEP_EVERY", 1)
    saved = and_ablation.save_state

    def stop(path, trainer):
        saved(path, trainer)
        if trainer.state_dict()["plain"]["_step"] == 2:
            raise RuntimeError("killed")

    monkeypatch.setattr(and_ablation, "save_state", stop)
    with pytest.raises(RuntimeError, match="killed"):
        and_ablation.train(cell, degrader, tmp_path / "part.pt")
    monkeypatch.setattr(and_ablation, "save_state", saved)
    resumed = and_ablation.train(cell, degrader, tmp_path / "part.pt").state_dict()
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    start = light_rrdb(2, generator=gen(cell.seed)).state_dict()
    assert any(not torch.equal(whole[name], start[name]) for name in whole)


def planted(unseen: dict[str, float]) -> list[dict]:
    spread = (-0.05, 0.0, 0.05)
    return [
        {
            "method": m,
            "seed": i,
            "psnr unseen": v + (e if m == "adversarial" else 0),
            "psnr clean": 30.0,
            "ssim unseen": 0.8,
            "ssim clean": 0.9,
            "cpu_seconds": 1.0,
        }
        for m, v in unseen.items()
        for i, e in enumerate(spread[:1] if m == "bicubic" else spread)
    ]


def test_ablation_verdicts_gaps_and_intervals():
    paper = {
        "bicubic": 26.0,
        "classical": 26.5,
        "noise": 26.6,
        "random_literal": 27.3,
        "random": 27.4,
        "random_init": 12.0,
        "adversarial": 28.5,
    }
    rows = planted(paper)
    assert [(r.id, r.verdict) for r in and_ablation.claims(rows, "quick")] == [("A2", "holds"), ("A3", "holds")]
    assert and_ablation.gap(rows, "adversarial", "bicubic").n == 3  # bicubic has no seed
    other = {**paper, "noise": 28.4, "random": 29.0}
    assert [r.verdict for r in and_ablation.claims(planted(other), "quick")] == ["holds in part", "holds in part"]
    assert {r.verdict for r in and_ablation.claims(rows, "smoke")} == {"cannot be tested at this size"}
    # Student: 4.303 s / sqrt(3)
    assert and_ablation.confidence(0.05, 3) == pytest.approx(4.303 * 0.05 / 3**0.5)
    assert and_ablation.confidence(None, 1) is None
    by_name = {r["degrader"]: r for r in and_ablation.beside_print(rows)}
    assert by_name["adversarial"]["gain"] == pytest.approx(2.0) and by_name["adversarial"]["printed gain"] == pytest.approx(1.94)
    assert by_name["random"]["ci"] == pytest.approx(0) and by_name["pipeline"]["gain"] is None


def test_ablation_smoke_cell(tmp_path):
    chosen = [c for c in and_ablation.cells("smoke") if c.method in ("bicubic", "classical") and c.seed == 0]
    run = run_cells(chosen, and_ablation.run, store=tmp_path, progress=False)
    assert not run.failures and [r["method"] for r in run.rows] == ["bicubic", "classical"]
    means = [sum(r[f"psnr {d}"] for d in ("wide blur", "noise 20", "JPEG 30")) / 3 for r in run.rows]
    assert means == pytest.approx([r["psnr unseen"] for r in run.rows])
    assert {r["degradation"] for r in and_ablation.by_degradation(run.rows)} == {"clean", "wide blur", "noise 20", "JPEG 30", "unseen"}
    assert len(and_ablation.summarize(run.rows)) == 2


# A2shipped, A5, A6


def test_unseen_by_stubs(monkeypatch):
    monkeypatch.setattr(and_unseen, "restorer", stub(0.01))
    made = and_unseen.cells("smoke")
    rows = [{**c.to_dict(), **c.params, **and_unseen.run(c)} for c in made]
    assert {r["scale"] for r in rows} == set(and_unseen.SCALES) and len(rows) == 5 * len(and_unseen.SCALES)
    table = {(r["scale"], r["score"], r["degradation"]): r for r in and_unseen.summarize(rows)}
    assert table[2, "psnr", "unseen"]["adversarial"] > table[2, "psnr", "unseen"]["random"] > table[2, "psnr", "unseen"]["classical"]
    two = [{**r, "image": name} for r in rows for name in ("a", "b", "c")]  # equal pictures: no spread
    verdicts = {r.id: r.verdict for r in and_unseen.claims(two, "quick")}
    assert verdicts == {"A2shipped": "holds", "A6": "cannot be tested at this size"}


def test_worst_case_by_stubs(monkeypatch):
    def named(method: str, scale: int):
        sharpen = 0.3 if method == "bicubic" else 0.0
        return lambda y: bicubic(y + sharpen * (y - F.avg_pool2d(y, 3, 1, 1)), scale)

    monkeypatch.setattr(and_worst_case, "restorer", named)
    made = [replace(c, params={**c.params, "steps": 5}) for c in and_worst_case.cells("smoke") if c.method in ("bicubic", "adversarial")]
    rows = [{**c.to_dict(), **c.params, **and_worst_case.run(c)} for c in made]
    for row in rows:
        assert row["worst"] <= row["attacked"] < row["random"] < row["clean"]
    (record,) = and_worst_case.claims([{**r, "image": n} for r in rows for n in ("a", "b")], "quick")
    assert record.id == "A5" and "worst case, adversarial over bicubic (dB)" in record.values
    assert {r["method"] for r in and_worst_case.summarize(rows)} == {"bicubic", "adversarial"}


def test_attacks_have_the_stated_strength():
    x = bundled("cat", size=(48, 48))
    attack = and_worst_case.Adversarial(2, strength=(28.0, 28.0), steps=2, step=0.5)
    y = and_worst_case._degraded(attack, lambda y: bicubic(y, 2), x, gen())
    assert -10 * (y - bicubic_downsample(x, 2)).square().mean().log10() == pytest.approx(28, abs=0.15)


# what is printed and what is stored


def test_printed_tables():
    rows = read_published("and_table1")
    assert len(rows) == 14 * 4 and len({r["method"] for r in rows}) == 14
    for name in {r["dataset"] for r in rows}:
        here = [r for r in rows if r["dataset"] == name]
        assert max(here, key=lambda r: float(r["psnr"]))["method"] == "ANDNet"
        assert min(here, key=lambda r: float(r["lpips"]))["method"] == "ANDGAN"


@pytest.mark.parametrize("name", NAMES)
def test_sizes_and_cells(name):
    table = tables.load(name)
    for size in table.SIZES:
        made = table.cells(size)
        assert made and len(set(made)) == len(made) and all(c.table == name for c in made)
    assert len(table.cells("smoke")) <= len(table.cells("quick"))


@pytest.mark.parametrize("name", NAMES)
def test_stored_rows_are_those_of_the_cells(name):
    if not (data_folder("results") / f"{name}_quick.csv").exists():
        pytest.skip(f"{name} is not stored yet")
    rows = load_results(name, "quick").rows
    assert {r["id"] for r in rows} == {c.id for c in tables.load(name).cells("quick")}
    table = tables.load(name)
    for record in table.claims(rows, "quick") if hasattr(table, "claims") else ():
        stored = data_folder("claims") / f"{record.id}_quick.json"
        assert type(record).load(stored).verdict == record.verdict
