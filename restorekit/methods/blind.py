"""Blind super-resolution and blind deblurring in one call, and its parts for those who step, save and resume."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from importlib import import_module

import torch
from torch import Tensor

from .._check import check_choice, check_generator, check_image, check_probability, check_scale, fail
from .._convolution import PADDINGS
from ..kernel_priors import LinePrior
from ..kernels import CENTROID_TOL, Align, GaussianPrior, KernelPrior, MotionPrior, align_centroid
from ..solvers import Result, run
from .learner import BlindLearner, BlindState
from .mlmc_presets import MLMCSettings, preset_settings

LEARNERS = {  # method -> its learner, imported on first use
    "mlmc": "mlmc:MLMC",
    "dip": "baselines.dip:DIP",
    "double_dip": "baselines.double_dip:DoubleDIP",
    "bsrdm": "baselines.bsrdm:BSRDM",
    "pam": "baselines.pam:PAM",
    "fkp_dip": "baselines.fkp_dip:FKPDIP",
    "kernelgan": "baselines.kernelgan:KernelGAN",
}
METHODS = tuple(LEARNERS)
KERNEL_PRIORS = ("gaussian", "motion", "line")
SMALLEST = 8  # px: a smaller picture has no room for a kernel and its border
DEBLUR_SIZE = 15  # window of the kernel at scale 1


def default_kernel_size(scale: int) -> int:
    """4 s + 3 (MLMC Sec. 5.1), and 15 at scale 1, where blur is seen at its full width."""
    return 4 * scale + 3 if scale > 1 else DEBLUR_SIZE


def default_kernel_prior(
    scale: int, size: int, centroid: tuple[float, float], name: str = "gaussian", *, variances: str = "paper"
) -> KernelPrior:
    """'gaussian': variances uniform in [0.175 s, 2.5 s] px^2 (MLMC Sec. 5.1); [0.35, 5] at scale 1. 'motion': random camera
    paths. 'line': straight motion. variances='published': those that the published code adds to the Gaussians' range, which
    make it [1.35, 13] at x2 (and x1), [2.525, 16.5] at x3, [3.7, 20] at x4."""
    check_choice(name, KERNEL_PRIORS, "kernel_prior")
    if name != "gaussian":
        return MotionPrior(size, centroid) if name == "motion" else LinePrior(size, centroid)
    s = max(scale, 2)
    low, high = (s - 1, s + 6) if variances == "published" else (0, 0)
    return GaussianPrior(size, centroid, variance=(0.175 * s + low, 2.5 * s + high))


def blind_solver(
    y: Tensor,
    scale: int,
    *,
    method: str = "mlmc",
    preset: str = "quick",
    settings: MLMCSettings | None = None,
    align: Align = "resize",
    padding: str = "reflect",
    kernel_size: int | None = None,
    kernel_prior: KernelPrior | str | None = None,
    sigma: float | None = None,
    generator: torch.Generator,
) -> BlindLearner:
    """The learner that `super_resolve_blind` runs for `learner.total_steps` steps; arguments and errors as there.

    settings replaces the preset, for example `dataclasses.replace(preset_settings("quick"), mcka=False)`.
    """
    scale = check_scale(scale)
    check_choice(method, METHODS, "method")
    check_choice(padding, PADDINGS, "padding")
    check_generator(generator)
    _check_observation(y, scale)
    if sigma is not None and not 0 <= sigma < 1:
        fail(f"sigma={sigma}", "a noise std in [0, 1), for pictures in [0, 1]", "divide an 8-bit std by 255, or leave sigma out")
    settings = settings or preset_settings(preset)
    centroid = align_centroid(align, scale)
    if kernel_prior is None or isinstance(kernel_prior, str):
        size = _kernel_size(kernel_size, scale, y)
        kernel_prior = default_kernel_prior(scale, size, centroid, kernel_prior or "gaussian", variances=settings.variances)
    _check_prior(kernel_prior, centroid, kernel_size, scale, y)
    module, _, name = LEARNERS[method].partition(":")
    learner: type[BlindLearner] = getattr(import_module(f".{module}", __package__), name)
    return learner(y.detach(), scale, kernel_prior, settings=settings, padding=padding, sigma=sigma, generator=generator)


def finish(learner: BlindLearner, result: Result) -> Result:
    """The result with its closing data step: x <- argmin 1/2 |A x - y|^2 + mu/2 |x - x_averaged|^2, if the preset has one.

    `result` is what `run(learner, ...)` returned, interrupted or not; an interrupt before the first step gives the net's
    first output and kernel.
    """
    state: BlindState = result.state if result.state is not None else learner.snapshot()
    return Result(replace(state, x=learner.data_step(state)), result.history, result.interrupted)


def super_resolve_blind(
    y: Tensor,
    scale: int,
    *,
    method: str = "mlmc",
    preset: str = "quick",
    align: Align = "resize",
    padding: str = "reflect",
    kernel_size: int | None = None,
    kernel_prior: KernelPrior | str | None = None,
    sigma: float | None = None,
    generator: torch.Generator,
    callback: Callable[[int, BlindState], None] | None = None,
    progress: bool = False,
) -> Result:
    """x and k with y = (x * k) down s + n, from y alone (MLMC Eq. 1); scale 1 is blind deblurring.

    y: (1, C, h, w), C = 1 or 3, in [0, 1], float32 or float64, at least 8 px a side; the result's `.image` is
    (1, C, s h, s w) on y's device, `.kernel` (1, 1, kh, kw) on the simplex, `.history` has loss and sigma for each outer step.
    method: 'mlmc', or a baseline with the same budget: 'dip', 'double_dip', 'bsrdm', 'pam', 'fkp_dip', 'kernelgan'.
    preset: 'quick', 'balanced', 'paper' or 'published' (what the authors' code does), from seconds to minutes. align: the grid
    of the result, which blind restoration cannot find by itself; 'resize' overlays the ordinary enlargement of y. padding:
    what the blur saw beyond the border, 'reflect', 'circular', 'replicate' or 'zero'. kernel_size: odd, default 4 s + 3 (15
    at scale 1). kernel_prior: distribution of kernels, 'gaussian' (default; variance [0.175 s, 2.5 s] px^2), 'motion' (camera
    paths), 'line' (straight motion) or any KernelPrior; its centroid must be that of `align`. sigma: noise std in [0, 1] if
    it is known, otherwise estimated (Eq. 36). callback(i, state) sees each outer step's BlindState; progress shows a bar with
    the remaining time. Ctrl-C returns the best so far with `.interrupted`. Raises ValueError or TypeError for bad input.
    """
    learner = blind_solver(
        y, scale, method=method, preset=preset, align=align, padding=padding, kernel_size=kernel_size,
        kernel_prior=kernel_prior, sigma=sigma, generator=generator,
    )  # fmt: skip
    return finish(learner, run(learner, learner.total_steps, record=RECORD, callback=callback, progress=progress))


RECORD = {"loss": lambda state: state.loss, "sigma": lambda state: state.sigma}


def _check_observation(y: Tensor, scale: int) -> None:
    check_image(y, "y")
    if y.dtype not in (torch.float32, torch.float64):
        fail(f"y of {y.dtype}", "float32 or float64", "y.float()", TypeError)
    if y.shape[0] != 1:
        fail(f"{y.shape[0]} pictures", "one at a time: (1, C, h, w)", "loop over y[i : i + 1]; each picture has its own kernel")
    if y.shape[1] not in (1, 3):
        fail(f"y with {y.shape[1]} channels", "1 (gray) or 3 (RGB)", "drop the alpha channel: y[:, :3]")
    if min(y.shape[-2:]) < SMALLEST:
        fail(f"a picture of {y.shape[-2]}x{y.shape[-1]}", f"at least {SMALLEST}x{SMALLEST} pixels", "use a larger picture")
    if y.abs().max() > 4:
        fail(f"y with values up to {y.abs().max().item():.3g}", "values in [0, 1], a little beyond for noise", "divide 8-bit values by 255")


def _kernel_size(size: int | None, scale: int, y: Tensor) -> int:
    limit = scale * min(y.shape[-2:]) - 1 + scale * min(y.shape[-2:]) % 2  # largest odd window that fits the result
    if size is None:
        return min(default_kernel_size(scale), limit)
    if isinstance(size, bool) or not isinstance(size, int) or size < 3 or size % 2 == 0 or size > limit:
        fail(f"kernel_size={size!r}", f"an odd integer from 3 to {limit}", f"leave it out for {default_kernel_size(scale)}")
    return size


def _check_prior(prior: KernelPrior, centroid: tuple[float, float], size: int | None, scale: int, y: Tensor) -> None:
    if not isinstance(prior, KernelPrior):
        fail(
            f"kernel_prior of type {type(prior).__name__}",
            "a restorekit.KernelPrior",
            "kernel_prior=restorekit.GaussianPrior(11)",
            TypeError,
        )
    if size is not None and size != prior.size:
        fail(f"kernel_size={size} and a kernel_prior of size {prior.size}", "one size", "give the size to the prior only")
    _kernel_size(prior.size, scale, y)
    if max(abs(a - b) for a, b in zip(prior.centroid, centroid, strict=True)) > CENTROID_TOL:
        fail(f"a kernel_prior with centroid {prior.centroid}", f"that of align, {centroid}", f"make the prior with centroid={centroid}")
    check_probability(prior.sample(2, generator=torch.Generator().manual_seed(0)), "kernel_prior sample")
