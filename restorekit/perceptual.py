"""Scores of pictures by trained or fitted models of perception, from optional packages: LPIPS and NIQE.

Neither comes with restorekit, nor do their models, which the packages fetch on first use.
"""

from __future__ import annotations

import warnings
from functools import lru_cache
from importlib import import_module
from typing import Any

import torch
from torch import Tensor

from ._check import check_choice, check_image, check_like, fail

_LPIPS_LEAST = 31  # AlexNet's third convolution then still has one pixel
_NIQE_BLOCK = 96  # NIQE's features are of blocks of this side
_LUMA = (0.299, 0.587, 0.114)  # full range, as NIQE's authors convert; `metrics.luma` has the studio range of the PSNR tables


def lpips(x: Tensor, ref: Tensor, *, net: str = "alex") -> Tensor:
    """LPIPS = sum_l mean_p |w_l (u_l(x) - u_l(ref))[p]|^2, u_l the unit-length features of layer l (Zhang et al. 2018). Low is good.

    x (B, C, H, W) in [0, 1], C 1 (repeated) or 3, ref the same or (1, C, H, W), sides from 31 -> (B,) float64, no gradient. As in
    `psnr` both are clipped and rounded to 8 bit first; no border is cropped. net: 'alex', the version that tables show, or 'vgg'.
    By the authors' package lpips, version 0.1 of its weights: pip install "restorekit[lpips]". On first use torchvision
    downloads the net. Raises ImportError without the package, ValueError for unequal or small pictures.
    """
    check_choice(net, ("alex", "vgg"), "net")
    check_like(check_image(x), check_image(ref, "ref"), "x", "ref")
    if x.shape[1:] != ref.shape[1:] or ref.shape[0] not in (1, x.shape[0]) or x.shape[1] not in (1, 3):
        fail(f"x of {tuple(x.shape)} and ref of {tuple(ref.shape)}", "equal sizes with 1 or 3 channels", "crop both alike")
    if min(x.shape[-2:]) < _LPIPS_LEAST:
        fail(f"pictures of {x.shape[-2]}x{x.shape[-1]}", f"sides from {_LPIPS_LEAST}", "score larger pictures")
    model = _lpips_model(net, x.device)
    # the package wants [-1, 1] and three channels
    a, b = ((2 * _eight_bit(v) - 1).float().expand(x.shape[0], 3, -1, -1) for v in (x, ref))
    with torch.no_grad():
        return model(a, b).double().reshape(-1)


def niqe(x: Tensor) -> Tensor:
    """NIQE = sqrt((m - n)^T ((S + T)/2)^-1 (m - n)), n and T mean and covariance of the features of x's blocks (Mittal et al. 2013).

    m and S are those of undisturbed photographs; there is no reference. Low is good. x (B, C, H, W) in [0, 1], C 1 or 3, with at
    least two blocks of 96x96 -> (B,) float64, no gradient. x is clipped; color is scored in the full-range luma
    0.299 R + 0.587 G + 0.114 B, rounded to 8 bit. By the package pyiqa, on its 'niqe': pip install "restorekit[niqe]" (a large
    installation). On first use it downloads m and S. Raises ImportError without the package, ValueError for smaller pictures.
    """
    check_image(x)
    if x.shape[1] not in (1, 3):
        fail(f"x with {x.shape[1]} channels", "1 (gray) or 3 (RGB)", "drop the alpha channel: x[:, :3]")
    if (x.shape[-2] // _NIQE_BLOCK) * (x.shape[-1] // _NIQE_BLOCK) < 2:
        fail(f"x of {x.shape[-2]}x{x.shape[-1]}", "room for two blocks of 96x96 or more", "score larger pictures")
    model = _niqe_model(x.device)
    y = x.clamp(0, 1)
    if x.shape[1] == 3:
        y = (y * y.new_tensor(_LUMA).view(1, 3, 1, 1)).sum(1, keepdim=True)
    with torch.no_grad():
        return torch.stack([model(_eight_bit(picture)[None]).double().reshape(()) for picture in y])


@lru_cache(maxsize=4)
def _lpips_model(net: str, device: torch.device) -> Any:
    package = _optional("lpips", "lpips")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the package calls torchvision in a way that it warns about
        return package.LPIPS(net=net, version="0.1", verbose=False).to(device).eval()


@lru_cache(maxsize=4)
def _niqe_model(device: torch.device) -> Any:
    return _optional("pyiqa", "niqe").create_metric("niqe", device=device)


def _optional(package: str, extra: str) -> Any:
    try:
        return import_module(package)
    except ImportError as error:
        got = f"a call that needs the package {package}, which cannot be imported ({error})"
        fail(got, "with the extra installed", f'pip install "restorekit[{extra}]"', ImportError)


def _eight_bit(x: Tensor) -> Tensor:
    return (x.clamp(0, 1) * 255).round() / 255
