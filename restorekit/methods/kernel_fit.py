"""Least squares for a blur kernel, given the sharp picture: exact on the simplex, in the domain of gradients."""

from __future__ import annotations

import torch
from scipy.fft import next_fast_len
from torch import Tensor

from .._check import check_image, check_like, fail
from .._convolution import check_window
from ..kernels import project_simplex
from ..varying_blur import blending_windows

RIDGE = 1e-3  # of the mean of G's diagonal: holds down what the picture does not show
_TOLERANCE = 1e-9  # of the multipliers, relative to the largest entry of b


def fit_kernel(x: Tensor, y: Tensor, size: int, *, padding: str = "replicate", ridge: float = RIDGE) -> Tensor:
    """argmin_k 1/2 sum_d |d_d x * k - d_d y|^2 + ridge/2 |k|^2 over k >= 0, sum k = 1; d_d: differences along rows, columns.

    x: what is taken for the sharp picture, y: the blurred one, (B, C, H, W); one kernel for all channels, (B, 1, size, size), in
    the dtype of x. Differences do not see the brightness, which the sum of 1 settles. padding 'circular': exactly this
    problem on a periodic picture. Any other: pixels fade out over `size` pixels towards the border, beyond which nothing is known.
    ridge: relative to the mean of the diagonal of the normal equations. Raises ValueError for an even size or unequal pictures.
    """
    check_fit(x, y, size)
    check_window((x.shape[-2], x.shape[-1]), (size, size), padding)
    weight = None if padding == "circular" else fade((x.shape[-2], x.shape[-1]), size, like=x)
    G, b = normal_equations(x, y, size, weight)
    return torch.stack([simplex_least_squares(_ridged(g, ridge), c) for g, c in zip(G, b, strict=True)]).view(-1, 1, size, size).to(x)


def fit_varying(x: Tensor, y: Tensor, size: int, grid: tuple[int, int], *, ridge: float = RIDGE, common: float = 0.0) -> Tensor:
    """A kernel for each cell of `VaryingBlur`: `fit_kernel` with the pixels weighted by the cell's window; (G, 1, size, size).

    common: weight of |k_g - k|^2, k the one kernel of the whole picture, in units of the mean of G's diagonal. A single picture.
    """
    check_fit(x, y, size)
    if x.shape[0] != 1:
        fail(f"{x.shape[0]} pictures", "1: each has a grid of kernels", "call it for one picture after another")
    whole = fit_kernel(x, y, size, ridge=ridge).flatten().double()
    border = fade((x.shape[-2], x.shape[-1]), size, like=x)
    kernels = []
    for window in blending_windows((x.shape[-2], x.shape[-1]), grid, like=x):
        G, b = normal_equations(x, y, size, border * window[None])
        pull = common * G[0].diagonal().mean()
        eye = torch.eye(size * size, dtype=G.dtype, device=G.device)
        kernels.append(simplex_least_squares(_ridged(G[0], ridge) + pull * eye, b[0] + pull * whole))
    return torch.stack(kernels).view(-1, 1, size, size).to(x)


def fade(size: tuple[int, int], margin: int, *, like: Tensor) -> Tensor:
    """A weight (1, 1, H, W) of 1 inside that falls to 0 at the border over `margin` pixels, by a raised cosine."""
    sides = []
    for n in size:
        near = (torch.minimum(torch.arange(n), n - 1 - torch.arange(n)).double() + 0.5) / max(min(margin, n / 2), 1)
        sides.append(0.5 - 0.5 * torch.cos(torch.pi * near.clamp(max=1)))
    return (sides[0][:, None] * sides[1])[None, None].to(like)


