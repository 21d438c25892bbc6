"""What trainers of nets share: a step size that falls late, the average that is kept, states to resume from."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any, ClassVar

import torch
from torch import nn
from torch.optim import Optimizer


class ResumableTrainer:
    """Step sizes constant for the share `_CONSTANT` of `total_steps`, then linear to 0; meanwhile `average` is an exponential mean.

        average <- net while the step size is constant, then average <- ema average + (1 - ema) net

    A subclass has `total_steps`, `ema`, `average`, `_optimizers` and `_step`; it names its nets (`_NETS`: name in the state ->
    attribute, which may be None) and its plain values (`_PLAIN`), so that a state holds everything that `step` changes.
    """

    _CONSTANT: ClassVar[float]
    _NETS: ClassVar[Mapping[str, str]]
    _PLAIN: ClassVar[tuple[str, ...]] = ("_step", "_mean_loss", "_seconds", "seed")

    total_steps: int
    ema: float
    average: nn.Module
    _optimizers: dict[str, Optimizer]
    _step: int

    def _rate(self) -> float:
        """Share of the full step size that the step to come takes."""
        return min(1.0, (1 - self._step / self.total_steps) / (1 - self._CONSTANT))

    @torch.no_grad()
    def _follow(self, net: nn.Module) -> None:
        """The average after a step of the net."""
        share = 1.0 if self._step <= self._CONSTANT * self.total_steps else 1 - self.ema
        for mean, p in zip(self.average.parameters(), net.parameters(), strict=True):
            mean.lerp_(p, share)

    def _nets(self) -> dict[str, nn.Module]:
        named = {name: getattr(self, attribute) for name, attribute in self._NETS.items()}
        return {name: net for name, net in named.items() if net is not None}

    def state_dict(self) -> dict[str, Any]:
        """Copies of everything that `step` changes."""
        return {
            "nets": {name: deepcopy(net.state_dict()) for name, net in self._nets().items()},
            "optimizers": {name: deepcopy(o.state_dict()) for name, o in self._optimizers.items()},
            "plain": {name: getattr(self, name) for name in self._PLAIN},
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from `state_dict()` of a trainer made with the same nets, data and settings."""
        for name, net in self._nets().items():
            net.load_state_dict(state["nets"][name])
        for name, optimizer in self._optimizers.items():
            optimizer.load_state_dict(deepcopy(state["optimizers"][name]))
        for name, value in state["plain"].items():
            setattr(self, name, value)
