"""The tables on MLMC: units, memory, what they degrade, what they average and conclude, what they cite."""

import os
import statistics
import textwrap
from dataclasses import asdict
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

import restorekit as rk
from restorekit.experiments import Cell, markdown, reference
from restorekit.experiments.tables import _mlmc, mlmc_benchmark, mlmc_gpu, mlmc_pairs

needs_bench = pytest.mark.skipif("RESTOREKIT_BENCH" not in os.environ, reason="RESTOREKIT_BENCH is not set")
needs_data = pytest.mark.skipif("RESTOREKIT_DATA" not in os.environ, reason="RESTOREKIT_DATA is not set")


def altered(cell, **params):
    return Cell.from_dict({**cell.to_dict(), "params": {**cell.params, **params}})


# the unit and the fresh process


def test_the_unit_is_that_of_the_published_net():
    net = reference.plain_net()
    assert sum(p.numel() for p in net.parameters()) // 1000 == 2359  # Table 8 prints 2359K
    assert not any(type(m).__name__ == "Conv1x1" for m in net.modules())
    x = net(torch.rand(1, 3, 128, 128))
    assert x.shape == (1, 3, 128, 128) and x.is_contiguous() and 0 <= x.min() and x.max() <= 1


@pytest.mark.parametrize("steps", [1, 3, 20])
def test_the_unit_is_the_time_of_20_steps_however_many_are_run(monkeypatch, steps):
    clock = [0.0]

    class Net(nn.Conv2d):
        def forward(self, z):
            clock[0] += 100.0 if clock[0] == 0 else 0.5  # the first step, not timed, is slower
            return super().forward(z)

    monkeypatch.setattr(reference, "plain_net", lambda: Net(3, 3, 1))
    monkeypatch.setattr(reference.time, "process_time", lambda: clock[0])
    assert reference.reference_unit(steps) == pytest.approx(10.0)


def test_measuring_the_unit_leaves_threads_and_randomness_alone():
    threads, state = torch.get_num_threads(), torch.get_rng_state()
    assert reference.reference_unit(1) > 0
    assert torch.get_num_threads() == threads and torch.get_rng_state().equal(state)
    with pytest.raises(ValueError, match="steps=0"):
        reference.reference_unit(0)


@pytest.fixture
def holder(tmp_path, monkeypatch):
    """A module whose function holds as many MB as the cell's seed says."""
    code = """
    def hold(cell):
        if cell.seed < 0:
            raise ZeroDivisionError("planted")
        block = b"x" * (cell.seed * 1024 * 1000)
        return {"held": len(block)}
    """
    (tmp_path / "holder.py").write_text(textwrap.dedent(code))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    import holder

    return holder


def test_peak_memory_is_that_of_the_cells_own_process(holder):
    mine = np.ones(50_000_000)  # 400 MB that the child must not count
    small, large = (reference.in_fresh_process(holder.hold, Cell("t", "m", seed=mb)) for mb in (0, 200))
    assert large["held"] == 200 * 1024 * 1000
    assert large["peak_mb"] - small["peak_mb"] == pytest.approx(200, abs=20)
    assert small["peak_mb"] < reference.peak_mb() - 0.7 * mine.nbytes / 1e6


def test_a_process_that_fails_says_why(holder, capsys):
    with pytest.raises(RuntimeError, match=r"ZeroDivisionError: planted.*Allowed: .*Fix: "):
        reference.in_fresh_process(holder.hold, Cell("t", "m", seed=-1))
    assert "in hold" in capsys.readouterr().err


# methods by name


def test_a_methods_name_says_what_is_changed():
    full, without = (asdict(_mlmc.method_settings(name)[1]) for name in ("balanced", "balanced_without_mlmc"))
    assert {name for name in full if full[name] != without[name]} == {"mcka", "mlao"}
    assert _mlmc.method_settings("double_dip") == ("double_dip", _mlmc.preset_settings("balanced"))
    assert _mlmc.method_settings("quick", outer=3, channels=8)[1].outer == 3


def tiny(method, **params):
    return Cell("t", method, "bundled", "camera", "reflect", 0, {"scale": 2, "noise": 0.0, "side": 32, "outer": 2, "channels": 4, **params})


