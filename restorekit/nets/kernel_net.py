"""The kernel net of MLMC: a small fully connected net whose output is a probability over the kernel's taps."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .._check import fail
from ._init import draw_weights

_NEWTON_STEPS = 30


def hold_centroid(logits: Tensor, centroid: tuple[float, float]) -> Tensor:
    """k = softmax(logits + lambda . u), lambda such that sum_u u k(u) = centroid.

    Of all kernels with that centroid, the one closest to softmax(logits) in relative entropy KL(k | softmax(logits)).
    A Gaussian stays a Gaussian of the same covariance and only moves. u is measured in pixels from the centre
    (kh // 2, kw // 2). Shapes: (B, 1, kh, kw) -> the same. Differentiable: the gradient is that of the exact lambda
    (implicit function theorem), whatever way it was found. Raises ValueError if the centroid is not strictly inside the window.
    """
    kh, kw = logits.shape[-2:]
    rows = torch.arange(kh, device=logits.device, dtype=logits.dtype) - kh // 2
    cols = torch.arange(kw, device=logits.device, dtype=logits.dtype) - kw // 2
    if not (rows[0] < centroid[0] < rows[-1] and cols[0] < centroid[1] < cols[-1]):
        fail(f"centroid {centroid} for a window of {kh}x{kw}", "a point strictly inside the window", "enlarge the kernel size")
    u = torch.cartesian_prod(rows, cols)  # (kh kw, 2)
    goal = torch.tensor(centroid, device=logits.device, dtype=logits.dtype)
    flat = logits.flatten(1)
    with torch.no_grad():
        tilt = _solve_tilt(flat, u, goal)
    # One Newton step from the solution with a constant Hessian: its value is the solution, its derivative the implicit one.
    miss, covariance = _miss(flat + tilt @ u.T, u, goal)
    tilt = tilt - torch.linalg.solve(covariance.detach(), miss)
    return torch.softmax(flat + tilt @ u.T, 1).reshape(logits.shape)


def _miss(flat: Tensor, u: Tensor, goal: Tensor) -> tuple[Tensor, Tensor]:
    """Centroid minus goal (B, 2), and the covariance of the taps (B, 2, 2), which is the derivative of the first by lambda."""
    k = torch.softmax(flat, 1)
    mean = k @ u
    away = u - mean[:, None]
    floor = 1e-6 * torch.eye(2, device=u.device, dtype=u.dtype)
    return mean - goal, torch.einsum("bn,bni,bnj->bij", k, away, away) + floor


def _solve_tilt(flat: Tensor, u: Tensor, goal: Tensor) -> Tensor:
    """Newton's method with halved steps on the convex function log sum exp(flat + lambda . (u - goal))."""
    tilt = flat.new_zeros(flat.shape[0], 2)
    tolerance = 1e-12 if flat.dtype == torch.float64 else 1e-5
    value = _potential(flat, u, goal, tilt)
    for _ in range(_NEWTON_STEPS):
        miss, covariance = _miss(flat + tilt @ u.T, u, goal)
        if miss.abs().max() < tolerance:
            break
        move = torch.linalg.solve(covariance, miss)
        length = flat.new_ones(flat.shape[0], 1)
        for _ in range(20):
            new = _potential(flat, u, goal, tilt - length * move)
            worse = new > value + 1e-6 * value.abs()
            if not worse.any():
                break
            length = torch.where(worse[:, None], length / 2, length)
        tilt, value = tilt - length * move, new
    return tilt


def _potential(flat: Tensor, u: Tensor, goal: Tensor, tilt: Tensor) -> Tensor:
    return torch.logsumexp(flat + tilt @ (u - goal).T, 1)


class KernelNet(nn.Module):
    """k = G_k(z; phi): maps noise z (B, inputs) to kernels (B, 1, size, size) with k >= 0, sum k = 1 and a fixed centroid.

    Fully connected layers of `hidden` nodes with ReLU6, then a softmax over the taps (MLMC Sec. 5.1). The centroid is
    held by `hold_centroid`, because picture and kernel could otherwise shift against each other; None leaves it free.
    Weights are drawn from `generator`.
    """

    def __init__(
        self,
        size: int,
        *,
        inputs: int = 200,
        hidden: tuple[int, ...] = (1000,),
        centroid: tuple[float, float] | None = (0.0, 0.0),
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        widths = (inputs, *hidden)
        if size < 1 or min(widths) < 1:
            fail(f"size={size}, inputs={inputs}, hidden={hidden}", "1 or more each", "KernelNet(4 * scale + 3, generator=g)")
        layers: list[nn.Module] = []
        for a, b in zip(widths[:-1], widths[1:], strict=True):
            layers += [nn.Linear(a, b), nn.ReLU6()]
        self.layers = nn.Sequential(*layers, nn.Linear(widths[-1], size * size))
        self.size, self.inputs = size, inputs
        self.centroid = centroid
        draw_weights(self, generator)

    def forward(self, z: Tensor) -> Tensor:
        logits = self.layers(z).reshape(-1, 1, self.size, self.size)
        if self.centroid is None:
            return torch.softmax(logits.flatten(1), 1).reshape(logits.shape)
        return hold_centroid(logits, self.centroid)

    @torch.no_grad()
    def start_at(self, z: Tensor, k: Tensor) -> None:
        """Set the output bias so that softmax(logits) = k (1, 1, size, size); its centroid is held then."""
        last = self.layers[-1]
        wanted = k.clamp(min=torch.finfo(k.dtype).tiny).log().reshape(-1)
        last.bias += wanted - self.layers(z)[0]
