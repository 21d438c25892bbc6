"""The nets of hyper-guidance: data step, guided restorer, proxy."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.optim import Adam

from restorekit.degradations import estimate_sigma, gaussian_noise, noise_map
from restorekit.images import bundled
from restorekit.kernels import gaussian_kernel, motion_kernel
from restorekit.methods.guidance import inner_step
from restorekit.nets import GuidedRestorer, ProxyNet
from restorekit.nets import guided as module
from restorekit.nets.guided import LAM, LEVELS, PER_VARIANCE, SIGMA_LEAST, deconvolve, deconvolve_by_map, laplacian
from restorekit.nets.proxy import high_pass
from restorekit.operators import Blur


def gen(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# the data step


def kernel(dtype=torch.float64):
    return motion_kernel(7, n=2, generator=gen(3)).to(dtype)


def picture(size=(18, 15), n=2):
    return torch.rand(n, 1, *size, generator=gen(1), dtype=torch.float64)


@pytest.mark.parametrize("padding", ["circular", "reflect", "replicate", "zero"])
def test_the_data_step_solves_its_normal_equation(padding):
    y, k, lam = picture(), kernel(), 0.03
    x = deconvolve(y, k, lam, padding=padding)
    A = Blur(k, padding)
    slopes = 4 * x - sum(x.roll(s, d) for s in (1, -1) for d in (-1, -2)) if padding == "circular" else laplacian(x)
    left, right = A.adjoint(A(x)) + lam * slopes, A.adjoint(y)
    assert (left - right).norm() / right.norm() < (1e-12 if padding == "circular" else 2e-4)


def test_the_data_step_is_a_fixed_point_of_the_proximal_step():
    """x = prox(x - lam/rho D^T D x): the point where Blur.prox and a step down the slopes' energy agree."""
    y, k, lam, rho = picture(), kernel(), 0.05, 0.7
    x = deconvolve(y, k, lam)
    slopes = 4 * x - sum(x.roll(s, d) for s in (1, -1) for d in (-1, -2))
    torch.testing.assert_close(Blur(k).prox(x - lam / rho * slopes, y, rho), x, rtol=0, atol=1e-12)


def test_the_slopes_are_symmetric_and_blind_to_constants():
    a, b = picture(), picture().flip(0)
    assert float((laplacian(a) * b).sum()) == pytest.approx(float((a * laplacian(b)).sum()), rel=1e-12)
    assert laplacian(torch.ones(1, 1, 4, 5)).abs().max() == 0
    flat = torch.full((2, 1, 9, 8), 0.4, dtype=torch.float64)
    torch.testing.assert_close(deconvolve(flat, kernel(), 3.0), flat)


def test_by_map_is_exact_at_a_level_and_close_between_levels():
    y, k = picture((32, 32)), kernel()
    for sigma in (LEVELS[2], 0.03):
        blend = deconvolve_by_map(y, k, torch.full((1, 1, 1, 1), sigma, dtype=torch.float64))
        exact = deconvolve(y, k, PER_VARIANCE * sigma**2)
        assert (blend - exact).norm() / (exact - y).norm() < (
            1e-12 if sigma in LEVELS else 0.08
        )  # of the correction, on a picture of white noise
    outside = deconvolve_by_map(y, k, torch.full((1, 1, 1, 1), 0.5, dtype=torch.float64))
    torch.testing.assert_close(outside, deconvolve(y, k, PER_VARIANCE * LEVELS[-1] ** 2))


def test_the_blend_is_the_weighted_solution_away_from_jumps():
    x = bundled("camera", gray=True, size=64).double()
    k = gaussian_kernel(9, 1.2).double()
    sigma = noise_map((64, 64), "quadrants", low=0.01, high=0.05).double()
    y = gaussian_noise(Blur(k)(x), sigma, generator=gen())
    weight = 1 / (PER_VARIANCE * sigma**2)
    exact = module._weighted(Blur(k, "circular"), y, weight)  # no slope across the border, else the same problem
    blend = deconvolve_by_map(y, k, sigma)
    one = deconvolve(y, k, PER_VARIANCE * 0.025**2)
    inside = (slice(None), slice(None), slice(8, 24), slice(8, 24))
    assert (blend - exact)[inside].norm() < 0.1 * (one - exact)[inside].norm()
    assert (exact - x).norm() < (blend - x).norm() < 0.95 * (one - x).norm()


