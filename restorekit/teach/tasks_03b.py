"""The exercises and the quiz of page 03b: reference, known-wrong answers with the sentence each deserves, three hints."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from .._random import rand
from ..kernels import kernel_moments, motion_kernel
from ..metrics import psnr
from .exercises import Exercise, exercise

MARGINS, FALSE = 40, 0.0742  # margins of a ledger in which nothing is true, and how often the rule errs for each
QUIZ = [
    (
        "A paper's new method gains 7 dB over bicubic interpolation. What do you compute first?",
        ["the gain in SSIM", "bicubic interpolation on the grid that the kernel's centroid defines", "the mean over more pictures"],
        1,
        "Section 2: a displaced grid alone costs several decibels.",
    ),
    (
        "Method A is 0.3 dB above method B on average; the seeds' means differ by 0.1, 0.2 and 0.6 dB. What does the rule say?",
        ["A is better", "A is worse", "undecided"],
        2,
        "The spread of the three is 0.26 dB, and 0.3 is less than twice that.",
    ),
    (
        "A blind method finds a kernel that is no Gaussian on a photograph. What has it shown?",
        ["the camera shook", "that it is better than Gaussian methods", "nothing yet: no truth tells a right kernel from a noisy one"],
        2,
        "Section 7.4: a network's kernel departs from a Gaussian even where the truth is one.",
    ),
]


def false_verdicts() -> Exercise:
    """How many of MARGINS margins the rule decides although nothing is there."""
    return exercise(
        "verdicts about nothing",
        MARGINS * FALSE,
        cases=(),
        wrong={
            "Both signs count: a false 'does not hold' is a false verdict too": MARGINS * FALSE / 2,
            "That is the rate for one margin": FALSE,
            "Two spreads of THREE seeds are not two standard errors of a normal law: use the rate of section 4.3": MARGINS * 0.0455,
        },
        hints=[
            "Expectations add up, whether or not the margins depend on each other.",
            "Section 4.3 has the rate for one margin.",
            f"{MARGINS} times {FALSE}.",
        ],
        tol=0.02,
    )


def aligned_psnr() -> Exercise:
    """PSNR after the best whole-pixel shift of at most r on each axis, on the part that all shifts have in common."""

    def best(x: Tensor, ref: Tensor, r: int, axes: tuple[int, ...] = (-2, -1), crop: bool = True, lowest: int | None = None) -> float:
        low = -r if lowest is None else lowest
        rows = range(low, r + 1) if -2 in axes else (0,)
        cols = range(low, r + 1) if -1 in axes else (0,)
        scores = [psnr(x.roll((a, b), (-2, -1)), ref, border=r if crop else 0).item() for a in rows for b in cols]
        return max(scores)

    ref = rand((1, 1, 24, 24), generator=torch.Generator().manual_seed(7))
    noise = 0.1 * rand((1, 1, 24, 24), generator=torch.Generator().manual_seed(8))
    moved = [(ref.roll(d, (-2, -1)) + noise, ref, 3) for d in ((2, -1), (-3, 2), (0, 3))]
    return exercise(
        "PSNR after alignment",
        lambda x, ref, r: best(x, ref, r),
        cases=moved,
        wrong={
            "Pixels that a shift brings in from the other side count here: crop r pixels from each side": lambda x, ref, r: best(
                x, ref, r, crop=False
            ),
            "A picture can be displaced along rows and along columns at once: try all pairs": lambda x, ref, r: best(x, ref, r, axes=(-1,)),
            "Shifts go both ways: try -r to r": lambda x, ref, r: best(x, ref, r, lowest=0),
            "This scores the picture as it lies, without any shift": lambda x, ref, r: psnr(x, ref, border=r).item(),
        },
        hints=[
            "Two loops over the shift in rows and in columns, one score each; keep the best.",
            "x.roll((a, b), (-2, -1)) moves, and what leaves on one side comes in on the other.",
            "max(rk.psnr(x.roll((a, b), (-2, -1)), ref, border=r).item() for a and b from -r to r).",
        ],
        tol=1e-6,
    )


def gaussian_of_moments() -> Exercise:
    """The centered Gaussian with a kernel's covariance C: exp(-u' C^-1 u / 2), normalized; (1, 1, n, n)."""

    def draw(k: Tensor, change: Callable[[Tensor], Tensor]) -> Tensor:
        rows = torch.arange(k.shape[-1], dtype=k.dtype) - k.shape[-1] // 2
        u = torch.stack(torch.meshgrid(rows, rows, indexing="ij"), -1)
        logits = -0.5 * torch.einsum("ijm,mn,ijn->ij", u, change(kernel_moments(k)[2][0]), u)
        return torch.softmax(logits.flatten(), 0).view_as(k)

    kernels = motion_kernel(15, n=2, generator=torch.Generator().manual_seed(9)).double()
    return exercise(
        "the Gaussian of a kernel",
        lambda k: draw(k, torch.linalg.inv),
        cases=[(kernels[:1],), (kernels[1:],)],
        wrong={
            "The inverse is missing: a wide kernel must give a wide Gaussian": lambda k: draw(k, lambda c: c),
            "This keeps the widths and loses the direction: the covariance has a term off its diagonal": lambda k: draw(
                k, lambda c: torch.linalg.inv(c.diagonal().diag())
            ),
            "The axes are exchanged: rows come first": lambda k: draw(k, lambda c: torch.linalg.inv(c.flip(0, 1))),
        },
        hints=[
            "kernel_moments(k)[2] is the covariance, rows first. What does a Gaussian have in its exponent?",
            "exp(-u' C^-1 u / 2) at each pixel u = (row, column) from the center, then divided by its sum.",
            "u = stack(meshgrid(r, r, indexing='ij'), -1); logits = -einsum('ijm,mn,ijn->ij', u, inv(C), u) / 2; exp; divide by the sum.",
        ],
        tol=1e-6,
    )
