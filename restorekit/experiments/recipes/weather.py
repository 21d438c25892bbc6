"""Training of a light PReNet and a light GridDehazeNet, each led by a map and without (Bilevel Sec. 4.2, 4.3, 5.3, 5.4).

Rain: y = clip(x + S) on crops x, S from `random_rain`, one crop in two light, the others heavy; the map is `rain_region`(S);
f = -SSIM. Haze: y = t x + (1 - t) A, t = exp(-beta d), d from `made_depth`, drawn once for each picture; beta and A vary from
crop to crop, A is nearly gray; the map is d in units of 10 "metres"; f is the smooth L1 loss.
g is the squared error of the map. The guided net is led by its proxy's map, never by the true one. Guided and plain differ in the
map alone: same net, pictures, crops, weather, steps, step sizes. Training pictures: RESTOREKIT_DATA/bsds400_color, less two that
test sets have too and less one in twenty by which a training is judged.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..._patches import random_patches
from ..._random import randn, uniform
from ...degradations import round_to_8_bit
from ...depth import made_depth
from ...images import dataset, split
from ...methods.guidance import CONSTANT, GuidanceState, HyperGuidance
from ...methods.losses import negative_ssim, smooth_l1
from ...metrics import psnr
from ...nets.weather import DEPTH_UNIT, SHIPPED, load_weather, weather_nets
from ...weather import haze, rain_region, random_rain
from ..stamp import cpu_model
from .denoiser import EXCLUDED, HELD_OUT, file_problems, read_bytes

FOLDER = "bsds400_color"
BATCH, PATCH = 4, 48
DEPTHS = {"near": 2.0, "far": 12.0, "segments": 60, "reduce": 4}
BETA = (0.05, 0.25)  # per "metre"
AIRLIGHT, TINT = (0.7, 1.0), 0.03
LOG_ROWS = 50
HELD_OUT_SIDE = 160  # px: the middle of the held-out pictures


@dataclass(frozen=True)
class Recipe:
    """One training: rain or haze, guided or not."""

    task: str
    guided: bool
    lr: float = 2e-3


NAMES = {name: Recipe(task, guided) for name, (task, guided) in SHIPPED.items()}
STEPS = {"rain": 1600, "haze": 2000}
SIZES = {"smoke": 4, "quick": 200, "full": None}  # steps; None: those of the task
LOSSES = {"rain": negative_ssim, "haze": smooth_l1}
VALIDATED = {"rain": ("light", "heavy"), "haze": ("thin", "thick")}
THICKNESS = {"thin": 0.08, "thick": 0.2}  # beta, per "metre"


def rainy(x: Tensor, *, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """(y, region): the first half of the batch in light rain, the second in heavy rain."""
    pairs = [random_rain(part, kind, generator=generator) for part, kind in zip(x.chunk(2), ("light", "heavy"), strict=False)]
    y, layer = (torch.cat(parts) for parts in zip(*pairs, strict=True))
    return y, rain_region(layer)


def hazy(x: Tensor, depth: Tensor, *, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """(y, depth in units of 10): haze of another density and color over each picture."""
    beta = uniform(*BETA, (x.shape[0],), generator=generator)
    gray = uniform(*AIRLIGHT, generator=generator)
    airlight = (gray + TINT * randn((3,), generator=generator)).clamp(0, 1)
    return haze(x, depth, beta=beta, airlight=airlight)[0], depth / DEPTH_UNIT


class WeatherTrainer(HyperGuidance):
    """`HyperGuidance` on the pictures of a recipe, with a log of the training and what a record says of it."""

    def __init__(self, name: str, steps: int | None = None, *, seed: int = 0, device: torch.device | str = "cpu") -> None:
        self.name, self.recipe = name, NAMES[name]
        r = self.recipe
        self._pictures = dataset(FOLDER)
        names = [n for n in self._pictures.names if n not in EXCLUDED[FOLDER]]
        self.training, self.held_out = split(names, (1 - HELD_OUT, HELD_OUT))
        self._pixels = [self._read(n) for n in self.training]
        self.log: list[list[float]] = []
        net, proxy = weather_nets(r.task, r.guided, generator=torch.Generator().manual_seed(seed))
        super().__init__(net, proxy, self.sample, steps=steps or STEPS[r.task], f=LOSSES[r.task], lr=r.lr, seed=seed, device=device)

    def _read(self, name: str) -> Tensor:
        """The picture in 8 bit; for haze with its made depth as a fourth channel, in tenths of a "metre"."""
        x = read_bytes(self._pictures, name)
        if self.recipe.task == "rain":
            return x
        generator = torch.Generator().manual_seed(int(sha256(name.encode()).hexdigest()[:8], 16))
        depth = made_depth(x[None].float() / 255, **DEPTHS, generator=generator)  # type: ignore[arg-type]
        return torch.cat([x, (10 * depth[0]).round().clamp(1, 255).to(torch.uint8)])

    def sample(self, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """(y, x, map): one batch."""
        x = random_patches(self._pixels, BATCH, PATCH, generator=generator)
        if self.recipe.task == "rain":
            y, sigma = rainy(x, generator=generator)
            return y, x, sigma
        x, depth = x[:, :3], 25.5 * x[:, 3:]  # bytes come as shares of 255
        y, sigma = hazy(x, depth, generator=generator)
        return y, x, sigma

    def step(self) -> GuidanceState:
        """One turn; now and then a line of the log."""
        state = super().step()
        if state.step % max(1, self.total_steps // LOG_ROWS) == 0 or state.step == self.total_steps:
            row = [state.step, round(state.mean_loss, 5), round(state.loss_g**0.5, 4), round(self._seconds, 1)]
            self.log = [*self.log, row]
        return state

    def describe(self) -> dict[str, Any]:
        """What to know about weights made here: nets, recipe, machine, CPU seconds, log, each training picture with its SHA-256."""
        r, kind = self.recipe, next(self.net.parameters()).device.type
        return {
            "net": "restorekit.nets.light_prenet" if r.task == "rain" else "restorekit.nets.light_griddehaze",
            "task": r.task,
            "guided": r.guided,
            "strategy": self.strategy if r.guided else "",
            "parameters": {name: sum(p.numel() for p in net.parameters()) for name, net in self._nets().items() if name != "average"},
            "steps": self._step,
            "of_steps": self.total_steps,
            "batch": BATCH,
            "patch": PATCH,
            "loss": f"f {LOSSES[r.task].__name__}, g squared error",
            "optimizer": f"Adam, {r.lr} for {CONSTANT:.0%} of the steps, then linear to 0 with an exponential mean {self.ema}",
            "seed": self.seed,
            "cpu_seconds": round(self._seconds),
            "machine": f"{cpu_model()}, {torch.get_num_threads()} thread, {kind}, torch {torch.__version__}",
            "log": dict(zip(("step", "mean_loss", "map_rmse", "cpu_seconds"), zip(*self.log, strict=True), strict=False)),
            "training_folder": FOLDER,
            "training_pictures": {n: sha256(self._pictures[n].path.read_bytes()).hexdigest() for n in self.training},
            "excluded_pictures": list(EXCLUDED[FOLDER]),
            "held_out_pictures": list(self.held_out),
        }

    def state_dict(self) -> dict[str, Any]:
        """Everything that `step` changes."""
        state = super().state_dict()
        return {**state, "plain": {**state["plain"], "log": self.log}}

    @torch.no_grad()
    def validate(self, level: str) -> dict[str, float]:
        """Means over the held-out pictures, the middle of each: PSNR (luma, 8 bit) of the net and of its input, RMSE of the map."""
        rows = []
        for name in self.held_out:
            x, y, sigma = held_back(self._pictures[name].load(), name, self.recipe.task, level)
            row = {"net": psnr(self.restore(y.to(self._device)).cpu(), x).item(), "input": psnr(y, x).item()}
            if self.proxy is not None:
                row["map"] = (self.proxy(y.to(self._device)).cpu() - sigma).square().mean().sqrt().item()
            rows.append(row)
        return {key: sum(row[key] for row in rows) / len(rows) for key in rows[0]}

    def validation(self) -> dict[str, dict[str, float]]:
        """`validate` in two kinds of weather, for the record."""
        found = {level: self.validate(level) for level in VALIDATED[self.recipe.task]}
        names = {"net": "validation_psnr", "input": "input_psnr"} | ({"map": "map_rmse"} if self.proxy is not None else {})
        return {there: {level: round(row[here], 3) for level, row in found.items()} for here, there in names.items()}


def held_back(x: Tensor, name: str, task: str, level: str, side: int = HELD_OUT_SIDE) -> tuple[Tensor, Tensor, Tensor]:
    """(x, y, map) of one picture's middle in weather of its own, the same for every net; y rounded to 8 bit.

    level: a kind of `random_rain`, or one of THICKNESS, haze of airlight 0.9. The depth is `made_depth`; both depend on the name.
    """
    height, width = (min(side, n) for n in x.shape[-2:])
    top, left = (x.shape[-2] - height) // 2, (x.shape[-1] - width) // 2
    generator = torch.Generator().manual_seed(int(sha256(f"{name} {level}".encode()).hexdigest()[:8], 16))
    if task == "rain":
        x = x[..., top : top + height, left : left + width]
        y, layer = random_rain(x, level, generator=generator)
        sigma = rain_region(layer)
    else:
        depth = made_depth(x, **DEPTHS, generator=generator)  # type: ignore[arg-type]
        x, depth = (v[..., top : top + height, left : left + width] for v in (x, depth))
        y, _ = haze(x, depth, beta=THICKNESS[level], airlight=0.9)
        sigma = depth / DEPTH_UNIT
    return x, round_to_8_bit(y), sigma


def learner(name: str, size: str, *, steps: int | None = None, seed: int = 0, device: torch.device | str = "cpu") -> WeatherTrainer:
    """The trainer of these weights in one of the SIZES, or with another number of steps."""
    return WeatherTrainer(name, steps or SIZES[size], seed=seed, device=device)


def summary(about: Mapping[str, Any]) -> dict[str, str]:
    """What a record says, in words for a list: trained on what, and its gain over its input."""
    gains = ", ".join(f"{level} {value - about['input_psnr'][level]:+.2f}" for level, value in about["validation_psnr"].items())
    on = f"{len(about['training_pictures'])} of {about['training_folder']}"
    return {"on": on, "scores": f"held-out PSNR over the input: {gains}"}


def problems(name: str, path: Path, about: Mapping[str, Any]) -> list[str]:
    """What is wrong with weights and their record, in words: `file_problems`; an error if the nets cannot be loaded."""
    load_weather(name, path)
    return file_problems(path, about)
