"""Hypergradients: the exact derivative where it is known, stated rates, several variables, refused input; the ridge problem."""

import math

import pytest
import torch
from torch import Tensor

import restorekit as rk
from restorekit.methods.bilevel import gradient_descent, hypergradient_implicit, hypergradient_neumann, hypergradient_unrolled
from restorekit.methods.ridge import Ridge, random_ridge

D = torch.float64


@pytest.fixture
def problem(generator) -> Ridge:
    return random_ridge(12, 6, generator=generator)


def outer(problem):
    return lambda w, h: problem.outer(w)


def weights(kind: str) -> Tensor:
    return torch.tensor(0.3, dtype=D) if kind == "one" else torch.linspace(-1.0, 1.0, 6, dtype=D)


def relative(a: Tensor, b: Tensor) -> float:
    return ((a - b).norm() / b.norm()).item()


@pytest.mark.parametrize("kind", ["one", "each"])
def test_the_closed_form_is_the_difference_quotient(problem, kind):
    h, e = weights(kind), 1e-5
    steps = [torch.tensor(1.0, dtype=D)] if kind == "one" else torch.eye(6, dtype=D)
    quotient = torch.stack([(problem.value(h + e * s) - problem.value(h - e * s)) / (2 * e) for s in steps])
    assert relative(problem.derivative(h).reshape(-1), quotient) < 1e-7


@pytest.mark.parametrize("kind", ["one", "each"])
def test_implicit_is_exact(problem, kind):
    h = weights(kind)
    found = hypergradient_implicit(outer(problem), problem.inner, problem.solution(h), h)
    assert found.shape == h.shape and relative(found, problem.derivative(h)) < 1e-8


@pytest.mark.parametrize("kind", ["one", "each"])
def test_unrolled_to_convergence_is_exact(problem, kind):
    h = weights(kind)
    step = 2 / sum(problem.curvatures(h))
    found = hypergradient_unrolled(outer(problem), gradient_descent(problem.inner, step), torch.zeros(6, dtype=D), h, steps=400)
    assert relative(found, problem.derivative(h)) < 1e-8


def test_neumann_keeps_its_rate(problem):
    """With df/dx an eigenvector of an end of the spectrum the bound is reached; otherwise the error stays below it."""
    h = weights("one")
    (m, L), w = problem.curvatures(h), problem.solution(h)
    q, step = (L - m) / (L + m), 2 / (L + m)
    vectors = torch.linalg.eigh(problem.hessian(h))[1]
    counts = (5, 10, 20, 40)
    for f, edge in ((outer(problem), False), (lambda w, h: w @ vectors[:, 0], True), (lambda w, h: w @ vectors[:, -1], True)):
        truth = hypergradient_implicit(f, problem.inner, w, h)
        errors = [relative(hypergradient_neumann(f, problem.inner, w, h, terms=K, step=step), truth) for K in counts]
        v = torch.linalg.solve(problem.hessian(h), torch.func.grad(f)(w, h))
        room = h.exp() * w.norm() * v.norm() / truth.abs()  # |d^2 g/dh dx| |v|
        assert all(e <= q**K * room * (1 + 1e-9) for e, K in zip(errors, counts, strict=True))
        assert not edge or all(math.isclose(e, q**K, rel_tol=1e-6) for e, K in zip(errors, counts, strict=True))


def test_neumann_is_gradient_descent_unrolled_from_the_minimum(problem):
    h = weights("each")
    w, step = problem.solution(h), 1 / problem.curvatures(h)[1]
    for K in (1, 2, 7):
        terms = hypergradient_neumann(outer(problem), problem.inner, w, h, terms=K, step=step)
        steps = hypergradient_unrolled(outer(problem), gradient_descent(problem.inner, step), w, h, steps=K)
        assert relative(terms, steps) < 1e-9


