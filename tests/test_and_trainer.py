"""ANDTrainer: each step against the same step by hand, randomness without state, exact resuming; and the crops it trains on."""

from __future__ import annotations

from collections import Counter
from copy import deepcopy

import pytest
import torch
from torch import nn
from torch.nn.functional import softplus
from torch.optim import Adam

import restorekit
from restorekit._patches import random_patches
from restorekit.methods.and_trainer import ANDTrainer
from restorekit.methods.baselines.bicubic import bicubic_downsample
from restorekit.methods.degraders import make_degrader
from restorekit.nets._init import draw_weights
from restorekit.nets.rrdb import RRDB
from restorekit.solvers import load_state, run, save_state


def gen(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def restorer(seed: int = 0, scale: int = 2) -> RRDB:
    return RRDB(scale, channels=1, features=4, blocks=1, growth=2, upsampler="shuffle", residual=True, generator=gen(seed))


class Judge(nn.Module):
    """A discriminator with next to nothing in it."""

    def __init__(self, seed: int = 1) -> None:
        super().__init__()
        self.first, self.last = nn.Conv2d(1, 3, 3, stride=2), nn.Conv2d(3, 1, 3)
        draw_weights(self, gen(seed))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(torch.relu(self.first(x)))


class Noisy:
    """y = bicubic reduction + noise; remembers how it was called."""

    def __init__(self) -> None:
        self.calls: list[dict] = []

    def __call__(self, x, G, *, generator, loss=None):
        y = bicubic_downsample(x, G.scale)
        y = y + 0.05 * torch.randn(y.shape, generator=generator)
        held = not any(p.requires_grad for p in G.parameters())
        self.calls.append({"x": x, "y": y, "held": held, "loss": None if loss is None else loss(y).item()})
        return y


PIXELS = [(255 * restorekit.bundled("camera", gray=True, size=(40, 56))[0]).to(torch.uint8).roll(i, 1) for i in range(3)]
GAN = {"loss": "gan", "feature_loss": lambda a, b: (a - b).square().mean(), "gan_weight": 0.5}


def trainer(*, degrader=None, gan: bool = False, **options) -> ANDTrainer:
    options = {"steps": 10, "batch": 6, "patch": 12, "nets": 3, "lr": 1e-3, **(GAN if gan else {}), **options}
    return ANDTrainer(restorer(), PIXELS, degrader or Noisy(), discriminator=Judge() if gan else None, **options)


def same(a: dict, b: dict) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[n], b[n]) for n in a)


def close(net: nn.Module, other: nn.Module) -> None:
    """Weights, and the gradients of the last step: Adam hardly sees a factor on them."""
    for a, b in zip(net.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-7)
        torch.testing.assert_close(a.grad, b.grad, rtol=1e-4, atol=1e-6)


# the steps


@pytest.mark.parametrize("gan", [False, True])
def test_a_step_is_adam_on_the_whole_batch(gan):
    """Chunks add up to AND Eq. 2, and to the non-saturating form of Eq. 3, on the batch they make together."""
    ours = trainer(gan=gan)
    G, D = deepcopy(ours.G), deepcopy(ours.discriminator)
    optimizer, judge = Adam(G.parameters(), 1e-3), Adam(D.parameters(), 1e-3) if D else None
    for _ in range(3):
        x, y = (torch.cat(part) for part in zip(*(ours.pairs(i) for i in range(3)), strict=True))
        state = ours.step()
        restored = G(y)
        loss = (restored - x).abs().mean()
        assert state.loss == pytest.approx(255 * loss.item(), rel=1e-5)
        if D:
            loss = loss + (restored - x).square().mean() + 0.5 * softplus(-D(restored)).mean()
        gradients = torch.autograd.grad(loss, list(G.parameters()))
        if D:
            loss_d = softplus(-D(x)).mean() + softplus(D(restored.detach())).mean()
            assert state.loss_d == pytest.approx(loss_d.item(), rel=1e-5)
            judge.zero_grad()
            loss_d.backward()
            judge.step()
        for p, g in zip(G.parameters(), gradients, strict=True):
            p.grad = g
        optimizer.step()
        close(ours.G, G)
        if D:
            close(ours.discriminator, D)


