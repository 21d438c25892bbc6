"""Ridge regression with its regularization weight to be learned: a bilevel problem whose every part has a closed form.

    inner  w*(lam) = argmin_w g(w, lam) = 1/2 |X w - y|^2 + 1/2 sum_j lam_j w_j^2 = (X^T X + diag lam)^-1 X^T y
    outer  phi(lam) = f(w*(lam)) = 1/(2m) |X_v w*(lam) - y_v|^2                          (Bilevel Eq. 2 and 3)
    exact  d phi/d lam_j = -v_j w*_j,   (X^T X + diag lam) v = df/dw

lam is one weight or one for each column of X; losses take its logarithm, so that no step leaves lam > 0. In the paper's words lam is
omega, w is sigma, and the best response sigma*(omega) is w*(lam). X (n, d), y (n,), X_v (m, d), y_v (m,); phi is a number.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from .._check import check_choice, check_generator, fail
from .._random import randn

FINE = 2001  # points of log lam for the literal argmin


@dataclass(frozen=True)
class Ridge:
    """The problem: X (n, d), y (n,) to fit w, X_val (m, d), y_val (m,) to choose lam. ValueError where shapes disagree."""

    X: Tensor
    y: Tensor
    X_val: Tensor
    y_val: Tensor

    def __post_init__(self) -> None:
        for X, y, names in ((self.X, self.y, "X, y"), (self.X_val, self.y_val, "X_val, y_val")):
            if X.ndim != 2 or y.ndim != 1 or len(X) != len(y) or not len(y) or X.shape[1] != self.X.shape[1]:
                fail(f"{names} of {tuple(X.shape)}, {tuple(y.shape)}", "(n, d) and (n,), one d for both pairs", "check the shapes")

    @cached_property
    def norm2(self) -> Tensor:
        """Largest eigenvalue of X^T X."""
        return torch.linalg.matrix_norm(self.X, 2) ** 2

    def inner(self, w: Tensor, log_lam: Tensor) -> Tensor:
        """g for w (..., d), log_lam () or (d,) or (..., 1) or (..., d); summed over leading axes."""
        return 0.5 * (w @ self.X.T - self.y).square().sum() + 0.5 * (log_lam.exp() * w.square()).sum()

    def outer(self, w: Tensor, log_lam: Tensor | None = None) -> Tensor:
        """f for w (..., d), averaged over leading axes; log_lam is not used: f depends on it through w alone."""
        return 0.5 * (w @ self.X_val.T - self.y_val).square().mean()

    def hessian(self, log_lam: Tensor) -> Tensor:
        """d^2 g/dw^2 = X^T X + diag lam, (d, d)."""
        return self.X.T @ self.X + torch.diag(log_lam.exp().expand(self.X.shape[1]))

    def solution(self, log_lam: Tensor) -> Tensor:
        """w*(lam), (d,)."""
        return torch.linalg.solve(self.hessian(log_lam), self.X.T @ self.y)

    def value(self, log_lam: Tensor) -> Tensor:
        """phi(lam)."""
        return self.outer(self.solution(log_lam))

    def derivative(self, log_lam: Tensor) -> Tensor:
        """d phi/d log lam in closed form, shaped as log_lam; times 1/lam it is d phi/d lam."""
        w = self.solution(log_lam)
        slope = self.X_val.T @ (self.X_val @ w - self.y_val) / len(self.y_val)
        by_column = -torch.linalg.solve(self.hessian(log_lam), slope) * w * log_lam.exp()
        return by_column.sum() if log_lam.ndim == 0 else by_column

    def curvatures(self, log_lam: Tensor) -> tuple[float, float]:
        """Smallest and largest eigenvalue of the Hessian of g: what the steps and rates of `hypergradient_neumann` depend on."""
        values = torch.linalg.eigvalsh(self.hessian(log_lam))
        return values[0].item(), values[-1].item()

    def grid_search(self, log_lams: Tensor) -> tuple[Tensor, Tensor]:
        """(the best of log_lams (k,) or (k, d), phi at all of them (k,)): one ridge regression for each."""
        values = torch.stack([self.value(point) for point in log_lams])
        return log_lams[values.argmin()], values


def random_ridge(
    rows: int = 30,
    columns: int = 20,
    noise: float = 1.0,
    decay: float = 1.0,
    *,
    generator: torch.Generator,
    dtype: torch.dtype = torch.float64,
) -> Ridge:
    """y = X w_0 + n with w_0 ~ N(0, I), n ~ N(0, noise^2), column j of X ~ N(0, j^-decay): few data, columns of unequal size."""
    like = torch.empty(0, dtype=dtype)
    check_generator(generator)
    scale = torch.arange(1, columns + 1, dtype=dtype) ** (-decay / 2)
    w = randn((columns,), generator=generator, like=like)
    parts = []
    for count in (rows, 10 * rows):
        X = randn((count, columns), generator=generator, like=like) * scale
        parts += [X, X @ w + noise * randn((count,), generator=generator, like=like)]
    return Ridge(*parts)


def two_valleys() -> Ridge:
    """A ridge regression whose phi has two minima: g is convex in w for each lam, phi is not.

    w*(lam) = (1 / (1 + 100 lam), 1 / (1 + lam)) runs from (1, 1) nearly over (0, 1) to (0, 0); the target (0.6, 0.3) is near both legs.
    """
    X, target = torch.tensor([[0.1, 0.0], [0.0, 1.0]], dtype=torch.float64), torch.tensor([0.6, 0.3], dtype=torch.float64)
    return Ridge(X, X.sum(1), torch.eye(2, dtype=torch.float64), target)


Theta = tuple[Tensor, ...]
KINDS = ("polynomial", "net")
STRATEGIES = ("alternating", "naive", "stop_gradient")
OUTER = ("gradient", "argmin")


@dataclass(frozen=True)
class BestResponse:
    """H_theta(lam) = theta psi(log lam), to become w*(lam) on low <= lam <= high (Bilevel Eq. 4; Lorraine and Duvenaud 2018).

    kind "polynomial": psi are the Chebyshev polynomials of degree < features in log lam; H is linear in theta, so that g(H_theta(lam), lam)
    is convex in theta, which Theorem 1 asks for. "net": psi is 1 and features - 1 tanh units with weights of their own; not convex.
    """

    columns: int
    low: float = 1e-2
    high: float = 1e2
    features: int = 12
    kind: str = "polynomial"

    def __post_init__(self) -> None:
        check_choice(self.kind, KINDS, "kind")
        if not 0 < self.low < self.high < math.inf or self.features < 2 or self.columns < 1:
            got = f"low={self.low}, high={self.high}, features={self.features}, columns={self.columns}"
            fail(got, "0 < low < high, features >= 2, columns >= 1", "a range of lam, such as 1e-2 to 1e2")

    def start(self, *, generator: torch.Generator | None = None) -> Theta:
        """theta before training: 0 for each coefficient (columns, features); the units of a net are drawn."""
        coefficients = torch.zeros(self.columns, self.features, dtype=torch.float64)
        if self.kind == "polynomial":
            return (coefficients,)
        drawn = 2 * randn((2, self.features - 1), generator=check_generator(generator), like=coefficients)
        return coefficients, drawn[0], drawn[1]

    def nodes(self, count: int | None = None) -> Tensor:
        """log lam at the Chebyshev nodes of the range (default: twice as many as features), where the polynomials are orthogonal."""
        count = count or 2 * self.features
        t = torch.cos(math.pi * (torch.arange(count, dtype=torch.float64) + 0.5) / count)
        return 0.5 * (math.log(self.high) + math.log(self.low) + t * math.log(self.high / self.low))

    def basis(self, theta: Theta, log_lam: Tensor) -> Tensor:
        """psi(log lam), (..., features)."""
        t = (2 * log_lam - math.log(self.low * self.high)) / math.log(self.high / self.low)
        if self.kind == "net":
            return torch.cat([torch.ones_like(t)[..., None], torch.tanh(t[..., None] * theta[1] + theta[2])], -1)
        psi = [torch.ones_like(t), t]
        while len(psi) < self.features:
            psi.append(2 * t * psi[-1] - psi[-2])
        return torch.stack(psi, -1)

    def __call__(self, theta: Theta, log_lam: Tensor) -> Tensor:
        """w = H_theta(lam), (..., columns)."""
        return self.basis(theta, log_lam) @ theta[0].T


@dataclass(frozen=True)
class ProxyState:
    """theta: parameters of the proxy, log_lam (), f: outer loss of the proxy's w, g: mean inner loss (weighted); step."""

    theta: Theta
    log_lam: Tensor
    f: Tensor
    g: Tensor
    step: int = 0


