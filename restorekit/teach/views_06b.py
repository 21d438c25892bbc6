"""The figures and computed sentences of page 06b; what is computed for the argument stands on the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from types import SimpleNamespace
from typing import Any

import torch
from IPython.display import Markdown
from torch import Tensor

from ..experiments import command_for, load_results, markdown, tables
from ..experiments.published import read_published
from ..kernels import pad_kernel
from ..methods.deblur import Deblurred
from ..methods.stopping import discrepancy_target, whiteness
from ..metrics import kernel_distance
from ..nets import load_dmphn
from ..weather import CameraPath
from ._picture import DASHES, FONT, INK, PALETTE, Picture, canvas
from .cards import Card, card
from .checks import check_range
from .figures import Layout, draw, label, place_kernel, show, show_kernels
from .passes_06b import MARGIN, passed, shaken
from .plots import plot_lines
from .shorthands import dB, seeded
from .sizes import stamp
from .steps import Stepper, stepper
from .views_04b import tally
from .views_06 import denoising, stamped

__all__ = ["dB", "denoising", "passed", "seeded", "shaken", "tally"]
SPAN = 8 / 255  # residuals are drawn from minus to plus this
MARKERS = ("o", "s", "^", "D", "v")
GOALS = (
    "fit a blur kernel by least squares on a simplex, equal to the library's to rounding",
    "solve a data step by conjugate gradients, and say which of x and f(x) to return",
    "let the blur vary over the picture, and tell when a fitted blur is not to be believed",
    "stop an iteration without the truth: the discrepancy done right, whiteness, SURE",
    "say what the paper's proof of convergence needs, and judge its claims",
)


def opening() -> Card:
    """The card of the page."""
    return card(
        "06b_dynamic_deblurring",
        goals=GOALS,
        needs=["page 06 (the dynamic scheme, readings of A)", "page 01 (blur, adjoints)", "least squares"],
        papers=["Dynamic PnP Sec. 3.3, 3.4 and 4.2 to 4.4, Eq. 4 to 14, Table 2, Fig. 3 to 5", "DMPHN"],
        minutes=80,
        seed=0,
    )


def same_pass(name: str) -> None:
    """Where the published weights are at hand: the net's pass computed again, AssertionError if the stored one differs."""
    try:
        net = load_dmphn("1_2_4")
    except (FileNotFoundError, ValueError):
        print("The stored pass is taken as it is: no weights of DMPHN below RESTOREKIT_WEIGHTS.")
        return
    with torch.no_grad():
        check_range("the pass computed again, dB to the stored one", dB(net(shaken(name)[0]).clamp(0, 1), passed(name)), low=50)


