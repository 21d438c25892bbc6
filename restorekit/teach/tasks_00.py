"""The exercises and the quiz of page 00: reference, known-wrong answers with the sentence each deserves, three hints."""

from __future__ import annotations

from torch import Generator, Tensor

from .._random import rand
from ..metrics import psnr
from .exercises import Exercise, exercise


def position() -> Exercise:
    """Where row 10 of the small picture lies in the large one: s i + (s - 1)/2 at scale 4."""
    return exercise(
        "where a pixel lies",
        41.5,
        wrong={
            "that is s i, the grid of phase 0": 40.0,
            "the sign of m is reversed": 38.5,
            "half a pixel too far: positions are those of pixel centers": 42.0,
        },
        hints=[
            "On the grid of resizing one small pixel covers s large ones and lies in their middle.",
            "The middle of the large pixels 40, 41, 42 and 43 is wanted.",
            "s i + (s - 1)/2 with s = 4 and i = 10.",
        ],
    )


def psnr_of_tables() -> Exercise:
    """PSNR of gray pictures, clipped, rounded to 8 bit, border cropped."""

    def reference(x: Tensor, ref: Tensor, border: int, quantize: bool = True) -> float:
        return psnr(x, ref, border=border, quantize=quantize).item()

    a, b = rand((2, 1, 1, 24, 24), generator=Generator().manual_seed(2))
    return exercise(
        "PSNR as tables have it",
        reference,
        cases=[(a, b, 2), (1.2 * b, a, 3)],
        wrong={
            "the border is still in": lambda x, ref, border: reference(x, ref, 0),
            "both pictures are to be rounded to 8 bit first": lambda x, ref, border: reference(x, ref, border, quantize=False),
            "20 log10 belongs to the root of the mean square": lambda x, ref, border: 2 * reference(x, ref, border),
        },
        hints=[
            "Three steps: quantize, crop, compare.",
            "The peak is 1, so PSNR = -10 log10 of the mean squared difference.",
            "q = (x.clamp(0, 1) * 255).round() / 255 for both, then q[..., b:-b, b:-b].",
        ],
        tol=1e-6,
    )


QUIZ = [
    (
        "Why is one small picture not enough to know the blur?",
        ["It is too noisy", "Many pairs of picture and kernel explain it equally well", "No blur is Gaussian"],
        1,
        "No blur at all explains it perfectly, with an absurd picture.",
    ),
    (
        "What does MCKA do?",
        ["It draws random kernels and learns from them", "It trains on a dataset", "It denoises the picture"],
        0,
        "The draws are weighted by how well they explain y; nothing is trained before.",
    ),
    (
        "A guessed kernel is twice too wide. What do you see?",
        ["Nothing", "Slight softness", "Rings beside edges"],
        2,
        "Inverting a blur that never happened overshoots.",
    ),
]
