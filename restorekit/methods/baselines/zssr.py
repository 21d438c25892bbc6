"""Zero-shot super-resolution (Shocher, Cohen and Irani, CVPR 2018): a small net that learns from the picture alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Adam

from ..._check import check_generator, check_image, check_like, check_probability, check_scale
from ..._random import randn
from ...kernels import GaussianPrior, KernelPrior, kernel_moments
from ...nets._init import draw_weights
from ...operators import BlurDown
from ...solvers import Result, run
from ..learner import BlindLearner, BlindState
from ..mlmc_presets import preset_settings
from .bicubic import bicubic

RATE = 1e-3  # of Adam at the start; it falls linearly to END of it
END = 0.01
CROP = 64  # px: side of what one step learns from
WIDTH = 64  # channels; fewer where the settings give the image net of the other methods fewer
STEPS = 2  # for each image step of a deep image prior, which costs more


class ZSSRNet(nn.Module):
    """x = v + net(v): eight 3x3 convolutions with ReLU between, v (B, C, H, W) an aligned bicubic enlargement."""

    def __init__(self, channels: int, width: int = WIDTH, *, generator: torch.Generator) -> None:
        super().__init__()
        widths = [channels, *[width] * 7, channels]
        convs = [nn.Conv2d(a, b, 3, padding=1, padding_mode="reflect") for a, b in zip(widths[:-1], widths[1:], strict=True)]
        self.layers = nn.Sequential(*[layer for conv in convs for layer in (conv, nn.ReLU(inplace=True))][:-1])
        draw_weights(self, generator)
        with torch.no_grad():  # torch's own scale fades away over eight layers; the last one starts at the enlargement
            for conv in convs[:-1]:
                conv.weight.mul_(6**0.5)  # He et al. 2015
            for p in convs[-1].parameters():
                p.zero_()

    def forward(self, v: Tensor) -> Tensor:
        return v + self.layers(v)


class ZSSR(BlindLearner):
    """min over phi of |f(up(A t + n); phi) - t|_1, t a turned or mirrored y, A t = (t * k) down s: y's own pairs; x = f(up(y); phi).

    k is given (`zssr`) or found first (`KernelGAN`); it keeps its direction while t turns, because y at the end has the
    direction it has. n: noise of std `sigma`, if that is known. An outer step makes STEPS Q P steps of Adam on crops. What
    differs from the paper: no fathers of other sizes, no gradual enlargement, a fixed fall of the step size, no median over
    turned pictures (which needs a symmetric kernel); back-projection is the closing data step of all methods here.
    """

    _NETS: tuple[str, ...] = ("net",)
    _TENSORS: tuple[str, ...] = (*BlindLearner._TENSORS, "_kernel")

    def __init__(self, y: Tensor, scale: int, prior: KernelPrior, *, kernel: Tensor, **options: Any) -> None:
        super().__init__(y, scale, prior, **options)
        self._kernel, self._up = kernel, bicubic(y, scale, align=prior.centroid)
        net = ZSSRNet(y.shape[1], min(WIDTH, self.settings.channels), generator=self._generator)
        self.net = net.to(device=y.device, dtype=y.dtype)
        self._optimizers["net"] = Adam(self.net.parameters(), RATE)
        self._begin = 0  # outer step at which the net begins to learn

    def kernel(self) -> Tensor:
        """The kernel that pairs are made with."""
        return self._kernel

    def pair(self) -> tuple[Tensor, Tensor]:
        """An enlarged son and its father, each (1, C, n, n): the same crop of both."""
        turns, flip, row, column = (self._generator_int(n) for n in (4, 2, 1 << 30, 1 << 30))
        father = torch.rot90(self._y, turns, (-2, -1))
        father = father.flip(-1) if flip else father
        son = BlurDown(self._kernel, self.scale, self.padding)(father)
        son = son + (self.sigma or 0.0) * randn(son.shape, generator=self._generator, like=son)
        up = bicubic(son, self.scale, align=self.prior.centroid, size=(father.shape[-2], father.shape[-1]))
        h, w = (min(CROP, n) for n in father.shape[-2:])
        top, left = row % (father.shape[-2] - h + 1), column % (father.shape[-1] - w + 1)
        return up[..., top : top + h, left : left + w], father[..., top : top + h, left : left + w]

    def _generator_int(self, n: int) -> int:
        g = self._generator
        return int(torch.randint(n, (), generator=g, device=g.device))

    def step(self) -> BlindState:
        """One outer step: STEPS Q P steps on the net, then its enlargement of y."""
        share = (self._step - self._begin) / max(1, self.settings.outer - self._begin)
        self._optimizers["net"].param_groups[0]["lr"] = RATE * (1 - (1 - END) * share)
        for _ in range(STEPS * self.image_steps):
            up, father = self.pair()
            loss = F.l1_loss(self.net(up), father)
            self._optimizers["net"].zero_grad()
            loss.backward()
            self._optimizers["net"].step()
        self._step += 1
        with torch.no_grad():
            self._keep(self.net(self._up))
        return self._observed()

    @torch.no_grad()
    def _observed(self) -> BlindState:
        """The snapshot, with the misfit and noise that picture and kernel leave in y."""
        residual = self._y - BlurDown(self.kernel(), self.scale, self.padding)(self._x)
        self._variance = self._noise_variance(residual)
        return self.snapshot(residual.square().sum().item())


def zssr(
    y: Tensor,
    scale: int,
    *,
    kernel: Tensor,
    generator: torch.Generator,
    steps: int | None = None,
    preset: str = "quick",
    padding: str = "reflect",
    sigma: float | None = None,
    callback: Callable[[int, BlindState], None] | None = None,
    progress: bool = False,
) -> Result:
    """x with y = (x * k) down s + n for a known k, by a net trained on y and its own reduction by k.

    y (1, C, h, w) in [0, 1]; kernel (1, 1, kh, kw), k >= 0 with sum 1, whose centroid is the grid of the result; `.image`
    (1, C, s h, s w), `.kernel` the one given. steps: of Adam, by default what the preset affords; sigma: noise std if known.
    Ends with the data step of all methods here. Raises ValueError or TypeError for bad input. Source: Shocher, Cohen and Irani,
    "Zero-Shot Super-Resolution using Deep Internal Learning", CVPR 2018. What differs: `ZSSR`.
    """
    from ..blind import RECORD, finish

    check_image(y, "y")
    check_like(check_probability(kernel), y, "kernel", "y")
    settings = preset_settings(preset)
    if steps is not None:
        settings = replace(settings, outer=max(1, round(steps / (STEPS * settings.meta_steps * settings.image_steps))))
    row, column = kernel_moments(kernel)[1][0].tolist()
    grid = GaussianPrior(kernel.shape[-1], (row, column))  # names size and centroid; nothing is drawn from it
    learner = ZSSR(
        y, check_scale(scale), grid, kernel=kernel, settings=settings, padding=padding, sigma=sigma, generator=check_generator(generator)
    )
    return finish(learner, run(learner, learner.total_steps, record=RECORD, callback=callback, progress=progress))