def normal_equations(x: Tensor, y: Tensor, size: int, weight: Tensor | None) -> tuple[Tensor, Tensor]:
    """G (B, n, n) and b (B, n), n = size^2, with 1/2 k^T G k - b^T k the objective of `fit_kernel` up to a constant.

        G[u, u'] = sum_d sum_p g_d(p - u) g_d(p - u'),   b[u] = sum_d sum_p h_d(p) g_d(p - u),   g_d = w d_d x,  h_d = w d_d y

    G depends on u - u' alone, so both are correlations. weight None: periodic pictures and w = 1; else zeros beyond the border,
    where w (1 or B, 1, H, W) has to fade out: it stands for the weight of the residual at p. In float64.
    """
    H, W = x.shape[-2:]
    gx, hy = (torch.cat([v.roll(-1, -2) - v, v.roll(-1, -1) - v], 1).double() for v in (x, y))
    grid = (H, W)
    if weight is not None:
        gx, hy = gx * weight.double(), hy * weight.double()
        grid = (next_fast_len(H + 2 * size, real=True), next_fast_len(W + 2 * size, real=True))
    X, Y = torch.fft.rfft2(gx, s=grid), torch.fft.rfft2(hy, s=grid)
    auto = torch.fft.irfft2((X * X.conj()).sum(1), s=grid)  # R(d) = sum_q g(q) g(q + d)
    cross = torch.fft.irfft2((Y * X.conj()).sum(1), s=grid)
    c, i = size // 2, torch.arange(size, device=x.device)
    u = torch.stack(torch.meshgrid(i, i, indexing="ij"), -1).reshape(-1, 2)
    lag = u[:, None] - u[None]
    G = auto[:, lag[..., 0] % grid[0], lag[..., 1] % grid[1]]
    return G, cross[:, (u[:, 0] - c) % grid[0], (u[:, 1] - c) % grid[1]]


def simplex_least_squares(G: Tensor, b: Tensor) -> Tensor:
    """argmin_k 1/2 k^T G k - b^T k over k >= 0, sum k = 1, exactly: k (n,) with its conditions of optimality.

        (G k - b)_i = nu where k_i > 0,   (G k - b)_i >= nu where k_i = 0

    G (n, n) positive definite, b (n,). Accelerated projected gradient finds most of the support; then the active-set method: solve
    on the support, leave out what turns negative, take in the index whose condition fails most. Raises RuntimeError if 10 n
    solutions do not end it (G not positive definite).
    """
    k = _projected_gradient(G, b, steps=200)
    inside = k > 1e-3 / len(b)
    k = torch.where(inside, k, 0.0)
    k = k / k.sum()
    for _ in range(10 * len(b)):
        p, nu = _on_support(G, b, inside)
        if (p >= 0).all():
            k = p
            gap = (G @ k - b - nu).masked_fill(inside, torch.inf)
            if not gap.min() < -_TOLERANCE * b.abs().max():
                return k
            inside = inside.clone()
            inside[gap.argmin()] = True
            continue
        falling = inside & (p < 0)
        steps = torch.where(falling, k / (k - p), torch.inf)
        step = steps.min()
        k = torch.where(inside & (steps > step), k + step * (p - k), 0.0)
        inside = inside & (steps > step)
    raise RuntimeError(f"No end after {10 * len(b)} solutions. Fix: a larger ridge, so that the normal equations are positive definite.")


def _on_support(G: Tensor, b: Tensor, inside: Tensor) -> tuple[Tensor, Tensor]:
    """The minimizer among k that are 0 outside the support and sum to 1, and its multiplier nu."""
    index = inside.nonzero()[:, 0]
    n = len(index)
    system = torch.zeros(n + 1, n + 1, dtype=G.dtype, device=G.device)
    system[:n, :n] = G[index][:, index]
    scale = G.diagonal().mean()  # keeps the system well scaled
    system[:n, n] = system[n, :n] = scale
    solved = torch.linalg.solve(system, torch.cat([b[index], scale[None]]))
    p = torch.zeros_like(b)
    p[index] = solved[:n]
    return p, -scale * solved[n]


def _projected_gradient(G: Tensor, b: Tensor, steps: int) -> Tensor:
    """FISTA with restarts from the uniform kernel."""
    L = torch.linalg.matrix_norm(G, ord=1)  # at least the largest eigenvalue
    k = z = torch.full_like(b, 1 / len(b))
    m = 1.0
    for _ in range(steps):
        new = project_simplex((z - (G @ z - b) / L).view(1, 1, 1, -1)).flatten()
        if (z - new) @ (new - k) > 0:
            m, z = 1.0, new
        else:
            nxt = (1 + (1 + 4 * m * m) ** 0.5) / 2
            z, m = new + (m - 1) / nxt * (new - k), nxt
        k = new
    return k


def _ridged(G: Tensor, ridge: float) -> Tensor:
    return G + ridge * G.diagonal().mean() * torch.eye(len(G), dtype=G.dtype, device=G.device)


def check_fit(x: Tensor, y: Tensor, size: int) -> None:
    check_like(check_image(y, "y"), check_image(x), "y", "x")
    if x.shape != y.shape:
        fail(f"x of {tuple(x.shape)} and y of {tuple(y.shape)}", "equal shapes", "crop one")
    if size < 1 or size % 2 == 0:
        fail(f"size={size}", "an odd number of pixels", f"size={size + 1}")
