"""The restorer G: RRDB of ESRGAN (Wang et al. 2018) in the paper's size and in a light one."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from math import sqrt

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .._check import check_choice, check_image, check_like, check_scale, fail
from ..weights import load_weights, shipped
from ._init import draw_weights

SLOPE = 0.2  # of every LeakyReLU
SHARE = 0.2  # residual scaling: this much of each block's result is added to its input
_STEPS = {1: (), 2: (2,), 3: (3,), 4: (2, 2)}  # enlargements by nearest neighbor, one after the other
_DENSE = re.compile(r"(?:model\.1\.sub|RRDB_trunk|body)\.(\d+)\.(?:RDB|rdb)(\d)\.conv(\d)(?:\.0)?")
_FIRST_TRUNK = re.compile(r"model\.1\.sub\.\d+")
_PUBLISHED = {  # the other layers; the first release counts them, so that a number means one layer whatever the scale
    **dict.fromkeys(("conv_first", "model.0"), "head"),
    **dict.fromkeys(("trunk_conv", "conv_body"), "trunk"),
    **dict.fromkeys(("upconv1", "conv_up1", "model.3"), "up.conv1"),
    **dict.fromkeys(("upconv2", "conv_up2", "model.6"), "up.conv2"),
    **dict.fromkeys(("HRconv", "conv_hr", "model.2", "model.5", "model.8"), "up.last"),
    **dict.fromkeys(("conv_last", "model.4", "model.7", "model.10"), "tail"),
}
_DAMPED = 0.1  # ESRGAN starts the convolutions of the dense blocks at a tenth of He's size


class DenseBlock(nn.Module):
    """v + 0.2 c_5(v, u_1 .. u_4), u_i = LeakyReLU(c_i(v, u_1 .. u_{i-1})): five convolutions 3x3, each sees all before it."""

    def __init__(self, features: int, growth: int) -> None:
        super().__init__()
        outputs = (growth, growth, growth, growth, features)
        self.convs = nn.ModuleList(_conv(features + i * growth, n) for i, n in enumerate(outputs))

    def forward(self, v: Tensor) -> Tensor:
        *inner, last = self.convs
        seen = v
        for conv in inner:
            seen = torch.cat([seen, _leaky(conv(seen))], 1)
        return torch.add(v, last(seen), alpha=SHARE)


class ResidualInResidual(nn.Module):
    """v + 0.2 (three dense blocks one after the other)(v)."""

    def __init__(self, features: int, growth: int) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*(DenseBlock(features, growth) for _ in range(3)))

    def forward(self, v: Tensor) -> Tensor:
        return torch.add(v, self.blocks(v), alpha=SHARE)


class RRDB(nn.Module):
    """G(y) = tail(up(f + trunk(blocks(f)))), f = head(y): `blocks` residual-in-residual dense blocks, all at y's size.

    y (B, channels, h, w) -> (B, channels, s h, s w), not clipped; zeros outside the picture. All convolutions are 3x3, LeakyReLU
    has slope 0.2, residuals are scaled by 0.2. The defaults are ESRGAN's (Wang et al. 2018, used in AND Sec. 3.4).
    upsampler: 'nearest' repeats pixels, by 2 twice for scale 4, with a convolution and LeakyReLU after each, and one more of both;
    'shuffle' has one convolution to `growth` maps for each of the s^2 pixels that y's pixel becomes, LeakyReLU, and puts them in
    place: only `tail` works at full size. residual: the bicubic enlargement is added and `tail` starts small, so that an
    untrained net is nearly bicubic interpolation (at scale 1: the identity). Weights are drawn from `generator`.
    Raises ValueError for another scale, upsampler, number of channels, device, and TypeError for another dtype than the net's.
    """

    def __init__(
        self,
        scale: int,
        *,
        channels: int = 3,
        features: int = 64,
        blocks: int = 23,
        growth: int = 32,
        upsampler: str = "nearest",
        residual: bool = False,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.scale, self.channels, self.residual = check_scale(scale), channels, residual
        check_choice(upsampler, ("nearest", "shuffle"), "upsampler")
        if min(channels, features, blocks, growth) < 1:
            got = f"channels={channels}, features={features}, blocks={blocks}, growth={growth}"
            fail(got, "1 or more of each", "keep the defaults")
        self.head = _conv(channels, features)
        self.blocks = nn.Sequential(*(ResidualInResidual(features, growth) for _ in range(blocks)))
        self.trunk = _conv(features, features)
        self.up: nn.Sequential = _nearest(scale, features) if upsampler == "nearest" else _shuffle(scale, features, growth)
        self.tail = _conv(features if upsampler == "nearest" else growth, channels)
        self._draw(generator)

    @torch.no_grad()
    def _draw(self, generator: torch.Generator) -> None:
        draw_weights(self, generator)
        for conv in self.blocks.modules():
            if isinstance(conv, nn.Conv2d):
                _damp(conv, _DAMPED * sqrt(6))
        if self.residual:
            _damp(self.tail, _DAMPED)

    def forward(self, y: Tensor) -> Tensor:
        """The restored picture."""
        check_image(y, "y", self.channels)
        check_like(y, self.head.weight, "y", "the net")
        f = self.head(y)
        x = self.tail(self.up(f + self.trunk(self.blocks(f))))
        return x + _enlarged(y, self.scale) if self.residual else x


def light_rrdb(scale: int, channels: int = 3, *, generator: torch.Generator) -> RRDB:
    """The small restorer that this package trains: `RRDB` with 24 features, 2 blocks, growth 8, shuffled, added to bicubic.

    Its weights lie channels last, which a CPU works through faster.
    """
    net = RRDB(scale, channels=channels, features=24, blocks=2, growth=8, upsampler="shuffle", residual=True, generator=generator)
    return net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def load_restorer(method: str, scale: int, channels: int = 3, path: str | os.PathLike[str] | None = None) -> RRDB:
    """The trained `light_rrdb` that ships with the package, on the CPU, in float32, without gradients.

    method: what it was trained against: 'classical', 'random', 'adversarial' or 'pipeline'. scale 2 and 4 in color, scale 1 (random
    and adversarial) in color and gray. path: another file of `python -m restorekit weights train`. What it was trained on, by
    which command and with which scores stands in the JSON beside the file. Raises ValueError for other names, FileNotFoundError
    for weights that are not there.
    """
    check_choice(method, ("classical", "random", "adversarial", "pipeline"), "method")
    check_choice(channels, (1, 3), "channels")
    name = f"and_{method}_x{check_scale(scale)}{'_gray' if channels == 1 else ''}"
    net = light_rrdb(scale, channels, generator=torch.Generator().manual_seed(0))
    net.load_state_dict(load_weights(shipped(name) if path is None else path))
    return net.eval().requires_grad_(False)


def blind_denoiser(net: RRDB) -> Callable[[Tensor, float | Tensor], Tensor]:
    """D(x, sigma) = net(x): a restorer of scale 1 as a `Denoiser` for every solver; it is told no level, sigma is not looked at.

    The result has x's dtype. ValueError for another scale.
    """
    if net.scale != 1:
        fail(f"a restorer of scale {net.scale}", "scale 1", "load_restorer(method, 1)")
    return lambda x, sigma: net(x.to(net.head.weight)).to(x)


def load_esrgan(path: str | os.PathLike[str], *, scale: int | None = None, sha256: str | None = None) -> RRDB:
    """`RRDB` with published weights of ESRGAN's kind, strictly matched by name and shape, on the CPU, without gradients.

    path: a checkpoint in the naming of ESRGAN's first release (model.0), of its second (conv_first, RRDB_trunk), which BSRGAN
    has too, or of Real-ESRGAN (conv_first, body), or its name below RESTOREKIT_WEIGHTS. All sizes are read off the tensors, and
    so is the scale, by the number of enlargements: none 1, one 2, two 4; say scale=3 for a single one by 3. sha256: its checksum.
    Raises FileNotFoundError, ValueError for a damaged file, other names, a scale that does not fit, or a net that first folds
    the picture into more channels (Real-ESRGAN at scales 1 and 2), RuntimeError where names or shapes are left over or missing.
    """
    weights = load_weights(path, sha256=sha256, published=True, rename=_our_name)
    first = "blocks.0.blocks.0.convs.0.weight"
    if not {"head.weight", first, "tail.weight"} <= weights.keys():
        fail(f"{path} with tensors such as {next(iter(weights), None)!r}", "an RRDB of ESRGAN, BSRGAN or Real-ESRGAN", "check the file")
    head, growth = weights["head.weight"], weights[first].shape[0]
    channels = weights["tail.weight"].shape[0]
    if head.shape[1] != channels:
        fail(
            f"{path} with {head.shape[1]} channels in and {channels} out", "as many in as out", "take a checkpoint without pixel-unshuffle"
        )
    steps = sum(f"up.conv{i}.weight" in weights for i in (1, 2))
    scale = (1, 2, 4)[steps] if scale is None else check_scale(scale)
    if len(_STEPS[scale]) != steps:
        fail(f"scale={scale} for {path}, which enlarges {steps} times", "the scale it was trained for", "leave scale out")
    blocks = sum(name.endswith("blocks.0.convs.0.weight") for name in weights)
    generator = torch.Generator().manual_seed(0)
    net = RRDB(scale, channels=channels, features=head.shape[0], blocks=blocks, growth=growth, generator=generator)
    net.load_state_dict(weights)
    return net.eval().requires_grad_(False)


def _our_name(name: str) -> str:
    """A published name in ours; a name that is none of these stays."""
    stem, _, kind = name.rpartition(".")
    if dense := _DENSE.fullmatch(stem):
        block, part, conv = (int(n) for n in dense.groups())
        return f"blocks.{block}.blocks.{part - 1}.convs.{conv - 1}.{kind}"
    ours = "trunk" if _FIRST_TRUNK.fullmatch(stem) else _PUBLISHED.get(stem, stem)
    return f"{ours}.{kind}"


def _conv(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, padding=1)


def _damp(conv: nn.Conv2d, factor: float) -> None:
    conv.weight *= factor
    if conv.bias is not None:
        conv.bias.zero_()


def _leaky(v: Tensor) -> Tensor:
    return F.leaky_relu_(v, SLOPE)


def _nearest(scale: int, features: int) -> nn.Sequential:
    up = nn.Sequential()
    for i, s in enumerate(_STEPS[scale], start=1):
        up.add_module(f"repeat{i}", nn.Upsample(scale_factor=s))
        up.add_module(f"conv{i}", _conv(features, features))
        up.add_module(f"leaky{i}", nn.LeakyReLU(SLOPE, inplace=True))
    up.add_module("last", _conv(features, features))
    up.add_module("leaky", nn.LeakyReLU(SLOPE, inplace=True))
    return up


def _shuffle(scale: int, features: int, growth: int) -> nn.Sequential:
    return nn.Sequential(_conv(features, growth * scale**2), nn.LeakyReLU(SLOPE, inplace=True), nn.PixelShuffle(scale))


def _enlarged(y: Tensor, scale: int) -> Tensor:
    """`bicubic(y, scale)` of restorekit, by torch's own code."""
    return y if scale == 1 else F.interpolate(y, scale_factor=scale, mode="bicubic", align_corners=False)
