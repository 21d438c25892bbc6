"""Checks and claims: stable lines, failures that say why, verdicts that cannot be dressed up."""

import pytest
import torch

from restorekit.experiments.claims import ClaimRecord, Value
from restorekit.teach import check, check_range, claim, parity
from restorekit.teach.checks import VERDICTS


def test_check_prints_one_stable_line(capsys):
    check("adjoint", torch.tensor(1.0 + 3e-13, dtype=torch.float64), 1.0, 1e-10, "float64 rounding")
    check("adjoint", 1.0, 1.0, 1e-10, "float64 rounding")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == lines[1] == "ok  adjoint: difference at most 1e-10 (float64 rounding)"


@pytest.mark.parametrize(("lhs", "rhs"), [(1.0, 1.1), (float("nan"), 1.0), (torch.ones(3), torch.tensor([1, 1, 2.0])), ([1, 2], [1, 3])])
def test_check_fails_with_the_difference(lhs, rhs, capsys):
    with pytest.raises(AssertionError, match="sum: the two sides differ by .*allowed 0.01"):
        check("sum", lhs, rhs, 0.01)
    assert capsys.readouterr().out == ""


def test_check_compares_structures():
    check("dict", {"a": torch.ones(2), "b": (1, 2.0)}, {"a": [1, 1.0], "b": [1, 2]}, 0)
    check("scalar against tensor", torch.full((3, 3), 2.0), 2.0, 0)
    with pytest.raises(ValueError, match="shape"):
        check("shapes", torch.ones(3), torch.ones(1, 3), 1)
    with pytest.raises(ValueError, match="names"):
        check("names", {"a": 1}, {"b": 1}, 1)


def test_ranges(capsys):
    check_range("gain in dB", torch.tensor(2.0), low=1.5)
    check_range("share", 0.4, 0.3, 0.5, "one false alarm in 1000 seeds")
    assert capsys.readouterr().out == "ok  gain in dB: at least 1.5\nok  share: between 0.3 and 0.5 (one false alarm in 1000 seeds)\n"
    for value, low, high in ((1.0, 1.5, None), (2.0, None, 1.5), (float("nan"), 0.0, None)):
        with pytest.raises(AssertionError, match="gain"):
            check_range("gain", value, low, high)
    with pytest.raises(ValueError, match="no band"):
        check_range("gain", 1.0)


def test_parity_insists_on_float64(capsys):
    x = torch.ones(2, dtype=torch.float64)
    parity((x, [x]), (x, [x + 1e-12]))
    assert capsys.readouterr().out == "ok  same as the library: difference at most 1e-10 (float64)\n"
    with pytest.raises(TypeError, match="float64"):
        parity(x.float(), x)
    with pytest.raises(AssertionError, match="differ"):
        parity(x, x + 1e-6)


def test_claim_from_words(monkeypatch):
    monkeypatch.setenv("RESTOREKIT_SIZE", "quick")
    made = claim(
        "M3", "MCKA gains <1 dB>", "MLMC Table 4", {"gain in dB": 0.4123, "with spread": (0.4, 0.05)}, "holds in part", decidable_at="quick"
    )
    assert repr(made).splitlines() == [
        "id: M3",
        "claim: [MLMC Table 4] MCKA gains <1 dB>",
        "evidence: gain in dB = 0.412, with spread = 0.4 ± 0.05",
        "verdict: holds in part",
        "size: quick; this size can decide it",
    ]
    assert "&lt;1 dB&gt;" in made._repr_html_() and "<1 dB>" not in made._repr_html_()


def test_a_size_that_cannot_decide_must_say_so(monkeypatch):
    monkeypatch.setenv("RESTOREKIT_SIZE", "smoke")
    with pytest.raises(ValueError, match="decidable at full"):
        claim("M3", "text", "Eq. 1", "some evidence", "holds", decidable_at="full")
    assert "smoke; this size cannot decide it, full can" in repr(claim("M3", "t", "Eq. 1", "e", VERDICTS[4], decidable_at="full"))


def test_claim_from_a_record():
    record = ClaimRecord.decide(
        "M1",
        "MLMC Table 1",
        "beats the baseline",
        command="python -m restorekit experiments run M1",
        size="paper",
        values={"gain": Value(1.5, 0.1, 3, True)},
    )
    text = repr(claim(record, decidable_at="full"))
    assert "verdict: holds" in text and "gain = 1.5 ± 0.1" in text and "paper; this size can" in text and "command: python" in text


@pytest.mark.parametrize("changes", [{"verdict": "true"}, {"evidence": ""}, {"locator": None}, {"text": ""}])
def test_incomplete_claims(changes):
    given = {"text": "t", "locator": "Eq. 1", "evidence": "e", "verdict": "holds", **changes}
    with pytest.raises(ValueError, match="Fix"):
        claim("M1", **given)
