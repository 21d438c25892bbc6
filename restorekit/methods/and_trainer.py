"""AND training (Luo, Wu, Guo, NeurIPS 2023, Sec. 3.4, Fig. 2): a restorer against degradations that are searched to hurt it.

min over G of E [max over F in S of L_cont(x, G(F(x)))] + lambda max over D of E [max over F in S of L_GAN]   (AND Eq. 1)

One loop for ANDNet, ANDGAN and their competitors, which differ in the degrader alone; for one process or several (`torchrun`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.optim import Adam

from .._check import check_choice, fail
from .._patches import random_patches
from .._processes import process
from .._random import keyed_generator, rand
from ..nets.discriminator import discriminator_loss, generator_loss
from ._training import ResumableTrainer
from .baselines.bicubic import bicubic_downsample
from .degraders import Degrader

CONSTANT = 0.8  # share of the steps at the full step size
Loss = Callable[[Tensor, Tensor], Tensor]  # (restored, x) -> number


@dataclass(frozen=True)
class ANDState:
    """After `step` steps: mean |G(y) - x| of the batch and its exponential mean (1% new each step), in gray levels of 255;
    loss_d, the discriminator's loss (0 without one)."""

    step: int
    loss: float
    mean_loss: float
    loss_d: float


class ANDTrainer(ResumableTrainer):
    """A learner (`solvers.run`) whose `step` is one step of AND Fig. 2 on `batch` crops x of the pictures.

    (a) The batch is cut in `nets` chunks; each has its own identity net. (b) y = degrader(x, G, generator=) with G frozen; a share
    `clean_share` of the crops is only reduced by bicubic interpolation. (c) Adam on L = |G(y) - x|_1 + feature_loss(G(y), x)
    (AND Eq. 2) and, for loss="gan", + gan_weight `generator_loss`(D(G(y))), G's part of Eq. 3; the adversary ascends the same L.
    (d) Adam on `discriminator_loss`(D(x), D(G(y))), G(y) from before (c). ANDNet is loss="l1" alone; ANDGAN starts from ANDNet's G.

    G: a restorer with `scale`, such as `nets.RRDB`. pixels: pictures (C, H, W) of uint8. The step size is lr for 80% of `steps`, then
    falls linearly to 0; `average` (what is kept) is G, and meanwhile its exponential mean with weight `ema`. G and the
    discriminator are trained in place, on `device`.
    All randomness is drawn anew from (seed, step, chunk), so that a resumed run is exact, bitwise on a CPU; under torch.distributed
    every process takes its share of the chunks and the gradients are averaged: the losses of one process, to rounding.
    Raises ValueError for a batch that `nets` does not divide, more processes than chunks, shares outside [0, 1], loss="gan" without
    a discriminator or the reverse, pictures smaller than `patch`.
    """

    _CONSTANT = CONSTANT
    _NETS = {"G": "G", "average": "average", "D": "discriminator"}

    def __init__(
        self,
        G: nn.Module,
        pixels: Sequence[Tensor],
        degrader: Degrader,
        *,
        steps: int,
        batch: int = 16,
        patch: int = 64,
        nets: int = 4,
        lr: float = 5e-4,
        seed: int = 0,
        loss: str = "l1",
        discriminator: nn.Module | None = None,
        feature_loss: Loss | None = None,
        gan_weight: float = 0.1,
        ema: float = 0.99,
        clean_share: float = 0.0,
        device: torch.device | str = "cpu",
    ) -> None:
        self.total_steps, self.batch, self.patch, self.nets, self.lr, self.seed = steps, batch, patch, nets, lr, seed
        self.loss, self.gan_weight, self.ema, self.clean_share = loss, gan_weight, ema, clean_share
        self._check(discriminator)
        self.G, self.discriminator, self.feature_loss = G.to(device).requires_grad_(True), discriminator, feature_loss
        self.degrader, self._pixels, self._scale = degrader, pixels, int(G.scale)  # type: ignore[arg-type]
        self.average = deepcopy(self.G).requires_grad_(False)
        self._optimizers = {"G": Adam(self.G.parameters(), lr)}
        if discriminator is not None:
            self._optimizers["D"] = Adam(discriminator.to(device).requires_grad_(True).parameters(), lr)
        self._step, self._mean_loss, self._seconds = 0, 0.0, 0.0

    def _check(self, discriminator: nn.Module | None) -> None:
        check_choice(self.loss, ("l1", "gan"), "loss")
        if (self.loss == "gan") != (discriminator is not None):
            fail(f"loss={self.loss!r} and discriminator={type(discriminator).__name__}", "both or neither", "loss='gan', discriminator=D")
        if self.total_steps < 1 or self.nets < 1 or self.batch < 1 or self.batch % self.nets:
            got = f"steps={self.total_steps}, batch={self.batch}, nets={self.nets}"
            fail(got, "1 or more of each, batch a multiple of nets", "batch=16, nets=4")
        if not (self.lr > 0 and 0 <= self.ema < 1 and 0 <= self.clean_share <= 1 and self.gan_weight >= 0):
            got = f"lr={self.lr}, ema={self.ema}, clean_share={self.clean_share}, gan_weight={self.gan_weight}"
            fail(got, "lr > 0, ema in [0, 1), clean_share in [0, 1], gan_weight >= 0", "keep the defaults")
        if (processes := process()[1]) > self.nets:
            fail(f"{processes} processes for nets={self.nets}", "at most one for each chunk", "more nets or fewer processes")

    def step(self) -> ANDState:
        """One batch, one step of G (and of D)."""
        start = time.process_time()
        for optimizer in self._optimizers.values():
            optimizer.zero_grad()
            optimizer.param_groups[0]["lr"] = self.lr * self._rate()
        rank, processes = process()
        losses = torch.stack([self._chunk(i) for i in range(rank, self.nets, processes)]).sum(0)
        if processes > 1:
            losses = self._sum_over_processes(losses)
        for optimizer in self._optimizers.values():
            optimizer.step()
        self._step += 1
        self._follow(self.G)
        loss, loss_d = losses.tolist()
        self._mean_loss += max(0.01, 1 / self._step) * (loss - self._mean_loss)
        self._seconds += time.process_time() - start
        return ANDState(self._step, loss, self._mean_loss, loss_d)

    def _chunk(self, index: int) -> Tensor:
        """Adds one chunk's share to the gradients; its share of the losses, (255 |G(y) - x|, loss of D)."""
        x, y = self.pairs(index)
        D = self.discriminator
        with _frozen(D):
            restored = self.G(y)
            (self._objective(restored, x) / self.nets).backward()
        l1 = 255 * (restored.detach() - x).abs().mean()
        if D is None:
            return torch.stack([l1, torch.zeros_like(l1)]) / self.nets
        loss_d = discriminator_loss(D(x), D(restored.detach()))
        (loss_d / self.nets).backward()
        return torch.stack([l1, loss_d.detach()]) / self.nets

    def pairs(self, index: int) -> tuple[Tensor, Tensor]:
        """(a) and (b): x and y of chunk `index` in the step to come."""
        generator = keyed_generator(self.seed, self._step, index)
        count = self.batch // self.nets
        x = random_patches(self._pixels, count, self.patch, generator=generator).to(next(self.G.parameters()))
        clean = (rand((count,), generator=generator) < self.clean_share).to(x.device)
        y = bicubic_downsample(x, self._scale)
        if not clean.all():
            with _frozen(self.G, self.discriminator):
                worse = x[~clean]
                y[~clean] = self.degrader(worse, self.G, generator=generator, loss=self._against(worse)).detach()
        return x, y

    def _against(self, x: Tensor) -> Callable[[Tensor], Tensor] | None:
        """What the adversary ascends, as a function of y; None where it is the degraders' own, |G(y) - x|_1."""
        if self.discriminator is None and self.feature_loss is None:
            return None
        return lambda y: self._objective(self.G(y), x)

    def _objective(self, restored: Tensor, x: Tensor) -> Tensor:
        """What G descends: AND Eq. 2 and, with a discriminator, lambda times G's part of Eq. 3."""
        loss = (restored - x).abs().mean()
        if self.feature_loss is not None:
            loss = loss + self.feature_loss(restored, x)
        if self.discriminator is not None:
            loss = loss + self.gan_weight * generator_loss(self.discriminator(restored))
        return loss

    def _sum_over_processes(self, losses: Tensor) -> Tensor:
        """Gradients and losses summed over all processes (each chunk's share is already divided by their number)."""
        gradients = [p.grad for o in self._optimizers.values() for p in o.param_groups[0]["params"]]
        flat = torch.cat([losses.to(gradients[0]), *(g.flatten() for g in gradients)])
        dist.all_reduce(flat)
        parts = flat.split([losses.numel(), *(g.numel() for g in gradients)])
        for gradient, part in zip(gradients, parts[1:], strict=True):
            gradient.copy_(part.view_as(gradient))
        return parts[0]

    def weights(self) -> dict[str, Tensor]:
        """The averaged weights, those to keep."""
        return self.average.state_dict()


@contextmanager
def _frozen(*nets: nn.Module | None) -> Iterator[None]:
    """No gradients for the weights of these nets: what passes through them costs less and leaves nothing behind."""
    held = [p for net in nets if net is not None for p in net.parameters()]
    for p in held:
        p.requires_grad_(False)
    try:
        yield
    finally:
        for p in held:
            p.requires_grad_(True)