def test_by_map_elsewhere_solves_the_weighted_problem():
    y, k = picture((16, 16)), kernel()
    sigma = noise_map((16, 16), low=0.01, high=0.05).double()
    x = deconvolve_by_map(y, k, sigma, padding="reflect")
    A, trust = Blur(k, "reflect"), 1 / (PER_VARIANCE * sigma**2)
    right = A.adjoint(trust * y)
    assert (A.adjoint(trust * A(x)) + laplacian(x) - right).norm() / right.norm() < 2e-4


def test_bad_data_steps_are_refused():
    y, k = picture(), kernel()
    with pytest.raises(ValueError, match="weight above 0"):
        deconvolve(y, k, 0.0)
    with pytest.raises(ValueError, match="sum to 0"):
        deconvolve(y, k - k.mean((-2, -1), keepdim=True))


# the guided restorer


def test_a_fresh_net_is_its_data_step():
    y, k = picture().float(), kernel().float()
    net = GuidedRestorer(1, features=4, generator=gen())
    torch.testing.assert_close(net(y, k, 0.03), deconvolve(y, k, LAM))
    sigma = noise_map((18, 15)).float()
    in_data = GuidedRestorer(1, features=4, sigma_in_data=True, generator=gen())
    torch.testing.assert_close(in_data(y, k, sigma), deconvolve_by_map(y, k, sigma))


def trained(**kind):
    """A net whose last layer is not 0."""
    net = GuidedRestorer(1, features=4, generator=gen(), **kind)
    with torch.no_grad():
        net.body[-1].weight.normal_(0, 0.1, generator=gen(1))
    return net.requires_grad_(False)


def test_layers_and_guidance_are_as_stated():
    for size, layers in (("tiny", 6), ("general", 9)):
        for is_guided in (True, False):
            net = GuidedRestorer(1, size, is_guided, features=5, generator=gen())
            convs = [m for m in net.body if isinstance(m, nn.Conv2d)]
            assert len(convs) == layers and convs[0].in_channels == (9 if is_guided else 4)
    full = GuidedRestorer(3, unshuffle=False, features=5, generator=gen())
    assert full.body[0].in_channels == 7 and full(torch.rand(1, 3, 9, 8), kernel(torch.float32)[:1], 0.1).shape == (1, 3, 9, 8)


def test_the_map_acts_where_it_is():
    net, y, k = trained(), picture((40, 40)).float(), kernel().float()
    low = torch.full((1, 1, 40, 40), 0.02)
    high = low.clone()
    high[..., 30:, 30:] = 0.06
    change = (net(y, k, high) - net(y, k, low)).abs().amax((0, 1))
    assert change[30:, 30:].max() > 1e-4 and change[:16, :16].max() == 0  # six layers see 12 pixels at half size
    unguided = trained(guided=False)
    assert unguided(y, k).shape == y.shape


def test_what_is_removed_is_in_units_of_the_noise():
    """With a first layer that is blind to the map, r is proportional to sigma + SIGMA_LEAST."""
    net, y, k = trained(), picture((16, 16)).float(), kernel().float()
    with torch.no_grad():
        net.body[0].weight[:, 4:] = 0
    x0 = deconvolve(y, k, LAM)
    a, b = (x0 - net(y, k, s) for s in (0.0, 0.06))
    torch.testing.assert_close(b, a * (0.06 + SIGMA_LEAST) / SIGMA_LEAST)
    assert a.abs().max() > 1e-3


def test_details_are_seen_in_units_of_the_noise():
    """k times the details and k times the noise: the same to a net that looks at nothing else."""
    net, x = trained(), torch.rand(1, 1, 24, 24, generator=gen())
    with torch.no_grad():
        net.body[0].weight[:, [0, 1, 2, 3, 8]] = 0
    small, large = net._noise(x, torch.full((1, 1, 1, 1), 0.015)), net._noise(2 * x, torch.full((1, 1, 1, 1), 0.035))
    torch.testing.assert_close(large, 2 * small)


@pytest.mark.parametrize("kind", [{}, {"sigma_in_data": True}])
def test_every_form_of_the_level_gives_the_same(kind):
    net, y, k = trained(**kind), picture((9, 12)).float(), kernel().float()
    forms = [0.03, torch.tensor(0.03), torch.full((2,), 0.03), torch.full((1, 1, 9, 12), 0.03), torch.full((2, 1, 9, 12), 0.03)]
    for form in forms:
        torch.testing.assert_close(net(y, k, form), net(y, k, 0.03))
    torch.testing.assert_close(net(y, k, torch.tensor([0.01, 0.05]))[1:], net(y[1:], k[1:], 0.05))


