"""RRDB: its forward map against an independent one in published names, sizes, the start near bicubic, loading."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from restorekit.images import bundled
from restorekit.methods.baselines import bicubic, bicubic_downsample
from restorekit.metrics import psnr
from restorekit.nets import RRDB, light_rrdb, load_esrgan

SIZES = {"features": 6, "blocks": 2, "growth": 4}


def gen(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def small(scale: int, **options) -> RRDB:
    return RRDB(scale, **{**SIZES, **options}, generator=gen())


# published names, written down layer by layer

LAST_OF_THE_FIRST = {1: ("2", "4"), 2: ("5", "7"), 3: ("5", "7"), 4: ("8", "10")}  # at scale: numbers of HRconv and conv_last


def names(style: str, scale: int, blocks: int) -> dict[str, str]:
    """Role -> published name of each convolution."""
    steps = {1: 0, 2: 1, 3: 1, 4: 2}[scale]
    if style == "first":
        dense, head, trunk = "model.1.sub.{}.RDB{}.conv{}.0", "model.0", f"model.1.sub.{blocks}"
        up, hr, last = ["model.3", "model.6"], *(f"model.{n}" for n in LAST_OF_THE_FIRST[scale])
    elif style == "second":
        dense, head, trunk, up, hr, last = (
            "RRDB_trunk.{}.RDB{}.conv{}",
            "conv_first",
            "trunk_conv",
            ["upconv1", "upconv2"],
            "HRconv",
            "conv_last",
        )
    else:
        dense, head, trunk, up, hr, last = (
            "body.{}.rdb{}.conv{}",
            "conv_first",
            "conv_body",
            ["conv_up1", "conv_up2"],
            "conv_hr",
            "conv_last",
        )
    roles = {"head": head, "trunk": trunk, "hr": hr, "last": last} | {f"up{i}": up[i] for i in range(steps)}
    return roles | {f"{b}{r}{c}": dense.format(b, r, c) for b in range(blocks) for r in (1, 2, 3) for c in (1, 2, 3, 4, 5)}


def shapes(style: str, scale: int, *, channels: int = 3, nf: int = 6, gc: int = 4, blocks: int = 2) -> dict[str, tuple[int, ...]]:
    """Published name -> shape of each tensor."""
    out: dict[str, tuple[int, ...]] = {}
    for role, name in names(style, scale, blocks).items():
        inputs = outputs = nf
        if role[0].isdigit():
            conv = int(role[-1])
            inputs, outputs = nf + (conv - 1) * gc, nf if conv == 5 else gc
        inputs = channels if role == "head" else inputs
        outputs = channels if role == "last" else outputs
        out |= {f"{name}.weight": (outputs, inputs, 3, 3), f"{name}.bias": (outputs,)}
    return out


def checkpoint(style: str, scale: int, **sizes: int) -> dict[str, Tensor]:
    """A published state dict with random tensors."""
    g = gen(7)
    return {name: torch.randn(shape, generator=g) * 0.2 for name, shape in shapes(style, scale, **sizes).items()}


def esrgan(y: Tensor, state: dict[str, Tensor], roles: dict[str, str], scale: int, blocks: int = 2) -> Tensor:
    """ESRGAN's forward pass from the description of the paper, on published names."""

    def conv(role: str, v: Tensor) -> Tensor:
        return F.conv2d(v, state[f"{roles[role]}.weight"], state[f"{roles[role]}.bias"], padding=1)

    def lrelu(v: Tensor) -> Tensor:
        return torch.where(v > 0, v, 0.2 * v)

    first = conv("head", y)
    v = first
    for b in range(blocks):
        into_block = v
        for r in (1, 2, 3):
            into_dense, seen = v, [v]
            for c in (1, 2, 3, 4):
                seen.append(lrelu(conv(f"{b}{r}{c}", torch.cat(seen, 1))))
            v = into_dense + 0.2 * conv(f"{b}{r}5", torch.cat(seen, 1))
        v = into_block + 0.2 * v
    v = first + conv("trunk", v)
    for i, s in enumerate({1: [], 2: [2], 3: [3], 4: [2, 2]}[scale]):
        v = lrelu(conv(f"up{i}", v.repeat_interleave(s, 2).repeat_interleave(s, 3)))
    return conv("last", lrelu(conv("hr", v)))


@pytest.mark.parametrize("scale", [1, 2, 3, 4])
@pytest.mark.parametrize("style", ["first", "second", "third"])
def test_published_weights_give_the_published_output(tmp_path, style, scale):
    state = checkpoint(style, scale)
    torch.save({"params_ema": state} if style == "third" else state, tmp_path / "net.pth")
    net = load_esrgan(tmp_path / "net.pth", scale=3 if scale == 3 else None)
    assert net.scale == scale and not net.training and not any(p.requires_grad for p in net.parameters())
    y = torch.rand(2, 3, 7, 10, generator=gen())
    expected = esrgan(y, state, names(style, scale, 2), scale)
    assert expected.shape == (2, 3, 7 * scale, 10 * scale)
    torch.testing.assert_close(net(y), expected, atol=1e-5, rtol=1e-5)


def test_a_gray_checkpoint_of_other_sizes_is_read_off_its_tensors(tmp_path):
    sizes = {"channels": 1, "nf": 5, "gc": 3, "blocks": 4}
    state = checkpoint("second", 2, **sizes)
    torch.save(state, tmp_path / "net.pth")
    net = load_esrgan(tmp_path / "net.pth")
    assert (net.channels, net.scale, len(net.blocks)) == (1, 2, 4)
    y = torch.rand(1, 1, 6, 5, generator=gen())
    torch.testing.assert_close(net(y), esrgan(y, state, names("second", 2, 4), 2, blocks=4), atol=1e-5, rtol=1e-5)