def test_the_degrader_gets_a_held_restorer_and_the_loss_of_the_phase():
    plain, worst = Noisy(), Noisy()
    trainer(degrader=plain).step()
    assert [c["held"] for c in plain.calls] == [True] * 3 and [c["loss"] for c in plain.calls] == [None] * 3
    ours = trainer(degrader=worst, gan=True)
    G, D = deepcopy(ours.G), deepcopy(ours.discriminator)
    ours.step()
    for c in worst.calls:
        restored = G(c["y"])
        e = restored - c["x"]
        assert c["loss"] == pytest.approx((e.abs().mean() + e.square().mean() + 0.5 * softplus(-D(restored)).mean()).item(), rel=1e-5)
    assert all(p.requires_grad for net in (ours.G, ours.discriminator) for p in net.parameters())


def test_the_step_size_falls_to_zero_and_the_mean_follows():
    ours = trainer(steps=10)
    by_hand = None
    for k in range(10):
        ours.step()
        assert ours._optimizers["G"].param_groups[0]["lr"] == pytest.approx(1e-3 * min(1, (10 - k) / 2))
        now = torch.cat([p.flatten() for p in ours.G.parameters()])
        by_hand = now if k < 8 else 0.99 * by_hand + 0.01 * now
        torch.testing.assert_close(torch.cat([v.flatten() for v in ours.weights().values()]), by_hand, rtol=0, atol=1e-7)
    assert not same(ours.weights(), ours.G.state_dict())


@pytest.mark.parametrize("name", ["classical", "random", "adversarial", "noise", "pipeline"])
def test_every_degrader_trains(name):
    small = {"features": 8, "blocks": (1, 1)} if name in ("random", "adversarial") else {}
    few = {"steps": 2} if name in ("noise", "adversarial") else {}
    ours = trainer(degrader=make_degrader(name, 2, 1, **small, **few), nets=2, patch=16)
    losses = run(ours, 2, record={"loss": lambda s: s.loss}).history["loss"]
    assert all(0 < v < 255 for v in losses)
    x, y = ours.pairs(0)
    ideal = bicubic_downsample(x, 2)
    error = (y - ideal).abs()[..., 2:-2, 2:-2].max().item()
    assert y.shape == ideal.shape and not y.requires_grad and (error < 1e-5) == (name == "classical")


def test_training_restores_what_was_taken():
    """Darkened pictures: the restorer learns to lighten them."""

    def darken(x, G, *, generator, loss=None):
        return 0.5 * x

    ours = ANDTrainer(restorer(scale=1), PIXELS, darken, steps=60, batch=8, nets=1, patch=12, lr=2e-2)
    losses = run(ours, 60, record={"loss": lambda s: s.loss}).history["loss"]
    assert sum(losses[-10:]) < 0.4 * sum(losses[:10])


# randomness


def test_one_seed_one_result_and_no_two_chunks_alike():
    one, other, third = trainer(seed=3, gan=True), trainer(seed=3, gan=True), trainer(seed=4, gan=True)
    for t in (one, other, third):
        run(t, 3)
    assert same(one.weights(), other.weights()) and not same(one.weights(), third.weights())
    drawn = [one.pairs(i)[1] for i in range(3)]
    one.step()
    drawn += [one.pairs(i)[1] for i in range(3)]
    assert all(not torch.equal(a, b) for i, a in enumerate(drawn) for b in drawn[:i])
    assert torch.equal(one.pairs(2)[1], drawn[5])  # looking costs no randomness


