"""Kernels by least squares: brute force, conditions of optimality, planted kernels; the blur that varies."""

from __future__ import annotations

import pytest
import torch

from restorekit import Blur, bundled, dot_test, motion_kernel
from restorekit.methods.kernel_fit import fade, fit_kernel, fit_varying, normal_equations, simplex_least_squares
from restorekit.varying_blur import VaryingBlur, blending_windows


def gen(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def rand(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(shape, generator=gen(seed), dtype=torch.float64)


# least squares on the simplex


def test_two_and_three_unknowns_by_brute_force():
    t = torch.linspace(0, 1, 401, dtype=torch.float64)
    a, b = (v.flatten() for v in torch.meshgrid(t, t, indexing="ij"))
    grid = torch.stack([a, b, 1 - a - b])[:, a + b <= 1]
    for seed in range(8):
        M = torch.randn(3, 3, generator=gen(seed), dtype=torch.float64)
        G, c = M @ M.T + 0.1 * torch.eye(3, dtype=torch.float64), 3 * torch.randn(3, generator=gen(seed + 50), dtype=torch.float64)

        def value(k: torch.Tensor, G: torch.Tensor = G, c: torch.Tensor = c) -> torch.Tensor:
            return 0.5 * (k * (G @ k)).sum(0) - c @ k

        k = simplex_least_squares(G, c)
        best = value(grid).min()
        assert value(k[:, None])[0] <= best + 1e-12 and best - value(k[:, None])[0] < 1e-2


@pytest.mark.parametrize("n", [5, 60, 200])
def test_the_conditions_of_optimality_hold(n):
    M = torch.randn(n, n // 2 + 3, generator=gen(n), dtype=torch.float64)
    G, b = M @ M.T + 1e-3 * torch.eye(n, dtype=torch.float64), torch.randn(n, generator=gen(1), dtype=torch.float64)
    k = simplex_least_squares(G, b)
    slope, on = G @ k - b, k > 0
    assert k.min() >= 0 and k.sum().item() == pytest.approx(1, abs=1e-10) and 1 <= on.sum() < n
    nu = slope[on].mean()
    assert (slope[on] - nu).abs().max() < 1e-8 * b.abs().max() and (slope[~on] - nu).min() > -1e-8 * b.abs().max()


# the normal equations


def test_the_normal_equations_are_those_of_the_residual():
    """Periodic: 1/2 k^T G k - b^T k + const equals 1/2 sum |d x * k - d y|^2 for any k, here by Blur."""
    x, y = rand(1, 2, 12, 13), rand(1, 2, 12, 13, seed=1)
    G, b = normal_equations(x, y, 5, None)

    def energy(k: torch.Tensor) -> torch.Tensor:
        r = Blur(k.view(1, 1, 5, 5))(x) - y
        return 0.5 * sum((r.roll(-1, axis) - r).square().sum() for axis in (-2, -1))

    k1, k2 = rand(25, seed=2), rand(25, seed=3)
    quadratic = [0.5 * k @ G[0] @ k - b[0] @ k for k in (k1, k2)]
    assert (quadratic[0] - quadratic[1]).item() == pytest.approx((energy(k1) - energy(k2)).item(), rel=1e-10)


def test_a_planted_kernel_is_recovered():
    x = bundled(size=(96, 96)).double()
    k = motion_kernel(11, generator=gen(3)).double()
    exact = fit_kernel(x, Blur(k)(x), 11, padding="circular", ridge=1e-9)
    assert (exact - k).norm() < 1e-5 * k.norm()
    faded = fit_kernel(x, Blur(k, "replicate")(x), 11, ridge=1e-6)
    assert (faded - k).norm() < 0.05 * k.norm()
    assert faded.sum().item() == pytest.approx(1) and faded.min() >= 0
    noisy = Blur(k)(x) + 0.02 * torch.randn(x.shape, generator=gen(), dtype=torch.float64)
    assert (fit_kernel(x, noisy, 11, padding="circular") - k).norm() < 0.3 * k.norm()


def test_each_picture_has_its_own_kernel_in_its_own_dtype():
    x = torch.cat([bundled("astronaut", size=(64, 64)), bundled("coffee", size=(64, 64))])
    k = motion_kernel(9, n=2, generator=gen(1))
    fitted = fit_kernel(x, Blur(k)(x), 9, padding="circular", ridge=1e-6)
    assert fitted.dtype == torch.float32 and fitted.shape == (2, 1, 9, 9)
    assert ((fitted - k).flatten(1).norm(dim=1) < 0.01 * k.flatten(1).norm(dim=1)).all()


def test_planted_varying_kernels_are_recovered_and_common_draws_them_together():
    x = bundled(size=(160, 160)).double()
    k = motion_kernel(9, n=2, generator=gen(5)).double()
    y = VaryingBlur(k, (1, 2))(x)
    errors = [((fit_varying(x, y, 9, (1, 2), ridge=1e-6, common=c) - k).norm() / k.norm()).item() for c in (0.0, 1e3)]
    assert errors[0] < 0.3 < errors[1]
    one = fit_kernel(x, y, 9, ridge=1e-6)
    assert (one - k).norm() / k.norm() > 2 * errors[0]
    together = fit_varying(x, y, 9, (1, 2), ridge=1e-6, common=1e6)
    torch.testing.assert_close(together, one.expand(2, -1, -1, -1), atol=1e-4, rtol=0)


@pytest.mark.parametrize(("bad", "message"), [((4, "replicate"), "odd"), ((31, "circular"), "picture of at least")])
def test_bad_sizes_are_refused(bad, message):
    x = rand(1, 1, 16, 16)
    with pytest.raises(ValueError, match=message):
        fit_kernel(x, x, bad[0], padding=bad[1])
    with pytest.raises(ValueError, match="equal shapes"):
        fit_kernel(x, x[..., 1:], 3)


# the operator


@pytest.mark.parametrize("padding", ["circular", "reflect", "replicate", "zero"])
@pytest.mark.parametrize(("size", "grid"), [((13, 17), (2, 3)), ((16, 12), (1, 1)), ((20, 21), (3, 1))])
def test_the_varying_blur_is_the_blend_and_its_adjoint_is_true(padding, size, grid):
    k, x = rand(grid[0] * grid[1], 1, 5, 4), rand(2, 3, *size)
    A = VaryingBlur(k, grid, padding)
    w = blending_windows(size, grid, like=x)
    torch.testing.assert_close(A(x), sum(w[i] * Blur(k[i : i + 1], padding)(x) for i in range(len(k))))
    assert dot_test(A, (2, 3, *size), generator=gen()) < 1e-12


def test_windows_are_smooth_and_sum_to_one_and_equal_kernels_are_a_blur():
    w = blending_windows((30, 41), (2, 3))
    assert w.shape == (6, 1, 30, 41) and w.min() >= 0
    torch.testing.assert_close(w.sum(0), torch.ones(1, 30, 41))
    assert w.diff(dim=-1).abs().max() < 0.15
    x, k = rand(1, 1, 30, 41), rand(1, 1, 5, 5)
    torch.testing.assert_close(VaryingBlur(k.expand(6, -1, -1, -1), (2, 3))(x), Blur(k, "replicate")(x))


def test_gradients_reach_kernels_and_its_prox_solves_the_normal_equation():
    k, x = rand(2, 1, 3, 3).requires_grad_(), rand(1, 1, 9, 10).requires_grad_()
    assert torch.autograd.gradcheck(lambda k, x: VaryingBlur(k, (1, 2))(x), (k, x))
    A, y, v = VaryingBlur(k.detach(), (1, 2)), rand(1, 1, 9, 10, seed=4), rand(1, 1, 9, 10, seed=5)
    z = A.prox(v, y, 0.1)
    assert (A.adjoint(A(z) - y) + 0.1 * (z - v)).abs().max() < 1e-8


def test_bad_grids_are_refused():
    with pytest.raises(ValueError, match="3 kernels"):
        VaryingBlur(rand(3, 1, 3, 3), (2, 2))
    with pytest.raises(ValueError, match="grid"):
        blending_windows((4, 4), (5, 1))
    assert fade((8, 9), 3, like=rand(1)).shape == (1, 1, 8, 9)
