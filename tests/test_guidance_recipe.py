"""The recipe of the guided restorers, the weights that ship, and restoration in one call."""

from __future__ import annotations

import json
import os
from dataclasses import replace

import pytest
import torch

from restorekit import cli
from restorekit.degradations import estimate_sigma, gaussian_noise, noise_map
from restorekit.experiments import data_folder, recipes
from restorekit.experiments.recipes import guidance as recipe
from restorekit.experiments.recipes.denoiser import overlap
from restorekit.images import bundled, save_image
from restorekit.kernels import gaussian_kernel, kernel_moments
from restorekit.methods import guided_restoration as restoration
from restorekit.methods.guided_restoration import GUIDES, guidance_map, restore_guided
from restorekit.metrics import psnr
from restorekit.nets import ProxyNet, load_guided
from restorekit.nets.guided import deconvolve, weights_name
from restorekit.operators import Blur
from restorekit.solvers import Result, load_state, run, save_state
from restorekit.weights import read_metadata, shipped

SHIPPED = [name for name in recipe.NAMES if (data_folder("weights") / f"{name}.safetensors").exists()]
needs_data = pytest.mark.skipif(not os.environ.get("RESTOREKIT_DATA"), reason="RESTOREKIT_DATA is not set")
needs_tiny = pytest.mark.skipif(not {"guided_tiny", "unguided_tiny"} <= set(SHIPPED), reason="the weights are not there")


