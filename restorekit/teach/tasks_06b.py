"""The exercises of page 06b: reference, known-wrong answers with the sentence each deserves, and three hints."""

from __future__ import annotations

import torch
from torch import Tensor

from .exercises import Exercise, exercise

QUIZ = [
    (
        "Why may a kernel be fitted to a network's result, and a weight for each pixel not?",
        ["a kernel has fewer unknowns than there are pixels", "kernels are positive", "the network has learned kernels"],
        0,
        "What could explain any data explains nothing: a kernel has hundreds of unknowns against many thousand pixels.",
    ),
    (
        "A good denoiser leaves a residual y - v of exactly sigma. What has it done?",
        ["all is well", "removed too little", "removed more than the noise"],
        2,
        "Section 7: the posterior mean leaves sqrt(sigma^2 - MSE), less than sigma.",
    ),
    (
        "In each further round the residual |k * x - y| falls. Does x get better?",
        ["yes", "not necessarily: with noise it gets worse", "only if the kernel is the true one"],
        1,
        "Section 5: two gray levels of noise, and later rounds amplify it, while the residual falls all the same.",
    ),
]


def _draw(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def residual() -> Exercise:
    """sqrt(25^2 - 7^2) = 24."""
    return exercise(
        "the residual of a posterior mean",
        24.0,
        wrong={
            "That is the noise itself; the estimate keeps a part of it": 25.0,
            "Variances subtract, not standard deviations": 18.0,
            "y - v and v - x add up to the noise, so the residual is smaller than it": (25**2 + 7**2) ** 0.5,
            "That is a variance; take its root": 576.0,
        },
        hints=[
            "y - x is the noise. Write it as (y - v) + (v - x).",
            "The two are uncorrelated: their variances add up to 25^2.",
            "sqrt(25^2 - 7^2).",
        ],
        tol=1e-6,
    )


def affine_fit() -> Exercise:
    """G^-1 b + (1 - sum G^-1 b) / (sum G^-1 1) G^-1 1."""

    def solve(G: Tensor, b: Tensor) -> Tensor:
        free, ones = torch.linalg.solve(G, b), torch.linalg.solve(G, torch.ones_like(b))
        return free + (1 - free.sum()) / ones.sum() * ones

    def unconstrained(G: Tensor, b: Tensor) -> Tensor:
        return torch.linalg.solve(G, b)

    def scaled(G: Tensor, b: Tensor) -> Tensor:
        free = torch.linalg.solve(G, b)
        return free / free.sum()

    def shifted(G: Tensor, b: Tensor) -> Tensor:
        free = torch.linalg.solve(G, b)
        return free + (1 - free.sum()) / len(b)

    def cases(seed: int) -> tuple[Tensor, Tensor]:
        V = _draw(20, 6, seed=seed)
        return V.T @ V, V.T @ (V @ _draw(6, seed=seed + 1).abs() + 0.3 * _draw(20, seed=seed + 2))

    return exercise(
        "least squares with sum 1",
        solve,
        cases=[cases(1), cases(5)],
        wrong={
            "This is the minimum without the constraint: its sum is not 1": unconstrained,
            "Dividing by the sum meets the constraint, but is not the minimum on it": scaled,
            "Adding the same to each entry meets the constraint; the nearest point is measured by G, not by length": shifted,
        },
        hints=[
            "Lagrange: G k - b + nu 1 = 0 and sum k = 1.",
            "k = G^-1 b - nu G^-1 1; choose nu so that the sum is 1.",
            "free = solve(G, b); ones = solve(G, 1); free + (1 - free.sum()) / ones.sum() * ones.",
        ],
        tol=1e-8,
    )


def autocorrelation() -> Exercise:
    """irfft |fft (r - mean)|^2, over its value at (0, 0)."""

    def solve(r: Tensor) -> Tensor:
        rho = torch.fft.ifft2(torch.fft.fft2(r - r.mean()).abs() ** 2).real
        return rho / rho[0, 0]

    def with_mean(r: Tensor) -> Tensor:
        rho = torch.fft.ifft2(torch.fft.fft2(r).abs() ** 2).real
        return rho / rho[0, 0]

    def amplitude(r: Tensor) -> Tensor:
        rho = torch.fft.ifft2(torch.fft.fft2(r - r.mean()).abs()).real
        return rho / rho[0, 0]

    def convolved(r: Tensor) -> Tensor:
        rho = torch.fft.ifft2(torch.fft.fft2(r - r.mean()) ** 2).real
        return rho / rho[0, 0]

    def unscaled(r: Tensor) -> Tensor:
        return torch.fft.ifft2(torch.fft.fft2(r - r.mean()).abs() ** 2).real

    return exercise(
        "autocorrelation of a residual",
        solve,
        cases=[(0.5 + _draw(6, 8, seed=1),), (_draw(5, 5, seed=2),)],
        wrong={
            "Take the mean off first: it correlates with itself at every lag": with_mean,
            "The power spectrum is the square of the amplitude": amplitude,
            "That is r convolved with itself: one factor must be conjugated": convolved,
            "Divide by the value at lag (0, 0)": unscaled,
        },
        hints=[
            "By Wiener and Khinchin: the autocorrelation is the inverse transform of the power spectrum.",
            "power = |fft2(r - mean)|^2.",
            "rho = ifft2(power).real; rho / rho[0, 0].",
        ],
        tol=1e-8,
    )


def windows() -> Exercise:
    """0.5 + 0.5 cos(pi min(1, |t - i|)), t the position in units of cells, 0 at the first center, held at the outer ones."""

    def solve(n: int, m: int, *, hold: bool = True, half: float = 0.5, linear: bool = False) -> Tensor:
        t = (torch.arange(n).double() + half) * m / n - 0.5
        t = t.clamp(0, m - 1) if hold else t
        away = (t - torch.arange(m).double()[:, None]).abs().clamp(max=1)
        return 1 - away if linear else 0.5 + 0.5 * torch.cos(torch.pi * away)

    return exercise(
        "windows that add up to 1",
        solve,
        cases=[(24, 3), (17, 2), (10, 1)],
        wrong={
            "Beyond the outer centers the outer window stays 1: hold the position there": lambda n, m: solve(n, m, hold=False),
            "A pixel's position is its middle: add a half before scaling": lambda n, m: solve(n, m, half=0.0),
            "These are triangles; raised cosines are wanted": lambda n, m: solve(n, m, linear=True),
        },
        hints=[
            "Measure positions in units of cells, with 0 at the first center and m - 1 at the last.",
            "t = ((i + 0.5) * m / n - 0.5), held between 0 and m - 1; the window j is 1 at t = j and 0 one unit away.",
            "0.5 + 0.5 * cos(pi * min(1, |t - j|)).",
        ],
        tol=1e-9,
    )
