"""The reconstruction net of hyper-guidance for restoration: deconvolution, then a denoiser told the noise (Bilevel Sec. 4.1)."""

from __future__ import annotations

import os
from collections.abc import Mapping
from itertools import pairwise
from math import pi, sqrt

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .._check import check_choice, check_image, check_kernel, check_like, fail
from .._convolution import PADDINGS, transfer
from .._linear import conjugate_gradient
from ..operators import Blur
from ..weights import load_weights, read_metadata, shipped
from ._init import draw_weights
from .noise_map_denoiser import noise_level
from .proxy import UNIT, ProxyNet

LAYERS = {"tiny": 6, "general": 9}
LAM = 0.01  # the fixed weight of the slopes
PER_VARIANCE = 25.0  # lam / sigma^2 where sigma sets it; 50, 1 / (mean square slope of pictures), is best without a denoiser after it
LEVELS = (0.004, 0.007, 0.0125, 0.022, 0.04, 0.08)  # noise stds at which the blend solves
DETAIL, SIGMA_LEAST = 0.02, 0.005  # the net sees details as if the noise were 2%; SIGMA_LEAST: what the data step leaves without noise
_TOLERANCE = 1e-4


def deconvolve(y: Tensor, kernel: Tensor, lam: float | Tensor = LAM, *, padding: str = "circular") -> Tensor:
    """argmin_x 1/2 |x * k - y|^2 + lam/2 |D x|^2, D the differences to the right and below (Tikhonov; Bilevel Sec. 4.1's first step).

    circular: X = conj(K) Y / (|K|^2 + lam |D|^2) at each frequency. reflect, replicate, zero: conjugate gradients to a relative
    residual of 1e-4. y (B, C, H, W), kernel (1 or B, 1, kh, kw) whose entries do not sum to 0, lam > 0: a number or (B,).
    """
    A = Blur(check_kernel(kernel), padding)
    weight = torch.as_tensor(lam, dtype=y.dtype, device=y.device).reshape(-1, 1, 1, 1)
    if not (weight > 0).all():
        fail(f"lam={lam}", "a weight above 0", f"keep {LAM}")
    _check_mean(kernel)
    if padding == "circular":
        return _solve(torch.fft.rfft2(y), kernel, weight, (y.shape[-2], y.shape[-1]))
    return _weighted(A, y, 1 / weight)


def deconvolve_by_map(y: Tensor, kernel: Tensor, sigma: Tensor, *, padding: str = "circular") -> Tensor:
    """argmin_x 1/2 sum_p (x * k - y)(p)^2 / (c sigma(p)^2) + 1/2 |D x|^2, c = PER_VARIANCE: each pixel trusted as its noise allows.

    sigma (B or 1, 1, H or 1, W or 1), values outside LEVELS clipped. circular: a blend, exact for one of the LEVELS everywhere:
    solved in closed form at each of LEVELS as if it held everywhere, then at each pixel the two solutions next to sigma(p),
    weighted linearly in log sigma. A solution depends on what lies within some pixels of it, so the blend is off only
    where the level jumps. Otherwise: exact, by conjugate gradients, as in `deconvolve`.
    """
    _check_mean(kernel)
    sigma = sigma.clamp(LEVELS[0], LEVELS[-1])
    if padding != "circular":
        return _weighted(Blur(kernel, padding), y, 1 / (PER_VARIANCE * sigma**2))
    at = torch.as_tensor(LEVELS, dtype=y.dtype, device=y.device).log()
    spectrum, size = torch.fft.rfft2(y), (y.shape[-2], y.shape[-1])
    place = sigma.log()
    x = torch.zeros_like(y)
    for i, level in enumerate(LEVELS):
        weight = torch.ones_like(place)
        if i > 0:
            weight = torch.minimum(weight, (place - at[i - 1]) / (at[i] - at[i - 1]))
        if i + 1 < len(LEVELS):
            weight = torch.minimum(weight, (at[i + 1] - place) / (at[i + 1] - at[i]))
        x = x + weight.clamp_min(0) * _solve(spectrum, kernel, y.new_tensor(PER_VARIANCE * level**2), size)
    return x


