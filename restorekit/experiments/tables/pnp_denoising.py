"""Gaussian denoising by one pass of a net and by schemes around it, none of which is trained (claims P1, P2, P3, P5).

y = x + n, gray, n Gaussian with std 15, 25, 50 of 255; Set12 and the part of BSD68 at hand. f: DnCNN-S of that level, and our VDN where
its weights are. Rows: one per picture, level and prior. `one`: f(y). `static 2`, `static 3`: f applied again. `HQS`: five rounds
with A = I and our noise-map denoiser, sigma falling to half. `paper`: Eq. 6, 7 and 9 for a diagonal A with the paper's largest steps,
1e-3, three rounds, g another denoiser (DnCNN-B); `printed`: its Eq. 10 as it stands. The readings `diagonal`, `dense`, `affine`,
`kernel`, `varying`: exact x-step and the best A of their reading (line search for those that could fit anything), two rounds; with
MU = 4 v keeps most of its weight. `ensemble`: f over 8 turns and mirrorings; `ensemble 2`: its mean with that of DnCNN-B, the best
combination here; `ours`: the shipped noise-map denoiser. Scores: PSNR, not rounded, no border. `moved`: |x^(t+1) - x^(t)| of the
last round over that of the first (P5).

Size quick: the middle 96 x 96 of each. Needs RESTOREKIT_DATA and RESTOREKIT_WEIGHTS.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ...degradations import gaussian_noise
from ...images import dataset
from ...methods.dynamic_pnp import DynamicPnP
from ...methods.operator_updates import Affine, Dense, Diagonal, Kernel, OperatorUpdate, Reading, VaryingKernels
from ...methods.priors import self_ensemble, stack
from ...nets import load_denoiser, load_dncnn, load_vdn
from ...operators import Identity
from ...solvers import HQS, Denoiser, schedules
from ...solvers import run as iterate_run
from .. import Cell, ClaimRecord, Value, command_for, grid, mean_and_spread
from ._mlmc_trials import known
from ._pnp import PSNR, Remembering, least, margin, score

NAME = "pnp_denoising"
SIZES = ("smoke", "quick", "paper")
LEVELS = (15, 25, 50)
SIDE = {"smoke": 48, "quick": 96, "paper": 1000}
COUNTS = {"smoke": 1, "quick": 12, "paper": 100}  # pictures of each set
STEP, ROUNDS, MU = 1e-3, 3, 4.0
READINGS: dict[str, tuple[Reading, str]] = {
    "diagonal": (Diagonal(), "line_search"),
    "dense": (Dense(), "line_search"),
    "affine": (Affine(), "exact"),
    "kernel": (Kernel(7), "exact"),
    "varying": (VaryingKernels(7, (2, 2)), "exact"),
}


def cells(size: str) -> list[Cell]:
    """Prior x set x picture x level."""
    return [
        cell
        for folder in ("set12", "bsd68")
        for cell in grid(
            table=NAME,
            method=priors(),
            dataset=folder,
            image=list(dataset(folder).names[: COUNTS[size]]),
            degradation=list(LEVELS),
            side=SIDE[size],
        )
    ]


def priors() -> list[str]:
    """DnCNN, and VDN once it is trained."""
    try:
        load_vdn()
    except FileNotFoundError:
        return ["DnCNN"]
    return ["DnCNN", "VDN"]


def run(cell: Cell) -> dict[str, Any]:
    """All methods on one picture at one level."""
    x, y, sigma = _pair(cell)
    made: dict[str, Tensor] = {"noisy": y}
    second = load_dncnn("b")
    f = Remembering(load_dncnn(f"s{cell.degradation}") if cell.method == "DnCNN" else load_vdn())
    with torch.no_grad():
        made["one"] = f(y)
        made["static 2"] = stack(f, 2)(y, sigma)
        made["static 3"] = stack(f, 3)(y, sigma)
        ours = load_denoiser(1)
        made["ours"] = ours(y, sigma)
        sigmas = schedules.geometric(sigma, sigma / 2, 5)
        made["HQS"] = iterate_run(HQS(Identity(), y, ours, sigmas, sigma**2), 5).state.x
        made["ensemble"] = self_ensemble(f)(y, sigma)
        made["ensemble 2"] = (made["ensemble"] + self_ensemble(second)(y, sigma)) / 2
        n = y - second(y)
        moved = _dynamic(made, f, y, n)
    return {PSNR + name: score(z, x, quantize=False) for name, z in made.items()} | moved


def _dynamic(made: dict[str, Tensor], f: Denoiser, y: Tensor, n: Tensor) -> dict[str, float]:
    """Add the dynamic schemes to `made`; how far the last round moved x, relative to the first that does."""
    steps = {"delta": STEP, "noise": n}
    for name, rule in (("paper", "gradient"), ("printed", "printed")):
        solver = DynamicPnP(y, f, OperatorUpdate(Diagonal(), rule, STEP), **steps)  # type: ignore[arg-type]
        made[name] = iterate_run(solver, ROUNDS).state.v
    moved = {}
    for name, (reading, rule) in READINGS.items():
        solver = DynamicPnP(y, f, OperatorUpdate(reading, rule), n, mu=MU, x_step="exact", fit="v")
        out = iterate_run(solver, ROUNDS, record={"moved": lambda s: s.moved})
        made[name] = out.state.x
        moved[f"moved {name}"] = out.history["moved"][-1] / max(out.history["moved"][1], 1e-12)
    return moved


def _pair(cell: Cell) -> tuple[Tensor, Tensor, float]:
    x, sigma = dataset(cell.dataset)[cell.image].load(gray=True), cell.degradation / 255
    h, w = (min(n, int(cell.params["side"])) for n in x.shape[-2:])
    top, left = (x.shape[-2] - h) // 2, (x.shape[-1] - w) // 2
    x = x[..., top : top + h, left : left + w]
    seed = zlib.crc32(f"{cell.dataset} {cell.image} {cell.degradation}".encode())
    return x, gaussian_noise(x, sigma, generator=torch.Generator().manual_seed(seed)), sigma


def summarize(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """For each set, level and prior the mean PSNR of one pass, and every other method's mean gain over it."""
    names = [k for k in (rows[0] if rows else {}) if k.startswith(PSNR)]
    table = []
    for m in mean_and_spread(rows, by=("dataset", "degradation", "method"), values=names):
        line = {"dataset": m["dataset"], "sigma": m["degradation"], "prior": m["method"], "n": m["n"], "one": m[PSNR + "one"]}
        gains = {k.removeprefix(PSNR): m[k] - m[PSNR + "one"] for k in names if k != PSNR + "one"}
        table.append({**line, **gains})
    return sorted(table, key=lambda r: (r["prior"], r["dataset"] != "set12", r["sigma"]))


