"""The feature loss: its invariants on the stand-in, VGG-19 in torchvision's naming against a net built here."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from restorekit._bundled import bundled_names
from restorekit.degradations import gaussian_noise
from restorekit.images import bundled
from restorekit.kernels import gaussian_kernel
from restorekit.nets import FeatureLoss
from restorekit.nets.features import FilterBank
from restorekit.operators import Blur

ALL = dict.fromkeys(FilterBank().names, 1.0)


def gen(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# the stand-in


def test_equal_pictures_cost_nothing_and_the_order_does_not_matter():
    x, ref = torch.rand(2, 2, 3, 20, 24, generator=gen())
    loss = FeatureLoss()
    assert loss(x, x).item() == 0
    assert loss(x, ref).item() == pytest.approx(loss(ref, x).item()) and loss(x, ref).item() > 0
    assert loss(x, ref).shape == ()


@pytest.mark.parametrize("name", ["cat", "coffee", "text"])
def test_blur_costs_far_more_than_a_shift_of_brightness_of_the_same_mean_square(name):
    x = bundled(name, size=(96, 96))
    blurred = Blur(gaussian_kernel(9, 1.2))(x)
    brighter = x + (blurred - x).square().mean().sqrt()
    loss = FeatureLoss()
    assert loss(blurred, x).item() > 1e4 * loss(brighter, x).item()


def test_more_blur_costs_more():
    x, loss = bundled("coffee", size=(64, 64)), FeatureLoss()
    costs = [loss(Blur(gaussian_kernel(15, s))(x), x).item() for s in (0.4, 0.8, 1.6, 2.4)]
    assert costs == sorted(costs) and costs[0] > 0


def test_texture_features_know_how_much_noise_there_is_but_not_which():
    flat = torch.full((1, 1, 64, 64), 0.5)
    one, two = (gaussian_noise(flat, 0.1, generator=gen(s)) for s in (0, 1))
    edges, texture = (FeatureLoss(coefficients={f"{kind}1": 1.0}) for kind in ("edges", "texture"))
    assert edges(one, two) > 1.5 * edges(one, flat)  # independent noise: twice the power of one
    assert texture(one, two) < 0.2 * texture(one, flat)


def test_gradients_are_right_and_finite_on_flat_pictures():
    loss = FeatureLoss(coefficients={"edges2": 0.5, "texture1": 2.0, "texture2": 1.0})
    x, ref = torch.rand(2, 1, 1, 3, 4, generator=gen(), dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda v: loss(v, ref), (x.requires_grad_(),))
    flat = torch.zeros(1, 3, 16, 16, requires_grad=True)
    FeatureLoss()(flat, torch.rand(1, 3, 16, 16, generator=gen())).backward()
    assert torch.isfinite(flat.grad).all() and flat.grad.abs().sum() > 0


def test_descending_the_loss_sharpens_a_blurred_picture():
    x = bundled("coffee", size=(32, 32))
    blurred = Blur(gaussian_kernel(9, 1.0))(x)
    v, loss = blurred.clone().requires_grad_(), FeatureLoss()
    adam = torch.optim.Adam([v], 5e-3)
    for _ in range(25):
        adam.zero_grad()
        loss(v, x).backward()
        adam.step()
    assert (v - x).square().mean() < 0.5 * (blurred - x).square().mean()


@pytest.mark.parametrize("angle", [0.3, 1.1, 2.5])
def test_the_first_filters_measure_gradient_and_hessian_of_a_wave(angle):
    """phi of sin(w u.p): the derivatives of a Gaussian of std 1 give w^n exp(-w^2/2), along u, steered to any angle."""
    w, size = 0.7, 33
    p = torch.arange(size, dtype=torch.float64) - size // 2
    u = (math.cos(angle), math.sin(angle))
    phase = w * (u[0] * p[None, :] + u[1] * p[:, None])
    edges = FilterBank()(phase.sin()[None, None], {"edges1": 1.0})["edges1"][0, :, 8:-8, 8:-8]
    phase, gain = phase[8:-8, 8:-8], math.exp(-(w**2) / 2)
    for i, direction in enumerate(u):
        torch.testing.assert_close(
            edges[i], w * gain * direction * phase.cos() / 0.03, atol=0.5, rtol=0
        )  # of 18: the filters end at 3 stds
    for i, pair in enumerate((u[0] * u[0], u[0] * u[1], u[1] * u[1]), start=2):
        torch.testing.assert_close(
            edges[i], -(w**2) * gain * pair * phase.sin() / 0.02, atol=0.5, rtol=0
        )  # of 18: the filters end at 3 stds


def test_the_features_of_photographs_are_about_1():
    """The two constants by which derivatives are divided: right at every level."""
    bank, squares = FilterBank(), {}
    for name in bundled_names():
        for level, edges in bank(bundled(name, gray=True), ALL).items():
            if level.startswith("edges"):
                hessian = (edges[:, 2:].square() * torch.tensor([1.0, 2.0, 1.0]).view(-1, 1, 1)).sum(1).mean() / 3
                squares.setdefault(level, []).append(torch.stack([edges[:, :2].square().mean(), hessian]))
    rms = torch.stack([torch.stack(v).mean(0).sqrt() for v in squares.values()])
    assert rms.shape == (4, 2) and 0.9 < rms.min() and rms.max() < 1.15


def test_sizes_of_the_features_and_small_pictures():
    shapes = {name: tuple(v.shape) for name, v in FilterBank()(torch.rand(2, 3, 17, 24), ALL).items()}
    assert shapes["edges1"] == (6, 5, 17, 24) and shapes["texture1"] == (6, 2, 9, 12) and shapes["edges4"] == (6, 5, 3, 3)
    assert torch.isfinite(FeatureLoss()(torch.rand(1, 1, 1, 2), torch.rand(1, 1, 1, 2)))


def test_coefficients_weigh_the_terms_one_by_one():
    x, ref = torch.rand(2, 1, 3, 16, 16, generator=gen())
    parts = [FeatureLoss(coefficients={name: 1.0})(x, ref) for name in ALL]
    torch.testing.assert_close(FeatureLoss()(x, ref), torch.stack(parts).sum())
    torch.testing.assert_close(FeatureLoss(coefficients={"edges1": 3.0, "texture4": 0.0})(x, ref), 3 * parts[0])


# VGG-19


def torchvision_like() -> nn.Sequential:
    """The layers of VGG-19 in the order in which torchvision numbers them, thin where no shape is prescribed by its weights."""
    layers: list[nn.Module] = []
    before = 3
    for width, n in ((64, 2), (128, 2), (256, 4), (512, 4), (512, 4)):
        for _ in range(n):
            layers += [nn.Conv2d(before, width, 3, padding=1), nn.ReLU()]
            before = width
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers)


@pytest.fixture(scope="module")
def vgg(tmp_path_factory):
    """A file as torchvision's, with random weights, and the layers that it was made from."""
    with torch.device("meta"):
        layers = torchvision_like()
    layers = layers.to_empty(device="cpu")
    with torch.no_grad():
        for p in layers.parameters():
            p.copy_((torch.rand(p.shape, generator=gen()) - 0.5) * (24 / p[0].numel()) ** 0.5)  # signals of both signs, kept in size
    state = {f"features.{name}": value for name, value in layers.state_dict().items()}
    state |= {"classifier.0.weight": torch.zeros(2, 2), "classifier.0.bias": torch.zeros(2)}
    path = tmp_path_factory.mktemp("vgg") / "vgg19.pth"
    torch.save(state, path)
    return path, layers