def test_unrolled_is_exact_for_few_steps_too(problem):
    """The derivative of f(x_K) itself, by difference quotient; not that of f(x*)."""
    h, step = weights("one"), 1 / problem.curvatures(weights("one"))[1]

    def after(h):
        w = torch.zeros(6, dtype=D)
        for _ in range(3):
            w = w - step * (problem.hessian(h) @ w - problem.X.T @ problem.y)
        return problem.outer(w)

    found = hypergradient_unrolled(outer(problem), gradient_descent(problem.inner, step), torch.zeros(6, dtype=D), h, steps=3)
    assert relative(found, (after(h + 1e-5) - after(h - 1e-5)) / 2e-5) < 1e-6
    assert relative(found, problem.derivative(h)) > 1e-3


def two_parts(scale):
    """x = (a (2, 2), b (3,)), h = (p (), q (3,)): not quadratic, coupled, f depends on h directly as well."""
    target = torch.linspace(0.5, 1.5, 4, dtype=D).view(2, 2)

    def g(x, h):
        (a, b), (p, q) = x, h
        return scale * (
            ((a - target).square().sum() + p.exp() * a.pow(4).sum()) / 2 + (b - q).square().sum() / 2 + 0.1 * (a.sum() * b).sin().sum()
        )

    def f(x, h):
        (a, b), (p, q) = x, h
        return (a * b[:2]).sum() + b.pow(3).sum() + p * q.sum() + a.square().mean()

    return f, g


def minimum(g, h, step=0.1):
    """By gradient descent to rounding."""
    x = [torch.zeros(2, 2, dtype=D, requires_grad=True), torch.zeros(3, dtype=D, requires_grad=True)]
    for _ in range(80):
        slopes = torch.autograd.grad(g(x, h), x)
        x = [(part - step * slope).detach().requires_grad_() for part, slope in zip(x, slopes, strict=True)]
    return tuple(part.detach() for part in x)


def test_several_variables_of_several_shapes():
    (f, g), h = two_parts(3.0), (torch.tensor(-0.5, dtype=D), torch.tensor([0.1, -0.2, 0.3], dtype=D))
    x = minimum(g, h)
    p, q = hypergradient_implicit(f, g, x, h)
    assert p.shape == () and q.shape == (3,)
    phi = lambda p, q: f(minimum(g, (p, q)), (p, q))  # noqa: E731
    e = 1e-4
    assert math.isclose(p, (phi(h[0] + e, h[1]) - phi(h[0] - e, h[1])) / (2 * e), rel_tol=1e-6)
    for i, unit in enumerate(torch.eye(3, dtype=D)):
        assert math.isclose(q[i], (phi(h[0], h[1] + e * unit) - phi(h[0], h[1] - e * unit)) / (2 * e), rel_tol=1e-6)
    series = hypergradient_neumann(f, g, x, h, terms=80, step=0.1)
    unrolled = hypergradient_unrolled(f, gradient_descent(g, 0.1), x, h, steps=80)
    assert max(relative(a, b) for pair in (series, unrolled) for a, b in zip(pair, (p, q), strict=True)) < 1e-8


def test_the_scale_of_g_does_not_matter():
    h = (torch.tensor(-0.5, dtype=D), torch.zeros(3, dtype=D))
    made = [(*two_parts(1.0), 0.3), (*two_parts(1e4), 3e-5)]
    found = [hypergradient_implicit(f, g, minimum(g, h, step), h) for f, g, step in made]
    assert max(relative(a, b) for a, b in zip(*found, strict=True)) < 1e-7


def test_an_inner_problem_that_ignores_h_leaves_the_direct_part(problem):
    """|sigma - sigma_gt|^2 does not depend on omega: nothing flows through the inner problem."""
    truth = torch.linspace(0, 1, 6, dtype=D)
    g, f = lambda s, h: (s - truth).square().sum(), lambda s, h: (h * s).square().sum()  # noqa: E731
    h = torch.tensor(2.0, dtype=D)
    direct = 2 * h * truth.square().sum()
    assert relative(hypergradient_implicit(f, g, truth, h), direct) < 1e-12
    assert relative(hypergradient_neumann(f, g, truth, h, terms=3, step=0.4), direct) < 1e-12


