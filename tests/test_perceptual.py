"""LPIPS and NIQE: what the optional packages are handed, by packages made here; and what is said where they are missing."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch

import restorekit
from restorekit import perceptual
from restorekit.images import bundled


def gen(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


class FakeModel:
    """Stands for a net of either package: notes what it is called with."""

    def __init__(self, answer):
        self.answer, self.seen = answer, []

    def to(self, device):
        self.device = device
        return self

    def eval(self):
        return self

    def __call__(self, *pictures):
        self.seen.append(pictures)
        return self.answer(*pictures)


@pytest.fixture
def models(monkeypatch):
    """Both packages, made here: LPIPS is the mean square in their range, NIQE the mean of the picture."""
    made: list[tuple[object, FakeModel]] = []

    def new_lpips(**options):
        made.append((options, FakeModel(lambda a, b: (a - b).square().mean((1, 2, 3), keepdim=True))))
        return made[-1][1]

    def new_metric(name, *, device):
        made.append(((name, device), FakeModel(lambda y: y.mean().reshape(()))))
        return made[-1][1]

    monkeypatch.setitem(sys.modules, "lpips", SimpleNamespace(LPIPS=new_lpips))
    monkeypatch.setitem(sys.modules, "pyiqa", SimpleNamespace(create_metric=new_metric))
    for cached in (perceptual._lpips_model, perceptual._niqe_model):
        cached.cache_clear()
    yield made
    for cached in (perceptual._lpips_model, perceptual._niqe_model):
        cached.cache_clear()


def test_lpips_gets_the_range_minus_1_to_1(models):
    x, ref = torch.zeros(2, 3, 32, 40), torch.ones(1, 3, 32, 40)
    score = restorekit.lpips(x, ref)
    assert score.dtype == torch.float64 and torch.equal(score, torch.full((2,), 4.0, dtype=torch.float64))
    (options, model) = models[0]
    assert options == {"net": "alex", "version": "0.1", "verbose": False}
    a, b = model.seen[0]
    assert a.shape == b.shape == (2, 3, 32, 40) and a.unique().item() == -1 and b.unique().item() == 1


def test_lpips_scores_what_a_file_would_hold(models):
    x = torch.full((1, 1, 32, 33), 0.5001, dtype=torch.float64)
    x[..., 0], x[..., 1] = -0.3, 1.2
    restorekit.lpips(x, torch.zeros_like(x))
    a, _ = models[0][1].seen[0]
    assert a.dtype == torch.float32 and a.shape == (1, 3, 32, 33)
    assert a[0, :, 0, 0].tolist() == [-1] * 3 and a[0, :, 0, 1].tolist() == [1] * 3
    assert a[0, 0, 0, 2].item() == pytest.approx(2 * 128 / 255 - 1)


def test_lpips_makes_each_net_once(models):
    x = torch.rand(1, 3, 32, 32, generator=gen())
    for net in ("alex", "alex", "vgg"):
        restorekit.lpips(x, x, net=net)
    assert [options["net"] for options, _ in models] == ["alex", "vgg"]


def test_niqe_gets_the_full_range_luma_picture_by_picture(models):
    x = torch.stack(
        [torch.zeros(3, 96, 192), torch.tensor([1.0, 0.0, 0.0])[:, None, None].expand(3, 96, 192), torch.full((3, 96, 192), 1.5)]
    )
    score = restorekit.niqe(x)
    assert score.shape == (3,) and score.dtype == torch.float64
    torch.testing.assert_close(score, torch.tensor([0.0, round(0.299 * 255) / 255, 1.0], dtype=torch.float64), atol=1e-6, rtol=0)
    ((name, device), model) = models[0]
    assert name == "niqe" and device == x.device
    assert [y.shape for (y,) in model.seen] == [(1, 1, 96, 192)] * 3


def test_niqe_of_a_gray_picture_is_of_the_picture_itself(models):
    x = bundled("camera", gray=True, size=(192, 96))
    restorekit.niqe(x)
    torch.testing.assert_close(models[0][1].seen[0][0], x, atol=1e-6, rtol=0)


def test_a_missing_package_is_named_with_the_extra(monkeypatch):
    for package in ("lpips", "pyiqa"):
        monkeypatch.setitem(sys.modules, package, None)
    for cached in (perceptual._lpips_model, perceptual._niqe_model):
        cached.cache_clear()
    x = torch.rand(1, 3, 96, 192, generator=gen())
    with pytest.raises(ImportError, match=r'lpips.*pip install "restorekit\[lpips\]"'):
        restorekit.lpips(x, x)
    with pytest.raises(ImportError, match=r'pyiqa.*pip install "restorekit\[niqe\]"'):
        restorekit.niqe(x)


def test_naming_the_scores_imports_neither_package():
    packages = ("lpips", "pyiqa", "torchvision")
    code = f"import sys, restorekit; restorekit.lpips, restorekit.niqe; print([m for m in {packages} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: restorekit.lpips(torch.rand(1, 3, 32, 32), torch.rand(1, 3, 32, 33)), "equal sizes"),
        (lambda: restorekit.lpips(torch.rand(1, 2, 32, 32), torch.rand(1, 2, 32, 32)), "1 or 3 channels"),
        (lambda: restorekit.lpips(torch.rand(1, 3, 30, 32), torch.rand(1, 3, 30, 32)), "sides from 31"),
        (lambda: restorekit.lpips(torch.rand(1, 3, 32, 32), torch.rand(1, 3, 32, 32), net="squeeze"), "net="),
        (lambda: restorekit.niqe(torch.rand(1, 3, 191, 191)), "two blocks"),
        (lambda: restorekit.niqe(torch.rand(1, 4, 192, 192)), "4 channels"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
