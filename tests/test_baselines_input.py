"""What the untrained baselines say about bad input."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from restorekit import BlurDown, gaussian_kernel
from restorekit.methods.baselines import (
    bicubic,
    bicubic_downsample,
    generic_deconvolution,
    richardson_lucy,
    tv_deconvolve,
    tv_denoise,
    wiener,
)

Y = torch.full((1, 1, 8, 8), 0.5)
K = gaussian_kernel(3, 0.7)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: bicubic(Y, 5), "scale=5"),
        (lambda: bicubic(Y, 2, align="center"), "align='center'"),
        (lambda: bicubic(Y, 2, size=(14, 16)), "15 to 16 rows"),
        (lambda: bicubic(Y[0], 2), "shape"),
        (lambda: bicubic_downsample(Y[..., :7, :], 2), "crop it"),
        (lambda: wiener(Y, K), "exactly one"),
        (lambda: wiener(Y, K, sigma=0.1, noise_to_signal=0.1), "exactly one"),
        (lambda: wiener(Y, K, sigma=0.0), "positive"),
        (lambda: wiener(Y, K, sigma=0.1, prior="round"), "prior='round'"),
        (lambda: wiener(Y, K, sigma=0.1, padding="mirror"), "padding='mirror'"),
        (lambda: wiener(Y, K, sigma=0.1, scale=0), "scale=0"),
        (lambda: wiener(Y, K - 1 / 9, noise_to_signal=0.1), "sum to 0"),
        (lambda: richardson_lucy(Y, 2 * K), "simplex|sum to 1"),
        (lambda: richardson_lucy(Y, K, 0), "n_iter=0"),
        (lambda: richardson_lucy(Y.expand(3, 1, 8, 8), K.expand(2, 1, 3, 3)), "3 pictures and 2 kernels"),
        (lambda: tv_denoise(Y, -0.1), "weight"),
        (lambda: tv_denoise(Y, torch.ones(1, 8)), "weight of shape"),
        (lambda: tv_deconvolve(Y, BlurDown(K, 2), lam=-1.0), "lam=-1"),
        (lambda: generic_deconvolution(Y, 2, width=0.0), "width=0"),
        (lambda: bicubic(Y * float("nan"), 2), "NaN"),
    ],
)
def test_bad_input_is_named(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
