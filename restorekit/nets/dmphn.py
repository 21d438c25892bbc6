"""DMPHN (Zhang, Dai, Li and Koniusz 2019): deblurring from small patches to the whole picture; stacked, and in the shape of a V."""

from __future__ import annotations

import os
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .._check import check_choice, check_image, check_like, fail
from ..weights import load_weights
from ._init import draw_weights

GRIDS = ((1, 1), (2, 1), (2, 2), (4, 2), (4, 4))  # patches at each level: rows, columns
_HALVINGS = 4  # an encoder's output has a quarter of the height and width
_PUBLISHED = {"1_2_4": (3, 1), "1_2_4_8": (4, 1), "stack2": (3, 2)}  # levels, stages
_FOLDERS = {"1_2_4": "dmphn_1_2_4", "1_2_4_8": "dmphn_1_2_4_8", "stack2": "stack2_dmphn"}
Features = list[Tensor]  # of the levels 1, 2, ...


class Encoder(nn.Module):
    """(B, 3, h, w) -> (B, 4 f, h/4, w/4): three scales, two residual blocks each, halved by strided convolutions."""

    def __init__(self, f: int = 32) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *(nn.Conv2d(3, f, 3, padding=1), _Residual(f), _Residual(f)),
            *(nn.Conv2d(f, 2 * f, 3, stride=2, padding=1), _Residual(2 * f), _Residual(2 * f)),
            *(nn.Conv2d(2 * f, 4 * f, 3, stride=2, padding=1), _Residual(4 * f), _Residual(4 * f)),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


class Decoder(nn.Module):
    """(B, 4 f, h/4, w/4) -> (B, 3, h, w): the encoder backwards, doubled by transposed convolutions."""

    def __init__(self, f: int = 32) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *(_Residual(4 * f), _Residual(4 * f), nn.ConvTranspose2d(4 * f, 2 * f, 4, stride=2, padding=1)),
            *(_Residual(2 * f), _Residual(2 * f), nn.ConvTranspose2d(2 * f, f, 4, stride=2, padding=1)),
            *(_Residual(f), _Residual(f), nn.Conv2d(f, 3, 3, padding=1)),
        )

    def forward(self, f: Tensor) -> Tensor:
        return self.layers(f)


class Pyramid(nn.Module):
    """One stage: levels l = L ... 1, each with an encoder E_l and a decoder D_l of its own, patches P_l of GRIDS[l - 1].

        f_l = E_l(P_l (x + r_{l+1})) + f_{l+1} + g_l        features, put together again from the patches
        r_l = D_l(P_{l-1} f_l)                              a residual, decoded on the patches of the next coarser level

    f_{L+1} = r_{L+1} = 0; g_l: features of the stage before (0 in the first). The result is r_1 and all f_l. carry: the stage
    before hands on a finished picture x, which is then added to r_2, as the published stacks do.
    """

    def __init__(self, levels: int, features: int) -> None:
        super().__init__()
        self.encoders = nn.ModuleList(Encoder(features) for _ in range(levels))
        self.decoders = nn.ModuleList(Decoder(features) for _ in range(levels))

    def forward(self, x: Tensor, before: Features | None = None, *, carry: bool = False) -> tuple[Tensor, Features]:
        levels = len(self.encoders)
        r, f, found = torch.zeros_like(x), x.new_zeros(()), Features()
        for l in range(levels, 0, -1):
            f = _by_patch(self.encoders[l - 1], x + r, GRIDS[l - 1]) + f
            if before is not None:
                f = f + before[l - 1]
            r = _by_patch(self.decoders[l - 1], f, GRIDS[max(l - 2, 0)])
            if carry and l == 2:
                r = r + x
            found.insert(0, f)
        return r, found


class Descent(nn.Module):
    """The first arm of a V: levels l = 1 ... L, from the whole picture to its patches; otherwise as `Pyramid`, D_l on P_l."""

    def __init__(self, levels: int, features: int) -> None:
        super().__init__()
        self.encoders = nn.ModuleList(Encoder(features) for _ in range(levels))
        self.decoders = nn.ModuleList(Decoder(features) for _ in range(levels))

    def forward(self, x: Tensor, before: Features | None = None) -> tuple[Tensor, Features]:
        r, f, found = torch.zeros_like(x), x.new_zeros(()), Features()
        for l, (encoder, decoder) in enumerate(zip(self.encoders, self.decoders, strict=True)):
            f = _by_patch(encoder, x + r, GRIDS[l]) + f
            if before is not None:
                f = f + before[l]
            r = _by_patch(decoder, f, GRIDS[l])
            found.append(f)
        return r, found


class DMPHN(nn.Module):
    """x = N(y), N a stack of `stages` pyramids of `levels` levels: 1-2-4 has 3 levels, 1-2-4-8 has 4, 1-2-4-8-16 has 5.

        s_1, f = Pyramid_1(y - 1/2);   s_k, f = Pyramid_k(s_{k-1}, f);   x = s_K + 1/2

    y (B, 3, H, W) RGB in [0, 1], any size: border pixels are repeated, below and on the right, up to a multiple of 4 times the
    patches. The result, in y's shape and dtype, is not clipped. A `Denoiser`: sigma may be handed in, but is not read. As in the
    published nets, level 2 of a later stage adds its input once more. Weights are drawn from `generator`; `load_dmphn` reads
    published ones. Raises ValueError or TypeError for bad pictures.
    """

    def __init__(self, levels: int = 3, stages: int = 1, *, features: int = 32, generator: torch.Generator) -> None:
        super().__init__()
        _check_sizes(levels, stages, features)
        self.levels = levels
        self.stages = nn.ModuleList(Pyramid(levels, features) for _ in range(stages))
        draw_weights(self, generator)

    def forward(self, y: Tensor, sigma: float | Tensor = 0.0) -> Tensor:
        """The deblurred picture; sigma is not read."""
        s, size, found = _prepared(y, self, self.levels), y.shape[-2:], None
        for k, stage in enumerate(self.stages):
            s, found = stage(s, found, carry=k > 0)
        return _finished(s, y, size)


