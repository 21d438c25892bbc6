"""What every blind method here shares: the observation, the budget of a preset, output averaging, one data step, saving.

    y = (x * k) down s + n,   both x and k unknown

`BlindLearner` is the interface that `super_resolve_blind` runs: `step()` advances the learner's own variables by one outer
step and returns a detached snapshot, `data_step(state)` closes the run. `ImageNetLearner` adds the deep image prior
x = G_x(z_x; phi_x) and the loss L_RE-n (MLMC Eq. 35), so that methods differ in their kernel alone.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from .._random import rand, randn
from ..kernels import KernelPrior
from ..nets import SkipNet
from ..operators import BlurDown
from .baselines.bicubic import bicubic
from .mlmc_presets import MLMCSettings
from .mlmc_steps import noise_variance
from .regularizers import image_prior

NET_ERROR = 5 / 255  # std of the image net's error that the closing data step assumes


@dataclass(frozen=True)
class BlindState:
    """After outer step `step`: picture x (1, C, H, W) as it would be reported, kernel k (1, 1, kh, kw), loss: mean of
    |y - (x * k) down s|^2 over this outer step (the value of L_RE-n itself says little, since dividing by Eq. 36 makes its
    data term constant), noise std sigma, known or estimated. All detached copies."""

    step: int
    x: Tensor
    k: Tensor
    loss: float
    sigma: float


class BlindLearner:
    """A learner on one observation y (1, C, h, w) in [0, 1]; the result is (1, C, s h, s w).

    `prior`: the kernels that may occur; its size and centroid are those of the estimated kernel. settings: the budget
    (outer steps, image steps in each, averaging, data step), the same for every method that is compared. sigma: noise std if it
    is known. All randomness comes from `generator`; device and dtype are those of y. A subclass has `step`, `kernel`, and
    the names of its own nets, tensors and plain values in `_NETS`, `_TENSORS`, `_PLAIN`.
    """

    _NETS: tuple[str, ...] = ()
    _TENSORS: tuple[str, ...] = ("_x", "_average", "_variance")
    _PLAIN: tuple[str, ...] = ("_step", "_averaged")

    def __init__(
        self,
        y: Tensor,
        scale: int,
        prior: KernelPrior,
        *,
        settings: MLMCSettings,
        padding: str = "reflect",
        sigma: float | None = None,
        generator: torch.Generator,
    ) -> None:
        self.scale, self.padding, self.sigma, self.prior, self.settings = scale, padding, sigma, prior, settings
        self._y, self._generator = y, generator
        self.size = (scale * y.shape[-2], scale * y.shape[-1])
        self._optimizers: dict[str, Optimizer] = {}
        self._step, self._averaged = 0, 0
        self._x = bicubic(y, scale, align=prior.centroid)
        self._average = y.new_zeros(1, y.shape[1], *self.size)
        self._variance = self._noise_variance(y)

    @property
    def total_steps(self) -> int:
        """Outer steps of a whole run: I."""
        return self.settings.outer

    @property
    def image_steps(self) -> int:
        """Image steps in one outer step, Q P: the budget that methods share."""
        return self.settings.meta_steps * self.settings.image_steps

    def step(self) -> BlindState:
        """One outer step; returns `snapshot(loss)`."""
        raise NotImplementedError

    def kernel(self) -> Tensor:
        """The kernel estimate as it stands, (1, 1, kh, kw)."""
        raise NotImplementedError

    def _noise_variance(self, residual: Tensor) -> Tensor:
        """MLMC Eq. 36, or what the caller knows."""
        if self.sigma is None:
            return noise_variance(residual, self.settings.sigma_floor)
        return residual.new_tensor(max(self.sigma, self.settings.sigma_floor) ** 2)

    def _keep(self, x: Tensor) -> None:
        """x is the latest picture; late ones are averaged."""
        self._x = x
        if self._step >= self.settings.average_from * self.settings.outer:
            self._averaged += 1
            self._average += (x - self._average) / self._averaged

    @torch.no_grad()
    def snapshot(self, loss: float = 0.0) -> BlindState:
        """The learner as it stands, detached."""
        x = self._average if self._averaged else self._x
        sigma = self._variance.sqrt().item() if self.sigma is None else self.sigma
        return BlindState(self._step, x.clone(memory_format=torch.contiguous_format), self.kernel().clone(), loss, sigma)

    @torch.no_grad()
    def data_step(self, state: BlindState) -> Tensor:
        """argmin_x 1/2 |A x - y|^2 + mu/2 |x - state.x|^2 with A of state.k: the closing step of the presets that have one.

        mu = data_weight + (noise / NET_ERROR)^2, noise being `sigma` or what the spectrum suggests: the ratio of the
        variances of what y and what the net leave open.
        """
        mu = self.settings.data_weight
        if not mu:
            return state.x
        mu += (self._noise() / NET_ERROR) ** 2
        return BlurDown(state.k, self.scale, self.padding).prox(state.x, self._y, mu, tol=1e-4)

    def _noise(self) -> float:
        return self.sigma or 0.0

    def state_dict(self) -> dict[str, Any]:
        """Copies of nets, optimisers, tensors, counters and the generator's state."""
        return {
            "nets": {name: deepcopy(getattr(self, name).state_dict()) for name in self._NETS},
            "optimizers": {name: deepcopy(o.state_dict()) for name, o in self._optimizers.items()},
            "tensors": {name: getattr(self, name).detach().clone() for name in self._TENSORS},
            "plain": {name: getattr(self, name) for name in self._PLAIN},
            "generator": self._generator.get_state(),
        }

    @torch.no_grad()
    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from `state_dict()`; the learner must have been made for the same picture with the same settings."""
        for name in self._NETS:
            getattr(self, name).load_state_dict(state["nets"][name])
        for name, optimizer in self._optimizers.items():
            optimizer.load_state_dict(deepcopy(state["optimizers"][name]))
        for name in self._TENSORS:
            self._restore(name, state["tensors"][name].to(self._y.device))
        for name in self._PLAIN:
            setattr(self, name, state["plain"][name])
        self._generator.set_state(state["generator"])

    def _restore(self, name: str, value: Tensor) -> None:
        """In place where an optimiser holds the tensor, otherwise by a copy."""
        mine = getattr(self, name)
        if mine.requires_grad:
            mine.copy_(value)
        else:
            setattr(self, name, value.clone())


class ImageNetLearner(BlindLearner):
    """x = G_x(z_x; phi_x), a deep image prior with the net, input and optimiser that the settings name."""

    _NETS: tuple[str, ...] = ("image_net",)
    _TENSORS: tuple[str, ...] = (*BlindLearner._TENSORS, "z_x")

    def __init__(self, y: Tensor, scale: int, prior: KernelPrior, **options: Any) -> None:
        super().__init__(y, scale, prior, **options)
        self._losses: list[float] = []
        self._build()
        self._optimizers["image"] = Adam(self.image_net.parameters(), self.settings.lr_image, fused=True)
        with torch.no_grad():
            self._x = self._image()

    def _build(self) -> None:
        """Nets and their inputs, drawn from the generator in a fixed order."""
        self.image_net = self._make_image_net()
        self.z_x = self._make_input()

    def _guide(self) -> list[Tensor]:
        return [bicubic(self._y, self.scale, align=self.prior.centroid)] if self.settings.guided else []

    def _make_image_net(self) -> nn.Module:
        c, channels = self.settings, self._y.shape[1]
        inputs, levels = c.inputs + len(self._guide()) * channels, SkipNet.deepest(self.size, c.levels)
        net = SkipNet(
            inputs, channels, channels=c.channels, skip=c.skip, levels=levels, nonlocal_levels=c.nonlocal_levels, generator=self._generator
        )
        net = net.to(device=self._y.device, dtype=self._y.dtype)
        return net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def _make_input(self) -> Tensor:
        z = 0.1 * rand((1, self.settings.inputs, *self.size), generator=self._generator, like=self._y)
        return torch.cat([*self._guide(), z], 1).contiguous(memory_format=torch.channels_last)

    def _input(self) -> Tensor:
        """z_x + jitter."""
        z = self.z_x
        if self.settings.jitter:
            z = z + self.settings.jitter * randn(z.shape, generator=self._generator, like=z)
        return z

    def _image(self) -> Tensor:
        """G_x(z_x + jitter)."""
        return self.image_net(self._input())

    def _loss(self, x: Tensor, k: Tensor) -> Tensor:
        """L_RE-n = |y - (x * k) down s|^2 / sigma^2 + rho prior(x) (MLMC Eq. 35, its prior as in `regularizers`)."""
        c = self.settings
        Ax = BlurDown(k, self.scale, self.padding)(x)
        residual = self._y - Ax  # Eq. 27
        squares = residual.square().sum()
        self._variance = self._noise_variance(residual)
        loss = self._data_term(Ax, squares)
        self._losses.append(squares.item())
        if c.rho and c.regularizer != "none":
            loss = loss + c.rho * image_prior(x, c.regularizer, eta=c.eta, diagonals=c.diagonals)
        return loss

    def _data_term(self, Ax: Tensor, squares: Tensor) -> Tensor:
        """First term of Eq. 35, from A x and |y - A x|^2."""
        weighs = self.settings.noise_variance or self.sigma is not None
        return squares / self._variance if weighs else squares
