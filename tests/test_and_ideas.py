"""Table `and_ideas`: one change a row, pictures that nothing else saw, the arithmetic of its summary."""

import os

import pytest
import torch

from restorekit.experiments.recipes import adversarial as recipe
from restorekit.experiments.tables import _and, and_ideas

needs_data = pytest.mark.skipif(not os.environ.get("RESTOREKIT_DATA"), reason="RESTOREKIT_DATA is not set")


def test_ideas_change_one_thing_each_and_only_that():
    made = and_ideas.cells("quick")
    by_name = {c.method: c for c in made}
    assert len({c.id for c in made}) == len(made) == 2 + len(and_ideas.IDEAS)
    base = by_name["adversarial"].params
    for name, cell in by_name.items():
        changed = {key for key in base if cell.params[key] != base[key]}
        assert len(changed) == (name != "adversarial"), (name, changed)


@needs_data
def test_ideas_are_judged_on_pictures_that_nothing_else_saw():
    judged, trained = {n for _, n in and_ideas.held_out("quick")}, set(recipe.RestorerTrainer("and_random_x2").training)
    reported = {name for source, name in _and.pictures("quick") if source == "cbsd68"}
    assert len(judged) == 10 and judged.isdisjoint(trained | reported)


def test_either_is_one_of_the_two():
    one, other = (lambda x, G, *, generator, loss=None, v=v: torch.full_like(x, v) for v in (0.0, 1.0))
    both = and_ideas.Either(one, other)
    drawn = [both(torch.zeros(1), None, generator=torch.Generator().manual_seed(seed)).mean().item() for seed in range(40)]
    assert set(drawn) == {0.0, 1.0} and 10 < sum(drawn) < 30


def test_ideas_are_compared_with_random():
    scores = (("random", 27.0, 2.0), ("four steps", 27.5, 8.0))
    rows = [{"method": m, "psnr clean": 30.0, "psnr unseen": u, "cpu_seconds": c} for m, u, c in scores]
    last = and_ideas.summarize(rows)[-1]
    assert last["over random"] == pytest.approx(0.5) and last["cost"] == pytest.approx(4.0)
