"""The table behind page 03: only the step size differs between its rows, and 0.5 saturates the kernel net."""

from dataclasses import asdict

import pytest
import torch

from restorekit.experiments import data_folder, load_results, tables
from restorekit.methods.mlmc_steps import mcka_step
from restorekit.nets import KernelNet

table = tables.load("meta_step_size")


def test_rows_differ_in_the_step_size_alone():
    usual, printed = (asdict(table.settings(rate, 15)) for rate in (1e-4, 0.5))
    assert {name for name in usual if usual[name] != printed[name]} == {"lr_kernel", "lr_mcka"}
    made = table.cells("quick")
    assert len({cell.id for cell in made}) == len(made) == 3 * 3 * len(table.RATES)
    assert {cell.params["rate"] for cell in made} == {1e-4, 1e-3, 1e-2, 0.5}


def test_an_observation_depends_on_picture_and_seed_alone():
    (x, y, k), (_, again, _), (_, other, _) = (table.degrade("camera", seed) for seed in (0, 0, 1))
    assert torch.equal(y, again) and not torch.equal(y, other)
    assert x.shape[-1] == 2 * y.shape[-1] == table.SIDE and abs(k.sum().item() - 1) < 1e-5
    assert torch.equal((255 * y).round(), 255 * y) or (255 * y - (255 * y).round()).abs().max() < 1e-4


@pytest.mark.parametrize(("rate", "stuck"), [(1e-3, False), (0.5, True)])
def test_the_printed_step_empties_taps_that_never_come_back(rate, stuck):
    """Taps of more than 1e-3 after twenty-one MCKA steps towards one kernel."""
    generator = torch.Generator().manual_seed(0)
    x, y, goal = table.degrade("camera", 0)
    net, z = KernelNet(11, centroid=(-0.5, -0.5), generator=generator), torch.rand(1, 200, generator=generator)
    adam, alive = torch.optim.Adam(net.parameters(), rate), []
    for _ in range(21):
        mcka_step(net, z, adam, goal, x=x, y=y, scale=2)
        alive.append(int((net(z) > 1e-3).sum()))
    assert (alive[-1] < 6) == stuck
    assert ((net(z) - goal).abs().sum().item() > 0.5) == stuck


def test_summary_keeps_the_order_and_names_the_step():
    rows = [
        {"rate": r, "seed": s, "psnr": 20 + s, "gain": 1.0, "kernel_distance": r, "width_error": 0.0, "peak": 0.1}
        for r in (1e-4, 0.5)
        for s in (0, 2)
    ]
    first, last = table.summarize(rows)
    assert (first["step_size"], last["step_size"]) == ("0.0001", "0.5")
    assert first["psnr"] == 21 and first["psnr_spread"] == pytest.approx(2**0.5)


def test_the_stored_table_is_whole():
    if not (data_folder("results") / "meta_step_size_quick.csv").exists():
        pytest.skip("not run yet: python -m restorekit experiments run meta_step_size --size quick")
    stored = load_results("meta_step_size", "quick")
    assert {row["id"] for row in stored.rows} == {c.id for c in table.cells("quick")}