def _check_mean(kernel: Tensor) -> None:
    if (check_kernel(kernel).sum((-2, -1)).abs() < 1e-6).any():
        fail("a kernel whose entries sum to 0", "one that passes the mean brightness", "use a blur kernel")


def _solve(spectrum: Tensor, kernel: Tensor, lam: Tensor, size: tuple[int, int]) -> Tensor:
    """The closed form, from the spectrum of y."""
    K = transfer(kernel, size)
    rows = torch.fft.fftfreq(size[0], device=kernel.device, dtype=kernel.dtype)
    columns = torch.fft.rfftfreq(size[1], device=kernel.device, dtype=kernel.dtype)
    slopes = 4 - 2 * torch.cos(2 * pi * rows[:, None]) - 2 * torch.cos(2 * pi * columns)  # |D|^2
    return torch.fft.irfft2(K.conj() * spectrum / (K.abs() ** 2 + lam * slopes), s=size)


def _weighted(A: Blur, y: Tensor, trust: Tensor) -> Tensor:
    """argmin_x 1/2 sum trust (A x - y)^2 + 1/2 |D x|^2 by conjugate gradients from y."""
    scale = trust.mean((1, 2, 3), keepdim=True)
    trust = trust / scale  # the residual is then measured in the units of a plain data term
    x, residual = conjugate_gradient(
        lambda p: A.adjoint(trust * A(p)) + laplacian(p) / scale, A.adjoint(trust * y), y, tol=_TOLERANCE, max_iter=2000
    )
    if not residual <= _TOLERANCE:
        got = f"a relative residual of {residual:.1e} after 2000 steps"
        raise RuntimeError(f"Got {got}. Allowed: {_TOLERANCE:.0e}. Fix: padding='circular', or a larger lam.")
    return x


def laplacian(x: Tensor) -> Tensor:
    """D^T D x = 4 x - the four neighbors, no slope across the border."""
    wide = F.pad(x, (1, 1, 1, 1), mode="replicate")
    around = wide[..., :-2, 1:-1] + wide[..., 2:, 1:-1] + wide[..., 1:-1, :-2] + wide[..., 1:-1, 2:]
    return 4 * x - around


