"""Restoration led by a noise map in one call, with the kernel given or found (Bilevel Sec. 4.1, 5.2)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .._check import check_choice, check_image, check_kernel, check_like, fail
from ..degradations import estimate_sigma
from ..nets.guided import load_guided
from ..nets.noise_map_denoiser import noise_level
from .blind import super_resolve_blind
from .learner import BlindState

GUIDES = ("proxy", "classical", "both")
WINDOW = 25  # px: in which the closed form averages


@dataclass(frozen=True)
class GuidedResult:
    """What `restore_guided` hands back: the picture (B, C, H, W), the kernel that was used, the noise map (B, 1, H, W) that led."""

    image: Tensor
    kernel: Tensor
    sigma: Tensor


@torch.no_grad()
def guidance_map(y: Tensor, proxy: nn.Module | None = None, guide: str = "proxy", *, window: int = WINDOW) -> Tensor:
    """The std of the noise at each pixel of y (B, C, H, W), estimated from y: (B, 1, H, W), at least 0.

    guide: 'proxy', H_theta (Bilevel Eq. 4) of each channel, averaged; 'classical', the closed form (`estimate_sigma`) in windows
    of `window` pixels, smaller where the picture is; 'both', their mean. The default erred least on the held-out pictures of its
    training (record of `guided_tiny`). proxy: a net such as `load_guided` gives, not used by
    'classical'. ValueError for another guide, a missing proxy, sides below 4.
    """
    check_choice(guide, GUIDES, "guide")
    check_image(y, "y")
    if min(y.shape[-2:]) < 4:
        fail(f"y of {y.shape[-2]}x{y.shape[-1]}", "sides of 4 and more", "use a larger picture")
    maps = []
    if guide != "classical":
        if proxy is None:
            fail(f"guide={guide!r} without a proxy", "a proxy, or guide='classical'", "net, proxy = load_guided()")
        else:
            maps.append(proxy(y.reshape(-1, 1, *y.shape[-2:])).reshape(y.shape).mean(1, keepdim=True))
    if guide != "proxy":
        widest = 2 * min(y.shape[-2:]) - 5
        maps.append(estimate_sigma(y, window=min(window, widest)))
    return torch.stack(maps).mean(0).clamp_min(0)


def restore_guided(
    y: Tensor,
    kernel: Tensor | None = None,
    *,
    size: str = "tiny",
    guide: str = "proxy",
    sigma: float | Tensor | None = None,
    sigma_in_data: bool = False,
    padding: str = "reflect",
    preset: str = "quick",
    generator: torch.Generator | None = None,
    callback: Callable[[int, BlindState], None] | None = None,
) -> GuidedResult:
    """x with y = x * k + n, led by a map of the noise that is read off y (Bilevel Eq. 1): data step, then the shipped guided net.

    y (B, C, H, W) in [0, 1]; more channels than one are restored one by one with one map. kernel (1 or B, 1, kh, kw); None: found by MLMC
    (`super_resolve_blind` at scale 1, with its `preset`, `generator` and `callback`), for one picture. guide: `guidance_map`. sigma:
    the std of the noise, a number, (B,) or a map, if it is known; the guide is then not asked. size: 'tiny' or 'general';
    sigma_in_data: the net whose data step follows the map too. padding: what the blur saw beyond the border. Not clipped.
    Raises ValueError or TypeError for bad input, FileNotFoundError for weights that are not there.
    """
    net, proxy = load_guided(size, sigma_in_data=sigma_in_data)
    net.to(check_image(y, "y"))
    k = _found(y, generator, preset, padding, callback) if kernel is None else check_like(check_kernel(kernel), y, "kernel", "y")
    level = guidance_map(y, proxy and proxy.to(y), guide) if sigma is None else noise_level(y, sigma)
    b, c, h, w = y.shape
    level = level.expand(b, 1, h, w)
    kernels = k if k.shape[0] == 1 else k.repeat_interleave(c, 0)
    with torch.no_grad():
        x = net(y.reshape(-1, 1, h, w), kernels, level.repeat_interleave(c, 0), padding=padding).reshape(y.shape)
    return GuidedResult(x, k, level)


def _found(
    y: Tensor, generator: torch.Generator | None, preset: str, padding: str, callback: Callable[[int, BlindState], None] | None
) -> Tensor:
    """The kernel by MLMC."""
    if generator is None:
        fail("neither kernel nor generator", "a kernel, or a generator for the search of one", "kernel=k, or generator=g")
        raise AssertionError
    return super_resolve_blind(y, 1, preset=preset, padding=padding, generator=generator, callback=callback).kernel
