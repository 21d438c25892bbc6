"""The identity network: exactly the reduction, from many points; pools against torch; noise, slopes, errors."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

import restorekit as rk
from restorekit.nets.degradation_net import POOLS, NeuralDegradation, antialias_taps, identity_init, xavier_init


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def picture(channels: int = 3, size: int = 24, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.rand(2, channels, size, size, generator=seeded(9)).to(dtype)


def gap(net: NeuralDegradation, x: torch.Tensor) -> float:
    return float((net(x) - net.pool(x)).detach().abs().max())


@pytest.mark.parametrize("scale", [1, 2, 3, 4])
@pytest.mark.parametrize(("features", "blocks"), [(64, (5, 5)), (32, (5, 5)), (32, (2, 2)), (16, (1, 0)), (3, (0, 1))])
@pytest.mark.parametrize("channels", [1, 3])
def test_identity_is_exact(scale: int, features: int, blocks: tuple[int, int], channels: int) -> None:
    for noise, pool in (("amplitude", "bicubic"), ("map", "binomial")):
        net = NeuralDegradation(scale, channels=channels, features=features, blocks=blocks, noise=noise, pool=pool)
        assert gap(net.double(), picture(channels)) < 1e-13  # the plain one, as built
        assert gap(identity_init(net, generator=seeded(1)), picture(channels)) < 1e-12
        if features >= 32:
            assert gap(identity_init(net.float(), generator=seeded(2)), picture(channels, dtype=torch.float32)) < 1e-6


def test_xavier_draw_is_exact_in_double_but_loses_digits() -> None:
    x = picture()
    worst = {}
    for draw in ("orthogonal", "xavier"):
        nets = [identity_init(NeuralDegradation(1, features=16), generator=seeded(i), draw=draw) for i in range(8)]
        worst[draw] = max(gap(net, x.float()) for net in nets)
        assert max(gap(identity_init(net.double(), generator=seeded(i), draw=draw), x) for i, net in enumerate(nets)) < 1e-12
    assert worst["orthogonal"] < 1e-6 < worst["xavier"]


def test_identities_differ_but_one_seed_gives_one() -> None:
    a, b, c = (identity_init(NeuralDegradation(2, features=16, blocks=(1, 1)), generator=seeded(s)) for s in (0, 0, 1))
    assert torch.equal(a.convs[0], b.convs[0])
    assert (a.convs[1] - c.convs[1]).abs().max() > 0.1


def test_only_centers_are_filled_and_slopes_are_one() -> None:
    net = identity_init(NeuralDegradation(2, features=16, blocks=(1, 2)), generator=seeded())
    for w in net.convs:
        edge = w.detach().clone()
        edge[..., 1, 1] = 0
        assert edge.abs().max() == 0
    assert all(bool((a == 1).all()) for a in net.slopes)
    assert all(bool((b == 0).all()) for b in net.noises)
    assert [tuple(w.shape[:2]) for w in net.convs] == [(16, 3), (16, 16), (16, 16), (3, 16)]


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_bicubic_pool_is_the_reduction_of_the_package(scale: int) -> None:
    x = picture()
    expected = F.interpolate(x, scale_factor=1 / scale, mode="bicubic", antialias=True)
    assert torch.equal(NeuralDegradation(scale).double().pool(x), expected)


@pytest.mark.parametrize("pool", ["binomial", "box"])
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_other_pools_by_brute_force(scale: int, pool: str) -> None:
    x = picture(1, 12)
    taps = antialias_taps(scale, pool)
    assert torch.allclose(taps.sum(), torch.ones((), dtype=taps.dtype))
    assert torch.allclose(taps, taps.flip(0))
    y = NeuralDegradation(scale, channels=1, features=4, pool=pool).double().pool(x)
    before = (len(taps) - scale) // 2
    for row, column in ((0, 0), (1, 2), (2, 1)):
        rows = (torch.arange(len(taps)) + row * scale - before).clamp(0, 11)
        columns = (torch.arange(len(taps)) + column * scale - before).clamp(0, 11)
        assert torch.allclose(y[0, 0, row, column], (x[0, 0][rows][:, columns] * taps * taps[:, None]).sum())


@pytest.mark.parametrize("pool", POOLS)
def test_pools_do_not_shift(pool: str) -> None:
    ramp = torch.arange(48, dtype=torch.float64)[None, None, None].expand(1, 1, 48, 48) / 48
    y = NeuralDegradation(2, channels=1, features=4, pool=pool).double().pool(ramp)
    assert torch.allclose(y[..., 4:-4, 4:-4], ramp[..., 8:-8:2, 8:-8:2] + 0.5 / 48)


def test_forward_is_the_formula_of_its_layers() -> None:
    net = xavier_init(NeuralDegradation(2, features=4, blocks=(1, 1)), generator=seeded()).double()
    with torch.no_grad():
        net.noises[1].fill_(0.3)
    x = picture(3, 8)
    draws = net.draw_noise(x, generator=seeded(3))

    def conv(z: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        return F.conv2d(F.pad(z, (1, 1, 1, 1), mode="replicate"), w)

    z = net.pool(F.leaky_relu(conv(x, net.convs[0]), 0.2))
    z = F.leaky_relu(conv(z, net.convs[1]), 0.2) + 0.3 * draws[1]
    assert torch.allclose(net(x, draws), conv(z, net.convs[2]))
    assert [tuple(d.shape) for d in draws] == [(2, 4, 8, 8), (2, 4, 4, 4)]


def test_noise_map_is_added_pixel_by_pixel() -> None:
    net = identity_init(NeuralDegradation(1, channels=1, features=4, blocks=(1, 0), noise="map").double(), generator=seeded())
    x = picture(1, 8)
    with torch.no_grad():
        net.noises[0] = torch.zeros(1, 4, 8, 8, dtype=x.dtype)
        net.noises[0][0, 2, 3, 5] = 1
    changed = (net(x) - x).detach().abs() > 1e-9
    assert changed.sum() == 2  # one pixel in each of the two pictures
    assert bool(changed[:, 0, 3, 5].all())


def test_random_init_is_far_from_the_identity() -> None:
    net = xavier_init(NeuralDegradation(2), generator=seeded())
    x = rk.bundled("coffee", size=48)
    assert rk.psnr(net(x).detach(), net.pool(x), luma=False, quantize=False) < 20


def test_groups_name_every_parameter_once() -> None:
    net = NeuralDegradation(2, blocks=(2, 1))
    groups = net.groups()
    assert {k: len(v) for k, v in groups.items()} == {"conv": 4, "noise": 3, "slope": 3}
    assert sorted(n for names in groups.values() for n in names) == sorted(n for n, _ in net.named_parameters())


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: NeuralDegradation(5), "scale=5"),
        (lambda: NeuralDegradation(2, pool="max"), "pool='max'"),
        (lambda: NeuralDegradation(2, noise="white"), "noise='white'"),
        (lambda: NeuralDegradation(2, features=2), "features=2"),
        (lambda: NeuralDegradation(2, blocks=(0, 0)), "blocks=\\(0, 0\\)"),
        (lambda: NeuralDegradation(2)(torch.zeros(1, 3, 9, 8)), "9x8 at scale 2"),
        (lambda: NeuralDegradation(2)(torch.zeros(1, 1, 8, 8)), "1 channels"),
        (lambda: identity_init(NeuralDegradation(2), generator=seeded(), draw="uniform"), "draw='uniform'"),
    ],
)
def test_bad_input_says_what_is_allowed(make, says: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match=says):
        make()
