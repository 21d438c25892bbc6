"""DnCNN, VDN, DMPHN: forward maps against independent ones, published weights and scores, the variational bound, the recipe."""

from __future__ import annotations

import json
import os
from math import log, pi

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributions import Gamma, Normal, kl_divergence

from restorekit.degradations import gaussian_noise, noise_map
from restorekit.experiments.recipes import vdn as recipe
from restorekit.images import bundled, dataset, load_image
from restorekit.metrics import psnr
from restorekit.nets import DMPHN, VDN, VMPHN, DnCNN, dmphn, load_dmphn, load_dncnn, load_vdn, variational_bound
from restorekit.nets.vdn import EPS2, WINDOW, local_variance
from restorekit.solvers import load_state, run, save_state
from restorekit.weights import save_weights, shipped

needs_weights = pytest.mark.skipif(not os.environ.get("RESTOREKIT_WEIGHTS"), reason="RESTOREKIT_WEIGHTS is not set")
needs_data = pytest.mark.skipif(not os.environ.get("RESTOREKIT_DATA"), reason="RESTOREKIT_DATA is not set")
needs_bench = pytest.mark.skipif(
    not all(os.environ.get(f"RESTOREKIT_{n}") for n in ("WEIGHTS", "DATA", "BENCH")), reason="needs weights, data and benchmarks"
)


