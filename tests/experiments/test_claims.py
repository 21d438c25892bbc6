"""A verdict is what the numbers bear, and a record is what a run wrote."""

import itertools
import json

import pytest

from restorekit.experiments import VERDICTS, ClaimRecord, Value, combine_verdicts, load_claims, verdict_from


@pytest.mark.parametrize(
    ("margin", "spread", "verdict"),
    [(1.0, 0.5, "holds"), (-1.0, 0.5, "does not hold here"), (0.99, 0.5, "undecided"), (-0.99, 0.5, "undecided"), (5.0, None, "undecided"),
     (float("nan"), 0.1, "undecided"), (1.0, float("inf"), "undecided"), (0.0, 0.0, "undecided"), (0.1, 0.0, "holds")],
)  # fmt: skip
def test_verdict_needs_twice_the_seed_spread(margin, spread, verdict):
    assert verdict_from(margin, spread) == verdict
    assert verdict_from(margin, spread, decidable=False) == "cannot be tested at this size"


def test_combined_verdict():
    holds, part, fails, undecided, cannot = VERDICTS
    assert combine_verdicts([holds, holds]) == holds
    assert combine_verdicts([holds, fails]) == combine_verdicts([holds, undecided]) == combine_verdicts([part, holds]) == part
    assert combine_verdicts([fails, undecided]) == fails
    assert combine_verdicts([undecided, cannot]) == undecided
    for pair in itertools.product(VERDICTS, repeat=2):
        assert combine_verdicts(pair) == combine_verdicts(pair[::-1]) in VERDICTS
    with pytest.raises(ValueError, match="verdict='perhaps'"):
        combine_verdicts(["perhaps"])


def decide(**changes):
    arguments = {"command": "python -m restorekit experiments run toy --size quick", "size": "quick",
                 "values": {"gain over bicubic, dB": Value(2.0, 0.3, 12, margin=True), "psnr": (27.0, 0.2)}}  # fmt: skip
    return ClaimRecord.decide("M1", "MLMC Table 1", "beats the baselines", **{**arguments, **changes})


def test_record_decides_saves_and_loads(tmp_path):
    record = decide()
    assert record.verdict == "holds" and "torch" in record.environment and record.values["psnr"] == Value(27.0, 0.2)
    path = record.save(tmp_path)
    decide(size="smoke", decidable=False).save(tmp_path)
    assert path.name == "M1_quick.json" and ClaimRecord.load(path) == record
    assert [item.verdict for item in load_claims(tmp_path)] == ["holds", "cannot be tested at this size"]
    assert decide(values={"a": Value(2, 0.3, margin=True), "b": Value(-2, 0.3, margin=True)}).verdict == "holds in part"
    assert decide(values={"psnr": 27.0}).verdict == "undecided", "no margin, no verdict"


def test_record_edited_by_hand_is_refused(tmp_path):
    path = decide().save(tmp_path)
    content = json.loads(path.read_text())
    for changed in ({"text": "beats them all"}, {"digest": None}, {"extra": 1}):
        path.write_text(json.dumps({**content, **changed}))
        with pytest.raises(ValueError, match="no run has written"):
            ClaimRecord.load(path)


@pytest.mark.parametrize("verdict", ["does not hold here", "undecided", "holds in part", "true"])
def test_verdict_against_its_margins_is_refused(verdict):
    with pytest.raises(ValueError, match="verdict="):
        ClaimRecord("M1", "MLMC Table 1", "text", "command", "quick", {"gain": Value(2.0, 0.3, margin=True)}, verdict)
    with pytest.raises(ValueError, match="'undecided' by its margins"):
        ClaimRecord("M1", "MLMC Table 1", "text", "command", "quick", {"gain": Value(0.5, 0.3, margin=True)}, "holds")


@pytest.mark.parametrize("bad", [{"size": "full"}, {"command": ""}, {"values": {"x": Value(1.0)} | {"y": "text"}}])
def test_bad_record_is_refused(bad):
    with pytest.raises((ValueError, TypeError)):
        decide(**bad)
    with pytest.raises(ValueError, match="spread=-1"):
        Value(1.0, -1.0)
