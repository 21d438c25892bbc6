"""What each part of AND adds: the light restorer, trained against seven degraders with three seeds, on unseen degradations at x2.

Claims A2 and A3 (AND Table 2). Degraders, all but the first and `random_init` at one strength, 22 to 42 dB: `classical`, bicubic
reduction alone; `noise`, adversarial additive noise; `random_literal`, small random numbers in all parameters of an identity
network; `random`, the same with its color casts removed; `adversarial`, the worst such deviation that a short search finds; `random_init`,
no identity and, unlike the paper's row, no search; `pipeline`, blur, resizing, noise and JPEG in random order. The same crops of
bsds400_color, starting weights and number of steps for all: far fewer than the shipped nets have (table `and_unseen`), so that
three seeds are affordable.

Scored on 15 pictures, none used in training (Set5, 5 of Set14, 5 of CBSD68, the middle 192 x 192), in PSNR and SSIM of Y, 8 bit, a
border of 2 pixels cropped. `unseen`: mean over twelve degradations (`restorekit.experiments.unseen`). ci: half the 95% interval
of a mean over seeds (Student). Gaps are taken seed by seed, between nets of one seed.

Size quick: 7 x 3 trainings. Needs RESTOREKIT_DATA but for size smoke.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from functools import lru_cache
from math import sqrt
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...images import bundled, dataset, split
from ...methods.and_trainer import ANDTrainer
from ...methods.degraders import STRENGTH, Degrader, make_degrader
from ...nets.rrdb import light_rrdb
from ...solvers import load_state, save_state
from ...solvers import run as run_solver
from .. import Cell, ClaimRecord, Value, command_for, grid, mean_and_spread
from ..recipes.adversarial import CLEAN_SHARE, SETTINGS
from ..recipes.denoiser import EXCLUDED, HELD_OUT
from ._and import MEAN, pictures, restorer, settings_digest, unseen_names, unseen_scores
from ._mlmc import margin, read_published
from ._mlmc_trials import known, shown

NAME = "and_ablation"
SIZES = ("smoke", "quick", "paper")
SCALE = 2
FOLDER = "bsds400_color"
DEGRADERS: dict[str, dict[str, Any]] = {
    "classical": SETTINGS["classical"],
    "noise": {"strength": STRENGTH},
    "random_literal": {name: SETTINGS["random"][name] for name in ("features", "blocks", "strength")},
    "random": SETTINGS["random"],
    "random_init": {name: SETTINGS["random"][name] for name in ("features", "blocks")},
    "pipeline": SETTINGS["pipeline"],
    "adversarial": SETTINGS["adversarial"],
}
TRAINING: dict[str, dict[str, Any]] = {
    "smoke": {"steps": 2, "batch": 2, "patch": 32, "nets": 1, "lr": 1e-3, "clean_share": CLEAN_SHARE},
    "quick": {"steps": 200, "batch": 8, "patch": 48, "nets": 2, "lr": 1e-3, "clean_share": CLEAN_SHARE},
    "paper": {"steps": 20000, "batch": 16, "patch": 64, "nets": 4, "lr": 5e-4, "clean_share": CLEAN_SHARE},
}
SIDE = {"smoke": 48, "quick": 192, "paper": 256}
SEEDS = {"smoke": range(2), "quick": range(3), "paper": range(5)}
KEEP_EVERY = 50  # steps between two states on disk
STUDENT = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776}  # 97.5% quantile of t with n - 1 degrees of freedom


def cells(size: str) -> list[Cell]:
    """Bicubic interpolation once, then degrader x seed. A cell names the settings that it stands for."""
    fixed = {"table": NAME, "side": SIDE[size], "degradations": ", ".join(unseen_names(size)), "scored": size}
    made = grid(method="bicubic", **fixed)
    for name, settings in DEGRADERS.items():
        digest = settings_digest(make_degrader(name, SCALE, **settings))
        made += grid(method=name, seed=list(SEEDS[size]), settings=digest, **TRAINING[size], **fixed)
    return made


def run(cell: Cell, folder: Path) -> dict[str, Any]:
    """Mean scores over the pictures, by degradation, of the net that one degrader trains; a stopped training goes on from its state."""
    if cell.method == "bicubic":
        restore = restorer("bicubic", SCALE)
    else:
        restore = train(cell, make_degrader(cell.method, SCALE, **DEGRADERS[cell.method]), folder / "state.pt")
    p = cell.params
    names, chosen = str(p["degradations"]).split(", "), pictures(str(p["scored"]), {"set14": 5})
    found = [unseen_scores(restore, source, name, SCALE, names, int(p["side"])) for source, name in chosen]
    return {key: statistics.fmean(scores[key] for scores in found) for key in found[0]}


def train(cell: Cell, degrader: Degrader, path: Path) -> torch.nn.Module:
    """The restorer of a cell, its weights averaged over the last fifth of the training."""
    p = cell.params
    G = light_rrdb(SCALE, generator=torch.Generator().manual_seed(cell.seed))
    options = {name: p[name] for name in ("steps", "batch", "patch", "nets", "lr", "clean_share")}
    trainer = ANDTrainer(G, pixels(str(p["scored"])), degrader, seed=cell.seed, **options)
    done = 0
    if path.exists():
        load_state(path, trainer)
        done = int(trainer.state_dict()["plain"]["_step"])
    while done < trainer.total_steps:
        result = run_solver(trainer, min(KEEP_EVERY, trainer.total_steps - done))
        save_state(path, trainer)
        done = result.state.step
        if result.interrupted:
            raise KeyboardInterrupt
    return trainer.average.eval()


@lru_cache(maxsize=1)
def pixels(size: str) -> list[Tensor]:
    """Training pictures (3, H, W) of uint8: those of the shipped weights."""
    if size == "smoke":
        return [_bytes(bundled(name, size=(96, 96))) for name in ("coffee", "astronaut")]
    pictures = dataset(FOLDER)
    names = split([n for n in pictures.names if n not in EXCLUDED[FOLDER]], (1 - HELD_OUT, HELD_OUT))[0]
    return [_bytes(pictures[n].load()) for n in names]


def _bytes(x: Tensor) -> Tensor:
    return (x[0] * 255).round().byte()


def summarize(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Per method: PSNR and SSIM on clean input and in the mean over the unseen, with seed spread and 95% interval."""
    keys = ("psnr clean", f"psnr {MEAN}", "ssim clean", f"ssim {MEAN}", "cpu_seconds")
    table = mean_and_spread(rows, by=("method",), values=keys)
    return [{**row, "ci": confidence(row[f"psnr {MEAN}_spread"], row["n"])} for row in table]


