"""Gaussian denoising by one pass of a net and by schemes around it, none of which is trained (claims P1, P2, P3, P5).

y = x + n, gray, n Gaussian with std 15, 25, 50 of 255; Set12 and the part of BSD68 at hand. f: DnCNN-S of that level, and our VDN where
its weights are. Rows: one per picture, level and prior. `one`: f(y). `static 2`, `static 3`: f applied again. `HQS`: five rounds
with A = I and our noise-map denoiser, sigma falling to half. `paper`: Eq. 6, 7 and 9 for a diagonal A with the paper's largest steps,
1e-3, three rounds, g another denoiser (DnCNN-B); `printed`: its Eq. 10 as it stands. `rounds`: three rounds with exact steps, diagonal A by
line search, data term |A x - y|, mu = 20. The readings `diagonal`, `dense`, `affine`, `kernel`, `varying`: v = f(y), the best A of the
reading for A v = y - g(y) (line search for those that could fit anything), then the exact x for |A x - (y - g(y))|^2 + |x - v|^2;
`mean of both`: that with A = I, (f(y) + y - g(y)) / 2, which tells how much of it is A's doing. `ensemble`: f over 8 turns and mirrorings;
`ensemble 2`: its mean with that of DnCNN-B, the best combination here; `ours`: the shipped noise-map denoiser. Scores: PSNR, not
rounded, no border. `moved`: |x^(t+1) - x^(t)| of the last round of `rounds` over that of its second, the first that moves (P5).
Both values of mu were set on bundled pictures.

Size quick: the middle 96 x 96 of each. Needs RESTOREKIT_DATA and RESTOREKIT_WEIGHTS.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping, Sequence
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
STEP, ROUNDS, MU, MU_ROUNDS = 1e-3, 3, 1.0, 20.0
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
    """Add the dynamic schemes to `made`; how far the last of several rounds moved x, relative to the first that does."""
    for name, rule in (("paper", "gradient"), ("printed", "printed")):
        solver = DynamicPnP(y, f, OperatorUpdate(Diagonal(), rule, STEP), n, delta=STEP)
        made[name] = iterate_run(solver, ROUNDS).state.v
    solver = DynamicPnP(y, f, OperatorUpdate(Diagonal(), "line_search"), n, mu=MU_ROUNDS, x_step="exact", fit="v")
    out = iterate_run(solver, ROUNDS, record={"moved": lambda s: s.moved})
    made["rounds"] = out.state.x
    v, t = made["one"], y - n
    made["mean of both"] = (v + t) / 2
    for name, (reading, rule) in READINGS.items():
        update = OperatorUpdate(reading, rule)
        A = update(update.init(v), v, t)
        made[name] = update.operator(A).prox(v, t - update.offset(A), MU)
    return {"moved": out.history["moved"][-1] / max(out.history["moved"][1], 1e-12)}


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
    schemes = ("paper", "rounds", *READINGS)

    def over(kind: str, names: Iterable[str], text: str, worse: str = "one", above: float = 0.0) -> dict[str, Value | None]:
        return {f"{kind}: {n} {text} (dB)": margin(by[kind], n, worse, above=above) for n in names}

    values: dict[str, dict[str, Value | None]] = {"P1": {}, "P2": {}, "P3": {}, "P5": {}, "P1readings": {}, "P1ensemble": {}}
    for kind in kinds:
        values["P1"] |= over(kind, schemes, "over one pass, above the 0.1 dB claimed", above=0.1)
        values["P2"][f"{kind}: one pass over static 2 (dB)"] = margin(by[kind], "one", "static 2")
        values["P2"] |= over(kind, schemes, "over one pass")
        values["P3"][f"{kind}: a gradient step (paper) over exact steps (rounds) (dB)"] = margin(by[kind], "paper", "rounds")
        values["P3"] |= over(kind, ("paper",), "over one pass, above the 0.1 dB claimed", above=0.1)
        values["P3"][f"{kind}: one pass over HQS (dB)"] = margin(by[kind], "one", "HQS", claim=False)
        shares = [1 - r["moved"] for r in by[kind]]
        values["P5"][f"{kind}: share of its second move by which the last of `rounds` is shorter"] = _mean(shares)
        values["P1readings"] |= over(kind, READINGS, "over the mean of both", worse="mean of both")
        values["P1ensemble"] |= over(kind, ("ensemble", "ensemble 2"), "over one pass")
        values["P1ensemble"][f"{kind}: ensemble 2, least of any picture (dB)"] = least(by[kind], "ensemble 2", "one")
    texts = {
        "P1": ("Table 1", "The dynamic scheme gains 0.1 to 0.5 dB over its prior in Gaussian denoising, for a reading of A."),
        "P2": ("Fig. 4, 5", "Static iteration degrades, the dynamic scheme improves on one pass."),
        "P3": ("Sec. 3.2, 4.3", "One gradient step suffices: it gains what the paper claims, and no less than exact steps."),
        "P5": ("Eq. 13", "The iterates' moves go to zero (here: the last of three rounds moves less than the first that moves)."),
        "P1readings": ("Sec. 3.4", "What a fitted A adds to the mean of two denoisers, which the consistent data term amounts to."),
        "P1ensemble": ("Table 1", "Of what needs no training, averaging over turns and mirrorings gains, over one pass."),
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