def gen(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def rand(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=gen(seed))


# DnCNN


def dncnn_checkpoint(depth: int, f: int = 64) -> dict[str, Tensor]:
    """Random tensors under the published names."""
    g, state = gen(3), {"module.dncnn.0.weight": torch.randn(f, 1, 3, 3, generator=gen(1)) * 0.2}
    for i in range(2, 2 + 3 * (depth - 2), 3):
        state[f"module.dncnn.{i}.weight"] = torch.randn(f, f, 3, 3, generator=g) * 0.05
        for name in ("weight", "bias", "running_mean", "running_var"):
            state[f"module.dncnn.{i + 1}.{name}"] = torch.rand(f, generator=g) + 0.1
    state[f"module.dncnn.{2 + 3 * (depth - 2)}.weight"] = torch.randn(1, f, 3, 3, generator=g) * 0.2
    return state


@pytest.mark.parametrize(("name", "depth"), [("s25", 17), ("b", 20)])
def test_published_names_give_the_published_output(tmp_path, name, depth):
    state = dncnn_checkpoint(depth)
    torch.save(state, tmp_path / "net.pth")
    x = rand(1, 1, 7, 9)
    v = F.relu(F.conv2d(x, state["module.dncnn.0.weight"], padding=1))
    for i in range(2, 2 + 3 * (depth - 2), 3):
        v = F.conv2d(v, state[f"module.dncnn.{i}.weight"], padding=1)
        scale, shift, mean, var = (
            state[f"module.dncnn.{i + 1}.{n}"].view(1, -1, 1, 1) for n in ("weight", "bias", "running_mean", "running_var")
        )
        v = F.relu(scale * (v - mean) / (var + 1e-5).sqrt() + shift)
    expected = x - F.conv2d(v, state[f"module.dncnn.{2 + 3 * (depth - 2)}.weight"], padding=1)
    net = load_dncnn(name, tmp_path / "net.pth")
    torch.testing.assert_close(net(x, 0.1), expected, atol=1e-4, rtol=1e-4)
    assert not net.training and not any(p.requires_grad for p in net.parameters())
    with pytest.raises(RuntimeError, match="key"):
        load_dncnn("b" if name == "s25" else "s25", tmp_path / "net.pth")


def test_dncnn_learns_and_refuses_bad_input():
    net, x = DnCNN(depth=4, features=8, generator=gen()), bundled(size=(32, 32), gray=True)
    assert torch.equal(net(x), DnCNN(depth=4, features=8, generator=gen())(x))
    adam = torch.optim.Adam(net.parameters(), 1e-2)
    losses = []
    for i in range(25):
        loss = (net(x + 0.1 * torch.randn(x.shape, generator=gen(i))) - x).square().mean()
        adam.zero_grad()
        loss.backward()
        adam.step()
        losses.append(loss.item())
    assert losses[-1] < 0.85 * 0.1**2 < 0.95 * losses[0]
    with pytest.raises(ValueError, match="channels"):
        net(rand(1, 3, 8, 8))
    with pytest.raises(ValueError, match="depth"):
        DnCNN(depth=2, generator=gen())
    with pytest.raises(ValueError, match="name"):
        load_dncnn("s30")


@needs_data
@needs_weights
def test_the_published_net_has_its_published_score_on_one_picture():
    """All of Set12 is a column of table pnp_denoising; 32.58 dB is stated beside the weights."""
    x = dataset("set12")["01"].load()
    y = x + 15 / 255 * torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
    assert psnr(load_dncnn("s15")(y), x, luma=False, quantize=False).item() == pytest.approx(32.58, abs=0.05)


# VDN


def test_the_bound_is_its_definition():
    """Both divergences as torch has them (an inverse gamma and its gamma have one), the likelihood by its closed form and by samples."""
    net, y, x = VDN(widths=(6, 8), noise_features=5, generator=gen()), rand(2, 1, 9, 11), rand(2, 1, 9, 11, seed=1)
    q = net.posterior(y)
    prior = Gamma(torch.tensor(WINDOW**2 / 2 - 1), WINDOW**2 / 2 * local_variance(y, x))
    kl = kl_divergence(Gamma(q.alpha, q.beta), prior) + kl_divergence(Normal(q.mean, q.variance.sqrt()), Normal(x, EPS2**0.5))
    fit = -0.5 * (log(2 * pi) + q.beta.log() - torch.digamma(q.alpha) + q.alpha / q.beta * ((y - q.mean).square() + q.variance))
    torch.testing.assert_close(variational_bound(q, y, x), (kl - fit).mean(), rtol=1e-4, atol=1e-3)
    at = (0, 0, 3, 4)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        s2 = 1 / Gamma(q.alpha[at], q.beta[at]).sample((100_000,))
        z = q.mean[at] + q.variance[at].sqrt() * torch.randn(100_000)
    assert Normal(z, s2.sqrt()).log_prob(y[at]).mean().item() == pytest.approx(fit[at].item(), abs=0.02)


def test_vdn_starts_near_y_takes_any_size_and_learns_the_noise_level():
    net = VDN(widths=(8, 12), noise_features=8, generator=gen())
    y = rand(1, 1, 7, 10)
    q = net.posterior(y)
    assert q.mean.shape == y.shape and (q.mean - y).abs().max() < 0.5 and torch.equal(net(y, 0.3), q.mean)
    assert q.sigma.mean().item() == pytest.approx(25 / 255, rel=0.2)
    assert net(y.double()).dtype == torch.float64
    x = bundled(size=(48, 48), gray=True)
    adam = torch.optim.Adam(net.parameters(), 3e-3)
    for i in range(30):
        noisy = x + 0.05 * torch.randn(x.shape, generator=gen(i))
        loss = variational_bound(net.posterior(noisy), noisy, x)
        adam.zero_grad()
        loss.backward()
        adam.step()
    noisy = x + 0.05 * torch.randn(x.shape, generator=gen(99))
    assert net.posterior(noisy).sigma.mean().item() == pytest.approx(0.05, rel=0.25)
    with pytest.raises(ValueError, match="widths"):
        VDN(widths=(8,), generator=gen())


def test_all_layers_are_drawn_from_the_generator():
    for make in (lambda: VDN(widths=(4, 6), generator=gen()), lambda: DMPHN(2, features=2, generator=gen())):
        a, b = make().state_dict(), make().state_dict()
        assert all(torch.equal(a[k], b[k]) for k in a)


@needs_data
def test_the_recipe_saves_resumes_and_its_weights_load(tmp_path, monkeypatch):
    monkeypatch.setattr(recipe, "WIDTHS", (4, 6))
    monkeypatch.setattr(recipe, "NOISE_FEATURES", 4)
    monkeypatch.setattr(recipe.denoiser, "dataset", lambda name: dataset(name)[:25])
    whole = recipe.learner("vdn_gray", "smoke", steps=4)
    run(whole, 4)
    half = recipe.learner("vdn_gray", "smoke", steps=4)
    run(half, 2)
    save_state(tmp_path / "state", half)
    rest = load_state(tmp_path / "state", recipe.learner("vdn_gray", "smoke", steps=4, seed=7))
    run(rest, 2)
    weights = whole.weights()
    assert all(torch.equal(weights[k], v) for k, v in rest.weights().items())
    about = whole.describe()
    assert about["widths"] == [4, 6] and not set(about["training_pictures"]) & {"test_020", "test_135"}
    save_weights(tmp_path / "vdn_gray.safetensors", weights, metadata=about)
    y = rand(1, 1, 12, 12)
    torch.testing.assert_close(load_vdn(tmp_path / "vdn_gray.safetensors")(y), whole.average(y))


def test_shipped_vdn_reads_noise_that_varies_and_takes_it_out():
    path = shipped("vdn_gray")
    assert recipe.problems("vdn_gray", path, json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))) == []
    x, sigma = bundled("camera", gray=True, size=128), noise_map((128, 128), low=0.03, high=0.2)
    y = gaussian_noise(x, sigma, generator=gen())
    q = load_vdn().posterior(y)
    assert psnr(q.mean, x).item() > psnr(y, x).item() + 7
    assert torch.corrcoef(torch.stack([q.sigma.flatten(), sigma.flatten()]))[0, 1] > 0.9
    assert (q.sigma.mean() / sigma.mean()).item() == pytest.approx(1, abs=0.1)


