"""KernelGAN (Bell-Kligler, Shocher and Irani, NeurIPS 2019): the kernel that makes reduced patches look like the picture's own."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.optim import Adam

from ..._check import fail
from ...kernels import KernelPrior, gaussian_kernel, pad_kernel, recenter
from ...nets import hold_centroid
from ...nets.kernel_gan import SPAN, LinearGenerator, patch_discriminator
from ...solvers import Result
from ..learner import BlindState
from .tv import generic_width, gradient
from .zssr import ZSSR

CROP = 64  # px of y that the generator reduces in one step
RATE = 2e-4  # of both Adams; a tenth in the second half
FIRST_PART = 0.4  # of the outer steps finds the kernel, the rest the picture
ROUNDS = 5  # GAN steps for each image step of a deep image prior, which costs more
WARM_STEPS = 100  # Adam steps that bring the generator from random weights to a guessed kernel
STRONGEST = 40  # taps that survive at the end, as in the paper; at scale 3 more, in proportion to the area
WEIGHTS = {"sum": 0.5, "border": 0.5, "sparse": 5.0, "center": 1.0}  # alpha, beta, gamma, delta


def kernel_losses(k: Tensor, center: tuple[float, float]) -> dict[str, Tensor]:
    """The paper's four terms on k (1, 1, n, n): |1 - sum k|; mean |k m|, m growing outside the middle; mean |k|^(1/2);
    |centroid - center|."""
    n = k.shape[-1]
    u = torch.arange(n, dtype=k.dtype, device=k.device) - n // 2
    far = 30 * (1 - torch.exp(-(u[:, None] ** 2 + u**2) / (2 * n**2))) * ((u.abs() > n // 3) | (u.abs() > n // 3)[:, None])
    mass = k.sum()
    centroid = torch.stack([(k * u[:, None]).sum(), (k * u).sum()]) / mass
    return {
        "sum": (1 - mass).abs(),
        "border": (k * far).abs().mean(),
        "sparse": (k.abs() + 1e-8).sqrt().mean(),
        "center": (centroid - k.new_tensor(center)).norm(),
    }


class KernelGAN(ZSSR):
    """min over G max over D: D tells 7x7 patches of y from those of G(y) = (y * k) down s; then x by `ZSSR` with that k.

    Losses: |D - 1| and |D| (L1), `kernel_losses` with the paper's WEIGHTS. The first FIRST_PART of the outer steps makes ROUNDS Q P
    GAN steps each, the rest trains ZSSR. What differs from the paper: G is applied through its impulse response (equal in
    value and gradient); it starts at a guessed Gaussian, not at the bicubic kernel; fewer steps, by the shared budget; scale 3 by a
    generator of stride 3, which the paper does not have. Scale 4 is the paper's: k_4 = k_2 * (k_2 with zeros between
    its taps). The kernel is cut to the prior's size and held at its centroid. Scale 1 has no patches to compare: ValueError.
    """

    _NETS = (*ZSSR._NETS, "generator_net", "discriminator")

    def __init__(self, y: Tensor, scale: int, prior: KernelPrior, **options: Any) -> None:
        self.factor = 2 if scale == 4 else scale
        least = SPAN + 6 * self.factor
        if scale == 1:
            fail("method='kernelgan' at scale 1", "2, 3 or 4: it compares patches of two sizes", "use method='mlmc', 'double_dip' or 'pam'")
        if min(y.shape[-2:]) < least:
            fail(f"y of {y.shape[-2]}x{y.shape[-1]} for KernelGAN", f"at least {least}x{least}", "use another method or a larger picture")
        super().__init__(y, scale, prior, kernel=torch.zeros_like(y[:1, :1]), **options)
        self._begin = max(1, round(FIRST_PART * self.settings.outer))
        make = {"generator": self._generator}
        self.generator_net = LinearGenerator(self.factor, **make).to(device=y.device, dtype=y.dtype)
        self.discriminator = patch_discriminator(y.shape[1], **make).to(device=y.device, dtype=y.dtype)
        share = 3 if scale == 4 else 1  # k_2 and its spread copy add up to 3 times its centroid
        self.center = (prior.centroid[0] / share, prior.centroid[1] / share)
        self._warm_up()
        for name, net in (("generator", self.generator_net), ("discriminator", self.discriminator)):
            self._optimizers[name] = Adam(net.parameters(), RATE, betas=(0.5, 0.999))
        self._energy = gradient(y).square().sum((1, 2), keepdim=True)[:, 0]  # crops are drawn where there is something to see
        self._kernel = self._finished()

    def _warm_up(self) -> None:
        std = generic_width(self.scale) / (5**0.5 if self.scale == 4 else 1)  # variance of k_4 = (1 + 4) that of k_2
        goal = gaussian_kernel(SPAN, std, shift=self.center, dtype=self._y.dtype, device=self._y.device)
        optimizer = Adam(self.generator_net.parameters(), 1e-3)
        for _ in range(WARM_STEPS):
            loss = (self.generator_net.kernel() - goal).square().sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    def _crop(self, side: int) -> Tensor:
        share = F.avg_pool2d(self._energy, side, stride=1)
        at = int(torch.multinomial((share + 1e-12).flatten().to(self._generator.device), 1, generator=self._generator))
        top, left = divmod(at, share.shape[-1])
        return self._y[..., top : top + side, left : left + side]

    def _fake(self) -> Tensor:
        return self.generator_net(self._crop(min(CROP, *self._y.shape[-2:])))

    def _gan_step(self) -> None:
        fake = self._fake()
        terms = kernel_losses(self.generator_net.kernel(), self.center)
        fooled = (self.discriminator(fake) - 1).abs().mean()
        self._descend("generator", fooled + sum(WEIGHTS[name] * term for name, term in terms.items()))
        real = self._crop(fake.shape[-1])
        told = (self.discriminator(real) - 1).abs().mean() + self.discriminator(self._fake().detach()).abs().mean()
        self._descend("discriminator", told / 2)

    def _descend(self, name: str, loss: Tensor) -> None:
        self._optimizers[name].zero_grad()
        loss.backward()
        self._optimizers[name].step()

    @torch.no_grad()
    def _finished(self) -> Tensor:
        """The generator's kernel: weak taps cut, carried to scale 4, on the prior's window and centroid."""
        k = self.generator_net.kernel()
        weak = k.flatten().sort(descending=True).values[STRONGEST * self.factor**2 // 4]
        k = (k - 0.75 * weak).clamp(min=0)
        k = k / k.sum()
        if self.scale == 4:  # ((y * k_2) down 2 * k_2) down 2 = (y * k_4) down 4
            spread = k.new_zeros(1, 1, 2 * SPAN - 1, 2 * SPAN - 1)
            spread[..., ::2, ::2] = k
            k = F.conv2d(F.pad(k, [2 * SPAN - 2] * 4), spread.flip(-2, -1))
        size, room = self.prior.size, (2 * k.shape[-1] + self.prior.size) // 2 * 2 + 1
        k = recenter(pad_kernel(k, room), self.prior.centroid)
        cut = (room - size) // 2
        return hold_centroid(k[..., cut : cut + size, cut : cut + size].clamp(min=1e-12).log(), self.prior.centroid)

    def step(self) -> BlindState:
        """One outer step: ROUNDS Q P of the GAN while the kernel is sought, then one of ZSSR."""
        if self._step >= self._begin:
            return super().step()
        for name in ("generator", "discriminator"):
            self._optimizers[name].param_groups[0]["lr"] = RATE * (1.0 if 2 * self._step < self._begin else 0.1)
        for _ in range(ROUNDS * self.image_steps):
            self._gan_step()
        self._kernel = self._finished()
        self._step += 1
        return self._observed()


def kernelgan(y: Tensor, scale: int, *, generator: torch.Generator, **options: Any) -> Result:
    """Kernel by an internal GAN, picture by `zssr` with that kernel: `super_resolve_blind` with method="kernelgan".

    y (1, C, h, w) in [0, 1], at least 25 px a side (31 at scale 3) -> `.image` (1, C, s h, s w), `.kernel` (1, 1, kh, kw); scales 2,
    3 and 4. options and errors as there. Source: Bell-Kligler, Shocher and Irani, "Blind Super-Resolution Kernel Estimation using
    an Internal-GAN", NeurIPS 2019. What differs: `KernelGAN`.
    """
    from ..blind import super_resolve_blind

    return super_resolve_blind(y, scale, method="kernelgan", generator=generator, **options)
