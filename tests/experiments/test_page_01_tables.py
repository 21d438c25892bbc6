"""The tables behind page 01: what they compute, and that their claims follow from the rows."""

import pytest
import torch

from restorekit import BlurDown, bicubic, kernel_moments
from restorekit.degradations import round_to_8_bit
from restorekit.experiments import Cell, load_results, tables

alignment, told_noise = tables.load("alignment"), tables.load("told_noise")


def cell(method: str, offset: float, scale: int = 2) -> Cell:
    return Cell("alignment", method, "bundled", "camera", seed=0, params={"scale": scale, "offset": offset})


@pytest.mark.parametrize("method", ["bicubic", "deconvolution"])
def test_any_offset_costs_and_the_sharper_method_loses_more(method):
    scores = [alignment.run(cell(method, d))["psnr"] for d in (0.0, 0.5, 1.0)]
    assert scores[0] > scores[1] > scores[2]
    if method == "deconvolution":
        bicubic = [alignment.run(cell("bicubic", d))["psnr"] for d in (0.0, 0.5)]
        assert scores[0] - scores[1] > bicubic[0] - bicubic[1]


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_the_largest_offset_is_ordinary_resizing(scale):
    wrong = cell("bicubic", scale - 1.0, scale)
    assert wrong.params["offset"] == max(c.params["offset"] for c in alignment.cells("quick") if c.params["scale"] == scale)
    x, guess = alignment.restore(wrong)
    y = round_to_8_bit(BlurDown(alignment._kernel(wrong, (scale - 1) / 2), scale)(x))
    assert torch.allclose(guess, bicubic(y, scale, align="resize"))


def test_a_cells_kernel_keeps_its_shape_at_each_centroid():
    moments = [kernel_moments(alignment._kernel(cell("bicubic", 0.0, 4), m)) for m in (1.5, -1.5)]
    assert moments[0][1][0].tolist() == pytest.approx([1.5, 1.5], abs=0.01)
    assert moments[1][1][0].tolist() == pytest.approx([-1.5, -1.5], abs=0.01)
    assert moments[0][2].flatten().tolist() == pytest.approx(moments[1][2].flatten().tolist(), abs=0.05)


@pytest.mark.parametrize(("name", "size"), [("alignment", "quick"), ("alignment", "paper"), ("told_noise", "quick")])
def test_the_stored_table_is_whole(name, size):
    stored = load_results(name, size)
    assert {row["id"] for row in stored.rows} == {c.id for c in tables.load(name).cells(size)}
    assert stored.stamp["command"].endswith(f"{name} --size {size}")


def test_printed_numbers_are_the_papers():
    printed = alignment.published("Set5")
    assert (printed["Bicubic", 4], printed["MLMC", 2]) == (21.70, 31.61)


def set5_rows(aligned: float) -> list[dict]:
    """Rows with a planted PSNR for aligned bicubic; everything else is 20 dB."""
    axes = [(s, m, d, seed) for s in (2, 3, 4) for m in ("bicubic", "deconvolution") for d in (0, s - 1) for seed in (0, 1)]
    base = {"dataset": "set5", "image": "bird", "ssim": 0.5}
    return [
        base | {"scale": s, "method": m, "offset": d, "seed": seed, "psnr": (aligned if (m, d) == ("bicubic", 0) else 20.0) + 0.01 * seed}
        for s, m, d, seed in axes
    ]


@pytest.mark.parametrize(("aligned", "verdicts"), [(20.0, ["holds", "holds"]), (30.0, ["does not hold here", "holds in part"])])
def test_claims_on_the_printed_rows_follow_from_the_margins(aligned, verdicts):
    assert [record.verdict for record in alignment.claims(set5_rows(aligned))] == verdicts


@pytest.mark.parametrize(("low", "high", "verdict"), [(20, 24, "holds"), (24, 20, "holds in part"), (27, 27, "does not hold here")])
def test_claim_on_the_told_level_follows_from_the_margins(low, high, verdict):
    level = {1: low, 3: 25.0, 5: high if (low, high) != (27, 27) else 26.0}
    rows = [
        {"method": m, "image": "camera", "seed": seed, "told": t, "psnr": value + 0.01 * seed * t}
        for m in ("Wiener", "TV")
        for seed in (0, 1, 2)
        for t, value in level.items()
    ]
    assert told_noise.claims(rows, "quick")[0].verdict == verdict


def test_the_right_level_wins_on_a_picture():
    scores = {t: told_noise.run(Cell("told_noise", "Wiener", "bundled", "camera", seed=0, params={"told": t}))["psnr"] for t in (1, 3, 5)}
    assert scores[3] > scores[5] > scores[1]
