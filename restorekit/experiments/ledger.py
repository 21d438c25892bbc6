"""The claims ledger: each claim of the four papers, what was measured, and the verdict. Read from stored results, never by hand."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from .claims import ClaimRecord, Value, load_claims
from .results import load_results, markdown
from .stamp import data_folder
from .tables import load, names

# the claims of our reading: MLMC, adversarial degradation, bilevel guidance, dynamic plug-and-play, its published scores
EXPECTED = (
    *(f"M{i}" for i in range(1, 13)),
    *(f"A{i}" for i in range(1, 7)),
    *(f"B{i}" for i in range(1, 11)),
    *(f"P{i}" for i in range(1, 6)),
    "R1",
)
PAPERS = {"M": "MLMC", "A": "AND", "B": "Bilevel", "P": "Dynamic PnP", "R": "Dynamic PnP"}


def missing(records: Iterable[ClaimRecord]) -> list[str]:
    """The claims that no record decides yet, in the papers' order."""
    found = {record.id for record in records}
    return [id for id in EXPECTED if id not in found]


def recompute() -> dict[tuple[str, str], ClaimRecord]:
    """(id, size) -> the record that the stored tables give now."""
    found = {}
    for name in names():
        table = load(name)
        for size in table.SIZES:
            if hasattr(table, "claims") and (data_folder("results") / f"{name}_{size}.csv").exists():
                found.update({(r.id, r.size): r for r in table.claims(load_results(name, size).rows, size)})
    return found


def differences() -> list[str]:
    """What differs between the stored records and those that the stored tables give now, in words; empty if nothing does."""
    made, stored = recompute(), {(record.id, record.size): record for record in load_claims()}
    found = []
    for key, now in made.items():
        before = stored.get(key)
        if before is None:
            found.append(f"{now.id} ({now.size}): not stored; {now.command}")
        elif now.verdict != before.verdict:
            found.append(f"{now.id} ({now.size}): {before.verdict} is stored, the table gives {now.verdict}; {now.command}")
        elif {k: round(v.value, 9) for k, v in now.values.items()} != {k: round(v.value, 9) for k, v in before.values.items()}:
            found.append(f"{now.id} ({now.size}): other numbers than the table's; {now.command}")
    return found + [f"{r.id} ({r.size}): no stored table gives it; {r.command}" for key, r in stored.items() if key not in made]


def evidence(record: ClaimRecord, count: int | None = 2) -> str:
    """The numbers of a record in one line, those that take part in the verdict first; count: how many at most."""
    ordered = sorted(record.values.items(), key=lambda item: not item[1].margin)
    shown = [f"{name} {_number(value)}" for name, value in (ordered if count is None else ordered[:count])]
    return "; ".join(shown) or "nothing was measured"


def ledger(records: Sequence[ClaimRecord] | None = None) -> list[dict[str, Any]]:
    """One row a record: id, where the paper claims it, our words, verdict, evidence, size, command; by paper, then number."""
    found = sorted(load_claims() if records is None else records, key=_order)
    return [
        {
            "claim": r.id,
            "where": r.locator,
            "says": r.text,
            "verdict": r.verdict,
            "evidence": evidence(r),
            "size": r.size,
            "command": r.command,
        }
        for r in found
    ]


def as_markdown(records: Sequence[ClaimRecord] | None = None) -> str:
    """The ledger as a table, the claims without a record named below it."""
    found = list(load_claims() if records is None else records)
    open_claims = missing(found)
    tail = f"\n\nWithout a verdict: {', '.join(open_claims)}." if open_claims else ""
    return markdown(ledger(found), columns=["claim", "where", "verdict", "says", "evidence", "size"]) + tail


def _number(value: Value) -> str:
    spread = "" if value.spread is None else f" ± {value.spread:.2g}"
    return f"{value.value:+.3g}{spread} (n = {value.n})" if value.margin else f"{value.value:.3g}{spread}"


def _order(record: ClaimRecord) -> tuple[int, int, str, str]:
    letters = list(PAPERS)
    head = letters.index(record.id[0]) if record.id[0] in letters and record.id[1:2].isdigit() else len(letters)
    digits = "".join(c for c in record.id[1:] if c.isdigit())
    return head, int(digits or 0), record.id, record.size
