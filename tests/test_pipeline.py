"""The random pipeline: shapes, determinism, no shift, its blur and resizing against references, strength, speed."""

import time
from math import pi

import pytest
import torch
import torch.nn.functional as F

from restorekit.images import bundled, patches
from restorekit.kernels import gaussian_kernel
from restorekit.methods import pipeline as module
from restorekit.methods.baselines.bicubic import bicubic_downsample
from restorekit.methods.pipeline import RESIZERS, RandomPipeline, at_strength, gaussian_blur, resize
from restorekit.metrics import psnr
from restorekit.operators import Blur


def gen(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


CAT = bundled("cat", size=(96, 144))
FOUR = patches(CAT, 48)[:4]


def blob(size: tuple[int, int], at: tuple[float, float], sigma: float = 4.0) -> torch.Tensor:
    """A bump centered at a position in pixels, as a picture in float64."""
    rows, columns = (torch.arange(n, dtype=torch.float64) for n in size)
    return torch.exp(-((rows[:, None] - at[0]) ** 2 + (columns - at[1]) ** 2) / (2 * sigma**2))[None, None]


def centroid(x: torch.Tensor) -> list[float]:
    rows, columns = (torch.arange(n, dtype=x.dtype) for n in x.shape[-2:])
    mass = x.sum()
    return [((x.sum(3) * rows).sum() / mass).item(), ((x.sum(2) * columns).sum() / mass).item()]


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("scale", [1, 2, 3, 4])
def test_shapes_and_determinism(scale, order):
    degrade = RandomPipeline(scale, order)
    for x in (FOUR[:2, :, : 12 * scale, : 10 * scale], FOUR[:1, :1, : 6 * scale, : 12 * scale].double()):
        y = degrade(x, None, generator=gen(3), loss=None)
        assert y.shape == (*x.shape[:2], x.shape[2] // scale, x.shape[3] // scale)
        assert y.dtype == x.dtype and 0 <= y.min() and y.max() <= 1
        assert torch.equal(y, degrade(x, generator=gen(3)))
        assert not torch.equal(y, degrade(x, generator=gen(4)))


def test_each_picture_has_its_own_draw_and_no_gradient():
    x = FOUR[:1].repeat(3, 1, 1, 1).requires_grad_()
    y = RandomPipeline(2)(x, generator=gen())
    assert not y.requires_grad
    assert all((y[i] - y[j]).abs().max() > 0.02 for i, j in ((0, 1), (1, 2), (0, 2)))
    # and these are the draws of one picture after the other
    g = gen()
    assert torch.equal(y, torch.cat([RandomPipeline(2)(x[:1], generator=g) for _ in range(3)]))


@pytest.mark.parametrize("kind", RESIZERS)
@pytest.mark.parametrize(("old", "new"), [((60, 44), (30, 22)), ((60, 44), (37, 29)), ((48, 64), (53, 71)), ((48, 48), (48, 48))])
def test_resizing_moves_nothing(kind, old, new):
    at = (old[0] * 0.46, old[1] * 0.53)
    small = resize(blob(old, at), new, kind)
    expected = [(a + 0.5) * n / o - 0.5 for a, n, o in zip(at, new, old, strict=True)]
    assert centroid(small) == pytest.approx(expected, abs=0.01)
    assert small.sum().item() * old[0] * old[1] / (new[0] * new[1]) == pytest.approx(blob(old, at).sum().item(), rel=2e-3)
    flat = resize(torch.full((1, 3, *old), 0.3), new, kind)
    assert torch.allclose(flat, torch.full_like(flat, 0.3), atol=1e-6)


def test_area_is_the_mean_of_what_is_covered():
    x = FOUR[:1].double()
    assert torch.allclose(resize(x, (24, 16), "area"), F.avg_pool2d(x, (2, 3)))
    assert torch.allclose(resize(x, (96, 96), "area"), F.interpolate(x, scale_factor=2, mode="nearest"))
    line = torch.tensor([[[[0.0, 3.0, 6.0]]]])
    assert resize(line, (1, 2), "area").flatten().tolist() == pytest.approx([1.0, 5.0])  # (0 + 3/2) / 1.5, (3/2 + 6) / 1.5


@pytest.mark.parametrize(("sigma", "theta"), [((1.5, 1.5), 0.0), ((2.4, 0.8), 0.5), ((0.8, 2.0), pi / 2)])
def test_blur_by_its_spectrum_is_a_sampled_gaussian(sigma, theta):
    x = CAT[..., :60, :80].double()
    reference = Blur(gaussian_kernel(21, sigma, theta, dtype=torch.float64), "replicate", method="direct")(x)
    assert (gaussian_blur(x, sigma, theta) - reference).abs().max() < 4e-3  # tails beyond 3 std, cut at other places
    inner = (..., slice(12, -12), slice(12, -12))
    assert (gaussian_blur(x, sigma, theta) - reference)[inner].abs().max() < 1e-3
    assert torch.allclose(gaussian_blur(x, (0.01, 0.01)), x, atol=1e-2)


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("scale", [1, 2, 4])
def test_the_chain_moves_nothing(scale, order, monkeypatch):
    monkeypatch.setattr(module, "_jpeg", lambda x, dice: x)
    monkeypatch.setattr(module, "_noise", lambda x, dice: x)
    at, size = (50.3, 45.6), (96, 96)
    x = blob(size, at, sigma=6.0).repeat(12, 1, 1, 1)
    y = RandomPipeline(scale, order)(x, generator=gen(1))
    expected = [(a + 0.5) / scale - 0.5 for a in at]
    for one in y:
        assert centroid(one[None]) == pytest.approx(expected, abs=0.1 / scale)  # px: a wrong grid would be 0.5 off


@pytest.mark.parametrize("order", [1, 2])
def test_whole_chain_is_registered_with_the_ideal_reduction(order):
    """y - t = -d . grad t in the mean of many draws, d the shift: least squares, noise and JPEG included."""
    x = patches(CAT, 48)[:6].repeat(5, 1, 1, 1)
    y, t = RandomPipeline(2, order)(x, generator=gen(5)).mean(1), bicubic_downsample(x, 2).mean(1)
    across, down = (t.roll(-1, d) - t.roll(1, d) for d in (2, 1))
    inner = (slice(None), slice(2, -2), slice(2, -2))
    a = torch.stack([down[inner].flatten() / 2, across[inner].flatten() / 2], 1)
    shift = -torch.linalg.lstsq(a, (y - t)[inner].reshape(-1, 1)).solution.flatten()
    assert shift.abs().max() < 0.06
    moved = torch.linalg.lstsq(a, (t.roll(1, 2) - t)[inner].reshape(-1, 1)).solution.flatten()
    assert moved[1] < -0.25  # the test sees a shift of one pixel


def test_strength_is_the_drawn_psnr():
    x = FOUR.repeat(2, 1, 1, 1)
    t = bicubic_downsample(x, 2)
    y = RandomPipeline(2, strength=(24, 32))(x, generator=gen())
    found = psnr(y, t, luma=False, quantize=False)
    assert ((found > 24 - 1e-3) & (found < 32 + 1e-3)).all() and found.std() > 1
    exact = RandomPipeline(2, strength=(30, 30))(x, generator=gen())
    assert psnr(exact, t, luma=False, quantize=False).tolist() == pytest.approx([30.0] * 8, abs=1e-3)
    # only the length of the deviation changes
    a, b = y - t, exact - t
    assert torch.allclose(F.cosine_similarity(a.flatten(1), b.flatten(1)), torch.ones(8), atol=1e-5)
    assert torch.equal(at_strength(t, t, (30, 30), generator=gen()), t)


def test_draws_cover_blur_and_noise():
    """Some draws are less sharp than the ideal reduction, some noisier."""
    x = FOUR[:1].repeat(40, 1, 1, 1)
    y, t = RandomPipeline(2)(x, generator=gen(2)), bicubic_downsample(x, 2)
    detail = [(v - gaussian_blur(v, (1.0, 1.0))).square().mean((1, 2, 3)) for v in (y, t)]
    ratio = detail[0] / detail[1]
    assert ratio.min() < 0.3 and ratio.max() > 1.2


def test_fast_enough_for_training():
    x = torch.rand(8, 3, 64, 64, generator=gen())
    degrade, g, seconds = RandomPipeline(2), gen(), []
    for _ in range(6):
        start = time.process_time()
        degrade(x, generator=g)
        seconds.append(time.process_time() - start)
    assert min(seconds) < 0.12  # 0.035 on one free core


def test_bad_input():
    for bad in ({"scale": 5}, {"scale": 2, "order": 3}, {"scale": 2, "strength": (30, 20)}, {"scale": 2, "strength": (0, 20)}):
        with pytest.raises(ValueError, match="Fix:"):
            RandomPipeline(**bad)
    degrade = RandomPipeline(2)
    for bad in (torch.zeros(1, 2, 8, 8), torch.zeros(1, 3, 9, 8), torch.zeros(3, 8, 8)):
        with pytest.raises(ValueError, match="Fix:"):
            degrade(bad, generator=gen())
    with pytest.raises(TypeError, match="Fix:"):
        degrade(torch.zeros(1, 3, 8, 8), generator=None)
    with pytest.raises(ValueError, match="kind"):
        resize(torch.zeros(1, 3, 8, 8), (4, 4), "nearest")
