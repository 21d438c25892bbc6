"""Dynamic plug-and-play: gradients of each reading of A, the printed update, the solver's steps, safeguards, the deblurring scheme."""

from __future__ import annotations

from itertools import islice

import pytest
import torch

from restorekit import Blur, bundled, motion_kernel, psnr
from restorekit.methods.deblur import MU, TRUST, deblur_dynamic
from restorekit.methods.dynamic_pnp import DynamicPnP, DynamicState
from restorekit.methods.operator_updates import Affine, Dense, Diagonal, Kernel, OperatorUpdate, Reading, VaryingKernels
from restorekit.methods.priors import self_ensemble
from restorekit.shake import shaken_pair
from restorekit.solvers import iterate, load_state, run, save_state

READINGS: list[tuple[Reading, tuple[int, ...]]] = [
    (Dense(), (2, 2, 6, 7)),
    (Diagonal(), (2, 2, 6, 7)),
    (Affine(), (2, 3, 6, 7)),
    (Kernel(5), (2, 2, 9, 8)),
    (Kernel(3, "circular"), (2, 2, 9, 8)),
    (VaryingKernels(5, (2, 3)), (1, 2, 12, 13)),
]
IDS = [type(r).__name__ + str(getattr(r, "padding", "")) for r, _ in READINGS]