def by_degradation(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Per degradation: the mean PSNR of each method over its seeds."""
    names = [key.removeprefix("psnr ") for key in rows[0] if key.startswith("psnr ")]
    means = {row["method"]: row for row in mean_and_spread(rows, by=("method",), values=[f"psnr {n}" for n in names])}
    return [{"degradation": n, **{method: row[f"psnr {n}"] for method, row in means.items()}} for n in names]


def beside_print(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Per degrader: gain over classical training on unseen degradations with its 95% interval, and the gain that is printed."""
    printed = {row["degrader"]: float(row["psnr"]) for row in read_published("and_table2")}
    table = []
    for name in list(DEGRADERS)[1:]:
        here = gap(rows, name, "classical")
        entry: dict[str, Any] = {"degrader": name, "gain": here and here.value, "ci": here and confidence(here.spread, here.n)}
        table.append(entry | {"printed gain": printed[name] - printed["classical"] if name in printed else None})
    return table


def confidence(spread: float | None, n: int) -> float | None:
    """Half the 95% interval of a mean of n values whose std is `spread`; None for one value, or more than there are quantiles for."""
    return None if spread is None or n not in STUDENT else STUDENT[n] * spread / sqrt(n)


def gap(rows: Sequence[Mapping[str, Any]], better: str, worse: str, score: str = f"psnr {MEAN}") -> Value | None:
    """`better` minus `worse`, seed by seed: mean and spread. Bicubic interpolation has no seed and stands beside each."""
    other = {row["seed"]: row[score] for row in rows if row["method"] == worse}
    if worse == "bicubic":
        other = {row["seed"]: next(iter(other.values())) for row in rows if other}
    mine = [row for row in rows if row["method"] == better and row["seed"] in other]
    return margin(mine, lambda row: row[score] - other[row["seed"]])


def claims(rows: Sequence[Mapping[str, Any]], size: str) -> list[ClaimRecord]:
    """A2: adversarial over random over classical, identity needed; A3: adversarial noise alone does not do it."""
    attacked = [row for row in rows if row["method"] == "adversarial"]
    a2 = {
        "adversarial over random_literal (dB)": gap(rows, "adversarial", "random_literal"),
        "adversarial over random (dB)": gap(rows, "adversarial", "random"),
        "random_literal over classical (dB)": gap(rows, "random_literal", "classical"),
        "random over classical (dB)": gap(rows, "random", "classical"),
        "adversarial over random_init (dB)": gap(rows, "adversarial", "random_init"),
        "adversarial over classical (dB)": shown(gap(rows, "adversarial", "classical")),
        "adversarial over pipeline (dB)": shown(gap(rows, "adversarial", "pipeline")),
        "adversarial over bicubic (dB)": shown(gap(rows, "adversarial", "bicubic")),
        "clean: adversarial over classical (dB)": shown(gap(rows, "adversarial", "classical", "psnr clean")),
        "clean: classical over bicubic (dB)": shown(gap(rows, "classical", "bicubic", "psnr clean")),
    }
    a3 = {
        "adversarial over noise (dB)": gap(rows, "adversarial", "noise"),
        "noise gains less than half of what adversarial gains over classical (dB)": margin(attacked, lambda row: _half(rows, row["seed"])),
        "noise over classical (dB)": shown(gap(rows, "noise", "classical")),
        "adversarial over classical (dB)": shown(gap(rows, "adversarial", "classical")),
    }
    texts = {
        "A2": "On degradations never seen in training: adversarial better than random deviations, these better than classical training; "
        "without the identity it fails.",
        "A3": "Adversarial additive noise alone does not do it: AND is better, and noise gains less than half of what AND gains.",
    }
    return [
        ClaimRecord.decide(
            id, "AND Table 2", texts[id], command=command_for(NAME, size), size=size, values=values, decidable=size != "smoke"
        )
        for id, found in (("A2", a2), ("A3", a3))
        if (values := known(found))
    ]


def _half(rows: Sequence[Mapping[str, Any]], seed: int) -> float | None:
    """For one seed: half the gain of `adversarial` over `classical`, minus the gain of `noise`."""
    here = {row["method"]: row[f"psnr {MEAN}"] for row in rows if row["seed"] == seed}
    if not {"adversarial", "noise", "classical"} <= here.keys():
        return None
    return float((here["adversarial"] + here["classical"]) / 2 - here["noise"])
