"""Non-local attention of the published MLMC image net: every pixel of a feature map looks at all others."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class NonLocalBlock(nn.Module):
    """x + BN(W a), a_i = (1/N) sum_j <theta x_i, phi x_j> g x_j: dot-product attention (Wang et al., CVPR 2018).

    theta, phi, g and W are 1x1 convolutions to half the channels and back; phi x and g x are halved by maximum pooling where
    both sides have 2 pixels or more, N counts what is left. The gain of the normalisation starts at 0, so a new block is the
    identity. Shapes: (B, channels, H, W) -> the same.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        inner = max(1, channels // 2)
        self.theta, self.phi, self.g = (nn.Conv2d(channels, inner, 1) for _ in range(3))
        self.out = nn.Conv2d(inner, channels, 1)
        self.norm = nn.BatchNorm2d(channels, track_running_stats=False)
        nn.init.zeros_(self.norm.weight)

    def forward(self, x: Tensor) -> Tensor:
        def few(v: Tensor) -> Tensor:
            return F.max_pool2d(v, 2) if min(v.shape[-2:]) > 1 else v

        theta, phi, g = self.theta(x).flatten(2), few(self.phi(x)).flatten(2), few(self.g(x)).flatten(2)
        attention = theta.transpose(1, 2) @ phi / phi.shape[-1]  # (B, H W, N)
        a = torch.einsum("bin,bcn->bci", attention, g).unflatten(2, x.shape[-2:])
        return x + self.norm(self.out(a))
