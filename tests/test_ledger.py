"""The claims ledger: complete by rule, in order, borne out by the stored tables, and a changed record is found."""

import json
from dataclasses import replace

import pytest

from restorekit.cli import main
from restorekit.experiments import ClaimRecord, Value, ledger, load_claims


def record(id: str, margin: float = 1.0, spread: float | None = 0.1) -> ClaimRecord:
    values = {"shown only": Value(7.0), "margin (dB)": Value(margin, spread, 3, margin=True)}
    return ClaimRecord.decide(id, "Paper Table 1", "It is so.", command="python -m restorekit claims", size="quick", values=values)


def test_every_claim_of_our_reading_is_expected():
    counts = {letter: sum(id[0] == letter for id in ledger.EXPECTED) for letter in "MABPR"}
    assert counts == {"M": 12, "A": 6, "B": 10, "P": 5, "R": 1} and len(set(ledger.EXPECTED)) == 34


def test_missing_claims_are_named():
    some = [record("M1"), record("M1both"), record("P5")]
    left = ledger.missing(some)
    assert len(left) == 32 and not {"M1", "P5"} & set(left) and left[0] == "M2"
    assert ledger.as_markdown(some).endswith(f"Without a verdict: {', '.join(left)}.")
    assert "Without" not in ledger.as_markdown([record(id) for id in ledger.EXPECTED])


def test_rows_are_in_the_papers_order_with_margins_first():
    rows = ledger.ledger([record(id) for id in ("P1", "D1", "A10", "M12", "M2", "A2shipped", "A2", "B1")])
    assert [row["claim"] for row in rows] == ["M2", "M12", "A2", "A2shipped", "A10", "B1", "P1", "D1"]
    assert rows[0]["evidence"] == "margin (dB) +1 ± 0.1 (n = 3); shown only 7" and rows[0]["verdict"] == "holds"


def test_stored_records_are_those_of_the_stored_tables():
    assert ledger.differences() == []


@pytest.mark.parametrize("kind", ["verdict", "number", "gone", "nobody's"])
def test_a_record_that_no_table_bears_out_is_found(kind, monkeypatch):
    stored = load_claims()
    chosen = next(r for r in stored if r.id == "M1")
    others = [r for r in stored if r is not chosen]
    margin = next(name for name, value in chosen.values.items() if value.margin)
    changed = {
        "verdict": [replace(chosen, verdict="cannot be tested at this size")],
        "number": [
            replace(chosen, values={**chosen.values, margin: replace(chosen.values[margin], value=chosen.values[margin].value + 1e-6)})
        ],
        "gone": [],
        "nobody's": [chosen, record("M99")],
    }[kind]
    monkeypatch.setattr(ledger, "load_claims", lambda: [*others, *changed])
    (found,) = ledger.differences()
    assert ("M99" if kind == "nobody's" else "M1") in found and "python -m restorekit experiments run" in found or kind == "nobody's"


def test_commands(capsys):
    assert main(["claims"]) == 0
    assert "| M1 |" in capsys.readouterr().out
    assert main(["claims", "show", "m9"]) == 0
    out = capsys.readouterr().out
    stored = next(r for r in load_claims() if r.id == "M9")
    assert stored.verdict in out and stored.command in out and all(name in out for name in stored.values)
    assert main(["claims", "show", "M99"]) == 2
    assert "Allowed: A1" in capsys.readouterr().err
    assert main(["claims", "check"]) == 0
    assert "0 differ" in capsys.readouterr().out


def test_check_fails_when_a_record_was_not_made_by_its_table(monkeypatch, capsys):
    monkeypatch.setattr(ledger, "differences", lambda: ["M1 (quick): holds is stored"])
    assert main(["claims", "check"]) == 1
    assert "M1 (quick)" in capsys.readouterr().err


def test_a_record_changed_by_hand_is_refused(tmp_path):
    path = record("M1").save(tmp_path)
    content = json.loads(path.read_text())
    content["values"]["shown only"]["value"] = 8.0
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match="no run has written"):
        load_claims(tmp_path)