def test_float32_and_pictures(generator):
    """A picture as x, its dtype kept: 1/2 |x - y|^2 + exp(h)/2 |x|^2 has x* = y / (1 + exp h)."""
    y, h = torch.rand(1, 1, 8, 8, generator=generator), torch.tensor([0.2])
    g, f = lambda x, h: ((x - y).square() + h.exp() * x.square()).sum() / 2, lambda x, h: x.sum()  # noqa: E731
    found = hypergradient_implicit(f, g, y / (1 + h.exp()), h)
    assert found.dtype == torch.float32 and torch.allclose(found, -(y.sum() * h.exp() / (1 + h.exp()) ** 2), rtol=1e-5)


def test_inputs_are_left_alone(problem):
    h = weights("one").requires_grad_()
    w = problem.solution(h).detach()
    before = w.clone()
    hypergradient_implicit(outer(problem), problem.inner, w, h)
    hypergradient_unrolled(outer(problem), gradient_descent(problem.inner, 0.01), w, h, steps=2)
    assert torch.equal(w, before) and not w.requires_grad and h.grad is None


def saddle(x, h):
    return (x[0].square() - x[1].square()) / 2 + (h * x).sum()


BAD = {
    "not stationary": (lambda p, w, h: hypergradient_implicit(outer(p), p.inner, 1.1 * w, h), ValueError, "minimum of g by x"),
    "few steps": (lambda p, w, h: hypergradient_implicit(outer(p), p.inner, w, h, max_iter=1), RuntimeError, "relative residual"),
    "tol": (lambda p, w, h: hypergradient_implicit(outer(p), p.inner, w, h, tol=2.0), ValueError, "0 < tol < 1"),
    "large step": (lambda p, w, h: hypergradient_neumann(outer(p), p.inner, w, h, terms=50, step=1.0), RuntimeError, "2 / L"),
    "no terms": (lambda p, w, h: hypergradient_neumann(outer(p), p.inner, w, h, terms=0, step=0.1), ValueError, "terms >= 1"),
    "no steps": (lambda p, w, h: hypergradient_unrolled(outer(p), lambda w, h: w, w, h, steps=0), ValueError, "1 or more"),
    "no path": (lambda p, w, h: hypergradient_unrolled(outer(p), lambda w, h: w, w, h, steps=1), ValueError, "without a gradient"),
    "shape": (lambda p, w, h: hypergradient_unrolled(outer(p), lambda w, h: w[:2], w, h, steps=1), ValueError, "the next x"),
    "no number": (lambda p, w, h: hypergradient_implicit(lambda w, h: w, p.inner, w, h), ValueError, "one finite number"),
    "integers": (lambda p, w, h: hypergradient_implicit(outer(p), p.inner, w.long(), h), TypeError, "floating"),
    "nan": (lambda p, w, h: hypergradient_implicit(outer(p), p.inner, w / 0, h), ValueError, "finite"),
    "saddle": (
        lambda p, w, h: hypergradient_implicit(
            lambda x, h: x.sum(), saddle, torch.tensor([-1.0, 1.0], dtype=D), torch.ones(2, dtype=D), stationary=math.inf
        ),
        RuntimeError,
        "curvature|residual",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_refused(problem, name):
    call, kind, message = BAD[name]
    h = weights("one")
    with pytest.raises(kind, match=message):
        call(problem, problem.solution(h), h)


def test_a_caller_may_take_responsibility(problem):
    h = weights("one")
    near = hypergradient_implicit(outer(problem), problem.inner, 1.1 * problem.solution(h), h, stationary=math.inf)
    assert 1e-3 < relative(near, problem.derivative(h)) < 10


def test_public_names():
    assert rk.hypergradient_implicit is hypergradient_implicit and rk.hypergradient_neumann is hypergradient_neumann
    assert rk.hypergradient_unrolled is hypergradient_unrolled