@pytest.mark.parametrize("gan", [False, True])
def test_a_resumed_run_is_the_same_run(tmp_path, gan):
    whole, first, second = trainer(gan=gan), trainer(gan=gan), trainer(gan=gan, seed=9)
    rows = run(whole, 10, record={"loss": lambda s: s.loss, "mean": lambda s: s.mean_loss, "d": lambda s: s.loss_d}).history

    def stop(step, state):
        if step == 4:
            raise KeyboardInterrupt

    stopped = run(first, 10, callback=stop)
    assert stopped.interrupted and stopped.state.step == 4
    save_state(tmp_path / "state", first)
    load_state(tmp_path / "state", second)
    rest = run(second, 6, record={"loss": lambda s: s.loss, "mean": lambda s: s.mean_loss, "d": lambda s: s.loss_d}).history
    assert rest.steps == rows.steps[4:] and all(rest[n] == rows[n][4:] for n in rows.names)
    assert same(whole.weights(), second.weights()) and same(whole.G.state_dict(), second.G.state_dict())
    if gan:
        assert same(whole.discriminator.state_dict(), second.discriminator.state_dict())


def test_a_state_is_a_copy():
    ours = trainer(gan=True)
    ours.step()
    state = ours.state_dict()
    before = {n: v.clone() for n, v in state["nets"]["D"].items()}
    ours.step()
    assert same(state["nets"]["D"], before) and not same(before, ours.discriminator.state_dict())


def test_clean_crops_are_only_reduced():
    degrader = Noisy()
    x, y = trainer(degrader=degrader, clean_share=1.0).pairs(0)
    assert torch.equal(y, bicubic_downsample(x, 2)) and not degrader.calls
    ours = trainer(degrader=degrader, clean_share=0.25, batch=400, nets=1)
    x, y = ours.pairs(0)
    clean = (y - bicubic_downsample(x, 2)).abs().amax((1, 2, 3)) < 1e-6
    assert abs(clean.float().mean().item() - 0.25) < 0.1  # 4.6 standard deviations
    assert torch.equal(degrader.calls[0]["x"], x[~clean]) and torch.equal(y[~clean], degrader.calls[0]["y"])


# input


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ({"batch": 7}, "multiple of nets"),
        ({"steps": 0}, "1 or more"),
        ({"clean_share": 1.5}, "clean_share"),
        ({"ema": 1.0}, "ema"),
        ({"lr": 0.0}, "lr > 0"),
        ({"loss": "l2"}, "'l1', 'gan'"),
        ({"loss": "gan"}, "discriminator"),
    ],
)
def test_bad_settings_are_refused(bad, said):
    with pytest.raises(ValueError, match=said):
        trainer(**bad)


def test_a_judge_without_its_loss_is_refused():
    with pytest.raises(ValueError, match="both or neither"):
        ANDTrainer(restorer(), PIXELS, Noisy(), steps=1, discriminator=Judge())


# crops


def test_crops_are_views_of_the_pictures_in_all_eight_ways():
    """Each pixel's value tells its place: neighbors in a crop are neighbors in the picture, in one of eight directions."""
    place = torch.arange(240, dtype=torch.uint8).view(1, 12, 20)
    crops = (255 * random_patches([place], 800, 5, generator=gen())).round().long()[:, 0]
    assert crops.shape == (800, 5, 5)
    rows, columns = crops // 20, crops % 20
    directions: Counter = Counter()
    for r, c in zip(rows, columns, strict=True):
        down, right = {(*v,) for v in _steps(r, c, 0)}, {(*v,) for v in _steps(r, c, 1)}
        assert len(down) == len(right) == 1
        directions[(*down, *right)] += 1
    assert len(directions) == 8 and min(directions.values()) > 50
    assert rows.amin((1, 2)).unique().tolist() == list(range(8)) and columns.amin((1, 2)).unique().tolist() == list(range(16))


def _steps(r, c, axis):
    return torch.stack([r.diff(dim=axis).flatten(), c.diff(dim=axis).flatten()], 1).tolist()


def test_crops_come_from_every_picture_and_must_fit():
    pixels = [torch.full((3, 9, 8 + i), 10 * i, dtype=torch.uint8) for i in range(4)]
    crops = random_patches(pixels, 200, 8, generator=gen())
    assert crops.shape == (200, 3, 8, 8) and (255 * crops).round().unique().tolist() == [0, 10, 20, 30]
    for wrong in ((pixels, 9), ([], 4), (pixels, 0)):
        with pytest.raises(ValueError, match="Got crops"):
            random_patches(wrong[0], 1, wrong[1], generator=gen())
