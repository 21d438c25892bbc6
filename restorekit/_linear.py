"""Conjugate gradients, written once: operators use it for proximal steps, `solvers.CG` lets a reader step it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

Apply = Callable[[Tensor], Tensor]


def dot(a: Tensor, b: Tensor) -> Tensor:
    """<a, b> for each picture of the batch, shaped (B, 1, 1, 1)."""
    return (a * b).sum((1, 2, 3), keepdim=True)


@dataclass(frozen=True)
class CGState:
    """Iterate x, residual r = b - H x and direction p after `step` steps, each (B, C, H, W)."""

    x: Tensor
    r: Tensor
    p: Tensor
    step: int = 0


def cg_init(apply: Apply, b: Tensor, x0: Tensor) -> CGState:
    """The state before the first step: r = p = b - H x0."""
    r = b - apply(x0)
    return CGState(x0, r, r)


def cg_step(apply: Apply, state: CGState) -> CGState:
    """One step of Hestenes and Stiefel (1952) on H x = b, H symmetric positive definite, each picture by itself."""
    Hp = apply(state.p)
    rr = dot(state.r, state.r)
    alpha = _ratio(rr, dot(state.p, Hp))
    x = state.x + alpha * state.p
    r = state.r - alpha * Hp
    p = r + _ratio(dot(r, r), rr) * state.p
    return CGState(x, r, p, state.step + 1)


def _ratio(a: Tensor, b: Tensor) -> Tensor:
    """a / b, and 0 where b is 0: a picture that is already solved stays where it is."""
    return torch.where(b > 0, a / torch.where(b > 0, b, torch.ones_like(b)), torch.zeros_like(b))


def conjugate_gradient(apply: Apply, b: Tensor, x0: Tensor, *, tol: float, max_iter: int) -> tuple[Tensor, float]:
    """x with |b - H x| <= tol |b| for each picture of the batch, and the largest relative residual reached."""
    state = cg_init(apply, b, x0)
    size = dot(b, b).sqrt().clamp(min=torch.finfo(b.dtype).tiny)
    residual = (dot(state.r, state.r).sqrt() / size).max().item()
    while residual > tol and state.step < max_iter:
        state = cg_step(apply, state)
        residual = (dot(state.r, state.r).sqrt() / size).max().item()
    return state.x, residual
