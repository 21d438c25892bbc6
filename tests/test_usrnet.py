"""USRNet: its data step against least squares, the published weights on pictures with a known kernel."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.io import loadmat
from torch import nn

from restorekit.degradations import gaussian_noise, round_to_8_bit
from restorekit.images import dataset
from restorekit.kernels import gaussian_kernel, kernel_moments
from restorekit.methods.baselines import bicubic
from restorekit.methods.handoff import nonblind
from restorekit.metrics import psnr
from restorekit.nets import USRNet, load_usrnet
from restorekit.nets.usrnet import ResUNet
from restorekit.operators import BlurDown
from restorekit.weights import load_weights

needs_weights = pytest.mark.skipif(
    not (os.environ.get("RESTOREKIT_WEIGHTS") and os.environ.get("RESTOREKIT_DATA")), reason="RESTOREKIT_WEIGHTS or RESTOREKIT_DATA not set"
)


def gen(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def tiny(**options) -> USRNet:
    return USRNet((4, 6, 8, 8), hidden=8, generator=gen(), **options)


class _Picture(nn.Module):
    """A prior that changes nothing."""

    def forward(self, v):
        return v[:, :3]


@pytest.mark.parametrize("scale", [1, 2, 3, 4])
def test_without_a_prior_the_iterations_solve_the_least_squares(scale):
    """x_K of z <- argmin |A z - y|^2 + alpha |z - x|^2 alone: A x_K -> y at the rate alpha / (alpha + eigenvalue)."""
    net = tiny().double()
    net.prior = _Picture()
    net.hyper = nn.Sequential(nn.Conv2d(2, 12, 1), nn.Softplus()).double()
    with torch.no_grad():
        net.hyper[0].weight.zero_()
        net.hyper[0].bias.fill_(-9.0)  # alpha = 1.2e-4
    k = gaussian_kernel(5, 0.7).double()
    y = torch.rand(1, 3, 6, 9, generator=gen(), dtype=torch.float64)
    A = BlurDown(k, scale)
    x = net(y, k, scale, 0.1)
    assert x.shape == (1, 3, 6 * scale, 9 * scale)
    assert (A(x) - y).abs().max() < 1e-2 < (A(F.interpolate(y, scale_factor=scale)) - y).abs().max()
    alpha = F.softplus(torch.tensor(-9.0, dtype=torch.float64)).item() + 1e-6
    by_hand = F.interpolate(y, scale_factor=scale, mode="nearest")
    for _ in range(6):
        by_hand = A.prox(by_hand, y, alpha)
    torch.testing.assert_close(x, by_hand)


def test_penalties_follow_noise_and_scale_and_each_picture_has_its_own():
    net, k = tiny(), gaussian_kernel(5, 1.0)
    y = torch.rand(2, 3, 8, 8, generator=gen())
    together = net(y, k, 2, torch.tensor([0.0, 0.1]))
    torch.testing.assert_close(together, torch.cat([net(y[:1], k, 2, 0.0), net(y[1:], k, 2, 0.1)]), atol=1e-5, rtol=1e-4)
    assert not torch.allclose(net(y, k, 2, 0.0), net(y, k, 2, 0.2))
    two = torch.cat([k, gaussian_kernel(5, 2.0)])
    torch.testing.assert_close(net(y, two, 2)[1:], net(y[1:], two[1:], 2), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("size", [(8, 8), (9, 16), (13, 7)])
def test_the_prior_takes_any_size_by_repeating_its_border(size):
    net, v = ResUNet((4, 6, 8, 8)), torch.rand(1, 4, *size, generator=gen())
    wide = F.pad(v, (0, -size[1] % 8, 0, -size[0] % 8), mode="replicate")
    torch.testing.assert_close(net(v), net(wide)[..., : size[0], : size[1]])


def test_bad_input_is_refused():
    net, k = tiny(), gaussian_kernel(5, 1.0)
    with pytest.raises(ValueError, match="3"):
        net(torch.rand(1, 1, 8, 8), k, 2)
    with pytest.raises(TypeError, match="one dtype"):
        net(torch.rand(1, 3, 8, 8), k.double(), 2)
    with pytest.raises(ValueError, match="sigma"):
        net(torch.rand(1, 3, 8, 8), k, 2, -0.1)
    with pytest.raises(ValueError, match="scale"):
        net(torch.rand(1, 3, 8, 8), k, 5)


# the published weights


@pytest.fixture(scope="module")
def published() -> USRNet:
    return load_usrnet()


@needs_weights
def test_published_weights_fit_name_by_name_and_none_is_left(published):
    stored = load_weights("usrnet_tiny", published=True)
    mine = published.state_dict()
    assert len(stored) == len(mine)
    assert sum(v.numel() for v in stored.values()) == sum(v.numel() for v in mine.values())
    assert torch.equal(mine["prior.up.2.2.res.2.weight"], stored["p.m_up1.2.res.2.weight"])
    assert torch.equal(mine["prior.up.0.0.weight"], stored["p.m_up3.0.weight"])
    assert torch.equal(mine["hyper.4.bias"], stored["h.mlp.4.bias"])
    with pytest.raises(RuntimeError, match="size mismatch"):
        USRNet((16, 32, 64, 32), generator=gen()).load_state_dict(mine)


def fkp_picture():
    """x, y, kernel of the test picture of FKP: y is RGBA, the kernel is stored turned by 180 degrees."""
    root = Path(os.environ["RESTOREKIT_DATA"]) / "fkp_test"
    from PIL import Image

    y = np.asarray(Image.open(root / "DIPFKP_lr_x4" / "102061.png"))[..., :3]
    y = torch.from_numpy(y.copy()).permute(2, 0, 1)[None].float() / 255
    stored = torch.from_numpy(loadmat(root / "DIPFKP_gt_k_x4" / "102061.mat")["Kernel"]).float()[None, None]
    x = dataset(root / "HR")["102061"].load()[..., : 4 * y.shape[-2], : 4 * y.shape[-1]]
    return x, y, stored.flip(-1, -2) / stored.sum()


@needs_weights
def test_the_published_kernel_is_stored_for_correlation_and_the_border_is_periodic():
    x, y, k = fkp_picture()

    def fit(kernel, padding="circular"):
        return psnr(BlurDown(kernel, 4, padding)(x), y, luma=False, quantize=False).item()

    assert fit(k) > 52  # true convolution, phase 0, rounded to 8 bit
    assert fit(k.flip(-1, -2)) < 25
    assert fit(k, "reflect") < 30


@needs_weights
def test_usrnet_restores_the_picture_of_fkp(published):
    x, y, k = fkp_picture()
    start = bicubic(y, 4, align=tuple(kernel_moments(k)[1][0].tolist()))
    restored = psnr(nonblind(y, k, 4, sigma=0.0, denoiser=published, padding="circular"), x, border=4).item()
    assert restored > 26.0  # 26.11 measured
    assert restored > psnr(start, x, border=4).item() + 1.4


@needs_weights
@pytest.mark.parametrize(
    ("index", "scale", "sigma", "least", "gain"), [(2, 4, 0.0, 28.0, 6.0), (5, 3, 7.65 / 255, 26.2, 6.0), (9, 1, 0.01, 34.5, 15)]
)
def test_usrnet_restores_the_butterfly(published, index, scale, sigma, least, gain):
    """Gaussian kernels and a motion kernel of the USRNet set; the picture is no training picture of anything shipped here."""
    x = dataset("set5")["butterfly_GT"].load()[..., :252, :252]
    kernels = np.load(Path(os.environ["RESTOREKIT_DATA"]) / "kernels" / "usrnet_12.npz")["kernels"]
    k = torch.from_numpy(kernels[index]).float()[None, None]
    k = k / k.sum()
    y = BlurDown(k, scale)(x)
    y = gaussian_noise(y, sigma, generator=gen()) if sigma else round_to_8_bit(y)
    start = bicubic(y, scale, align=tuple(kernel_moments(k)[1][0].tolist()))
    restored = psnr(published(y, k, scale, sigma), x, border=scale).item()
    assert restored > least and restored > psnr(start, x, border=scale).item() + gain