def by_number(layers: nn.Sequential, x: torch.Tensor, number: int) -> torch.Tensor:
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    return layers[: number + 1]((x.expand(-1, 3, -1, -1) - mean.view(1, 3, 1, 1)) / std.view(1, 3, 1, 1))


@pytest.mark.parametrize("channels", [1, 3])
def test_vgg_terms_are_those_of_torchvisions_layers(vgg, channels):
    path, layers = vgg
    numbers = {"conv1_2": 2, "conv2_2": 7, "conv3_4": 16, "conv4_4": 25, "conv5_4": 34}  # before ReLU
    weights = {"conv1_2": 0.1, "conv2_2": 0.1, "conv3_4": 1.0, "conv4_4": 1.0, "conv5_4": 1.0}
    x, ref = torch.rand(2, 1, channels, 16, 19, generator=gen())
    with torch.no_grad():
        terms = [c * (by_number(layers, x, numbers[n]) - by_number(layers, ref, numbers[n])).square().mean() for n, c in weights.items()]
    assert min(terms) > 0
    loss = FeatureLoss(path)
    torch.testing.assert_close(loss(x, ref), torch.stack(terms).sum(), rtol=1e-4, atol=0)
    assert loss(x, x) == 0 and not any(p.requires_grad for p in loss.parameters())


def test_vgg_goes_no_deeper_than_asked_and_gives_a_gradient(vgg):
    loss = FeatureLoss(vgg[0], coefficients={"conv2_1": 1.0})
    x = torch.rand(1, 3, 2, 3, generator=gen(), requires_grad=True)
    loss(x, torch.rand(1, 3, 2, 3)).backward()
    assert x.grad.abs().sum() > 0
    with pytest.raises(ValueError, match="sides from 2 for conv2_1"):
        loss(torch.rand(1, 3, 1, 3), torch.rand(1, 3, 1, 3))


def test_another_net_and_a_missing_file_are_refused(tmp_path, vgg):
    torch.save({"features.0.weight": torch.zeros(64, 3, 3, 3)}, tmp_path / "vgg11.pth")
    with pytest.raises(RuntimeError, match="Missing key"):
        FeatureLoss(tmp_path / "vgg11.pth")
    with pytest.raises(FileNotFoundError):
        FeatureLoss(tmp_path / "none.pth")
    with pytest.raises(ValueError, match="checksum"):
        FeatureLoss(vgg[0], sha256="0" * 64)


@pytest.mark.parametrize("coefficients", [{"conv1_1": 1.0}, {}, {"edges1": -1.0}])
def test_bad_coefficients_are_refused(coefficients):
    with pytest.raises(ValueError, match="coefficients"):
        FeatureLoss(coefficients=coefficients)


def test_bad_pictures_are_refused():
    for x, ref in ((torch.rand(1, 3, 8, 8), torch.rand(1, 3, 8, 9)), (torch.rand(1, 2, 8, 8), torch.rand(1, 2, 8, 8))):
        with pytest.raises(ValueError, match="equal shapes"):
            FeatureLoss()(x, ref)
    with pytest.raises(TypeError, match="one dtype"):
        FeatureLoss()(torch.rand(1, 3, 8, 8), torch.rand(1, 3, 8, 8).double())
