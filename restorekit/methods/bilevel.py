"""Hypergradients: how the best outer loss moves when a hyper-parameter of the inner problem moves (Bilevel Eq. 2 and 3).

    phi(h) = f(x*(h), h),   x*(h) = argmin_x g(x, h)
    d phi/dh = df/dh - (d^2 g/dh dx) v,   H v = df/dx,   H = d^2 g/dx^2 at x*      (implicit function theorem)

h are the hyper-parameters (the paper's omega), x the inner variable (its sigma). f and g are functions (x, h) -> a number; x and h
are tensors of any shape, or sequences of tensors, and f and g get them as they were given. Three ways, one signature:

    hypergradient_implicit    solves H v = df/dx by conjugate gradients
    hypergradient_neumann     takes the first terms of H^-1 = step sum_k (I - step H)^k
    hypergradient_unrolled    differentiates the iterations that led to x

H is never formed: only its products with vectors are, at about twice the cost of a gradient each.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TypeVar, cast

import torch
from torch import Tensor

from .._check import fail
from .._linear import conjugate_gradient

Variables = Tensor | Sequence[Tensor]
V = TypeVar("V", Tensor, Sequence[Tensor])
Loss = Callable[..., Tensor]
Update = Callable[..., Variables]
STATIONARY = 1e-4  # largest |dg/dx| / |H x| that passes for a minimum


def hypergradient_implicit(
    f: Loss, g: Loss, x: Variables, h: V, *, tol: float | None = None, max_iter: int = 1000, stationary: float = STATIONARY
) -> V:
    """d phi/dh = df/dh - (d^2 g/dh dx) v with H v = df/dx by conjugate gradients, at x = x*(h). Shaped as h.

    f, g: (x, h) -> a number, g with two derivatives. tol: relative residual |df/dx - H v| / |df/dx| at which conjugate gradients
    stop, default 1e-10 in float64 and 1e-5 in float32; the error of the result is at most |d^2 g/dh dx| |H^-1| tol |df/dx|, plus
    what x lacks of x*. Memory and cost do not depend on how x* was found.

    ValueError if x is not stationary: |dg/dx| > stationary |H x| (stationary=math.inf leaves this to you); RuntimeError if
    conjugate gradients do not reach tol in max_iter steps, or meet negative curvature: x is then no minimum. If g does not
    depend on h the result is df/dh alone. Source: Bengio 2000; Pedregosa 2016; Bilevel Eq. 3.
    """
    inner = _Inner(f, g, x, h, stationary)
    tol = (1e-10 if inner.slope.dtype == torch.float64 else 1e-5) if tol is None else tol
    if not 0 < tol < 1 or max_iter < 1:
        fail(f"tol={tol}, max_iter={max_iter}", "0 < tol < 1 and max_iter >= 1", "leave them out for the defaults")
    v, residual = conjugate_gradient(inner.curved, inner.slope, torch.zeros_like(inner.slope), tol=tol, max_iter=max_iter)
    if not residual <= tol:
        fail(
            f"a relative residual of {residual:.1e} after {max_iter} conjugate gradient steps",
            f"at most tol={tol:.1e}",
            "raise max_iter or tol, or make g better conditioned (more regularization, a change of variables)",
            RuntimeError,
        )
    return cast(V, inner.result(v))


def hypergradient_neumann(f: Loss, g: Loss, x: Variables, h: V, *, terms: int, step: float, stationary: float = STATIONARY) -> V:
    """d phi/dh = df/dh - (d^2 g/dh dx) v_K with v_K = step sum_{k<K} (I - step H)^k df/dx, at x = x*(h). Shaped as h.

    terms: K, each costs one product with H. step: 0 < step < 2 / L, L the largest eigenvalue of H. With m the smallest,

        |v_K - v| <= q^K |v|,   q = max(|1 - step m|, |1 - step L|) < 1,   best (L - m) / (L + m) at step = 2 / (L + m)

    K = 1 is step times the gradient (what first-order methods take for H^-1), K -> infinity the implicit gradient, and K terms
    are exactly K steps of gradient descent on g from x*, unrolled. ValueError as in `hypergradient_implicit`; RuntimeError where
    a term is longer than the one before: step is then above 2 / L, or x is no minimum. Source: Lorraine, Vicol, Duvenaud 2020.
    """
    if terms < 1 or not 0 < step < math.inf:
        fail(f"terms={terms}, step={step}", "terms >= 1 and step > 0", "step = 1 / L for the largest eigenvalue L of H")
    inner = _Inner(f, g, x, h, stationary)
    term = total = inner.slope
    for _ in range(terms - 1):
        new = term - step * inner.curved(term)
        if new.norm() > term.norm() * (1 + 1e-6):
            fail(f"step={step:g}, with which the terms grow", "step < 2 / L, L the largest eigenvalue of H", "lower step", RuntimeError)
        term, total = new, total + new
    return cast(V, inner.result(step * total))


def hypergradient_unrolled(f: Loss, update: Update, x0: Variables, h: V, *, steps: int) -> V:
    """d/dh f(x_K(h), h) by differentiating x_{k+1} = update(x_k, h) from x_0 = x0, K = steps. Shaped as h.

    update: (x, h) -> the next x, differentiable by both, for example `gradient_descent(g, step)`; any solver written with
    torch operations serves. x0 is a constant. The derivative is exact for x_K, whatever K: it is d phi/dh only where x_K has
    converged. For gradient descent on a quadratic g with rate q (see `hypergradient_neumann`) it misses d phi/dh by O(K q^K).
    Memory grows with K. ValueError if update changes a shape or loses the gradient. Source: Maclaurin et al. 2015; Franceschi et
    al. 2018, as cited by Bilevel Theorem 1.
    """
    if steps < 1:
        fail(f"steps={steps}", "1 or more", "unroll as many steps as the solver needs")
    xs, hs = _parts(x0, "x0"), _parts(h, "h", grad=True)
    shapes = [part.shape for part in xs]
    x: Variables = _as(xs, x0)
    for _ in range(steps):
        x = update(x, _as(hs, h))
        made = [x] if isinstance(x, Tensor) else list(x)
        if [part.shape for part in made] != shapes:
            fail(f"an update of shapes {[tuple(p.shape) for p in made]}", f"{[tuple(s) for s in shapes]}", "return the next x")
    value = _number(f(x, _as(hs, h)), "f")
    if not value.requires_grad:
        fail("an outer loss without a gradient by h", "f or update that depend on h", "keep h in the graph: no detach, no no_grad")
    return cast(V, _as(_grad(value, hs), h))


def gradient_descent(g: Loss, step: float) -> Update:
    """x - step dg/dx as a differentiable `update`. Converges for 0 < step < 2 / L, L the largest eigenvalue of H."""

    def update(x: Variables, h: Variables) -> Variables:
        xs = [x] if isinstance(x, Tensor) else list(x)
        xs = [part if part.requires_grad else part.detach().requires_grad_() for part in xs]
        slopes = _grad(_number(g(_as(xs, x), h), "g"), xs, create_graph=True)
        return _as([part - step * slope for part, slope in zip(xs, slopes, strict=True)], x)

    return update


class _Inner:
    """df/dx, df/dh and products with H and d^2 g/dh dx at one point; vectors are all of x in one row (1, 1, 1, n)."""

    def __init__(self, f: Loss, g: Loss, x: Variables, h: Variables, stationary: float) -> None:
        self.xs, self.hs, self.h = _parts(x, "x", grad=True), _parts(h, "h", grad=True), h
        point = (_as(self.xs, x), _as(self.hs, h))
        self.flat = _grad(_number(g(*point), "g"), self.xs, create_graph=True)  # dg/dx, kept in the graph
        slopes = _grad(_number(f(*point), "f"), [*self.xs, *self.hs])
        self.slope, self.direct = _row(slopes[: len(self.xs)]), slopes[len(self.xs) :]
        self._check_stationary(stationary)

    def _check_stationary(self, stationary: float) -> None:
        slope = _row(self.flat).detach().norm().item()
        size = self._curve(_row(self.xs).detach()).norm().item() if stationary < math.inf else math.inf
        if not slope <= stationary * size:
            fail(
                f"x with |dg/dx| = {slope:.2g}, {slope / max(size, 1e-300):.1g} of |H x|",
                f"a minimum of g by x: at most stationary={stationary:g} of |H x|",
                "solve the inner problem further, or pass stationary=math.inf if you know what is lost",
            )

    def _curve(self, v: Tensor) -> Tensor:
        """H v."""
        return _row(_grad(self.flat, self.xs, _split(v, self.xs), retain_graph=True))

    def curved(self, v: Tensor) -> Tensor:
        """H v; RuntimeError where v^T H v < 0."""
        Hv = self._curve(v)
        if (v * Hv).sum() < 0:
            fail("negative curvature of g at x", "a minimum of g by x", "solve the inner problem for a minimum", RuntimeError)
        return Hv

    def result(self, v: Tensor) -> Variables:
        """df/dh - (d^2 g/dh dx) v."""
        mixed = _grad(self.flat, self.hs, _split(v, self.xs))
        return _as([direct - part for direct, part in zip(self.direct, mixed, strict=True)], self.h)


def _parts(value: Variables, name: str, grad: bool = False) -> list[Tensor]:
    """Detached copies of the tensors."""
    parts = [value] if isinstance(value, Tensor) else list(value)
    if not parts or not all(isinstance(part, Tensor) and part.is_floating_point() for part in parts):
        fail(f"{name} of {[getattr(p, 'dtype', type(p).__name__) for p in parts]}", "floating tensors", "torch.tensor(0.1)", TypeError)
    if not all(bool(torch.isfinite(part).all()) for part in parts):
        fail(f"{name} with NaN or infinite values", "finite numbers", "look at the solver that made it")
    return [part.detach().clone().requires_grad_(grad) for part in parts]


def _as(parts: Sequence[Tensor], like: Variables) -> Variables:
    return parts[0] if isinstance(like, Tensor) else tuple(parts)


def _number(value: Tensor, name: str) -> Tensor:
    if not isinstance(value, Tensor) or value.numel() != 1 or not torch.isfinite(value).all():
        got = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
        fail(f"{name} = {value if got == () else got}", "one finite number", f"sum or average inside {name}")
    return value.reshape(())


def _grad(
    value: Tensor | Sequence[Tensor],
    by: Sequence[Tensor],
    weights: Sequence[Tensor] | None = None,
    *,
    create_graph: bool = False,
    retain_graph: bool = False,
) -> list[Tensor]:
    """Derivatives, 0 where there is no dependence."""
    values = [value] if isinstance(value, Tensor) else list(value)
    weights = weights or [torch.ones_like(v) for v in values]
    pairs = [(v, w) for v, w in zip(values, weights, strict=True) if v.requires_grad]
    if not pairs:
        return [torch.zeros_like(part) for part in by]
    kept, vectors = [v for v, _ in pairs], [w for _, w in pairs]
    found = torch.autograd.grad(kept, by, vectors, allow_unused=True, create_graph=create_graph, retain_graph=retain_graph or create_graph)
    return [torch.zeros_like(part) if d is None else d for part, d in zip(by, found, strict=True)]


def _row(parts: Sequence[Tensor]) -> Tensor:
    return torch.cat([part.reshape(-1) for part in parts]).view(1, 1, 1, -1)


def _split(row: Tensor, like: Sequence[Tensor]) -> list[Tensor]:
    pieces = row.reshape(-1).split([part.numel() for part in like])
    return [piece.view_as(part) for piece, part in zip(pieces, like, strict=True)]
