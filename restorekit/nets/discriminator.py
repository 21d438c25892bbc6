"""The discriminator D and the two sides of the GAN loss (AND Eq. 3)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .._check import check_image, check_like, fail
from ._init import draw_weights

_SLOPE = 0.2
_HIDDEN = 100  # of the last layers, as in ESRGAN
_SQUARINGS = 6  # of W W^T: the second singular value is left with (s2 / s1)^128 of its share
_GAIN = 2.0  # signals keep their size: a fresh weight's singular values lie well below the largest, LeakyReLU halves the power


class Discriminator(nn.Module):
    """D(x) = head(mean over places of convs(2x - 1)), one logit for each picture: above 0 for real, below for restored.

    x (B, channels, H, W) in [0, 1], sides from 2^levels -> (B,). `levels` pairs of convolutions, the first 3x3, the second 4x4
    with stride 2, with `features`, twice, 4 and 8 times as many maps, LeakyReLU of slope 0.2, then two linear layers: the
    discriminator of ESRGAN (Wang et al. 2018, after VGG, with which AND Sec. 3.4 trains), with two changes. The mean over places
    lets it take any size; ESRGAN's takes 128x128. Each convolution has its weight divided by the weight's largest singular value
    and multiplied by 2 (`spectral_norm`, Miyato et al. 2018) instead of batch normalization: a logit depends on its own
    picture alone, and there is no state but the weights. Weights are drawn from `generator`.
    Raises ValueError for smaller pictures, another number of channels or device, TypeError for another dtype than the net's.
    """

    def __init__(self, channels: int = 3, *, features: int = 64, levels: int = 5, generator: torch.Generator) -> None:
        super().__init__()
        if min(channels, features, levels) < 1:
            fail(f"channels={channels}, features={features}, levels={levels}", "1 or more of each", "keep the defaults")
        self.channels, self.least = channels, 2**levels
        self.convs = nn.ModuleList()
        before = channels
        for level in range(levels):
            n = features * min(2**level, 8)
            self.convs += [nn.Conv2d(before, n, 3, padding=1), nn.Conv2d(n, n, 4, stride=2, padding=1)]
            before = n
        self.head = nn.Sequential(nn.Linear(before, _HIDDEN), nn.LeakyReLU(_SLOPE, inplace=True), nn.Linear(_HIDDEN, 1))
        draw_weights(self, generator)

    def forward(self, x: Tensor) -> Tensor:
        """The logit of each picture."""
        check_image(x, "x", self.channels)
        check_like(x, next(self.parameters()), "x", "the net")
        if min(x.shape[-2:]) < self.least:
            fail(f"x of {x.shape[-2]}x{x.shape[-1]}", f"sides from {self.least}", "larger patches, or a Discriminator with fewer levels")
        v = 2 * x - 1
        for conv in self.convs:
            assert isinstance(conv, nn.Conv2d)
            weight = conv.weight * (_GAIN / spectral_norm(conv.weight))
            v = F.leaky_relu_(F.conv2d(v, weight, conv.bias, conv.stride, conv.padding), _SLOPE)
        return self.head(v.mean((-2, -1))).flatten()


def spectral_norm(weight: Tensor) -> Tensor:
    """The largest singular value s of a weight (outputs, ...) as a matrix W with one row for each output.

    s = |W^T u|, u the dominant eigenvector of W W^T by repeated squaring, held fixed for the gradient (which is then u v^T).
    It is computed anew each time: no power iteration is carried from step to step, so that a resumed training, or one shared by
    several processes, is the same training.
    """
    W = weight.flatten(1)
    with torch.no_grad():
        power = W @ W.T
        for _ in range(_SQUARINGS):
            power = power / torch.linalg.matrix_norm(power).clamp_min(torch.finfo(power.dtype).tiny)
            power = power @ power
        u = power[:, int(power.diagonal().argmax())]
        u = u / u.norm().clamp_min(torch.finfo(u.dtype).tiny)
    return (u @ W).norm().clamp_min(torch.finfo(W.dtype).eps)


def printed_gan_loss(real: Tensor, fake: Tensor) -> Tensor:
    """L_GAN = mean log D(I) - mean log D(G(F(I))), AND Eq. 3 to the letter, D = sigmoid(logit); Eq. 1 lets D maximize it.

    real, fake: logits, any shape -> a scalar. For G, which minimizes it, this is the usual non-saturating loss: `generator_loss`.
    For D it is not a usable loss: both terms have the right sign, but the second has no upper bound (log D(fake) -> -inf), its
    maximum is at D = 0 wherever restored pictures are more frequent than real ones however little, and its gradient in a fake
    logit l is sigmoid(-l): strongest on the fakes that D has long recognized, vanishing on those that deceive it. With
    log(1 - D(fake)) in its place, as in SRGAN, which AND cites there, all three are as they should be: `discriminator_loss`.
    """
    return F.logsigmoid(real).mean() - F.logsigmoid(fake).mean()


def discriminator_loss(real: Tensor, fake: Tensor) -> Tensor:
    """-mean log D(I) - mean log(1 - D(G(F(I)))), what D minimizes: binary cross entropy with logits, real 1 and restored 0.

    real, fake: logits of real and restored pictures, any shape -> a scalar >= 0, 2 log 2 at logits of 0. Its best D is
    p / (p + q) for frequencies p of real and q of restored pictures (Goodfellow et al. 2014). Detach the restored pictures.
    """
    return F.softplus(-real).mean() + F.softplus(fake).mean()


def generator_loss(fake: Tensor) -> Tensor:
    """-mean log D(G(F(I))), what G minimizes (and the degradation net F maximizes): the part of AND Eq. 3 that depends on G.

    fake: logits of restored pictures, any shape -> a scalar >= 0. It does not saturate: its gradient is largest where D is sure
    that the picture is restored.
    """
    return F.softplus(-fake).mean()
