"""Priors of pictures as functions to add to a loss; a method multiplies them by its own weight."""

from __future__ import annotations

import torch
from torch import Tensor

from .._check import check_choice

REGULARIZERS = ("hyper_laplacian", "tv", "tikhonov", "none")


def hyper_laplacian(x: Tensor, eta: float = 1 / 3, *, diagonals: bool = False, epsilon: float = 1e-6) -> Tensor:
    """sum_c sum_j (|(f_c * x)_j|^2 + epsilon)^eta, f_c the horizontal and vertical (and two diagonal) differences.

    The form that the name stands for; `printed_hyper_laplacian` is what MLMC Eq. 33 prints. epsilon makes it
    differentiable at 0. x (1, C, H, W) -> a number.
    """
    return _gradient_power(x, eta, diagonals, epsilon)


def printed_hyper_laplacian(x: Tensor, eta: float = 1 / 3) -> Tensor:
    """sum_c (|f_c * x|_F^2)^eta as printed in MLMC Eq. 33 and 35: the power of the whole norm. x (1, C, H, W) -> a number.

    It is a function of the two Tikhonov norms alone, so it prefers no picture with few strong edges to one with many weak
    ones; no method here uses it. Its gradient at a constant picture does not exist.
    """
    return torch.stack([(a - b).square().sum().pow(eta) for a, b in _pairs(x, False)]).sum()


def image_prior(x: Tensor, name: str, *, eta: float = 1 / 3, diagonals: bool = False) -> Tensor:
    """sum_c sum_j |(f_c * x)_j|^p: p = 2 eta 'hyper_laplacian', 1 'tv', 2 'tikhonov' (MLMC Table 7); 'none' gives 0."""
    check_choice(name, REGULARIZERS, "regularizer")
    if name == "none":
        return x.new_zeros(())
    return _gradient_power(x, {"hyper_laplacian": eta, "tv": 0.5, "tikhonov": 1.0}[name], diagonals)


def _gradient_power(x: Tensor, half_power: float, diagonals: bool, epsilon: float = 1e-6) -> Tensor:
    return torch.stack([((a - b).square() + epsilon).pow(half_power).sum() for a, b in _pairs(x, diagonals)]).sum()


def _pairs(x: Tensor, diagonals: bool) -> list[tuple[Tensor, Tensor]]:
    """The pixels whose differences f_c takes."""
    pairs = [(x[..., 1:, :], x[..., :-1, :]), (x[..., :, 1:], x[..., :, :-1])]
    if diagonals:
        pairs += [(x[..., 1:, 1:], x[..., :-1, :-1]), (x[..., 1:, :-1], x[..., :-1, 1:])]
    return pairs
