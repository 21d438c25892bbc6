"""What the tables that test MLMC's claims share: one small trial, the same budget for each method. Not a table.

    y = (x * k) down s + n

x: the middle SIDE x SIDE pixels of a gray picture; the whole picture is blurred first, so that the border is a real one (the
methods assume reflection). k, 4 s + 3 taps a side, drawn from (seed, picture, degradation, s), its centroid on the grid of ordinary
resizing, which each method is told: 'gaussian', variances uniform in [0.175 s, 2.5 s] px^2; 'wide', in [0.35 s, 5 s]; 'motion', a
random camera path. y is rounded to 8 bit after the noise. TRIAL: the preset `strict` (kernel net, MCKA and MLAO, nothing of ours
that moves the kernel) with the paper's loss (Eq. 35) and sampled widths, a narrower net and 120 image steps, where the paper
takes 2500: all methods get equally little.
"""

from __future__ import annotations

import hashlib
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from ...degradations import gaussian_noise, round_to_8_bit
from ...images import bundled, dataset
from ...kernels import KernelPrior, MotionPrior, align_centroid, random_gaussian_kernel
from ...methods.baselines.bicubic import bicubic
from ...methods.baselines.tv import generic_deconvolution
from ...methods.blind import blind_solver, default_kernel_prior, finish
from ...methods.learner import BlindState
from ...methods.mlmc_presets import MLMCSettings, preset_settings
from ...metrics import kernel_distance, kernel_psnr, kernel_width, psnr, ssim
from ...operators import Blur
from ...solvers import run as run_solver
from .. import Cell, Value, grid
from ._mlmc import margin

SIDE = 72
PAPERS: dict[str, Any] = {"noise_variance": True, "rho": 1.0, "diagonals": False, "variances": "paper", "lr_kernel": 5e-5, "lr_mcka": 3e-3}
TRIAL = replace(preset_settings("strict"), **PAPERS, channels=32, levels=4, inputs=8, outer=12, meta_steps=5, image_steps=2)
PICTURES: dict[str, Mapping[str, Sequence[str]]] = {
    "quick": {"set14": ("flowers", "lenna"), "bsd68": ("test007",)},
    "paper": {
        "set14": ("baboon", "bridge", "coastguard", "flowers", "lenna", "man", "pepper"),
        "bsd68": ("test001", "test007", "test013", "test016", "test019", "test022", "test025"),
    },
}
LIVE = ("bundled", "camera")  # for readers without the datasets; in no mean and no verdict
SEEDS = {"smoke": range(2), "quick": range(3), "paper": range(5)}
VARIANCES = {"gaussian": (0.175, 2.5), "wide": (0.35, 5.0)}  # times s, px^2
LITTLE = 0.3  # dB: a change in PSNR that these tables call little


@dataclass(frozen=True)
class Variant:
    """A row of a table: the learner, what it changes in TRIAL, and the kernels it expects, 'gaussian' or 'motion'."""

    learner: str = "mlmc"
    changes: Mapping[str, Any] = field(default_factory=dict)
    prior: str = "gaussian"

    @property
    def settings(self) -> MLMCSettings:
        """TRIAL with the changes."""
        return replace(TRIAL, **self.changes)


@dataclass(frozen=True)
class Outcome:
    """What a method made of y: picture, kernel (None where none is estimated), kernels after each outer step, CPU seconds."""

    image: Tensor
    kernel: Tensor | None
    path: list[Tensor]
    seconds: float


def trial_cells(
    table: str,
    size: str,
    variants: Mapping[str, Variant],
    *,
    live: str | None = None,
    pictures: Mapping[str, Sequence[str]] | None = None,
    **axes: Any,
) -> list[Cell]:
    """Variant x picture x seed x axes (scale, degradation, noise); live: the variant that is also run once on the bundled picture.

    Size smoke has the bundled picture alone, smaller, for one outer step. A cell names the settings that it stands for, so that
    results of other settings are never taken for its own.
    """
    fixed = {"table": table, "noise": 0.0, **axes}
    tiny = size == "smoke"
    sources: Mapping[str, Sequence[str]] = PICTURES.get(size, {}) if pictures is None else pictures
    if tiny:
        sources = {LIVE[0]: (LIVE[1],)}
    made = []
    for name, variant in variants.items():
        budget = {"side": 60, "outer": 1} if tiny else {"side": SIDE, "outer": variant.settings.outer}
        extra = {"method": name, **budget, "settings": _digest(variant)}
        for source, names in sources.items():
            made += grid(dataset=source, image=list(names), seed=list(SEEDS[size]), **{**fixed, **extra})
        if live == name and not tiny:
            made += grid(dataset=LIVE[0], image=LIVE[1], seed=0, **{**fixed, **extra})
    return made


