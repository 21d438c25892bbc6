"""DnCNN (Zhang et al. 2017): a net that predicts the noise, by residual learning and batch normalization."""

from __future__ import annotations

import os

import torch
from torch import Tensor, nn

from .._check import check_choice, check_image, check_like, fail
from ..weights import load_weights
from ._init import draw_weights

DEPTH_S, DEPTH_B = 17, 20  # for one noise level, for all levels from 0 to 55/255
_PUBLISHED = ("s15", "s25", "s50", "b")


class DnCNN(nn.Module):
    """D(x) = x - r(x): r estimates the noise in x. Minimizes E |r(x + n) - n|^2 when trained, so D(y) is near E[x | y].

    r: conv 3x3 + ReLU, then `depth` - 2 times conv + batch normalization + ReLU, then conv; `features` maps, no biases, zero
    padding. x (B, channels, H, W) in [0, 1], any size; the result, in x's shape and dtype, is not clipped. A `Denoiser`: sigma may be
    handed in as everywhere, but is not read, for the net knows its level from training ("s15": 15/255) or sees it ("b").
    depth: 17 for one level (DnCNN-S), 20 for all (DnCNN-B). Weights are drawn from `generator`; `load_dncnn` has published ones.
    """

    def __init__(self, channels: int = 1, *, depth: int = DEPTH_S, features: int = 64, generator: torch.Generator) -> None:
        super().__init__()
        if min(channels, features) < 1 or depth < 3:
            fail(f"channels={channels}, features={features}, depth={depth}", "1 or more (depth: 3 or more)", "keep the defaults")
        self.channels = channels
        layers: list[nn.Module] = [_conv(channels, features), nn.ReLU()]
        for _ in range(depth - 2):
            layers += [_conv(features, features), nn.BatchNorm2d(features), nn.ReLU()]
        self.body = nn.Sequential(*layers, _conv(features, channels))
        draw_weights(self, generator)

    def forward(self, x: Tensor, sigma: float | Tensor = 0.0) -> Tensor:
        """x without the noise that the net sees in it; sigma is not read."""
        check_image(x, "x", self.channels)
        first: Tensor = next(self.parameters())
        check_like(x.to(first.dtype), first, "x", "the net")
        return x - self.body(x.to(first.dtype)).to(x.dtype)


def load_dncnn(name: str, path: str | os.PathLike[str] | None = None, *, sha256: str | None = None) -> DnCNN:
    """DnCNN for gray pictures with published weights, on the CPU, without gradients, batch normalization with its running mean.

    name: "s15", "s25", "s50" for noise of that std in 255ths, "b" for any from 0 to 55. path: the checkpoint (names as in
    "module.dncnn.0.weight"), by default the folder dncnn_`name` below RESTOREKIT_WEIGHTS. sha256: its checksum. Raises ValueError
    for another name or a damaged file, FileNotFoundError, RuntimeError for a checkpoint of another architecture.
    """
    check_choice(name, _PUBLISHED, "name")
    net = DnCNN(depth=DEPTH_B if name == "b" else DEPTH_S, generator=torch.Generator().manual_seed(0))
    file = f"dncnn_{name}" if path is None else path
    weights = load_weights(file, sha256=sha256, published=True, rename={"module.dncnn.": "body.", "dncnn.": "body."})
    # counted by newer versions of torch only; not used with a fixed momentum
    counters = {key: value for key, value in net.state_dict().items() if key.endswith("num_batches_tracked")}
    net.load_state_dict({**counters, **weights})
    return net.eval().requires_grad_(False).to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def _conv(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
