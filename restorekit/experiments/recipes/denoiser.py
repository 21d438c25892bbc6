"""Training of the noise-map denoisers: min over theta of E |D(x + sigma n, sigma; theta) - x|_1, n standard normal.

Patches of the training pictures, turned and mirrored at random. sigma is uniform in [0, 50/255], one a patch; in a quarter of
the patches it varies smoothly over the patch. Adam, step size constant for 80% of the steps, then linear to 0; the weights
kept are an exponential mean of those visited meanwhile. Training pictures: RESTOREKIT_DATA/train400 (gray) and bsds400_color, less two
pictures that test sets have too (EXCLUDED) and less one in twenty by which the loss is validated.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Adam

from ... import registry
from ..._patches import random_patches
from ..._random import rand, randn
from ...images import Dataset, dataset, split
from ...methods._training import ResumableTrainer
from ...metrics import psnr
from ...nets.noise_map_denoiser import SIGMA_MAX, NoiseMapDenoiser, load_denoiser
from ..stamp import cpu_model

NAMES = {"denoiser_gray": (1, "train400"), "denoiser_color": (3, "bsds400_color")}  # channels, training folder
# steps; nothing else changes. The color net is less trained: `nonblind` gives color pictures to the gray net, channel by channel
SIZES = {"smoke": dict.fromkeys(NAMES, 20), "quick": dict.fromkeys(NAMES, 1000), "full": {"denoiser_gray": 16000, "denoiser_color": 2250}}
FEATURES, LAYERS = 64, 7
BATCH, PATCH = 8, 48
LR, CONSTANT = 1e-3, 0.8
VARYING = 0.25  # share of the patches whose noise level varies
AVERAGE = 0.99
HELD_OUT = 0.05
# BSD 12003 is Set12/04 (starfish) and BSD 302003 is Set5/woman, cropped or reduced; so are these two of train400
EXCLUDED = {"train400": ("test_020", "test_135"), "bsds400_color": ("12003", "302003")}
LARGEST = 1_500_000  # bytes of a file that ships
TEST_SETS = ("set5", "set12", "set14", "bsd68", "cbsd68", "set3c", "fkp_test/HR", "realsrset")


@dataclass(frozen=True)
class TrainingState:
    """After `step` steps: the mean absolute error, its exponential mean (1% new each step), both in grey levels of 255."""

    step: int
    loss: float
    mean_loss: float


class DenoiserTrainer(ResumableTrainer):
    """A learner: `step()` is one step of Adam on one batch. Same seed, same weights on one machine; saves and resumes exactly.

    steps: length of the whole run, on which the step size depends. All randomness comes from one generator on the CPU. A subclass
    may train another net by another loss (`names`, `lr`, `clip`: largest norm of the gradient, `_make_net`, `_loss`).
    """

    names: Mapping[str, tuple[int, str]] = NAMES
    lr = LR
    clip: float | None = None
    ema, _CONSTANT = AVERAGE, CONSTANT

    def __init__(self, name: str, steps: int, *, seed: int = 0, device: torch.device | str = "cpu") -> None:
        self.name, self.total_steps, self.seed = name, steps, seed
        channels, folder = self.names[name]
        pictures = dataset(folder)
        names = [n for n in pictures.names if n not in EXCLUDED[folder]]
        self.training, self.held_out = split(names, (1 - HELD_OUT, HELD_OUT))
        self._pictures = pictures
        self._pixels = [read_bytes(pictures, n) for n in self.training]
        self._generator = torch.Generator().manual_seed(seed)
        net = self._make_net(channels).to(device)
        self.net: nn.Module = net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = deepcopy(self.net).requires_grad_(False)
        self._optimizer = Adam(self.net.parameters(), self.lr)
        self._device = torch.device(device)
        self._step, self._mean_loss, self._seconds = 0, 0.0, 0.0

    def _make_net(self, channels: int) -> nn.Module:
        return NoiseMapDenoiser(channels, features=FEATURES, layers=LAYERS, generator=self._generator)

    def _loss(self, clean: Tensor, noisy: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
        """What is minimized, and the mean absolute error that is shown."""
        loss = (self.net(noisy, sigma) - clean).abs().mean()
        return loss, loss

    def step(self) -> TrainingState:
        """One batch, one step."""
        start = time.process_time()
        clean, sigma = (v.to(self._device) for v in self._batch())
        noisy = clean + sigma * randn(clean.shape, generator=self._generator, like=clean)
        self._optimizer.param_groups[0]["lr"] = self.lr * self._rate()
        loss, error = self._loss(clean, noisy, sigma)
        self._optimizer.zero_grad()
        loss.backward()
        if self.clip is not None:
            nn.utils.clip_grad_norm_(self.net.parameters(), self.clip)
        self._optimizer.step()
        self._step += 1
        self._follow(self.net)
        value = 255 * error.item()
        self._mean_loss += max(0.01, 1 / self._step) * (value - self._mean_loss)
        self._seconds += time.process_time() - start
        return TrainingState(self._step, value, self._mean_loss)

    def _batch(self) -> tuple[Tensor, Tensor]:
        """Clean patches (BATCH, C, PATCH, PATCH) in [0, 1] and their noise levels as a map of one channel."""
        g = self._generator
        clean = random_patches(self._pixels, BATCH, PATCH, generator=g)
        corners = rand((BATCH, 1, 3, 3), generator=g)
        corners = torch.where(rand((BATCH, 1, 1, 1), generator=g) < VARYING, corners, corners[..., :1, :1])
        sigma = SIGMA_MAX * F.interpolate(corners, (PATCH, PATCH), mode="bilinear", align_corners=True)
        return clean, sigma

    def weights(self) -> dict[str, Tensor]:
        """The averaged weights, those that ship."""
        return self.average.state_dict()

    def describe(self) -> dict[str, Any]:
        """What to know about weights made here: net, recipe, machine, CPU seconds, each training picture with its SHA-256."""
        channels, folder = self.names[self.name]
        return {
            "net": "restorekit.nets.NoiseMapDenoiser",
            "channels": channels,
            "features": FEATURES,
            "layers": LAYERS,
            "sigma": [0, SIGMA_MAX],
            "steps": self._step,
            "of_steps": self.total_steps,
            "batch": BATCH,
            "patch": PATCH,
            "loss": "L1",
            "optimizer": f"Adam, {self.lr} for {CONSTANT:.0%} of the steps, then linear to 0 with an exponential mean {AVERAGE}",
            "seed": self.seed,
            "cpu_seconds": round(self._seconds),
            "machine": f"{cpu_model()}, {torch.get_num_threads()} thread, {self._device.type}, torch {torch.__version__}",
            "training_folder": folder,
            "training_pictures": {n: sha256(self._pictures[n].path.read_bytes()).hexdigest() for n in self.training},
            "excluded_pictures": list(EXCLUDED[folder]),
            "held_out_pictures": list(self.held_out),
        }

    def state_dict(self) -> dict[str, Any]:
        """Everything that `step` changes."""
        return {
            "net": self.net.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "generator": self._generator.get_state(),
            "plain": {"_step": self._step, "_mean_loss": self._mean_loss, "_seconds": self._seconds, "seed": self.seed},
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from `state_dict()` of a trainer of the same name."""
        self.net.load_state_dict(state["net"])
        self.average.load_state_dict(state["average"])
        self._optimizer.load_state_dict(deepcopy(state["optimizer"]))
        self._generator.set_state(state["generator"])
        for name, value in state["plain"].items():
            setattr(self, name, value)

    @torch.no_grad()
    def validate(self, sigma: float) -> float:
        """Mean PSNR (no rounding, no border, all channels) of the averaged weights on the held-out pictures."""
        scores = []
        for i, n in enumerate(self.held_out):
            x = self._pictures[n].load().to(self._device)
            noise = randn(x.shape, generator=torch.Generator().manual_seed(i), like=x)
            scores.append(psnr(self.average(x + sigma * noise, sigma), x, luma=False, quantize=False).item())
        return sum(scores) / len(scores)

    def validation(self) -> dict[str, dict[str, float]]:
        """`validate` at three levels, for the record."""
        return {"validation_psnr": {f"{level}/255": round(self.validate(level / 255), 3) for level in (15, 25, 50)}}


