"""A net as the prior f of a plug-and-play scheme: strength, channels, self-ensemble; and static stacking, the plain alternative."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .._check import check_choice, fail
from ..solvers import Denoiser
from .handoff import each_channel


@dataclass(frozen=True)
class DenoiserPrior:
    """v = f(x; theta) (Eq. 7): a net that stands for argmin_v mu/2 |v - x|^2 + lambda f(v) (Eq. 5). A `Denoiser` itself.

    net: D(x, sigma) -> x, a denoiser or a deblurrer. sigma: the strength it is given when called without one (None: it is
    always handed one), scaled by lam ("multiply noise level by a scalar lambda", Sec. 4). channels: 'together', or 'each' by itself for a
    net of gray pictures. ensemble: mean over the 8 turned and mirrored copies. Runs without gradients unless `gradients`.
    """

    net: Denoiser
    sigma: float | Tensor | None = None
    lam: float = 1.0
    channels: str = "together"
    ensemble: bool = False
    gradients: bool = False

    def __post_init__(self) -> None:
        check_choice(self.channels, ("together", "each"), "channels")
        if not self.lam >= 0:
            fail(f"lam={self.lam}", "0 or more", "1 takes the strength as it is")

    def __call__(self, x: Tensor, sigma: float | Tensor | None = None) -> Tensor:
        level = self.sigma if sigma is None else sigma
        level = 0.0 if level is None else level
        f = each_channel(self.net) if self.channels == "each" else self.net
        f = self_ensemble(f) if self.ensemble else f
        with torch.set_grad_enabled(self.gradients and torch.is_grad_enabled()):
            return f(x, self.lam * level)


def stack(f: Denoiser, times: int) -> Denoiser:
    """f applied `times` times in a row, each time to its own result: static stacking, Fig. 4's dotted lines."""
    if isinstance(times, bool) or not isinstance(times, int) or times < 1:
        fail(f"times={times!r}", "1 or more", "stack(f, 2)")

    def stacked(x: Tensor, sigma: float | Tensor = 0.0) -> Tensor:
        for _ in range(times):
            x = f(x, sigma)
        return x

    return stacked


def self_ensemble(f: Denoiser) -> Denoiser:
    """1/8 sum_T T^-1 f(T x) over the 8 turns and mirrorings T of a picture; a noise map sigma is turned along.

    By the convexity of the squared error never worse than the mean error of the 8; an f that commutes with all T does not change.
    """

    def ensemble(x: Tensor, sigma: float | Tensor = 0.0) -> Tensor:
        total = torch.zeros_like(x)
        for mirrored in (False, True):
            for turns in range(4):
                level = _turned(sigma, turns, mirrored) if isinstance(sigma, Tensor) and sigma.ndim == 4 else sigma
                out = f(_turned(x, turns, mirrored), level).rot90(-turns, (-2, -1))
                total = total + (out.flip(-1) if mirrored else out)
        return total / 8

    return ensemble


def _turned(x: Tensor, turns: int, mirrored: bool) -> Tensor:
    return (x.flip(-1) if mirrored else x).rot90(turns, (-2, -1)).contiguous()