class GuidedRestorer(nn.Module):
    """A^-1_omega(y; sigma): x0 = `deconvolve`(y, k), then x = x0 - r(x0, sigma), r a chain of 3x3 convolutions (Bilevel Eq. 1, Sec. 4.1).

    size: 'tiny' (6 convolutions) or 'general' (9), `features` maps, ReLU. guided: the first convolution sees the noise map beside the
    picture, and the picture's details (less its mean in 9x9 pixels) divided by sigma, so that a threshold of the net is one in units
    of noise; r is the last one's result times sigma + SIGMA_LEAST. Otherwise they see the picture alone, and r is their result.
    sigma_in_data: the map also sets the weight of the data step (`deconvolve_by_map`), which is the fixed LAM otherwise. unshuffle:
    the convolutions work on the four interleaved pictures of half the size (odd sides are mirrored to even).
    forward(y, kernel, sigma): y (B, channels, H, W), kernel (1 or B, 1, kh, kw), sigma std of the noise in [0, 1] units, a
    number, (B,) or a map (B or 1, 1, H, W), of which negative parts count as 0; None if and only if the net is not guided.
    padding: what the blur saw beyond the border. Result in y's shape. Weights from `generator`, the last convolution 0: x = x0.
    Raises ValueError for another size, other channels or shapes, a map that is missing or not asked for.
    """

    def __init__(
        self,
        channels: int = 1,
        size: str = "tiny",
        guided: bool = True,
        sigma_in_data: bool = False,
        unshuffle: bool = True,
        *,
        features: int = 48,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        check_choice(size, LAYERS, "size")
        if min(channels, features) < 1 or (sigma_in_data and not guided):
            got = f"channels={channels}, features={features}, guided={guided}, sigma_in_data={sigma_in_data}"
            fail(got, "1 or more; sigma_in_data only where guided", "keep the defaults")
        self.channels, self.size, self.guided, self.sigma_in_data = channels, size, guided, sigma_in_data
        self.block = 2 if unshuffle else 1
        ends = channels * self.block**2
        sizes = pairwise([ends + guided * (ends + 1), *[features] * (LAYERS[size] - 1), ends])
        convs = [nn.Conv2d(a, b, 3, padding=1) for a, b in sizes]
        self.body = nn.Sequential(*(part for conv in convs[:-1] for part in (conv, nn.ReLU())), convs[-1])
        draw_weights(self, generator)
        with torch.no_grad():
            for conv in convs[:-1]:  # as in NoiseMapDenoiser: the variance of signals is held
                conv.weight *= sqrt(6)
            for p in convs[-1].parameters():  # training starts from the data step
                p.zero_()

    def forward(self, y: Tensor, kernel: Tensor, sigma: float | Tensor | None = None, *, padding: str = "circular") -> Tensor:
        """y without its blur and noise."""
        check_like(check_image(y, "y", self.channels), next(self.parameters()), "y", "the net")
        check_choice(padding, PADDINGS, "padding")
        if (sigma is None) == self.guided:
            fail(f"sigma={sigma} for guided={self.guided}", "a noise level for a guided net, none otherwise", "see GuidedRestorer.guided")
        level = None if sigma is None else noise_level(y, torch.as_tensor(sigma, dtype=y.dtype, device=y.device).clamp_min(0))
        if level is not None and self.sigma_in_data:
            x0 = deconvolve_by_map(y, kernel, level, padding=padding)
        else:
            x0 = deconvolve(y, kernel, padding=padding)
        return x0 - self._noise(x0, level)

    def _noise(self, x0: Tensor, level: Tensor | None) -> Tensor:
        """r(x0, sigma)."""
        H, W = x0.shape[-2:]
        even = (0, W % self.block, 0, H % self.block)
        picture = F.pad(x0, even, mode="reflect")
        if level is None:
            return F.pixel_shuffle(self.body(F.pixel_unshuffle(picture, self.block)), self.block)[..., :H, :W]
        sigma = F.pad(level.expand(x0.shape[0], 1, H, W), even, mode="replicate")
        details = (picture - F.avg_pool2d(picture, 9, 1, 4, count_include_pad=False)) * (DETAIL / (sigma + SIGMA_LEAST))
        told = F.avg_pool2d(sigma, self.block) / UNIT
        b = self.body(torch.cat([*(F.pixel_unshuffle(v, self.block) for v in (picture, details)), told], 1))
        return ((sigma + SIGMA_LEAST) / UNIT * F.pixel_shuffle(b, self.block))[..., :H, :W]


def load_guided(
    size: str = "tiny", *, guided: bool = True, sigma_in_data: bool = False, path: str | os.PathLike[str] | None = None
) -> tuple[GuidedRestorer, ProxyNet | None]:
    """The trained gray net that ships with the package, and its proxy (None if it is not guided): CPU, float32, no gradients.

    path: another file of `python -m restorekit weights train`, which then says itself what net it holds. What each was trained on
    stands in the JSON beside it. Raises FileNotFoundError for weights that are not there.
    """
    check_choice(size, LAYERS, "size")
    file = shipped(weights_name(size, guided=guided, sigma_in_data=sigma_in_data)) if path is None else path
    about, tensors, generator = read_metadata(file), load_weights(file), torch.Generator().manual_seed(0)
    kind = {name: about[name] for name in ("size", "guided", "sigma_in_data", "features")}
    net = GuidedRestorer(1, **kind, generator=generator)
    net.load_state_dict(part(tensors, "net"))
    net.eval().requires_grad_(False).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if not net.guided:
        return net, None
    proxy = ProxyNet("noise", 1, closed_form=True, generator=generator)
    proxy.load_state_dict(part(tensors, "proxy"))
    return net, proxy.eval().requires_grad_(False)


def weights_name(size: str = "tiny", *, guided: bool = True, sigma_in_data: bool = False) -> str:
    """The name under which weights ship: guided_tiny, unguided_general, guided_data_tiny ..."""
    return f"{'guided' if guided else 'unguided'}{'_data' if sigma_in_data else ''}_{size}"


def part(tensors: Mapping[str, Tensor], owner: str) -> dict[str, Tensor]:
    """The tensors of one of several nets in a file, their names without its own: 'net.body.0.bias' -> 'body.0.bias'."""
    return {name.removeprefix(f"{owner}."): value for name, value in tensors.items() if name.startswith(f"{owner}.")}
