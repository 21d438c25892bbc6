"""The figures and sentences of page 03b: rows turned into columns, what a verdict's sentence says, alt texts with their numbers."""

from types import SimpleNamespace

import pytest
import torch

from restorekit import delta_kernel, gaussian_kernel
from restorekit.experiments import ClaimRecord, Value
from restorekit.teach import Trace
from restorekit.teach import views_03b as views


def record(**values):
    return ClaimRecord.decide("M0", "here", "text", command="c", size="quick", values=values)


def test_pivot_turns_rows_into_columns_and_leaves_empty_ones_out():
    rows = [
        {"scale": s, "method": m, "PSNR": 20.0 + s, "PSNR_spread": 0.1, "printed": 30.0 if s == 2 else None} for m in "ab" for s in (2, 4)
    ]
    table = views.pivot(rows, "scale", unit="x")
    assert [row["method"] for row in table] == ["a", "b"]
    assert [name for name in table[0] if not name.endswith("_spread")] == ["method", "PSNR, x2", "PSNR, x4", "printed, x2"]
    assert table[1]["PSNR, x4"] == 24.0 and table[1]["PSNR, x4_spread"] == 0.1


def test_reading_sorts_margins_by_the_rule_and_ignores_evidence():
    said = views.reading(
        record(
            won=Value(1.0, 0.1, 3, margin=True),
            lost=Value(-1.0, 0.1, 3, margin=True),
            even=Value(0.1, 0.1, 3, margin=True),
            seen=Value(9.0),
        )
    ).data
    assert "holds in part" in said and "**on the claim's side**: won +1.00" in said
    assert "**against it**: lost -1.00" in said and "**open**: even +0.10" in said and "seen" not in said


def test_tally_counts_verdicts_and_expected_errors():
    said = views.tally([record(a=Value(1.0, 0.1, 3, margin=True)), record(a=Value(-1.0, 0.1, 3, margin=True))] * 10).data
    assert "20 claims" in said and "10 holds" in said and "20 margins" in said and "about 1 of these" in said


@pytest.mark.parametrize(("margin", "word"), [(0.3, "earn"), (-0.3, "too little")])
def test_added_judges_by_the_bar(margin, word):
    said = views.added([record(a=Value(margin, 0.01, 3, margin=True))]).data
    assert word in said and f"{margin + 0.2:+.2f} dB" in said


def test_race_says_who_is_near_the_truth():
    truth, kernel = torch.rand(1, 1, 24, 24), gaussian_kernel(7, 1.0)
    traces = {"right": Trace(fields=("x", "k")), "wrong": Trace(fields=("x", "k"))}
    for i in range(1, 4):
        traces["right"](i, SimpleNamespace(x=truth + 0.01, k=kernel))
        traces["wrong"](i, SimpleNamespace(x=1 - truth, k=delta_kernel(7)))
    race = views.Race(traces, truth, kernel, 2)
    assert race.distance["right"][-1] < 0.01 < race.distance["wrong"][-1]
    assert "`right` leads in both" in race.reading().data
    assert "right from 0.00 to 0.00" in race.strip().alt and race.strip().png[:4] == b"\x89PNG"
    assert "right: " in race.frame(traces["right"][1]).alt


def test_paired_counts_wins():
    rows = [{"image": i, "seed": s, "difference": d} for i, s, d in (("a", 0, 0.5), ("a", 1, -0.2), ("b", 0, 0.1))]
    assert "2 of 3" in views.paired(rows, "dip").alt
