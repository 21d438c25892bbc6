"""The tables of dynamic deblurring: where kernels are put, which pictures are used, what the summaries say."""

from __future__ import annotations

import pytest
import torch
from test_mlmc_tables import needs_data

from restorekit import Blur, bundled, motion_kernel
from restorekit.experiments.tables import pnp_conditions, pnp_deblurring
from restorekit.experiments.tables._pnp import MARGIN, least, margin, placed, true_operator
from restorekit.shake import shaken_pair


def gen(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_a_kernel_is_put_where_the_picture_is():
    v, k = bundled("astronaut", size=(96, 96)), motion_kernel(7, generator=gen(3))
    wide = torch.nn.functional.pad(k, (8, 8, 8, 8)).roll((2, -5), (-2, -1))
    y = Blur(wide, "replicate")(v)
    assert torch.equal(placed(k, v, y), wide) and torch.equal(placed(k, v, Blur(k, "replicate")(v)), wide.roll((-2, 5), (-2, -1)))


def test_the_true_operator_makes_the_blurred_picture_of_the_sharp_one():
    misses = []
    for turn in (0.0, 0.02):
        y, x, path = shaken_pair(bundled("coffee", size=(224, 256)), extent=7, rotation=turn, margin=MARGIN, generator=gen(5))
        inside = (..., slice(16, -16), slice(16, -16))
        misses.append((true_operator(path, y)(x) - y)[inside].square().mean().sqrt().item())
        assert misses[-1] < 0.2 * (x - y)[inside].square().mean().sqrt().item()
    assert misses[0] < 0.5 / 255 < misses[1]  # kernels at the centers of cells are an approximation


def test_summaries_are_gains_over_one_pass():
    rows = [{"group": "noise", "psnr one": 20.0 + i, "psnr dynamic": 20.5 + 2 * i} for i in range(3)]
    line = pnp_conditions.summarize(rows)[1]
    assert line == {"group": "noise", "method": "dynamic", "psnr": 22.5, "gain": 1.5, "least gain": 0.5, "n": 3}
    gain, worst = margin(rows, "dynamic", "one", above=0.11), least(rows, "dynamic", "one")
    assert gain is not None and worst is not None and gain.value == pytest.approx(1.39) and worst.value == 0.5
    claims = {c.id: c for c in pnp_deblurring.claims(rows, "quick")}
    assert claims["P4fixed"].verdict == "holds" and claims["P4"].verdict != "holds" != claims["R1"].verdict


@needs_data
def test_no_picture_is_used_twice():
    cells = [*pnp_deblurring.cells("quick"), *pnp_conditions.cells("quick")]
    assert len(cells) == 24 == len({(c.dataset, c.image) for c in cells}) and len({c.id for c in cells}) == 24
    assert sum(c.params["turn"] > 0 for c in pnp_deblurring.cells("quick")) == 6


@needs_data
def test_levins_kernels_explain_their_pictures_once_they_are_placed():
    for i, k in pnp_conditions.LEVIN:
        x, y, kernel = pnp_conditions._levin(f"im{i}_kernel{k}_img")
        inside = (..., slice(24, -24), slice(24, -24))
        left = (Blur(placed(kernel, x, y), "replicate")(x) - y)[inside].square().mean() / (x - y)[inside].square().mean()
        assert left.sqrt() < 0.5
