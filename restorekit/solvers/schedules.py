"""Schedules are data: lists of numbers, one for each iteration, that a page can print, plot and edit."""

from __future__ import annotations

from collections.abc import Sequence

from .._check import fail


def constant(value: float, n: int) -> list[float]:
    """value, n times."""
    return [float(value)] * _count(n)


def linear(first: float, last: float, n: int) -> list[float]:
    """n numbers from first to last with equal differences."""
    steps = max(_count(n) - 1, 1)
    return [first + (last - first) * i / steps for i in range(n)]


def geometric(first: float, last: float, n: int) -> list[float]:
    """n numbers from first to last with equal ratios; both positive. Zhang et al. (DPIR, 2021) go from 49/255 to the noise."""
    if not (first > 0 and last > 0):
        fail(f"first={first}, last={last}", "positive numbers", "use schedules.linear to reach 0")
    steps = max(_count(n) - 1, 1)
    return [first * (last / first) ** (i / steps) for i in range(n)]


def rho_schedule(sigmas: Sequence[float], lam: float, sigma: float) -> list[float]:
    """rho_k = lam sigma^2 / sigma_k^2 (Zhang et al., DPIR, 2021): the prox weight that gives the denoiser the strength sigma_k.

    sigma: std of the noise in y; lam: weight of the prior in |A x - y|^2 / (2 sigma^2) + lam R(x). In this package's
    energy, 1/2 |A x - y|^2 + lam' R(x), that weight is lam' = lam sigma^2: `HQS(sigmas=sigmas, lam=lam * sigma**2)`.
    """
    if not (lam > 0 and sigma > 0 and all(s > 0 for s in sigmas)):
        fail(
            f"lam={lam}, sigma={sigma}, sigmas={list(sigmas)}",
            "positive numbers",
            "take at least 0.5/255, the rounding to 8 bit, as the noise",
        )
    return [lam * sigma**2 / s**2 for s in sigmas]


def _count(n: int) -> int:
    if isinstance(n, bool) or not isinstance(n, int) or n < 1:
        fail(f"n={n!r}", "an integer of at least 1", "one value for each iteration")
    return n
