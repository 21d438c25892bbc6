"""Blur kernels of a camera that moves and turns, fitted together: one density over its poses explains every part of the picture."""

from __future__ import annotations

import torch
from torch import Tensor

from .._check import fail
from ..kernels import project_simplex
from ..varying_blur import blending_windows
from .kernel_fit import RIDGE, check_fit, fade, normal_equations

TURN = 6.0  # px by which the largest angle moves a corner of the picture
ANGLES = 13
STEPS = 150  # more change the kernels, but hardly the picture restored with them


def fit_poses(
    x: Tensor, y: Tensor, size: int, grid: tuple[int, int], *, turn: float = TURN, angles: int = ANGLES, ridge: float = RIDGE
) -> Tensor:
    """Kernels for each cell of `VaryingBlur`, all from one density w over shifts s and angles a of the camera (Whyte et al. 2010):

        argmin_w 1/2 sum_g sum_d |W_g (d_d x * k_g - d_d y)|^2 + ridge/2 |k_g|^2,   k_g(u) = sum_{s, a} w(s, a) [u = s + a J c_g]

    over w >= 0, sum w = 1. c_g: the cell's center, from the middle of the picture; a J c_g: what turning by the small angle a
    does there, (a column, -a row), shared out linearly between pixels. The angles are `angles` steps up to those that move the corners
    by `turn` px; s has whole pixels; poses that leave the window of `size` px in some cell are left out. A grid of free
    kernels has (cells) unknowns for one of these and follows the errors of x; one kernel for all cannot turn.
    x, y (1, C, H, W): the sharp picture and the blurred one. Returns (G, 1, size, size), row by row. By STEPS steps of the accelerated
    projected gradient. Raises ValueError for an even size, unequal pictures or several, angles even or below 1.
    """
    check_fit(x, y, size)
    if x.shape[0] != 1:
        fail(f"{x.shape[0]} pictures", "1: each has a path of its own", "call it for one picture after another")
    if angles < 1 or angles % 2 == 0 or turn < 0:
        fail(f"angles={angles}, turn={turn}", "an odd number of angles, turn from 0 px", f"angles={ANGLES}, turn={TURN}")
    height, width = x.shape[-2:]
    border = fade((height, width), size, like=x)[0]
    parts = [_in_cell(x, y, size, border * window) for window in blending_windows((height, width), grid, like=x)]
    G, b = torch.cat([p[0] for p in parts]), torch.cat([p[1] for p in parts])
    G = G + ridge * G.diagonal(dim1=1, dim2=2).mean() * torch.eye(size * size, dtype=G.dtype, device=G.device)
    M = kernels_of_poses(size, grid, (height, width), turn, angles).to(G.device)
    w = _simplex_gradient(G, b, M)
    return (M @ w).view(-1, 1, size, size).to(x)


def kernels_of_poses(size: int, grid: tuple[int, int], picture: tuple[int, int], turn: float, angles: int) -> Tensor:
    """The sparse matrix M (G size^2, poses) that makes a density over poses the kernels of all cells: each column sums to G."""
    center = size // 2
    half = (picture[0] ** 2 + picture[1] ** 2) ** 0.5 / 2
    share = torch.linspace(-turn, turn, angles, dtype=torch.float64) / half
    middles = [(torch.arange(n, dtype=torch.float64) + 0.5) * p / n - p / 2 for n, p in zip(grid, picture, strict=True)]
    cells = torch.cartesian_prod(*middles).view(-1, 2)
    u = torch.arange(size, dtype=torch.float64)
    s = torch.cartesian_prod(u, u)
    moved = share[None, :, None] * torch.stack([cells[:, 1], -cells[:, 0]], -1)[:, None]  # (G, angles, 2)
    at = (moved[:, :, None] + s).view(len(cells), -1, 2)  # (G, angles size^2, 2)
    inside = ((at - center).abs() <= center).all(-1).all(0)
    at = at[:, inside].clamp(0, size - 1)
    low = at.floor()
    part = at - low
    cell = torch.arange(len(cells))[:, None] * size * size
    pose = torch.arange(at.shape[1]).expand(len(cells), -1)
    rows, columns, values = [], [], []
    for a, b in ((0, 0), (0, 1), (1, 0), (1, 1)):
        corner = (low + torch.tensor([a, b])).clamp(max=size - 1).long()
        weight = torch.stack([part[..., i] if up else 1 - part[..., i] for i, up in enumerate((a, b))]).prod(0)
        rows.append((cell + corner[..., 0] * size + corner[..., 1]).flatten())
        columns.append(pose.flatten())
        values.append(weight.flatten())
    shape = (len(cells) * size * size, at.shape[1])
    index = torch.stack([torch.cat(rows), torch.cat(columns)])
    return torch.sparse_coo_tensor(index, torch.cat(values), shape, check_invariants=True).coalesce()


def _in_cell(x: Tensor, y: Tensor, size: int, weight: Tensor) -> tuple[Tensor, Tensor]:
    """The normal equations of one cell, from the part of the picture where its weight (1, H, W) is not 0, and a pixel more."""
    spans = [weight[0].amax(1 - axis).nonzero()[:, 0] for axis in (0, 1)]
    rows, columns = (slice(max(int(s[0]) - 1, 0), int(s[-1]) + 2) for s in spans)
    inside = (..., rows, columns)
    return normal_equations(x[inside], y[inside], size, weight[inside][None])


def _simplex_gradient(G: Tensor, b: Tensor, M: Tensor) -> Tensor:
    """argmin 1/2 sum_g (M w)_g^T G_g (M w)_g - b_g^T (M w)_g over the simplex, from equal weights; restarted where it turns back."""
    N, n, _ = G.shape
    back = M.t().coalesce()

    def curve(w: Tensor) -> Tensor:
        return back @ torch.bmm(G, (M @ w).view(N, n, 1)).flatten()

    slope = back @ b.flatten()
    w = z = torch.full((M.shape[1],), 1 / M.shape[1], dtype=G.dtype, device=G.device)
    p, L = w, 0.0
    for _ in range(15):  # the largest eigenvalue
        q = curve(p)
        L, p = (q.norm() / p.norm()).item(), q / q.norm()
    t = 1.0
    for _ in range(STEPS):
        new = project_simplex((z - (curve(z) - slope) / (1.05 * L)).view(1, 1, 1, -1)).flatten()
        if (z - new) @ (new - w) > 0:
            t, z = 1.0, new
        else:
            nxt = (1 + (1 + 4 * t * t) ** 0.5) / 2
            z, t = new + (t - 1) / nxt * (new - w), nxt
        w = new
    return w
