"""PReNet (Ren et al. 2019): rain removed in stages by one small net with a memory, told where the rain is or not."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .._check import check_choice, check_image, check_like, fail
from ..weights import load_weights
from ._init import draw_weights

PUBLISHED = ("rain100h", "rain100l")  # heavy and light rain
_GATES = ("i", "f", "g", "o")  # published names of the four gates, in the order of our one convolution
_SMALL = 0.1  # of the usual size: the last convolution's first weights, so that an untrained net hardly changes the picture


class Stage(NamedTuple):
    """After one stage: the estimate x (B, C, H, W), the hidden state h and the memory c (B, features, H / u, W / u)."""

    x: Tensor
    h: Tensor
    c: Tensor


class PReNet(nn.Module):
    """x^t = y + tail(blocks(h^t)), (h^t, c^t) = LSTM(head(y, x^{t-1}, map), h^{t-1}, c^{t-1}), t = 1 .. stages, x^0 = y.

        i, f, o = sigmoid, g = tanh of conv(head, h^{t-1});   c^t = f c^{t-1} + i g;   h^t = o tanh(c^t);   h^0 = c^0 = 0

    and `blocks` times v <- relu(v + relu(conv(relu(conv(v))))). All convolutions 3x3, the same in each stage, zeros outside.
    y (B, channels, H, W) in [0, 1]; the result is not clipped. guided: a map (B or 1, 1, H, W), such as the rain region in
    [0, 1], is one more input channel (Bilevel Sec. 4.2). unshuffle: 2 makes four channels of half the sides of each one, which
    costs a quarter; odd sides are then mirrored to even. Weights are drawn from `generator`; `load_prenet` reads published ones.
    Raises ValueError for other channels or sizes, a map that is missing, superfluous or does not fit.
    """

    def __init__(
        self,
        channels: int = 3,
        features: int = 32,
        stages: int = 6,
        *,
        blocks: int = 5,
        unshuffle: int = 1,
        guided: bool = False,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        if min(channels, features, stages, blocks) < 1:
            got = f"channels={channels}, features={features}, stages={stages}, blocks={blocks}"
            fail(got, "1 or more of each", "keep the defaults")
        check_choice(unshuffle, (1, 2), "unshuffle")
        self.channels, self.features, self.stages, self.unshuffle, self.guided = channels, features, stages, unshuffle, guided
        parts = unshuffle**2
        self.head = _conv(parts * (2 * channels + guided), features)
        self.gates = _conv(2 * features, 4 * features)
        self.blocks = nn.ModuleList(nn.Sequential(_conv(features, features), nn.ReLU(), _conv(features, features)) for _ in range(blocks))
        self.tail = _conv(features, parts * channels)
        draw_weights(self, generator)
        with torch.no_grad():
            for p in self.tail.parameters():
                p.mul_(_SMALL)

    def forward(self, y: Tensor, map: Tensor | None = None) -> Tensor:
        """The estimate of the last stage."""
        *_, last = self.steps(y, map)
        return last.x

    def steps(self, y: Tensor, map: Tensor | None = None) -> Iterator[Stage]:
        """One `Stage` after the other."""
        check_like(check_image(y, "y", self.channels), self.head.weight, "y", "the net")
        map = check_map(y, map, self.guided)
        H, W = y.shape[-2:]
        u = self.unshuffle
        fixed = [F.pixel_unshuffle(_even(v, u), u) for v in (y, map) if v is not None]
        h = c = y.new_zeros(y.shape[0], self.features, *fixed[0].shape[-2:])
        x = fixed[0]
        for _ in range(self.stages):
            h, c = self._remember(torch.relu(self.head(torch.cat([*fixed, x], 1))), h, c)
            v = h
            for block in self.blocks:
                v = torch.relu(v + torch.relu(block(v)))
            x = fixed[0] + self.tail(v)
            yield Stage(F.pixel_shuffle(x, u)[..., :H, :W], h, c)

    def _remember(self, v: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        """h^t and c^t."""
        i, f, g, o = self.gates(torch.cat([v, h], 1)).chunk(4, 1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        return torch.sigmoid(o) * torch.tanh(c), c


def light_prenet(channels: int = 3, *, guided: bool = False, generator: torch.Generator) -> PReNet:
    """The small one that this package trains: `PReNet` with 24 features, 4 stages, 3 blocks, at half resolution, channels last."""
    net = PReNet(channels, 24, 4, blocks=3, unshuffle=2, guided=guided, generator=generator)
    return net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def load_prenet(name: str = "rain100h", path: str | os.PathLike[str] | None = None, *, sha256: str | None = None) -> PReNet:
    """`PReNet` with published weights, strictly matched by name and shape, on the CPU, without gradients.

    name: 'rain100h' (trained on heavy rain) or 'rain100l' (light); the file is looked for below RESTOREKIT_WEIGHTS as
    prenet_rain100h, or is `path`. sha256: its checksum. Its users clip the result to [0, 1]. Raises ValueError for another name or a
    damaged file, FileNotFoundError, RuntimeError for a checkpoint of another architecture.
    """
    check_choice(name, PUBLISHED, "name")
    weights = load_weights(path or f"prenet_{name}", sha256=sha256, published=True, rename=_our_name)
    for kind in ("weight", "bias"):  # four gates become one convolution
        parts = [weights.pop(f"gates.{gate}.{kind}") for gate in _GATES if f"gates.{gate}.{kind}" in weights]
        if parts:
            weights[f"gates.{kind}"] = torch.cat(parts)
    net = PReNet(generator=torch.Generator().manual_seed(0))
    net.load_state_dict(weights)
    return net.eval().requires_grad_(False)


def check_map(y: Tensor, map: Tensor | None, guided: bool) -> Tensor | None:
    """The map for all pictures of y, (B, 1, H, W); ValueError if it does not fit y or the net takes none."""
    if (map is not None) != guided:
        got = f"{'a map' if map is not None else 'no map'} for a net with guided={guided}"
        fail(got, "a map if and only if the net is guided", "leave it out, or use a guided net")
    if map is None:
        return None
    check_like(check_image(map, "map", 1), y, "map", "y")
    if map.shape[-2:] != y.shape[-2:] or map.shape[0] not in (1, y.shape[0]):
        got = f"a map of {tuple(map.shape)} for y of {tuple(y.shape)}"
        fail(got, f"({y.shape[0]} or 1, 1, {y.shape[-2]}, {y.shape[-1]})", "one number a pixel")
    return map.expand(y.shape[0], -1, -1, -1)


def _our_name(name: str) -> str:
    """A published name in ours; a name that is none of these stays."""
    stem, _, kind = name.rpartition(".")
    named = {"conv0.0": "head", "conv.0": "tail", **{f"conv_{gate}.0": f"gates.{gate}" for gate in _GATES}}
    named |= {f"res_conv{b}.{layer}": f"blocks.{b - 1}.{layer}" for b in range(1, 6) for layer in (0, 2)}
    return f"{named.get(stem, stem)}.{kind}"


def _conv(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, padding=1)


def _even(v: Tensor, multiple: int) -> Tensor:
    H, W = v.shape[-2:]
    return F.pad(v, (0, -W % multiple, 0, -H % multiple), mode="reflect")
