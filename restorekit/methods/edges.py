"""The few strong edges of a picture, without its texture: what a blur kernel is best fitted to."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .._check import check_image, fail

LAM = 4e-3
_GROWTH, _LAST = 4.0, 1e3  # of the penalty
_MARGIN = 16


def strong_edges(x: Tensor, lam: float = LAM) -> Tensor:
    """argmin_u |u - x|^2 + lam #{p: |grad u(p)| > 0}, approximately, by half-quadratic splitting (Xu et al. 2011).

        g <- grad u where |grad u|^2 > lam / beta, else 0;   u <- argmin_u |u - x|^2 + beta |grad u - g|^2,   beta = 2 lam, growing

    Flat areas between edges: texture, which a deblurrer gets wrong first, is gone, and low edges that it left soft are sharpened.
    x (B, C, H, W): the channels share their edges. Mirrored beyond the border. lam 0: x.
    """
    check_image(x)
    if lam < 0:
        fail(f"lam={lam}", "0 or more", f"lam={LAM}")
    m = min(_MARGIN, *(n - 1 for n in x.shape[-2:]))
    wide = F.pad(x, (m, m, m, m), mode="reflect")
    size = (wide.shape[-2], wide.shape[-1])
    rows, columns = torch.fft.fftfreq(size[0], device=x.device), torch.fft.rfftfreq(size[1], device=x.device)
    slopes = ((4 * torch.sin(torch.pi * rows) ** 2)[:, None] + 4 * torch.sin(torch.pi * columns) ** 2).to(x.dtype)
    data, u, beta = torch.fft.rfft2(wide), wide, 2 * lam
    while 0 < beta < _LAST:
        down, right = u.roll(-1, -2) - u, u.roll(-1, -1) - u
        keep = (down.square() + right.square()).sum(1, keepdim=True) > lam / beta
        down, right = down * keep, right * keep
        back = (down.roll(1, -2) - down) + (right.roll(1, -1) - right)
        u = torch.fft.irfft2((data + beta * torch.fft.rfft2(back)) / (1 + beta * slopes), s=size)
        beta *= _GROWTH
    return u[..., m : size[0] - m, m : size[1] - m]
