"""The tables that test MLMC's claims: what they degrade, how they pair, when a claim holds, what M7 and M12 measure."""

import math

import pytest
import torch

import restorekit as rk
from restorekit.experiments import Cell, load_results, tables
from restorekit.experiments.stamp import data_folder
from restorekit.experiments.tables import _mlmc_trials as trials
from restorekit.experiments.tables import mlmc_ablation, mlmc_baselines, mlmc_cost, mlmc_kernels, mlmc_noise, mlmc_tuning

ALL = (mlmc_baselines, mlmc_ablation, mlmc_kernels, mlmc_noise, mlmc_cost)


def cell(**changes):
    params = {"scale": 2, "noise": 0.0, "side": 60, "outer": 1} | changes.pop("params", {})
    return Cell("t", "mlmc", "bundled", "camera", changes.pop("degradation", "gaussian"), params=params, **changes)


@pytest.mark.parametrize(("kind", "scale"), [("gaussian", 2), ("wide", 3), ("motion", 2), ("gaussian", 4)])
def test_observation_is_the_blurred_picture_on_the_grid_of_resizing(kind, scale):
    x, y, kernel = trials.observe(cell(degradation=kind, params={"scale": scale}))
    m = -(scale - 1) / 2
    assert rk.kernel_moments(kernel)[1][0].tolist() == pytest.approx([m, m], abs=0.01)
    again, inside = rk.BlurDown(kernel, scale, "reflect")(x), 2 * scale // 2 + 2
    middle = (..., slice(inside, -inside), slice(inside, -inside))
    assert (again - y)[middle].abs().max() < 0.6 / 255 or min(y.shape[-2:]) <= 2 * inside + 1


def test_noise_has_the_stated_level_and_all_methods_see_the_same():
    quiet, noisy = (trials.observe(cell(params={"noise": n, "side": 96})) for n in (0.0, 7.84))
    assert quiet[2].equal(noisy[2])
    assert (noisy[1] - quiet[1]).std().item() == pytest.approx(0.0784, rel=0.1)


def test_wide_kernels_leave_the_range_that_is_expected():
    widths = [rk.metrics.kernel_width(trials.draw_kernel(k, 2, torch.Generator().manual_seed(1))).item() for k in ("gaussian", "wide")]
    assert widths[1] > widths[0]  # one seed draws the same quantile of both ranges
    assert trials.expected("gaussian", 2).variance == pytest.approx((0.35, 5.0))


@pytest.mark.parametrize("table", [*ALL, mlmc_tuning], ids=lambda t: t.NAME)
def test_cells_are_distinct_and_their_methods_known(table):
    made = table.cells("quick")
    assert len({c.id for c in made}) == len(made)
    assert tables.load(table.NAME) is table


@pytest.mark.parametrize("table", ALL[:4], ids=lambda t: t.NAME)
def test_at_least_three_pictures_and_three_seeds_stand_behind_each_mean(table):
    groups = {}
    for c in table.cells("quick"):
        if c.dataset != trials.LIVE[0]:
            groups.setdefault((c.method, str(c.degradation), c.params["scale"], c.params["noise"]), set()).add((c.image, c.seed))
    assert all(len({image for image, _ in g}) >= 3 and len({seed for _, seed in g}) >= 3 for g in groups.values())


def test_every_variant_spends_the_same_number_of_image_steps():
    budget = {v.settings.outer * v.settings.meta_steps * v.settings.image_steps for v in mlmc_ablation.VARIANTS.values()}
    assert len(budget) == 1


def test_changed_settings_change_the_cell():
    one, other = (
        trials.trial_cells("t", "smoke", {"a": v}, degradation="gaussian", scale=2)[0]
        for v in (trials.Variant(), trials.Variant(changes={"samples": 5}))
    )
    assert one.id != other.id


def rows(psnr, *, distance=lambda method, seed: 0.5, axes=({"degradation": "gaussian", "scale": 2, "noise": 0.0},), **more):
    """Rows of a table: psnr(method, seed) on three pictures, and one on the bundled picture that must not count."""
    made = []
    for axis in axes:
        for method in more["methods"]:
            for dataset, image in (("set14", "a"), ("set14", "b"), ("bsd68", "c"), trials.LIVE):
                for seed in range(3):
                    far = 50 if dataset == trials.LIVE[0] else 0
                    found = {"psnr": psnr(method, seed) + far, "kernel_distance": distance(method, seed), "ssim": 0.9}
                    extra = {k: f(method, seed) for k, f in more.get("extra", {}).items()}
                    made.append({"method": method, "dataset": dataset, "image": image, "seed": seed, **axis, **found, **extra})
    return made


