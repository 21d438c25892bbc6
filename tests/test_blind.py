"""super_resolve_blind: planted truth, shapes, borders, grids, bad input."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from restorekit.images import bundled
from restorekit.kernels import (
    GaussianPrior,
    KernelPrior,
    MotionPrior,
    align_centroid,
    gaussian_kernel,
    kernel_moments,
    random_gaussian_kernel,
)
from restorekit.methods.baselines.bicubic import bicubic
from restorekit.methods.blind import blind_solver, finish, super_resolve_blind
from restorekit.methods.mlmc_presets import QUICK
from restorekit.metrics import psnr
from restorekit.operators import BlurDown
from restorekit.solvers import run

TINY = replace(QUICK, outer=2, meta_steps=1, image_steps=2, channels=4, skip=2, levels=2, inputs=2, hidden=(16,), kernel_from=0)


def gen(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def tiny(y: Tensor, scale: int, **options: Any) -> Any:
    learner = blind_solver(y, scale, settings=TINY, generator=gen(), **options)
    return finish(learner, run(learner, learner.total_steps))


@pytest.mark.parametrize("align", ["phase0", "resize"])
def test_quick_beats_aligned_bicubic_on_a_planted_blur(align: Any) -> None:
    x = bundled("camera", size=128)[..., 20:56, 40:76]
    m = align_centroid(align, 2)
    kernel = random_gaussian_kernel(11, variance=(1.5, 4.0), centroid=m, generator=gen(2))
    y = (BlurDown(kernel, 2, "reflect")(x) * 255).round() / 255
    result = super_resolve_blind(y, 2, preset="quick", align=align, generator=gen())
    plain = psnr(bicubic(y, 2, align=align), x, border=2).item()
    assert psnr(result.image, x, border=2).item() > plain + 2.0
    assert (kernel_moments(result.kernel)[1] - torch.tensor(m)).abs().max() < 0.01
    assert len(result.history) == QUICK.outer and result.history["loss"][-1] < result.history["loss"][0] and not result.interrupted


@pytest.mark.usefixtures("few_kernels")
@pytest.mark.parametrize("scale", [1, 2, 3, 4])
@pytest.mark.parametrize("padding", ["reflect", "circular", "replicate", "zero"])
def test_every_scale_and_border_on_odd_sizes(scale: int, padding: str) -> None:
    y = torch.rand(1, 3 if scale == 2 else 1, 19, 22, generator=gen(1))
    result = tiny(y, scale, padding=padding)
    assert result.image.shape == (1, y.shape[1], 19 * scale, 22 * scale)
    size = 15 if scale == 1 else 4 * scale + 3
    assert result.kernel.shape == (1, 1, size, size)
    assert (result.kernel >= 0).all() and result.kernel.sum().item() == pytest.approx(1, abs=1e-5)
    assert torch.isfinite(result.image).all()


@pytest.mark.usefixtures("few_kernels")
@pytest.mark.parametrize("align", ["resize", "phase0", (0.5, -0.25)])
def test_the_kernel_lies_on_the_grid_that_was_asked_for(align: Any) -> None:
    result = tiny(torch.rand(1, 1, 16, 16, generator=gen(1)), 2, align=align)
    assert torch.allclose(kernel_moments(result.kernel)[1], torch.tensor([align_centroid(align, 2)]), atol=0.01)


@pytest.mark.usefixtures("few_kernels")
def test_dtype_follows_the_observation() -> None:
    result = tiny(torch.rand(1, 1, 16, 16, generator=gen(1)).double(), 2)
    assert result.image.dtype == result.kernel.dtype == torch.float64


@pytest.mark.usefixtures("few_kernels")
def test_the_smallest_picture_is_restored() -> None:
    assert tiny(torch.rand(1, 1, 8, 9, generator=gen(1)), 2).image.shape == (1, 1, 16, 18)


def test_a_flat_picture_stays_finite() -> None:
    assert torch.isfinite(tiny(torch.full((1, 1, 16, 16), 0.5), 2).image).all()


@pytest.mark.usefixtures("few_kernels")
def test_other_priors_and_kernel_sizes() -> None:
    y = torch.rand(1, 1, 20, 20, generator=gen(1))
    assert tiny(y, 2, kernel_size=7).kernel.shape[-1] == 7
    assert tiny(y, 1, kernel_prior=MotionPrior(13)).kernel.shape[-1] == 13


@pytest.mark.usefixtures("few_kernels")
def test_closing_data_step_brings_the_picture_nearer_to_the_observation() -> None:
    y = torch.rand(1, 1, 16, 16, generator=gen(1))
    learner = blind_solver(y, 2, settings=TINY, sigma=0.0, generator=gen())
    raw = run(learner, 2)
    done = finish(learner, raw)

    def miss(x: Tensor) -> float:
        return (BlurDown(raw.kernel, 2, "reflect")(x) - y).norm().item()

    assert miss(done.image) < 0.5 * miss(raw.image)
    noisy = blind_solver(y, 2, settings=TINY, sigma=0.1, generator=gen())
    raw = run(noisy, 2)
    assert miss(finish(noisy, raw).image) > 0.5 * miss(raw.image)  # noise is not fitted
    learner = blind_solver(y, 2, settings=replace(TINY, data_weight=0.0), generator=gen())
    raw = run(learner, 2)
    assert torch.equal(finish(learner, raw).image, raw.image)


@pytest.mark.usefixtures("few_kernels")
def test_an_interrupt_before_the_first_step_gives_what_there_is() -> None:
    learner = blind_solver(torch.rand(1, 1, 16, 16, generator=gen(1)), 2, settings=TINY, generator=gen())
    assert finish(learner, run(learner, 0)).image.shape == (1, 1, 32, 32)


@pytest.mark.usefixtures("few_kernels")
def test_ctrl_c_keeps_the_best_so_far() -> None:
    def stop(step: int, state: object) -> None:
        if step == 1:
            raise KeyboardInterrupt

    learner = blind_solver(torch.rand(1, 1, 16, 16, generator=gen(1)), 2, settings=TINY, generator=gen())
    result = finish(learner, run(learner, 2, callback=stop))
    assert result.interrupted and result.state.step == 1


class Unnormalized(KernelPrior):
    def _draw(self, n: int, generator: torch.Generator) -> Tensor:
        return 2 * gaussian_kernel(self.size, 1.0).repeat(n, 1, 1, 1)


class Double(KernelPrior):
    def _draw(self, n: int, generator: torch.Generator) -> Tensor:
        return gaussian_kernel(self.size, 1.0, dtype=torch.float64).repeat(n, 1, 1, 1)


@pytest.mark.usefixtures("few_kernels")
def test_a_prior_in_another_dtype_is_converted() -> None:
    assert tiny(torch.rand(1, 1, 16, 16, generator=gen(1)), 2, kernel_prior=Double(7), align="phase0").kernel.dtype == torch.float32


GOOD = torch.full((1, 1, 16, 16), 0.5)
BAD: list[tuple[Any, Any, dict[str, Any], type[Exception], str]] = [
    (GOOD, 0, {}, ValueError, "scale=0"),
    (GOOD, 5, {}, ValueError, "scale=5"),
    (GOOD, 1.5, {}, ValueError, "scale=1.5"),
    (GOOD * float("nan"), 2, {}, ValueError, "NaN"),
    (GOOD[..., :1, :1], 2, {}, ValueError, "1x1"),
    (GOOD[..., :7], 2, {}, ValueError, "at least 8x8"),
    (GOOD[0], 2, {}, ValueError, "shape"),
    (GOOD.expand(2, 1, 16, 16), 2, {}, ValueError, "one at a time"),
    (GOOD.expand(1, 4, 16, 16), 2, {}, ValueError, "alpha"),
    (255 * GOOD, 2, {}, ValueError, "255"),
    ((255 * GOOD).byte(), 2, {}, TypeError, "dtype"),
    (GOOD.half(), 2, {}, TypeError, "float32 or float64"),
    ("photo.png", 2, {}, TypeError, "load_image"),
    (GOOD, 2, {"method": "nearest"}, ValueError, "method"),
    (GOOD, 2, {"preset": "fast"}, ValueError, "preset"),
    (GOOD, 2, {"align": "center"}, ValueError, "align"),
    (GOOD, 2, {"align": (9.0, 0.0)}, ValueError, "enlarge"),
    (GOOD, 2, {"padding": "mirror"}, ValueError, "padding"),
    (GOOD, 2, {"kernel_size": 10}, ValueError, "odd"),
    (GOOD, 2, {"kernel_size": 33}, ValueError, "odd integer from 3 to 31"),
    (GOOD, 2, {"sigma": 25}, ValueError, "divide an 8-bit std"),
    (GOOD, 2, {"sigma": -0.1}, ValueError, "sigma"),
    (GOOD, 2, {"generator": 0}, TypeError, "torch.Generator"),
    (GOOD, 2, {"kernel_prior": GaussianPrior(11)}, ValueError, "centroid"),
    (GOOD, 2, {"kernel_prior": GaussianPrior(11, (-0.5, -0.5)), "kernel_size": 9}, ValueError, "one size"),
    (GOOD, 2, {"kernel_prior": gaussian_kernel(11, 1.0)}, TypeError, "KernelPrior"),
    (GOOD, 2, {"kernel_prior": Unnormalized(7), "align": "phase0"}, ValueError, "sum"),
]


@pytest.mark.parametrize(("y", "scale", "options", "kind", "words"), BAD)
def test_bad_input_is_refused_with_what_to_do(y: Any, scale: Any, options: dict[str, Any], kind: type[Exception], words: str) -> None:
    with pytest.raises(kind, match=words) as error:
        super_resolve_blind(y, scale, **{"generator": gen(), **options})
    assert "Fix:" in str(error.value)


def test_a_learner_on_another_device_follows_the_observation() -> None:
    """Nothing may be left on the CPU by mistake."""
    if not torch.cuda.is_available():
        pytest.skip("no second device here")
    result = tiny(torch.rand(1, 1, 16, 16, generator=gen(1)).cuda(), 2)
    assert result.image.is_cuda and result.kernel.is_cuda
