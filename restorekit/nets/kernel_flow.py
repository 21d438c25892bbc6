"""The kernel prior of FKP: a normalising flow between blur kernels and white noise (Liang et al., CVPR 2021)."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from math import cos, isqrt, log, pi
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Adam

from .._check import check_generator, check_kernel, fail
from .._random import randn
from ..kernels import KernelPrior
from ..weights import load_weights, shipped
from ._init import draw_weights
from .kernel_net import hold_centroid

ALPHA = 1e-6  # keeps the logit of an empty tap finite
EPS = 1e-5  # of the normalisation layers
EMPTY_TAP = 1e-5  # of the largest possible tap: below it a decoded tap is noise, which a tilt towards the centroid would raise


class Coupling(nn.Module):
    """u = m x + (1 - m) (x - t(m x)) exp(-s(m x)): the taps of mask m pass and decide how the others are scaled and moved.

    Its Jacobian is triangular (taps of m first), so log |det du/dx| = -sum (1 - m) s. s and t: fully connected nets with
    two hidden layers, tanh in s and ReLU in t.
    """

    mask: Tensor

    def __init__(self, mask: Tensor, hidden: int) -> None:
        super().__init__()
        self.register_buffer("mask", mask, persistent=False)
        self.scale_net, self.shift_net = _mlp(mask.numel(), hidden, nn.Tanh), _mlp(mask.numel(), hidden, nn.ReLU)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        seen, free = x * self.mask, 1 - self.mask
        s, t = self.scale_net(seen) * free, self.shift_net(seen) * free
        return seen + free * (x - t) * torch.exp(-s), -s.sum(1)

    def inverse(self, u: Tensor) -> Tensor:
        seen, free = u * self.mask, 1 - self.mask
        return seen + free * (u * torch.exp(self.scale_net(seen)) + self.shift_net(seen))


class FlowNorm(nn.Module):
    """u = exp(g) (x - mean) / sqrt(var + eps) + b, tap by tap: batch statistics in training, running ones otherwise.

    The inverse always takes the running ones.
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, taps: int, momentum: float = 0.1) -> None:
        super().__init__()
        self.momentum = momentum
        self.log_gamma, self.beta = nn.Parameter(torch.zeros(taps)), nn.Parameter(torch.zeros(taps))
        self.register_buffer("running_mean", torch.zeros(taps))
        self.register_buffer("running_var", torch.ones(taps))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mean, var = self.running_mean, self.running_var
        if self.training:
            mean, var = x.mean(0), x.var(0)
            with torch.no_grad():
                self.running_mean.lerp_(mean, self.momentum)
                self.running_var.lerp_(var, self.momentum)
        u = self.log_gamma.exp() * (x - mean) / (var + EPS).sqrt() + self.beta
        return u, (self.log_gamma - 0.5 * torch.log(var + EPS)).sum().expand(x.shape[0])

    def inverse(self, u: Tensor) -> Tensor:
        return (u - self.beta) * torch.exp(-self.log_gamma) * (self.running_var + EPS).sqrt() + self.running_mean


def _mlp(taps: int, hidden: int, activation: type[nn.Module]) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(taps, hidden), activation(), nn.Linear(hidden, hidden), activation(), nn.Linear(hidden, taps)
    )  # fmt: skip


