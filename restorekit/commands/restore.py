"""`restorekit restore photo.png`: blind restoration of a picture, and the simple methods to compare with."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import UserError, align, numbers, output_path, scale, user_input

if TYPE_CHECKING:
    from torch import Tensor

METHODS = ("mlmc", "guided", "bicubic", "tv", "wiener")
BLIND = ("mlmc", "guided")  # those that find the blur, by mlmc
_METHOD_HELP = "mlmc finds the blur; guided (scale 1) restores with that blur and a noise map; tv and wiener assume a typical blur"
PRESETS = ("quick", "balanced", "strict", "paper", "published")


def add_parser(commands: Any) -> None:
    parser = commands.add_parser("restore", help="sharpen or enlarge a picture whose blur is unknown", description=__doc__)
    parser.add_argument("picture", type=Path, help="PNG, JPEG, TIFF, WebP or BMP; gray or color")
    parser.add_argument("-o", "--output", type=Path, help="default: NAME_restored.png in the current folder")
    parser.add_argument("--scale", type=scale, default=2, help="1 (blind deblurring), 2, 3 or 4 (default 2)")
    parser.add_argument("--method", choices=METHODS, default="mlmc", help=_METHOD_HELP)
    parser.add_argument("--preset", choices=PRESETS, default="quick", help="effort of mlmc (default quick)")
    parser.add_argument("--align", type=align, default="resize", metavar="GRID", help="resize (overlays the input), phase0, or DY,DX")
    parser.add_argument(
        "--padding", choices=("reflect", "replicate", "circular", "zero"), default="reflect", help="what lies beyond the border"
    )
    parser.add_argument("--kernel-size", type=int, metavar="N", help="side of the blur kernel in pixels of the result, odd")
    parser.add_argument("--sigma", type=float, metavar="S", help="std of the noise if you know it, picture in [0, 1]")
    parser.add_argument(
        "--crop", type=lambda text: numbers(text, 4, int), metavar="TOP,LEFT,H,W", help="restore only this part of the picture"
    )
    parser.add_argument("--gray", action="store_true", help="turn color into gray first")
    parser.add_argument("--kernel-out", type=Path, metavar="FILE", help="also write the blur kernel that was found, as a picture")
    parser.add_argument("--seed", type=int, default=0, help="of all random numbers (default 0)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1 ... (default auto)")
    parser.add_argument("--max-minutes", type=float, default=60.0, metavar="M", help="refuse a picture that would take longer (default 60)")
    parser.add_argument("--resume", action="store_true", help="go on with a restoration that was interrupted or killed")
    parser.add_argument("--force", action="store_true", help="replace the output, forget an unfinished restoration")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from ..images import SUFFIXES, load_image, save_image

    args.output = args.output or Path(f"{args.picture.stem}_restored.png")
    state = state_path(args.output)
    if args.method == "guided" and args.scale != 1:
        raise UserError(f"Got --method guided at scale {args.scale}. Allowed: scale 1. Fix: add --scale 1.")
    with user_input():
        y = _crop(load_image(args.picture, gray=args.gray), args.crop)
        y = y.to(_device(args.device))
    output_path(args.output, force=args.force or (args.resume and state.exists()), suffixes=SUFFIXES)
    if args.kernel_out:
        output_path(args.kernel_out, force=args.force or args.resume, suffixes=SUFFIXES)
    if args.method not in BLIND:
        if args.kernel_out or args.resume:
            raise UserError(
                f"Got --kernel-out or --resume with --method {args.method}. Allowed: with mlmc and guided. Fix: leave them out."
            )
        with user_input():
            image = _simple(args, y)
        save_image(image, args.output)
        print(f"Wrote {args.output} ({_size(image)}).")
        return 0
    from ..solvers import Diverged
    from ._blind import restore_blind

    try:
        result = restore_blind(args, y, state)
    except Diverged as error:
        print(f"restorekit: {error}", file=sys.stderr)
        return 1
    image = _guided(args, y, result.kernel) if args.method == "guided" and not result.interrupted else result.image
    save_image(image, args.output)
    if args.kernel_out:
        save_image(_kernel_picture(result.kernel), args.kernel_out)
    if result.interrupted:
        print(f"Stopped. The best so far is in {args.output}. Go on with:\n  {_again(args.argv)}", file=sys.stderr)
        return 130
    state.unlink(missing_ok=True)
    print(f"Wrote {args.output} ({_size(image)}).")
    return 0


def state_path(output: Path) -> Path:
    """Where an unfinished restoration is kept: beside its output."""
    return output.with_name(f"{output.name}.state")


def _simple(args: argparse.Namespace, y: Tensor) -> Tensor:
    """The methods that estimate nothing."""
    from ..degradations import estimate_sigma
    from ..kernels import align_centroid, centered_gaussian
    from ..methods.baselines import bicubic, generic_deconvolution, wiener
    from ..methods.baselines.tv import generic_width

    if args.method == "bicubic":
        return bicubic(y, args.scale, align=args.align)
    if args.method == "tv":
        return generic_deconvolution(y, args.scale, align=args.align, padding=args.padding)
    width = y.new_full((1, 2), generic_width(args.scale))
    kernel = centered_gaussian(args.kernel_size or 4 * args.scale + 3, width, y.new_zeros(1), align_centroid(args.align, args.scale))
    sigma = args.sigma if args.sigma is not None else max(1 / 255, float(estimate_sigma(y, robust=True).mean()))
    return wiener(y, kernel, sigma=sigma, scale=args.scale, padding=args.padding)


def _guided(args: argparse.Namespace, y: Tensor, kernel: Tensor) -> Tensor:
    """The picture by the net that a noise map leads, with the kernel that was found."""
    from ..methods.guided_restoration import restore_guided

    return restore_guided(y, kernel, sigma=args.sigma, padding=args.padding).image


def _crop(y: Tensor, crop: tuple[int, ...] | None) -> Tensor:
    from ..images import MIN_SIDE

    if crop is None:
        return y
    top, left, height, width = crop
    h, w = y.shape[-2:]
    if min(top, left) < 0 or min(height, width) < MIN_SIDE or top + height > h or left + width > w:
        raise UserError(
            f"Got --crop {','.join(map(str, crop))} of a picture of {h}x{w} pixels. Allowed: a part inside it with sides of at "
            f"least {MIN_SIDE}. Fix: for example --crop 0,0,{min(h, 128)},{min(w, 128)}."
        )
    return y[..., top : top + height, left : left + width].contiguous()


def _device(name: str) -> Any:
    import torch

    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"Got --device {name} ({reason}). Allowed: auto, cpu, or a GPU that torch sees. Fix: --device cpu.") from error
    return device


def _kernel_picture(kernel: Tensor) -> Tensor:
    """The kernel with its largest value white, each of its pixels 8 pixels wide."""
    return (kernel / kernel.max()).repeat_interleave(8, -1).repeat_interleave(8, -2)


def _again(argv: list[str]) -> str:
    words = [word for word in argv if word not in ("--resume", "--force")]
    return shlex.join(["python", "-m", "restorekit", *words, "--resume"])


def _size(image: Tensor) -> str:
    return f"{image.shape[-2]}x{image.shape[-1]} pixels"
