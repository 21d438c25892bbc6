"""Linear systems, one step at a time."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .._check import check_image, check_like, fail
from .._linear import CGState, cg_init, cg_step
from ..operators import LinearOperator
from .proximal import start


@dataclass(frozen=True)
class CG:
    """Conjugate gradients on the normal equations of a least-squares problem (Hestenes and Stiefel 1952).

    Problem    min_x 1/2 |A x - y|^2 + rho/2 |x - v|^2, that is H x = b with H = A^T A + rho I, b = A^T y + rho v
    Updates    a = |r|^2 / <p, H p>;  x <- x + a p;  r' = r - a H p;  p <- r' + (|r'|^2 / |r|^2) p;  r <- r'

    rho=0 (default) is plain least squares, where the number of steps regularises; v defaults to 0. The state has the
    iterate x, the residual r = b - H x and the direction p. Each picture of the batch is a system by itself.
    """

    operator: LinearOperator
    y: Tensor
    rho: float = 0.0
    v: Tensor | None = None

    def __post_init__(self) -> None:
        check_image(self.y, "y")
        if self.v is not None:
            check_like(check_image(self.v, "v"), self.y, "v", "y")
        if not self.rho >= 0:
            fail(f"rho={self.rho}", "rho >= 0", "rho=0 is plain least squares")

    def init(self, x0: Tensor | None = None) -> CGState:
        """The state at x0 (default: v, else y brought to the size of x by resizing)."""
        x = start(self.operator, self.y, self.v if x0 is None else x0)
        return cg_init(self._normal, self._right_side(x), x)

    def step(self, state: CGState) -> CGState:
        return cg_step(self._normal, state)

    def _normal(self, p: Tensor) -> Tensor:
        return self.operator.adjoint(self.operator(p), (p.shape[-2], p.shape[-1])) + self.rho * p

    def _right_side(self, x: Tensor) -> Tensor:
        v = torch.zeros_like(x) if self.v is None else self.v
        return self.operator.adjoint(self.y, (x.shape[-2], x.shape[-1])) + self.rho * v