def test_the_bound_keeps_the_kernel_that_it_is_told():
    cell = tiny("balanced_true_kernel")
    _, y, kernel = mlmc_pairs.degrade(cell)
    found = _mlmc.restore(cell, y, 2, kernel, "resize", "reflect")[1]
    assert rk.kernel_distance(found, kernel).item() < 0.02


@pytest.mark.parametrize("method", ["bicubic", "bicubic_displaced", "generic"])
def test_fixed_methods_do_not_see_the_kernel(method):
    cell = tiny(method)
    _, y, kernel = mlmc_pairs.degrade(cell)
    one, none = (_mlmc.restore(cell, y, 2, k, "resize", "reflect")[0] for k in (kernel, rk.delta_kernel(11)))
    assert one.equal(none)


@pytest.mark.parametrize("method", ["quick", "balanced", "balanced_without_mlmc", "published", "bsrdm", "balanced_true_kernel"])
def test_of_the_learners_only_the_bound_is_told_the_kernel(monkeypatch, method):
    class Asked(Exception):
        pass

    def asked(y, scale, **options):
        raise Asked(options)

    monkeypatch.setattr(_mlmc, "blind_solver", asked)
    cell = tiny(method)
    with pytest.raises(Asked) as caught:
        _mlmc.restore(cell, torch.rand(1, 3, 16, 16), 2, rk.delta_kernel(11), "phase0", "circular")
    (options,) = caught.value.args
    assert (options["kernel_prior"] is not None) == (method == "balanced_true_kernel")
    assert (options["align"], options["padding"], options["kernel_size"], "sigma" in options) == ("phase0", "circular", 11, False)


def test_baselines_close_at_the_noise_that_the_spectrum_shows(monkeypatch):
    cell = tiny("double_dip")
    _, y, kernel = mlmc_pairs.degrade(cell)
    seen = []
    monkeypatch.setattr(_mlmc, "finish", lambda learner, result: seen.append(learner.sigma) or result)
    monkeypatch.setattr(_mlmc, "spectral_prior", lambda *args, **options: SimpleNamespace(noise=0.07))
    _mlmc.restore(cell, y, 2, kernel, "resize", "reflect")
    _mlmc.restore(tiny("strict"), y, 2, kernel, "resize", "reflect")
    assert seen == [0.07, None]  # presets are run as they are


# mlmc_benchmark


