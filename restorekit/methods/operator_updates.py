"""The degradation A of dynamic plug-and-play as an unknown: five readings of it, their gradients, and four ways to update it.

min_A 1/2 |A x + n - y|^2  (Eq. 9), with the estimate of the noise n = g(y) brought to the right: target t = y - n.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from .. import _convolution as conv
from .._check import check_choice, fail
from ..kernels import delta_kernel, project_simplex
from ..operators import Blur, LinearOperator
from ..varying_blur import VaryingBlur, blending_windows
from .kernel_fit import RIDGE, fit_kernel, fit_varying

RULES = ("printed", "gradient", "line_search", "exact")


class Matrix(LinearOperator):
    """A x = A X for each channel X (H, W) of x, a picture as a matrix of columns; A (1 or B, 1, H, H). Proximal step by one solution."""

    def __init__(self, A: Tensor) -> None:
        self.A = A

    def _apply(self, x: Tensor) -> Tensor:
        return self.A @ x

    def _transpose(self, y: Tensor, size: tuple[int, int]) -> Tensor:
        return self.A.mT @ y

    def _prox(self, v: Tensor, y: Tensor, rho: Tensor, tol: float | None, max_iter: int) -> Tensor:
        eye = torch.eye(v.shape[-2], dtype=v.dtype, device=v.device)
        return torch.linalg.solve(self.A.mT @ self.A + rho * eye, self.A.mT @ y + rho * v)


class Weights(LinearOperator):
    """A x = a x, pixel by pixel; a broadcasts over x. Proximal step (a y + rho v) / (a^2 + rho)."""

    def __init__(self, a: Tensor) -> None:
        self.a = a

    def _apply(self, x: Tensor) -> Tensor:
        return self.a * x

    def _transpose(self, y: Tensor, size: tuple[int, int]) -> Tensor:
        return self.a * y

    def _prox(self, v: Tensor, y: Tensor, rho: Tensor, tol: float | None, max_iter: int) -> Tensor:
        return (self.a * y + rho * v) / (self.a**2 + rho)


class Reading(ABC):
    """What the letter A stands for: numbers A (a tensor) and the map x -> A x + offset that they define."""

    @abstractmethod
    def identity(self, y: Tensor) -> Tensor:
        """A^(0) = I for pictures like y."""

    @abstractmethod
    def operator(self, A: Tensor) -> LinearOperator:
        """The linear map of these numbers."""

    def offset(self, A: Tensor) -> Tensor | float:
        """What is added to A x; 0 but for the affine reading."""
        return 0.0

    def apply(self, A: Tensor, x: Tensor) -> Tensor:
        """A x + offset: linear in A."""
        return self.operator(A)(x) + self.offset(A)

    @abstractmethod
    def gradient(self, A: Tensor, x: Tensor, r: Tensor) -> Tensor:
        """The derivative of 1/2 |A x - t|^2 by A, r = A x - t."""

    @abstractmethod
    def exact(self, x: Tensor, t: Tensor) -> Tensor:
        """A minimizer of 1/2 |A x - t|^2 (kernels: of the objective of `fit_kernel`)."""

    def printed(self, A: Tensor, x: Tensor, t: Tensor) -> Tensor:
        """The direction of Eq. 10, x^T A x + g(y) - y, where its sizes fit; ValueError where they do not."""
        fail(
            f"Eq. 10 for {type(self).__name__}",
            "Dense on square pictures, or Diagonal",
            "use rule='gradient': the print's sizes do not fit",
        )
        raise AssertionError


@dataclass(frozen=True)
class Dense(Reading):
    """A a matrix that acts on columns (B, 1, H, H), shared by the channels. Gradient r x^T. Fits any picture exactly once W >= H."""

    def identity(self, y: Tensor) -> Tensor:
        return torch.eye(y.shape[-2], dtype=y.dtype, device=y.device).repeat(y.shape[0], 1, 1, 1)

    def operator(self, A: Tensor) -> LinearOperator:
        return Matrix(A)

    def gradient(self, A: Tensor, x: Tensor, r: Tensor) -> Tensor:
        return (r @ x.mT).sum(1, keepdim=True)

    def exact(self, x: Tensor, t: Tensor) -> Tensor:
        X, T = (v.transpose(1, 2).flatten(2) for v in (x, t))  # the channels' columns side by side
        return torch.linalg.lstsq(X.mT, T.mT, driver="gelsd").solution.mT[:, None]

    def printed(self, A: Tensor, x: Tensor, t: Tensor) -> Tensor:
        if x.shape[-2] != x.shape[-1]:
            fail(
                f"Eq. 10 for pictures of {tuple(x.shape[-2:])}",
                "square pictures: x^T A x has W rows, A has H",
                "crop, or use rule='gradient'",
            )
        return (x.mT @ A @ x - t).sum(1, keepdim=True)


@dataclass(frozen=True)
class Diagonal(Reading):
    """A a weight for each pixel (B, C, H, W). Gradient r x. Fits any picture exactly where x is not 0."""

    def identity(self, y: Tensor) -> Tensor:
        return torch.ones_like(y)

    def operator(self, A: Tensor) -> LinearOperator:
        return Weights(A)

    def gradient(self, A: Tensor, x: Tensor, r: Tensor) -> Tensor:
        return r * x

    def exact(self, x: Tensor, t: Tensor) -> Tensor:
        return torch.where(x.abs() > 1e-6, t / torch.where(x == 0, 1.0, x), 1.0)

    def printed(self, A: Tensor, x: Tensor, t: Tensor) -> Tensor:
        return x * A * x - t


@dataclass(frozen=True)
class Affine(Reading):
    """A x = a x + c, a gain and an offset for each channel: (B, 2 C, 1, 1), gains first. Gradient (sum r x, sum r)."""

    def identity(self, y: Tensor) -> Tensor:
        ones = y.new_ones(y.shape[0], y.shape[1], 1, 1)
        return torch.cat([ones, torch.zeros_like(ones)], 1)

    def operator(self, A: Tensor) -> LinearOperator:
        return Weights(A[:, : A.shape[1] // 2])

    def offset(self, A: Tensor) -> Tensor:
        return A[:, A.shape[1] // 2 :]

    def gradient(self, A: Tensor, x: Tensor, r: Tensor) -> Tensor:
        return torch.cat([(r * x).sum((2, 3), keepdim=True), r.sum((2, 3), keepdim=True)], 1)

    def exact(self, x: Tensor, t: Tensor) -> Tensor:
        dx = x - x.mean((2, 3), keepdim=True)
        a = (dx * t).sum((2, 3), keepdim=True) / dx.square().sum((2, 3), keepdim=True).clamp_min(torch.finfo(x.dtype).tiny)
        return torch.cat([a, t.mean((2, 3), keepdim=True) - a * x.mean((2, 3), keepdim=True)], 1)


@dataclass(frozen=True)
class Kernel(Reading):
    """A x = x * k, k (B, 1, size, size). Gradient: the correlation of x with r. Far fewer unknowns than pixels."""

    size: int = 25
    padding: str = "replicate"
    ridge: float = RIDGE

    def identity(self, y: Tensor) -> Tensor:
        return delta_kernel(self.size).to(y).repeat(y.shape[0], 1, 1, 1)

    def operator(self, A: Tensor) -> LinearOperator:
        return Blur(A, self.padding)

    def gradient(self, A: Tensor, x: Tensor, r: Tensor) -> Tensor:
        return correlate(x, r, (A.shape[-2], A.shape[-1]), self.padding)

    def exact(self, x: Tensor, t: Tensor) -> Tensor:
        return fit_kernel(x, t, self.size, padding=self.padding, ridge=self.ridge)


@dataclass(frozen=True)
class VaryingKernels(Reading):
    """A x = sum_g w_g (x * k_g), a kernel for each cell of a grid, (G, 1, size, size); a single picture. See `VaryingBlur`."""

    size: int = 25
    grid: tuple[int, int] = (2, 2)
    padding: str = "replicate"
    ridge: float = RIDGE
    common: float = 0.0

    def identity(self, y: Tensor) -> Tensor:
        if y.shape[0] != 1:
            fail(f"{y.shape[0]} pictures", "1: each has a grid of kernels", "restore one after another")
        return delta_kernel(self.size).to(y).repeat(self.grid[0] * self.grid[1], 1, 1, 1)

    def operator(self, A: Tensor) -> LinearOperator:
        return VaryingBlur(A, self.grid, self.padding)

    def gradient(self, A: Tensor, x: Tensor, r: Tensor) -> Tensor:
        windows = blending_windows((x.shape[-2], x.shape[-1]), self.grid, like=x)
        size = (A.shape[-2], A.shape[-1])
        return torch.cat([correlate(x, r * w, size, self.padding) for w in windows])

    def exact(self, x: Tensor, t: Tensor) -> Tensor:
        return fit_varying(x, t, self.size, self.grid, ridge=self.ridge, common=self.common)


class Update(Protocol):
    """What `DynamicPnP` asks of an A-step: A^(0), the operator and the offset of its numbers, and the next numbers."""

    def init(self, y: Tensor) -> Tensor: ...

    def operator(self, A: Tensor) -> LinearOperator: ...

    def offset(self, A: Tensor) -> Tensor | float: ...

    def __call__(self, A: Tensor, x: Tensor, t: Tensor) -> Tensor: ...


@dataclass(frozen=True)
class OperatorUpdate:
    """A^(t+1) from A^(t), the picture x and the target t = y - n, for one reading of A and one rule.

    'printed'      A - alpha (x^T A x + g(y) - y)      Eq. 10 as it stands (dense on square pictures, diagonal)
    'gradient'     A - alpha D,  D the gradient of 1/2 |A x - t|^2
    'line_search'  the same with the best alpha, |D|^2 / |D x|^2, for each picture
    'exact'        argmin_A 1/2 |A x - t|^2; kernels: k >= 0 and sum k = 1, in the domain of gradients

    alpha: step size of the first two; sums run over pixels, so a kernel needs about 1 / |x|^2. simplex: kernels are then projected to
    k >= 0, sum k = 1 after a gradient step. Any other `Update` can take its place.
    """

    reading: Reading
    rule: str = "gradient"
    alpha: float = 1e-3
    simplex: bool = False

    def __post_init__(self) -> None:
        check_choice(self.rule, RULES, "rule")
        if not self.alpha > 0:
            fail(f"alpha={self.alpha}", "a step size above 0", "the paper's are 1e-5 to 1e-3")

    def init(self, y: Tensor) -> Tensor:
        """A^(0) = I."""
        return self.reading.identity(y)

    def operator(self, A: Tensor) -> LinearOperator:
        return self.reading.operator(A)

    def offset(self, A: Tensor) -> Tensor | float:
        return self.reading.offset(A)

    def direction(self, A: Tensor, x: Tensor, t: Tensor) -> Tensor:
        """What a step with alpha goes against: the print's, or the gradient."""
        if self.rule == "printed":
            return self.reading.printed(A, x, t)
        return self.reading.gradient(A, x, self.reading.apply(A, x) - t)

    def __call__(self, A: Tensor, x: Tensor, t: Tensor) -> Tensor:
        if self.rule == "exact":
            return self.reading.exact(x, t)
        D = self.direction(A, x, t)
        alpha: float | Tensor = self.alpha
        if self.rule == "line_search":
            image = self.reading.apply(D, x)  # linear in A
            n = 1 if D.shape[0] != x.shape[0] else x.shape[0]
            slope, curve = (v.reshape(n, -1).square().sum(1).view(-1, 1, 1, 1) for v in (D, image))
            alpha = torch.where(curve > 0, slope / torch.where(curve > 0, curve, 1.0), 0.0)
        moved = A - alpha * D
        return project_simplex(moved) if self.simplex else moved


def correlate(x: Tensor, r: Tensor, size: tuple[int, int], padding: str) -> Tensor:
    """sum_p r(p) x(p - u), the channels added up: the derivative of <r, x * k> by k(u). (B, 1, kh, kw)."""
    wide = conv.pad(x, size, padding)
    grid = conv.fft_size((wide.shape[-2], wide.shape[-1]), size, "zero")
    spectrum = torch.fft.rfft2(wide, s=grid) * torch.fft.rfft2(r, s=grid).conj()
    shifted = torch.fft.irfft2(spectrum.sum(1, keepdim=True), s=grid)[..., : size[0], : size[1]]
    return shifted.flip(-2, -1)  # entry 0 of `shifted` goes with the last entry of k
