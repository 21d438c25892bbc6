"""GoPro-like test pictures: the blur is the path's kernel, the truth is the middle frame, highlights clip."""

from __future__ import annotations

import pytest
import torch

from restorekit import Blur
from restorekit.shake import shaken_pair, smooth_path


def gen(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def picture(*shape: int) -> torch.Tensor:
    return torch.rand(shape, generator=gen(9), dtype=torch.float64)


def test_without_turning_it_is_a_convolution_with_the_paths_kernel():
    x = picture(2, 1, 60, 66)
    y, inside, path = shaken_pair(x, extent=8, round8=False, generator=gen())
    assert torch.equal(inside, x[..., 16:-16, 16:-16]) and y.shape == inside.shape
    k = path.kernel_at(5.0, 50.0)
    torch.testing.assert_close(y, Blur(k, "replicate")(x)[..., 16:-16, 16:-16], atol=1e-12, rtol=0)


def test_turning_makes_the_kernel_differ_and_it_stays_the_local_one():
    x = picture(1, 1, 80, 80)
    y, _, path = shaken_pair(x, extent=6, rotation=0.1, round8=False, generator=gen(1))
    spots = [(20, 22), (60, 58)]
    for row, column in spots:
        k = path.kernel_at(row, column)
        assert Blur(k, "replicate")(x)[0, 0, row, column].item() == pytest.approx(y[0, 0, row - 16, column - 16].item(), abs=1e-12)
    a, b = (path.kernel_at(*s) for s in spots)
    assert a.shape != b.shape or (a - b).abs().max() > 0.01


def test_the_truth_is_the_frame_at_half_time_and_the_extent_is_as_asked():
    path = smooth_path((40, 40), extent=9.0, rotation=0.05, generator=gen(2))
    assert path.shifts[0, 20].abs().max() < 1e-12 and path.angles[0, 20].abs() < 1e-12
    assert torch.cdist(path.shifts, path.shifts).max().item() == pytest.approx(9.0)
    assert (path.angles.max() - path.angles.min()).item() == pytest.approx(0.05)
    still, x, _ = shaken_pair(picture(1, 3, 40, 40), extent=0.0, round8=False, generator=gen())
    torch.testing.assert_close(still, x, atol=1e-12, rtol=0)


def test_highlights_leave_brighter_streaks_and_clip():
    x = torch.full((1, 1, 64, 64), 0.2, dtype=torch.float64)
    x[..., 31:33, 31:33] = 1.0
    plain, _, _ = shaken_pair(x, extent=10, gamma=2.2, round8=False, generator=gen(3))
    bright, _, _ = shaken_pair(x, extent=10, gamma=2.2, boost=20, round8=False, generator=gen(3))
    assert bright.max() == 1 and (bright == 1).sum() > 4 > (plain == 1).sum()
    dark = x * 0.8  # nothing above the threshold: boost does nothing
    one, two = (shaken_pair(dark, extent=10, boost=b, round8=False, generator=gen(3))[0] for b in (1, 20))
    assert torch.equal(one, two)


def test_noise_rounding_and_one_seed_one_picture():
    x = picture(1, 1, 72, 72)
    clean, noisy = (shaken_pair(x, sigma=s, round8=False, generator=gen(4))[0] for s in (0.0, 0.05))
    assert (noisy - clean).std().item() == pytest.approx(0.05, rel=0.1)
    y, _, _ = shaken_pair(x, generator=gen(4))
    assert torch.equal((y * 255).round(), y * 255) and torch.equal(y, shaken_pair(x, generator=gen(4))[0])


@pytest.mark.parametrize("bad", [{"margin": 20}, {"boost": 0.5}, {"samples": 40}, {"extent": -1.0}])
def test_bad_settings_are_refused(bad):
    with pytest.raises(ValueError, match=r"Got .*Allowed.*Fix"):
        shaken_pair(picture(1, 1, 40, 40), generator=gen(), **bad)