def gen(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def rand(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(shape, generator=gen(seed), dtype=torch.float64)


def cosine(a: torch.Tensor, b: torch.Tensor) -> float:
    return (a.flatten() @ b.flatten() / (a.norm() * b.norm())).item()


# readings of A


@pytest.mark.parametrize(("reading", "shape"), READINGS, ids=IDS)
def test_gradients_equal_autograds(reading, shape):
    x, t = rand(*shape), rand(*shape, seed=1)
    A = (reading.identity(x) + 0.3 * torch.randn(reading.identity(x).shape, generator=gen(2), dtype=torch.float64)).requires_grad_()
    (expected,) = torch.autograd.grad(0.5 * (reading.apply(A, x) - t).square().sum(), A)
    A = A.detach()
    torch.testing.assert_close(reading.gradient(A, x, reading.apply(A, x) - t), expected)
    torch.testing.assert_close(OperatorUpdate(reading, alpha=0.1)(A, x, t), A - 0.1 * expected)


@pytest.mark.parametrize(("reading", "shape"), READINGS, ids=IDS)
def test_each_starts_at_the_identity_and_the_line_search_is_the_best_step(reading, shape):
    x, t = rand(*shape), rand(*shape, seed=1)
    A = reading.identity(x)
    torch.testing.assert_close(reading.apply(A, x), x)

    def misfit(A: torch.Tensor) -> float:
        return (reading.apply(A, x) - t).square().sum().item()

    best = OperatorUpdate(reading, "line_search")(A, x, t)
    assert misfit(best) < misfit(A)
    for factor in (0.9, 1.1):
        assert misfit(A + factor * (best - A)) > misfit(best)


def test_dense_and_diagonal_explain_anything_and_the_others_do_not():
    x, t = rand(1, 1, 12, 12) + 0.1, rand(1, 1, 12, 12, seed=1)
    left = {}
    for reading in (Dense(), Diagonal(), Affine(), Kernel(3)):
        A = OperatorUpdate(reading, "exact")(reading.identity(x), x, t)
        left[type(reading).__name__] = ((reading.apply(A, x) - t).norm() / (x - t).norm()).item()
    assert max(left["Dense"], left["Diagonal"]) < 1e-8 and min(left["Affine"], left["Kernel"]) > 0.3


def test_the_affine_fit_is_the_regression_line():
    x = rand(2, 3, 8, 8)
    gains, offsets = rand(2, 3, 1, 1, seed=3), rand(2, 3, 1, 1, seed=4)
    A = Affine().exact(x, gains * x + offsets)
    torch.testing.assert_close(A, torch.cat([gains, offsets], 1))


# the print


def test_the_printed_update_is_neither_the_gradient_nor_zero_at_the_right_answer():
    g = gen(7)
    x, n = rand(1, 1, 24, 24), 0.1 * torch.randn(1, 1, 24, 24, generator=g, dtype=torch.float64)
    for reading in (Dense(), Diagonal()):
        true = reading.identity(x) + 0.05 * torch.randn(reading.identity(x).shape, generator=g, dtype=torch.float64)
        y = reading.apply(true, x) + n
        t = y - n
        printed, gradient = (OperatorUpdate(reading, rule) for rule in ("printed", "gradient"))
        start = reading.identity(x)
        assert abs(cosine(printed.direction(start, x, t), gradient.direction(start, x, t))) < 0.3
        assert gradient.direction(true, x, t).abs().max() < 1e-12 < 0.1 < printed.direction(true, x, t).abs().max()


def test_the_printed_dense_update_is_eq_10_letter_by_letter():
    A, x, y, n = (rand(1, 1, 5, 5, seed=s) for s in range(4))
    moved = OperatorUpdate(Dense(), "printed", alpha=0.01)(A, x, y - n)
    X, N, Y = x[0, 0], n[0, 0], y[0, 0]
    torch.testing.assert_close(moved[0, 0], A[0, 0] - 0.01 * X.T @ A[0, 0] @ X - 0.01 * (N - Y))


@pytest.mark.parametrize("reading", [Kernel(3), Affine(), Dense()])
def test_where_its_sizes_do_not_fit_the_print_is_refused(reading):
    x = rand(1, 1, 8, 9)
    with pytest.raises(ValueError, match="Eq. 10"):
        OperatorUpdate(reading, "printed")(reading.identity(x), x, x)


# the solver


def smooth(x: torch.Tensor, sigma: float | torch.Tensor) -> torch.Tensor:
    """A linear prior."""
    return Blur(torch.full((1, 1, 3, 3), 1 / 9, dtype=x.dtype), "replicate")(x)


def test_the_steps_are_the_papers_equations():
    y, k = rand(1, 1, 10, 10), motion_kernel(3, generator=gen()).double()
    A = Blur(k, "replicate")
    x, v = rand(1, 1, 10, 10, seed=1), rand(1, 1, 10, 10, seed=2)
    state = DynamicState(x, v, k, *2 * [torch.zeros(1, dtype=torch.float64)])
    mu, delta = 0.3, 0.1

    def step(**options) -> DynamicState:
        return DynamicPnP(y, smooth, OperatorUpdate(Kernel(3), alpha=1e-3), mu=mu, delta=delta, **options).step(state)

    new = step()
    torch.testing.assert_close(new.x, x - delta * (A.adjoint(A(x) - y) + mu * (x - v)))
    torch.testing.assert_close(new.v, smooth(new.x, 0))
    torch.testing.assert_close(new.A, k - 1e-3 * Kernel(3).gradient(k, new.x, A(new.x) - y))
    lost = step(x_step="printed").x - new.x
    torch.testing.assert_close(lost, delta * (1 - mu) * v)  # the print lost a mu
    exact = step(x_step="exact").x
    assert (A.adjoint(A(exact) - y) + mu * (exact - v)).abs().max() < 1e-7
    torch.testing.assert_close(step(x_step="cg", cg_steps=80).x, exact, atol=1e-8, rtol=0)
    fitted = step(fit="v", noise=0.1 * y).A
    torch.testing.assert_close(fitted, k - 1e-3 * Kernel(3).gradient(k, new.v, A(new.v) - 0.9 * y))


def test_with_a_the_identity_the_exact_step_is_the_weighted_mean():
    y, v = rand(1, 1, 6, 6), rand(1, 1, 6, 6, seed=1)
    solver = DynamicPnP(y, smooth, mu=0.5, x_step="exact")
    start = solver.init(v)
    torch.testing.assert_close(solver.step(start).x, (y + 0.5 * v) / 1.5)


def test_at_the_papers_step_sizes_it_barely_moves():
    y = rand(1, 1, 12, 12)
    solver = DynamicPnP(y, smooth, OperatorUpdate(Diagonal(), "gradient", 1e-4), delta=1e-4)
    state = run(solver, 4).state
    assert (state.x - y).abs().max() < 1e-3 and (state.v - smooth(y, 0)).abs().max() < 1e-3


def test_stepping_by_hand_is_run_and_a_saved_state_goes_on(tmp_path):
    y = bundled(size=(24, 24), gray=True).double()
    solver = DynamicPnP(y, smooth, OperatorUpdate(Kernel(3), "exact"), mu=0.2, x_step="exact", safeguard=True)
    by_hand = list(islice(iterate(solver), 4))[-1]
    whole = run(solver, 4).state
    save_state(tmp_path / "state.pt", run(solver, 2).state)
    resumed = run(solver, 2, load_state(tmp_path / "state.pt", DynamicState)).state
    for other in (by_hand, resumed):
        assert torch.equal(whole.x, other.x) and torch.equal(whole.A, other.A) and whole.step == other.step == 4


def test_the_safeguard_takes_no_step_that_makes_a_term_worse():
    y = rand(2, 1, 10, 10)
    wild = DynamicPnP(y, smooth, OperatorUpdate(Diagonal(), alpha=50.0), delta=50.0, mu=1.0)
    kept = DynamicPnP(y, smooth, OperatorUpdate(Diagonal(), alpha=50.0), delta=50.0, mu=1.0, safeguard=True)
    start = wild.init(y + 0.1 * rand(2, 1, 10, 10, seed=1))
    assert wild.step(start).residual.max() > start.x.sub(y).square().mean().sqrt()
    new = kept.step(start)
    assert new.taken == (0.0, 0.0) and torch.equal(new.x, start.x) and torch.equal(new.A, start.A)
    each = DynamicPnP(y, smooth, delta=0.1, safeguard=True).step(start)
    assert each.taken[0] == 1.0 and (each.x - y).norm() < (start.x - y).norm()


@pytest.mark.parametrize("bad", [{"x_step": "newton"}, {"mu": 0.0}, {"fit": "y"}, {"cg_steps": 0}])
def test_bad_settings_are_refused(bad):
    with pytest.raises(ValueError, match=r"Got .*Allowed.*Fix"):
        DynamicPnP(rand(1, 1, 6, 6), smooth, **bad)
    with pytest.raises(ValueError, match="rule"):
        OperatorUpdate(Diagonal(), "newton")
    with pytest.raises(ValueError, match="2 pictures"):
        VaryingKernels(3).identity(rand(2, 1, 6, 6))


# the deblurring scheme


def blurred() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """x, y = x * k, and a flawed estimate v of x, as a deblurrer gives it."""
    x = bundled("astronaut", size=(96, 96))
    y = Blur(motion_kernel(11, generator=gen(3)), "replicate")(x)
    v = 0.8 * x + 0.2 * y + 0.02 * torch.randn(x.shape, generator=gen(4))
    return x, y, v


def test_one_exact_round_improves_a_flawed_estimate_and_is_two_steps_of_the_solver():
    x, y, v = (z.mean(1, keepdim=True) for z in blurred())
    out = deblur_dynamic(y, lambda y, sigma: v, kernel_size=11, grid=None, edges=0.0, mu=0.03)
    assert out.taken == (True,) and out.mu == (0.03,) and psnr(out.image, x).item() > psnr(v, x).item() + 1
    solver = DynamicPnP(y, lambda x, sigma: v, OperatorUpdate(Kernel(11), "exact"), mu=0.03, x_step="exact", fit="v")
    assert (run(solver, 2).state.x - out.image).square().mean().sqrt() < 1e-3 < (out.image - v).square().mean().sqrt() / 10
    assert out.residuals[0, 1] < out.residuals[0, 0] and out.residuals[0, 3] < out.residuals[0, 1]


def test_strong_edges_lead_to_a_better_kernel_than_a_picture_that_is_still_soft():
    x, y, _ = blurred()
    v, k = Blur(torch.full((1, 1, 3, 3), 1 / 9), "replicate")(x), motion_kernel(11, generator=gen(3))
    errors = [(deblur_dynamic(y, v, kernel_size=11, grid=None, edges=e).kernels[0] - k).norm().item() for e in (4e-3, 0.0)]
    assert errors[0] < 0.8 * errors[1]


def test_the_less_the_blur_explains_the_less_the_data_step_may_change():
    x, y, v = blurred()
    trust = [deblur_dynamic(y, v + s * rand(*v.shape, seed=7).float(), kernel_size=11, grid=None) for s in (0.0, 0.08, 0.3)]
    shares = [(out.residuals[0, 1] / out.residuals[0, 0]).item() for out in trust]
    assert shares == sorted(shares) and MU[0] <= trust[0].mu[0] < trust[1].mu[0] <= trust[2].mu[0] == MU[1]
    assert trust[1].mu[0] == pytest.approx(min(TRUST * shares[1] ** 4, MU[1]))


def test_a_difference_that_is_no_blur_is_left_alone():
    x = bundled("coffee", size=(64, 64))
    v = 0.7 * x  # a prior that lowers the contrast of a sharp picture: no kernel of sum 1 explains that
    out = deblur_dynamic(x, v, kernel_size=7, grid=None)
    assert out.taken == (False,) and torch.equal(out.image, v)
    assert deblur_dynamic(x, v, kernel_size=7, grid=None, safeguard=False).taken == (True,)


def test_a_turning_camera_gets_a_grid_of_kernels_and_one_kernel_falls_behind():
    y, x, _ = shaken_pair(bundled("astronaut", size=(224, 224)), extent=4, rotation=0.05, generator=gen(1))
    v = 0.6 * x + 0.4 * y
    varying, single = (deblur_dynamic(y, v, kernel_size=15, grid=g) for g in ("auto", None))
    assert varying.grids == ((2, 2),) and single.grids == ((1, 1),) and varying.kernels[0].shape == (4, 1, 15, 15)
    torch.testing.assert_close(varying.residuals[:, 1], single.residuals[:, 1])
    assert varying.residuals[0, 2] < 0.7 * varying.residuals[0, 1]
    assert psnr(varying.image, x).item() > psnr(single.image, x).item() + 1


def test_the_safeguard_keeps_an_ensemble_that_one_bad_view_has_spoiled():
    """Its mean has the error that no blur explains; the data step would print that error into the picture."""
    x, y, v = blurred()

    def net(z: torch.Tensor, sigma: float | torch.Tensor) -> torch.Tensor:
        good = v if torch.equal(z, y) else None
        for mirrored in (False, True):  # the view is known by what it shows
            for turns in range(4):
                turned = (y.flip(-1) if mirrored else y).rot90(turns, (-2, -1))
                if torch.equal(z, turned):
                    good = (v.flip(-1) if mirrored else v).rot90(turns, (-2, -1))
        assert good is not None
        return good + spoiled * torch.linspace(-1, 1, z.shape[-1]) if torch.equal(z, y.rot90(1, (-2, -1))) else good

    spoiled = 0.0
    fine = deblur_dynamic(y, self_ensemble(net), kernel_size=11, grid=None)
    torch.testing.assert_close(fine.prior, v)
    assert fine.taken == (True,) and psnr(fine.image, x).item() > psnr(v, x).item() + 0.5
    spoiled = 6.0
    kept = deblur_dynamic(y, self_ensemble(net), kernel_size=11, grid=None)
    assert kept.taken == (False,) and torch.equal(kept.image, kept.prior)
    forced = deblur_dynamic(y, self_ensemble(net), kernel_size=11, grid=None, safeguard=False)
    assert forced.taken == (True,) and not torch.equal(forced.image, kept.prior)


def test_each_picture_of_a_batch_is_restored_by_itself():
    x, y, v = blurred()
    both = deblur_dynamic(torch.cat([y, y.flip(-1)]), torch.cat([v, v.flip(-1)]), kernel_size=11, grid=None)
    alone = deblur_dynamic(y.flip(-1), v.flip(-1), kernel_size=11, grid=None)
    torch.testing.assert_close(both.image[1:], alone.image)
    assert len(both.kernels) == 2 and both.residuals.shape == (2, 4)


@pytest.mark.parametrize("bad", [{"mu": 0.0}, {"grid": "fine"}, {"kernel_size": 8}])
def test_bad_arguments_of_the_scheme_are_refused(bad):
    with pytest.raises(ValueError, match=r"Got .*Allowed.*Fix"):
        deblur_dynamic(rand(1, 1, 32, 32), lambda y, sigma: y, **bad)
