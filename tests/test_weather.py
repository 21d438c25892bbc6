"""Rain that nets trained on other rain remove, its region map, made depth, and the losses of rain and haze."""

from __future__ import annotations

import os

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from restorekit.depth import made_depth, plane_depth
from restorekit.images import bundled
from restorekit.methods.losses import negative_ssim, smooth_l1, with_features
from restorekit.metrics import psnr, ssim
from restorekit.nets import FeatureLoss, load_prenet
from restorekit.weather import RAIN, rain, rain_region, random_rain

needs_weights = pytest.mark.skipif(not os.environ.get("RESTOREKIT_WEIGHTS"), reason="RESTOREKIT_WEIGHTS not set")


def gen(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def directions(layer: Tensor) -> Tensor:
    """Angle of each pixel's streak from the vertical, where the structure is strong."""
    dy, dx = torch.gradient(layer[0, 0], dim=(0, 1))
    keep = dx.square() + dy.square() > 0.02 * layer.max() ** 2
    return torch.atan(-dy / dx)[keep]


def test_spread_widens_the_directions_and_layers_add():
    flat = torch.zeros(1, 1, 160, 160)
    options = {"density": 15.0, "length": 40.0, "width": 3.0, "angle": 0.0, "generator": gen(1)}
    narrow = directions(rain(flat, spread=0.0, layers=1, **options)[1])
    options["generator"] = gen(1)
    wide = directions(rain(flat, spread=0.8, layers=12, **{**options, "density": 60.0})[1])
    assert narrow.abs().median() < 0.1 and wide.abs().median() > 2 * narrow.abs().median()
    one, three = (rain(flat, layers=n, generator=gen(2))[1] for n in (1, 3))
    assert one.mean() > three.mean()  # as many streaks, all of them near


def test_region_marks_what_rain_adds():
    x = torch.full((1, 3, 64, 64), 0.3)
    y, layer = rain(x, generator=gen())
    region = rain_region(layer)
    assert set(region.unique().tolist()) == {0.0, 1.0} and region.shape == layer.shape
    assert ((y - x).amin(1, keepdim=True)[region == 1] > 0.0499).all()
    assert rain_region(layer, 0.2).mean() < region.mean()


@pytest.mark.parametrize("kind", RAIN)
def test_random_rain_is_seeded_clipped_and_differs_from_picture_to_picture(kind):
    x = torch.full((2, 3, 64, 64), 0.4)
    y, layer = random_rain(x, kind, generator=gen(3))
    again, _ = random_rain(x, kind, generator=gen(3))
    assert torch.equal(y, again) and y.max() <= 1 and not torch.equal(layer[0], layer[1])
    assert torch.equal(y, (x + layer).clamp(0, 1))


def test_heavy_is_heavier():
    x = bundled("cat", size=64).expand(6, -1, -1, -1)
    light, heavy = (psnr(random_rain(x, kind, generator=gen())[0], x).mean() for kind in RAIN)
    assert heavy < light - 4


@needs_weights
@pytest.mark.parametrize(("kind", "net", "least"), [("light", "rain100l", 2.0), ("heavy", "rain100h", 2.0)])
def test_published_nets_trained_on_other_rain_improve_ours(kind, net, least):
    gains = []
    with torch.no_grad():
        for i, name in enumerate(("cat", "astronaut", "rocket")):
            x = bundled(name, size=80)
            y, _ = random_rain(x, kind, generator=gen(i))
            gains.append((psnr(load_prenet(net)(y), x) - psnr(y, x)).item())
    assert min(gains) > least


def test_a_plane_is_linear_in_one_over_depth():
    d = plane_depth(11, 3, near=2, far=10)
    steps = (1 / d)[0, 0, :, 0].diff()
    assert torch.allclose(steps, steps[:1].expand(10), atol=1e-6)
    assert d[0, 0, 0, 0] == pytest.approx(10) and d[0, 0, -1, 0] == pytest.approx(2)


def test_made_depth_follows_edges_and_the_plane():
    x = torch.full((1, 3, 48, 48), 0.1)
    x[..., 12:36, 12:36] = 0.9
    d = made_depth(x, segments=12, generator=gen())
    assert d.shape == (1, 1, 48, 48) and torch.equal(d, made_depth(x, segments=12, generator=gen()))
    across = (d[..., 1:] - d[..., :-1]).abs()[0, 0, 16:32]
    assert (across[:, 11] > 0).all() and (across[:, 35 - 12 + 12] > 0).all()  # a step at the edges of the square
    assert d[..., :8, :].mean() > 2 * d[..., -8:, :].mean()
    flat = made_depth(x, segments=12, jitter=0.0, generator=gen())
    assert flat.max() <= 12 and flat.min() >= 2
    small = made_depth(bundled("camera", gray=True, size=47), reduce=4, generator=gen())
    assert small.shape == (1, 1, 47, 47)


def test_losses_by_their_definitions():
    a, b = (torch.rand(2, 3, 16, 16, generator=gen(s)) for s in (0, 1))
    assert negative_ssim(a, a).item() == pytest.approx(-1)
    assert negative_ssim(a, b).item() == pytest.approx(-ssim(a, b, luma=False, quantize=False).mean().item())
    assert smooth_l1(a, b).item() == pytest.approx((a - b).square().mean().item() / 2, rel=1e-5)
    assert smooth_l1(a, a + 3).item() == pytest.approx(2.5, rel=1e-5)
    features = FeatureLoss()
    both = with_features(smooth_l1, features, 0.5)(a, b)
    assert both.item() == pytest.approx((F.smooth_l1_loss(a, b) + 0.5 * features(a, b)).item(), rel=1e-5)


def test_negative_ssim_can_be_descended():
    x = bundled("cat", size=24)
    guess = (x + 0.1 * torch.randn(x.shape, generator=gen())).requires_grad_()
    before = negative_ssim(guess, x)
    (slope,) = torch.autograd.grad(before, guess)
    after = negative_ssim(guess - 5 * slope, x)
    assert slope.dtype == guess.dtype and after < before


def test_bad_input():
    x = torch.zeros(1, 3, 32, 32)
    with pytest.raises(ValueError, match="kind='drizzle'"):
        random_rain(x, "drizzle", generator=gen())
    for options in ({"layers": 0}, {"spread": -1.0}):
        with pytest.raises(ValueError, match="Allowed"):
            rain(x, **options, generator=gen())
    for options in ({"near": 3.0, "far": 2.0}, {"segments": 0}, {"jitter": -1.0}, {"reduce": 0}):
        with pytest.raises(ValueError, match="Allowed"):
            made_depth(x, **options, generator=gen())
