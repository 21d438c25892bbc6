"""Random draws from an explicit generator. Drawn on the generator's device, then moved: one seed gives one
result whatever device and dtype the data have."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import torch
from torch import Tensor


def randn(shape: Sequence[int], *, generator: torch.Generator, like: Tensor | None = None) -> Tensor:
    """Standard normal numbers of `shape`, on the device and in the dtype of `like` (default: CPU, float32)."""
    return _place(torch.randn(tuple(shape), generator=generator, device=generator.device), like)


def rand(shape: Sequence[int], *, generator: torch.Generator, like: Tensor | None = None) -> Tensor:
    """Uniform numbers in [0, 1) of `shape`, on the device and in the dtype of `like` (default: CPU, float32)."""
    return _place(torch.rand(tuple(shape), generator=generator, device=generator.device), like)


def uniform(low: float, high: float, shape: Sequence[int] = (), *, generator: torch.Generator, like: Tensor | None = None) -> Tensor:
    """Uniform numbers in [low, high)."""
    return low + (high - low) * rand(shape, generator=generator, like=like)


def keyed_generator(*key: int | str) -> torch.Generator:
    """A generator of its own for each key, on the CPU, the same in every process and on every machine."""
    digest = hashlib.sha256(repr(key).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:4], "little"))  # the CPU's generator takes 32 bits


def _place(values: Tensor, like: Tensor | None) -> Tensor:
    return values if like is None else values.to(device=like.device, dtype=like.dtype)
