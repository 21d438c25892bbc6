"""The recipe of the AND restorers, its command, and the weights that ship."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, replace

import pytest
import torch

from restorekit import cli
from restorekit.experiments import data_folder, recipes
from restorekit.experiments.recipes import adversarial as recipe
from restorekit.experiments.recipes.denoiser import overlap
from restorekit.images import bundled, save_image
from restorekit.methods.baselines.bicubic import bicubic, bicubic_downsample
from restorekit.metrics import psnr
from restorekit.nets import RRDB, blind_denoiser, light_rrdb, load_restorer
from restorekit.operators import Identity
from restorekit.solvers import HQS, load_state, run, save_state
from restorekit.weights import read_metadata, shipped

SHIPPED = [name for name in recipe.NAMES if (data_folder("weights") / f"{name}.safetensors").exists()]
needs_data = pytest.mark.skipif(not os.environ.get("RESTOREKIT_DATA"), reason="RESTOREKIT_DATA is not set")


def record(name: str) -> dict:
    return json.loads(shipped(name).with_suffix(".json").read_text(encoding="utf-8"))


def small(scale: int, channels: int = 3, *, generator: torch.Generator) -> RRDB:
    return RRDB(scale, channels=channels, features=4, blocks=1, growth=2, upsampler="shuffle", residual=True, generator=generator)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Twenty pictures in color and in gray; small nets, small crops."""
    for name, gray in (("bsds400_color", False), ("train400", True)):
        (tmp_path / name).mkdir()
        x = bundled("astronaut", gray=gray)
        for i in range(20):
            save_image(x[..., 20 * i : 20 * i + 29, 100:134], tmp_path / name / f"p{i:02d}.png")
    monkeypatch.setenv("RESTOREKIT_DATA", str(tmp_path))
    monkeypatch.setattr(recipe, "light_rrdb", small)
    tiny = {"features": 8, "blocks": (1, 1)}
    for name, r in recipe.NAMES.items():
        settings = {**r.settings, **tiny} if "features" in r.settings else r.settings
        monkeypatch.setitem(recipe.NAMES, name, replace(r, batch=4, nets=2, patch=16, settings=settings))
    return tmp_path


def test_every_name_has_its_recipe():
    assert {name for name in recipes.names() if name.startswith("and_")} == set(recipe.NAMES)
    assert all(recipes.load(name) is recipe for name in recipe.NAMES)
    for name, r in recipe.NAMES.items():
        tail = "_gray" if r.channels == 1 else ""
        assert name == f"and_{r.method}_x{r.scale}{tail}" and r.patch % r.scale == 0 and r.batch % r.nets == 0


@pytest.mark.parametrize("scale", [1, 2, 4])
def test_methods_of_one_scale_differ_in_the_degrader_alone(scale):
    kinds = [r for r in recipe.NAMES.values() if (r.scale, r.channels) == (scale, 3)]
    assert len({r.method for r in kinds}) == len(kinds) >= 2
    assert len({repr(replace(r, method="", settings={})) for r in kinds}) == 1
    assert {r.settings["strength"] for r in kinds if r.method != "classical"} == {recipe.STRENGTH}


@pytest.mark.parametrize("name", ["and_adversarial_x1_gray", "and_random_x4", "and_pipeline_x2"])
def test_training_resumes_exactly_with_its_log(folder, name):
    whole = recipe.learner(name, "smoke", steps=6, seed=1)
    run(whole, 6)
    first = recipe.learner(name, "smoke", steps=6, seed=1)
    run(first, 2)
    save_state(folder / "state", first)
    second = recipe.learner(name, "smoke", steps=6, seed=5)
    load_state(folder / "state", second)
    run(second, 4)
    assert all(torch.equal(v, second.weights()[n]) for n, v in whole.weights().items())
    about = second.describe()
    assert about["steps"] == 6 and about["seed"] == 1 and len(about["training_pictures"]) == 19 and len(about["held_out_pictures"]) == 1
    assert about["log"]["step"] == [1, 2, 3, 4, 5, 6] and about["log"]["mean_loss"] == whole.describe()["log"]["mean_loss"]
    assert about["training_folder"] == ("train400" if about["channels"] == 1 else "bsds400_color")
    assert [len(first.log), first.log[0]] == [2, [1, first.log[0][1], first.log[0][2]]]


def test_what_test_sets_have_is_left_out(folder, monkeypatch):
    names = {"12003", "302003"}
    assert set(recipe.EXCLUDED["bsds400_color"]) == names
    for n in names:
        save_image(torch.rand(1, 3, 29, 34), folder / "bsds400_color" / f"{n}.png")
    trainer = recipe.learner("and_classical_x2", "smoke")
    assert not names & {*trainer.training, *trainer.held_out} and len(trainer._pixels) == 19


