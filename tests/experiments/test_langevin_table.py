"""The table langevin_kernel_net: what its four methods differ in, and that its claim follows from the rows."""

from __future__ import annotations

import pytest
import torch

from restorekit.experiments import Cell, load_results, tables
from restorekit.metrics import kernel_distance

table = tables.load("langevin_kernel_net")


def cell(method: str, start: str = "turned", seed: int = 0) -> Cell:
    return Cell("langevin_kernel_net", method, "bundled", "camera", seed=seed, params={"start": start})


def test_all_methods_see_one_observation_and_one_wrong_start():
    made = [table.learner(cell(method)) for method in table.METHODS]
    for learner, _, truth in made:
        assert torch.equal(learner._y, made[0][0]._y)
        assert torch.allclose(learner.kernel(), made[0][0].kernel(), atol=1e-5)
        assert kernel_distance(learner.kernel(), truth) > 0.7
    narrow = table.learner(cell("MCKA", "narrow"))
    assert torch.equal(narrow[0]._y, made[0][0]._y) and kernel_distance(narrow[0].kernel(), narrow[2]) > 0.7


def test_the_steady_pull_repeats_its_kernels_and_mcka_does_not():
    steady, chance = (table.learner(cell(method))[0] for method in ("MCKA, no chance", "MCKA"))
    assert torch.equal(steady._draw(), steady._draw()) and len(steady._draw()) == table.FIXED
    assert not torch.equal(chance._draw(), chance._draw()) and len(chance._draw()) == 10


def test_noise_moves_the_kernel_as_far_as_the_mcka_step_in_its_place():
    noisy, mcka = (table.learner(cell(method))[0] for method in ("Langevin", "MCKA"))
    before = noisy.kernel().detach()
    noisy._shake()
    table.mcka_step(mcka.kernel_net, mcka.z_k, mcka._optimizers["mcka"], mcka._draw(), x=mcka._x, y=mcka._y, scale=2, padding="circular")
    moved, wanted = ((learner.kernel() - before).norm().item() for learner in (noisy, mcka))
    assert moved == pytest.approx(wanted, rel=0.05)
    assert not torch.allclose(noisy.kernel(), mcka.kernel(), atol=1e-5)


def rows(**distance: float) -> list[dict]:
    names = {"nothing": "nothing", "Langevin": "Langevin", "MCKA": "MCKA", "steady": "MCKA, no chance"}
    axes = [(image, start, seed) for image in ("a", "b") for start in ("narrow", "turned") for seed in (0, 1, 2)]
    return [
        {"method": names[m], "image": image, "start": start, "seed": seed, "distance": d + 0.01 * seed * (m == "MCKA")}
        for m, d in distance.items()
        for image, start, seed in axes
    ]


@pytest.mark.parametrize(
    ("distances", "verdict"),
    [
        ({"nothing": 0.9, "Langevin": 0.9, "MCKA": 0.4, "steady": 0.8}, "holds"),
        ({"nothing": 0.9, "Langevin": 0.9, "MCKA": 0.4, "steady": 0.41}, "holds in part"),
        ({"nothing": 0.3, "Langevin": 0.9, "MCKA": 0.5, "steady": 0.4}, "does not hold here"),
    ],
)
def test_the_claim_needs_help_and_chance(distances, verdict):
    (record,) = table.claims(rows(**distances), "quick")
    assert (record.id, record.verdict) == ("M7net", verdict)


def test_one_seed_decides_nothing():
    (record,) = table.claims([r for r in rows(nothing=0.9, Langevin=0.9, MCKA=0.4, steady=0.8) if r["seed"] == 0], "smoke")
    assert record.verdict == "cannot be tested at this size"


def test_the_stored_table_is_whole():
    stored = load_results("langevin_kernel_net", "quick")
    assert {row["id"] for row in stored.rows} == {c.id for c in table.cells("quick")}
    # all start where they are meant to, whatever the machine
    assert all(0.7 < row["begin"] < 1.3 for row in stored.rows)