# DMPHN


def conv(x: Tensor, state: dict[str, Tensor], name: str, **options: int) -> Tensor:
    return F.conv2d(x, state[f"{name}.weight"], state[f"{name}.bias"], padding=1, **options)


def residual(x: Tensor, state: dict[str, Tensor], name: str) -> Tensor:
    return x + conv(F.relu(conv(x, state, f"{name}.0")), state, f"{name}.2")


def encode(x: Tensor, s: dict[str, Tensor]) -> Tensor:
    for first, blocks, stride in ((1, (2, 3), 1), (5, (6, 7), 2), (9, (10, 11), 2)):
        x = conv(x, s, f"layer{first}", stride=stride)
        for b in blocks:
            x = residual(x, s, f"layer{b}")
    return x


def decode(f: Tensor, s: dict[str, Tensor]) -> Tensor:
    for blocks, up in (((13, 14), 16), ((17, 18), 20), ((21, 22), None)):
        for b in blocks:
            f = residual(f, s, f"layer{b}")
        if up:
            f = F.conv_transpose2d(f, s[f"layer{up}.weight"], s[f"layer{up}.bias"], stride=2, padding=1)
    return conv(f, s, "layer24")


def dmphn_files(folder, tags: list[str]) -> dict[str, dict[str, Tensor]]:
    """Random checkpoints under the published names, small enough not to explode."""
    widths, out = {"encoder": {}, "decoder": {}}, {}
    for start, f in ((1, 32), (5, 64), (9, 128)):
        widths["encoder"][f"layer{start}"] = (f, 3 if start == 1 else f // 2, 3)
        for b in (start + 1, start + 2):
            widths["encoder"] |= {f"layer{b}.{i}": (f, f, 3) for i in (0, 2)}
    for start, f in ((13, 128), (17, 64), (21, 32)):
        for b in (start, start + 1):
            widths["decoder"] |= {f"layer{b}.{i}": (f, f, 3) for i in (0, 2)}
        widths["decoder"][f"layer{start + 3}"] = (f, f // 2, 4) if f > 32 else (3, 32, 3)
    for n, tag in enumerate(tags):
        for kind in ("encoder", "decoder"):
            g, state = gen(10 * n + len(kind)), {}
            for name, (a, b, size) in widths[kind].items():
                state[f"{name}.weight"] = torch.randn(a, b, size, size, generator=g) * 0.5 / (b * size * size) ** 0.5
                state[f"{name}.bias"] = torch.randn(b if size == 4 else a, generator=g) * 0.05
            torch.save(state, folder / f"{kind}_{tag}.pkl")
            out[f"{kind}_{tag}"] = state
    return out


def test_the_stack_of_two_is_that_of_the_description(tmp_path):
    """s1: 1-2-4 on y - 1/2; s2 as the note beside the published weights has it, written out half by half."""
    s = dmphn_files(tmp_path, [f"s{k}_lv{l}" for k in (1, 2) for l in (1, 2, 3)])
    y = rand(1, 3, 16, 24) - 0.5

    def halves(x: Tensor) -> list[Tensor]:
        return list(x.chunk(2, 2))

    def stage(k: int, x: Tensor, before: list[Tensor] | None) -> tuple[Tensor, list[Tensor]]:
        E = {l: s[f"encoder_s{k}_lv{l}"] for l in (1, 2, 3)}
        D = {l: s[f"decoder_s{k}_lv{l}"] for l in (1, 2, 3)}
        old = before or [torch.zeros(())] * 3
        f3 = torch.cat([torch.cat([encode(q, E[3]) for q in h.chunk(2, 3)], 3) for h in halves(x)], 2) + old[2]
        r3 = torch.cat([decode(f, D[3]) for f in f3.chunk(2, 2)], 2)
        f2 = torch.cat([encode(h, E[2]) for h in halves(x + r3)], 2) + f3 + old[1]
        r2 = decode(f2, D[2]) + (x if before else 0)
        f1 = encode(x + r2, E[1]) + f2 + old[0]
        return decode(f1, D[1]), [f1, f2, f3]

    R1, features = stage(1, y, None)
    expected = stage(2, R1, features)[0] + 0.5
    net = load_dmphn("stack2", tmp_path)
    torch.testing.assert_close(net(y + 0.5), expected, atol=1e-4, rtol=1e-4)
    assert not any(p.requires_grad for p in net.parameters())


def test_the_fourth_level_joins_upper_and_lower_patches(tmp_path):
    s = dmphn_files(tmp_path, [f"lv{l}" for l in (1, 2, 3, 4)])
    y = rand(1, 3, 32, 16) - 0.5
    E, D = ({l: s[f"{kind}_lv{l}"] for l in (1, 2, 3, 4)} for kind in ("encoder", "decoder"))

    def tiles(layer, x: Tensor, state: dict[str, Tensor], rows: int, columns: int) -> Tensor:
        return torch.cat([torch.cat([layer(q, state) for q in h.chunk(columns, 3)], 3) for h in x.chunk(rows, 2)], 2)

    f4 = tiles(encode, y, E[4], 4, 2)
    f3 = tiles(encode, y + tiles(decode, f4, D[4], 2, 2), E[3], 2, 2) + f4
    f2 = tiles(encode, y + tiles(decode, f3, D[3], 2, 1), E[2], 2, 1) + f3
    f1 = encode(y + decode(f2, D[2]), E[1]) + f2
    torch.testing.assert_close(load_dmphn("1_2_4_8", tmp_path)(y + 0.5), decode(f1, D[1]) + 0.5, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("make", [lambda: DMPHN(3, features=2, generator=gen()), lambda: VMPHN(3, 2, features=2, generator=gen())])
def test_any_size_and_each_picture_by_itself(make):
    net, y = make(), rand(2, 3, 13, 18)
    out = net(y, 0.0)
    assert out.shape == y.shape and torch.isfinite(out).all()
    torch.testing.assert_close(net(y[1:]), out[1:], atol=1e-6, rtol=1e-5)
    wide = F.pad(y, (0, 6, 0, 3), mode="replicate")
    torch.testing.assert_close(net(wide)[..., :13, :18], out, atol=1e-6, rtol=1e-5)


def test_sizes_of_the_family(monkeypatch):
    """Megabytes of Table 2 (float32): 1-2-4 21.7, 1-2-4-8 29.0, 1-2-4-8-16 36.2, Stack(4) 86.8, VMPHN 43.4."""

    def megabytes(net: nn.Module) -> float:
        return sum(p.numel() for p in net.parameters()) * 4 / 1e6

    monkeypatch.setattr(dmphn, "draw_weights", lambda net, generator: None)  # counted, not used
    with torch.device("meta"):
        g = torch.Generator()
        nets = {21.7: DMPHN(3, generator=g), 29.0: DMPHN(4, generator=g), 36.2: DMPHN(5, generator=g)}
        nets |= {86.8: DMPHN(3, 4, generator=g), 43.4: VMPHN(3, generator=g)}
    for size, net in nets.items():
        assert megabytes(net) == pytest.approx(size, rel=0.01)
    with pytest.raises(ValueError, match="levels=6"):
        DMPHN(6, generator=gen())
    with pytest.raises(ValueError, match="3"):
        DMPHN(1, features=2, generator=gen())(rand(1, 1, 8, 8))


@needs_bench
@pytest.mark.slow
def test_dmphn_gives_the_published_output():
    """1280 x 720: 21 CPU seconds; for the stack of two (42 s) table pnp_outputs does the same."""
    torch.set_grad_enabled(False)
    try:
        y = dataset("gopro_blurry_samples")["000011"].load()
        x = load_dmphn("1_2_4")(y)
    finally:
        torch.set_grad_enabled(True)
    published = load_image(os.path.join(os.environ["RESTOREKIT_BENCH"], "dmphn", "000011_dmphn_1_2_4.png"))
    assert psnr(x, published, luma=False).item() > 50