def learner(name: str, size: str, *, steps: int | None = None, seed: int = 0, device: torch.device | str = "cpu") -> DenoiserTrainer:
    """The trainer of these weights in one of the SIZES, or with another number of steps."""
    return DenoiserTrainer(name, steps or SIZES[size][name], seed=seed, device=device)


def summary(about: Mapping[str, Any]) -> dict[str, str]:
    """What a record says, in words for a list: trained on what, and its scores."""
    scores = ", ".join(f"{value:.2f}" for value in about["validation_psnr"].values())
    on = f"{len(about['training_pictures'])} of {about['training_folder']}"
    return {"on": on, "scores": f"held-out PSNR at 15, 25, 50: {scores}"}


def problems(name: str, path: Path, about: Mapping[str, Any]) -> list[str]:
    """What is wrong with weights and their record, in words: `file_problems`; an error if the net cannot be loaded."""
    load_denoiser(NAMES[name][0], path)
    return file_problems(path, about)


def file_problems(path: Path, about: Mapping[str, Any]) -> list[str]:
    """What is wrong whatever the net: checksum, size, training pictures that a test set has too."""
    found = []
    if sha256(path.read_bytes()).hexdigest() != about["sha256"]:
        found.append("the checksum differs from the record's")
    if path.stat().st_size > LARGEST:
        found.append(f"{path.stat().st_size} bytes, over {LARGEST}")
    return found + [f"trained on {n}, a picture of {folder}" for folder, n in overlap(about)]


def overlap(about: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(test set, picture) for each picture of the test sets that are at hand whose file or number is among the training pictures."""
    mine = set(about["training_pictures"].values())
    # pictures of BSD keep their number in every collection; those of train400 are numbered anew
    numbers = {n for n in about["training_pictures"] if n.isdigit()}
    tests = [(name, dataset(folder)) for name in TEST_SETS if (folder := _at_hand(name)) is not None]
    return [
        (name, p.name) for name, pictures in tests for p in pictures if p.name in numbers or sha256(p.path.read_bytes()).hexdigest() in mine
    ]


def _at_hand(name: str) -> Path | None:
    """The folder of a test set, in RESTOREKIT_DATA under this name or another of its own, or whole in the cache; None if it is not here."""
    root = os.environ.get("RESTOREKIT_DATA")
    if root and (Path(root) / name).is_dir():
        return Path(root) / name
    try:
        return registry.found(name) if registry.known(name) else None
    except FileNotFoundError:  # a download that was stopped counts as none
        return None


def read_bytes(pictures: Dataset, name: str) -> Tensor:
    """The picture as (C, H, W) of uint8: four times less memory than floats."""
    return (pictures[name].load()[0] * 255).round().to(torch.uint8)