class KernelFlow(nn.Module):
    """k = T^-1(z), z ~ N(0, I): an invertible map between kernels (B, 1, size, size) and latents (B, size^2) (FKP).

    z = f_10 o ... o f_1(logit(alpha + (1 - 2 alpha) k / normalization)), `blocks` times a `Coupling` (its mask every other
    tap, complemented from block to block) and a `FlowNorm`. `normalization` exceeds every tap that may occur. So
    log p(k) = log N(z; 0, I) + log |det dz/dk| is exact (`log_prob`), and so is the inverse (`decode`). A kernel sums to 1 and a
    decoded one only nearly so: `forward(z, centroid)` gives the kernel on the simplex. Weights are drawn from `generator`.
    """

    alpha: Tensor
    normalization: Tensor

    def __init__(
        self, size: int, *, hidden: int = 15, blocks: int = 5, normalization: float = 1.0, generator: torch.Generator | None = None
    ) -> None:
        super().__init__()
        if size < 2 or hidden < 1 or blocks < 1 or not normalization > 0:
            fail(f"size={size}, hidden={hidden}, blocks={blocks}, normalization={normalization}", "positive, size at least 2",
                 "KernelFlow(4 * scale + 3, generator=g)")  # fmt: skip
        self.size, self.inputs = size, size * size
        self.register_buffer("alpha", torch.tensor([ALPHA]))
        self.register_buffer("normalization", torch.tensor([float(normalization)]))
        mask = (torch.arange(self.inputs) % 2).float()
        self.layers = nn.ModuleList()
        for block in range(blocks):
            self.layers += [Coupling(1 - mask if block % 2 else mask, hidden), FlowNorm(self.inputs)]
        if generator is not None:
            draw_weights(self, generator)

    def encode(self, k: Tensor) -> tuple[Tensor, Tensor]:
        """z (B, size^2) and log |det dz/dk| (B,) of kernels (B, 1, size, size). ValueError for a tap beyond `normalization`."""
        x, log_det = self._logits(k)
        return self._push(x, log_det)

    def _logits(self, k: Tensor) -> tuple[Tensor, Tensor]:
        if check_kernel(k).shape[-2:] != (self.size, self.size):
            fail(f"kernels of {tuple(k.shape[-2:])}", f"{self.size}x{self.size}", "use a flow of that size, or pad_kernel")
        share = self.alpha + (1 - 2 * self.alpha) * k.flatten(1) / self.normalization
        if not ((share > 0) & (share < 1)).all():
            fail(f"taps from {k.min():.3g} to {k.max():.3g}", f"0 to {self.normalization.item():.3g}, what the flow was made for",
                 "train a flow on a prior with such kernels")  # fmt: skip
        slope = torch.log((1 - 2 * self.alpha) / self.normalization) - torch.log(share) - torch.log1p(-share)
        return torch.logit(share), slope.sum(1)

    def _push(self, x: Tensor, log_det: Tensor | float = 0.0) -> tuple[Tensor, Tensor]:
        total = x.new_zeros(x.shape[0]) + log_det
        for layer in self.layers:
            x, part = layer(x)
            total = total + part
        return x, total

    def decode(self, z: Tensor) -> Tensor:
        """The exact inverse of `encode`: kernels (B, 1, size, size), of mass near 1, an empty tap down to about -alpha."""
        x = z
        for layer in reversed(self.layers):
            x = layer.inverse(x)  # type: ignore[operator]
        share = (torch.sigmoid(x) - self.alpha) / (1 - 2 * self.alpha)
        return (share * self.normalization).reshape(-1, 1, self.size, self.size)

    def log_prob(self, k: Tensor) -> Tensor:
        """log p(k), (B,), per unit of volume of the taps."""
        z, log_det = self.encode(k)
        return _log_normal(z) + log_det

    def forward(self, z: Tensor, centroid: tuple[float, float]) -> Tensor:
        """`decode(z)` on the simplex and with that centroid (rows, columns; px), (B, 1, size, size); differentiable."""
        share = self.decode(z) / self.normalization - EMPTY_TAP
        return hold_centroid(share.clamp(min=EMPTY_TAP**2).log(), centroid)


def _log_normal(z: Tensor) -> Tensor:
    return -0.5 * (z.square() + log(2 * pi)).sum(1)


@dataclass(frozen=True)
class FlowPrior(KernelPrior):
    """k = flow(z), z ~ N(0, I), at `centroid`: the prior that a trained `KernelFlow` has learned; size must be the flow's."""

    flow: KernelFlow | None = None

    def __post_init__(self) -> None:
        if self.flow is None or self.flow.size != self.size:
            got = "no flow" if self.flow is None else f"a flow of {self.flow.size}x{self.flow.size}"
            fail(f"{got} for kernels of {self.size}x{self.size}", "a KernelFlow of that size", "FlowPrior(flow.size, centroid, flow)")

    @torch.no_grad()
    def _draw(self, n: int, generator: torch.Generator) -> Tensor:
        assert self.flow is not None
        return self.flow(randn((n, self.flow.inputs), generator=generator, like=self.flow.normalization), self.centroid)


@dataclass(frozen=True)
class FlowTraining:
    """After `step` steps: minus the mean of log p(k) per tap of the batch, and its exponential mean (2% new each step)."""

    step: int
    loss: float
    mean_loss: float


