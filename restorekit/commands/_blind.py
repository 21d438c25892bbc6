"""The long run behind `restore`: progress, checkpoints, an honest guess of the time, resuming."""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import UserError, user_input

if TYPE_CHECKING:
    from torch import Tensor

    from ..solvers import Result

SAVE_EVERY = 5.0  # seconds between checkpoints
# of memory for each pixel of the result, rounded up; paper and published are extrapolated
BYTES = {"quick": 4_000, "balanced": 4_000, "strict": 4_000, "paper": 11_000, "published": 12_000}
BYTES_ANYWAY = 250_000_000
PROBE = 128  # side of the result by which the time is judged


def restore_blind(args: argparse.Namespace, y: Tensor, state: Path) -> Result:
    """Run MLMC on y, keeping its state in the file `state` while it runs; the result says whether Ctrl-C ended it."""
    from ..methods import blind
    from ..solvers import run

    settings = _settings(args, y)
    saved = _saved(args, state, settings)
    with user_input():
        _check_memory(args, y)
        learner = blind.blind_solver(
            y,
            args.scale,
            preset=args.preset,
            align=args.align,
            padding=args.padding,
            kernel_size=args.kernel_size,
            sigma=args.sigma,
            generator=_generator(args.seed),
        )
    if saved:
        learner.load_state_dict(saved["learner"])
    else:
        _check_time(args, y)
    done = saved["step"] if saved else 0
    with _Watch(args, y, learner, state, settings, done) as watch:
        result = run(learner, learner.total_steps - done, callback=watch)
        if result.interrupted:
            watch.save()
    return blind.finish(learner, result)


class _Watch:
    """Callback of the run: a bar with the remaining time, a checkpoint every few seconds."""

    def __init__(self, args: argparse.Namespace, y: Tensor, learner: Any, state: Path, settings: dict[str, Any], done: int) -> None:
        self.args, self.y, self.learner, self.state, self.settings = args, y, learner, state, settings
        self.step, self.first = done, done
        self.saved_at = time.monotonic()

    def __enter__(self) -> _Watch:
        from tqdm import tqdm

        self.bar = tqdm(total=self.learner.total_steps, initial=self.first, desc="restore", unit="step", file=sys.stderr)
        return self

    def __exit__(self, *error: object) -> None:
        self.bar.close()

    def __call__(self, step: int, snapshot: Any) -> None:
        self.step = step
        self.bar.set_postfix(loss=f"{snapshot.loss:.4g}", refresh=False)
        self.bar.update()
        if time.monotonic() - self.saved_at >= SAVE_EVERY:
            self.save()
            self.saved_at = time.monotonic()

    def save(self) -> None:
        """Keep all that is needed to go on, complete or not at all."""
        from ..solvers import save_state

        save_state(self.state, {"settings": self.settings, "step": self.step, "learner": self.learner.state_dict()})


def _check_time(args: argparse.Namespace, y: Tensor) -> None:
    """Refuse a picture that would take too long, judged by one step on a small part of it: the time grows with the pixels."""
    from ..methods import blind

    side = PROBE // args.scale
    part = y[..., :side, :side].contiguous()
    share = part.numel() / y.numel()
    if share == 1:
        return
    probe = blind.blind_solver(part, args.scale, preset=args.preset, generator=_generator(0))
    start = time.monotonic()
    probe.step()
    minutes = (time.monotonic() - start) * probe.total_steps / share / 60
    if minutes > args.max_minutes:
        raise UserError(
            f"Got a picture of {_size(y)} that would take about {minutes:.0f} minutes here. Allowed: {args.max_minutes:g} minutes. "
            f"Fix: restore a part, {_crop_advice(y, args.max_minutes / minutes)}, or allow it with --max-minutes {minutes * 1.5:.0f}."
        )
    print(f"About {max(1, round(minutes))} min; Ctrl-C keeps the best so far.", file=sys.stderr)


def _check_memory(args: argparse.Namespace, y: Tensor) -> None:
    need = BYTES_ANYWAY + BYTES[args.preset] * args.scale**2 * y.shape[-2] * y.shape[-1]
    have = _free_memory() if y.device.type == "cpu" else None
    if have is not None and need > have:
        advice = _crop_advice(y, (have - BYTES_ANYWAY) / (need - BYTES_ANYWAY))
        raise UserError(
            f"Got a picture of {_size(y)} that needs about {need / 1e9:.1f} GB of memory with preset {args.preset} "
            f"at scale {args.scale}. Allowed: {have / 1e9:.1f} GB, what is free. Fix: restore a part, {advice}."
        )


def _free_memory() -> int | None:
    """Bytes that can still be used, as far as the system tells."""
    try:
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") * 3 // 4
    except (AttributeError, ValueError, OSError):
        return None


def _crop_advice(y: Tensor, share: float) -> str:
    """A crop in the middle of the picture with less than `share` of its pixels."""
    h, w = y.shape[-2:]
    height, width = (max(16, int(side * (0.8 * min(max(share, 0.0), 1.0)) ** 0.5) // 8 * 8) for side in (h, w))
    return f"--crop {max(0, h - height) // 2},{max(0, w - width) // 2},{min(height, h)},{min(width, w)}"


def _generator(seed: int) -> Any:
    """A generator on the CPU: one seed is one result, whatever the device."""
    import torch

    return torch.Generator().manual_seed(seed)


def _size(y: Tensor) -> str:
    return f"{y.shape[-2]}x{y.shape[-1]} pixels"


def _settings(args: argparse.Namespace, y: Tensor) -> dict[str, Any]:
    """What has to be the same for a resumed run to be the same run."""
    names = ("scale", "preset", "padding", "kernel_size", "sigma", "seed")
    pixels = hashlib.sha256(y.cpu().numpy().tobytes()).hexdigest()
    return {"picture": f"{tuple(y.shape)} {pixels}", "align": str(args.align), **{name: getattr(args, name) for name in names}}


def _saved(args: argparse.Namespace, state: Path, settings: dict[str, Any]) -> dict[str, Any] | None:
    """The state to go on with; None to start anew."""
    from ..solvers import load_state

    if not args.resume:
        if state.exists() and not args.force:
            raise UserError(
                f"Got an unfinished restoration, {state}. Allowed: to go on or to start anew. Fix: add --resume, or --force to forget it."
            )
        return None
    if not state.exists():
        raise UserError(
            f"Got --resume, but there is no unfinished restoration {state}. Allowed: the same -o as before. Fix: leave --resume out."
        )
    with user_input():
        saved = dict(load_state(state))
    if different := [name for name, value in settings.items() if saved["settings"].get(name) != value]:
        raise UserError(
            f"Got another {' and '.join(different)} than the unfinished restoration {state} has. Allowed: the same picture and options. "
            "Fix: repeat the command as it was, or start anew with --force and without --resume."
        )
    return saved
