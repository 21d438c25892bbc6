"""A kernel from MLMC, a noise map from hyper-guidance and a restorer trained by AND, each inside dynamic plug-and-play."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from restorekit import Blur, bundled, gaussian_noise, noise_map, psnr, random_gaussian_kernel
from restorekit.experiments.tables import pnp_plugins
from restorekit.methods.blind import blind_solver
from restorekit.methods.combined import KernelFrom
from restorekit.methods.dynamic_pnp import DynamicPnP
from restorekit.methods.guided_restoration import guidance_map
from restorekit.methods.mlmc_presets import preset_settings
from restorekit.nets import blind_denoiser, load_denoiser, load_guided, load_restorer
from restorekit.solvers import run


def gen(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def observed(sigma: float | torch.Tensor = 0.01) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    x = bundled("moon", gray=True, size=64)
    k = random_gaussian_kernel(11, variance=(1, 4), generator=gen(3))
    return x, gaussian_noise(Blur(k, "reflect")(x), sigma, generator=gen(4)), k


def score(z: torch.Tensor, x: torch.Tensor) -> float:
    return psnr(z[..., 8:-8, 8:-8], x[..., 8:-8, 8:-8], luma=False).item()


def test_a_kernel_from_mlmc_is_the_operator_and_beats_doing_without():
    x, y, _ = observed()
    settings = replace(preset_settings("quick"), outer=3, channels=8)
    learner = blind_solver(y, 1, settings=settings, kernel_size=11, generator=gen(5))
    k = run(learner, learner.total_steps).kernel
    D = load_denoiser(1)
    assert score(pnp_plugins.plugged(y, D, k, torch.tensor(0.01)), x) > score(D(y, 0.01), x) + 0.3
    held = DynamicPnP(y, D, KernelFrom(k, hold=True), mu=0.1, x_step="cg", sigma=0.01)
    state = run(held, 2).state
    assert torch.equal(state.A, k) and state.residual[0] < (Blur(k, "reflect")(y) - y).square().mean().sqrt()


def test_a_noise_map_leads_the_data_step_to_where_the_picture_can_be_trusted():
    level = noise_map((64, 64), low=0.01, high=0.06)
    x, y, k = observed(level)
    read = guidance_map(y, load_guided()[1])
    corners = read[0, 0, 8:24, 8:24].mean(), read[0, 0, -24:-8, -24:-8].mean()
    assert corners[0] < 0.5 * corners[1]
    D = load_denoiser(1)
    one = level.square().mean().sqrt()
    assert score(pnp_plugins.plugged(y, D, k, read), x) > score(pnp_plugins.plugged(y, D, k, one), x) + 0.1


def test_a_map_as_mu_solves_the_weighted_problem_and_a_number_is_a_constant_map():
    _, y, k = (z.double() for z in observed())
    D = load_denoiser(1).double()
    v, mu, A = D(y, 0.05), torch.linspace(0.05, 2, 64).double().expand(1, 1, 64, 64), Blur(k, "reflect")
    solver = DynamicPnP(y, D, KernelFrom(k, hold=True), mu=mu, x_step="cg", cg_steps=200)
    x = solver.step(solver.init(v)).x
    assert (A.adjoint(A(x) - y) + mu * (x - v)).abs().max() < 1e-6
    same = [replace(solver, mu=m).step(solver.init(v)).x for m in (0.3, torch.tensor(0.3).double())]
    torch.testing.assert_close(*same)
    with pytest.raises(ValueError, match="mu"):
        replace(solver, mu=mu - 0.06)


def test_a_restorer_trained_by_and_is_the_prior_and_beats_its_own_single_pass():
    x, y, k = observed()
    f = blind_denoiser(load_restorer("adversarial", 1, 1))
    solver = DynamicPnP(y, f, KernelFrom(k, hold=True), mu=pnp_plugins.BLIND_MU, x_step="cg")
    state = run(solver, pnp_plugins.BLIND_ROUNDS, solver.init(f(y, 0.0))).state
    assert score(state.v, x) > score(f(y, 0.0), x) + 1


def test_the_table_compares_each_plug_with_doing_without():
    cells = pnp_plugins.cells("quick")
    assert {c.method for c in cells} == set(pnp_plugins.PLUGS) and len(cells) == 6
    rows = [{"method": c.method, **pnp_plugins.run(c)} for c in pnp_plugins.cells("smoke")]
    table = pnp_plugins.summarize(rows)
    assert [line["plug"] for line in table] == ["map", "restorer"]
    assert table[0]["gain"] == pytest.approx(rows[0]["psnr plugged"] - rows[0]["psnr without"])
