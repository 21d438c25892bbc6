"""Blur whose kernel changes smoothly from place to place."""

from __future__ import annotations

import torch
from torch import Tensor

from . import _convolution as conv
from ._check import check_choice, check_image, check_like, fail
from .operators import LinearOperator


def blending_windows(size: tuple[int, int], grid: tuple[int, int], *, like: Tensor | None = None) -> Tensor:
    """w_g(p) >= 0 with sum_g w_g = 1: products of raised cosines between the centers of rows x columns equal cells.

    (G, 1, H, W) with G = rows columns, row by row. Beyond the outermost centers the outermost window stays alone. One row or
    column: constant in that direction. Raises ValueError for a grid finer than the picture.
    """
    if min(grid) < 1 or grid[0] > size[0] or grid[1] > size[1]:
        fail(f"grid={grid} for a picture of {size}", "1 or more cells, none smaller than a pixel", "use for example grid=(3, 3)")
    rows, columns = (_windows(n, m) for n, m in zip(size, grid, strict=True))
    w = (rows[:, None, :, None] * columns[None, :, None, :]).reshape(-1, 1, *size)
    return w.float() if like is None else w.to(like)


def _windows(n: int, m: int) -> Tensor:
    """m windows over n pixels, (m, n) in float64."""
    if m == 1:
        return torch.ones(1, n, dtype=torch.float64)
    # position of each pixel in units of cells, 0 at the first center, m - 1 at the last
    t = ((torch.arange(n, dtype=torch.float64) + 0.5) * m / n - 0.5).clamp(0, m - 1)
    away = (t - torch.arange(m, dtype=torch.float64)[:, None]).abs().clamp(max=1)
    return 0.5 + 0.5 * torch.cos(torch.pi * away)


class VaryingBlur(LinearOperator):
    """y(p) = sum_g w_g(p) (x * k_g)(p): each kernel acts where its window is, and they blend in between.

    kernels (G, 1, kh, kw), G = rows columns of `grid`, row by row: the same for all pictures of the batch; any finite values,
    gradients reach x and kernels. Windows: `blending_windows`. padding: as for `Blur`. Equal kernels give a `Blur` exactly.
    Its proximal step runs conjugate gradients.
    """

    def __init__(self, kernels: Tensor, grid: tuple[int, int], padding: str = "replicate") -> None:
        check_image(kernels, "kernels", 1)
        check_choice(padding, conv.PADDINGS, "padding")
        if kernels.shape[0] != grid[0] * grid[1]:
            fail(
                f"{kernels.shape[0]} kernels for grid={grid}",
                f"{grid[0] * grid[1]} kernels (G, 1, kh, kw)",
                "one for each cell, row by row",
            )
        self.kernels, self.grid, self.padding = kernels, grid, padding
        self.window: tuple[int, int] = (kernels.shape[-2], kernels.shape[-1])
        self._spectra: dict[tuple[int, int], list[Tensor]] = {}

    def _cells(self, size: tuple[int, int], like: Tensor) -> list[tuple[slice, slice, Tensor]]:
        """For each kernel the rows and columns in which its window is not zero, and the window there."""
        rows, columns = (_windows(n, m) for n, m in zip(size, self.grid, strict=True))
        spans = [[slice(int(s[0]), int(s[-1]) + 1) for w in v if len(s := w.nonzero()[:, 0])] for v in (rows, columns)]
        return [(r, c, (rows[i, r][:, None] * columns[j, c]).to(like)) for i, r in enumerate(spans[0]) for j, c in enumerate(spans[1])]

    def _transfer(self, sizes: list[tuple[int, int]], size: tuple[int, int]) -> list[Tensor]:
        """Spectrum of each kernel on the grid of its cell; kept unless the kernels are being learned."""
        if size in self._spectra:
            return self._spectra[size]
        made = [conv.transfer(k[None], conv.fft_size(s, self.window, "zero")) for k, s in zip(self.kernels, sizes, strict=True)]
        if not self.kernels.requires_grad:
            self._spectra[size] = made
        return made

    def _check(self, x: Tensor, size: tuple[int, int]) -> None:
        check_like(x, self.kernels, "x", "kernels")
        conv.check_window(size, self.window, self.padding)

    def _apply(self, x: Tensor) -> Tensor:
        size = (x.shape[-2], x.shape[-1])
        self._check(x, size)
        top, bottom, left, right = conv.margins(self.window)
        wide = conv.pad(x, self.window, self.padding)
        cells = self._cells(size, x)
        spectra = self._transfer([_shape(w) for _, _, w in cells], size)
        y = torch.zeros_like(x)
        for (r, c, w), spectrum in zip(cells, spectra, strict=True):
            part = wide[..., r.start : r.stop + top + bottom, c.start : c.stop + left + right]
            grid = conv.fft_size(_shape(w), self.window, "zero")
            full = torch.fft.irfft2(torch.fft.rfft2(part, s=grid) * spectrum, s=grid)
            blurred = full[..., top : top + w.shape[0], left : left + w.shape[1]]
            y = y + torch.nn.functional.pad(w * blurred, (c.start, size[1] - c.stop, r.start, size[0] - r.stop))
        return y

    def _transpose(self, y: Tensor, size: tuple[int, int]) -> Tensor:
        self._check(y, size)
        top, bottom, left, right = conv.margins(self.window)
        cells = self._cells(size, y)
        spectra = self._transfer([_shape(w) for _, _, w in cells], size)
        wide = y.new_zeros(*y.shape[:2], size[0] + top + bottom, size[1] + left + right)
        for (r, c, w), spectrum in zip(cells, spectra, strict=True):
            grid = conv.fft_size(_shape(w), self.window, "zero")
            spread = y.new_zeros(*y.shape[:2], *grid)
            spread[..., top : top + w.shape[0], left : left + w.shape[1]] = w * y[..., r, c]
            z = torch.fft.irfft2(torch.fft.rfft2(spread) * spectrum.conj(), s=grid)
            h, v = w.shape[0] + top + bottom, w.shape[1] + left + right
            wide[..., r.start : r.start + h, c.start : c.start + v] += z[..., :h, :v]
        return conv.pad_adjoint(wide, size, self.window, self.padding)


def _shape(w: Tensor) -> tuple[int, int]:
    return w.shape[0], w.shape[1]