def test_other_paddings_leave_the_middle_as_it_is():
    net, x = trained(), bundled("camera", gray=True, size=96)
    k = gaussian_kernel(5, 0.8)
    circular, reflect = (net(Blur(k, p)(x), k, 0.02, padding=p) for p in ("circular", "reflect"))
    assert (circular - reflect)[..., 32:-32, 32:-32].abs().max() < 4e-3 < (circular - reflect).abs().max()


def test_bad_calls_are_refused():
    y, k = picture().float(), kernel().float()
    for call in (
        lambda: trained()(y, k),
        lambda: trained(guided=False)(y, k, 0.1),
        lambda: trained()(y, k, torch.ones(3)),
        lambda: trained()(y.expand(-1, 3, -1, -1), k, 0.1),
        lambda: GuidedRestorer(1, "large", generator=gen()),
        lambda: GuidedRestorer(1, guided=False, sigma_in_data=True, generator=gen()),
    ):
        with pytest.raises(ValueError, match=r"Got.*Allowed.*Fix"):
            call()


# the proxy


@pytest.mark.parametrize("kind", ["noise", "rain", "depth"])
def test_maps_have_the_size_of_the_picture(kind):
    proxy = ProxyNet(kind, 3, features=4, generator=gen())
    for size in ((16, 16), (13, 22), (4, 5)):
        out = proxy(torch.rand(2, 3, *size, generator=gen(1)))
        assert out.shape == (2, 1, *size)
    assert len([m for m in proxy.body if isinstance(m, nn.Conv2d)]) == 4
    if kind == "rain":
        assert 0 < out.min() and out.max() < 1


def test_the_energy_is_the_noise_level_on_planes_and_blind_to_them():
    ramp = torch.linspace(0, 1, 64)[None, None, None].expand(1, 1, 64, 64) + torch.linspace(0, 0.5, 64)[:, None]
    assert high_pass(ramp)[..., 1:-1, 1:-1].abs().max() < 1e-6
    noisy = gaussian_noise(ramp, 0.04, generator=gen())
    assert high_pass(noisy).mean().item() == pytest.approx(0.04, rel=0.05)
    torch.testing.assert_close(high_pass(noisy)[..., 1:-1, 1:-1].mean(), estimate_sigma(noisy)[0])


def test_the_proxy_learns_a_varying_level_in_a_few_steps():
    proxy = ProxyNet(features=8, generator=gen())
    optimizer = Adam(proxy.parameters(), 1e-2)

    def batch(seed):
        g = gen(seed)
        level = 0.01 + 0.05 * torch.rand(8, 1, 1, 1, generator=g).expand(-1, 1, 32, 32)
        plane = torch.rand(8, 1, 1, 1, generator=g) * torch.linspace(0, 1, 32)
        return gaussian_noise(plane.expand(8, 1, 32, 32), level, generator=g), level

    first = inner_step(copy.deepcopy(proxy), optimizer, *batch(0))
    for i in range(80):
        inner_step(proxy, optimizer, *batch(i))
    y, level = batch(1000)
    error = (proxy(y) - level).square().mean().sqrt().item()
    assert error < 0.006 < 0.014 < first**0.5  # the std of the levels is 0.0144
    halves = torch.full((1, 1, 32, 64), 0.015)
    halves[..., 32:] = 0.05
    out = proxy(gaussian_noise(torch.full((1, 1, 32, 64), 0.5), halves, generator=gen(5)))
    assert out[..., 40:].mean() > out[..., :24].mean() + 0.02


def test_a_proxy_may_start_from_the_closed_form():
    proxy, y = ProxyNet(closed_form=True, generator=gen()), gaussian_noise(torch.full((1, 1, 64, 64), 0.5), 0.03, generator=gen())
    out = proxy(y)
    assert (out - 0.03).abs().max() < 0.008 and out.mean().item() == pytest.approx(0.03, rel=0.06)
    out.square().mean().backward()
    assert proxy.body[-1].weight.grad.abs().max() > 0
    with pytest.raises(ValueError, match="closed_form"):
        ProxyNet("rain", closed_form=True, generator=gen())


def test_bad_proxies_are_refused():
    for call in (lambda: ProxyNet("fog", generator=gen()), lambda: ProxyNet(generator=gen())(torch.rand(1, 3, 8, 8)),
                 lambda: ProxyNet(generator=gen())(torch.rand(1, 1, 3, 8))):  # fmt: skip
        with pytest.raises(ValueError, match=r"Got.*Allowed.*Fix"):
            call()
