"""`restorekit degrade photo.png`: haze, rain, blur, decimation, noise and JPEG, in this order, with all that was drawn on record."""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import UserError, align, output_path, scale, user_input

if TYPE_CHECKING:
    import torch
    from torch import Tensor

_BLURS = "gaussian[:S1[,S2[,ANGLEdeg]]], motion[:INTENSITY], line:LENGTH[,ANGLE], disk:RADIUS, none"


def add_parser(commands: Any) -> None:
    parser = commands.add_parser("degrade", help="make a picture worse in a known way", description=__doc__)
    parser.add_argument("picture", type=Path, help="PNG, JPEG, TIFF, WebP or BMP; gray or color")
    parser.add_argument(
        "-o", "--output", type=Path, help="default: NAME_degraded.png in the current folder; the record is NAME_degraded.json"
    )
    parser.add_argument("--blur", default="gaussian", metavar="KIND", help=f"{_BLURS}; what you leave out is drawn (default gaussian)")
    parser.add_argument("--scale", type=scale, default=1, help="keep every 1st (default), 2nd, 3rd or 4th pixel")
    parser.add_argument("--align", type=align, default="resize", metavar="GRID", help="resize (default), phase0, or DY,DX")
    parser.add_argument(
        "--padding", choices=("reflect", "replicate", "circular", "zero"), default="reflect", help="what lies beyond the border"
    )
    parser.add_argument("--noise", type=float, default=0.0, metavar="S", help="std of Gaussian noise, picture in [0, 1] (1%% is 0.01)")
    parser.add_argument("--jpeg", type=int, metavar="Q", help="write and read as JPEG of quality 1 to 95")
    parser.add_argument("--rain", type=float, nargs="?", const=60.0, metavar="N", help="streaks per 100x100 pixels (60)")
    parser.add_argument("--haze", type=float, nargs="?", const=1.0, metavar="BETA", help="density of haze (1), over --depth")
    parser.add_argument("--depth", type=Path, help="gray picture, white is far; default: far at the top, near at the bottom")
    parser.add_argument("--seed", type=int, default=0, help="of all random numbers (default 0)")
    parser.add_argument("--force", action="store_true", help="replace the output")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    import torch

    from ..images import SUFFIXES, load_image, save_image

    output = output_path(args.output or Path(f"{args.picture.stem}_degraded.png"), force=args.force, suffixes=SUFFIXES)
    output_path(output.with_suffix(".json"), force=args.force, suffixes=(".json",))
    generator = torch.Generator().manual_seed(args.seed)
    with user_input():
        x = load_image(args.picture)
        y, record = _degrade(x, args, generator)
    save_image(y, output)
    record = {"input": args.picture.name, "output": output.name, "seed": args.seed, "input_size": list(x.shape[-2:]), **record}
    output.with_suffix(".json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(f"Wrote {output} ({y.shape[-2]}x{y.shape[-1]} pixels) and {output.with_suffix('.json')}.")
    return 0


def _degrade(x: Tensor, args: argparse.Namespace, generator: torch.Generator) -> tuple[Tensor, dict[str, Any]]:
    """The degraded picture and what was done to it, in the order in which light meets it: air, rain, lens, sensor, file."""
    from ..degradations import gaussian_noise, haze, jpeg, rain
    from ..operators import BlurDown

    record: dict[str, Any] = {}
    if args.haze is not None:
        x, transmission = haze(x, _depth(x, args.depth), beta=args.haze)
        record["haze"] = {
            "beta": args.haze,
            "airlight": 0.9,
            "depth": str(args.depth or "ramp"),
            "least_transmission": transmission.min().item(),
        }
    if args.rain is not None:
        x, layer = rain(x, density=args.rain, generator=generator)
        record["rain"] = {"density": args.rain, "mean_brightness": layer.mean().item()}
    kernel, drawn = blur_kernel(args.blur, args.scale, args.align, generator)
    y = BlurDown(kernel, args.scale, args.padding)(x)
    record |= {"blur": drawn, "scale": args.scale, "align": args.align, "padding": args.padding, "kernel": kernel[0, 0].tolist()}
    if args.noise:
        y = gaussian_noise(y, args.noise, generator=generator)
        record["noise"] = args.noise
    if args.jpeg is not None:
        y = jpeg(y, args.jpeg)
        record["jpeg"] = args.jpeg
    return y, record


def blur_kernel(text: str, scale: int, align: Any, generator: torch.Generator) -> tuple[Tensor, dict[str, Any]]:
    """The kernel (1, 1, kh, kw) that an option such as "gaussian:1.2,0.8,30deg" names, centred for `align`, and its numbers.

    Numbers left out are drawn: the Gaussian's variances from 0.35 to 5 px^2 and its angle, the path of the motion always.
    """
    from .. import kernels

    kind, _, rest = text.partition(":")
    values = _numbers(text, rest)
    most = {"gaussian": 3, "motion": 1, "line": 2, "disk": 1, "none": 0}
    least = {"line": 1, "disk": 1}
    if kind not in most or not least.get(kind, 0) <= len(values) <= most[kind]:
        raise UserError(f"Got --blur {text}. Allowed: {_BLURS}. Fix: for example --blur gaussian:1.5.")
    if kind != "motion" and values and values[0] <= 0:
        raise UserError(f"Got --blur {text}. Allowed: sizes above 0 pixels. Fix: --blur none for no blur.")
    centroid = kernels.align_centroid(align, scale)
    room = 2 * math.ceil(max(map(abs, centroid))) + 2  # for the shift to the grid
    numbers: dict[str, Any] = {"kind": kind}
    if kind == "gaussian":
        sigmas, theta = _gaussian(values, generator)
        numbers |= {"sigma": list(sigmas), "angle_degrees": math.degrees(theta)}
        import torch

        size = 2 * math.ceil(4 * max(sigmas)) + room + 1
        return kernels.centered_gaussian(size, torch.tensor([sigmas]), torch.tensor([theta]), centroid), numbers
    if kind == "motion":
        numbers["intensity"] = values[0] if values else 0.5
        k = kernels.motion_kernel(19, intensity=numbers["intensity"], generator=generator)
    elif kind == "line":
        numbers |= {"length": values[0], "angle_degrees": values[1] if len(values) > 1 else 0.0}
        k = kernels.line_kernel(2 * math.ceil(values[0] / 2) + 3, values[0], math.radians(numbers["angle_degrees"]))
    elif kind == "disk":
        numbers["radius"] = values[0]
        k = kernels.disk_kernel(2 * math.ceil(values[0]) + 3, values[0])
    else:
        k = kernels.delta_kernel(1)
        if centroid == (0.0, 0.0):
            return k, numbers
    k = kernels.pad_kernel(k, k.shape[-1] + room)
    return kernels.recenter(k, centroid), numbers


def _gaussian(values: tuple[float, ...], generator: torch.Generator) -> tuple[tuple[float, float], float]:
    from .._random import uniform

    if not values:
        first, second = uniform(0.35, 5.0, (2,), generator=generator).sqrt().tolist()
        return (first, second), float(uniform(0.0, math.pi, generator=generator))
    if len(values) == 1:
        return (values[0], values[0]), 0.0
    return (values[0], values[1]), math.radians(values[2]) if len(values) > 2 else 0.0


def _numbers(text: str, rest: str) -> tuple[float, ...]:
    try:
        return tuple(float(part.removesuffix("deg")) for part in rest.split(",")) if rest else ()
    except ValueError:
        raise UserError(f"Got --blur {text}. Allowed: {_BLURS}. Fix: numbers with commas between.") from None


def _depth(x: Tensor, path: Path | None) -> Tensor:
    import torch

    from ..images import load_image

    if path is not None:
        return load_image(path, gray=True)
    ramp = torch.linspace(1, 0, x.shape[-2])[:, None]
    return ramp.expand(x.shape[-2:])[None, None].contiguous()
