"""The two nets of KernelGAN (Bell-Kligler, Shocher and Irani, NeurIPS 2019): a linear reducer and a judge of patches."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .._random import randn
from ._init import draw_weights

FILTERS = (7, 5, 3, 1, 1, 1)
SPAN = sum(FILTERS) - len(FILTERS) + 1  # 13: side of the generator's impulse response
WIDTH = 64


class LinearGenerator(nn.Module):
    """G(x) = (x * k) down s without borders: convolutions without bias or nonlinearity, whose product `kernel()` is k."""

    def __init__(self, stride: int, *, generator: torch.Generator) -> None:
        super().__init__()
        widths = [1, *[WIDTH] * (len(FILTERS) - 1), 1]
        self.layers = nn.Sequential(*(nn.Conv2d(a, b, n, bias=False) for a, b, n in zip(widths[:-1], widths[1:], FILTERS, strict=True)))
        self.stride = stride
        draw_weights(self, generator)

    def kernel(self) -> Tensor:
        """What G makes of an impulse at stride 1, (1, 1, 13, 13): the kernel of true convolution."""
        impulse = torch.zeros(1, 1, 2 * SPAN - 1, 2 * SPAN - 1).to(self.layers[0].weight)  # type: ignore[arg-type]
        impulse[..., SPAN - 1, SPAN - 1] = 1
        return self.layers(impulse)

    def forward(self, x: Tensor) -> Tensor:
        """x (1, C, n, n) -> (1, C, m, m), each channel by itself; through k, which costs far less than layer by layer."""
        return F.conv2d(x.transpose(0, 1), self.kernel().flip(-2, -1), stride=self.stride).transpose(0, 1)


class SpectralConv(nn.Conv2d):
    """A convolution whose weight is divided by its largest singular value, tracked by one power step in each call."""

    def __init__(self, inputs: int, outputs: int, size: int, *, generator: torch.Generator) -> None:
        super().__init__(inputs, outputs, size)
        self.register_buffer("u", F.normalize(randn((outputs,), generator=generator), dim=0))

    def forward(self, x: Tensor) -> Tensor:
        w = self.weight.flatten(1)
        with torch.no_grad():
            v = F.normalize(self.u @ w, dim=0)
            self.u: Tensor = F.normalize(w @ v, dim=0)
        return F.conv2d(x, self.weight / (self.u @ w @ v), self.bias)


def patch_discriminator(channels: int, *, generator: torch.Generator) -> nn.Sequential:
    """D(patch) in (0, 1) at each position of a 7x7 window: 1 where it looks like the picture."""
    layers: list[nn.Module] = [SpectralConv(channels, WIDTH, 7, generator=generator)]
    for _ in range(5):
        norm = nn.BatchNorm2d(WIDTH, track_running_stats=False)
        layers += [SpectralConv(WIDTH, WIDTH, 1, generator=generator), norm, nn.ReLU(inplace=True)]
    net = nn.Sequential(*layers, SpectralConv(WIDTH, 1, 1, generator=generator), nn.Sigmoid())
    draw_weights(net, generator)
    return net
