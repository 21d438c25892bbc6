"""Page 07: the references of its exercises are true, and its figures and sentences state their numbers."""

from types import SimpleNamespace

import pytest
import torch

from restorekit.experiments import ClaimRecord, Value, load_claims
from restorekit.kernels import gaussian_kernel
from restorekit.teach import tasks_07
from restorekit.teach import views_07 as views


def test_the_level_is_that_of_the_sum():
    g = torch.Generator().manual_seed(0)
    n, left = 0.03 * torch.randn(200_000, generator=g), 0.04 * torch.randn(200_000, generator=g)
    assert (n + left).square().mean().sqrt().item() == pytest.approx(tasks_07.kernel_error().reference(0.03, 0.04), rel=0.01)


def test_the_a_step_is_the_lowest_point():
    g = torch.Generator().manual_seed(0)
    v, y = torch.rand(2, 1, 1, 8, 8, generator=g, dtype=torch.float64)
    a = torch.linspace(0, 2, 4001, dtype=torch.float64)
    loss = (a.view(-1, 1, 1, 1) * v - y).square().sum((1, 2, 3))
    assert a[loss.argmin()].item() == pytest.approx(tasks_07.brightness().reference(v, y), abs=6e-4)


@pytest.mark.parametrize("task", [tasks_07.kernel_error, tasks_07.wins, tasks_07.brightness])
def test_solutions_pass_and_known_errors_get_their_hint(task):
    task().verify()


def test_rounds_state_their_numbers():
    x, k = torch.rand(1, 1, 16, 16, generator=torch.Generator().manual_seed(0)), gaussian_kernel(5, 1.0)
    rounds = views.Rounds([(x + 0.1, k), (x + 0.01, k)], x, k)
    assert "0: 20.00 dB, 1: 40.00 dB" in rounds.strip().alt and "Round 1: 40.00 dB, its kernel 0.00" in rounds.frame(rounds.states[1]).alt
    assert "observed 20.0 dB" in views.alone({"observed": x + 0.1}, x).alt
    assert "MLMC 0.00" in views.kernels({"MLMC": k}, k).alt
    assert "1.0 px where the true kernel has 1.5: a 20.00 dB" in views.starts([1.0, 2.0], {"a": [20.0, 21.0]}, 1.5, 1.1).alt


def test_the_verdict_names_what_each_part_is_worth():
    numbers = {
        "mlmc": (24, 0.0, 0.0, 0),
        "combination": (25, 1.0, -0.2, 11),
        "no A-step": (24.6, 0.6, 0.1, 12),
        "and prior": (20, -4.0, -9.0, 0),
    }
    names = ("psnr", "over mlmc", "least", "cases better")
    rows = [{"method": m, **dict(zip(names, v, strict=True)), "n": 12} for m, v in numbers.items()]
    values = {"over mlmc": Value(1.0, 0.1, 12, margin=True)}
    record = ClaimRecord.decide("L1", "here", "text", command="c", size="quick", values=values)
    said = views.verdict(rows, record).data
    assert "+1.00 dB on average (11 of 12 cases better, at worst -0.20 dB)" in said
    assert "the A-step +0.40 dB" in said and "AND's restorer instead) +5.00 dB" in said and "*L1*, holds" in said
    stored = SimpleNamespace(stamp={"size": "quick", "rows": 12, "seeds": [0], "command": "c"})
    assert views.summary(rows, stored).data.index("| combination |") < views.summary(rows, stored).data.index("| mlmc |")


def test_the_ledger_is_complete_by_paper():
    records = load_claims()
    text = views.counts(records).data
    assert all(paper in text for paper in ("MLMC", "AND", "Bilevel"))
    table = views.ledger_table(records, "AND").data
    assert all(f"| A{i} |" in table for i in range(1, 7)) and "| M1 |" not in table
    assert "printed gain" in views.beside_print("and_ablation").data and "What differs" in views.beside_print("and_ablation").data
