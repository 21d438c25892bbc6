"""Is an identity network exact, and do its deviations look like real degradations while a random network does not?

Claim A1 (AND Sec. 3.2, Fig. 1 and 2). Two parts.

`identity`: max |F(x) - pool(x)|, borders included, for fresh identities of 5 + 5 blocks: scales 1 to 4, 32 and 64 features, both
draws, float32 and float64. error: its log10.

The others: F moved away from the identity, x2, on 5 pictures that nothing was trained on, 64 x 64 px of y; t = pool(x).
`unseen`: the twelve degradations of `restorekit.experiments.unseen`, as a yardstick. `random`, `adversarial`: `make_degrader` with a
drawn strength of 22 to 42 dB; the adversary takes 10 steps against bicubic interpolation, so that no trained net is needed.
`random_literal`: small random numbers in all parameters. `printed`: a random direction at the printed ball, epsilon 20 with factors 1,
10, 50. `random_init`: no identity at all.

strength: PSNR of y against t. fitted: PSNR of the affine map of y's colors that comes nearest to t: what a change of colors alone
cannot repair. Of that map, sharpness: root of its energy under the Laplacian over t's; low, middle, high: power over t's in thirds
of the frequencies up to Nyquist's, dB. cast: mean difference of y's colors, gray levels of 255. Alike: fitted and strength not
below the least of `unseen`, sharpness between its least and largest; so is all of `unseen`, by definition, and a deviation milder
than any of it. The strength of the first two is chosen: what they show beyond it is their sharpness and the lack of casts.

Size quick: 5 pictures x 6 draws.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import log10
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..._random import rand
from ...degradations import round_to_8_bit
from ...methods.adversarial import Ball
from ...methods.baselines.bicubic import bicubic
from ...methods.degraders import Degrader, make_degrader
from ...metrics import psnr
from ...nets.degradation_net import NeuralDegradation, identity_init
from .. import Cell, ClaimRecord, Value, command_for, grid, mean_and_spread
from ..unseen import CLEAN, UNSEEN
from ._and import observe, picture, pictures, seeded, settings_digest
from ._mlmc import margin
from ._mlmc_trials import known, shown

NAME = "and_identity"
SIZES = ("smoke", "quick")
SCALE = 2
DRAWN = ("random", "adversarial", "random_literal", "printed", "random_init")
SETTINGS: dict[str, dict[str, Any]] = {
    "printed": {"window": None, "strength": None, "ball": Ball()},
    "adversarial": {"steps": 10, "step": 0.5},
}
SEEDS = {"smoke": range(2), "quick": range(6)}
FEATURES = {"smoke": [8], "quick": [32, 64]}
MEASURES = ("fitted", "sharpness", "cast", "low", "middle", "high", "strength")
FLOOR = 1e-17  # a perfect zero has no logarithm


def cells(size: str) -> list[Cell]:
    """Identities: scale x features x draw x dtype x seed. Deviations: method x picture x seed."""
    exact = grid(
        table=NAME,
        method="identity",
        seed=list(SEEDS[size])[:3],
        scale=[1, 2, 3, 4],
        features=FEATURES[size],
        draw=["orthogonal", "xavier"],
        dtype=["float32", "float64"],
    )
    made = []
    for source, name in pictures(size, {"set5": 2, "set14": 1, "cbsd68": 2}):
        here: dict[str, Any] = {"table": NAME, "dataset": source, "image": name}
        for method in DRAWN:
            made += grid(method=method, seed=list(SEEDS[size]), settings=settings_digest(_degrader(method)), **here)
        made += grid(method="unseen", degradation=[n for n in UNSEEN if n != CLEAN], **here)
    return exact + made


def run(cell: Cell) -> dict[str, Any]:
    """log10 of an identity's error, or what one deviation did to one picture."""
    if cell.method == "identity":
        return {"error": log10(max(identity_error(cell), FLOOR))}
    x = picture(cell.dataset, cell.image, SCALE, 128)
    if cell.method == "unseen":
        y = observe(cell.dataset, cell.image, str(cell.degradation), SCALE, 128)[1]
    else:
        y = deviation(cell.method, x, seeded(*cell.to_dict().values()))
    return looks(y, NeuralDegradation(SCALE).pool(x))


def identity_error(cell: Cell) -> float:
    """max |F(x) - pool(x)| over a random picture, 12 s pixels high and 16 s wide."""
    p, generator = cell.params, seeded(*cell.to_dict().values())
    like = torch.empty(0, dtype=getattr(torch, str(p["dtype"])))
    net = NeuralDegradation(int(p["scale"]), features=int(p["features"])).to(like)
    identity_init(net, generator=generator, draw=str(p["draw"]))
    x = rand((1, 3, 12 * net.scale, 16 * net.scale), generator=generator, like=like)
    with torch.no_grad():
        return float((net(x) - net.pool(x)).abs().max())


def deviation(method: str, x: Tensor, generator: torch.Generator) -> Tensor:
    """One degraded picture, 8 bit but for the methods that leave [0, 1] far behind: `looks` refits their colors."""
    y = _degrader(method)(x, None, generator=generator, loss=lambda y: (bicubic(y, SCALE) - x).abs().mean())
    return y if method in ("printed", "random_init") else round_to_8_bit(y)


