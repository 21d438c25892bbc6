"""Hyper-guidance: a proxy net finds the guidance map, a reconstruction net is led by it (Gao et al. 2022, Algorithm 1).

min over omega of f(A^-1_omega(y; H_theta(y)); x)   subject to   theta minimizing g(H_theta(y); sigma_gt)   (Bilevel Eq. 5, 6)

Generic over the task: restoration, rain and haze differ in the two nets, f, g and where the pairs come from.
g as used does not depend on omega: alternating is then joint training without the gradient of f in theta, and two-stage training
differs from both only in which maps omega has seen. The strategies are here to be compared.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from .._check import check_choice, fail
from .._random import keyed_generator
from ._training import ResumableTrainer

STRATEGIES = ("alternating", "naive", "stop_gradient", "two_stage")
CONSTANT = 0.6  # share of the steps at the full step size

Inputs = Tensor | tuple[Tensor, ...]  # y, or y and what else the net is given before the map, such as the kernel
Loss = Callable[[Tensor, Tensor], Tensor]  # (what a net says, what is true) -> a number
Sample = Callable[[torch.Generator], tuple[Inputs, Tensor, Tensor]]  # -> inputs, x, sigma_gt


def squared_error(guess: Tensor, truth: Tensor) -> Tensor:
    """g = mean |sigma - sigma_gt|^2 (Bilevel Sec. 4.1)."""
    return (guess - truth).square().mean()


def absolute_error(guess: Tensor, truth: Tensor) -> Tensor:
    """f = mean |x - x_gt|."""
    return (guess - truth).abs().mean()


def inner_step(proxy: nn.Module, optimizer: Optimizer, inputs: Inputs, sigma_gt: Tensor, g: Loss = squared_error) -> float:
    """theta down the gradient of g(H_theta(y), sigma_gt), one step (Bilevel Eq. 6, Algorithm 1 line 3); g before it.

    omega has no part in it. inputs: y, or a tuple that begins with y. optimizer: that of theta.
    """
    loss = g(proxy(_tuple(inputs)[0]), sigma_gt)
    return _descend(loss, optimizer)


def outer_step(net: nn.Module, proxy: nn.Module | None, optimizer: Optimizer, inputs: Inputs, x: Tensor, f: Loss = absolute_error) -> float:
    """omega down the gradient of f(A^-1_omega(y; sigma), x), sigma = H_theta(y) held fixed (Bilevel Eq. 5, Algorithm 1 line 4).

    Returns f before the step. proxy None: training without guidance, net(*inputs). optimizer: that of omega.
    """
    with torch.no_grad():
        sigma = None if proxy is None else proxy(_tuple(inputs)[0])
    loss = f(_reconstruct(net, inputs, sigma), x)
    return _descend(loss, optimizer)


def naive_step(
    net: nn.Module,
    proxy: nn.Module,
    optimizer: Optimizer,
    inputs: Inputs,
    x: Tensor,
    sigma_gt: Tensor,
    *,
    f: Loss = absolute_error,
    g: Loss = squared_error,
    weight: float = 1.0,
    stop_gradient: bool = False,
) -> tuple[float, float]:
    """omega and theta down the gradient of f + weight g on one batch, as one problem (Bilevel Sec. 3.2, 'naive'); f and g before it.

    f moves theta too, through the map. stop_gradient: it does not. optimizer: that of both.
    """
    sigma = proxy(_tuple(inputs)[0])
    loss_f = f(_reconstruct(net, inputs, sigma.detach() if stop_gradient else sigma), x)
    loss_g = g(sigma, sigma_gt)
    _descend(loss_f + weight * loss_g, optimizer)
    return float(loss_f.detach()), float(loss_g.detach())


@dataclass(frozen=True)
class GuidanceState:
    """After `step` steps: f and g of the last batch (0 where that problem has no step) and the exponential mean of f (1% new)."""

    step: int
    loss: float
    loss_g: float
    mean_loss: float


class HyperGuidance(ResumableTrainer):
    """A learner (`solvers.run`) of omega and theta; `step()` is one turn of Algorithm 1 on batches from `sample`.

    strategy: 'alternating', `inner_step` on one batch (D_h), then `outer_step` on another (D_tr) with the theta just found;
    'naive', `naive_step`; 'stop_gradient', the same without f's gradient in theta; 'two_stage', theta alone for the share
    `first_stage` of the steps, then omega alone with theta fixed. proxy None trains the net without guidance, whatever the strategy.
    net: called as net(*inputs, sigma), or net(*inputs) without a proxy. sample(generator) -> (inputs, x, sigma_gt), inputs being y or
    a tuple that begins with y. f, g: losses (guess, truth) -> number; weight: of g beside f, and in g's own step, where Adam does
    not see it.
    Adam with lr for omega and lr_g for theta, constant for 60% of `steps`, then linear to 0; `average` (what is kept) is omega and
    meanwhile its exponential mean with weight `ema`. Nets are trained in place on `device`.
    Each step draws from generators seeded by (seed, step, data set), so that a resumed run is exact, bitwise on a CPU.
    Raises ValueError for another strategy, counts below 1, step sizes not above 0, shares outside (0, 1).
    """

    _CONSTANT = CONSTANT
    _NETS = {"net": "net", "average": "average", "proxy": "proxy"}
    _PLAIN = ("_step", "_mean_loss", "_seconds", "_outer", "seed")

    def __init__(
        self,
        net: nn.Module,
        proxy: nn.Module | None,
        sample: Sample,
        *,
        steps: int,
        strategy: str = "alternating",
        f: Loss = absolute_error,
        g: Loss = squared_error,
        weight: float = 1.0,
        lr: float = 1e-3,
        lr_g: float | None = None,
        first_stage: float = 0.3,
        ema: float = 0.99,
        seed: int = 0,
        device: torch.device | str = "cpu",
    ) -> None:
        check_choice(strategy, STRATEGIES, "strategy")
        lr_g = lr if lr_g is None else lr_g
        if steps < 1 or not min(lr, lr_g) > 0 or weight < 0 or not (0 < first_stage < 1 and 0 <= ema < 1):
            got = f"steps={steps}, lr={lr}, lr_g={lr_g}, weight={weight}, first_stage={first_stage}, ema={ema}"
            fail(got, "1 step or more, lr > 0, weight >= 0, shares in (0, 1)", "keep the defaults")
        self.total_steps, self.strategy, self.f, self.g, self.weight = steps, strategy, f, g, weight
        self.lr, self.lr_g, self.first_stage, self.ema, self.seed = lr, lr_g, first_stage, ema, seed
        self.net = net.to(device).requires_grad_(True)
        self.proxy = None if proxy is None else proxy.to(device).requires_grad_(True)
        self.average = deepcopy(self.net).requires_grad_(False)
        self._sample, self._device = sample, torch.device(device)
        self._optimizers = self._make_optimizers()
        self._step, self._mean_loss, self._seconds, self._outer = 0, 0.0, 0.0, 0

    def _make_optimizers(self) -> dict[str, Optimizer]:
        """One for each of omega and theta, or one for both where they are one problem; the base step size stands in 'initial_lr'."""
        omega = {"params": list(self.net.parameters()), "lr": self.lr, "initial_lr": self.lr}
        if self.proxy is None:
            return {"omega": Adam([omega])}
        theta = {"params": list(self.proxy.parameters()), "lr": self.lr_g, "initial_lr": self.lr_g}
        if self.strategy in ("naive", "stop_gradient"):
            return {"both": Adam([omega, theta])}
        return {"omega": Adam([omega]), "theta": Adam([theta])}

    @property
    def stage(self) -> str:
        """What the step to come trains: 'theta', 'omega' or 'both'."""
        if self.proxy is None:
            return "omega"
        if self.strategy != "two_stage":
            return "both"
        return "theta" if self._step < self.first_stage * self.total_steps else "omega"

    def step(self) -> GuidanceState:
        """One turn of Algorithm 1."""
        start = time.process_time()
        loss, loss_g = self._turn()
        self._step += 1
        if loss is not None:
            self._outer += 1
            self._mean_loss += max(0.01, 1 / self._outer) * (loss - self._mean_loss)
            self._follow(self.net)
        self._seconds += time.process_time() - start
        return GuidanceState(self._step, loss or 0.0, loss_g, self._mean_loss)

    def _turn(self) -> tuple[float | None, float]:
        """(f, g) of this step; None where omega did not move."""
        stage, loss, loss_g = self.stage, None, 0.0
        self._set_lr()
        if "both" in self._optimizers and self.proxy is not None:
            inputs, x, sigma_gt = self.batch("h")
            stop = self.strategy == "stop_gradient"
            return naive_step(
                self.net,
                self.proxy,
                self._optimizers["both"],
                inputs,
                x,
                sigma_gt,
                f=self.f,
                g=self.g,
                weight=self.weight,
                stop_gradient=stop,
            )
        if self.proxy is not None and stage != "omega":
            inputs, _, sigma_gt = self.batch("h")
            loss_g = inner_step(self.proxy, self._optimizers["theta"], inputs, sigma_gt, self.g)
        if stage != "theta":
            inputs, x, _ = self.batch("tr")
            loss = outer_step(self.net, self.proxy, self._optimizers["omega"], inputs, x, self.f)
        return loss, loss_g

    def batch(self, which: str) -> tuple[tuple[Tensor, ...], Tensor, Tensor]:
        """The batch of the step to come from D_h ('h') or D_tr ('tr'), on the device."""
        inputs, x, sigma_gt = self._sample(keyed_generator(self.seed, self._step, which))
        return tuple(v.to(self._device) for v in _tuple(inputs)), x.to(self._device), sigma_gt.to(self._device)

    def _set_lr(self) -> None:
        for optimizer in self._optimizers.values():
            for group in optimizer.param_groups:
                group["lr"] = group["initial_lr"] * self._rate()

    @torch.no_grad()
    def restore(self, inputs: Inputs) -> Tensor:
        """A^-1 of the averaged omega, led by H_theta."""
        sigma = None if self.proxy is None else self.proxy(_tuple(inputs)[0])
        return _reconstruct(self.average, inputs, sigma)

    def weights(self) -> dict[str, Tensor]:
        """Averaged omega as 'net.*' and theta as 'proxy.*', those to keep."""
        named = {"net": self.average, "proxy": self.proxy}
        return {f"{owner}.{name}": v for owner, module in named.items() if module is not None for name, v in module.state_dict().items()}


def _reconstruct(net: nn.Module, inputs: Inputs, sigma: Tensor | None) -> Tensor:
    given = _tuple(inputs)
    out: Tensor = net(*given) if sigma is None else net(*given, sigma)
    return out


def _tuple(inputs: Inputs) -> tuple[Tensor, ...]:
    return inputs if isinstance(inputs, tuple) else (inputs,)


def _descend(loss: Tensor, optimizer: Optimizer) -> float:
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return float(loss.detach())
