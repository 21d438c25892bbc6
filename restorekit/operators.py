"""Linear degradations y = A x: blur, decimation and their composition, with exact adjoints and proximal steps."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
import torch.nn.functional as F
from torch import Tensor

from . import _convolution as conv
from ._check import check_choice, check_generator, check_image, check_kernel, check_like, check_scale, fail
from ._linear import conjugate_gradient
from ._random import randn


class LinearOperator(ABC):
    """A linear map A between pictures (B, C, H, W), with its adjoint: <A x, y> = <x, A^T y>.

    `A(x)` applies it, `A.adjoint(y, size)` its transpose, `A @ B` composes, `A.prox(v, y, rho)` inverts it softly.
    Subclasses write `_apply`, `_transpose` and `out_size`.
    """

    scale: int = 1

    @abstractmethod
    def _apply(self, x: Tensor) -> Tensor: ...

    @abstractmethod
    def _transpose(self, y: Tensor, size: tuple[int, int]) -> Tensor: ...

    def out_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """Height and width of A x for a picture of `size`: every scale-th row and column, the first kept."""
        return -(-size[0] // self.scale), -(-size[1] // self.scale)

    def __call__(self, x: Tensor) -> Tensor:
        """A x for x (B, C, H, W). Raises TypeError or ValueError for anything that is not such a picture."""
        return self._apply(check_image(x))

    def adjoint(self, y: Tensor, size: tuple[int, int] | None = None) -> Tensor:
        """A^T y. size: height and width of x (default: scale times those of y), needed where they do not divide."""
        check_image(y, "y")
        size = size or (self.scale * y.shape[-2], self.scale * y.shape[-1])
        if self.out_size(size) != tuple(y.shape[-2:]):
            fail(
                f"y of {tuple(y.shape[-2:])} for x of {size}",
                f"y of {self.out_size(size)}",
                "pass size=(H, W) of the picture that A was applied to",
            )
        return self._transpose(y, size)

    def __matmul__(self, other: LinearOperator) -> LinearOperator:
        return Composition(self, other)

    def prox(self, v: Tensor, y: Tensor, rho: float | Tensor, *, tol: float | None = None, max_iter: int = 1000) -> Tensor:
        """argmin_x 1/2 |A x - y|^2 + rho/2 |x - v|^2 = (A^T A + rho I)^-1 (A^T y + rho v).

        v (B, C, H, W): the centre; y: what was observed; rho > 0: a number or a tensor that broadcasts over v.
        Closed form where one exists, otherwise conjugate gradients from v to a relative residual of `tol` (default:
        1e-10 in float64, 1e-5 in float32). Raises RuntimeError if `max_iter` steps do not reach it.
        """
        check_like(check_image(y, "y"), check_image(v, "v"), "y", "v")
        weight = torch.as_tensor(rho, dtype=v.dtype, device=v.device)
        if not (weight > 0).all():
            fail(f"rho={rho}", "rho > 0", "a very small rho, such as 1e-4, almost inverts A")
        if tuple(y.shape[-2:]) != self.out_size((v.shape[-2], v.shape[-1])):
            fail(
                f"y of {tuple(y.shape[-2:])} for v of {tuple(v.shape[-2:])}",
                f"y of {self.out_size((v.shape[-2], v.shape[-1]))}",
                "v has the size of x",
            )
        return self._prox(v, y, weight, tol, max_iter)

    def _prox(self, v: Tensor, y: Tensor, rho: Tensor, tol: float | None, max_iter: int) -> Tensor:
        tol = tol or (1e-10 if v.dtype == torch.float64 else 1e-5)
        size = (v.shape[-2], v.shape[-1])
        b = self._transpose(y, size) + rho * v
        x, residual = conjugate_gradient(lambda p: self._transpose(self._apply(p), size) + rho * p, b, v, tol=tol, max_iter=max_iter)
        if not residual <= tol:
            raise RuntimeError(
                f"Conjugate gradients stopped at a relative residual of {residual:.1e} after {max_iter} steps; asked for {tol:.1e}. "
                "Fix: raise rho, tol or max_iter."
            )
        return x


class Composition(LinearOperator):
    """(A B) x = A (B x)."""

    def __init__(self, outer: LinearOperator, inner: LinearOperator) -> None:
        self.outer, self.inner = outer, inner
        self.scale = outer.scale * inner.scale

    def out_size(self, size: tuple[int, int]) -> tuple[int, int]:
        return self.outer.out_size(self.inner.out_size(size))

    def _apply(self, x: Tensor) -> Tensor:
        return self.outer._apply(self.inner._apply(x))

    def _transpose(self, y: Tensor, size: tuple[int, int]) -> Tensor:
        return self.inner._transpose(self.outer._transpose(y, self.inner.out_size(size)), size)


class Identity(LinearOperator):
    """A x = x. Its proximal step is the weighted mean (y + rho v) / (1 + rho); rho may be a map."""

    def _apply(self, x: Tensor) -> Tensor:
        return x

    def _transpose(self, y: Tensor, size: tuple[int, int]) -> Tensor:
        return y

    def _prox(self, v: Tensor, y: Tensor, rho: Tensor, tol: float | None, max_iter: int) -> Tensor:
        return (y + rho * v) / (1 + rho)


class Downsample(LinearOperator):
    """(A x)[i, j] = x[s i, s j]: decimation that keeps phase 0, without any filter. Sizes need not divide by s."""

    def __init__(self, scale: int) -> None:
        self.scale = check_scale(scale)

    def _apply(self, x: Tensor) -> Tensor:
        return x[..., :: self.scale, :: self.scale]

    def _transpose(self, y: Tensor, size: tuple[int, int]) -> Tensor:
        x = y.new_zeros(*y.shape[:2], *size)
        x[..., :: self.scale, :: self.scale] = y
        return x

    def _prox(self, v: Tensor, y: Tensor, rho: Tensor, tol: float | None, max_iter: int) -> Tensor:
        kept = self._transpose(torch.ones_like(y), (v.shape[-2], v.shape[-1]))
        return (self._transpose(y, (v.shape[-2], v.shape[-1])) + rho * v) / (kept + rho)


class BlurDown(LinearOperator):
    """y = (x * k) down s: true convolution, then every s-th pixel from pixel 0 (MLMC Eq. 1 without its noise).

    kernel: (1, 1, kh, kw), or (B, 1, kh, kw) with one kernel for each picture (a single picture is then repeated for
    each kernel). Any finite kernel; gradients reach x and kernel. scale: 1 to 4. padding: what lies beyond the border,
    'circular' (periodic), 'reflect' (mirrored about the border pixel), 'replicate' or 'zero'. method: 'direct'
    (strided convolution), 'fft', or 'auto': the cheaper one.

    The proximal step is closed for circular padding and sizes that divide by s (Zhao et al. 2016): with d = A^T y +
    rho v, the inversion lemma gives x = (d - A^T (rho I + A A^T)^-1 A d) / rho, and A A^T is a circular convolution
    whose spectrum is the mean of |K|^2 over the s^2 aliases. Otherwise by conjugate gradients.
    """

    def __init__(self, kernel: Tensor, scale: int = 1, padding: str = "circular", *, method: str = "auto") -> None:
        self.kernel = check_kernel(kernel)
        self.scale = check_scale(scale)
        check_choice(padding, conv.PADDINGS, "padding")
        check_choice(method, ("auto", "direct", "fft"), "method")
        self.padding, self.method = padding, method
        self.window: tuple[int, int] = (kernel.shape[-2], kernel.shape[-1])
        self._spectra: dict[tuple[int, int], Tensor] = {}

    def _check(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        check_like(x, self.kernel)
        n, kernels = x.shape[0], self.kernel.shape[0]
        if n != kernels and 1 not in (n, kernels):
            fail(f"{n} pictures and {kernels} kernels", "equal numbers, or one of them 1", "repeat the kernel or the picture")
        conv.check_window(size, self.window, self.padding)
        return x if kernels == 1 else x.expand(kernels, -1, -1, -1)

    def _form(self, size: tuple[int, int]) -> str:
        return self.method if self.method != "auto" else conv.cheaper(size, self.window, self.scale)

    def _spectrum(self, size: tuple[int, int]) -> Tensor:
        grid = conv.fft_size(size, self.window, self.padding)
        if self.kernel.requires_grad:  # a stored graph could be used only once
            return conv.transfer(self.kernel, grid)
        if grid not in self._spectra:
            self._spectra[grid] = conv.transfer(self.kernel, grid)
        return self._spectra[grid]

    def _apply(self, x: Tensor) -> Tensor:
        size = (x.shape[-2], x.shape[-1])
        single = x.shape[0] == 1
        full = self._check(x, size)
        if self._form(size) == "direct":
            return conv.direct(x if single else full, self.kernel, self.scale, self.padding)
        return conv.by_fft(x if single else full, self._spectrum(size), self.window, self.scale, self.padding)

    def _transpose(self, y: Tensor, size: tuple[int, int]) -> Tensor:
        y = self._check(y, size)
        if self._form(size) == "direct":
            return conv.direct_adjoint(y, self.kernel, self.scale, self.padding, size)
        return conv.by_fft_adjoint(y, self._spectrum(size), self.window, self.scale, self.padding, size)

    def _prox(self, v: Tensor, y: Tensor, rho: Tensor, tol: float | None, max_iter: int) -> Tensor:
        size = (v.shape[-2], v.shape[-1])
        map_like = rho.numel() > 1 and rho.shape[-2:] != (1, 1)
        if self.padding != "circular" or map_like or size[0] % self.scale or size[1] % self.scale:
            return super()._prox(v, y, rho, tol, max_iter)
        d = self._transpose(y, size) + rho * v
        Ad = self._apply(d)
        inner = torch.fft.irfft2(torch.fft.rfft2(Ad) / (rho + self._gram(size)), s=Ad.shape[-2:])
        return (d - self._transpose(inner, size)) / rho

    def _gram(self, size: tuple[int, int]) -> Tensor:
        """Spectrum of A A^T: mean of |K|^2 over the aliases of each low-resolution frequency."""
        kh, kw = self.window
        power = torch.fft.fft2(F.pad(self.kernel, (0, size[1] - kw, 0, size[0] - kh))).abs() ** 2
        s, h, w = self.scale, size[0] // self.scale, size[1] // self.scale
        return power.reshape(-1, 1, s, h, s, w).mean((2, 4))[..., : w // 2 + 1]


class Blur(BlurDown):
    """y = x * k: `BlurDown` at scale 1."""

    def __init__(self, kernel: Tensor, padding: str = "circular", *, method: str = "auto") -> None:
        super().__init__(kernel, 1, padding, method=method)


def dot_test(
    A: LinearOperator, shape: tuple[int, int, int, int], *, generator: torch.Generator, dtype: torch.dtype = torch.float64
) -> float:
    """|<A x, y> - <x, A^T y>| / (|A x| |y|) for random x of `shape` and random y: 0 for a true adjoint.

    In `dtype` (which must be that of the operator's kernel) rounding leaves about 1e-16 in float64.
    """
    like = torch.empty(0, dtype=dtype)
    x = randn(shape, generator=check_generator(generator), like=like)
    Ax = A(x)
    y = randn(Ax.shape, generator=generator, like=like)
    back = A.adjoint(y, (shape[-2], shape[-1]))
    return ((Ax * y).sum() - (x.expand_as(back) * back).sum()).abs().item() / (Ax.norm() * y.norm()).item()


def operator_norm(
    A: LinearOperator,
    shape: tuple[int, int, int, int],
    *,
    generator: torch.Generator,
    n_iter: int = 100,
    dtype: torch.dtype = torch.float64,
) -> float:
    """|A| = sup |A x| / |x|, by power iteration on A^T A from a random x of `shape`: a lower bound that grows to |A|."""
    x = randn(shape, generator=check_generator(generator), like=torch.empty(0, dtype=dtype))
    for _ in range(n_iter):
        x = A.adjoint(A(x / x.norm()), (shape[-2], shape[-1]))
    return x.norm().sqrt().item()