def by_id(records):
    return {record.id: record for record in records}


def test_gap_pairs_equal_observations_and_leaves_the_bundled_picture_out():
    table = rows(lambda m, s: {"a": 26.0, "b": 25.0}[m] + 0.1 * s * (m == "a"), methods=("a", "b"))
    value = trials.gap(table, "a", "b")
    assert value.value == pytest.approx(1.1) and value.spread == pytest.approx(0.1) and value.n == 3
    assert trials.gap(table, "a", "missing") is None
    flipped = trials.gap(table, "a", "b", sign=-1)
    assert flipped.value == pytest.approx(-1.1)


def test_within_is_the_room_left_below_a_limit():
    assert trials.within(trials.Value(-0.1, 0.02, 3), 0.3).value == pytest.approx(0.2)
    assert trials.within(trials.Value(0.5, 0.02, 3), 0.3).value == pytest.approx(-0.2)


@pytest.mark.parametrize(("lead", "verdict"), [(1.0, "holds"), (-1.0, "does not hold here"), (0.0, "undecided")])
def test_m1_follows_the_margins_over_every_rival(lead, verdict):
    axes = [{"degradation": "gaussian", "scale": s, "noise": 0.0} for s in (2, 3, 4)]
    table = rows(
        lambda m, s: 25 + (lead if m == "mlmc" else 0) + 0.05 * s * (m == "mlmc"),
        methods=tuple(mlmc_baselines.VARIANTS),
        axes=axes,
        extra={"handoff": lambda m, s: 27.0 + 0.1 * s},
    )
    records = by_id(mlmc_baselines.claims(table, "quick"))
    assert records["M1"].verdict == verdict
    assert records["M9"].verdict == "holds"
    assert records["M11"].verdict == "cannot be tested at this size"
    assert all("printed" in name for name in records["M11"].values)


def test_m1_holds_in_part_where_one_rival_wins():
    table = rows(lambda m, s: {"mlmc": 26.0, "dip": 27.0}.get(m, 25.0) + 0.01 * s * (m == "mlmc"), methods=tuple(mlmc_baselines.VARIANTS))
    assert by_id(mlmc_baselines.claims(table, "quick"))["M1"].verdict == "holds in part"


def test_ablation_claims_follow_planted_effects():
    gain = {"full": 1.0, "without MCKA": 0.0, "without meta": 0.5, "without both": -1.0}
    table = rows(
        lambda m, s: 25 + gain.get(m, 1.05) + 0.02 * s * (m == "full"),
        distance=lambda m, s: 0.5 - 0.1 * gain.get(m, 1.0) + 0.002 * s * (m == "full"),
        methods=tuple(mlmc_ablation.VARIANTS),
        extra={"early": lambda m, s: -3.0 + 0.01 * s + (m == "full"), "late": lambda m, s: -5.0 + 0.02 * s},
    )
    records = by_id(mlmc_ablation.claims(table, "quick"))
    assert {id: record.verdict for id, record in records.items()} == {"M2": "holds", "M3": "holds", "M7": "holds"}
    assert by_id(mlmc_ablation.claims(table, "smoke"))["M2"].verdict == "cannot be tested at this size"


def test_a_drift_is_no_fluctuation_and_noise_is():
    drift = [torch.full((1, 1, 3, 3), 0.01 * i) for i in range(13)]
    early, _ = mlmc_ablation.fluctuation(drift)
    assert early is None or early < -25  # rounding
    g = torch.Generator().manual_seed(0)
    steps = [torch.randn(1, 1, 3, 3, generator=g) * (1.0 if i < 6 else 0.01) for i in range(13)]
    early, late = mlmc_ablation.fluctuation([sum(steps[: i + 1]) for i in range(13)])
    assert early - late == pytest.approx(4, abs=1)  # a hundredth of the size, log10 of the variance
    assert mlmc_ablation.fluctuation(drift[:3]) == (None, None)


@pytest.mark.parametrize("kind", ["gaussian", "wide"])
def test_a_gaussian_departs_from_a_gaussian_by_nothing(kind):
    for seed in range(3):
        assert mlmc_kernels.departure(trials.draw_kernel(kind, 2, torch.Generator().manual_seed(seed))) < 1e-3


def test_motion_and_lines_depart_from_gaussians():
    motion = trials.draw_kernel("motion", 2, torch.Generator().manual_seed(0))
    assert mlmc_kernels.departure(motion) > 0.3
    assert mlmc_kernels.departure(rk.disk_kernel(11, 4.0)) > 0.1
    grid = [rk.gaussian_kernel(11, (a, b), t).double() for a in (0.8, 1.5, 2.5) for b in (0.8, 1.5, 2.5) for t in (0.0, 0.8)]
    best = min((motion.double() - g).square().sum() for g in grid)
    assert (motion.double() - mlmc_kernels.nearest_gaussian(motion)).square().sum() <= best + 1e-9


