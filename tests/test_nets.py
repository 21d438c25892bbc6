"""The image net and the kernel net of MLMC."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from restorekit.kernels import gaussian_kernel, kernel_moments, random_gaussian_kernel
from restorekit.nets import KernelNet, SkipNet, hold_centroid
from restorekit.nets.skip import Conv1x1


def gen(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("size", [(33, 33), (40, 57), (64, 35)])
@pytest.mark.parametrize("outputs", [1, 3])
def test_skip_net_keeps_any_size_and_stays_in_range(size: tuple[int, int], outputs: int) -> None:
    net = SkipNet(4, outputs, channels=6, skip=2, generator=gen())
    x = net(torch.rand(1, 4, *size, generator=gen(1)))
    assert x.shape == (1, outputs, *size)
    assert 0 < x.min() and x.max() < 1


def test_skip_net_has_the_size_of_the_papers() -> None:
    n = sum(p.numel() for p in SkipNet(3, 3, generator=gen()).parameters())
    assert 2.2e6 < n < 2.4e6


def test_skip_net_depth_follows_the_picture() -> None:
    assert SkipNet.deepest((33, 200)) == 5
    assert SkipNet.deepest((32, 200)) == 4
    assert SkipNet.deepest((3, 3)) == 1
    assert SkipNet.deepest((2, 9)) == 0
    with pytest.raises(ValueError, match="sides of at least 33"):
        SkipNet(1, 1, channels=2, skip=1, generator=gen())(torch.rand(1, 1, 32, 32))
    with pytest.raises(ValueError, match="1 or more"):
        SkipNet(1, 1, channels=0, generator=gen())


def test_skip_net_works_without_skips_and_in_double() -> None:
    net = SkipNet(2, 1, channels=3, skip=0, levels=2, generator=gen()).double()
    x = net(torch.rand(1, 2, 9, 11, dtype=torch.float64))
    assert x.dtype == torch.float64
    x.sum().backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in net.parameters())


def test_weights_come_from_the_generator_alone() -> None:
    torch.manual_seed(1)
    a = SkipNet(2, 1, channels=3, levels=2, generator=gen(5))
    torch.manual_seed(2)
    b = SkipNet(2, 1, channels=3, levels=2, generator=gen(5))
    c = SkipNet(2, 1, channels=3, levels=2, generator=gen(6))
    assert all(torch.equal(p, q) for p, q in zip(a.parameters(), b.parameters(), strict=True))
    assert not all(torch.equal(p, q) for p, q in zip(a.parameters(), c.parameters(), strict=True))


def test_conv1x1_as_a_matrix_product_equals_the_convolution() -> None:
    layer = Conv1x1(5, 7).double()
    x = torch.randn(1, 5, 6, 4, dtype=torch.float64, generator=gen(), requires_grad=True)
    ours, theirs = layer(x), F.conv2d(x, layer.weight, layer.bias)
    assert torch.allclose(ours, theirs, atol=1e-14)
    a = torch.autograd.grad(ours.square().sum(), [x, layer.weight])
    b = torch.autograd.grad(theirs.square().sum(), [x, layer.weight])
    assert all(torch.allclose(p, q, atol=1e-12) for p, q in zip(a, b, strict=True))


@pytest.mark.parametrize("centroid", [(0.0, 0.0), (-1.5, -1.5), (0.7, -2.3)])
def test_kernel_net_is_a_probability_with_the_held_centroid(centroid: tuple[float, float]) -> None:
    net = KernelNet(11, hidden=(30, 20), centroid=centroid, generator=gen())
    for scale in (1.0, 30.0):  # also far from the start
        k = net(scale * torch.randn(2, 200, generator=gen(3)))
        mass, m, _ = kernel_moments(k)
        assert k.shape == (2, 1, 11, 11) and (k >= 0).all()
        assert torch.allclose(mass, torch.ones(2), atol=1e-5)
        assert torch.allclose(m, torch.tensor(centroid).expand(2, 2), atol=1e-3)


def test_a_free_kernel_net_is_a_plain_softmax() -> None:
    net = KernelNet(5, hidden=(8,), centroid=None, generator=gen())
    z = torch.randn(1, 200, generator=gen(1))
    assert torch.allclose(net(z).flatten(), torch.softmax(net.layers(z)[0], 0))


def test_held_centroid_moves_a_gaussian_and_keeps_its_shape() -> None:
    k = gaussian_kernel(25, torch.tensor([[1.5, 2.5]]), 0.6, dtype=torch.float64)
    moved = hold_centroid(k.log(), (1.0, -0.5))
    _, m, covariance = kernel_moments(moved)
    assert torch.allclose(m, torch.tensor([[1.0, -0.5]], dtype=torch.float64), atol=1e-9)
    assert torch.allclose(covariance, kernel_moments(k)[2], atol=1e-3)
    assert torch.allclose(hold_centroid(moved.log(), (1.0, -0.5)), moved, atol=1e-10)


def test_held_centroid_gradient_is_exact() -> None:
    logits = torch.randn(1, 1, 5, 5, dtype=torch.float64, generator=gen(2), requires_grad=True)
    weight = torch.randn(1, 1, 5, 5, dtype=torch.float64, generator=gen(3))
    assert torch.autograd.gradcheck(lambda v: (hold_centroid(v, (0.3, -0.4)) * weight).sum(), (logits,), eps=1e-6, atol=1e-6)


def test_a_centroid_outside_the_window_is_refused() -> None:
    with pytest.raises(ValueError, match="strictly inside"):
        hold_centroid(torch.zeros(1, 1, 3, 3), (1.0, 0.0))
    with pytest.raises(ValueError, match="1 or more"):
        KernelNet(0, generator=gen())


def test_kernel_net_starts_where_it_is_told() -> None:
    k = random_gaussian_kernel(11, centroid=(-0.5, -0.5), generator=gen(4))
    net = KernelNet(11, centroid=(-0.5, -0.5), generator=gen())
    z = torch.rand(1, 200, generator=gen(1))
    net.start_at(z, k)
    assert (net(z) - k).abs().max() < 1e-3
