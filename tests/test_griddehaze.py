"""GridDehazeNet: its grid against a walk over all paths, sizes, the map, bad input."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from restorekit.nets import GridDehazeNet, light_griddehaze
from restorekit.nets.griddehaze import DenseResidual, Double, Halve


def gen(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def drawn(*shape: int, seed: int = 1) -> Tensor:
    return torch.rand(shape, generator=gen(seed))


def small(**options) -> GridDehazeNet:
    return GridDehazeNet(widths=(2, 3, 4), columns=4, growth=2, layers=2, **options, generator=gen())


class _Times(nn.Module):
    """Multiplies by a number and brings (B, a, H, W) to the given maps, at another size."""

    def __init__(self, factor: float, maps: int, grow: float = 1.0) -> None:
        super().__init__()
        self.factor, self.maps, self.grow = factor, maps, grow

    def forward(self, v: Tensor) -> Tensor:
        size = [int(n * self.grow) for n in v.shape[-2:]]
        return v.new_full((v.shape[0], self.maps, *size), self.factor * v.mean().item())


def test_the_grid_sums_over_all_ways_down_and_up():
    net = small()
    for name, n in (("dense", (2, 3, 4)), ("down", (2, 3, 4)), ("up", (2, 3, 4))):
        parts, grow = getattr(net, name), {"dense": 1.0, "down": 0.5, "up": 2.0}[name]
        for key in list(parts.keys()):
            parts[key] = _Times({"dense": 2.0, "down": 3.0, "up": 5.0}[name], n[int(key[0])], grow)
    with torch.no_grad():
        for a in net.attention.values():
            a[0], a[1] = 0.5, 0.1
    along, down, up = 0.5 * 2, 0.1 * 3, 0.1 * 5
    # columns 0, 1 lead down, 2, 3 up: where a way turns down and up is chosen freely
    top = [1.0, down, down**2]
    for _ in range(1):
        top = [along * top[0], along * top[1], along * top[2]]
        top[1] += down * top[0]
        top[2] += down * top[1]
    for _ in range(2):
        top = [along * v for v in top]
        top[1] += up * top[2]
        top[0] += up * top[1]
    assert net._grid(torch.ones(1, 2, 8, 8)).mean().item() == pytest.approx(top[0], rel=1e-5)


def test_parts_have_their_sizes():
    v = drawn(1, 4, 8, 12)
    assert Halve(4, 6)(v).shape == (1, 6, 4, 6) and Double(4, 2)(v).shape == (1, 2, 16, 24)
    dense = DenseResidual(4, 2, 3)
    with torch.no_grad():
        dense.fuse.weight.zero_()
        dense.fuse.bias.zero_()
    assert torch.equal(dense(v), v)


def test_the_papers_size():
    net = GridDehazeNet(generator=gen())
    assert sum(isinstance(m, DenseResidual) for m in net.modules()) == 3 * 5 + 2
    assert sum(isinstance(m, Halve) for m in net.modules()) == sum(isinstance(m, Double) for m in net.modules()) == 6
    assert 9e5 < sum(p.numel() for p in net.parameters()) < 1e6  # the paper's code has 0.96 million


def test_any_size_and_a_start_near_the_picture():
    y = drawn(2, 3, 13, 18)
    x = light_griddehaze(generator=gen())(y)
    assert x.shape == y.shape and (x - y).abs().mean() < 0.05


def test_the_map_counts():
    net, y = small(guided=True).double(), drawn(2, 3, 12, 12).double()
    near, far = torch.ones(1, 1, 12, 12).double(), torch.full((2, 1, 12, 12), 9.0).double()
    assert not torch.allclose(net(y, near), net(y, far))
    assert torch.equal(net(y, near), net(y, near.expand(2, -1, -1, -1)))


def test_every_weight_has_a_part_in_the_result():
    net = light_griddehaze(guided=True, generator=gen())
    net(drawn(1, 3, 16, 16), drawn(1, 1, 16, 16)).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in net.parameters())


def test_same_seed_same_weights():
    a, b, c = (small_weights(s) for s in (0, 0, 1))
    assert torch.equal(a, b) and not torch.equal(a, c)


def small_weights(seed: int) -> Tensor:
    return torch.cat([p.flatten() for p in light_griddehaze(generator=gen(seed)).parameters()])


def test_bad_input():
    y = drawn(1, 3, 8, 8)
    with pytest.raises(ValueError, match="a map if and only if"):
        small()(y, y[:, :1])
    with pytest.raises(ValueError, match="columns even"):
        GridDehazeNet(columns=3, generator=gen())
    with pytest.raises(ValueError, match="sides from 4"):
        small()(y[..., :2, :2])