def test_the_paper_size_has_the_tensors_of_the_published_x4_net():
    with torch.device("meta"):
        net = RRDB(4, generator=torch.Generator())
    expected = shapes("second", 4, nf=64, gc=32, blocks=23)
    assert sorted(tuple(p.shape) for p in net.parameters()) == sorted(expected.values())
    assert sum(p.numel() for p in net.parameters()) == 16_697_987


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("conv_first.weight"), "RRDB of ESRGAN"),
        (lambda s: s.update({"conv_first.weight": torch.zeros(6, 12, 3, 3)}), "12 channels in and 3 out"),
        (lambda s: s.pop("conv_last.bias"), "Missing key"),
        (lambda s: s.update({"extra.weight": torch.zeros(1)}), "Unexpected key"),
        (lambda s: s.update({"trunk_conv.bias": torch.zeros(7)}), "size mismatch"),
    ],
)
def test_another_architecture_is_refused(tmp_path, change, message):
    state = checkpoint("second", 4)
    change(state)
    torch.save(state, tmp_path / "net.pth")
    with pytest.raises((ValueError, RuntimeError), match=message):
        load_esrgan(tmp_path / "net.pth")


def test_a_scale_that_does_not_fit_and_a_wrong_checksum_are_refused(tmp_path):
    torch.save(checkpoint("third", 4), tmp_path / "net.pth")
    with pytest.raises(ValueError, match="enlarges 2 times"):
        load_esrgan(tmp_path / "net.pth", scale=2)
    with pytest.raises(ValueError, match="checksum"):
        load_esrgan(tmp_path / "net.pth", sha256="0" * 64)


# the net


@pytest.mark.parametrize("upsampler", ["nearest", "shuffle"])
@pytest.mark.parametrize("scale", [1, 2, 3, 4])
def test_any_size_and_each_picture_for_itself(scale, upsampler):
    net = small(scale, channels=1, upsampler=upsampler)
    y = torch.rand(2, 1, 5, 8, generator=gen())
    x = net(y)
    assert x.shape == (2, 1, 5 * scale, 8 * scale) and x.dtype == y.dtype
    torch.testing.assert_close(x[1:], net(y[1:]), atol=1e-6, rtol=1e-5)
    assert net(torch.rand(1, 1, 1, 1)).shape == (1, 1, scale, scale)


@pytest.mark.parametrize("scale", [2, 3])
def test_the_shuffle_puts_the_s2_pixels_of_a_pixel_in_its_place(scale):
    """The far tail of the net on a feature map that is 1 in one group of maps: only pixels of that phase light up."""
    net = small(scale, upsampler="shuffle")
    conv = net.up[0]
    with torch.no_grad():
        conv.weight.zero_()
        conv.bias.zero_()
        conv.bias[1] = 1.0  # of map 0: phase 1 is row 0, column 1
    place = net.up(torch.zeros(1, 6, 4, 4))
    expected = torch.zeros(1, 4, 4 * scale, 4 * scale)
    expected[:, 0, 0::scale, 1::scale] = 1
    torch.testing.assert_close(place, expected)


@pytest.mark.parametrize("scale", [1, 2, 3, 4])
def test_an_untrained_light_net_is_nearly_bicubic(scale):
    net, y = light_rrdb(scale, generator=gen()), bicubic_downsample(bundled(size=(96, 96)), scale)
    assert psnr(net(y), bicubic(y, scale)).item() > 38
    with torch.no_grad():
        net.tail.weight.zero_()
    torch.testing.assert_close(net(y), bicubic(y, scale), atol=1e-5, rtol=1e-5)


def test_a_light_net_learns_what_bicubic_cannot():
    x = bundled("astronaut", size=(48, 48))
    y = bicubic_downsample(x, 2)
    net = light_rrdb(2, generator=gen())
    adam = torch.optim.Adam(net.parameters(), 2e-3)
    for _ in range(25):
        adam.zero_grad()
        (net(y) - x).abs().mean().backward()
        adam.step()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in net.parameters())
    assert psnr(net(y), x).item() > psnr(bicubic(y, 2), x).item() + 0.3


def test_one_seed_one_net_and_the_start_is_esrgans():
    one, two, other = (light_rrdb(2, generator=gen(s)) for s in (0, 0, 1))
    y = torch.rand(1, 3, 8, 8, generator=gen())
    assert torch.equal(one(y), two(y)) and not torch.equal(one(y), other(y))
    dense = [conv for block in RRDB(2, blocks=3, generator=gen()).blocks for part in block.blocks for conv in part.convs]
    for conv in dense:
        assert conv.bias.abs().max() == 0
        assert conv.weight.std().item() == pytest.approx(0.1 * (2 / conv.weight[0].numel()) ** 0.5, rel=0.05)


def test_gradients_reach_the_input():
    net = small(2, features=2, blocks=1, growth=2).double()
    y = torch.rand(1, 3, 2, 3, generator=gen(), dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(net, (y,))


@pytest.mark.parametrize(
    ("options", "message"),
    [({"scale": 5}, "scale"), ({"scale": 2, "upsampler": "bilinear"}, "upsampler"), ({"scale": 2, "blocks": 0}, "blocks=0")],
)
def test_bad_settings_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        small(**options)


def test_bad_input_is_refused():
    net = small(2)
    with pytest.raises(ValueError, match="3"):
        net(torch.rand(1, 1, 8, 8))
    with pytest.raises(TypeError, match="one dtype"):
        net(torch.rand(1, 3, 8, 8).double())
