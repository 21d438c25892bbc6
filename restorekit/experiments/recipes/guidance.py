"""Training of the restorers led by a noise map, and of the same nets without it (Bilevel Sec. 5.1).

y = x * k + sigma n on crops x of gray pictures, circular; k is a random camera path or a random Gaussian; sigma is uniform in 1 to
5%, one a crop, and varies smoothly over a quarter of the crops. f is the mean absolute error, g the squared error of the map.
Guided and unguided differ in the map alone: same pictures, crops, kernels, noise, steps, convolutions, and the same fixed weight of
the data step. Training pictures: RESTOREKIT_DATA/train400, less two that test sets have too and less one in twenty by which
a training is judged.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..._patches import random_patches
from ..._random import rand, randn
from ...degradations import estimate_sigma, gaussian_noise, noise_map
from ...images import dataset, split
from ...kernels import motion_kernel, pad_kernel, random_gaussian_kernel
from ...methods.guidance import CONSTANT, GuidanceState, HyperGuidance
from ...metrics import psnr
from ...nets.guided import GuidedRestorer, deconvolve, load_guided
from ...nets.proxy import ProxyNet
from ...operators import Blur
from ..stamp import cpu_model
from .denoiser import EXCLUDED, HELD_OUT, file_problems, read_bytes

FOLDER = "train400"
SIGMA = (0.01, 0.05)  # Bilevel Sec. 5.1.1
VARYING = 0.25  # share of the crops whose noise level varies
WINDOW = 25  # px: of all kernels, smaller ones with zeros around
PATHS = (11, 15, 19, 25)  # px: windows of the camera paths
VARIANCE = (0.35, 8.0)  # px^2: of the Gaussians
BATCH, PATCH = 8, 64
LOG_ROWS = 50
VALIDATED = (0.01, 0.03, 0.05, 0.07)


@dataclass(frozen=True)
class Recipe:
    """One training: which net, and how many maps its convolutions have."""

    size: str = "tiny"
    guided: bool = True
    sigma_in_data: bool = False
    features: int = 64
    strategy: str = "alternating"
    lr: float = 1e-3


NAMES = {
    "guided_tiny": Recipe(),
    "unguided_tiny": Recipe(guided=False),
    "guided_data_tiny": Recipe(sigma_in_data=True),
    "guided_general": Recipe("general"),
    "unguided_general": Recipe("general", guided=False),
}
SIZES = {"smoke": 4, "quick": 300, "full": 2500}  # steps


def random_kernels(n: int, *, generator: torch.Generator) -> Tensor:
    """n kernels (n, 1, 25, 25): camera paths in windows of 11 to 25 px and Gaussians, half of each in the mean."""
    drawn = []
    for u in rand((n, 3), generator=generator).tolist():
        if u[0] < 0.5:
            k = motion_kernel(PATHS[int(u[1] * len(PATHS))], intensity=u[2], generator=generator)
        else:
            k = random_gaussian_kernel(15, variance=VARIANCE, generator=generator)
        drawn.append(pad_kernel(k, WINDOW))
    return torch.cat(drawn)


def random_levels(n: int, side: int, *, generator: torch.Generator) -> Tensor:
    """n noise maps (n, 1, side, side) in SIGMA: constant, but for a share VARYING that is interpolated between 3x3 levels."""
    corners = rand((n, 1, 3, 3), generator=generator)
    corners = torch.where(rand((n, 1, 1, 1), generator=generator) < VARYING, corners, corners[..., :1, :1])
    share = F.interpolate(corners, (side, side), mode="bilinear", align_corners=True)
    return SIGMA[0] + (SIGMA[1] - SIGMA[0]) * share


class GuidanceTrainer(HyperGuidance):
    """`HyperGuidance` on the pictures of a recipe, with a log of the training and what a record says of it."""

    def __init__(
        self, recipe: Recipe, steps: int, *, seed: int = 0, device: torch.device | str = "cpu", strategy: str | None = None
    ) -> None:
        self.recipe = recipe
        self._pictures = dataset(FOLDER)
        names = [n for n in self._pictures.names if n not in EXCLUDED[FOLDER]]
        self.training, self.held_out = split(names, (1 - HELD_OUT, HELD_OUT))
        self._pixels = [read_bytes(self._pictures, n) for n in self.training]
        self.log: list[list[float]] = []
        generator = torch.Generator().manual_seed(seed)
        kind = {"size": recipe.size, "guided": recipe.guided, "sigma_in_data": recipe.sigma_in_data, "features": recipe.features}
        net = GuidedRestorer(1, **kind, generator=generator)  # type: ignore[arg-type]
        proxy = ProxyNet("noise", 1, closed_form=True, generator=generator) if recipe.guided else None
        super().__init__(
            net.to(memory_format=torch.channels_last),  # type: ignore[call-overload]
            proxy,
            self.sample,
            steps=steps,
            strategy=strategy or recipe.strategy,
            weight=1 / SIGMA[1] ** 2,  # the naive f + g: the map's error in units of 5%
            lr=recipe.lr,
            seed=seed,
            device=device,
        )

    def sample(self, generator: torch.Generator) -> tuple[tuple[Tensor, ...], Tensor, Tensor]:
        """((y, k), x, sigma): one batch."""
        x = random_patches(self._pixels, BATCH, PATCH, generator=generator)
        k = random_kernels(BATCH, generator=generator)
        sigma = random_levels(BATCH, PATCH, generator=generator)
        y = Blur(k)(x) + sigma * randn(x.shape, generator=generator)
        return (y, k), x, sigma

    def step(self) -> GuidanceState:
        """One turn; now and then a line of the log."""
        state = super().step()
        if state.step % max(1, self.total_steps // LOG_ROWS) == 0 or state.step == self.total_steps:
            row = [state.step, round(255 * state.mean_loss, 4), round(100 * state.loss_g**0.5, 4), round(self._seconds, 1)]
            self.log = [*self.log, row]
        return state

    def describe(self) -> dict[str, Any]:
        """What to know about weights made here: nets, recipe, machine, CPU seconds, log, each training picture with its SHA-256."""
        r, kind = self.recipe, next(self.net.parameters()).device.type
        return {
            "net": "restorekit.nets.GuidedRestorer",
            "size": r.size,
            "guided": r.guided,
            "sigma_in_data": r.sigma_in_data,
            "features": r.features,
            "strategy": self.strategy if r.guided else "",
            "parameters": {name: sum(p.numel() for p in net.parameters()) for name, net in self._nets().items() if name != "average"},
            "sigma": list(SIGMA),
            "steps": self._step,
            "of_steps": self.total_steps,
            "batch": BATCH,
            "patch": PATCH,
            "loss": "f L1, g squared error",
            "optimizer": f"Adam, {r.lr} for {CONSTANT:.0%} of the steps, then linear to 0 with an exponential mean {self.ema}",
            "seed": self.seed,
            "cpu_seconds": round(self._seconds),
            "machine": f"{cpu_model()}, {torch.get_num_threads()} thread, {kind}, torch {torch.__version__}",
            "log": dict(
                zip(("step", "mean_loss", "map_rmse_percent", "cpu_seconds"), map(list, zip(*self.log, strict=True)), strict=False)
            ),
            "training_folder": FOLDER,
            "training_pictures": {n: sha256(self._pictures[n].path.read_bytes()).hexdigest() for n in self.training},
            "excluded_pictures": list(EXCLUDED[FOLDER]),
            "held_out_pictures": list(self.held_out),
        }

    def state_dict(self) -> dict[str, Any]:
        """Everything that `step` changes."""
        state = super().state_dict()
        return {**state, "plain": {**state["plain"], "log": self.log}}

    def held_out_pair(self, i: int, level: float | str) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """x, y, k, sigma of held-out picture i, with kernel and noise of its own, the same for every net; level: a std, or 'quadrants'."""
        generator = torch.Generator().manual_seed(10_000 + i)
        x, k = self._pictures[self.held_out[i]].load(), random_kernels(1, generator=generator)
        if isinstance(level, str):
            sigma = noise_map((x.shape[-2], x.shape[-1]), level, low=SIGMA[0], high=SIGMA[1])
        else:
            sigma = torch.full_like(x, level)
        return x, gaussian_noise(Blur(k)(x), sigma, generator=generator), k, sigma

    @torch.no_grad()
    def validate(self, level: float | str) -> dict[str, float]:
        """Means over the held-out pictures: PSNR (no rounding, no border) of net and data step, RMSE of both maps in per cent."""
        rows = []
        for i in range(len(self.held_out)):
            x, y, k, true = self.held_out_pair(i, level)
            guess = self.restore((y.to(self._device), k.to(self._device))).cpu()
            row = {"net": _psnr(guess, x), "deconvolution": _psnr(deconvolve(y, k), x)}
            if self.proxy is not None:
                maps = {"proxy": self.proxy(y.to(self._device)).cpu(), "classical": estimate_sigma(y, window=WINDOW)}
                row |= {name: 100 * (sigma - true).square().mean().sqrt().item() for name, sigma in maps.items()}
            rows.append(row)
        return {name: sum(row[name] for row in rows) / len(rows) for name in rows[0]}

    def validation(self) -> dict[str, dict[str, float]]:
        """`validate` at four levels and on four quadrants, for the record."""
        levels: dict[str, float | str] = {f"{100 * level:.0f}%": level for level in VALIDATED}
        found = {name: self.validate(level) for name, level in {**levels, "quadrants": "quadrants"}.items()}
        names = {"net": "validation_psnr", "deconvolution": "deconvolution_psnr", "proxy": "proxy_rmse_percent"}
        names["classical"] = "classical_rmse_percent"
        return {there: {level: round(row[here], 3) for level, row in found.items()} for here, there in names.items() if here in found["1%"]}


class TrueMap(GuidanceTrainer):
    """The same without a proxy: omega is led by the true map throughout."""

    def __init__(self, recipe: Recipe, steps: int, *, seed: int = 0, device: torch.device | str = "cpu") -> None:
        super().__init__(recipe, steps, seed=seed, device=device)
        self.proxy = None

    def sample(self, generator: torch.Generator) -> tuple[tuple[Tensor, ...], Tensor, Tensor]:
        """((y, k, sigma), x, sigma)."""
        inputs, x, sigma = super().sample(generator)
        return (*inputs, sigma), x, sigma


def learner(name: str, size: str, *, steps: int | None = None, seed: int = 0, device: torch.device | str = "cpu") -> GuidanceTrainer:
    """The trainer of these weights in one of the SIZES, or with another number of steps."""
    return GuidanceTrainer(NAMES[name], steps or SIZES[size], seed=seed, device=device)


def summary(about: Mapping[str, Any]) -> dict[str, str]:
    """What a record says, in words for a list: trained on what, and its scores."""
    scores = ", ".join(f"{level} {value:.2f}" for level, value in about["validation_psnr"].items())
    return {"on": f"{len(about['training_pictures'])} of {about['training_folder']}", "scores": f"held-out PSNR: {scores}"}


def problems(name: str, path: Path, about: Mapping[str, Any]) -> list[str]:
    """What is wrong with weights and their record, in words: `file_problems`, and a net of another kind than the name says."""
    net, _ = load_guided(path=path)
    r = NAMES[name]
    same = (net.size, net.guided, net.sigma_in_data) == (r.size, r.guided, r.sigma_in_data)
    return file_problems(path, about) + ([] if same else [f"the net is not that of {name}"])


def _psnr(x: Tensor, ref: Tensor) -> float:
    return psnr(x, ref, luma=False, quantize=False).item()
