"""The noise-map denoiser, its shipped weights and the recipe that trains them."""

from __future__ import annotations

import json
import os

import pytest
import torch

from restorekit import cli
from restorekit.degradations import gaussian_noise, noise_map
from restorekit.experiments import data_folder
from restorekit.experiments.recipes import denoiser as recipe
from restorekit.images import bundled, save_image
from restorekit.methods.baselines.tv import tv_denoise
from restorekit.methods.handoff import each_channel
from restorekit.metrics import psnr
from restorekit.nets import NoiseMapDenoiser, load_denoiser
from restorekit.operators import Blur, Identity
from restorekit.solvers import ADMM, HQS, PGD, RED, load_state, run, save_state
from restorekit.weights import read_metadata, shipped

CHANNELS = {"denoiser_gray": 1, "denoiser_color": 3}
SHIPPED = [name for name in CHANNELS if (data_folder("weights") / f"{name}.safetensors").exists()]
needs_data = pytest.mark.skipif(not os.environ.get("RESTOREKIT_DATA"), reason="RESTOREKIT_DATA is not set")


def gen(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def small(channels: int = 1) -> NoiseMapDenoiser:
    return NoiseMapDenoiser(channels, features=6, layers=3, generator=gen())


def score(x: torch.Tensor, ref: torch.Tensor) -> float:
    return psnr(x, ref, luma=False, quantize=False).item()


def record(name: str) -> dict:
    return json.loads(shipped(name).with_suffix(".json").read_text(encoding="utf-8"))


# the net


def test_without_noise_nothing_changes():
    x = torch.rand(2, 3, 9, 12, generator=gen())
    assert torch.equal(small(3)(x, 0.0), x)
    half = torch.zeros(1, 1, 8, 8)
    half[..., 4:] = 0.1
    x = torch.rand(1, 1, 8, 8, generator=gen())
    out = small()(x, half)
    assert torch.equal(out[..., :4], x[..., :4]) and not torch.equal(out[..., 4:], x[..., 4:])


@pytest.mark.parametrize("size", [(2, 2), (7, 10), (10, 7), (9, 9), (3, 2)])
def test_odd_sizes_are_those_of_the_mirrored_picture(size):
    net, x = small(), torch.rand(1, 1, *size, generator=gen())
    even = torch.nn.functional.pad(x, (0, size[1] % 2, 0, size[0] % 2), mode="reflect")
    assert torch.equal(net(x, 0.1), net(even, 0.1)[..., : size[0], : size[1]])


def test_each_form_of_sigma_is_the_same_level():
    net, x = small(3), torch.rand(2, 3, 8, 6, generator=gen())
    forms = [torch.tensor(0.1), torch.full((2,), 0.1), torch.full((2, 1, 8, 6), 0.1), torch.full((1, 1, 8, 6), 0.1)]
    for sigma in forms:
        torch.testing.assert_close(net(x, sigma), net(x, 0.1))
    each = net(x, torch.tensor([0.05, 0.2]))
    torch.testing.assert_close(each, torch.cat([net(x[:1], 0.05), net(x[1:], 0.2)]))


@pytest.mark.parametrize("sigma", [-0.1, float("nan"), torch.ones(3), torch.ones(8, 6), torch.ones(2, 3, 8, 6), torch.ones(2, 1, 4, 3)])
def test_bad_noise_levels_are_refused(sigma):
    with pytest.raises(ValueError, match=r"Got sigma.*Allowed.*Fix"):
        small(3)(torch.rand(2, 3, 8, 6), sigma)


def test_bad_pictures_and_sizes_are_refused():
    with pytest.raises(ValueError, match="3 channels"):
        small()(torch.rand(1, 3, 8, 8), 0.1)
    with pytest.raises(ValueError, match="sides of 2"):
        small()(torch.rand(1, 1, 1, 8), 0.1)
    with pytest.raises(ValueError, match="layers"):
        NoiseMapDenoiser(1, layers=1, generator=gen())
    with pytest.raises(ValueError, match="channels"):
        load_denoiser(2)


def test_it_follows_the_dtype_and_refuses_another_device():
    x = torch.rand(1, 1, 8, 8, generator=gen())
    out = small()(x.double(), 0.1)
    assert out.dtype == torch.float64
    torch.testing.assert_close(out.float(), small()(x, 0.1))
    double = small().double()
    assert double(x, 0.1).dtype == torch.float32
    with pytest.raises(ValueError, match="one device"):
        small().to("meta")(x, 0.1)


def test_it_moves_with_the_picture_by_two_pixels():
    """Pixel-unshuffle by 2: a shift of the input by an even number of pixels shifts the output, away from the border."""
    net, x = small(), torch.rand(1, 1, 40, 40, generator=gen())
    a, b = net(x, 0.1), net(x.roll((2, 4), (-2, -1)), 0.1)
    torch.testing.assert_close(a.roll((2, 4), (-2, -1))[..., 14:-14, 14:-14], b[..., 14:-14, 14:-14])


def test_same_seed_same_weights():
    a, b = (NoiseMapDenoiser(1, features=4, layers=2, generator=gen(3)).state_dict() for _ in range(2))
    assert all(torch.equal(a[name], b[name]) for name in a)


# the weights that ship


def test_the_gray_net_ships():
    assert "denoiser_gray" in SHIPPED


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_weights_are_small_sound_and_recorded(name):
    about, path = record(name), shipped(name)
    assert recipe.problems(name, path, about) == []
    assert about["of_steps"] == about["steps"] == recipe.SIZES["full"][name]
    assert read_metadata(path)["channels"] == CHANNELS[name] == about["channels"]
    assert len(about["training_pictures"]) > 300
    excluded = recipe.EXCLUDED[about["training_folder"]]
    assert not set(about["training_pictures"]) & {*excluded, *about["held_out_pictures"]}
    assert not any(p.requires_grad for p in load_denoiser(CHANNELS[name]).parameters())


@needs_data
@pytest.mark.parametrize("name", SHIPPED)
def test_no_training_picture_is_in_a_test_set(name):
    about = record(name)
    assert recipe.overlap(about) == []
    planted = {**about, "training_pictures": {"102061": ""}}  # a number of BSD that cbsd68 has
    assert "102061" in {name for _, name in recipe.overlap(planted)}


PICTURES = [("camera", True), ("coins", True), ("astronaut", True), ("grass", True), ("cat", False)]


@pytest.mark.parametrize(("level", "least"), [(15, 0.1), (25, 0.1), (50, -0.4)])
def test_it_is_as_good_as_the_best_total_variation(level, least):
    """One short training: +0.26, +0.29 and -0.18 dB on average over TV with the best of three weights, chosen by the truth."""
    net, sigma, gains = each_channel(load_denoiser(1)), level / 255, []
    for name, gray in PICTURES:
        x = bundled(name, gray=gray, size=128)
        y = gaussian_noise(x, sigma, generator=gen(level))
        gains.append(score(net(y, sigma), x) - max(score(tv_denoise(y, weight * sigma, 60), x) for weight in (0.6, 0.75, 0.9)))
    assert sum(gains) / len(gains) > least and min(gains) > -0.6, gains


def test_the_right_map_beats_wrong_ones():
    net, x = load_denoiser(1), bundled("camera", gray=True, size=128)
    right = noise_map((128, 128), low=5 / 255, high=50 / 255)
    y = gaussian_noise(x, right, generator=gen())
    best = score(net(y, right), x)
    for wrong in (right.mean(), right.square().mean().sqrt(), right.flip(-1, -2), right.max()):
        assert best > score(net(y, wrong), x) + 0.5


def test_a_wrong_level_costs_and_one_net_serves_all():
    net, x = load_denoiser(1), bundled("camera", gray=True, size=128)
    for level in (10, 30):
        y = gaussian_noise(x, level / 255, generator=gen())
        told = [score(net(y, level * share / 255), x) for share in (0.5, 1.0, 1.5)]
        assert told[1] == max(told)


@pytest.mark.parametrize("kind", ["HQS", "ADMM", "PGD", "RED"])
def test_every_solver_takes_it(kind):
    net, x = load_denoiser(1), bundled("camera", gray=True, size=64)
    k = torch.full((1, 1, 3, 3), 1 / 9)
    A, sigma = Blur(k), 4 / 255
    y = gaussian_noise(A(x), sigma, generator=gen())
    lam = 0.23 * sigma**2
    solver = {
        "HQS": lambda: HQS(A, y, net, [20 / 255, 10 / 255, 6 / 255, sigma], lam),
        "ADMM": lambda: ADMM(A, y, net, lam, 0.1),
        "PGD": lambda: PGD(A, y, net, 2e-4),
        "RED": lambda: RED(A, y, net, 0.02, 8 / 255, 1.0),
    }[kind]()
    assert score(run(solver, 6).image, x) > score(y, x) + 1.0


# the recipe


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Twenty gray training pictures."""
    where = tmp_path / "train400"
    where.mkdir()
    for i in range(20):
        save_image(bundled("camera", gray=True)[..., 20 * i : 20 * i + 60, 100:170], where / f"p{i:02d}.png")
    monkeypatch.setenv("RESTOREKIT_DATA", str(tmp_path))
    return tmp_path


def test_training_learns_resumes_exactly_and_leaves_pictures_out(folder, monkeypatch):
    monkeypatch.setattr(recipe, "FEATURES", 8)
    monkeypatch.setattr(recipe, "LAYERS", 3)
    whole = recipe.learner("denoiser_gray", "smoke", steps=8, seed=1)
    run(whole, 8)
    first = recipe.learner("denoiser_gray", "smoke", steps=8, seed=1)
    run(first, 3)
    save_state(folder / "state", first)
    second = recipe.learner("denoiser_gray", "smoke", steps=8, seed=5)
    load_state(folder / "state", second)
    run(second, 5)
    assert all(torch.equal(a, second.weights()[n]) for n, a in whole.weights().items())
    about = second.describe()
    assert about["steps"] == 8 and about["seed"] == 1 and len(about["training_pictures"]) == 19 and len(about["held_out_pictures"]) == 1
    monkeypatch.setattr(recipe.DenoiserTrainer, "lr", 1e-2)  # so small a net takes it
    long = recipe.learner("denoiser_gray", "smoke", steps=60)
    before = long.validate(0.1)
    history = run(long, 60, record={"loss": lambda s: s.mean_loss}).history
    assert history["loss"][-1] < history["loss"][4] and long.validate(0.1) > before + 1


def test_the_patches_are_those_of_the_pictures_with_the_stated_noise(folder, monkeypatch):
    monkeypatch.setattr(recipe, "BATCH", 400)
    trainer = recipe.learner("denoiser_gray", "smoke")
    clean, sigma = trainer._batch()
    assert clean.shape == (400, 1, 48, 48) and 0 <= clean.min() and clean.max() <= 1
    assert 0 <= sigma.min() and sigma.max() <= recipe.SIGMA_MAX
    varying = (sigma.amax((1, 2, 3)) > sigma.amin((1, 2, 3)) + 1e-6).float().mean().item()
    assert abs(varying - recipe.VARYING) < 0.1  # 4.6 standard deviations
    level = sigma[:, 0, 0, 0]
    assert abs(level.mean().item() / recipe.SIGMA_MAX - 0.5) < 0.075  # 5 standard deviations


# the command


def test_train_stops_goes_on_and_writes_a_record(folder, capsys, monkeypatch):
    monkeypatch.setattr(recipe, "FEATURES", 8)
    monkeypatch.setattr(recipe, "LAYERS", 3)
    store, out = folder / "store", folder / "out"
    words = ["weights", "train", "denoiser_gray", "--steps", "6", "--store", str(store), "--out", str(out)]
    step = recipe.DenoiserTrainer.step
    monkeypatch.setattr(recipe.DenoiserTrainer, "step", lambda self: _interrupt() if self._step == 4 else step(self))
    assert cli.main(words) == 130
    assert (store / "denoiser_gray_smoke_0.state").exists()
    monkeypatch.setattr(recipe.DenoiserTrainer, "step", step)
    assert cli.main(words) == 0
    assert not list(store.iterdir())
    about = json.loads((out / "denoiser_gray.json").read_text(encoding="utf-8"))
    assert about["steps"] == 6 and about["command"].startswith("python -m restorekit weights train denoiser_gray --steps 6")
    net = load_denoiser(1, out / "denoiser_gray.safetensors")
    assert net(torch.rand(1, 1, 8, 8), 0.1).shape == (1, 1, 8, 8)
    assert "6 of 6 steps" in capsys.readouterr().out


def _interrupt():
    raise KeyboardInterrupt


def test_bad_words_are_answered_in_a_sentence(capsys, monkeypatch, tmp_path):
    assert cli.main(["weights", "train", "nothing"]) == 2
    assert "denoiser_gray" in capsys.readouterr().err
    assert cli.main(["weights", "train", "denoiser_gray", "--steps", "0"]) == 2
    monkeypatch.setenv("RESTOREKIT_DATA", str(tmp_path))
    assert cli.main(["weights", "train", "denoiser_gray"]) == 2
    assert "train400" in capsys.readouterr().err


def test_list_and_check_tell_sound_from_damaged(capsys, monkeypatch):
    assert cli.main(["weights", "list"]) == 0
    out, err = capsys.readouterr()
    assert all(name in (out if name in SHIPPED else err) for name in CHANNELS)
    assert cli.main(["weights", "check"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert all(any(line.startswith(f"{name}: sound") for line in lines) for name in SHIPPED)
    monkeypatch.setattr(recipe, "LARGEST", 1000)
    assert cli.main(["weights", "check"]) == 1
    assert "bytes, over 1000" in capsys.readouterr().out


def test_the_check_sees_another_file(tmp_path):
    about = record("denoiser_gray")
    copy = tmp_path / "x.safetensors"
    copy.write_bytes(shipped("denoiser_gray").read_bytes())
    assert recipe.problems("denoiser_gray", copy, about) == []
    assert recipe.problems("denoiser_gray", copy, {**about, "sha256": "0"}) == ["the checksum differs from the record's"]


def test_identity_operator_hands_over_to_the_denoiser():
    """With A = I and lam = sigma^2 the first HQS step from y denoises y itself."""
    net, y = load_denoiser(1), bundled("camera", gray=True, size=32)
    state = HQS(Identity(), y, net, 0.1, 0.01).init()
    torch.testing.assert_close(HQS(Identity(), y, net, 0.1, 0.01).step(state).x, net(y, 0.1))