class VMPHN(nn.Module):
    """The V-shaped variant: down from the whole picture to its patches, then up again as in `DMPHN`; a stack of `stages` of them.

        d, f = Descent(s - 1/2);   r, f = Pyramid(s - 1/2 + d, f)    for each stage, whose result is r + 1/2

    No weights and no drawing of the inner links of this variant are published; the links here are ours, the number of layers
    (twice a DMPHN's) is the paper's. Arguments and pictures as for `DMPHN`.
    """

    def __init__(self, levels: int = 3, stages: int = 1, *, features: int = 32, generator: torch.Generator) -> None:
        super().__init__()
        _check_sizes(levels, stages, features)
        self.levels = levels
        self.down = nn.ModuleList(Descent(levels, features) for _ in range(stages))
        self.up = nn.ModuleList(Pyramid(levels, features) for _ in range(stages))
        draw_weights(self, generator)

    def forward(self, y: Tensor, sigma: float | Tensor = 0.0) -> Tensor:
        """The deblurred picture; sigma is not read."""
        s, size, found = _prepared(y, self, self.levels), y.shape[-2:], None
        for down, up in zip(self.down, self.up, strict=True):
            d, found = down(s, found)
            s, found = up(s + d, found)
        return _finished(s, y, size)


def load_dmphn(name: str, folder: str | os.PathLike[str] | None = None) -> DMPHN:
    """DMPHN with published weights (trained on GoPro), on the CPU, without gradients.

    name: "1_2_4", "1_2_4_8", or "stack2" (two stages of 1-2-4). folder: that with encoder_lv1.pkl, decoder_lv1.pkl and so on, by
    default dmphn_1_2_4, dmphn_1_2_4_8 or stack2_dmphn below RESTOREKIT_WEIGHTS. Raises ValueError for another name or a damaged
    file, FileNotFoundError, RuntimeError for a checkpoint of another architecture.
    """
    check_choice(name, _PUBLISHED, "name")
    levels, stages = _PUBLISHED[name]
    net = DMPHN(levels, stages, generator=torch.Generator().manual_seed(0))
    base = Path(_FOLDERS[name] if folder is None else folder)
    for s, stage in enumerate(net.stages, start=1):
        for l in range(1, levels + 1):
            tag = f"s{s}_lv{l}" if stages > 1 else f"lv{l}"
            for kind, first in (("encoder", 1), ("decoder", 13)):
                weights = load_weights(base / f"{kind}_{tag}.pkl", published=True, rename=_our_name(first))
                getattr(stage, f"{kind}s")[l - 1].load_state_dict(weights)
    return net.eval().requires_grad_(False).to(memory_format=torch.channels_last)  # type: ignore[call-overload]


class _Residual(nn.Module):
    """x + conv(relu(conv(x)))."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.res = nn.Sequential(nn.Conv2d(channels, channels, 3, padding=1), nn.ReLU(), nn.Conv2d(channels, channels, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.res(x)


def _our_name(first: int) -> dict[str, str]:
    """Published numbers count some layers that have no weights: 1, 2, 3, 5, 6, 7, 9, ... from `first`, 14 (blocks at once) after 13."""
    numbers = (1, 2, 3, 5, 6, 7, 9, 10, 11) if first == 1 else (13, 14, 16, 17, 18, 20, 21, 22, 24)
    blocks = (2, 3, 6, 7, 10, 11, 13, 14, 17, 18, 21, 22)
    return {f"layer{n}.": f"layers.{i}." + ("res." if n in blocks else "") for i, n in enumerate(numbers)}


def _by_patch(layer: nn.Module, x: Tensor, grid: tuple[int, int]) -> Tensor:
    """`layer` on each patch of a grid (rows, columns) by itself, put together again."""
    rows, columns = grid
    if grid == (1, 1):
        return layer(x)
    b, c, h, w = x.shape
    tiles = x.reshape(b, c, rows, h // rows, columns, w // columns).permute(0, 2, 4, 1, 3, 5).flatten(0, 2)
    out = layer(tiles).unflatten(0, (b, rows, columns))
    return out.permute(0, 3, 1, 4, 2, 5).flatten(4, 5).flatten(2, 3)


def _prepared(y: Tensor, net: nn.Module, levels: int) -> Tensor:
    """y - 1/2 in the net's dtype, its sides repeated up to what the grid of patches needs."""
    check_image(y, "y", 3)
    first: Tensor = next(net.parameters())
    check_like(y.to(first.dtype), first, "y", "the net")
    h, w = (_HALVINGS * max(grid[i] for grid in GRIDS[:levels]) for i in (0, 1))
    return F.pad(y.to(first.dtype), (0, -y.shape[-1] % w, 0, -y.shape[-2] % h), mode="replicate") - 0.5


def _finished(s: Tensor, y: Tensor, size: torch.Size) -> Tensor:
    return (s + 0.5)[..., : size[0], : size[1]].to(y.dtype)


def _check_sizes(levels: int, stages: int, features: int) -> None:
    if not 1 <= levels <= len(GRIDS) or min(stages, features) < 1:
        fail(f"levels={levels}, stages={stages}, features={features}", f"levels 1 to {len(GRIDS)}, others from 1", "keep the defaults")