def test_smoke_case_is_a_circular_blur_floored():
    x, y, kernel = mlmc_benchmark.observe("camera48_x4")
    assert rk.kernel_moments(kernel)[1][0].tolist() == pytest.approx([1.5, 1.5], abs=0.01)
    k, size = kernel[0, 0].double(), kernel.shape[-1]
    for i, j in ((0, 0), (5, 11), (11, 3)):  # direct sums, two of them across the border
        total = sum(k[a, b] * x[0, 0, (4 * i - a + size // 2) % 48, (4 * j - b + size // 2) % 48] for a in range(size) for b in range(size))
        assert 255 * y[0, 0, i, j].item() == pytest.approx(int(255 * total.item() + 1e-3), abs=1e-3)


@needs_bench
@pytest.mark.parametrize(("case", "scale"), mlmc_benchmark.CASES.items())
def test_cases_are_those_of_the_cited_run(case, scale):
    x, y, kernel = mlmc_benchmark.observe(case)
    residual = 255 * (rk.BlurDown(kernel, scale, "circular")(x) - y)
    assert -0.01 < residual.min() and residual.max() < 1.01  # floored
    assert rk.kernel_moments(kernel)[1][0].tolist() == pytest.approx([(scale - 1) / 2] * 2, abs=0.05)
    cited = next(e for e in _mlmc.read_published("mlmc_code") if (e["case"], e["method"]) == (case, "bicubic as published"))
    cell = next(c for c in mlmc_benchmark.cells("quick") if (c.image, c.method) == (case, "bicubic_displaced"))
    scores = mlmc_benchmark.scored(cell)
    assert (round(scores["psnr"], 2), round(scores["ssim"], 3)) == (float(cited["psnr"]), float(cited["ssim"]))


def test_a_missing_folder_is_named(monkeypatch):
    monkeypatch.delenv("RESTOREKIT_BENCH", raising=False)
    mlmc_benchmark.observe.cache_clear()
    with pytest.raises(FileNotFoundError, match="RESTOREKIT_BENCH"):
        mlmc_benchmark.observe("bird128_x4")


def test_a_cell_is_measured_in_units_and_alone(monkeypatch):
    probes = iter((10.0, 30.0))
    monkeypatch.setattr(mlmc_benchmark, "reference_unit", lambda steps: next(probes))
    cell = next(c for c in mlmc_benchmark.cells("smoke") if c.method == "strict")
    scores = mlmc_benchmark.run(cell)
    assert scores["unit_s"] == 20 and scores["units"] == pytest.approx(scores["seconds"] / 20) and scores["units"] > 0
    assert scores["peak_mb"] > 100 and {"psnr", "ssim", "kernel_psnr", "kernel_distance", "width_error"} <= set(scores)


def test_sizes_change_counts_only():
    sizes = {size: mlmc_benchmark.cells(size) for size in mlmc_benchmark.SIZES}
    methods = {size: {c.method for c in made} for size, made in sizes.items()}
    assert methods["smoke"] < methods["quick"] < methods["paper"]
    seeds = {m: {c.seed for c in sizes["quick"] if c.method == m} for m in mlmc_benchmark.METHODS}
    assert all(len(found) == (1 if m in mlmc_benchmark.FIXED else 3) for m, found in seeds.items())


PUBLISHED = {"butterfly128_x4": (25.54, 0.876, 1046), "bird128_x4": (31.33, 0.910, 1055)}


def benchmark_rows(gain=1.0, strict=0.1, quick=-0.2, mlmc=0.5, units=8.0, peak=0.5):
    made, shifts = [], {"balanced": gain, "balanced_without_mlmc": gain - mlmc, "strict": strict, "quick": quick}
    for case, (psnr, ssim, memory) in PUBLISHED.items():
        for method, shift in shifts.items():
            for seed in range(3):
                cost = {"quick": units / 4, "strict": 2 * units}.get(method, units)
                row = {"image": case, "method": method, "seed": seed, "psnr": psnr + shift + 0.01 * seed, "ssim": ssim + 0.01 * shift}
                made.append({**row, "ssim": row["ssim"] + 1e-4 * seed, "units": cost, "unit_s": 10.0, "seconds": 10 * cost})
                made[-1] |= {"peak_mb": peak * memory + seed, "kernel_psnr": 50.0, "kernel_distance": 0.1, "width_error": -0.1}
    return made


def test_summary_stands_beside_what_is_cited():
    rows = benchmark_rows(gain=1.0, units=6.7)
    table = mlmc_benchmark.summarize(rows)
    cited = [r for r in table if r["source"] == "cited"]
    assert [(r["method"], r["psnr"]) for r in cited if r["case"] == "bird128_x4"] == [
        ("bicubic as published", 21.23),
        ("published code", 31.33),
    ]
    bird = next(r for r in table if (r["case"], r["method"]) == ("bird128_x4", "balanced"))
    assert bird["source"] == "measured" and bird["n"] == 3 and bird["psnr"] == pytest.approx(32.34) and bird["gain"] == pytest.approx(1.01)
    assert bird["gain_spread"] == pytest.approx(0.01) and bird["ssim_gain"] == pytest.approx(0.0101)
    assert bird["time_percent"] == pytest.approx(10) and bird["memory_percent"] == pytest.approx(50 + 100 / 1055)
    mean = next(r for r in table if (r["case"], r["method"]) == ("mean of both x4", "strict"))
    values = [r["psnr"] for r in rows if r["method"] == "strict"]
    assert mean["psnr"] == pytest.approx(statistics.fmean(values)) and mean["n"] == 6
    assert "| 0.910 |" in markdown(table) and "0.920 ± 0.000" in markdown(table)  # SSIM needs its third digit


def test_the_unfinished_run_is_called_so():
    table = mlmc_benchmark.summarize([{**row, "image": "butterfly128_x2"} for row in benchmark_rows()[:3]])
    assert "published code, step 900" in [row["method"] for row in table]
    assert "mean of both x4" not in [row["case"] for row in table]  # one case is no mean


def verdicts(**numbers):
    return {record.id: record.verdict for record in mlmc_benchmark.claims(benchmark_rows(**numbers), "quick")}


@pytest.mark.parametrize(
    ("numbers", "changed"),
    [
        ({}, {}),
        ({"gain": 0.5}, {"T1balanced": "holds in part"}),
        ({"gain": -0.5}, {"T1balanced": "does not hold here"}),
        ({"peak": 0.7}, {"T1cost": "holds in part"}),
        ({"units": 12.0, "peak": 0.7}, {"T1cost": "does not hold here", "T1strict": "holds in part"}),
        ({"strict": -0.3, "quick": -0.7}, {"T1strict": "holds in part", "T1quick": "holds in part"}),
        ({"mlmc": 0.1}, {"T1mlmc": "does not hold here"}),
    ],
)
def test_claims_follow_from_the_rows(numbers, changed):
    names = ("T1balanced", "T1cost", "T1strict", "T1quick", "T1mlmc")
    # units without spread decide; the margin of 0.2 dB is beyond the seeds' 0.01
    units = {"units": 8.0, **numbers}
    expected = dict.fromkeys(names, "holds") | changed
    assert verdicts(**units) == expected


# mlmc_pairs


def test_without_a_gpu_the_table_says_what_it_needs(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(RuntimeError, match=r"no CUDA device.*GPU.*smoke"):
        mlmc_gpu.run(mlmc_gpu.cells("paper")[0])


def test_mixed_precision_computes_in_half_and_returns_in_full():
    net, z = nn.Conv2d(3, 3, 3), torch.rand(1, 3, 8, 8)
    full, mixed = net(z), mlmc_gpu.MixedPrecision(net)(z)
    assert mixed.dtype == torch.float32 and 0 < (mixed - full).abs().max() < 0.02
    mixed.sum().backward()
    assert net.weight.grad.dtype == torch.float32 and net.weight.grad.abs().sum() > 0


def test_the_gpu_command_stands_ready():
    cells = mlmc_gpu.cells("smoke")
    rows = [{"id": c.id, "method": c.method, "seed": c.seed, **c.params, **mlmc_gpu.run(c)} for c in cells]
    assert {row["precision"] for row in rows} == {"float32", "bfloat16"} and all(row["seconds"] > 0 for row in rows)
    table = mlmc_gpu.summarize([{**row, "scale": scale} for row in rows for scale in (2, 4)])
    cited = {(r["scale"], r["method"]): r["seconds"] for r in table if r["source"] == "cited"}
    assert (cited[2, "MLMC"], cited[4, "MLMC"]) == (41.0, 215.0)
    steps = {m: _mlmc.preset_settings(m) for m in ("published", "paper")}
    assert {m: s.outer * s.meta_steps * s.image_steps for m, s in steps.items()} == {"published": 1000, "paper": 2500}


# data/published


@pytest.mark.parametrize(
    ("table", "rows", "where", "printed"),
    [
        (2, 40, {"method": "MLMC+USRNet", "dataset": "Set14"}, {"psnr": "27.46", "ssim": "0.7518", "scale": "4"}),
        (3, 8, {"method": "MLMC", "scale": "4"}, {"kernel_psnr": "58.20", "psnr": "25.09", "ssim": "0.6474"}),
        (4, 16, {"method": "BSRDM", "scale": "2", "noise_percent": "7.84"}, {"kernel_psnr": "43.02", "psnr": "24.59", "ssim": "0.6781"}),
        (5, 16, {"method": "FKP-DIP", "scale": "4", "dataset": "BSD100"}, {"kernel_psnr": "37.06", "psnr": "23.07", "ssim": "0.6264"}),
        (6, 12, {"method": "without meta-learning", "scale": "2", "dataset": "BSD100"}, {"kernel_psnr": "40.43", "psnr": "25.76"}),
        (6, 12, {"method": "without Monte Carlo", "scale": "4", "dataset": "Set14"}, {"kernel_psnr": "44.51", "psnr": "19.83"}),
        (7, 8, {"regularizer": "tikhonov", "noise_percent": "3.92"}, {"kernel_psnr": "48.87", "psnr": "26.71", "ssim": "0.6824"}),
        (8, 10, {"method": "FKP-DIP", "scale": "4"}, {"seconds": "232", "pretraining_hours": "6", "kernel_parameters_k": "143"}),
    ],
)
def test_published_tables_hold_what_is_printed(table, rows, where, printed):
    entries = _mlmc.read_published(f"mlmc_table{table}")
    found = [entry for entry in entries if where.items() <= entry.items()]
    assert len(entries) == rows and len(found) == 1 and printed.items() <= found[0].items()
