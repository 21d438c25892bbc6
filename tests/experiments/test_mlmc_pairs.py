"""The table of held-out pairs: its observations, its comparisons on equal pairs, its claims."""

import pytest
from test_mlmc_tables import altered, needs_data

import restorekit as rk
from restorekit.experiments import Cell
from restorekit.experiments.tables import mlmc_pairs


def brute_force(whole, kernel, i, j, scale, top, left, wrap):
    """y[i, j] = sum_u k[u] x[s i - u] by a direct sum, over channel 0."""
    k, size, total = kernel[0, 0].double(), kernel.shape[-1], 0.0
    height, width = whole.shape[-2:]
    for a in range(size):
        for b in range(size):
            row, col = top + scale * i - a + size // 2, left + scale * j - b + size // 2
            if wrap:
                row, col = row % height, col % width
            total += (k[a, b] * whole[0, 0, row, col]).item()
    return total


@pytest.mark.parametrize("border", ["circular", "reflect"])
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_observation_obeys_the_model_up_to_its_border(border, scale):
    cell = Cell("t", "bicubic", "bundled", "camera", border, 3, {"scale": scale, "noise": 0.0, "side": 48})
    x, y, kernel = mlmc_pairs.degrade(cell)
    whole = rk.bundled("camera", size=96)
    assert x.equal(whole[..., 24:72, 24:72]) and kernel.shape[-1] == 4 * scale + 3
    assert rk.kernel_moments(kernel)[1][0].tolist() == pytest.approx([-(scale - 1) / 2] * 2, abs=0.01)
    last = 48 // scale - 1
    for i, j in ((0, 0), (last, 2), (last // 2, last // 2), (0, last)):
        source = (x, kernel, i, j, scale, 0, 0, True) if border == "circular" else (whole, kernel, i, j, scale, 24, 24, False)
        assert y[0, 0, i, j].item() == pytest.approx(brute_force(*source), abs=0.51 / 255)
    inside = (..., slice(4, -4), slice(4, -4))
    again = rk.Blur(kernel, border)(x)[..., ::scale, ::scale]
    assert (again - y)[inside].abs().max() < 0.51 / 255
    assert ((again - y).abs().max() > 2 / 255) == (border == "reflect")  # a real border is not its own mirror image


def test_noise_has_the_stated_level_and_is_drawn_anew_for_each_seed():
    noisy = Cell("t", "bicubic", "bundled", "camera", "circular", 0, {"scale": 2, "noise": 3.92, "side": 96})
    (_, y, kernel), (_, clean, same) = mlmc_pairs.degrade(noisy), mlmc_pairs.degrade(altered(noisy, noise=0.0))
    middle = (clean > 0.2) & (clean < 0.8)  # nothing is clipped there
    assert kernel.equal(same) and (y - clean)[middle].std().item() == pytest.approx(0.0392, rel=0.1)
    other = mlmc_pairs.degrade(Cell.from_dict({**noisy.to_dict(), "seed": 1}))
    assert not other[2].equal(kernel)


def test_all_methods_of_a_pair_get_the_same_observation():
    cells = [c for c in mlmc_pairs.cells("smoke") if c.degradation == "circular"]
    first = mlmc_pairs.degrade(cells[0])[1]
    assert {c.method for c in cells} == set(mlmc_pairs.METHODS)
    assert all(mlmc_pairs.degrade(altered(c, outer=7))[1].equal(first) for c in cells)


def test_the_pairs_are_many_and_fair():
    assert len(mlmc_pairs.PAIRS) >= 8 and {p[0] for p in mlmc_pairs.PAIRS} == {"set14", "bsd68"}
    assert {p[2] for p in mlmc_pairs.PAIRS} == {2, 3, 4} and {p[4] for p in mlmc_pairs.PAIRS} == {"circular", "reflect"}
    assert {p[3] for p in mlmc_pairs.PAIRS} == {0.0, 1.0, 3.92} and "face" not in {p[1] for p in mlmc_pairs.PAIRS}  # face is set5's head
    for size in ("quick", "paper"):
        assert {c.seed for c in mlmc_pairs.cells(size)} == set(range(mlmc_pairs.SEEDS[size]))


@needs_data
def test_every_pair_can_be_made():
    for cell in {c.image: c for c in mlmc_pairs.cells("quick")}.values():
        x, y, kernel = mlmc_pairs.degrade(cell)
        s = cell.params["scale"]
        assert (
            x.shape[-2:] == (mlmc_pairs.SIDE, mlmc_pairs.SIDE)
            and y.shape[-2:] == (mlmc_pairs.SIDE // s, mlmc_pairs.SIDE // s)
            and kernel.shape[-1] == 4 * s + 3
        )


def test_smoke_cells_run():
    cells = [altered(c, outer=1, side=32) for c in mlmc_pairs.cells("smoke") if c.method in ("strict", "double_dip", "bsrdm")]
    for cell in cells[:3]:
        scores = mlmc_pairs.run(cell)
        assert {"psnr", "ssim", "kernel_psnr", "kernel_distance", "width_error", "seconds"} == set(scores)


def pair_rows(dip=-1.0, added=0.5):
    made = []
    psnr = {"bicubic": 25.0, "balanced": 28.0, "balanced_without_mlmc": 28.0 - added, "double_dip": 26.0, "bsrdm": 26.0}
    distance = {"balanced": 0.2, "balanced_without_mlmc": 0.25, "double_dip": 0.2 - 0.1 * dip, "bsrdm": 0.1}
    for image, scale, noise, border in (("a", 2, 0.0, "reflect"), ("b", 4, 1.0, "circular")):
        for method in psnr:
            for seed in range(2 if method in ("double_dip", "bsrdm") else 3):
                bump = 0.01 * seed if method == "balanced" else 0.0
                row = {"dataset": "d", "image": image, "scale": scale, "noise": noise, "degradation": border, "seed": seed}
                scores = {"psnr": psnr[method] + 10 * seed + bump, "ssim": 0.5}
                if method in distance:
                    scores |= {"kernel_distance": distance[method] - bump, "kernel_psnr": 50 + 10 * (0.2 - distance[method]) + bump}
                made.append({**row, "method": method, **scores})
    return made


def test_methods_with_fewer_seeds_are_compared_on_equal_pairs():
    summary = {(r["pairs"], r["method"]): r for r in mlmc_pairs.summarize(pair_rows())}
    dip = summary["all", "double_dip"]
    assert dip["n"] == 4 and dip["psnr - balanced"] == pytest.approx(-2.005)  # not 26 + 5 - (28 + 10)
    assert dip["kernel_distance - balanced"] == pytest.approx(0.105) and dip["kernel_psnr - balanced"] == pytest.approx(-1.005)
    assert summary["all", "balanced"]["gain"] == pytest.approx(3.01) and summary["all", "balanced"]["psnr - balanced"] == 0
    assert summary["noise", "balanced"]["n"] == 3 and summary["x2", "bsrdm"]["n"] == 2
    assert {r["pairs"] for r in mlmc_pairs.summarize(pair_rows())} == {"all", "x2", "x4", "no noise", "noise", "reflect", "circular"}


@pytest.mark.parametrize(
    ("numbers", "verdicts"),
    [
        ({}, ["holds", "does not hold here", "holds"]),
        ({"dip": 1.0}, ["does not hold here", "does not hold here", "holds"]),
        ({"added": 0.1}, ["holds", "does not hold here", "does not hold here"]),
        ({"added": 0.195}, ["holds", "does not hold here", "undecided"]),
    ],
)
def test_claims_on_pairs_follow_from_the_margins(numbers, verdicts):
    assert [record.verdict for record in mlmc_pairs.claims(pair_rows(**numbers), "quick")] == verdicts
    assert {record.verdict for record in mlmc_pairs.claims(pair_rows(**numbers), "smoke")} == {"cannot be tested at this size"}


# mlmc_gpu