def _part(x: Tensor) -> Tensor:
    """A square of half the height from the middle: whole pictures would make the page heavy."""
    h, w = x.shape[-2:]
    return x[..., h // 4 : h // 4 + h // 2, w // 4 : w // 4 + h // 2]


def panels(pictures: Mapping[str, Tensor], truth: Tensor) -> Picture:
    """A part of pictures and of the truth, with the PSNR of the whole."""
    scores = {name: dB(x, truth) for name, x in pictures.items()}
    shown = {f"{name}\n{scores[name]:.2f} dB": _part(x).clamp(0, 1) for name, x in pictures.items()}
    says = "PSNR: " + ", ".join(f"{name} {value:.1f} dB" for name, value in scores.items()) + "."
    return show({**shown, "truth": _part(truth)}, alt=says, cols=4, stamp="a part; dB of the whole")


def rms(r: Tensor) -> float:
    """Root mean square."""
    return r.square().mean().sqrt().item()


def kernels(found: Mapping[str, Tensor], true: Tensor) -> Picture:
    """Kernels with their distances to the true one."""
    far = {name: kernel_distance(k, true).item() for name, k in found.items()}
    says = ", ".join(f"{name} {value:.2f}" for name, value in far.items())
    return show_kernels(
        {f"{n}: {far[n]:.2f} away": _middle(k) for n, k in found.items()}, alt=f"Kernels, distance to the true one: {says}."
    )


def _middle(k: Tensor, side: int = 15) -> Tensor:
    """The middle of a larger kernel, where the weights are."""
    cut = max((k.shape[-1] - side) // 2, 0)
    return k[..., cut : k.shape[-2] - cut, cut : k.shape[-1] - cut]


def grid_of_kernels(found: Tensor, path: CameraPath, grid: tuple[int, int], y: Tensor) -> Picture:
    """The kernels fitted for each cell above, those of the camera's path at the cells' centers below."""
    centers = [[(i + 0.5) * n / m - 0.5 + MARGIN for i in range(m)] for n, m in zip(y.shape[-2:], grid, strict=True)]
    true = [path.kernel_at(r, c).to(found) for r in centers[0] for c in centers[1]]
    true = [k if k.shape[-1] >= found.shape[-1] else pad_kernel(k, found.shape[-1]) for k in true]
    far = [kernel_distance(a[None], b).item() for a, b in zip(found, true, strict=True)]
    shown = {f"cell {i + 1}: {far[i]:.2f}": _middle(k[None], 17) for i, k in enumerate(found)}
    shown |= {f"true {i + 1}": _middle(k, 17) for i, k in enumerate(true)}
    alt = f"Fitted kernels of {grid[0]} x {grid[1]} cells above, true ones below; distances {min(far):.2f} to {max(far):.2f}."
    return show_kernels(shown, cols=len(found), alt=alt)


def decisions(found: Mapping[str, Deblurred], truths: Mapping[str, Tensor]) -> Markdown:
    """What the fitted blur explains in each case, whether the data step was taken, and what it gained."""
    rows = []
    for name, out in found.items():
        plain, _, _, best = out.residuals[0].tolist()
        gain = dB(out.image, truths[name]) - dB(out.prior, truths[name])
        grid = "x".join(map(str, out.grids[0]))
        rows.append(
            {"picture": name, "left by blur": best / plain, "kernels": grid, "mu": out.mu[0], "taken": out.taken[0], "gain (dB)": gain}
        )
    return Markdown(f"{markdown(rows)}\n\n*{stamp()}; left by blur: of the difference of v and y, after the data step where it was taken*")


def state(step: int, x: Tensor, v: Tensor, k: Tensor, r: Tensor) -> SimpleNamespace:
    """One round: picture, what it started from, kernel, residual."""
    return SimpleNamespace(step=step, x=x, v=v, k=_middle(k), r=r)


class Film:
    """Rounds of kernel and data step, one row a run: v, kernel, x and residual."""

    def __init__(self, runs: Mapping[str, Sequence[SimpleNamespace]], truth: Tensor) -> None:
        self.runs, self.truth = dict(runs), truth
        self.states: list[Any] = [SimpleNamespace(step=s.step) for s in next(iter(self.runs.values()))]
        self.dB = {name: [dB(s.x, truth) for s in states] for name, states in self.runs.items()}

    def gain(self, name: str, i: int) -> float:
        """x of round i over the net's result."""
        return self.dB[name][i] - self.dB[name][0]

    def strip(self) -> Picture:
        """A part of x after the net, one round and all rounds, and the last kernel."""
        at = [0, 1, len(self.states) - 1]
        layout = Layout([40] * len(self.runs), 4, (190, 190), [stamp(at[-1], unit="rounds")])
        for row, (name, states) in enumerate(self.runs.items()):
            for col, i in enumerate(at):
                ax = layout.axes(row, col)
                draw(ax, _part(states[i].x).clamp(0, 1))
                label(ax, f"{name}, round {i}\n{self.dB[name][i]:.2f} dB, left {255 * rms(states[i].r):.2f}")
            ax = layout.axes(row, 3)
            place_kernel(ax, states[-1].k, states[-1].k.max().item(), states[-1].k.shape[-1] / 2)
            label(ax, f"kernel, round {at[-1]}")
        ends = "; ".join(f"{n}: {d[0]:.2f} dB, after one round {d[1]:.2f}, at the end {d[-1]:.2f}" for n, d in self.dB.items())
        return Picture(layout.figure, alt=f"Rounds of kernel and data step. {ends}.")

    def frame(self, now: SimpleNamespace) -> Picture:
        """One round of each run."""
        layout = Layout([40] * len(self.runs), 4, (190, 190), ["residual: -8 to 8 gray levels"])
        said = []
        for row, (name, states) in enumerate(self.runs.items()):
            s, score = states[now.step], self.dB[name][now.step]
            heads = [
                f"{name}\nv: {dB(s.v, self.truth):.2f} dB",
                "A: kernel",
                f"x: {score:.2f} dB",
                f"residual: {255 * rms(s.r):.2f} levels",
            ]
            pictures = [
                _part(s.v).clamp(0, 1),
                None,
                _part(s.x).clamp(0, 1),
                (0.5 + _part(s.r.mean(1, keepdim=True)) / (2 * SPAN)).clamp(0, 1),
            ]
            for col, (head, picture) in enumerate(zip(heads, pictures, strict=True)):
                ax = layout.axes(row, col)
                if picture is None:
                    place_kernel(ax, s.k, s.k.max().item(), s.k.shape[-1] / 2)
                else:
                    draw(ax, picture)
                label(ax, head)
            said.append(f"{name}: x {score:.2f} dB, residual {255 * rms(s.r):.2f} gray levels")
        return Picture(layout.figure, alt=f"Round {now.step}. {'; '.join(said)}.")

    def player(self) -> Stepper:
        """The stepper over all rounds."""
        return stepper(self.states, self.frame, question="Do the residual and the picture agree on the best round?")


def trust(mus: Sequence[float], lines: Mapping[str, Sequence[float]]) -> Picture:
    """Gain of the data step against mu, for several levels of noise."""
    best = "; ".join(
        f"{name} best at {mus[max(range(len(mus)), key=line.__getitem__)]:g} ({max(line):+.1f} dB)" for name, line in lines.items()
    )
    return plot_lines(
        {name: (list(mus), list(line)) for name, line in lines.items()},
        xlabel="mu",
        ylabel="x over v (dB)",
        logx=True,
        alt=f"Gain of the data step against mu: {best}.",
    )


def study(
    clean: Tensor, y: Tensor, sigma: float, iterates: Sequence[Tensor], probed: Mapping[int, Sequence[tuple[Tensor, Tensor]]]
) -> SimpleNamespace:
    """PSNR of each iterate, and which iterate each rule takes; probed: number of probes -> (SURE, error) of each iterate, best first."""
    left = [rms(y - x) for x in iterates]
    values = {probes: [value.item() for value, _ in found] for probes, found in probed.items()}
    picks = {f"SURE, {probes} probe{'s' * (probes > 1)}": _least(found) for probes, found in values.items()}
    mse = [min(max(e, 0.0), sigma**2) for e in next(iter(values.values()))]
    picks["sqrt(sigma² - SURE)"] = _least([abs(r - discrepancy_target(sigma, e)) for r, e in zip(left, mse, strict=True)])
    picks["|y - x| = sigma"] = _least([abs(r - sigma) for r in left])
    picks["whitest residual"] = _least([whiteness(x - y).item() for x in iterates])
    return SimpleNamespace(dB=[dB(x, clean) for x in iterates], picks=picks)


def _least(values: Sequence[float]) -> int:
    return min(range(len(values)), key=values.__getitem__)


def regrets(studies: Mapping[str, SimpleNamespace]) -> dict[str, float]:
    """Mean loss in dB of each rule against the best iterate."""
    names = next(iter(studies.values())).picks
    return {name: fmean(max(s.dB) - s.dB[s.picks[name]] for s in studies.values()) for name in names}


def stopping(studies: Mapping[str, SimpleNamespace], regret: Mapping[str, float]) -> Picture:
    """PSNR over the steps for each picture, and where each rule stops."""
    figure, ax = canvas(width=8.6, height=3.8)
    for s in studies.values():
        ax.plot(range(1, len(s.dB) + 1), s.dB, color="#BBBBBB", linewidth=1.4, linestyle="-")
    for i, (name, lost) in enumerate(regret.items()):
        at = [(s.picks[name] + 1, s.dB[s.picks[name]]) for s in studies.values()]
        steps, scores = [a + 0.07 * (i - 2) for a, _ in at], [b for _, b in at]
        marker, color = MARKERS[i % len(MARKERS)], PALETTE[i % len(PALETTE)]
        ax.plot(steps, scores, marker, color=color, markersize=7, linestyle="none", label=f"{name}: -{lost:.2f} dB")
    ax.set(xlabel="steps", ylabel="PSNR (dB)")
    ax.legend(fontsize=FONT - 1, frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    says = ", ".join(f"{name} {lost:.2f}" for name, lost in regret.items())
    return Picture(
        figure, alt=f"PSNR over the steps of {len(studies)} pictures; mean loss in dB of each rule against the best step: {says}."
    )


def energies(lines: Mapping[str, Sequence[float]], error: Mapping[str, float]) -> Picture:
    """The toy's objective over the rounds."""
    says = "; ".join(f"{name} ends at {line[-1]:.1f} with an error of {error[name]:.2f}" for name, line in lines.items())
    shown = {f"{name} (error {error[name]:.2f})": (list(range(1, len(line) + 1)), list(line)) for name, line in lines.items()}
    return plot_lines(shown, xlabel="round", ylabel="objective L", logx=True, logy=True, alt=f"The toy's objective: {says}.")


def converging(moves: Sequence[float], quality: Sequence[float], once: float) -> Picture:
    """How far x moves in each round, and what v is worth, beside one pass."""
    figure, axes = canvas(1, 2, width=9.6, height=3.2)
    at = list(range(1, len(moves) + 1))
    axes[0].plot(at, [255 * m for m in moves], color=PALETTE[0], linewidth=1.9)
    axes[0].set(yscale="log", xlabel="round", ylabel="move of x (gray levels, rms)")
    axes[1].plot(at, quality, color=PALETTE[1], linestyle=DASHES[1], linewidth=1.9, label="v")
    axes[1].axhline(once, color=INK, linewidth=1.0, linestyle=":", label="one pass")
    axes[1].set(xlabel="round", ylabel="PSNR (dB)")
    axes[1].legend(fontsize=FONT - 1, frameon=False)
    says = f"moves fall from {255 * max(moves):.2f} to {255 * moves[-1]:.3f} gray levels, PSNR goes to {quality[-1]:.2f} dB"
    return Picture(figure, alt=f"The scheme with steps of 0.3: {says}; one pass has {once:.2f} dB.")


def deblurring() -> tuple[list[Markdown], dict[str, Any]]:
    """The stored table of deblurring, methods as rows, gains over one pass by kind of blur; its claims in words and by id."""
    name = "pnp_deblurring"
    try:
        stored = load_results(name, "quick")
    except FileNotFoundError:
        return [Markdown(f"Table `{name}` is not stored; `{command_for(name, 'quick')}` makes it.")], {}
    rows: dict[str, dict[str, Any]] = {}
    for r in tables.load(name).summarize(stored.rows):
        row = rows.setdefault(r["method"], {"method": r["method"]})
        row |= {"psnr": r["psnr"], "gain": r["gain"], "least gain": r["least gain"]} if r["blur"] == "all" else {r["blur"]: r["gain"]}
    records = {record.id: record for record in tables.load(name).claims(stored.rows, "quick")}
    return [stamped(list(rows.values()), stored)], records


def limits() -> Markdown:
    """The stored table of blurs that the scheme was not made for: gains over one pass."""
    return _stored("pnp_conditions")


def plugs() -> Markdown:
    """The stored table of parts of the other methods used within the scheme."""
    return _stored("pnp_plugins")


def printed_gains() -> Markdown:
    """What the paper's Table 2 prints for each net, without and with its scheme."""
    printed = {row["method"]: float(row["psnr"]) for row in read_published("pnp_table2")}
    pairs = {name.removeprefix("Proposed(").removesuffix(")"): value for name, value in printed.items() if name.startswith("Proposed(")}
    found = {name: (printed[name], value) for name, value in pairs.items()}
    rows = [{"printed, GoPro": n, "alone": alone, "with the scheme": value, "gain": value - alone} for n, (alone, value) in found.items()]
    gains = [with_it - alone for alone, with_it in found.values()]
    return Markdown(
        f"{markdown(rows)}\n\n*Dynamic PnP Table 2: gains {min(gains):+.2f} to {max(gains):+.2f} dB; the text says 0.15 to 0.24*"
    )


def agreement() -> Markdown:
    """How near our copies of the published nets come to their own published outputs."""
    return _stored("pnp_outputs")


def _stored(name: str) -> Markdown:
    """A stored table as its module sums it up, or the command that makes it."""
    try:
        stored = load_results(name, "quick")
    except FileNotFoundError:
        return Markdown(f"Table `{name}` is not stored; `{command_for(name, 'quick')}` makes it.")
    return stamped(tables.load(name).summarize(stored.rows), stored)


def own_pass(picture: Tensor) -> tuple[Tensor, Tensor, Markdown]:
    """The reader's picture in color, the net's pass of it, and what was done; without weights the stored astronaut."""
    try:
        net = load_dmphn("1_2_4")
    except (FileNotFoundError, ValueError):
        y = shaken("astronaut")[0]
        return y, passed("astronaut"), Markdown("No weights of DMPHN below `RESTOREKIT_WEIGHTS`: this is the astronaut, shaken by us.")
    y = picture.expand(-1, 3, -1, -1).contiguous()
    with torch.no_grad():
        return y, net(y), Markdown("Computed now from your choice.")


def own_picture(y: Tensor, v: Tensor, out: Deblurred) -> Picture:
    """A picture without a truth: as taken, after the net, after the data step, and the first kernel."""
    plain, *_, best = out.residuals[0].tolist()
    h, w = y.shape[-2:]
    side = min(h, w)
    layout = Layout([24], 4, (220, round(220 * w / h) if w < h else 220), [])
    heads = {"as taken": y, "network v": v, "x" if out.taken[0] else "x: not taken, v kept": out.image}
    for col, (head, x) in enumerate(heads.items()):
        ax = layout.axes(0, col)
        draw(ax, x[..., (h - side) // 2 : (h + side) // 2, (w - side) // 2 : (w + side) // 2].clamp(0, 1))
        label(ax, head)
    ax, k = layout.axes(0, 3), _middle(out.kernels[0][:1], 19)
    place_kernel(ax, k, k.max().item(), k.shape[-1] / 2)
    label(ax, f"kernel 1 of {len(out.kernels[0])}")
    did = "was taken" if out.taken[0] else "was not taken"
    return Picture(layout.figure, alt=f"Your picture: the blur leaves {best / plain:.0%} of what the network changed; the data step {did}.")