def test_kernel_claims_compare_real_pictures_with_the_control():
    axes = [{"degradation": d, "scale": 2, "noise": 0.0} for d in ("wide", "motion", "real", "gaussian")]
    table = rows(
        lambda m, s: 25 + ("mlmc" in m) + ("motion" in m) + 0.05 * s * ("mlmc" in m),
        distance=lambda m, s: 0.5 - 0.2 * ("mlmc" in m) + 0.01 * s * ("mlmc" in m),
        methods=tuple(mlmc_kernels.VARIANTS),
        axes=axes,
    )
    for row in table:
        row["departure"] = 0.2 + 0.4 * (row["degradation"] == "real") + 0.01 * row["seed"] * (row["degradation"] == "real")
    records = by_id(mlmc_kernels.claims(table, "quick"))
    assert {id: record.verdict for id, record in records.items()} == {"M4": "holds", "M5": "holds", "M12": "holds"}
    assert "over MLMC that draws Gaussians (dB)" in records["M5"].values
    assert records["M12"].values["mlmc: departure, real minus control"].value == pytest.approx(0.41)


def test_noise_claims_read_each_level_by_itself():
    axes = [{"degradation": "gaussian", "scale": 2, "noise": n} for n in mlmc_noise.NOISE]
    order = {name: -i for i, name in enumerate(mlmc_tuning.RHO)}
    table = rows(lambda m, s: 25 + order.get(m, -9) + 0.05 * s * order.get(m, 0), methods=tuple(mlmc_noise.VARIANTS), axes=axes)
    records = by_id(mlmc_noise.claims(table, "quick"))
    assert records["M6"].verdict == "holds" and records["M10"].verdict == "holds"
    assert len(records["M6"].values) == 6 and len(records["M10"].values) == 4


def test_no_method_in_the_noise_table_fits_the_noise_at_the_end():
    assert {v.settings.data_weight for n, v in mlmc_noise.VARIANTS.items() if n != "bicubic"} == {0.0}


def test_chosen_values_are_those_of_the_stored_search():
    if not (data_folder("results") / "mlmc_tuning_quick.csv").exists():
        pytest.skip("table mlmc_tuning has not been run")
    chosen = mlmc_tuning.RHO | {"double_dip": mlmc_tuning.LR_DOUBLE_DIP}
    assert mlmc_tuning.best(load_results("mlmc_tuning", "quick").rows) == {k: v for k, v in chosen.items() if k in mlmc_tuning.TRIED}


def test_the_search_takes_the_highest_mean_over_both_levels():
    table = [
        {"method": name, "image": "a", "seed": 0, "noise": n, "psnr": -abs(math.log10(float(name.split()[1]) or 1.0))}
        for name in mlmc_tuning.VARIANTS
        for n in mlmc_tuning.NOISE
    ]
    assert mlmc_tuning.best(table)["tv"] == min(mlmc_tuning.TRIED["tv"], key=lambda rho: abs(math.log10(rho)))


def test_reported_pictures_are_not_those_of_the_search():
    searched = {c.dataset for c in mlmc_tuning.cells("quick")}
    assert searched == {"bundled"} and trials.LIVE[1] not in mlmc_tuning.PICTURES["bundled"]


def test_cost_claim_needs_both_the_ratio_and_the_share():
    table = [
        {"dataset": "set14", "image": i, "seed": s, "scale": 2, "ratio": 1.0 + 0.01 * s, "mcka_share": 0.2 + 0.01 * s}
        for i in "abc"
        for s in range(3)
    ]
    (record,) = mlmc_cost.claims(table, "quick")
    assert record.verdict == "holds in part"


def test_one_cell_of_each_kind_runs():
    for table, method in ((mlmc_baselines, "mlmc"), (mlmc_kernels, "bicubic"), (mlmc_ablation, "without both")):
        row = table.run(next(c for c in table.cells("smoke") if c.method == method))
        assert math.isfinite(row["psnr"]) and ("handoff" in row) == (table is mlmc_baselines)


def test_a_page_finds_its_live_cell():
    live = mlmc_baselines.live_cell()
    stored = [{"id": c.id, "dataset": c.dataset, "image": c.image} for c in mlmc_baselines.cells("quick")]
    assert trials.live_row([r for r in stored if r["id"] == live.id], mlmc_baselines.cells("quick"))[0] == live