def _degrader(method: str) -> Degrader:
    return make_degrader("random" if method == "printed" else method, SCALE, **SETTINGS.get(method, {}))


def looks(y: Tensor, t: Tensor) -> dict[str, float]:
    """The measures of a degraded picture y beside the ideal reduction t, both (1, 3, h, w)."""
    fitted = recolored(y, t)
    bands = zip(("low", "middle", "high"), (spectrum(fitted) / spectrum(t)).tolist(), strict=True)
    return {
        "fitted": psnr(fitted, t, luma=False, quantize=False).item(),
        "sharpness": (laplacian(fitted) / laplacian(t)) ** 0.5,
        "cast": 255 * (y.mean((2, 3)) - t.mean((2, 3))).abs().mean().item(),
        "strength": psnr(y, t, luma=False, quantize=False).item(),
        **{name: 10 * log10(max(ratio, 1e-12)) for name, ratio in bands},
    }


def recolored(y: Tensor, t: Tensor) -> Tensor:
    """A y + c with the color map A (3 x 3), c nearest to t by least squares, in float64."""
    a = torch.cat([y.flatten(2)[0].T, torch.ones(y[0, 0].numel(), 1).to(y)], 1).double()
    fit = torch.linalg.lstsq(a, t.flatten(2)[0].T.double(), driver="gelsd").solution
    return (a @ fit).T.reshape(t.shape).to(t)


def laplacian(x: Tensor) -> float:
    """Energy of the Laplacian of the channels' mean."""
    k = torch.tensor([[0.0, 1, 0], [1, -4, 1], [0, 1, 0]]).to(x)
    return F.conv2d(x.mean(1, keepdim=True), k[None, None]).square().mean().item()


def spectrum(x: Tensor) -> Tensor:
    """Power of the channels' mean, summed over thirds of the radial frequencies up to Nyquist's: (3,)."""
    gray = x.mean(1)[0].double()
    power = torch.fft.fft2(gray - gray.mean()).abs().square()
    rows, columns = (torch.fft.fftfreq(n, dtype=torch.float64) for n in gray.shape)
    band = (6 * (rows[:, None].square() + columns.square()).sqrt()).long()
    return torch.stack([power[band == i].sum() for i in range(3)])


def summarize(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The largest error for each dtype, draw and width, then the mean looks of each method and how many look real."""
    by_kind: dict[tuple[Any, ...], list[float]] = {}
    for r in rows:
        if r["method"] == "identity":
            by_kind.setdefault((r["dtype"], r["draw"], r["features"]), []).append(r["error"])
    exact = [
        {"method": f"identity, {dtype}, {draw}, {features} features", "largest error": f"{10 ** max(errors):.1e}", "n": len(errors)}
        for (dtype, draw, features), errors in sorted(by_kind.items())
    ]
    return [*exact, *mean_and_spread(alike(rows), by=("method",), values=(*MEASURES, "alike"))]


def alike(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The rows of deviations with `alike`: 1 if no measure lies outside what `unseen` spans, else 0."""
    looked = [r for r in rows if r["method"] != "identity"]
    real = [r for r in looked if r["method"] == "unseen"]
    least = {name: min(r[name] for r in real) for name in ("fitted", "strength", "sharpness")}
    sharpest = max(r["sharpness"] for r in real)
    return [{**r, "alike": float(r["sharpness"] <= sharpest and all(r[name] >= low for name, low in least.items()))} for r in looked]


def claims(rows: Sequence[Mapping[str, Any]], size: str) -> list[ClaimRecord]:
    """A1: the identity is exact; its deviations look like real degradations, random initialization does not."""
    looked = alike(rows)

    def share(method: str, sign: int) -> Value | None:
        return margin([r for r in looked if r["method"] == method], lambda r: sign * (r["alike"] - 0.5))

    def exactness(dtype: str, limit: float) -> Value | None:
        found = [r for r in rows if r["method"] == "identity" and (r["dtype"], r["draw"]) == (dtype, "orthogonal")]
        return margin(found, lambda r: log10(limit) - r["error"])

    values = {
        "identity in float64: orders of magnitude below 1e-12": exactness("float64", 1e-12),
        "identity in float32: orders of magnitude below 1e-6": exactness("float32", 1e-6),
        "random deviations alike, share over one half": share("random", 1),
        "adversarial deviations alike, share over one half": share("adversarial", 1),
        "random initialization alike, share below one half": share("random_init", -1),
        "random numbers in all parameters alike, share over one half": shown(share("random_literal", 1)),
        "the printed ball alike, share over one half": shown(share("printed", 1)),
    }
    text = (
        "An identity network is exact, and small deviations from it look like real degradations (here: for more than half of the "
        "draws, strength, sharpness and what no color map repairs are in the range of twelve ordinary ones; the strength is ours to "
        "choose); a randomly initialized network does not."
    )
    return [
        ClaimRecord.decide(
            "A1",
            "AND Sec. 3.2, Fig. 1, 2",
            text,
            command=command_for(NAME, size),
            size=size,
            values=known(values),
            decidable=size != "smoke",
        )
    ]
