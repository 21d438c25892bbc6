"""Checks of what a caller hands in. Every message says what was got, what is allowed and how to fix it."""

from __future__ import annotations

from collections.abc import Collection

import torch
from torch import Tensor


def fail(got: str, allowed: str, fix: str, kind: type[Exception] = ValueError) -> None:
    """Raise `kind` with the three parts that every message of this package has."""
    raise kind(f"Got {got}. Allowed: {allowed}. Fix: {fix}.")


def check_image(x: Tensor, name: str = "x", channels: int | None = None) -> Tensor:
    """Return x if it is a finite, non-empty floating (B, C, H, W) tensor; TypeError or ValueError otherwise."""
    if not isinstance(x, Tensor):
        fail(
            f"{name} of type {type(x).__name__}", "a torch.Tensor (B, C, H, W)", "use restorekit.load_image or torch.from_numpy", TypeError
        )
    if not x.is_floating_point():
        fail(f"{name} of dtype {x.dtype}", "float32 or float64 in [0, 1]", f"convert, for 8 bit: {name}.float() / 255", TypeError)
    if x.ndim != 4 or x.numel() == 0:
        fail(
            f"{name} of shape {tuple(x.shape)}", "a non-empty (B, C, H, W)", f"add the missing axes, for a gray picture: {name}[None, None]"
        )
    if channels is not None and x.shape[1] != channels:
        fail(f"{name} with {x.shape[1]} channels", f"{channels}", "convert the picture with load_image(gray=...) or luma")
    if not x.is_meta and not torch.isfinite(x).all():
        fail(f"{name} with NaN or infinite values", "finite numbers", "repair the picture first, for example with torch.nan_to_num")
    return x


def check_kernel(k: Tensor, name: str = "kernel") -> Tensor:
    """Return k if it is a finite, non-empty floating (B, 1, kh, kw) tensor."""
    check_image(k, name)
    if k.shape[1] != 1:
        fail(
            f"{name} of shape {tuple(k.shape)}",
            "(B, 1, kh, kw): one kernel for all channels",
            "average the channels or restore them one by one",
        )
    return k


def check_probability(k: Tensor, name: str = "kernel", tol: float = 1e-6) -> Tensor:
    """Return k if each kernel lies on the simplex: k >= 0 and sum k = 1, to `tol` (to 1e-5 below float64)."""
    check_kernel(k, name)
    tol = tol if k.dtype == torch.float64 else max(tol, 1e-5)
    low, sums = k.min().item(), k.sum((-2, -1))
    if low < -tol or (sums - 1).abs().max() > tol:
        fail(
            f"{name} with smallest entry {low:.3g} and sums {sums.min():.6g} to {sums.max():.6g}",
            "non-negative entries that sum to 1",
            "restorekit.project_simplex(kernel)",
        )
    return k


def check_like(x: Tensor, like: Tensor, name: str = "x", other: str = "kernel") -> Tensor:
    """Return x if its device and dtype are those of `like`."""
    if x.device != like.device:
        fail(f"{name} on {x.device} but {other} on {like.device}", "both on one device", f"move one: {other}.to({name}.device)")
    if x.dtype != like.dtype:
        fail(f"{name} of {x.dtype} but {other} of {like.dtype}", "one dtype", f"convert one: {other}.to({name}.dtype)", TypeError)
    return x


def check_choice(value: object, allowed: Collection[object], name: str) -> None:
    """ValueError unless `value` is one of `allowed`."""
    if value not in allowed:
        fail(f"{name}={value!r}", ", ".join(repr(a) for a in allowed), f"choose one of these for {name}")


def check_scale(scale: int, allowed: Collection[int] = (1, 2, 3, 4)) -> int:
    """Return the integer scale if it is allowed; the package restores at scales 1 to 4."""
    if isinstance(scale, bool) or scale not in allowed:
        fail(f"scale={scale!r}", ", ".join(map(str, allowed)), "choose one of these; for a larger factor restore twice")
    return int(scale)


def check_generator(generator: object) -> torch.Generator:
    """Return the torch.Generator; randomness is never taken from a global seed."""
    if not isinstance(generator, torch.Generator):
        fail(f"generator of type {type(generator).__name__}", "a torch.Generator", "generator=torch.Generator().manual_seed(0)", TypeError)
    return generator  # type: ignore[return-value]