def claims(rows: Sequence[Mapping[str, Any]], size: str) -> list[ClaimRecord]:
    """P1 to P3 and P5; spreads are standard errors over pictures and levels."""
    command, decidable = command_for(NAME, size), size != "smoke"
    kinds = sorted({r["method"] for r in rows})
    by = {kind: [r for r in rows if r["method"] == kind] for kind in kinds}
    schemes = ("paper", *READINGS)

    def over(kind: str, names: Sequence[str], text: str, worse: str = "one", above: float = 0.0) -> dict[str, Value | None]:
        return {f"{kind}: {n} {text} (dB)": margin(by[kind], n, worse, above=above) for n in names}

    values: dict[str, dict[str, Value | None]] = {"P1": {}, "P2": {}, "P3": {}, "P5": {}, "Ensemble": {}}
    for kind in kinds:
        values["P1"] |= over(kind, schemes, "over one pass, above the 0.1 dB claimed", above=0.1)
        values["P2"][f"{kind}: one pass over static 2 (dB)"] = margin(by[kind], "one", "static 2")
        values["P2"] |= over(kind, schemes, "over one pass")
        values["P3"][f"{kind}: a gradient step (diagonal, paper's steps) over exact steps (diagonal) (dB)"] = margin(
            by[kind], "paper", "diagonal"
        )
        values["P3"][f"{kind}: one pass over HQS (dB)"] = margin(by[kind], "one", "HQS", claim=False)
        for name in READINGS:
            shares = [1 - r[f"moved {name}"] for r in by[kind]]
            values["P5"][f"{kind}: {name}: share of the first move that the last is shorter by"] = _mean(shares)
        values["Ensemble"] |= over(kind, ("ensemble", "ensemble 2"), "over one pass")
        values["Ensemble"][f"{kind}: ensemble 2, least of any picture (dB)"] = least(by[kind], "ensemble 2", "one")
    texts = {
        "P1": ("Table 1", "The dynamic scheme gains 0.1 to 0.5 dB over its prior in Gaussian denoising, for a reading of A."),
        "P2": ("Fig. 4, 5", "Static iteration degrades, the dynamic scheme improves on one pass."),
        "P3": ("Sec. 3.2, 4.3", "One gradient step suffices: no worse than exact steps."),
        "P5": ("Eq. 13", "The iterates' moves go to zero."),
        "Ensemble": ("none", "Of what needs no training, averaging over turns and mirrorings gains, over one pass."),
    }
    return [
        ClaimRecord.decide(i, f"Dynamic PnP {where}", t, command=command, size=size, values=known(values[i]), decidable=decidable)
        for i, (where, t) in texts.items()
    ]


def _mean(values: Sequence[float]) -> Value | None:
    if len(values) < 2:
        return None
    t = torch.tensor(values, dtype=torch.float64)
    return Value(t.mean().item(), t.std().item() / len(values) ** 0.5, len(values), margin=True)