def test_validation_is_the_psnr_of_the_kept_weights(folder):
    trainer = recipe.learner("and_classical_x2", "smoke", steps=30)
    with torch.no_grad():
        trainer.average.tail.weight.zero_()  # the residual alone: bicubic interpolation
        trainer.average.tail.bias.zero_()
    x = trainer._pictures[trainer.held_out[0]].load()[..., :28, :]
    y = bicubic_downsample(x, 2)
    y = (y.clamp(0, 1) * 255).round() / 255
    expected = psnr(bicubic(y, 2), x, border=2).item()
    assert trainer.validate("clean") == (pytest.approx(expected, abs=0.01), pytest.approx(expected, abs=0.01))
    scores = trainer.validation()
    assert scores["validation_psnr"].keys() == scores["bicubic_psnr"].keys() == set(recipe.VALIDATED)
    assert scores["bicubic_psnr"]["clean"] == round(expected, 3) > scores["bicubic_psnr"]["noise 10"]


def test_at_scale_1_clean_pictures_have_no_bicubic_score(folder):
    scores = recipe.learner("and_random_x1", "smoke", steps=1).validation()
    assert scores["validation_psnr"].keys() == {*scores["bicubic_psnr"], "clean"} != scores["bicubic_psnr"].keys()
    told = recipe.summary({**scores, "training_pictures": {}, "training_folder": "f"})["scores"]
    assert "clean" in told and "inf" not in told


# the command


def test_train_stops_goes_on_and_writes_a_record(folder, capsys, monkeypatch):
    store, out = folder / "store", folder / "out"
    words = ["weights", "train", "and_adversarial_x2", "--steps", "5", "--store", str(store), "--out", str(out)]
    step = recipe.RestorerTrainer.step
    monkeypatch.setattr(recipe.RestorerTrainer, "step", lambda self: _interrupt() if self._step == 3 else step(self))
    assert cli.main(words) == 130
    assert (store / "and_adversarial_x2_smoke_0.state").exists()
    monkeypatch.setattr(recipe.RestorerTrainer, "step", step)
    assert cli.main(words) == 0
    assert not list(store.iterdir())
    path = out / "and_adversarial_x2.safetensors"
    about = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    assert about["steps"] == 5 and about["log"]["step"] == [1, 2, 3, 4, 5] and about["degrader"]["strength"] == list(recipe.STRENGTH)
    assert read_metadata(path)["scale"] == 2
    assert recipe.problems("and_adversarial_x2", path, about) == []
    assert "5 of 5 steps, held-out PSNR over bicubic: clean" in capsys.readouterr().out
    assert recipe.problems("and_adversarial_x2", path, {**about, "sha256": "0"}) == ["the checksum differs from the record's"]
    assert recipe.problems("and_adversarial_x4", path, about) == ["the weights are not those of light_rrdb"]


def _interrupt():
    raise KeyboardInterrupt


def test_the_command_lists_what_is_not_there_and_names_sizes(capsys, monkeypatch, tmp_path):
    assert cli.main(["weights", "list"]) == 0
    out, err = capsys.readouterr()
    assert all(name in (out if name in SHIPPED else err) for name in recipe.NAMES)
    monkeypatch.setenv("RESTOREKIT_DATA", str(tmp_path))
    assert cli.main(["weights", "train", "and_classical_x2"]) == 2
    assert "bsds400_color" in capsys.readouterr().err


# loading


def test_a_trained_file_loads_as_it_was(tmp_path):
    from restorekit.weights import save_weights

    net = light_rrdb(1, 1, generator=torch.Generator().manual_seed(4))
    save_weights(tmp_path / "net.safetensors", net.state_dict())
    loaded = load_restorer("adversarial", 1, 1, tmp_path / "net.safetensors")
    y = torch.rand(1, 1, 8, 9)
    assert torch.equal(loaded(y), net(y)) and not any(p.requires_grad for p in loaded.parameters())
    D = blind_denoiser(loaded)
    assert torch.equal(D(y, 0.1), D(y, torch.tensor(0.5))) and D(y.double(), 0.1).dtype == torch.float64
    assert run(HQS(Identity(), y, D, 0.1, 0.01), 2).image.shape == y.shape


def test_bad_names_are_refused():
    for bad in (("worst", 2), ("random", 5), ("random", 2, 2)):
        with pytest.raises(ValueError, match=r"Got.*Allowed.*Fix"):
            load_restorer(*bad)
    with pytest.raises(FileNotFoundError, match="and_classical_x1_gray"):
        load_restorer("classical", 1, 1)
    with pytest.raises(ValueError, match="scale 2"):
        blind_denoiser(light_rrdb(2, generator=torch.Generator()))


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_weights_are_small_sound_and_recorded(name):
    about, path, r = record(name), shipped(name), recipe.NAMES[name]
    assert recipe.problems(name, path, about) == []
    assert about["of_steps"] == about["steps"] == (recipe.SIZES["full"] or r.steps)
    assert about["degrader"] == json.loads(json.dumps(dict(r.settings), default=asdict))
    assert about["batch"] == r.batch and about["patch"] == r.patch
    assert len(about["training_pictures"]) > 300 and about["log"]["step"][-1] == about["steps"]
    assert not set(about["training_pictures"]) & {*recipe.EXCLUDED[about["training_folder"]], *about["held_out_pictures"]}
    assert load_restorer(r.method, r.scale, r.channels)(torch.rand(1, r.channels, 8, 8)).shape[-1] == 8 * r.scale


@needs_data
@pytest.mark.parametrize("name", SHIPPED)
def test_no_training_picture_is_in_a_test_set(name):
    assert overlap(record(name)) == []
