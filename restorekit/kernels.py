"""Blur kernels, distributions over them, and what can be measured on them.

A kernel is a tensor (B, 1, kh, kw) with its centre at (kh // 2, kw // 2), used in true convolution. Positions are
(row, column) in pixels; a positive centroid moves what is blurred down and to the right.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from math import ceil, pi
from typing import Literal

import torch
from torch import Tensor

from ._check import check_kernel, check_probability, fail
from ._random import rand, randn, uniform

Size = int | tuple[int, int]
Align = Literal["resize", "phase0"] | tuple[float, float]
CENTROID_TOL = 0.01  # px: how closely a prior and `recenter` hold the centroid


def _shape(size: Size) -> tuple[int, int]:
    h, w = (size, size) if isinstance(size, int) else size
    if h < 1 or w < 1:
        fail(f"kernel size {size}", "positive integers", "choose for example size=4 * scale + 3")
    return int(h), int(w)


def _grid(size: Size, like: Tensor) -> tuple[Tensor, Tensor]:
    """Rows and columns relative to the centre: (kh, 1) and (1, kw)."""
    h, w = _shape(size)
    rows = torch.arange(h, device=like.device, dtype=like.dtype) - h // 2
    cols = torch.arange(w, device=like.device, dtype=like.dtype) - w // 2
    return rows[:, None], cols[None, :]


def align_centroid(align: Align, scale: int) -> tuple[float, float]:
    """Centroid m that puts low-resolution pixel i at high-resolution position s i - m, for a named grid.

    'resize' (the grid of ordinary resizing, pixel i at s i + (s-1)/2): m = -(s-1)/2. 'phase0' (pixel i at s i): m = 0.
    A pair (my, mx) is returned as it is. Raises ValueError for anything else.
    """
    if align == "resize":
        return (-(scale - 1) / 2, -(scale - 1) / 2)
    if align == "phase0":
        return (0.0, 0.0)
    if isinstance(align, (tuple, list)) and len(align) == 2 and all(isinstance(m, (int, float)) for m in align):
        return float(align[0]), float(align[1])
    fail(f"align={align!r}", "'resize', 'phase0' or a pair (my, mx) of pixels", "use align='resize' for an ordinary picture")
    raise AssertionError


def gaussian_kernel(
    size: Size,
    sigma: float | tuple[float, float] | Tensor,
    theta: float | Tensor = 0.0,
    shift: tuple[float, float] | Tensor = (0.0, 0.0),
    *,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str | None = None,
) -> Tensor:
    """k(u) proportional to exp(-1/2 (u - shift)^T Sigma^-1 (u - shift)), Sigma = R(theta) diag(s1^2, s2^2) R(theta)^T.

    Sampled at pixel centres, truncated to `size` and normalised to sum 1 (corrects MLMC Eq. 17, whose print has
    neither the minus sign nor a covariance).

    sigma: standard deviation in pixels, one number, a pair (s1, s2) or a tensor (B, 2). theta: angle of the s1 axis
    in radians, from the columns' axis towards the rows' axis (clockwise on screen); a number or (B,). shift: mean
    before truncation, (rows, columns) in pixels, or (B, 2). Returns (B, 1, kh, kw). Raises ValueError if a sigma is
    not positive.
    """
    sigmas = torch.as_tensor(sigma, dtype=dtype, device=device)
    sigmas = sigmas.expand(1, 2) if sigmas.ndim == 0 else sigmas.reshape(-1, 2)
    if not (sigmas > 0).all():
        fail(f"sigma={sigma}", "standard deviations above 0 px", "use delta_kernel for no blur")
    angle = torch.as_tensor(theta, dtype=dtype, device=device).reshape(-1, 1, 1)
    mean = torch.as_tensor(shift, dtype=dtype, device=device).reshape(-1, 2)
    rows, cols = _grid(size, sigmas)
    rows, cols = rows - mean[:, 0, None, None], cols - mean[:, 1, None, None]
    along = torch.cos(angle) * cols + torch.sin(angle) * rows
    across = torch.cos(angle) * rows - torch.sin(angle) * cols
    s1, s2 = sigmas[:, 0, None, None], sigmas[:, 1, None, None]
    k = torch.exp(-0.5 * ((along / s1) ** 2 + (across / s2) ** 2))
    total = k.sum((-2, -1), keepdim=True)
    if not (total > 0).all():
        fail(f"sigma={sigma}, shift={shift} at size {size}", "a Gaussian with mass inside the window", "enlarge size or bring shift inside")
    return (k / total)[:, None]


def random_gaussian_kernel(
    size: Size,
    n: int = 1,
    *,
    variance: tuple[float, float] = (0.35, 5.0),
    theta: tuple[float, float] = (0.0, pi),
    centroid: tuple[float, float] | None = (0.0, 0.0),
    generator: torch.Generator,
) -> Tensor:
    """n anisotropic Gaussians, s1^2 and s2^2 uniform in `variance` (px^2), angle uniform in `theta` (radians).

    The centroid of the truncated kernel is held at `centroid` (rows, columns; px, to 0.01 px); None leaves the mean
    of the untruncated Gaussian at 0. The default range is x2's of MLMC Sec. 5.1 ([0.175 s, 2.5 s]). Returns
    (n, 1, kh, kw), float32 on the CPU. Raises ValueError if the window is too small for the centroid to be held.
    """
    low, high = variance
    if not 0 < low <= high:
        fail(f"variance={variance}", "0 < low <= high, in px^2", "the variance is the square of the std")
    variances = uniform(low, high, (n, 2), generator=generator)
    angles = uniform(*theta, (n,), generator=generator)
    return centered_gaussian(size, variances.sqrt(), angles, centroid or (0.0, 0.0), held=centroid is not None)


def centered_gaussian(size: Size, sigma: Tensor, theta: Tensor, centroid: tuple[float, float], *, held: bool = True) -> Tensor:
    """Gaussians whose centroid AFTER truncation is `centroid`: the mean is moved until it is (fixed point)."""
    goal = torch.tensor(centroid, dtype=sigma.dtype, device=sigma.device)
    shift = goal.expand(sigma.shape[0], 2).clone()
    for _ in range(60):
        k = gaussian_kernel(size, sigma, theta, shift, dtype=sigma.dtype, device=sigma.device)
        miss = goal - kernel_moments(k)[1]
        if not held or miss.abs().max() < CENTROID_TOL / 10:
            return k
        shift = shift + miss
    fail(
        f"a kernel of std {sigma.max():.2f} px in a window of {_shape(size)} with centroid {centroid}",
        "a window in which the truncated kernel can have that centroid",
        "enlarge size or lower the variance",
    )
    raise AssertionError


def splat(points: Tensor, size: Size) -> Tensor:
    """Mean of bilinear dots at points (n, T, 2) (rows, columns from the centre). Keeps each path's first moment."""
    h, w = _shape(size)
    centre = torch.tensor([h // 2, w // 2], dtype=points.dtype)
    at = points + centre
    low = at.floor()
    if (low < 0).any() or (low[..., 0] > h - 1).any() or (low[..., 1] > w - 1).any():
        fail(
            f"a path that reaches {at.amin().item():.1f} to {at.amax().item():.1f}",
            f"0 to {min(h, w) - 1}",
            "enlarge size or shorten the path",
        )
    frac = at - low
    canvas = points.new_zeros(points.shape[0], (h + 1) * (w + 1))
    for dy in (0, 1):
        for dx in (0, 1):
            weight = (frac[..., 0] if dy else 1 - frac[..., 0]) * (frac[..., 1] if dx else 1 - frac[..., 1])
            canvas.scatter_add_(1, ((low[..., 0] + dy) * (w + 1) + low[..., 1] + dx).long(), weight)
    k = canvas.reshape(-1, 1, h + 1, w + 1)[..., :h, :w]
    return k / k.sum((-2, -1), keepdim=True)


def motion_kernel(size: Size, *, intensity: float = 0.5, n: int = 1, generator: torch.Generator) -> Tensor:
    """k(u) = time that a shaken camera's random path spends at u: (1/T) sum_t delta(u - p_t).

    The path keeps its heading but for small random turns and a few jerks, both proportional to `intensity` (0: a
    straight line, 1: a scribble), and spans 40 to 90% of the window. Its mean lies at the centre, so the centroid
    is 0. Returns (n, 1, kh, kw), float32. Raises ValueError for an intensity outside [0, 1] or a size below 3.
    """
    h, w = _shape(size)
    if not 0 <= intensity <= 1:
        fail(f"intensity={intensity}", "0 (straight) to 1 (scribble)", "choose for example 0.5")
    if min(h, w) < 3:
        fail(f"size={size}", "at least 3 pixels", "enlarge size")
    steps = 600
    turns = 0.12 * randn((n, steps), generator=generator)
    jerks = (rand((n, steps), generator=generator) < 6 / steps) * uniform(-pi, pi, (n, steps), generator=generator)
    heading = 2 * pi * rand((n, 1), generator=generator) + intensity * (turns + jerks).cumsum(1)
    speed = (1 + intensity * randn((n, steps), generator=generator).cumsum(1) / steps**0.5).clamp(min=0.1)
    path = torch.stack([(speed * heading.sin()).cumsum(1), (speed * heading.cos()).cumsum(1)], -1)
    path = path - path.mean(1, keepdim=True)
    reach = path.abs().amax((1, 2), keepdim=True)
    half = (min(h, w) - 1) // 2
    return splat(path / reach * half * uniform(0.4, 0.9, (n, 1, 1), generator=generator), size)


def line_kernel(size: Size, length: float, theta: float = 0.0) -> Tensor:
    """k(u) uniform on the segment of `length` px through the centre at angle `theta` (radians, as in gaussian_kernel).

    Returns (1, 1, kh, kw), float32. Raises ValueError if the segment leaves the window or length is negative.
    """
    if length < 0:
        fail(f"length={length}", "0 px or more", "turn the line with theta")
    t = torch.linspace(-length / 2, length / 2, max(2, int(32 * length) + 1), dtype=torch.float64)
    direction = torch.tensor([theta, theta], dtype=torch.float64)
    unit = torch.stack([direction[0].sin(), direction[1].cos()])
    return splat((t[:, None] * unit)[None], size).float()


def disk_kernel(size: Size, radius: float) -> Tensor:
    """k(u) = share of pixel u covered by a disk of `radius` px, normalised: the blur of a lens out of focus.

    Returns (1, 1, kh, kw), float32. Raises ValueError if the radius is not positive or the disk leaves the window.
    """
    h, w = _shape(size)
    if not 0 < radius <= (min(h, w) - 1) // 2 + 0.5:
        fail(f"radius={radius} at size {size}", f"above 0, at most {(min(h, w) - 1) // 2 + 0.5}", "enlarge size")
    fine = 17  # odd, so that the sub-pixel grid is symmetric about the pixel's centre
    offsets = (torch.arange(fine, dtype=torch.float64) - fine // 2) / fine
    rows = (torch.arange(h)[:, None] - h // 2 + offsets).reshape(-1)
    cols = (torch.arange(w)[:, None] - w // 2 + offsets).reshape(-1)
    inside = (rows[:, None] ** 2 + cols[None, :] ** 2 <= radius**2).double()
    k = inside.reshape(h, fine, w, fine).mean((1, 3))
    return (k / k.sum())[None, None].float()


def delta_kernel(size: Size = 1) -> Tensor:
    """k(u) = 1 at the centre and 0 elsewhere: no blur. Returns (1, 1, kh, kw), float32."""
    h, w = _shape(size)
    k = torch.zeros(1, 1, h, w)
    k[..., h // 2, w // 2] = 1
    return k


def project_simplex(k: Tensor) -> Tensor:
    """argmin_p |p - k|^2 over p >= 0, sum p = 1, for each kernel of (B, 1, kh, kw).

    p = max(k - tau, 0) with the threshold tau found by sorting (Held, Wolfe and Crowder 1974).
    """
    check_kernel(k)
    flat = k.flatten(1)
    ordered = flat.sort(dim=1, descending=True).values
    excess = ordered.cumsum(1) - 1
    count = torch.arange(1, flat.shape[1] + 1, device=k.device, dtype=k.dtype)
    support = (ordered * count > excess).sum(1, keepdim=True)
    tau = excess.gather(1, support - 1) / support
    return (flat - tau).clamp(min=0).reshape(k.shape)


def kernel_moments(k: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mass sum k, centroid m = sum u k(u) / mass and covariance sum (u - m)(u - m)^T k(u) / mass.

    u = (row, column) from the centre, px. Returns (B,), (B, 2) and (B, 2, 2); differentiable.
    """
    rows, cols = _grid(k.shape[-2:], k)  # type: ignore[arg-type]
    mass = k.sum((1, 2, 3))
    u = torch.stack([rows.expand(k.shape[-2:]), cols.expand(k.shape[-2:])], -1).reshape(-1, 2)
    weight = k.flatten(1) / mass[:, None]
    centroid = weight @ u
    away = u[None] - centroid[:, None]
    return mass, centroid, torch.einsum("bn,bni,bnj->bij", weight, away, away)


def recenter(k: Tensor, centroid: tuple[float, float] = (0.0, 0.0)) -> Tensor:
    """k moved so that its centroid is `centroid` (rows, columns; px, to 0.01 px), window and mass kept.

    By linear interpolation, which keeps k >= 0 and moves the centroid exactly; it adds at most 1/4 px^2 of variance
    to each axis. What leaves the window is lost, the rest is scaled to the old mass. Raises ValueError if more
    than 5% of the mass would leave.
    """
    check_kernel(k)
    mass = k.sum((1, 2, 3), keepdim=True)
    goal = torch.tensor(centroid, dtype=k.dtype, device=k.device)
    wanted = goal - kernel_moments(k)[1]
    for _ in range(30):
        moved = torch.cat([_shift(one[None], float(d[0]), float(d[1])) for one, d in zip(k, wanted, strict=True)])
        left = moved.sum((1, 2, 3), keepdim=True)
        moved = moved * mass / torch.where(left == 0, torch.ones_like(left), left)
        miss = goal - kernel_moments(moved)[1]
        if (left < 0.95 * mass).any():
            break
        if miss.abs().max() < CENTROID_TOL / 10:
            return moved
        wanted = wanted + miss
    fail(
        f"a kernel of window {tuple(k.shape[-2:])} to be centred at {centroid}",
        "a window that holds it there",
        "enlarge it first with pad_kernel",
    )
    raise AssertionError


def _shift(k: Tensor, dy: float, dx: float) -> Tensor:
    """Linear interpolation of one kernel, moved by (dy, dx) px, zeros coming in."""
    for axis, d in ((-2, dy), (-1, dx)):
        n = k.shape[axis]
        whole = int(d // 1)
        part = d - whole
        matrix = torch.zeros(n, n, dtype=k.dtype, device=k.device)
        for step, weight in ((whole, 1 - part), (whole + 1, part)):
            if abs(step) < n:
                matrix += weight * torch.diag(torch.ones(n - abs(step), dtype=k.dtype, device=k.device), -step)
        k = (matrix @ k) if axis == -2 else (k @ matrix.T)
    return k


def pad_kernel(k: Tensor, size: Size) -> Tensor:
    """k in a larger window of `size` with zeros around, centre kept at (kh // 2, kw // 2)."""
    check_kernel(k)
    (h, w), (kh, kw) = _shape(size), k.shape[-2:]
    top, left = h // 2 - kh // 2, w // 2 - kw // 2
    bottom, right = h - kh - top, w - kw - left
    if min(top, left, bottom, right) < 0:
        fail(f"a kernel of {kh}x{kw} for a window of {h}x{w}", f"at least {kh}x{kw}", "crop a kernel explicitly if that is wanted")
    return torch.nn.functional.pad(k, (left, right, top, bottom))


@dataclass(frozen=True)
class KernelPrior(ABC):
    """A distribution p(k) over kernels on the simplex (k >= 0, sum k = 1) with a fixed centroid.

    Subclasses draw in `_draw(n, generator) -> (n, 1, kh, kw)`; `sample` checks what was drawn. `centroid` is that of
    the truncated kernel (rows, columns; px).
    """

    size: int
    centroid: tuple[float, float] = (0.0, 0.0)

    @abstractmethod
    def _draw(self, n: int, generator: torch.Generator) -> Tensor: ...

    def sample(self, n: int, *, generator: torch.Generator) -> Tensor:
        """n kernels (n, 1, kh, kw). Raises ValueError if one is no probability or is off the stated centroid."""
        k = check_probability(self._draw(n, generator), f"{type(self).__name__} sample")
        off = (kernel_moments(k)[1] - torch.tensor(self.centroid, dtype=k.dtype, device=k.device)).abs().max().item()
        if off > CENTROID_TOL:
            fail(
                f"samples {off:.3f} px off the stated centroid {self.centroid}",
                f"at most {CENTROID_TOL} px",
                "apply recenter in _draw, or state the true centroid",
            )
        return k


@dataclass(frozen=True)
class GaussianPrior(KernelPrior):
    """Anisotropic Gaussians: eigen-variances uniform in `variance` (px^2), angle uniform in `theta` (MLMC Sec. 5.1)."""

    variance: tuple[float, float] = (0.35, 5.0)
    theta: tuple[float, float] = (0.0, pi)

    def _draw(self, n: int, generator: torch.Generator) -> Tensor:
        return random_gaussian_kernel(self.size, n, variance=self.variance, theta=self.theta, centroid=self.centroid, generator=generator)


@dataclass(frozen=True)
class MotionPrior(KernelPrior):
    """Random camera paths (see `motion_kernel`): MLMC's second prior, in place of the Gaussians."""

    intensity: float = 0.5

    def _draw(self, n: int, generator: torch.Generator) -> Tensor:
        room = self.size - 2 * ceil(max(map(abs, self.centroid)))  # a path that is moved to the centroid must not leave the window
        k = motion_kernel(room, intensity=self.intensity, n=n, generator=generator)
        return k if self.centroid == (0.0, 0.0) else recenter(pad_kernel(k, self.size), self.centroid)
