"""The degradation network F of AND: many layers that together are exactly the identity, until someone moves their weights."""

from __future__ import annotations

from math import sqrt

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .._check import check_choice, check_generator, check_image, check_like, check_scale, fail
from .._random import randn

POOLS = ("bicubic", "binomial", "box")


class NeuralDegradation(nn.Module):
    """F(x; theta) = W * blocks2(pool(blocks1(x))), a block being z -> LeakyReLU_a(w * z) + b n (AND Sec. 3.1).

    w: 3x3 convolutions without bias (a bias moves colors only); a: one negative slope a channel; b n: noise, n standard normal.
    noise="amplitude": b is one number a channel, n is handed in as `draws`; noise="map": b n itself is the parameter, so that a
    deviation can place it pixel by pixel. blocks: how many before and after the pool; AND has 64 features and (5, 5) blocks.
    Edges are replicated. Built as the plainest identity (colors copied through channels 1 to 3); `identity_init` draws another.

    x (B, channels, H, W), sides divisible by scale (1 to 4) -> (B, channels, H/scale, W/scale), the grid of `bicubic`: no shift.
    Raises ValueError for other shapes, fewer features than channels, an unknown pool or noise.
    """

    def __init__(
        self,
        scale: int = 4,
        *,
        channels: int = 3,
        features: int = 64,
        blocks: tuple[int, int] = (5, 5),
        pool: str = "bicubic",
        noise: str = "amplitude",
    ) -> None:
        super().__init__()
        check_choice(pool, POOLS, "pool")
        check_choice(noise, ("amplitude", "map"), "noise")
        if features < channels or min(blocks) < 0 or sum(blocks) < 1 or channels < 1:
            fail(f"channels={channels}, features={features}, blocks={blocks}", "features >= channels, a block or more", "keep the defaults")
        self.scale, self.pool_name, self.noise = check_scale(scale), pool, noise
        self.channels, self.features, self.blocks = channels, features, tuple(blocks)
        ins = [channels, *[features] * sum(blocks)]
        self.convs = nn.ParameterList([torch.zeros(features, i, 3, 3) for i in ins[:-1]] + [torch.zeros(channels, features, 3, 3)])
        self.slopes = nn.ParameterList([torch.ones(features) for _ in ins[1:]])
        self.noises = nn.ParameterList([torch.zeros(1, features, 1, 1) for _ in ins[1:]])
        with torch.no_grad():
            for w in self.convs:
                w[..., 1, 1] = torch.eye(w.shape[0], w.shape[1])

    def forward(self, x: Tensor, draws: list[Tensor] | None = None) -> Tensor:
        """F(x). draws: the n of each block, from `draw_noise`; None: no noise of the kind "amplitude"."""
        self._check(x)
        z = x
        for i, (w, a, b) in enumerate(zip(self.convs, self.slopes, self.noises, strict=False)):
            if i == self.blocks[0]:
                z = self.pool(z)
            z = F.prelu(_conv(z, w), a)
            if self.noise == "map":
                z = z + b
            elif draws is not None:
                z = z + b * draws[i]
        if sum(self.blocks) == self.blocks[0]:
            z = self.pool(z)
        return _conv(z, self.convs[-1])

    def pool(self, x: Tensor) -> Tensor:
        """The anti-aliased reduction by `scale`, rows then columns; what F is at an identity. x with any number of channels."""
        if self.scale == 1:
            return x
        if self.pool_name == "bicubic":
            return F.interpolate(x, scale_factor=1 / self.scale, mode="bicubic", antialias=True)
        taps, s, c = antialias_taps(self.scale, self.pool_name).to(x), self.scale, x.shape[1]
        before = (len(taps) - s) // 2
        x = F.pad(x, (before, len(taps) - s - before) * 2, mode="replicate")
        x = F.conv2d(x, taps.view(1, 1, 1, -1).expand(c, 1, 1, -1), stride=(1, s), groups=c)
        return F.conv2d(x, taps.view(1, 1, -1, 1).expand(c, 1, -1, 1), stride=(s, 1), groups=c)

    def draw_noise(self, x: Tensor, *, generator: torch.Generator) -> list[Tensor]:
        """Standard normal n for each block, at the size that z has there: fixed during one search, or it would chase the noise."""
        h, w = x.shape[-2:]
        sizes = [(h, w)] * self.blocks[0] + [(h // self.scale, w // self.scale)] * self.blocks[1]
        return [randn((x.shape[0], self.features, *size), generator=check_generator(generator), like=x) for size in sizes]

    def groups(self) -> dict[str, tuple[str, ...]]:
        """The names of the parameters by kind: conv, noise, slope (AND Sec. 4.3 balances these three)."""
        names = [name for name, _ in self.named_parameters()]
        kinds = {"conv": "convs", "noise": "noises", "slope": "slopes"}
        return {kind: tuple(n for n in names if n.startswith(prefix)) for kind, prefix in kinds.items()}

    def _check(self, x: Tensor) -> None:
        check_image(x, "x", self.channels)
        check_like(x, self.convs[0], "x", "the net")
        if x.shape[-2] % self.scale or x.shape[-1] % self.scale:
            fail(f"x of {x.shape[-2]}x{x.shape[-1]} at scale {self.scale}", "sides divisible by the scale", "crop the picture")


@torch.no_grad()
def identity_init(net: NeuralDegradation, *, generator: torch.Generator, draw: str = "orthogonal") -> NeuralDegradation:
    """Another identity: W_last = pinv(W_n ... W_1), so that F(x) = pool(x) exactly, from a new point each time (AND Sec. 3.2).

    Only the center taps W_i of the convolutions are not 0; slopes 1, noise 0. draw: "orthogonal", uniformly random rotations,
    or "xavier", as printed: normal with variance 2 / (fan_in + fan_out). Both keep the variance of signals, but a product of
    normal matrices shrinks some directions, and dividing by them costs digits: in float32 rotations are exact to 1e-6 at any
    width, normal matrices only with many features. Changes `net` and returns it.
    """
    check_choice(draw, ("orthogonal", "xavier"), "draw")
    check_generator(generator)
    _plain(net)
    merged = torch.eye(net.channels, dtype=torch.float64)
    for w in list(net.convs)[:-1]:
        out, fan_in = w.shape[:2]
        center = randn((out, out if draw == "orthogonal" else fan_in), generator=generator).cpu().double()
        center = torch.linalg.qr(center)[0][:, :fan_in] if draw == "orthogonal" else center * sqrt(2 / (out + fan_in))
        w.zero_()[..., 1, 1] = center.to(w)
        merged = w[..., 1, 1].cpu().double() @ merged
    last = net.convs[len(net.convs) - 1]
    last.zero_()[..., 1, 1] = torch.linalg.pinv(merged).to(last)
    return net


@torch.no_grad()
def xavier_init(net: NeuralDegradation, *, generator: torch.Generator) -> NeuralDegradation:
    """No identity: all taps normal with variance 2 / (fan_in + fan_out), the ablation of AND Table 2 ("severe random style shift").

    Slopes become 0.2, or the net would stay linear; noise 0. Changes `net` and returns it.
    """
    check_generator(generator)
    _plain(net, slope=0.2)
    for w in net.convs:
        w.copy_(randn(w.shape, generator=generator, like=w) * sqrt(2 / (9 * (w.shape[0] + w.shape[1]))))
    return net


def antialias_taps(scale: int, pool: str) -> Tensor:
    """The filter of the reduction by `scale`, symmetric about the center of a low-resolution pixel, sum 1, float64.

    binomial: row 2 scale - 1 of Pascal's triangle; box: the plain mean. Against bicubic, binomial teaches a restorer to undo a
    blur that ordinary small pictures do not have; box lets more of the finest detail through.
    """
    if pool == "box":
        return torch.full((scale,), 1 / scale, dtype=torch.float64)
    row = torch.ones(1, dtype=torch.float64)
    for _ in range(2 * scale - 1):
        row = F.pad(row, (0, 1)) + F.pad(row, (1, 0))
    return row / row.sum()


def _conv(z: Tensor, w: Tensor) -> Tensor:
    return F.conv2d(F.pad(z, (1, 1, 1, 1), mode="replicate"), w)


def _plain(net: NeuralDegradation, slope: float = 1.0) -> None:
    for a in net.slopes:
        a.fill_(slope)
    for b in net.noises:
        b.zero_()