@dataclass(frozen=True)
class ProxyDescent:
    """Algorithm 1 on ridge regression: train the proxy at fixed lam, then lam at a fixed proxy (Bilevel Eq. 5 and 6).

    Problem    min over lam of f(H_theta(lam)), theta = argmin of G(theta) = mean over lam' in Omega of g(H_theta(lam'), lam') c(lam')
    Updates    theta <- theta - inner_rate dG/dtheta, inner_steps times                                    (Eq. 6, Theorem 1)
               log lam <- log lam - outer_rate df(H_theta(lam))/dlog lam, kept in Omega                    (Eq. 5)

    Omega: the proxy's range, at its nodes. c(lam') = 1 / L(lam') with L the largest curvature of g by w: it leaves each best response
    where it is and makes inner_rate = 1 a safe step, at which the polynomials' theta converges with the rate 1 - min m / (2 L).
    outer "argmin" is the literal reading of Eq. 5: the best lam of a fine grid of the range, under the proxy.

    strategy "naive" descends f + c g at the present lam in theta and lam together, w = H_theta not seen as a function of lam, as in the
    paper (Bilevel Sec. 5.1.3), whose H does not see omega: what is left for lam is dg/dlam > 0, and lam falls to the low end.
    "stop_gradient" alternates with w = H_theta(lam) held constant in the outer step; f then has no derivative by lam.
    """

    problem: Ridge
    proxy: BestResponse
    strategy: str = "alternating"
    outer: str = "gradient"
    inner_steps: int = 10
    inner_rate: float = 1.0
    outer_rate: float = 1.0

    def __post_init__(self) -> None:
        check_choice(self.strategy, STRATEGIES, "strategy")
        check_choice(self.outer, OUTER, "outer")
        if self.proxy.columns != self.problem.X.shape[1]:
            fail(f"a proxy of {self.proxy.columns} columns", f"{self.problem.X.shape[1]}", "BestResponse(problem.X.shape[1])")
        if self.inner_steps < 1 or not self.inner_rate > 0 or not self.outer_rate > 0:
            got = f"inner_steps={self.inner_steps}, inner_rate={self.inner_rate}, outer_rate={self.outer_rate}"
            fail(got, "positive numbers", "leave them out for the defaults")

    def init(self, lam: float = 1.0, *, theta: Theta | None = None, generator: torch.Generator | None = None) -> ProxyState:
        """The state at a first lam within the proxy's range. theta: default the proxy's `start`, for which a net needs a generator."""
        if not self.proxy.low <= lam <= self.proxy.high:
            fail(f"lam={lam}", f"{self.proxy.low} to {self.proxy.high}", "start within the proxy's range")
        theta = self.proxy.start(generator=generator) if theta is None else theta
        return self._state(theta, torch.tensor(lam, dtype=torch.float64).log(), 0)

    def inner_loss(self, theta: Theta, log_lam: Tensor | None = None) -> Tensor:
        """G(theta): the mean of c g over the nodes, or over the log_lam (k,) given."""
        log_lam = self.proxy.nodes() if log_lam is None else log_lam
        L = self.problem.norm2 + log_lam.exp()
        w = self.proxy(theta, log_lam)
        data = (w @ self.problem.X.T - self.problem.y).square().sum(-1)
        return (0.5 * (data + log_lam.exp() * w.square().sum(-1)) / L).mean()

    def step(self, state: ProxyState) -> ProxyState:
        theta, log_lam = state.theta, state.log_lam
        if self.strategy == "naive":
            for _ in range(self.inner_steps):
                *slopes, slope = _slopes(lambda *p: self._both(p[:-1], p[-1]), (*theta, log_lam))
                theta = _down(theta, slopes, self.inner_rate / (2 * self.proxy.features))  # |psi|^2 <= features, and f adds to g
                log_lam = self._inside(log_lam - self.outer_rate / self.inner_steps * slope)
            return self._state(theta, log_lam, state.step + 1)
        for _ in range(self.inner_steps):
            theta = _down(theta, _slopes(lambda *p: self.inner_loss(p), theta), self.inner_rate)
        return self._state(theta, self._outer_step(theta, log_lam), state.step + 1)

    def _both(self, theta: Theta, log_lam: Tensor) -> Tensor:
        """f + c g at lam, the response to lam left out."""
        w, L = self.proxy(theta, log_lam.detach()), self.problem.norm2 + log_lam.detach().exp()
        return self.problem.outer(w) + self.problem.inner(w, log_lam) / L

    def _outer_step(self, theta: Theta, log_lam: Tensor) -> Tensor:
        if self.strategy == "stop_gradient":  # f sees lam through w alone
            return log_lam
        if self.outer == "argmin":
            grid = torch.linspace(math.log(self.proxy.low), math.log(self.proxy.high), FINE, dtype=torch.float64)
            w = self.proxy(theta, grid)
            return grid[(w @ self.problem.X_val.T - self.problem.y_val).square().mean(-1).argmin()]
        (slope,) = _slopes(lambda r: self.problem.outer(self.proxy(theta, r)), (log_lam,))
        return self._inside(log_lam - self.outer_rate * slope)

    def _inside(self, log_lam: Tensor) -> Tensor:
        return log_lam.clamp(math.log(self.proxy.low), math.log(self.proxy.high))

    @torch.no_grad()
    def _state(self, theta: Theta, log_lam: Tensor, step: int) -> ProxyState:
        return ProxyState(theta, log_lam, self.problem.outer(self.proxy(theta, log_lam)), self.inner_loss(theta), step)


