"""Parts of the other methods plugged into dynamic plug-and-play: MLMC's kernel as A, the proxy's noise map as mu, AND's restorer as f.

Two gray pictures of 96 px for each plug, Gaussian kernels (eigen-variances 1 to 4 px^2), mirrored border. `kernel`: 1% noise; without:
A = I, one pass of the shipped denoiser; plugged: `DynamicPnP` with the kernel that MLMC (preset quick) found, held (`KernelFrom`); truth:
with the true kernel. `map`: noise of 1 to 5% in four quadrants, kernel known; without: one level, the root mean square of the true
map; plugged: mu(p) = LAM sigma(p)^2 / s_i^2 with the map that the shipped proxy H_theta and the closed form read off y; truth: with
the true map. `restorer`: 1% noise; without: one pass of the restorer trained against adversarial degradations; plugged: it as f
without a strength, kernel known, mu = 0.2, four rounds; truth: the shipped denoiser, told the noise, in its place; blind: `deblur_dynamic`
with the restorer, kernel unknown. The denoiser runs ROUNDS rounds of Eq. 6 (by conjugate gradients) and Eq. 7, s_i falling from 49/255
to 5/255 or the noise, as in `nonblind`. Scores: 8 bit, 8 px cropped.
"""

from __future__ import annotations

import statistics
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from ...degradations import gaussian_noise, noise_map
from ...images import bundled
from ...kernels import random_gaussian_kernel
from ...methods.blind import super_resolve_blind
from ...methods.combined import KernelFrom
from ...methods.deblur import deblur_dynamic
from ...methods.dynamic_pnp import DynamicPnP
from ...methods.guided_restoration import guidance_map
from ...methods.handoff import LAM, SIGMA_LAST, SIGMA_START
from ...metrics import psnr
from ...nets import blind_denoiser, load_denoiser, load_guided, load_restorer
from ...operators import Blur
from ...solvers import Denoiser, schedules
from ...solvers import run as iterate_run
from .. import Cell
from ._pnp import PSNR

NAME = "pnp_plugins"
SIZES = ("smoke", "quick")
PLUGS = ("kernel", "map", "restorer")
PICTURES = {"smoke": ("camera",), "quick": ("astronaut", "coins")}
SIDE = {"smoke": 48, "quick": 96}
ROUNDS, SIZE, NOISE, BORDER = 8, 15, 0.01, 8
BLIND_MU, BLIND_ROUNDS = 0.2, 4  # for a prior that is told no strength; set on moon and cat


def cells(size: str) -> list[Cell]:
    """Plug x picture."""
    made = []
    for plug in PLUGS[1:] if size == "smoke" else PLUGS:
        for name in PICTURES[size]:
            made.append(Cell(NAME, plug, "bundled", name, "gaussian", 0, {"side": SIDE[size]}))
    return made


@torch.no_grad()
def run(cell: Cell) -> dict[str, Any]:
    """PSNR without the plug, with it, and with the truth in its place."""
    x = bundled(cell.image, gray=True, size=int(cell.params["side"]))
    generator = torch.Generator().manual_seed(zlib.crc32(f"{cell.method} {cell.image} {cell.seed}".encode()))
    k = random_gaussian_kernel(SIZE, variance=(1, 4), generator=generator)
    level = noise_map((x.shape[-2], x.shape[-1])) if cell.method == "map" else torch.tensor(NOISE)
    y = gaussian_noise(Blur(k, "reflect")(x), level, generator=generator)
    made = {"kernel": _kernel, "map": _map, "restorer": _restorer}[cell.method](y, k, level, generator)
    inside = (..., slice(BORDER, -BORDER), slice(BORDER, -BORDER))
    scores = {name: psnr(z[inside], x[inside], luma=False, quantize=True).item() for name, z in {"blurred": y, **made}.items()}
    return {PSNR + name: value for name, value in scores.items()}


def _kernel(y: Tensor, k: Tensor, level: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
    D = load_denoiser(1)
    with torch.enable_grad():
        found = super_resolve_blind(y, 1, kernel_size=SIZE, generator=generator).kernel
    return {"without": D(y, NOISE), "plugged": plugged(y, D, found, level), "truth": plugged(y, D, k, level)}


def _map(y: Tensor, k: Tensor, level: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
    D, read = load_denoiser(1), guidance_map(y, load_guided()[1])
    one = level.square().mean().sqrt()
    return {name: plugged(y, D, k, sigma) for name, sigma in {"without": one, "plugged": read, "truth": level}.items()}


def _restorer(y: Tensor, k: Tensor, level: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
    f = blind_denoiser(load_restorer("adversarial", 1, 1))
    blind = deblur_dynamic(y, f, kernel_size=SIZE, padding="reflect")
    v = blind.prior
    solver = DynamicPnP(y, f, KernelFrom(k, hold=True), mu=BLIND_MU, x_step="cg")
    known = iterate_run(solver, BLIND_ROUNDS, solver.init(v))
    return {"without": v, "blind": blind.image, "plugged": known.state.v, "truth": plugged(y, load_denoiser(1), k, level)}


def plugged(y: Tensor, D: Denoiser, kernel: Tensor, sigma: Tensor, rounds: int = ROUNDS) -> Tensor:
    """v of `DynamicPnP` with this kernel held as A and mu_i(p) = LAM sigma(p)^2 / s_i^2, s_i the denoiser's falling strength."""
    last = max(SIGMA_LAST, sigma.square().mean().sqrt().item())
    solver = DynamicPnP(y, D, KernelFrom(kernel, hold=True), x_step="cg")
    state = solver.init()
    for s in schedules.geometric(max(SIGMA_START, last), last, rounds):
        state = replace(solver, mu=LAM * sigma.square() / s**2, sigma=s).step(state)
    return state.v


def summarize(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """For each plug the mean scores, and what it gains over doing without."""
    table = []
    for plug in dict.fromkeys(r["method"] for r in rows):
        here = [r for r in rows if r["method"] == plug]
        scores = {name: statistics.fmean(r[PSNR + name] for r in here) for name in ("blurred", "without", "plugged", "truth")}
        table.append({"plug": plug, **scores, "gain": scores["plugged"] - scores["without"], "n": len(here)})
    return table
