"""Richardson-Lucy deconvolution: maximum likelihood under Poisson noise, for a known kernel."""

from __future__ import annotations

import numpy as np
import torch
from skimage.restoration import richardson_lucy as skimage_richardson_lucy
from torch import Tensor

from ..._check import check_choice, check_image, check_like, check_probability, fail

_MODES = {"reflect": "reflect", "replicate": "edge", "circular": "wrap", "zero": "constant"}


def richardson_lucy(y: Tensor, kernel: Tensor, n_iter: int = 30, *, padding: str = "reflect") -> Tensor:
    """x <- x . A^T(y / A x), A x = x * k, from the constant 0.5 (Richardson 1972, Lucy 1974): scikit-image's.

    y (B, C, H, W), kernel (1 or B, 1, kh, kw) on the simplex (then A^T 1 = 1 away from the border, as the update
    supposes). scikit-image convolves truly, with the center of our convention and zeros beyond the border; so y is first
    extended by twice the kernel's size after `padding`, and the result cropped. n_iter regularises: noise grows with it.
    The model counts photons: negative values of y, which noise leaves, are taken as 0. Runs on the CPU, without gradients,
    in the dtype of y; the result is not clipped.
    """
    check_like(check_image(y, "y"), check_probability(kernel), "y", "kernel")
    check_choice(padding, _MODES, "padding")
    if isinstance(n_iter, bool) or not isinstance(n_iter, int) or n_iter < 1:
        fail(f"n_iter={n_iter!r}", "an integer of at least 1", "n_iter=30")
    n, kernels = y.shape[0], kernel.shape[0]
    if n != kernels and 1 not in (n, kernels):
        fail(f"{n} pictures and {kernels} kernels", "equal numbers, or one of them 1", "repeat the kernel or the picture")
    psfs, pictures = kernel.detach().cpu().numpy(), y.detach().clamp(min=0).cpu().numpy()
    restored = [[_restore(c, psfs[i % kernels, 0], n_iter, _MODES[padding]) for c in pictures[i % n]] for i in range(max(n, kernels))]
    return torch.from_numpy(np.stack([np.stack(channels) for channels in restored])).to(y)


def _restore(y: np.ndarray, psf: np.ndarray, n_iter: int, mode: str) -> np.ndarray:
    # scikit-image centers an even window one pixel earlier than we do; an odd one alike
    psf = np.pad(psf, [(0, 1 - n % 2) for n in psf.shape])
    border = [(2 * n, 2 * n) for n in psf.shape]
    x = skimage_richardson_lucy(np.pad(y, border, mode=mode), psf, num_iter=n_iter, clip=False)  # type: ignore[call-overload]
    return x[border[0][0] : -border[0][1], border[1][0] : -border[1][1]]
