"""Priors of pictures as functions to add to a loss; a method multiplies them by its own weight."""

from __future__ import annotations

import torch
from torch import Tensor


def hyper_laplacian(x: Tensor, eta: float = 1 / 3, *, diagonals: bool = False, epsilon: float = 1e-6) -> Tensor:
    """sum_c sum_j (|(f_c * x)_j|^2 + epsilon)^eta, f_c the horizontal and vertical (and two diagonal) differences.

    The form that the name stands for; as printed in MLMC Eq. 33 the power is taken of the whole norm. epsilon makes it
    differentiable at 0. x (1, C, H, W) -> a number.
    """
    pairs = [(x[..., 1:, :], x[..., :-1, :]), (x[..., :, 1:], x[..., :, :-1])]
    if diagonals:
        pairs += [(x[..., 1:, 1:], x[..., :-1, :-1]), (x[..., 1:, :-1], x[..., :-1, 1:])]
    return torch.stack([((a - b).square() + epsilon).pow(eta).sum() for a, b in pairs]).sum()
