"""Our numbers beside those that the papers print, with what differs between the two protocols."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .results import mean_and_spread
from .stamp import data_folder

Row = dict[str, Any]


@dataclass(frozen=True)
class Pair:
    """One number of ours and the printed one. ours, printed: what the columns of their rows must be; group, method: how both are
    named; column: ours, a mean over the rows; score: the printed file's column."""

    group: str
    method: str
    ours: Mapping[str, Any]
    printed: Mapping[str, str]
    column: str = "psnr"
    score: str = "psnr"


@dataclass(frozen=True)
class Source:
    """A printed table (data/published/<file>.csv, its locator), how a stored table of ours answers it, and in what they differ.

    base: a method; gains over it say more than the numbers themselves where the pictures are not the same.
    """

    file: str
    locator: str
    pairs: tuple[Pair, ...]
    differs: tuple[str, ...]
    base: str = ""


def read_published(name: str) -> list[dict[str, str]]:
    """The rows of data/published/<name>.csv, as text."""
    with open(data_folder("published") / f"{name}.csv", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def sources(name: str) -> tuple[Source, ...]:
    """The printed tables that our table `name` answers; none if there are none."""
    return _SOURCES[name]() if name in _SOURCES else ()


def answered() -> list[str]:
    """The tables that have a printed one."""
    return sorted(_SOURCES)


def compare_with_published(name: str, rows: Sequence[Mapping[str, Any]]) -> list[Row]:
    """One row for each printed number that the rows of table `name` answer: ours (mean, spread over seeds, n) and the printed one.

    difference = ours - printed. gain, printed gain: over the source's base, each on its own pictures. Pairs of which we have no
    row, or the paper no number, are left out.
    """
    return [row for source in sources(name) for row in _compared(source, rows)]


def _compared(source: Source, rows: Sequence[Mapping[str, Any]]) -> list[Row]:
    printed, found = read_published(source.file), []
    for pair in source.pairs:
        mine = [row for row in rows if _fits(row, pair.ours) and row.get(pair.column) is not None]
        theirs = [row for row in printed if _fits(row, pair.printed) and row[pair.score]]
        if mine and theirs:
            mean = mean_and_spread(mine, by=(), values=(pair.column,))[0]
            ours, value = mean[pair.column], float(theirs[0][pair.score])
            label = {"where": source.locator, "group": pair.group, "method": pair.method, "score": pair.score}
            numbers = {"ours": ours, "ours_spread": mean[f"{pair.column}_spread"], "n": mean["n"], "printed": value}
            found.append({**label, **numbers, "difference": ours - value})
    bases = {(row["group"], row["score"]): row for row in found if row["method"] == source.base}
    for row in found:
        base = bases.get((row["group"], row["score"]))
        both = base is not None and base is not row
        row["gain"] = row["ours"] - base["ours"] if base and both else None
        row["printed gain"] = row["printed"] - base["printed"] if base and both else None
    return found


def _fits(row: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    return all(row.get(key) in value if isinstance(value, tuple) else row.get(key) == value for key, value in wanted.items())


_TRIALS = (
    "pictures: ours 3 gray ones of Set14 and BSD68, 72 x 72 from their middle; the paper all of its set",
    "budget: 120 image steps of a narrow net for each method; the paper 2500",
    "grid: ours as in ordinary resizing, told to each method; see page 01, section 9",
)
_PNP = (
    "pictures: size quick has the middle 96 x 96 of 12 each of Set12 and BSD68; the paper all of both, whole",
    "prior: DnCNN-S with published weights, or our own VDN, trained for CPU hours; the paper the published VDN",
    "`Proposed` stands beside `paper`: Eq. 6, 7 and 9 for a diagonal A with the paper's largest steps; the paper does not say which A",
)


def _unsupervised() -> tuple[Source, ...]:
    from .tables.mlmc_baselines import PRINTED, SUPERVISED

    x = {scale: {"scale": scale, "dataset": ("set14", "bsd68")} for scale in (2, 3, 4)}
    first = tuple(
        Pair(f"x{scale}", theirs, {**x[scale], "method": ours}, {"method": theirs, "scale": str(scale), "dataset": "Set14"})
        for scale in x
        for ours, theirs in PRINTED.items()
    )
    told = {"scale": "4", "dataset": "Set14"}
    second = [Pair("x4", "MLMC", {**x[4], "method": "mlmc"}, {**told, "method": "MLMC"})]
    second += [Pair("x4", "MLMC+USRNet", {**x[4], "method": "mlmc"}, {**told, "method": "MLMC+USRNet"}, "handoff")]
    known = "supervised nets are cited only: " + ", ".join(SUPERVISED)
    other = "the non-blind restorer after MLMC: ours HQS with the shipped denoiser, the paper USRNet"
    return (
        Source("mlmc_table1", "MLMC Table 1, Set14", first, _TRIALS, "Bicubic"),
        Source("mlmc_table2", "MLMC Table 2, Set14", tuple(second), (*_TRIALS, other, known), "MLMC"),
    )


def _kernels() -> tuple[Source, ...]:
    from .tables.mlmc_kernels import PRINTED

    def pairs(degradation: str, methods: Sequence[str]) -> tuple[Pair, ...]:
        return tuple(
            Pair(
                f"x{scale}",
                PRINTED[name],
                {"degradation": degradation, "scale": scale, "method": name, "dataset": ("set14", "bsd68")},
                {"method": PRINTED[name], "scale": str(scale), "dataset": "Set14"},
            )
            for scale in (2, 4)
            for name in methods
        )

    rivals = ("double_dip", "fkp_dip", "bsrdm")
    drawn = "motion kernels: ours random camera paths, drawn by the MLMC beside the print too (`mlmc motion`); the paper another generator"
    wide, motion = pairs("wide", (*rivals, "mlmc")), pairs("motion", (*rivals, "mlmc motion"))
    return (
        Source("mlmc_table3", "MLMC Table 3, Set14", wide, _TRIALS, "Double-DIP"),
        Source("mlmc_table5", "MLMC Table 5, Set14", motion, (*_TRIALS, drawn), "Double-DIP"),
    )


def _noise() -> tuple[Source, ...]:
    from .tables.mlmc_noise import PRINTED, REGULARIZED

    levels = {"3.92": 3.92, "7.84": 7.84}
    mine = {"dataset": ("set14", "bsd68")}
    fourth = tuple(
        Pair(f"{text}%, x2", theirs, {**mine, "noise": level, "method": ours}, {"method": theirs, "noise_percent": text, "scale": "2"})
        for text, level in levels.items()
        for ours, theirs in PRINTED.items()
    )
    seventh = tuple(
        Pair(f"{text}%", name, {**mine, "noise": level, "method": name}, {"regularizer": name, "noise_percent": text})
        for text, level in levels.items()
        for name in REGULARIZED
    )
    closing = "no closing data step here, since it would fit the noise"
    scale = "scale: ours x2, the paper x4 on Set5"
    return (
        Source("mlmc_table4", "MLMC Table 4, Set14", fourth, (*_TRIALS, closing), "BSRDM"),
        Source("mlmc_table7", "MLMC Table 7, Set5", seventh, (*_TRIALS, closing, scale), "none"),
    )


def _ablation() -> tuple[Source, ...]:
    from .tables.mlmc_ablation import PRINTED

    pairs = tuple(
        Pair(
            f"x{scale}",
            theirs,
            {"scale": scale, "method": ours, "dataset": ("set14", "bsd68")},
            {"method": theirs, "scale": str(scale), "dataset": "Set14"},
        )
        for scale in (2, 4)
        for ours, theirs in PRINTED.items()
    )
    return (Source("mlmc_table6", "MLMC Table 6, Set14", pairs, _TRIALS, "MLMC"),)


def _gpu() -> tuple[Source, ...]:
    pairs = tuple(
        Pair(
            f"x{s}",
            "MLMC",
            {"scale": s, "method": "paper", "precision": "float32"},
            {"method": "MLMC", "scale": str(s)},
            "seconds",
            "seconds",
        )
        for s in (2, 4)
    )
    told = (
        "hardware: the stamp says ours; the paper a GeForce RTX 3090",
        "time: ours until the finished picture, closing data step included",
    )
    return (Source("mlmc_table8", "MLMC Table 8", pairs, told),)


def _and() -> tuple[Source, ...]:
    from .tables.and_ablation import MEAN

    column = f"psnr {MEAN}"
    pairs = tuple(
        Pair("unseen", name, {"method": name}, {"degrader": name}, column)
        for name in ("classical", "noise", "random", "random_init", "adversarial")
    )
    told = (
        "test: ours the mean over 12 made degradations that no training had, x2 and small pictures; the paper RealSR x4, real cameras",
        "nets: ours small and trained for CPU minutes, three seeds; the paper RRDB, one run",
        "deviations: a ball and a unit gradient for each kind of parameter, since the printed constants destroy the picture (page 04)",
    )
    return (Source("and_table2", "AND Table 2, PSNR of ANDNet", pairs, told, "classical"),)


def _rain() -> tuple[Source, ...]:
    names = {"plain": "PReNet", "guided": "PReNet + rain map", "rain100l": "PReNet", "rain100h": "PReNet"}
    data = {"light": "Rain100L", "heavy": "Rain100H"}
    pairs = tuple(
        Pair(level, name, {"method": name}, {"method": names[name], "dataset": printed}, f"psnr {level}")
        for level, printed in data.items()
        for name in ("plain", "guided")
    )
    told = (
        "rain: ours `random_rain` on 12 held-back pictures; the paper Rain100L and Rain100H",
        "nets: ours the light PReNet, trained for CPU minutes; the paper the full one",
    )
    return (Source("bilevel_table1", "Bilevel Table 1", pairs, told, "plain"),)


def _haze() -> tuple[Source, ...]:
    names = {"dark channel": "DCP", "plain": "GridDehazeNet", "guided": "GridDehazeNet + depth map"}
    pairs = tuple(
        Pair(level, name, {"method": name, "dataset": ("cbsd68", "bundled")}, {"method": printed, "dataset": data}, f"psnr {level}")
        for level, data in (("thin", "SOTS outdoor"), ("thick", "SOTS indoor"))
        for name, printed in names.items()
    )
    told = (
        "haze: ours made from made depth on 12 held-back pictures, thin and thick; the paper SOTS outdoor and indoor, which are neither",
        "nets: ours the light GridDehazeNet, trained for CPU minutes; the paper the full one",
    )
    return (Source("bilevel_table2", "Bilevel Table 2", pairs, told, "plain"),)


def _pnp_denoising() -> tuple[Source, ...]:
    pairs = []
    for folder, data in (("set12", "Set12"), ("bsd68", "BSD68")):
        for sigma in (15, 25, 50):
            for prior in ("DnCNN", "VDN"):
                ours, printed = {"dataset": folder, "degradation": sigma, "method": prior}, {"dataset": data, "sigma": str(sigma)}
                group = f"{data}, sigma {sigma}, {prior}"
                pairs.append(Pair(group, "one pass", ours, {**printed, "method": prior}, "psnr one"))
                pairs.append(Pair(group, "Proposed", ours, {**printed, "method": "Proposed"}, "psnr paper"))
    return (Source("pnp_table1", "Dynamic PnP Table 1", tuple(pairs), _PNP, "one pass"),)


def _pnp_deblurring() -> tuple[Source, ...]:
    nets = {"one": "DMPHN(1-2-4)", "1_2_4_8": "DMPHN(1-2-4-8)", "stack2": "Stack(2)-DMPHN"}
    ours = {"one": "literal", "1_2_4_8": "1_2_4_8 + dynamic", "stack2": "stack2 + dynamic"}
    pairs = []
    for name, net in nets.items():
        pairs.append(Pair(net, "one pass", {}, {"method": net}, f"psnr {name}"))
        pairs.append(Pair(net, ours[name], {}, {"method": f"Proposed({net})"}, f"psnr {ours[name]}"))
    pairs.append(Pair("DMPHN(1-2-4)", "dynamic", {}, {"method": "Proposed(DMPHN(1-2-4))"}, "psnr dynamic"))
    told = (
        "pictures: 12 of CBSD68 with synthetic camera shake; the paper GoPro's test part, of which no sharp frames are at hand",
        "`literal` is the printed scheme for a kernel; `dynamic` and `+ dynamic` are the corrected one",
    )
    return (Source("pnp_table2", "Dynamic PnP Table 2", tuple(pairs), told, "one pass"),)


def _denoiser() -> tuple[Source, ...]:
    pairs = tuple(
        Pair(f"sigma {sigma}", "ours", {"dataset": "set12", "degradation": sigma, "method": "ours"}, {"sigma": str(sigma)})
        for sigma in (15, 25, 50)
    )
    told = ("net: the printed scores are those of DnCNN-S, trained for each level; ours is one smaller net for all levels",)
    return (Source("dncnn_set12", "DnCNN, Set12", pairs, told),)


_SOURCES: dict[str, Callable[[], tuple[Source, ...]]] = {
    "mlmc_baselines": _unsupervised,
    "mlmc_kernels": _kernels,
    "mlmc_noise": _noise,
    "mlmc_ablation": _ablation,
    "mlmc_gpu": _gpu,
    "and_ablation": _and,
    "rain_guidance": _rain,
    "haze_guidance": _haze,
    "pnp_denoising": _pnp_denoising,
    "pnp_deblurring": _pnp_deblurring,
    "denoiser": _denoiser,
}
