"""Training of the restorers against degradations (AND Eq. 1 with the L1 loss): classical, random, adversarial, pipeline.

All of one scale differ in the degrader alone: same net (`light_rrdb`), pictures, crops, steps, and strength where there is one.
Training pictures: RESTOREKIT_DATA/bsds400_color (gray: train400), less those that test sets have too and less the held-out ones
by which a training is judged. Under torchrun several processes share the chunks of each batch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, is_dataclass
from hashlib import sha256
from math import inf
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...images import dataset, split
from ...methods.adversarial import Ball
from ...methods.and_trainer import CONSTANT, ANDState, ANDTrainer
from ...methods.baselines.bicubic import bicubic
from ...methods.degraders import BALANCED, STRENGTH, make_degrader
from ...metrics import psnr
from ...nets.rrdb import light_rrdb
from ...weights import load_weights
from ..stamp import cpu_model
from ..unseen import CLEAN, degrade_unseen
from .denoiser import EXCLUDED, HELD_OUT, file_problems, read_bytes

NEURAL = {"features": 16, "blocks": (1, 2), "strength": STRENGTH}
CLEAN_SHARE = 0.1  # of the crops are only reduced: or the restorer would expect damage everywhere
# a choice that no table tests: noise may go ten times as far as in BALANCED, which is made for random directions, so that a search
# that prefers other groups still meets noise
NOISIER = Ball(1.0, joint=False, factors={**BALANCED, "noise": 1.0})
SETTINGS: dict[str, dict[str, Any]] = {
    "classical": {},
    "random": NEURAL,
    "adversarial": {**NEURAL, "steps": 2, "step": 1.0, "watched": 1, "ball": NOISIER},
    "pipeline": {"strength": STRENGTH},
}


@dataclass(frozen=True)
class Recipe:
    """One training. patch: side of the crops of x; nets: identity nets in a batch; settings: those of the degrader."""

    method: str
    scale: int
    channels: int = 3
    steps: int = 2000
    batch: int = 8
    patch: int = 48
    nets: int = 2
    lr: float = 1e-3
    clean_share: float = CLEAN_SHARE
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def folder(self) -> str:
        """Of the training pictures."""
        return "bsds400_color" if self.channels == 3 else "train400"


def _of(scale: int, methods: tuple[str, ...], channels: int = 3, **options: Any) -> dict[str, Recipe]:
    tail = "" if channels == 3 else "_gray"
    return {f"and_{m}_x{scale}{tail}": Recipe(m, scale, channels, settings=SETTINGS[m], **options) for m in methods}


NAMES: dict[str, Recipe] = {
    **_of(1, ("random", "adversarial"), patch=32, steps=1000),
    **_of(1, ("random", "adversarial"), channels=1, patch=32, steps=1000),
    **_of(2, tuple(SETTINGS), steps=6000),
    **_of(4, tuple(SETTINGS), patch=64, steps=1500),
}
SIZES = {"smoke": 4, "quick": 200, "full": None}  # steps; None: those of the recipe
PARALLEL = True  # works under torchrun
LOG_ROWS = 50
VALIDATED = (CLEAN, "blur", "noise 10", "JPEG 50")  # degradations of the record's scores, of pictures held out


class RestorerTrainer(ANDTrainer):
    """`ANDTrainer` on the pictures of a recipe, with a log of the training and what a record says of it."""

    def __init__(self, name: str, steps: int | None = None, *, seed: int = 0, device: torch.device | str = "cpu") -> None:
        self.name, self.recipe = name, NAMES[name]
        r = self.recipe
        self._pictures = dataset(r.folder)
        names = [n for n in self._pictures.names if n not in EXCLUDED[r.folder]]
        self.training, self.held_out = split(names, (1 - HELD_OUT, HELD_OUT))
        self.log: list[list[float]] = []
        super().__init__(
            light_rrdb(r.scale, r.channels, generator=torch.Generator().manual_seed(seed)),
            [read_bytes(self._pictures, n) for n in self.training],
            make_degrader(r.method, r.scale, r.channels, **r.settings),
            steps=steps or r.steps,
            batch=r.batch,
            patch=r.patch,
            nets=r.nets,
            lr=r.lr,
            seed=seed,
            clean_share=r.clean_share,
            device=device,
        )

    def step(self) -> ANDState:
        """One batch, one step; now and then a line of the log."""
        state = super().step()
        if state.step % max(1, self.total_steps // LOG_ROWS) == 0 or state.step == self.total_steps:
            self.log = [*self.log, [state.step, round(state.mean_loss, 4), round(self._seconds, 1)]]
        return state

    def describe(self) -> dict[str, Any]:
        """What to know about weights made here: net, recipe, machine, CPU seconds, log, each training picture with its SHA-256."""
        r, kind = self.recipe, next(self.G.parameters()).device.type
        return {
            "net": "restorekit.nets.light_rrdb",
            "method": r.method,
            "scale": r.scale,
            "channels": r.channels,
            "parameters": sum(p.numel() for p in self.G.parameters()),
            "steps": self._step,
            "of_steps": self.total_steps,
            "batch": r.batch,
            "patch": r.patch,
            "nets": r.nets,
            "degrader": {k: asdict(v) if is_dataclass(v) and not isinstance(v, type) else v for k, v in r.settings.items()},
            "clean_share": r.clean_share,
            "loss": "L1",
            "optimizer": f"Adam, {r.lr} for {CONSTANT:.0%} of the steps, then linear to 0 with an exponential mean {self.ema}",
            "seed": self.seed,
            "cpu_seconds": round(self._seconds),
            "machine": f"{cpu_model()}, {torch.get_num_threads()} thread, {kind}, torch {torch.__version__}",
            "log": dict(zip(("step", "mean_loss", "cpu_seconds"), map(list, zip(*self.log, strict=True)), strict=False)),
            "training_folder": r.folder,
            "training_pictures": {n: sha256(self._pictures[n].path.read_bytes()).hexdigest() for n in self.training},
            "excluded_pictures": list(EXCLUDED[r.folder]),
            "held_out_pictures": list(self.held_out),
        }

    def state_dict(self) -> dict[str, Any]:
        """Everything that `step` changes."""
        state = super().state_dict()
        return {**state, "plain": {**state["plain"], "log": self.log}}

    @torch.no_grad()
    def validate(self, degradation: str) -> tuple[float, float]:
        """Mean PSNR (luma, 8 bit, a border of `scale` left out) on the held-out pictures: of the averaged weights, of bicubic."""
        s, scores = self.recipe.scale, []
        for i, n in enumerate(self.held_out):
            x = self._pictures[n].load()
            x = x[..., : x.shape[2] // s * s, : x.shape[3] // s * s].to(next(self.average.parameters()).device)
            y = degrade_unseen(x, degradation, s, generator=torch.Generator().manual_seed(i))
            scores.append([psnr(v, x, border=s).item() for v in (self.average(y), bicubic(y, s))])
        ours, theirs = (sum(column) / len(scores) for column in zip(*scores, strict=True))
        return ours, theirs

    def validation(self) -> dict[str, dict[str, float]]:
        """`validate` on clean pictures and three degradations, for the record; "bicubic" at scale 1 is y, and exact where clean."""
        scores = {d: self.validate(d) for d in VALIDATED}
        return {
            "validation_psnr": {d: round(ours, 3) for d, (ours, _) in scores.items()},
            "bicubic_psnr": {d: round(theirs, 3) for d, (_, theirs) in scores.items() if theirs < inf},
        }


def learner(name: str, size: str, *, steps: int | None = None, seed: int = 0, device: torch.device | str = "cpu") -> RestorerTrainer:
    """The trainer of these weights in one of the SIZES, or with another number of steps."""
    return RestorerTrainer(name, steps or SIZES[size], seed=seed, device=device)


def summary(about: Mapping[str, Any]) -> dict[str, str]:
    """What a record says, in words for a list: trained on what, and its gain over bicubic interpolation."""
    than, found = about["bicubic_psnr"], about["validation_psnr"]
    gains = ", ".join(f"{d} {value - than[d]:+.2f}" if d in than else f"{d} {value:.2f} dB" for d, value in found.items())
    on = f"{len(about['training_pictures'])} of {about['training_folder']}"
    return {"on": on, "scores": f"held-out PSNR over bicubic: {gains}"}


def problems(name: str, path: Path, about: Mapping[str, Any]) -> list[str]:
    """What is wrong with weights and their record, in words: `file_problems`, and tensors of another net."""
    net = light_rrdb(NAMES[name].scale, NAMES[name].channels, generator=torch.Generator())
    weights: dict[str, Tensor] = load_weights(path)
    same = {n: v.shape for n, v in weights.items()} == {n: v.shape for n, v in net.state_dict().items()}
    return file_problems(path, about) + ([] if same else ["the weights are not those of light_rrdb"])