def best_theta(descent: ProxyDescent) -> Theta:
    """argmin of G for a proxy of polynomials: (sum_q c_q H(lam_q) x psi_q psi_q^T) theta = sum_q c_q X^T y psi_q^T, q over the nodes."""
    if descent.proxy.kind != "polynomial":
        fail("a net", "a proxy of polynomials: only there is G quadratic", "train the net with ProxyDescent")
    problem, nodes = descent.problem, descent.proxy.nodes()
    c = 1 / (problem.norm2 + nodes.exp())
    psi, H = descent.proxy.basis((), nodes), torch.stack([problem.hessian(node) for node in nodes])
    system = torch.einsum("q,qij,qa,qb->iajb", c, H, psi, psi)
    right = torch.einsum("q,i,qa->ia", c, problem.X.T @ problem.y, psi)
    return (torch.linalg.solve(system.flatten(2).flatten(0, 1), right.flatten()).view_as(right),)


def _slopes(loss: Callable[..., Tensor], at: Sequence[Tensor]) -> list[Tensor]:
    with torch.enable_grad():
        points = [part.detach().requires_grad_() for part in at]
        return list(torch.autograd.grad(loss(*points), points))


def _down(theta: Theta, slopes: Sequence[Tensor], rate: float) -> Theta:
    return tuple(part - rate * slope for part, slope in zip(theta, slopes, strict=True))
