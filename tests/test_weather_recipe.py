"""The recipe of the nets for rain and haze: what a batch holds, exact resuming, records, the weights that ship."""

from __future__ import annotations

import json

import pytest
import torch

from restorekit.experiments import data_folder, recipes
from restorekit.experiments.recipes import weather as recipe
from restorekit.experiments.recipes.denoiser import overlap
from restorekit.images import bundled, save_image
from restorekit.metrics import psnr
from restorekit.nets import load_weather, weather_nets
from restorekit.nets.weather import DEPTH_UNIT
from restorekit.solvers import load_state, run, save_state
from restorekit.weights import save_weights, shipped

SHIPPED = [name for name in recipe.NAMES if (data_folder("weights") / f"{name}.safetensors").exists()]


def gen(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Twenty pictures in color; small crops."""
    (tmp_path / "bsds400_color").mkdir()
    x = bundled("astronaut")
    for i in range(20):
        save_image(x[..., 20 * i : 20 * i + 36, 100:140], tmp_path / "bsds400_color" / f"p{i:02d}.png")
    monkeypatch.setenv("RESTOREKIT_DATA", str(tmp_path))
    monkeypatch.setattr(recipe, "PATCH", 24)
    return tmp_path


def test_every_name_has_its_recipe():
    assert set(recipe.NAMES) == {"prenet_guided", "prenet_plain", "dehaze_guided", "dehaze_plain"} <= set(recipes.names())
    assert all(recipes.load(name) is recipe for name in recipe.NAMES)
    for task in ("rain", "haze"):
        pair = [r for r in recipe.NAMES.values() if r.task == task]
        assert {r.guided for r in pair} == {True, False} and len({r.lr for r in pair}) == 1


def test_a_batch_of_rain_has_its_region(folder):
    (y,), x, region = recipe.learner("prenet_guided", "smoke").batch("tr")
    assert y.shape == x.shape == (4, 3, 24, 24) and set(region.unique().tolist()) <= {0.0, 1.0}
    added = (y - x).amax(1, keepdim=True)
    assert (added >= 0).all() and (added[region == 0] <= 0.0501).all()
    assert added[:2].mean() < added[2:].mean()  # light, then heavy


def test_a_batch_of_haze_has_its_depth(folder):
    trainer = recipe.learner("dehaze_guided", "smoke")
    (y,), x, depth = trainer.batch("tr")
    assert y.shape == x.shape and depth.shape == (4, 1, 24, 24) and depth.min() > 0 and depth.max() < 2.6
    again = recipe.learner("dehaze_plain", "smoke").batch("tr")
    assert torch.equal(again[0][0], y) and torch.equal(again[1], x)  # the plain net sees the same pictures and haze


def test_haze_obeys_the_scattering_model():
    x, depth = torch.full((2, 3, 6, 6), 0.2).double(), 12 * torch.rand(2, 1, 6, 6, generator=gen()).double() + 1
    depth[..., 0, 0] = 1e6  # nothing but airlight is seen there
    y, sigma = recipe.hazy(x, depth, generator=gen(1))
    A = y[..., :1, :1]
    beta = -torch.log((A - y) / (A - x))[..., 1:, 1:] / depth[..., 1:, 1:]
    assert torch.allclose(beta, beta[:, :1, :1, :1].expand_as(beta)) and not torch.allclose(beta[0], beta[1])
    assert recipe.BETA[0] <= beta.min() and beta.max() <= recipe.BETA[1] and torch.equal(sigma * DEPTH_UNIT, depth)


def test_training_resumes_exactly_with_its_log(folder):
    whole = recipe.learner("prenet_guided", "smoke", steps=5, seed=1)
    run(whole, 5)
    first = recipe.learner("prenet_guided", "smoke", steps=5, seed=1)
    run(first, 2)
    save_state(folder / "state", first)
    second = recipe.learner("prenet_guided", "smoke", steps=5, seed=4)
    load_state(folder / "state", second)
    run(second, 3)
    assert all(torch.equal(v, second.weights()[n]) for n, v in whole.weights().items())
    about = second.describe()
    assert (
        about["steps"] == 5 and len(about["training_pictures"]) == 19 and not {*about["training_pictures"]} & {*about["held_out_pictures"]}
    )
    assert about["log"]["step"] == (1, 2, 3, 4, 5)


@pytest.mark.parametrize("name", recipe.NAMES)
def test_weights_load_as_the_trainer_has_them(folder, name, tmp_path):
    trainer = recipe.learner(name, "smoke", steps=2)
    run(trainer, 2)
    save_weights(tmp_path / "w.safetensors", trainer.weights())
    net, proxy = load_weather(name, tmp_path / "w.safetensors")
    y = torch.rand(1, 3, 20, 20, generator=gen())
    ours = net(y) if proxy is None else net(y, proxy(y))
    assert torch.equal(ours, trainer.restore(y)) and (proxy is None) == name.endswith("plain")
    found = trainer.validation()
    assert found["input_psnr"].keys() == found["validation_psnr"].keys() and ("map_rmse" in found) == (proxy is not None)


def test_held_back_weather_depends_on_the_name_alone():
    x = bundled("cat", size=64)
    a, b, c = (recipe.held_back(x, n, "haze", "thick", 48) for n in ("p", "p", "q"))
    assert torch.equal(a[1], b[1]) and not torch.equal(a[2], c[2]) and a[0].shape == (1, 3, 48, 48)
    thin = recipe.held_back(x, "p", "haze", "thin", 48)
    assert psnr(thin[1], thin[0]) > psnr(a[1], a[0])
    assert torch.equal(255 * a[1], (255 * a[1]).round())


def test_nets_refuse_other_names():
    with pytest.raises(ValueError, match="dehaze_plain"):
        load_weather("prenet")
    with pytest.raises(ValueError, match="snow"):
        weather_nets("snow", True, generator=gen())


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_weights_are_small_sound_and_recorded(name):
    path = shipped(name)
    about = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    assert recipe.problems(name, path, about) == [] and overlap(about) == []
    assert about["steps"] == about["of_steps"] and about["guided"] == recipe.NAMES[name].guided
    assert not set(about["training_pictures"]) & (set(about["held_out_pictures"]) | set(about["excluded_pictures"]))
    assert all(about["validation_psnr"][level] > value for level, value in about["input_psnr"].items())
