"""Initial weights from an explicit generator."""

from __future__ import annotations

from math import sqrt

import torch
from torch import nn

from .._random import uniform


@torch.no_grad()
def draw_weights(net: nn.Module, generator: torch.Generator) -> None:
    """Weights and biases of all linear and convolution layers uniform in +-1/sqrt(fan_in), as torch's own default has them.

    Transposed convolutions too, with torch's idea of their fan_in: output channels times taps.
    """
    for layer in net.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            bound = 1 / sqrt(layer.weight[0].numel())
            for p in layer.parameters(recurse=False):
                p.copy_(uniform(-bound, bound, p.shape, generator=generator, like=p))