class FlowTrainer:
    """Learner of `train_kernel_flow`, one Adam step a `step()`; `flow()` is what it has learned so far."""

    def __init__(
        self,
        prior: KernelPrior,
        *,
        hidden: int,
        blocks: int,
        steps: int,
        batch: int,
        pool: int,
        lr: float,
        jitter: float,
        generator: torch.Generator,
    ) -> None:
        self.prior, self.total_steps, self.batch, self.lr, self.jitter = prior, steps, batch, lr, jitter
        self._generator = check_generator(generator)
        kernels = prior.sample(pool, generator=self._generator)
        self.net = KernelFlow(prior.size, hidden=hidden, blocks=blocks, normalization=2 * kernels.max().item(), generator=self._generator)
        self._pool = self.net._logits(kernels)[0]
        self._optimizer = Adam(self.net.parameters(), lr, foreach=True)
        self._step, self._mean_loss = 0, 0.0

    def step(self) -> FlowTraining:
        """One batch, one step."""
        self._optimizer.param_groups[0]["lr"] = self.lr * (1 + cos(pi * min(1.0, self._step / self.total_steps))) / 2
        x = self._pool[torch.randint(len(self._pool), (self.batch,), generator=self._generator)]
        z, log_det = self.net.train()._push(x + self.jitter * randn(x.shape, generator=self._generator))
        loss = -(_log_normal(z) + log_det).mean() / self.net.inputs
        self._optimizer.zero_grad()
        loss.backward()
        self._optimizer.step()
        self._step += 1
        self._mean_loss += max(0.02, 1 / self._step) * (loss.item() - self._mean_loss)
        return FlowTraining(self._step, loss.item(), self._mean_loss)

    @torch.no_grad()
    def flow(self) -> KernelFlow:
        """A frozen copy whose running statistics are those of the whole pool."""
        flow = deepcopy(self.net).train()
        for layer in flow.layers:
            if isinstance(layer, FlowNorm):
                layer.momentum = 1.0
        noise = torch.Generator().set_state(self._generator.get_state())
        flow._push(self._pool + self.jitter * randn(self._pool.shape, generator=noise))
        return flow.eval().requires_grad_(False)

    def state_dict(self) -> dict[str, Any]:
        """Everything that `step` changes."""
        return {
            "net": deepcopy(self.net.state_dict()),
            "optimizer": deepcopy(self._optimizer.state_dict()),
            "generator": self._generator.get_state(),
            "plain": {"_step": self._step, "_mean_loss": self._mean_loss},
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from `state_dict()` of a trainer with the same arguments."""
        self.net.load_state_dict(state["net"])
        self._optimizer.load_state_dict(deepcopy(state["optimizer"]))
        self._generator.set_state(state["generator"])
        for name, value in state["plain"].items():
            setattr(self, name, value)


def train_kernel_flow(
    prior: KernelPrior,
    *,
    hidden: int = 15,
    blocks: int = 5,
    steps: int = 1500,
    batch: int = 64,
    pool: int = 4096,
    lr: float = 2e-3,
    jitter: float = 0.03,
    generator: torch.Generator,
) -> KernelFlow:
    """argmax over flows of the mean of log p(k) over `pool` kernels of the prior; Adam, cosine decay of `lr`.

    Kernels fill a thin surface (they sum to 1, Gaussians have three parameters), on which a density has no maximum: noise of
    std `jitter` on the logits gives it thickness. `normalization` is twice the largest tap. On a CPU, seconds to a minute. The
    flow returned is in eval mode, without gradients; `FlowPrior(prior.size, prior.centroid, flow)` hands it to a method.
    """
    trainer = FlowTrainer(
        prior, hidden=hidden, blocks=blocks, steps=steps, batch=batch, pool=pool, lr=lr, jitter=jitter, generator=generator
    )
    for _ in range(steps):
        trainer.step()
    return trainer.flow()


def flow_from_weights(weights: Mapping[str, Tensor]) -> KernelFlow:
    """A frozen flow, size, width and blocks read off the tensors' shapes; every tensor must fit."""
    first = weights.get("layers.0.scale_net.0.weight")
    if first is None or isqrt(first.shape[1]) ** 2 != first.shape[1]:
        fail(f"tensors {sorted(weights)[:3]} ...", "those of a KernelFlow", "for FKP's own files: load_kernel_flow(path, published=True)")
    assert first is not None
    blocks = sum(name.endswith("log_gamma") for name in weights)
    flow = KernelFlow(isqrt(first.shape[1]), hidden=first.shape[0], blocks=blocks)
    flow.load_state_dict(weights)
    return flow.eval().requires_grad_(False)


def load_kernel_flow(path_or_name: str | os.PathLike[str], *, published: bool = False) -> KernelFlow:
    """A frozen flow from a file that `save_weights` wrote, or, published=True, from one of FKP's (FKP_x2.pt, ..._x4.pt).

    Path and errors as in `restorekit.load_weights`. FKP's kernels have their centroid near -(s-1)/2, the grid of align='resize'.
    """
    return flow_from_weights(load_weights(path_or_name, published=published, rename=published_name if published else None))


def published_name(name: str) -> str | None:
    """The name here of a tensor of FKP's files; None for what follows from others (masks, size, base distribution)."""
    if name.endswith(".mask") or name in ("kernel_size", "base_dist_mean", "base_dist_var"):
        return None
    return re.sub(r"\bt_net\b", "shift_net", re.sub(r"\bs_net\b", "scale_net", re.sub(r"^net\.", "layers.", name)))


def shipped_kernel_flow(scale: int) -> KernelFlow:
    """Our flow for Gaussians of `scale` s = 1 to 4 (MLMC Sec. 5.1; 11x11 at x2): `restorekit weights train kernel_flow_x2`.

    Trained for half a CPU minute, it leans to the middle: nine tenths of its samples' eigen-variances lie within [0.5 s, 2.1 s]
    (s at least 2), of the Gaussians' own within about [0.3 s, 2.4 s].
    """
    return load_kernel_flow(shipped(f"kernel_flow_x{scale}"))