def gen(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Twenty gray training pictures, and nets small enough for a test."""
    where = tmp_path / "train400"
    where.mkdir()
    for i in range(20):
        save_image(bundled("camera", gray=True)[..., 15 * i : 15 * i + 70, 100:180], where / f"p{i:02d}.png")
    monkeypatch.setenv("RESTOREKIT_DATA", str(tmp_path))
    monkeypatch.setattr(recipe, "NAMES", {name: replace(r, features=4) for name, r in recipe.NAMES.items()})
    monkeypatch.setattr(recipe, "BATCH", 2)
    monkeypatch.setattr(recipe, "PATCH", 32)
    return tmp_path


# the recipe


def test_every_name_is_registered_and_says_its_net():
    for name, r in recipe.NAMES.items():
        assert recipes.load(name) is recipe
        assert weights_name(r.size, guided=r.guided, sigma_in_data=r.sigma_in_data) == name


def test_guided_and_unguided_differ_in_the_map_alone():
    for size in ("tiny", "general"):
        assert replace(recipe.NAMES[f"guided_{size}"], guided=False) == recipe.NAMES[f"unguided_{size}"]


def test_batches_are_what_is_stated(folder, monkeypatch):
    monkeypatch.setattr(recipe, "BATCH", 300)
    guided, unguided = (recipe.learner(f"{kind}_tiny", "smoke") for kind in ("guided", "unguided"))
    (y, k), x, sigma = guided.batch("tr")
    assert torch.equal(y, unguided.batch("tr")[0][0])
    assert x.shape == y.shape == sigma.shape == (300, 1, 32, 32) and k.shape == (300, 1, 25, 25)
    torch.testing.assert_close(k.sum((1, 2, 3)), torch.ones(300))
    assert k.min() >= 0 and kernel_moments(k)[1].abs().max() < 0.02
    low, high = recipe.SIGMA
    assert low - 1e-6 <= sigma.min() and sigma.max() <= high + 1e-6
    varying = (sigma.amax((1, 2, 3)) > sigma.amin((1, 2, 3)) + 1e-6).float().mean().item()
    assert abs(varying - recipe.VARYING) < 0.125  # 5 standard deviations
    noise = (y - Blur(k)(x)) / sigma
    assert abs(noise.std().item() - 1) < 0.01
    widths = kernel_moments(k)[2].diagonal(dim1=-2, dim2=-1).sum(-1)
    assert widths.min() < 2 < 20 < widths.max()


def test_training_learns_resumes_exactly_and_leaves_pictures_out(folder):
    whole = recipe.learner("guided_tiny", "smoke", steps=6, seed=1)
    run(whole, 6)
    first = recipe.learner("guided_tiny", "smoke", steps=6, seed=1)
    run(first, 2)
    save_state(folder / "state", first)
    second = recipe.learner("guided_tiny", "smoke", steps=6, seed=1)
    load_state(folder / "state", second)
    run(second, 4)
    assert all(torch.equal(value, second.weights()[name]) for name, value in whole.weights().items())
    about = second.describe()
    assert about["steps"] == 6 and about["guided"] and about["log"]["step"] == [1, 2, 3, 4, 5, 6]
    assert len(about["training_pictures"]) == 19 and len(about["held_out_pictures"]) == 1
    assert not set(about["training_pictures"]) & set(about["held_out_pictures"])


def test_a_guided_net_learns(folder):
    trainer = recipe.GuidanceTrainer(replace(recipe.NAMES["guided_tiny"], lr=5e-3), 80)
    trainer.ema = 0.5  # so short a training has little to average
    before = trainer.validate(0.05)
    assert before["net"] == pytest.approx(before["deconvolution"], abs=1e-4)
    run(trainer, 80)
    after = trainer.validate(0.05)
    assert after["net"] > before["net"] + 0.3 and before["proxy"] > after["proxy"]


def test_true_maps_reach_the_net(folder):
    trainer = recipe.TrueMap(recipe.NAMES["guided_tiny"], 3)
    inputs, _, sigma = trainer.batch("tr")
    assert len(inputs) == 3 and torch.equal(inputs[2], sigma) and trainer.stage == "omega"
    run(trainer, 3)
    assert {name.split(".")[0] for name in trainer.weights()} == {"net"}


def test_train_writes_weights_that_load_and_a_record(folder, capsys):
    for name in ("guided_data_tiny", "unguided_general"):
        assert cli.main(["weights", "train", name, "--steps", "2", "--store", str(folder / "s"), "--out", str(folder / "o")]) == 0
        path = folder / "o" / f"{name}.safetensors"
        about = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        net, proxy = load_guided(path=path)
        assert (proxy is None) == (name == "unguided_general") == (not net.guided) and net.sigma_in_data == (name == "guided_data_tiny")
        assert net.size == about["size"] == name.split("_")[-1]
        assert set(about["validation_psnr"]) == {"1%", "3%", "5%", "7%", "quadrants"}
        assert ("proxy_rmse_percent" in about) == net.guided
        assert recipe.problems(name, path, about) == []
        assert recipe.problems("guided_tiny", path, about) == ["the net is not that of guided_tiny"]
    assert "held-out PSNR" in capsys.readouterr().out


# the weights that ship


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_weights_are_small_sound_and_recorded(name):
    path = shipped(name)
    about = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    assert recipe.problems(name, path, about) == []
    assert about["of_steps"] == about["steps"] == recipe.SIZES["full"] and about["seed"] == 0
    assert read_metadata(path)["guided"] == name.startswith("guided")
    assert not set(about["training_pictures"]) & {*about["excluded_pictures"], *about["held_out_pictures"]}
    if os.environ.get("RESTOREKIT_DATA"):
        assert overlap(about) == []


@needs_tiny
def test_the_map_pays_where_there_is_much_or_little_noise():
    guided, proxy = load_guided("tiny")
    plain, none = load_guided("tiny", guided=False)
    assert none is None
    x, k = bundled("camera", gray=True, size=128), gaussian_kernel(9, 1.5)
    for level, least in ((0.01, 0.3), (0.07, 0.6)):
        y = gaussian_noise(Blur(k)(x), level, generator=gen())
        gain = psnr(guided(y, k, guidance_map(y, proxy)), x) - psnr(plain(y, k), x)
        assert gain.item() > least, (level, gain)


@needs_tiny
def test_the_proxy_finds_the_level_and_the_quadrants():
    _, proxy = load_guided("tiny")
    x, k = bundled("camera", gray=True, size=128), gaussian_kernel(9, 1.5)
    for level in (0.01, 0.05):
        y = gaussian_noise(Blur(k)(x), level, generator=gen())
        assert (guidance_map(y, proxy, "proxy") - level).square().mean().sqrt().item() < 0.01
    sigma = noise_map((128, 128), low=0.01, high=0.05)
    found = guidance_map(gaussian_noise(Blur(k)(x), sigma, generator=gen()), proxy, "proxy")
    assert torch.corrcoef(torch.stack([found.flatten(), sigma.flatten()]))[0, 1] > 0.9


# maps and restoration in one call


def test_guides_are_what_they_say():
    proxy = ProxyNet(features=4, generator=gen()).requires_grad_(False)
    y = gaussian_noise(bundled("cat", size=32), 0.03, generator=gen())
    maps = {guide: guidance_map(y, proxy, guide) for guide in GUIDES}
    assert all(m.shape == (1, 1, 32, 32) and m.min() >= 0 for m in maps.values())
    raw = proxy(y.transpose(0, 1)).mean(0, keepdim=True)
    torch.testing.assert_close(maps["proxy"], raw.clamp_min(0))
    torch.testing.assert_close(maps["classical"], estimate_sigma(y, window=25))
    torch.testing.assert_close(maps["both"], ((raw + maps["classical"]) / 2).clamp_min(0))
    assert guidance_map(y[..., :6, :7], guide="classical").shape == (1, 1, 6, 7)
    for call in (lambda: guidance_map(y), lambda: guidance_map(y, proxy, "eye"), lambda: guidance_map(y[..., :3, :])):
        with pytest.raises(ValueError, match=r"Got.*Allowed.*Fix"):
            call()


@pytest.fixture
def a_net(monkeypatch):
    """A small untrained guided net in place of the shipped one; it gives the data step."""
    from restorekit.nets import GuidedRestorer

    def load(size="tiny", *, sigma_in_data=False):
        net = GuidedRestorer(1, size, sigma_in_data=sigma_in_data, features=4, generator=gen()).requires_grad_(False)
        return net, ProxyNet(features=4, generator=gen()).requires_grad_(False)

    monkeypatch.setattr(restoration, "load_guided", load)


def test_each_channel_and_picture_has_its_own_kernel_and_map(a_net):
    x = torch.cat([bundled("cat", size=32), bundled("cat", size=32).flip(-1)])
    k = torch.cat([gaussian_kernel(5, 1.0), gaussian_kernel(5, 0.5)])
    y = Blur(k)(x)
    result = restore_guided(y, k, padding="circular")
    torch.testing.assert_close(result.image, deconvolve(y, k))
    assert result.sigma.shape == (2, 1, 32, 32) and result.kernel is k
    told = restore_guided(y, k, sigma=0.02, padding="circular", sigma_in_data=True)
    assert torch.equal(told.sigma, torch.full((2, 1, 32, 32), 0.02))
    one = restore_guided(y[1:], k[1:], sigma=0.02, padding="circular", sigma_in_data=True)
    torch.testing.assert_close(told.image[1:], one.image)


def test_without_a_kernel_mlmc_finds_one(a_net, monkeypatch):
    asked = {}
    k = gaussian_kernel(5, 1.0)

    def blind(y, scale, **options):
        asked.update(options, scale=scale)
        return Result(type("S", (), {"x": y, "k": k}), None)

    monkeypatch.setattr(restoration, "super_resolve_blind", blind)
    y = bundled("camera", gray=True, size=32)
    result = restore_guided(y, generator=gen(), preset="balanced", padding="replicate")
    assert asked["scale"] == 1 and asked["preset"] == "balanced" and asked["padding"] == "replicate"
    torch.testing.assert_close(result.image, restore_guided(y, k, padding="replicate").image)
    with pytest.raises(ValueError, match="generator"):
        restore_guided(y)
