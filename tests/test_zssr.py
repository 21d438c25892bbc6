"""ZSSR: its pairs, a known enlargement learned, the one call, resume."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import restorekit
from restorekit.kernels import GaussianPrior, centered_gaussian, delta_kernel, gaussian_kernel, kernel_moments
from restorekit.methods.baselines.bicubic import bicubic
from restorekit.methods.baselines.zssr import STEPS, ZSSR, ZSSRNet
from restorekit.methods.mlmc_presets import QUICK
from restorekit.operators import BlurDown
from restorekit.solvers import load_state, run, save_state

TINY = replace(QUICK, outer=4, meta_steps=1, image_steps=2, channels=8)
M = (-0.5, -0.5)
KERNEL = centered_gaussian(7, torch.tensor([[1.3, 0.8]]), torch.tensor([0.6]), M)


def gen(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def blocks(h: int, w: int, channels: int = 1, side: int = 5) -> Tensor:
    """Blocks of random gray levels."""
    small = torch.rand(1, channels, -(-h // side), -(-w // side), generator=gen(7))
    return small.repeat_interleave(side, 2).repeat_interleave(side, 3)[..., :h, :w]


def learner(y: Tensor, kernel: Tensor = KERNEL, seed: int = 0, **options: Any) -> ZSSR:
    options = {"settings": TINY, **options}
    return ZSSR(y, 2, GaussianPrior(kernel.shape[-1], M), kernel=kernel.to(y), generator=gen(seed), **options)


def same(a: Any, b: Any) -> bool:
    return torch.equal(a.x, b.x) and torch.equal(a.k, b.k) and (a.step, a.loss, a.sigma) == (b.step, b.loss, b.sigma)


def test_the_net_starts_at_the_bicubic_enlargement() -> None:
    net = ZSSRNet(3, 8, generator=gen())
    v = torch.rand(1, 3, 9, 8, generator=gen(1))
    assert torch.equal(net(v), v)
    assert len([m for m in net.modules() if isinstance(m, torch.nn.Conv2d)]) == 8


def test_a_pair_is_a_turned_picture_and_its_own_reduction() -> None:
    y = torch.rand(1, 1, 21, 18, generator=gen(1))
    a = learner(y)
    seen = set()
    for _ in range(25):
        up, father = a.pair()
        turned = [torch.rot90(y, t, (-2, -1)) for t in range(4)]
        turned += [t.flip(-1) for t in turned]
        found = [i for i, t in enumerate(turned) if t.shape == father.shape and torch.equal(t, father)]
        assert len(found) == 1
        seen.add(found[0])
        son = BlurDown(KERNEL, 2, "reflect")(father)  # the kernel itself never turns
        assert torch.allclose(up, bicubic(son, 2, align=M, size=(father.shape[-2], father.shape[-1])), atol=1e-6)
    assert seen == set(range(8))


def test_both_halves_of_a_pair_are_cropped_alike_and_noise_is_added_to_the_son() -> None:
    y = blocks(90, 80)
    plain, noisy = learner(y), learner(y, sigma=0.1)
    for _ in range(5):
        (up, father), (rough, _) = plain.pair(), noisy.pair()
        assert up.shape == father.shape == (1, 1, 64, 64)
        assert (up - father).square().mean() < 0.5 * (up - father.flip(-1)).square().mean()
        assert 0.05 < (rough - up).std() < 0.15


def test_it_learns_to_sharpen_what_its_kernel_blurred() -> None:
    """One pair, again and again: it is fitted, far beyond the bicubic enlargement."""
    a = learner(blocks(20, 20).double(), settings=replace(TINY, outer=8, image_steps=4, channels=16))
    a._generator_int = lambda n: 0  # type: ignore[method-assign, assignment]
    up, father = a.pair()
    run(a, 8)
    assert (a.net(up) - father).abs().mean() < 0.6 * (up - father).abs().mean()


def test_a_picture_that_repeats_itself_is_restored_better_than_by_bicubic() -> None:
    """The same blocks at twice the size: what is learned from y holds for x."""
    x = blocks(48, 48, side=8)
    y = BlurDown(KERNEL, 2, "reflect")(x)
    a = learner(y, settings=replace(TINY, outer=8, meta_steps=5, channels=16))
    state = run(a, 8).state
    plain = (bicubic(y, 2, align=M) - x).norm()
    assert (state.x - x).norm() < 0.85 * plain


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_resume_is_bitwise(dtype: torch.dtype, tmp_path: Path) -> None:
    y = blocks(17, 20, 3).to(dtype)
    a = learner(y, sigma=0.01)
    run(a, 2)
    save_state(tmp_path / "state", a)
    rest = [a.step() for _ in range(2)]
    b = load_state(tmp_path / "state", learner(y, 0 * KERNEL, seed=99, sigma=0.01))  # everything must come from the file
    assert all(same(p, q) for p, q in zip(rest, [b.step() for _ in range(2)], strict=True))
    assert rest[0].x.shape == (1, 3, 34, 40) and rest[0].x.dtype == dtype


def test_same_seed_same_result_and_no_global_randomness() -> None:
    torch.manual_seed(1)
    a = learner(blocks(20, 20)).step()
    torch.manual_seed(2)
    assert same(a, learner(blocks(20, 20)).step())
    assert not torch.equal(a.x, learner(blocks(20, 20), seed=1).step().x)


@pytest.mark.parametrize("scale", [1, 2, 3, 4])
def test_one_call_at_every_scale(scale: int) -> None:
    k = gaussian_kernel(9, 0.8, shift=(0.3, -0.4))
    y = BlurDown(k, scale, "reflect")(blocks(16 * scale, 18 * scale, 3))
    counts: list[int] = []
    result = restorekit.zssr(y, scale, kernel=k, generator=gen(), steps=40, callback=lambda i, s: counts.append(i))
    assert result.image.shape == (1, 3, 16 * scale, 18 * scale) and torch.equal(result.kernel, k)
    assert counts == list(range(1, 40 // (STEPS * 10) + 1))
    grid = tuple(kernel_moments(k)[1][0].tolist())
    assert (result.image - bicubic(y, scale, align=(grid[0], grid[1]))).abs().mean() < 0.1  # on the kernel's grid
    assert (BlurDown(k, scale, "reflect")(result.image) - y).abs().mean() < 0.05


def test_bad_input_is_refused() -> None:
    y = blocks(16, 16)
    for kernel, kind, words in (
        (2 * delta_kernel(3), ValueError, "project_simplex"),
        (delta_kernel(3).double(), TypeError, "dtype"),
        ("gaussian", TypeError, "Tensor"),
    ):
        with pytest.raises(kind, match=words):
            restorekit.zssr(y, 2, kernel=kernel, generator=gen())  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="scale=5"):
        restorekit.zssr(y, 5, kernel=delta_kernel(3), generator=gen())
    with pytest.raises(TypeError, match="Generator"):
        restorekit.zssr(y, 2, kernel=delta_kernel(3), generator=0)  # type: ignore[arg-type]
