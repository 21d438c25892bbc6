"""The exercises of page 06b against the library; the stored passes; figures' numbers."""

from types import SimpleNamespace

import pytest
import torch

from restorekit.kernels import delta_kernel
from restorekit.methods.deblur import Deblurred
from restorekit.methods.stopping import discrepancy_target, whiteness
from restorekit.teach import passes_06b, tasks_06b
from restorekit.teach import views_06b as views
from restorekit.varying_blur import blending_windows


def drawn(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_the_residual_is_the_discrepancys_target():
    assert tasks_06b.residual().reference == pytest.approx(discrepancy_target(25.0, 7.0**2))


def test_affine_fit_is_the_minimum_on_its_plane():
    task = tasks_06b.affine_fit()
    for G, b in task.cases:
        k = task.reference(G, b)
        slope = G @ k - b
        assert k.sum() == pytest.approx(1) and torch.allclose(slope, slope.mean().expand_as(slope))


def test_autocorrelation_is_what_whiteness_sums():
    r = drawn(12, 10)
    rho = tasks_06b.autocorrelation().reference(r).roll((2, 2), (0, 1))[:5, :5]
    mine = r.numel() * (rho.square().sum() - 1) / 24
    assert mine.item() == pytest.approx(whiteness(r[None, None], radius=2).item())


@pytest.mark.parametrize(("n", "m"), [(24, 3), (17, 2), (10, 1)])
def test_windows_are_the_librarys(n, m):
    mine = tasks_06b.windows().reference(n, m)
    library = blending_windows((4, n), (1, m), like=torch.zeros(1, dtype=torch.float64))[:, 0, 0]
    assert torch.allclose(mine, library) and torch.allclose(mine.sum(0), torch.ones(n, dtype=torch.float64))


def test_stored_passes_belong_to_the_shaken_pictures():
    for name in passes_06b.SHAKES:
        y, x, path = passes_06b.shaken(name)
        v = passes_06b.passed(name)
        assert v.shape == y.shape == x.shape == (1, 3, *passes_06b.SIDE)
        assert views.dB(v, x) > views.dB(y, x) + 1
        assert (path.angles.abs().max() > 0) == (name == "cat")
    truth = passes_06b.shaken("coffee")[1]
    assert views.dB(passes_06b.passed("coffee_again"), truth) < views.dB(passes_06b.passed("coffee"), truth)


def test_a_study_finds_the_iterate_that_each_rule_wants():
    clean, n = 0.5 * torch.ones(1, 1, 24, 24, dtype=torch.float64), 0.1 * drawn(1, 1, 24, 24)
    y = clean + n
    iterates = [clean + share * n for share in (0.6, 0.1, 0.4)]  # errors, and residuals of 0.4, 0.9, 0.6 sigma
    sigma = n.square().mean().sqrt().item()
    truth = [(torch.tensor(views.rms(x - clean) ** 2), torch.tensor(0.0)) for x in iterates]
    found = views.study(clean, y, sigma, iterates, {4: truth, 1: truth[::-1]})
    assert found.picks["SURE, 4 probes"] == 1 and found.picks["SURE, 1 probe"] == 1
    assert found.picks["|y - x| = sigma"] == 1
    late = SimpleNamespace(dB=[20.0, 22.0, 21.0], picks={"a": 1, "b": 2})
    early = SimpleNamespace(dB=[20.0, 22.0, 21.0], picks={"a": 1, "b": 0})
    assert views.regrets({"p": late, "q": early}) == {"a": 0.0, "b": 1.5}
    assert "b 1.50" in views.stopping({"p": late, "q": early}, {"a": 0.0, "b": 1.5}).alt


def states(truth, *errors):
    k = delta_kernel(25)
    return [views.state(i, truth + e, truth, k, torch.full_like(truth, e)) for i, e in enumerate(errors)]


def test_the_film_says_gains():
    truth = torch.rand(1, 3, 48, 64, generator=torch.Generator().manual_seed(0))
    film = views.Film({"good": states(truth, 0.1, 0.05, 0.01), "bad": states(truth, 0.1, 0.05, 0.1)}, truth)
    assert film.gain("good", 1) == pytest.approx(6.02, abs=0.01)
    assert film.gain("bad", -1) == pytest.approx(0, abs=1e-6)
    assert film.strip().png[:4] == b"\x89PNG" and "good: 20.00 dB, after one round 26.02, at the end 40.00" in film.strip().alt
    assert "good: x 26.02 dB" in film.frame(film.states[1]).alt


def test_decisions_tell_what_was_kept():
    x = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    v = x + 0.1
    kernels, grids = (delta_kernel(3),), ((1, 1),)
    kept = Deblurred(v, v, kernels, grids, torch.tensor([[0.1, 0.098, float("nan"), 0.098]]), (False,), (0.1,))
    said = views.decisions({"only noisy": kept}, {"only noisy": x}).data
    assert "only noisy | 0.98 | 1x1 | 0.10 | False | 0.00" in said


def test_printed_gains_are_those_of_table_2():
    said = views.printed_gains().data
    assert "DMPHN(1-2-4) | 30.21 | 30.32 | 0.11" in said and "gains +0.11 to +0.24 dB" in said


def test_stored_tables_or_their_commands_are_shown(monkeypatch):
    assert "psnr to published" in views.agreement().data
    monkeypatch.setattr(views, "load_results", lambda *a: (_ for _ in ()).throw(FileNotFoundError()))
    shown, records = views.deblurring()
    assert "experiments run pnp_deblurring --size quick" in shown[0].data and records == {}
    assert "experiments run pnp_outputs --size quick" in views.agreement().data


def test_without_weights_the_stored_pass_stands_in(monkeypatch):
    monkeypatch.delenv("RESTOREKIT_WEIGHTS", raising=False)
    y, v, note = views.own_pass(torch.zeros(1, 1, 16, 16))
    assert y.shape == v.shape == (1, 3, *passes_06b.SIDE) and "astronaut" in note.data


def test_figures_say_their_numbers():
    k = delta_kernel(25)
    assert "a 0.00" in views.kernels({"a": k}, k).alt
    assert "a best at 0.1 (+2.0 dB)" in views.trust([0.01, 0.1], {"a": [1.0, 2.0]}).alt
    assert "a ends at 1.0 with an error of 0.50" in views.energies({"a": [2.0, 1.0]}, {"a": 0.5}).alt
    assert "one pass has 30.00 dB" in views.converging([0.1, 0.01], [29.0, 28.0], 30.0).alt
