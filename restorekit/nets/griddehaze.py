"""GridDehazeNet (Liu et al. 2019): haze removed on a grid of three sizes, told how far everything is or not."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .._check import check_choice, check_image, check_like, fail
from ._init import draw_weights
from .prenet import check_map

_SMALL = 0.1  # of the usual size: the last convolution's first weights, so that an untrained net hardly changes the picture


class DenseResidual(nn.Module):
    """v + p(v, u_1 .. u_L), u_i = relu(c_i(v, u_1 .. u_{i-1})): L convolutions 3x3 of `growth` maps, then one 1x1 without ReLU."""

    def __init__(self, features: int, growth: int, layers: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv2d(features + i * growth, growth, 3, padding=1) for i in range(layers))
        self.fuse = nn.Conv2d(features + layers * growth, features, 1)

    def forward(self, v: Tensor) -> Tensor:
        seen = v
        for conv in self.convs:
            seen = torch.cat([seen, torch.relu(conv(seen))], 1)
        return v + self.fuse(seen)


class Halve(nn.Sequential):
    """(B, a, H, W) -> (B, b, H / 2, W / 2): a convolution of stride 2, then one that sets the number of maps, each with ReLU."""

    def __init__(self, a: int, b: int) -> None:
        super().__init__(nn.Conv2d(a, a, 3, 2, 1), nn.ReLU(), nn.Conv2d(a, b, 3, padding=1), nn.ReLU())


class Double(nn.Sequential):
    """(B, a, H, W) -> (B, b, 2 H, 2 W): `Halve` with the transposed convolution first."""

    def __init__(self, a: int, b: int) -> None:
        super().__init__(nn.ConvTranspose2d(a, a, 3, 2, 1, output_padding=1), nn.ReLU(), nn.Conv2d(a, b, 3, padding=1), nn.ReLU())


class GridDehazeNet(nn.Module):
    """x = y + after(grid(before(y, map))): rows are sizes, columns are depth; the first half of the columns leads down, the rest up.

        F[r, c] = a[r, c] dense(F[r, c-1]) + b[r, c] (halve(F[r-1, c]) or double(F[r+1, c]))

    Row r has widths[r] maps at 1 / 2^r of the sides; a, b are learned, one number a map, 1 at the start (the net's attention).
    before, after: a convolution 3x3 and a `DenseResidual`. Defaults: the paper's 3 rows and 6 columns. Departure: y is added at the
    end, so that a short training starts from the picture. y (B, channels, H, W) in [0, 1], result not clipped; sides that 2^(rows-1)
    does not divide are mirrored. unshuffle: 2 starts the grid at half the sides, four channels for one. guided: a map
    (B or 1, 1, H, W), such as the depth, is one more input channel (Bilevel Sec. 4.3). Weights are drawn
    from `generator`. Raises ValueError for an odd number of columns, other channels, a map missing or superfluous.
    """

    def __init__(
        self,
        channels: int = 3,
        *,
        widths: Sequence[int] = (16, 32, 64),
        columns: int = 6,
        growth: int = 16,
        layers: int = 4,
        unshuffle: int = 1,
        guided: bool = False,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        if min(channels, growth, layers, columns, *widths) < 1 or columns % 2:
            got = f"channels={channels}, widths={tuple(widths)}, columns={columns}, growth={growth}, layers={layers}"
            fail(got, "1 or more of each, columns even", "keep the defaults")
        check_choice(unshuffle, (1, 2), "unshuffle")
        self.channels, self.guided, self.unshuffle, self.columns, self.rows = channels, guided, unshuffle, columns, len(widths)
        parts = unshuffle**2
        first = nn.Conv2d(parts * (channels + guided), widths[0], 3, padding=1)
        self.before = nn.Sequential(first, DenseResidual(widths[0], growth, layers))
        self.dense = nn.ModuleDict({f"{r}_{c}": DenseResidual(n, growth, layers) for r, n in enumerate(widths) for c in range(1, columns)})
        halves, doubles = range(columns // 2), range(columns // 2, columns)
        steps = [(r, widths[r - 1], widths[r]) for r in range(1, len(widths))]
        self.down = nn.ModuleDict({f"{r}_{c}": Halve(a, b) for r, a, b in steps for c in halves})
        self.up = nn.ModuleDict({f"{r - 1}_{c}": Double(b, a) for r, a, b in steps for c in doubles})
        self.attention = nn.ParameterDict(
            {f"{r}_{c}": nn.Parameter(torch.ones(2, n, 1, 1)) for r, n in enumerate(widths) for c in range(columns) if r or c}
        )
        self.after = nn.Sequential(DenseResidual(widths[0], growth, layers), nn.Conv2d(widths[0], parts * channels, 3, padding=1))
        draw_weights(self, generator)
        with torch.no_grad():
            for p in self.after[-1].parameters():
                p.mul_(_SMALL)

    def forward(self, y: Tensor, map: Tensor | None = None) -> Tensor:
        """y without haze."""
        check_like(check_image(y, "y", self.channels), next(self.parameters()), "y", "the net")
        map = check_map(y, map, self.guided)
        H, W = y.shape[-2:]
        multiple = self.unshuffle * 2 ** (self.rows - 1)
        if min(H, W) < multiple:
            fail(f"y of {H}x{W}", f"sides from {multiple}", "use a larger picture")
        given = F.pad(y if map is None else torch.cat([y, map], 1), (0, -W % multiple, 0, -H % multiple), mode="reflect")
        out = self.after(self._grid(self.before(F.pixel_unshuffle(given, self.unshuffle))))
        return y + F.pixel_shuffle(out, self.unshuffle)[..., :H, :W]

    def _grid(self, first: Tensor) -> Tensor:
        """F[0, columns - 1]."""
        row: list[Tensor] = []
        for c in range(self.columns):
            leads_down = c < self.columns // 2
            new: dict[int, Tensor] = {}
            for r in range(self.rows) if leads_down else reversed(range(self.rows)):
                if r == c == 0:
                    new[0] = first
                    continue
                a, b = self.attention[f"{r}_{c}"]
                v = a * self.dense[f"{r}_{c}"](row[r]) if c else None
                if leads_down and r:
                    v = _sum(v, b * self.down[f"{r}_{c}"](new[r - 1]))
                if not leads_down and r + 1 < self.rows:
                    v = _sum(v, b * self.up[f"{r}_{c}"](new[r + 1]))
                assert v is not None
                new[r] = v
            row = [new[r] for r in range(self.rows)]
        return row[0]


def light_griddehaze(channels: int = 3, *, guided: bool = False, generator: torch.Generator) -> GridDehazeNet:
    """The small one that this package trains: `GridDehazeNet` with 4 columns, 2 dense layers, 16, 32 and 48 maps, at half resolution.

    Its weights lie channels last, which a CPU works through faster.
    """
    net = GridDehazeNet(channels, widths=(16, 32, 48), columns=4, layers=2, unshuffle=2, guided=guided, generator=generator)
    return net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def _sum(a: Tensor | None, b: Tensor) -> Tensor:
    return b if a is None else a + b
