"""Page 05b: the references of its exercises are true, and its figures state their numbers."""

from types import SimpleNamespace

import pytest
import torch

from restorekit.methods.baselines.dark_channel import dark_channel
from restorekit.nets import PReNet
from restorekit.teach import tasks_05b
from restorekit.teach import views_05b as views
from restorekit.weather import haze, rain, rain_region


def gen(seed=0):
    return torch.Generator().manual_seed(seed)


def drawn(*shape, seed=0):
    return torch.rand(shape, generator=gen(seed))


def test_half_of_the_light_is_left_there():
    d = torch.full((1, 1, 4, 4), float(tasks_05b.half_distance().reference))
    assert torch.allclose(haze(drawn(1, 3, 4, 4), d, beta=0.2)[1], torch.tensor(0.5))


def test_region_of_a_pair_is_the_librarys():
    x = 0.5 * drawn(1, 3, 32, 32)
    y, layer = rain(x, strength=0.3, density=30, generator=gen(1))
    assert torch.equal(tasks_05b.region().reference(y, x, 0.05), rain_region(layer))


def test_memory_is_prenets():
    net = PReNet(3, 4, 2, blocks=1, generator=gen()).double()
    y = drawn(1, 3, 6, 6).double()
    first, second = net.steps(y)
    v = torch.cat([torch.relu(net.head(torch.cat([y, first.x], 1))), first.h], 1)
    mine = tasks_05b.memory().reference(*net.gates(v).chunk(4, 1), first.c)
    assert torch.allclose(mine[0], second.h) and torch.allclose(mine[1], second.c)


def test_clear_is_the_dark_channels_last_step():
    y = drawn(1, 3, 16, 16).double()
    found = dark_channel(y, patch=3, floor=0.4, radius=0, airlight=0.9)
    assert torch.allclose(tasks_05b.clear().reference(y, found.t, 0.9, 0.4), found.x)


def test_the_film_counts_stages_and_says_the_gain():
    x = drawn(1, 3, 16, 16)
    y = (x + 0.2).clamp(0, 1)
    stages = [SimpleNamespace(x=x + e, h=drawn(1, 4, 8, 8)) for e in (0.1, 0.01)]
    film = views.Stages(y, stages, x, {"map": drawn(1, 1, 16, 16)})
    assert [s.step for s in film.states] == [0, 1, 2]
    assert film.states[0].dB == pytest.approx(views.dB(y, x)) and film.states[0].dB < film.states[1].dB < film.states[2].dB
    assert f"{film.states[2].dB:.1f} dB" in film.strip().alt and "Stage 2" in film.frame(film.states[2]).alt


def test_the_target_is_judged_by_what_was_measured():
    rows = [
        {"image": str(i), "method": m, "psnr light": 30.0 + gain, "psnr heavy": 25.0 + 2 * gain}
        for i in range(4)
        for m, gain in (("plain", 0.0), ("guided", 0.2))
    ]
    said = views.target(rows).data
    assert "light +0.20 dB, not reached" in said and "heavy +0.40 dB, reached" in said


def test_figures_say_their_numbers():
    x, d = drawn(1, 3, 24, 24), 1 + 5 * drawn(1, 1, 24, 24)
    y, t = haze(x, d, beta=0.3)
    assert f"{t.mean():.0%}" in views.haze(d, t, y).alt and "MADE" in views.haze(d, t, y, "MADE").alt
    assert f"{views.dB(y, x):.1f} dB in haze" in views.dehazed(y, t, x, x).alt
    assert "+2.0 dB, at 5 px" in views.patches([1, 5], {"a": [0.0, 2.0]}).alt
    assert (
        "-0.300 to -0.500" not in views.losses([-0.3] * 12, [0.2] * 12).alt
        and "0.700 to 0.700" in views.losses([-0.3] * 12, [0.2] * 12).alt
    )
    assert "0.50" in views.shares({"light": [0.4, 0.6]})
