"""Two short names that the pages' code and figures share."""

from __future__ import annotations

from math import log10

import torch
from torch import Tensor


def seeded(n: int) -> torch.Generator:
    """A random generator that starts at seed n."""
    return torch.Generator().manual_seed(n)


def dB(x: Tensor, truth: Tensor) -> float:
    """PSNR in dB, peak 1, all colors, nothing clipped or rounded."""
    return -10 * log10(max(float((x - truth).detach().double().square().mean()), 1e-30))