def observe(cell: Cell) -> tuple[Tensor, Tensor, Tensor]:
    """The true part x, what was observed of it y, and the kernel of a cell."""
    scale, side, noise = int(cell.params["scale"]), int(cell.params["side"]), float(cell.params["noise"])
    whole, name = picture(cell.dataset, cell.image), f"{cell.image} {cell.degradation} {cell.seed} {scale}"
    generator = torch.Generator().manual_seed(zlib.crc32(name.encode()))
    kernel = draw_kernel(str(cell.degradation), scale, generator)
    top, left = (int(n - side) // 2 // scale * scale for n in whole.shape[-2:])
    part = (..., slice(top, top + side), slice(left, left + side))
    y = Blur(kernel, "reflect")(whole)[part][..., ::scale, ::scale]
    return whole[part], round_to_8_bit(gaussian_noise(y, noise / 100, generator=generator)), kernel


def draw_kernel(kind: str, scale: int, generator: torch.Generator) -> Tensor:
    """One kernel of the kind, on the grid of ordinary resizing."""
    size, centroid = 4 * scale + 3, align_centroid("resize", scale)
    if kind == "motion":
        return MotionPrior(size, centroid).sample(1, generator=generator)
    low, high = VARIANCES[kind]
    return random_gaussian_kernel(size, variance=(low * scale, high * scale), centroid=centroid, generator=generator)


def solve(cell: Cell, variant: Variant, y: Tensor) -> Outcome:
    """Run the variant on y with the cell's scale, seed and number of outer steps."""
    scale, path, start = int(cell.params["scale"]), [], time.process_time()
    if variant.learner == "bicubic":
        return Outcome(bicubic(y, scale), None, [], time.process_time() - start)
    if variant.learner == "generic":
        return Outcome(generic_deconvolution(y, scale), None, [], time.process_time() - start)
    settings = replace(variant.settings, outer=int(cell.params["outer"]))
    learner = blind_solver(
        y,
        scale,
        method=variant.learner,
        settings=settings,
        kernel_prior=expected(variant.prior, scale),
        generator=torch.Generator().manual_seed(cell.seed),
    )

    def keep(_: int, state: BlindState) -> None:
        path.append(state.k)

    result = finish(learner, run_solver(learner, learner.total_steps, callback=keep))
    return Outcome(result.image, result.kernel, path, time.process_time() - start)


def expected(prior: str, scale: int) -> KernelPrior:
    """The kernels that a method expects, whatever blurred the picture."""
    size, centroid = 4 * scale + 3, align_centroid("resize", scale)
    return MotionPrior(size, centroid) if prior == "motion" else default_kernel_prior(scale, size, centroid)


def scores(outcome: Outcome, x: Tensor, kernel: Tensor, scale: int) -> dict[str, Any]:
    """PSNR and SSIM (8 bit, border of s pixels cropped) and, where a kernel was found, how good it is."""
    image, found = outcome.image, outcome.kernel
    row: dict[str, Any] = {"seconds": outcome.seconds}
    row |= {"psnr": psnr(image, x, border=scale).item(), "ssim": ssim(image, x, border=scale).item()}
    if found is not None:
        row |= {"kernel_psnr": kernel_psnr(found, kernel).item(), "kernel_distance": kernel_distance(found, kernel).item()}
        row |= {"width_error": kernel_width(found, kernel).item()}
    return row


def run_trial(cell: Cell, variant: Variant) -> dict[str, Any]:
    """The scores of one variant in one cell."""
    x, y, kernel = observe(cell)
    return scores(solve(cell, variant, y), x, kernel, int(cell.params["scale"]))


def fair(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The rows of pictures that nothing was tuned on; all, if there are no others (size smoke)."""
    return [row for row in rows if row["dataset"] != LIVE[0]] or list(rows)


def live_row(rows: Sequence[Mapping[str, Any]], cells: Sequence[Cell]) -> tuple[Cell, Mapping[str, Any]]:
    """The cell on the bundled picture and its stored row: what a page computes again."""
    row = next(row for row in rows if (row["dataset"], row["image"]) == LIVE)
    return next(cell for cell in cells if cell.id == row["id"]), row


def gap(
    rows: Sequence[Mapping[str, Any]],
    better: str,
    worse: str,
    score: str = "psnr",
    *,
    sign: int = 1,
    where: Callable[[Mapping[str, Any]], bool] = lambda row: True,
) -> Value | None:
    """How much better than method `worse` method `better` is on equal observations: mean, and spread over seeds.

    sign -1 where less is better. None if the two share no observation.
    """
    return margin(differences(rows, better, worse, score, where), lambda row: sign * row["difference"])


def differences(
    rows: Sequence[Mapping[str, Any]],
    better: str,
    worse: str,
    score: str = "psnr",
    where: Callable[[Mapping[str, Any]], bool] = lambda row: True,
) -> list[dict[str, Any]]:
    """The rows of `better` with `difference`, score minus that of `worse` on the same observation."""
    chosen = [row for row in fair(rows) if where(row) and row.get(score) is not None]
    other = {_observation(row): row[score] for row in chosen if row["method"] == worse}
    mine = [row for row in chosen if row["method"] == better and _observation(row) in other]
    return [{**row, "difference": row[score] - other[_observation(row)]} for row in mine]


def at(**wanted: Any) -> Callable[[Mapping[str, Any]], bool]:
    """The test whether a row has these values."""
    return lambda row: wanted.items() <= row.items()


def within(value: Value | None, limit: float) -> Value | None:
    """The margin by which |value| stays below a limit."""
    return None if value is None else Value(limit - abs(value.value), value.spread, value.n, margin=True)


def shown(value: Value | None) -> Value | None:
    """The value as evidence only: it takes no part in the verdict."""
    return None if value is None else Value(value.value, value.spread, value.n)


def known(values: Mapping[str, Value | None]) -> dict[str, Value]:
    """Those that could be measured."""
    return {name: value for name, value in values.items() if value is not None}


def _observation(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(row[name] for name in ("dataset", "image", "degradation", "seed", "scale", "noise"))


def _digest(variant: Variant) -> str:
    return hashlib.sha256(repr((variant.learner, variant.prior, variant.settings)).encode()).hexdigest()[:8]


@lru_cache(maxsize=8)
def picture(source: str, name: str) -> Tensor:
    """A whole gray picture."""
    return bundled(name, size=192, gray=True) if source == "bundled" else dataset(source)[name].load(gray=True)
