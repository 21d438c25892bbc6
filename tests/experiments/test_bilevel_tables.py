"""The tables behind page 05's first half: what their cells measure, what the claim reads off them, what is stored."""

import pytest
import torch

from restorekit.experiments import Cell, data_folder, load_results, tables

ridge, tv = tables.load("bilevel_ridge"), tables.load("bilevel_tv")


@pytest.mark.parametrize("module", [ridge, tv], ids=lambda m: m.NAME)
@pytest.mark.parametrize("size", ["smoke", "quick"])
def test_cells_are_distinct(module, size):
    cells = module.cells(size)
    assert len({cell.id for cell in cells}) == len(cells) > 3


def hypergradient(method, budget):
    return ridge.run(Cell(ridge.NAME, method, params={"kind": "hypergradient", "budget": budget}))["error"]


def test_more_effort_is_nearer():
    for method in ("implicit", "neumann", "unrolled"):
        low, *_, high = ridge.BUDGETS[method]
        assert hypergradient(method, high) < 0.01 * hypergradient(method, low)
    assert hypergradient("implicit", 1e-10) < 1e-9
    errors = [hypergradient("differences", width) for width in ridge.BUDGETS["differences"]]
    assert min(errors) < 1e-7 and errors[0] > min(errors) < errors[-1]


def descent(method, problem, start, steps=3):
    return ridge.run(Cell(ridge.NAME, method, params={"kind": "descent", "problem": problem, "start": start, "steps": steps}))


def test_the_literal_step_and_the_grid_find_the_lower_valley():
    far = ridge.STARTS["two valleys"][0]
    argmin, steps = (descent(m, "two valleys", far) for m in ("argmin 12", "alternating 12"))
    assert argmin["excess"] < 0.01 < steps["excess"] and steps["distance"] > 3
    assert descent("grid", "one valley", 50.0)["excess"] < 0.2


def test_stop_gradient_stays():
    assert descent("stop_gradient 12", "one valley", 50.0)["lam"] == pytest.approx(50.0)


def rows(bad):
    """Excess 0 everywhere but for gradient steps in two valleys from the far side."""
    far, made = ridge.STARTS["two valleys"][0], []
    for problem, starts in ridge.STARTS.items():
        for method in (*ridge.PROXIES, *ridge.ALONE):
            for start in starts:
                wrong = bad and (problem, method, start) == ("two valleys", "alternating 12", far)
                for seed in (0, 1):
                    made.append({"kind": "descent", "problem": problem, "method": method, "start": start, "seed": seed})
                    made[-1] |= {"excess": 0.3 if wrong else 1e-4 * seed, "distance": 0.0, "lam": 1.0, "seconds": 0.1}
    return made


@pytest.mark.parametrize(("bad", "verdict"), [(True, "holds in part"), (False, "holds")])
def test_theorem_1_is_judged_in_both_readings(bad, verdict):
    (record,) = ridge.claims(rows(bad), "quick")
    assert (record.id, record.verdict) == ("B9", verdict)
    assert len(ridge.summarize(rows(bad))) == 2 * 2 * len((*ridge.PROXIES, *ridge.ALONE))
    assert ridge.claims(rows(bad), "smoke")[0].verdict == "cannot be tested at this size"


def test_pictures_learned_from_are_not_held_back():
    assert not set(tv.TRAIN) & set(tv.HELD)
    learned = tv.problem(tv.TRAIN, tv.LEVELS, 16, 0, True)
    assert torch.allclose(learned.features[1], torch.tensor([1.0, 0.0], dtype=torch.float64))
    again = tv.problem(tv.TRAIN, tv.LEVELS, 16, 0, False)
    assert torch.equal(learned.y, again.y) and again.features.shape == (4, 1)


def test_gain_is_guided_minus_one():
    base = {"h1": -5.0, "h2": None, "solves": 2, "seconds": 1.0, "psnr_learned": 25.0, "checked": 1e-6, "seed": 0}
    levels = {f"psnr {100 * level:g}%": 25.0 for level in tv.TESTED}
    better = {name: value + 0.5 for name, value in levels.items()}
    told = {f"estimated {name}": value for name, value in levels.items()}
    made = [{"method": "one, implicit", **base, **levels}, {"method": "guided, implicit", **base, **better, **told}]
    assert all(value == pytest.approx(0.5) for value in tv.gain(made).values()) and len(tv.gain(made)) == len(tv.TESTED)
    assert {r["method"] for r in tv.summarize(made)} == {"one, implicit", "guided, implicit", "guided, implicit, estimated"}


@pytest.mark.parametrize("module", [ridge, tv], ids=lambda m: m.NAME)
def test_the_stored_table_is_whole(module):
    if not (data_folder("results") / f"{module.NAME}_quick.csv").exists():
        pytest.skip(f"not run yet: python -m restorekit experiments run {module.NAME} --size quick")
    stored = load_results(module.NAME, "quick")
    assert {row["id"] for row in stored.rows} == {c.id for c in module.cells("quick")}


def test_the_stored_hypergradients_are_the_difference_quotients():
    if not (data_folder("results") / "bilevel_tv_quick.csv").exists():
        pytest.skip("not run yet: python -m restorekit experiments run bilevel_tv --size quick")
    found = [r["checked"] for r in load_results("bilevel_tv", "quick").rows if r["method"].endswith("implicit")]
    assert found and max(found) < 1e-4
