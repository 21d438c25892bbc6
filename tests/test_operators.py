"""Operators: exact adjoints, three forms of one convolution, proximal steps against their optimality condition."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import restorekit as rk
from restorekit.operators import LinearOperator

PADDINGS = ("circular", "reflect", "replicate", "zero")


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def random_kernel(shape, seed=0, dtype=torch.float64):
    return torch.randn(shape, generator=generator(seed), dtype=dtype)


@given(
    size=st.tuples(st.integers(9, 22), st.integers(9, 22)),
    window=st.tuples(st.integers(1, 8), st.integers(1, 8)),
    scale=st.integers(1, 4),
    padding=st.sampled_from(PADDINGS),
    method=st.sampled_from(["direct", "fft", "auto"]),
    kernels=st.sampled_from([1, 3]),
    seed=st.integers(0, 1000),
)
@settings(max_examples=150, deadline=None)
def test_blur_down_has_an_exact_adjoint(size, window, scale, padding, method, kernels, seed):
    A = rk.BlurDown(random_kernel((kernels, 1, *window), seed), scale, padding, method=method)
    assert rk.dot_test(A, (3, 2, *size), generator=generator(seed)) < 1e-10


@pytest.mark.parametrize("A", [rk.Identity(), rk.Downsample(3), rk.Downsample(2) @ rk.Blur(random_kernel((1, 1, 4, 5)), "reflect")])
def test_other_operators_have_exact_adjoints(A):
    assert rk.dot_test(A, (2, 3, 17, 20), generator=generator()) < 1e-10


def test_dot_test_catches_a_correlation_in_place_of_the_adjoint():
    class WrongAdjoint(rk.Blur):
        def _transpose(self, y, size):
            return self._apply(y)

    assert rk.dot_test(WrongAdjoint(random_kernel((1, 1, 5, 5))), (1, 1, 12, 12), generator=generator()) > 1e-3


@given(
    size=st.tuples(st.integers(12, 40), st.integers(12, 40)),
    window=st.tuples(st.integers(1, 11), st.integers(1, 11)),
    scale=st.integers(1, 4),
    padding=st.sampled_from(PADDINGS),
    batch=st.sampled_from([(1, 1), (2, 1), (1, 3), (3, 3)]),
)
@settings(max_examples=80, deadline=None)
def test_fft_strided_and_direct_blur_agree_in_float32(size, window, scale, padding, batch):
    pictures, kernels = batch
    k = rk.project_simplex(random_kernel((kernels, 1, *window), dtype=torch.float32))
    x = torch.rand((pictures, 2, *size), generator=generator())
    full = rk.Downsample(scale)(rk.Blur(k, padding, method="direct")(x))
    assert (rk.BlurDown(k, scale, padding, method="direct")(x) - full).abs().max() < 1e-5
    assert (rk.BlurDown(k, scale, padding, method="fft")(x) - full).abs().max() < 1e-5


def convolve_by_definition(x, k, scale):
    """(x * k)[i] = sum_j k[j] x[i + c - j], periodic, by loops."""
    H, W = x.shape
    kh, kw = k.shape
    out = torch.zeros_like(x)
    for i in range(H):
        for j in range(W):
            for a in range(kh):
                for b in range(kw):
                    out[i, j] += k[a, b] * x[(i + kh // 2 - a) % H, (j + kw // 2 - b) % W]
    return out[::scale, ::scale]


@pytest.mark.parametrize("window", [(3, 3), (4, 3), (2, 5)])
@pytest.mark.parametrize("method", ["direct", "fft"])
def test_it_is_true_convolution(window, method):
    k, x = random_kernel(window), random_kernel((7, 8), 1)
    y = rk.BlurDown(k[None, None], 2, method=method)(x[None, None])
    assert torch.allclose(y[0, 0], convolve_by_definition(x, k, 2), atol=1e-12)


@pytest.mark.parametrize(
    ("padding", "row"), [("circular", [3, 0, 1]), ("reflect", [1, 0, 1]), ("replicate", [0, 0, 1]), ("zero", [None, 0, 1])]
)
def test_what_lies_beyond_the_border(padding, row):
    # a kernel that copies the left neighbour: pixel 0 shows what lies beyond the border
    x = torch.tensor([[5.0, 6.0, 7.0, 8.0]] * 4)[None, None]
    shift_right = torch.tensor([[0.0, 0.0, 1.0]])[None, None]
    y = rk.Blur(shift_right, padding)(x)[0, 0, 0]
    expected = [0.0 if at is None else x[0, 0, 0, at].item() for at in row]
    assert y[:3].tolist() == pytest.approx(expected)


@pytest.mark.parametrize(("align", "scale"), [("resize", 2), ("resize", 3), ("resize", 4), ("phase0", 2), ((0.5, -0.25), 2)])
def test_impulse_lands_where_the_alignment_says(align, scale):
    # low-resolution pixel i sees high-resolution position s i - m: a smooth blob at s i - m peaks at pixel i
    m = rk.kernels.align_centroid(align, scale)
    k = rk.random_gaussian_kernel(8 * scale + 3, variance=(4.0 * scale, 4.0 * scale), centroid=m, generator=generator()).double()
    grid = torch.arange(24 * scale, dtype=torch.float64)
    at = 12 * scale - torch.tensor(m, dtype=torch.float64)
    x = torch.exp(-((grid[:, None] - at[0]) ** 2 + (grid[None] - at[1]) ** 2) / (2 * scale**2))[None, None]
    y = rk.BlurDown(k, scale)(x)
    low = torch.arange(24, dtype=torch.float64)
    centroid = ((y[0, 0].sum(1) @ low) / y.sum(), (y[0, 0].sum(0) @ low) / y.sum())
    assert centroid[0].item() == pytest.approx(12, abs=0.02)
    assert centroid[1].item() == pytest.approx(12, abs=0.02)


def residual(A, x, v, y, rho):
    """|A^T (A x - y) + rho (x - v)| / |A^T y + rho v|: 0 at the minimiser."""
    size = tuple(v.shape[-2:])
    gradient = A.adjoint(A(x) - y, size) + rho * (x - v)
    return (gradient.norm() / (A.adjoint(y, size) + rho * v).norm()).item()


@pytest.mark.parametrize("scale", [1, 2, 3, 4])
@pytest.mark.parametrize("rho", [1e-3, 0.1, 10.0])
@pytest.mark.parametrize("kernels", [1, 2])
def test_closed_form_prox_solves_its_problem(scale, rho, kernels):
    A = rk.BlurDown(random_kernel((kernels, 1, 6, 5)) / 5, scale)
    v = random_kernel((2, 3, 12 * scale, 7 * scale), 1)
    y = random_kernel((2, 3, 12, 7), 2)
    assert residual(A, A.prox(v, y, rho), v, y, rho) < 1e-10


@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("scale", [1, 2, 3])
def test_prox_by_conjugate_gradients_reaches_the_stated_residual(padding, scale):
    A = rk.BlurDown(random_kernel((1, 1, 5, 4)) / 4, scale, padding)
    v = random_kernel((2, 1, 17, 19), 1)
    y = A(random_kernel((2, 1, 17, 19), 2))
    assert residual(A, A.prox(v, y, 0.05), v, y, 0.05) < 1e-9
    assert residual(A, A.prox(v, y, 0.05, tol=1e-4), v, y, 0.05) < 1e-3


def test_closed_form_equals_conjugate_gradients():
    A = rk.BlurDown(rk.gaussian_kernel(7, 1.5, dtype=torch.float64), 2)
    v, y = random_kernel((1, 2, 16, 20)), random_kernel((1, 2, 8, 10), 1)
    by_cg = LinearOperator._prox(A, v, y, torch.tensor(0.02), 1e-12, 1000)
    assert torch.allclose(A.prox(v, y, 0.02), by_cg, atol=1e-9)


def test_prox_says_when_it_did_not_converge():
    A = rk.Blur(random_kernel((1, 1, 7, 7)), "reflect")
    v = random_kernel((1, 1, 20, 20))
    with pytest.raises(RuntimeError, match="relative residual"):
        A.prox(v, 2 * A(v), 1e-6, max_iter=2)


@pytest.mark.parametrize("A", [rk.Identity(), rk.Downsample(2)])
def test_simple_proxes_solve_their_problems_with_a_map(A):
    v = random_kernel((1, 1, 8, 8))
    y = A(random_kernel((1, 1, 8, 8), 1))
    rho = 0.1 + torch.rand(1, 1, 8, 8, generator=generator(), dtype=torch.float64)
    assert residual(A, A.prox(v, y, rho), v, y, rho) < 1e-10


def test_prox_takes_a_map_of_weights_with_blur():
    A = rk.Blur(rk.gaussian_kernel(5, 1.0, dtype=torch.float64))
    v, y = random_kernel((1, 1, 10, 10)), random_kernel((1, 1, 10, 10), 1)
    rho = 0.1 + torch.rand(1, 1, 10, 10, generator=generator(), dtype=torch.float64)
    assert residual(A, A.prox(v, y, rho), v, y, rho) < 1e-9


@pytest.mark.parametrize("method", ["direct", "fft"])
def test_gradients_reach_picture_and_kernel(method):
    k = rk.gaussian_kernel(3, 1.0, dtype=torch.float64).requires_grad_()
    x = random_kernel((1, 1, 6, 6)).requires_grad_()
    assert torch.autograd.gradcheck(lambda x, k: rk.BlurDown(k, 2, "reflect", method=method)(x), (x, k))


def test_one_operator_can_be_differentiated_twice():
    k = rk.gaussian_kernel(3, 1.0).requires_grad_()
    A = rk.Blur(k, method="fft")
    for _ in range(2):
        A(torch.ones(1, 1, 8, 8)).sum().backward()
    assert k.grad is not None


def test_one_picture_scored_by_many_kernels():
    k = rk.random_gaussian_kernel(7, 5, generator=generator())
    x = torch.rand(1, 3, 16, 16, generator=generator())
    many = rk.BlurDown(k, 2, "reflect")(x)
    for i in range(5):
        assert torch.allclose(many[i : i + 1], rk.BlurDown(k[i : i + 1], 2, "reflect")(x), atol=1e-6)


def test_operator_norm_of_a_known_spectrum():
    # a probability kernel has its largest gain at frequency 0: |A| = 1; decimation by s divides |A A^T| by s^2 there
    k = rk.gaussian_kernel(9, 2.0, dtype=torch.float64)
    assert rk.operator_norm(rk.Blur(k), (1, 1, 16, 16), generator=generator()) == pytest.approx(1, abs=1e-3)
    assert rk.operator_norm(rk.BlurDown(k, 2), (1, 1, 16, 16), generator=generator()) == pytest.approx(0.5, abs=2e-2)


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda: rk.BlurDown(rk.delta_kernel(3), 0), ValueError),
        (lambda: rk.BlurDown(rk.delta_kernel(3), 5), ValueError),
        (lambda: rk.BlurDown(rk.delta_kernel(3), 2.5), ValueError),
        (lambda: rk.BlurDown(rk.delta_kernel(3), 2, "mirror"), ValueError),
        (lambda: rk.Blur(torch.ones(3, 3)), ValueError),
        (lambda: rk.Blur(torch.full((1, 1, 3, 3), float("nan"))), ValueError),
        (lambda: rk.Blur(rk.delta_kernel(3))(torch.ones(1, 1, 8, 8, dtype=torch.uint8)), TypeError),
        (lambda: rk.Blur(rk.delta_kernel(3))(torch.ones(1, 1, 8, 8, dtype=torch.float64)), TypeError),
        (lambda: rk.Blur(rk.delta_kernel(3))(torch.ones(1, 1, 8, 8, device="meta")), ValueError),
        (lambda: rk.Blur(rk.delta_kernel(3))(torch.full((1, 1, 8, 8), float("inf"))), ValueError),
        (lambda: rk.Blur(rk.delta_kernel(3))(torch.ones(8, 8)), ValueError),
        (lambda: rk.Blur(rk.delta_kernel(9), "reflect")(torch.ones(1, 1, 4, 4)), ValueError),
        (lambda: rk.Blur(rk.delta_kernel(9))(torch.ones(1, 1, 4, 4)), ValueError),
        (lambda: rk.Blur(rk.delta_kernel(3).repeat(2, 1, 1, 1))(torch.ones(3, 1, 8, 8)), ValueError),
        (lambda: rk.Blur(rk.delta_kernel(3)).prox(torch.ones(1, 1, 8, 8), torch.ones(1, 1, 8, 8), 0.0), ValueError),
        (lambda: rk.BlurDown(rk.delta_kernel(3), 2).prox(torch.ones(1, 1, 8, 8), torch.ones(1, 1, 8, 8), 1.0), ValueError),
        (lambda: rk.BlurDown(rk.delta_kernel(3), 2).adjoint(torch.ones(1, 1, 4, 4), (11, 11)), ValueError),
        (lambda: rk.dot_test(rk.Identity(), (1, 1, 4, 4), generator=0), TypeError),
    ],
)
def test_bad_input_is_named(call, error):
    with pytest.raises(error, match="Allowed: .* Fix: "):
        call()


def test_one_pixel_picture_is_handled_where_the_rule_is_defined():
    for padding in ("replicate", "zero"):
        assert rk.Blur(rk.gaussian_kernel(5, 1.0), padding)(torch.ones(1, 1, 1, 1)).shape == (1, 1, 1, 1)
