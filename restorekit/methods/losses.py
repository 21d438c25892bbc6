"""Losses f of the three tasks of hyper-guidance: (guess, truth) -> a number, differentiable in the guess."""

from __future__ import annotations

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor

from ..metrics import ssim

Loss = Callable[[Tensor, Tensor], Tensor]


def negative_ssim(guess: Tensor, truth: Tensor) -> Tensor:
    """f = -mean SSIM(x, x_gt), each color by itself, nothing rounded: between -1 and 1, -1 where equal (Bilevel Sec. 5.3).

    `metrics.ssim`, which computes in float64. Shapes (B, C, H, W), sides from 11.
    """
    return -ssim(guess, truth, luma=False, quantize=False).mean()


def smooth_l1(guess: Tensor, truth: Tensor) -> Tensor:
    """f = mean h(x - x_gt), h(e) = e^2 / 2 below |e| = 1, |e| - 1/2 above (Bilevel Sec. 5.4). For pictures in [0, 1]: half the MSE."""
    return F.smooth_l1_loss(guess, truth)


def with_features(f: Loss, features: Loss, weight: float = 0.04) -> Loss:
    """f + weight features: `smooth_l1` with `nets.FeatureLoss()` is GridDehazeNet's loss; 0.04 is that paper's weight."""
    return lambda guess, truth: f(guess, truth) + weight * features(guess, truth)
