"""The combination of the papers' parts: each part where it belongs, what is given is not asked for, bad input."""

from __future__ import annotations

import pytest
import torch

from restorekit import Blur, bundled, gaussian_noise, restore_combined, restore_guided
from restorekit.kernels import delta_kernel, gaussian_kernel
from restorekit.methods import combined
from restorekit.methods.combined import KernelFrom
from restorekit.methods.guided_restoration import guidance_map
from restorekit.methods.kernel_fit import fit_kernel
from restorekit.nets import load_denoiser
from restorekit.nets.guided import load_guided


@pytest.fixture
def case(generator):
    """x, y = x * k + n with 2% noise, k; gray, 48 x 48."""
    whole, k = bundled("coins", gray=True, size=96), gaussian_kernel(15, (1.8, 1.0), 0.6)
    part = (..., slice(24, 72), slice(24, 72))
    return whole[part].contiguous(), gaussian_noise(Blur(k, "reflect")(whole)[part], 0.02, generator=generator), k


def psnr(a, b):
    return -10 * (a - b).square().mean().log10().item()


def test_a_round_by_hand_is_a_round_of_the_library(case):
    _, y, k = case
    sigma = guidance_map(y, load_guided()[1])
    v, target = restore_guided(y, k, sigma=sigma).image, load_denoiser(1)(y, sigma)
    refit = fit_kernel(v, target, 15, padding="reflect", ridge=combined.RIDGE)
    done = restore_combined(y, k, rounds=1)
    assert torch.allclose(done.kernel, refit, atol=1e-6) and torch.allclose(
        done.image, restore_guided(y, refit, sigma=sigma).image, atol=1e-5
    )
    assert torch.equal(done.sigma, sigma) and done.mlmc is None
    none = restore_combined(y, k, rounds=0)
    assert torch.equal(none.kernel, k) and torch.allclose(none.image, v, atol=1e-6)


def test_it_sharpens_from_no_kernel_at_all_and_more_from_the_true_one(case):
    x, y, k = case
    from_nothing = psnr(restore_combined(y, delta_kernel(15)).image, x)
    assert from_nothing > psnr(restore_guided(y, delta_kernel(15)).image, x) + 1 > psnr(y, x) + 1
    assert psnr(restore_combined(y, k, rounds=0).image, x) > from_nothing


def test_the_blind_kernel_is_mlmc_s(case, monkeypatch, generator):
    _, y, k = case
    asked = {}

    def found(y, scale, **options):
        asked.update(options, scale=scale)
        return type("Result", (), {"kernel": k, "image": y})

    monkeypatch.setattr(combined, "super_resolve_blind", found)
    done = restore_combined(y, preset="balanced", generator=generator)
    assert asked["scale"] == 1 and asked["preset"] == "balanced" and asked["generator"] is generator and asked["padding"] == "reflect"
    assert torch.equal(done.mlmc, y) and torch.allclose(done.image, restore_combined(y, k).image, atol=1e-6)


def test_another_prior_is_plug_and_play_with_the_kernel_held(case):
    x, y, k = case
    strengths = []
    D = load_denoiser(1)

    def watched(z, sigma):
        strengths.append(torch.as_tensor(sigma).mean().item())
        return D(z, sigma)

    mine, shipped = restore_combined(y, k, sigma=0.02, prior=watched), restore_combined(y, k, sigma=0.02, prior="denoiser")
    assert torch.allclose(mine.image, shipped.image, atol=1e-6) and torch.equal(mine.kernel, k)
    assert len(strengths) == 8 and strengths == sorted(strengths, reverse=True)
    assert strengths[0] == pytest.approx(49 / 255, abs=1e-4) and strengths[-1] == pytest.approx(0.02, abs=1e-4)
    assert psnr(shipped.image, x) > psnr(y, x) + 0.5
    assert restore_combined(y, k, sigma=0.02, prior="and").image.shape == y.shape


def test_color_and_a_map_that_is_told(case):
    _, y, k = case
    color = y.expand(1, 3, -1, -1).contiguous()
    level = torch.full((1, 1, 48, 48), 0.02)
    done, gray = restore_combined(color, k, sigma=level), restore_combined(y, k, sigma=0.02)
    assert torch.equal(done.sigma, level) and torch.allclose(done.image, gray.image.expand_as(color), atol=1e-4)


def test_the_update_starts_from_its_kernel(case):
    x, y, k = case
    update = KernelFrom(k)
    assert torch.equal(update.init(y.double()), k.double()) and update.offset(k) == 0
    assert torch.equal(update.operator(k)(x), Blur(k, "reflect")(x))
    assert torch.equal(KernelFrom(k, hold=True)(k, x, y), k)
    moved = update(k, x, y)
    assert moved.sum().item() == pytest.approx(1, abs=1e-5) and moved.min() >= 0 and not torch.equal(moved, k)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rounds": -1}, "rounds=-1"),
        ({"prior": "best"}, "prior='best'"),
        ({"padding": "none"}, "padding='none'"),
        ({"kernel": None}, "neither kernel nor generator"),
    ],
)
def test_bad_input(case, options, message):
    _, y, k = case
    with pytest.raises(ValueError, match=message):
        restore_combined(y, **{"kernel": k, **options})
