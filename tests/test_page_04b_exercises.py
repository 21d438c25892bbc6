"""Page 04b: the references of its exercises are true, and its figures state their numbers."""

from types import SimpleNamespace

import pytest
import torch

from restorekit.teach import tasks_04b
from restorekit.teach import views_04b as views
from restorekit.teach.views_04 import dB


def test_the_gain_against_the_ball_is_one_by_brute_force():
    angle = torch.linspace(0, 2 * torch.pi, 721, dtype=torch.float64)
    g = torch.linspace(0, 2, 401, dtype=torch.float64)[:, None]
    u, s = 0.5 * angle.cos(), 0.5 * angle.sin()
    worst = ((1 - g * (1 - u)) ** 2 + g**2 * s**2).amax(1)
    assert g[worst.argmin()].item() == pytest.approx(tasks_04b.ball_gain().reference, abs=0.006)


def test_the_two_gains_by_brute_force():
    v, low, high = 4.0, 1.0, 3.0
    g = torch.linspace(0, 1, 2001, dtype=torch.float64)[:, None]
    s2 = torch.linspace(low, high, 201, dtype=torch.float64)
    L = v * (1 - g) ** 2 + g**2 * s2
    mean, worst = tasks_04b.two_gains().reference(v, low, high)
    assert g[L.mean(1).argmin()].item() == pytest.approx(mean, abs=6e-4)
    assert g[L.amax(1).argmin()].item() == pytest.approx(worst, abs=6e-4)


def test_scaling_is_how_psnr_answers():
    t = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    e = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(1)) - 0.5
    scale = tasks_04b.scaling().reference(dB(t + e, t), 26.0)
    assert dB(t + scale * e, t) == pytest.approx(26.0, abs=1e-5)


def test_the_race_says_how_much_is_gained_under_attack():
    x = torch.rand(1, 3, 24, 24, generator=torch.Generator().manual_seed(0))
    runs = {
        n: [SimpleNamespace(step=s, picture=x, error=e, clean=20.0) for s, e in ((1, 9.0), (2, end))] for n, end in (("a", 8), ("b", 6))
    }
    race = views.Race(runs, x)
    assert race.ratio() == pytest.approx(0.75)
    assert "*b* 9.0 to 6.0 gray levels" in race.reading().data
    assert "b 9.0 to 6.0" in race.strip().alt and "b: error 6.0" in race.frame(runs["a"][1]).alt


def test_insurance_and_preparations_state_their_numbers():
    assert "worst case 0.44 at 0, 0.67 at the end" in views.insurance(2.0).alt
    assert " 0.000 above" in views.preparations(1.0, 1.0).alt


def test_ranking_reads_the_table():
    table = SimpleNamespace(MEAN="unseen", METHODS=("bicubic", "classical", "adversarial"))
    values = {"clean": (30, 32, 31), "blur": (25, 24, 26), "noise": (24, 20, 25), "unseen": (24.5, 22, 25.5)}
    rows = [{"scale": 2, "score": "psnr", "degradation": d, **dict(zip(table.METHODS, v, strict=True))} for d, v in values.items()]
    said = views.ranking(rows, table).data
    assert said.startswith("**x2.**") and "adversarial +1.0, classical -2.5" in said and "largest on noise (+5.0 dB)" in said


def test_a_cell_that_changed_is_found():
    row = {"id": "1", "method": "classical", "scale": 2, "psnr unseen": 25.0}
    cell = SimpleNamespace(id="1", image="cat", dataset="bundled")
    table = SimpleNamespace(MEAN="unseen", cells=lambda size: [cell], run=lambda c: {"psnr unseen": 25.01})
    assert "25.01 dB now" in views.same_cell(table, SimpleNamespace(rows=[row])).data
    table.run = lambda c: {"psnr unseen": 26.0}
    with pytest.raises(AssertionError, match="stored"):
        views.same_cell(table, SimpleNamespace(rows=[row]))


def test_evidence_reads_a_stored_table_and_names_one_that_is_not(monkeypatch):
    shown, records = views.evidence("and_cost", "summarize", ["nets", "formula"])
    assert set(records) == {"A4"} and "light" in shown[0].data and "*A4*" in shown[1].data

    def missing(name, size):
        raise FileNotFoundError

    monkeypatch.setattr(views, "load_results", missing)
    shown, records = views.evidence("and_cost", "summarize")
    assert "experiments run and_cost" in shown[0].data and records == {}
