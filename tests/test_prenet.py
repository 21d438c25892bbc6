"""PReNet: against a second implementation in published names, its map, its stages, the published figures."""

from __future__ import annotations

import os

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from restorekit.nets import PReNet, light_prenet, load_prenet
from restorekit.weights import load_weights

needs_weights = pytest.mark.skipif(not os.environ.get("RESTOREKIT_WEIGHTS"), reason="RESTOREKIT_WEIGHTS not set")


def gen(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def drawn(*shape: int, seed: int = 1) -> Tensor:
    return torch.rand(shape, generator=gen(seed))


def small(**options) -> PReNet:
    return PReNet(3, 4, 3, blocks=2, generator=gen(), **options)


def names(net: int = 6) -> dict[str, tuple[int, ...]]:
    """Published names and shapes, 32 features."""
    shapes = {"conv0.0": (32, 6), "conv.0": (3, 32)}
    shapes |= {f"conv_{gate}.0": (32, 64) for gate in "ifgo"}
    shapes |= {f"res_conv{b}.{layer}": (32, 32) for b in range(1, 6) for layer in (0, 2)}
    out: dict[str, tuple[int, ...]] = {}
    for name, (a, b) in shapes.items():
        out |= {f"{name}.weight": (a, b, 3, 3), f"{name}.bias": (a,)}
    return out


def by_the_description(y: Tensor, w: dict[str, Tensor], stages: int = 6) -> Tensor:
    """The forward pass as the checkpoint's description tells it, gate by gate."""

    def conv(name: str, v: Tensor) -> Tensor:
        return F.conv2d(v, w[f"{name}.weight"], w[f"{name}.bias"], padding=1)

    x, h, c = y, torch.zeros(y.shape[0], 32, *y.shape[2:]), torch.zeros(y.shape[0], 32, *y.shape[2:])
    for _ in range(stages):
        v = torch.cat([F.relu(conv("conv0.0", torch.cat([y, x], 1))), h], 1)
        i, f, o = (torch.sigmoid(conv(f"conv_{gate}.0", v)) for gate in "ifo")
        c = f * c + i * torch.tanh(conv("conv_g.0", v))
        h = o * torch.tanh(c)
        v = h
        for b in range(1, 6):
            v = F.relu(F.relu(conv(f"res_conv{b}.2", F.relu(conv(f"res_conv{b}.0", v)))) + v)
        x = conv("conv.0", v) + y
    return x


def test_published_names_give_the_described_map(tmp_path):
    weights = {name: 0.1 * torch.randn(shape, generator=gen(i)) for i, (name, shape) in enumerate(names().items())}
    torch.save(weights, tmp_path / "net.pth")
    y = drawn(1, 3, 9, 12)
    net = load_prenet("rain100h", tmp_path / "net.pth")
    assert torch.allclose(net(y), by_the_description(y, weights), atol=1e-5)
    assert not any(p.requires_grad for p in net.parameters())


def test_another_architecture_is_refused(tmp_path):
    weights = {name: torch.zeros(shape) for name, shape in names().items()}
    torch.save({**weights, "extra.weight": torch.zeros(1)}, tmp_path / "more.pth")
    del weights["conv_f.0.weight"]
    torch.save(weights, tmp_path / "less.pth")
    for file in ("more.pth", "less.pth"):
        with pytest.raises(RuntimeError):
            load_prenet("rain100l", tmp_path / file)
    with pytest.raises(ValueError, match="rain100"):
        load_prenet("rain1000")


def test_steps_end_in_the_result_and_remember():
    net, y = small(), drawn(2, 3, 8, 10)
    stages = list(net.steps(y))
    assert len(stages) == 3 and torch.equal(stages[-1].x, net(y))
    assert stages[0].h.shape == (2, 4, 8, 10) and not torch.equal(stages[0].c, stages[1].c)
    assert stages[0].h.abs().max() < 1


def test_an_untrained_net_hardly_changes_the_picture():
    y = drawn(1, 3, 16, 16)
    for net in (small(), light_prenet(generator=gen()), small(unshuffle=2)):
        assert (net(y) - y).abs().mean() < 0.05


@pytest.mark.parametrize("unshuffle", [1, 2])
def test_the_map_counts_and_odd_sides_stay(unshuffle):
    net = small(guided=True, unshuffle=unshuffle).double()
    y = drawn(2, 3, 9, 11).double()
    here, there = torch.zeros(1, 1, 9, 11).double(), torch.ones(2, 1, 9, 11).double()
    assert net(y, here).shape == y.shape
    assert not torch.allclose(net(y, here), net(y, there))
    assert torch.equal(net(y, here), net(y, here.expand(2, -1, -1, -1)))


def test_unshuffled_far_from_the_border_shifts_with_the_picture():
    net = PReNet(3, 4, 1, blocks=1, unshuffle=2, generator=gen()).double()
    y = drawn(1, 3, 40, 40).double()
    a, b = net(y)[..., 16:24, 16:24], net(y.roll((2, 4), (2, 3)))[..., 18:26, 20:28]
    assert torch.allclose(a, b)


def test_same_seed_same_weights():
    a, b, c = (light_prenet(generator=gen(s)).state_dict() for s in (0, 0, 1))
    assert all(torch.equal(a[n], b[n]) for n in a) and not torch.equal(a["head.weight"], c["head.weight"])


def test_bad_input():
    y = drawn(1, 3, 8, 8)
    with pytest.raises(ValueError, match="a map if and only if"):
        small()(y, y[:, :1])
    with pytest.raises(ValueError, match="a map if and only if"):
        small(guided=True)(y)
    with pytest.raises(ValueError, match="one number a pixel"):
        small(guided=True)(y, y[:, :1, :4])
    with pytest.raises(ValueError, match="1 channels"):
        small()(y[:, :1])
    for options in ({"features": 0}, {"stages": 0}, {"blocks": 0}, {"unshuffle": 3}):
        with pytest.raises(ValueError, match="Allowed"):
            PReNet(**options, generator=gen())


@needs_weights
@pytest.mark.parametrize("name", ["rain100h", "rain100l"])
def test_published_weights_load(name):
    y = drawn(1, 3, 8, 8)
    published = load_weights(f"prenet_{name}", published=True)
    assert torch.allclose(load_prenet(name)(y), by_the_description(y, published), atol=1e-5)
