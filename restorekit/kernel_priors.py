"""More distributions over kernels, beside the Gaussians and camera paths of `kernels`."""

from __future__ import annotations

from dataclasses import dataclass
from math import pi

import torch
from torch import Tensor

from ._check import fail
from ._random import uniform
from .kernels import KernelPrior, splat

_DOTS = 129  # per line: more than 6 a pixel in the windows of this package; odd, so that one lies at the centre


@dataclass(frozen=True)
class LinePrior(KernelPrior):
    """Straight motion: uniform on a segment about `centroid`, its length uniform in `length` (px), its angle in `theta`.

    length None: from 1 px to the longest that stays in the window at every angle. theta in radians, as in `line_kernel`.
    Raises ValueError for a length below 0, in the wrong order, or too long for the window.
    """

    length: tuple[float, float] | None = None
    theta: tuple[float, float] = (0.0, pi)

    def __post_init__(self) -> None:
        low, high = self.lengths
        if not 0 <= low <= high <= self.longest:
            fail(
                f"length={self.length} in a window of {self.size} with centroid {self.centroid}",
                f"0 <= low <= high <= {self.longest:.3g} px",
                "enlarge size or shorten the line",
            )

    @property
    def longest(self) -> float:
        """Length of the longest segment about the centroid that stays in the window at every angle, px."""
        half, m = self.size // 2, self.centroid
        return 2 * min(half - max(m), half + min(m), self.size - 1 - half - max(m))

    @property
    def lengths(self) -> tuple[float, float]:
        """The range that lengths are drawn from, px."""
        return self.length or (min(1.0, self.longest), self.longest)

    def _draw(self, n: int, generator: torch.Generator) -> Tensor:
        lengths = uniform(*self.lengths, (n, 1), generator=generator).double()
        angles = uniform(*self.theta, (n, 1), generator=generator).double()
        along = lengths * torch.linspace(-0.5, 0.5, _DOTS, dtype=torch.float64)
        path = torch.stack([along * angles.sin(), along * angles.cos()], -1)
        return splat(path + torch.tensor(self.centroid, dtype=torch.float64), self.size).float()
