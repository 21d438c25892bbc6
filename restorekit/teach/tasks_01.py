"""The exercises of page 01: reference, known-wrong answers with the sentence each deserves, and three hints."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .._random import randn
from .exercises import Exercise, exercise

RAMP = 40.0  # gray levels that the light falls off across the patch of `noise_std`
NOISE = 5.0  # its noise, gray levels
QUIZ = [
    (
        "A kernel's spectrum has zeros. Which remedy recovers the picture's detail at these frequencies?",
        ["Wiener with a small rho", "more iterations", "none of these: only a prior can fill it in"],
        2,
        "What was multiplied by zero is not in the data.",
    ),
    (
        "A restored picture rings along its four borders and nowhere else. What do you suspect first?",
        ["the noise level", "the boundary rule", "the width of the kernel"],
        1,
        "A wrong kernel rings at every edge; a wrong boundary rule rings at the frame.",
    ),
    (
        "The bicubic row of a paper lies 5 dB below yours. What do you check first?",
        ["the offset of its grid", "its noise", "its random seed"],
        0,
        "Section 9: a few pixels of offset cost that much.",
    ),
]


def convolution() -> Exercise:
    """True convolution with zeros beyond the border, by torch's conv2d."""
    generator = torch.Generator().manual_seed(1)
    x, k = randn((1, 1, 12, 15), generator=generator).double(), randn((1, 1, 3, 5), generator=generator).double()

    def correlate(x: Tensor, k: Tensor) -> Tensor:
        return F.conv2d(x, k, padding=(k.shape[-2] // 2, k.shape[-1] // 2))

    return exercise(
        "true convolution",
        lambda x, k: correlate(x, k.flip(-2, -1)),
        cases=[(x, k)],
        wrong={
            "This looks like correlation: torch's conv2d does not flip, so flip the kernel": correlate,
            "Only one axis is flipped: x[p - u] runs backwards in rows and in columns": lambda x, k: correlate(x, k.flip(-1)),
            "You flipped the picture, so the result lies upside down: flip the kernel": lambda x, k: correlate(x.flip(-2, -1), k),
        },
        hints=[
            "Write conv2d's sum beside the formula of section 3.1. Where do the signs of the index differ?",
            "Replacing u by -u turns p + u into p - u. In memory that is a flip of both axes of k.",
            "F.conv2d(x, k.flip(-2, -1), padding=(rows, columns)), with half of the kernel's height and width as padding.",
        ],
    )


def reflect_adjoint() -> Exercise:
    """The transpose of mirroring a signal by r samples at both ends."""
    z = randn((2, 11), generator=torch.Generator().manual_seed(2)).double()

    def fold(z: Tensor, r: int, left: int, right: int, weight: float = 1.0) -> Tensor:
        """Adds the mirrored margins back, starting at samples `left` and n - 1 - `right`."""
        x = z[..., r:-r].clone()
        n = x.shape[-1]
        x[..., left : left + r] += weight * z[..., :r].flip(-1)
        x[..., n - right - r : n - right] += weight * z[..., -r:].flip(-1)
        return x

    def wrap(z: Tensor, r: int) -> Tensor:
        x = z[..., r:-r].clone()
        x[..., -r:] += z[..., :r]
        x[..., :r] += z[..., -r:]
        return x

    return exercise(
        "adjoint of reflect padding",
        lambda z, r: fold(z, r, 1, 1),
        cases=[(z, 2), (z, 3)],
        wrong={
            "This crops: the margins' values are lost, but each was copied from a sample that must get it back": lambda z, r: z[..., r:-r],
            "You folded about the edge of the first sample; 'reflect' mirrors about its center": lambda z, r: fold(z, r, 0, 0),
            "This wraps around, which is the adjoint of circular padding": wrap,
            "An adjoint adds what copying has shared out; it does not average": lambda z, r: fold(z, r, 1, 1, 0.5),
        },
        hints=[
            "Write the padding of a signal of four samples by one as a 6 x 4 matrix of zeros and ones. Transpose it.",
            "Each column of that matrix lists where a sample was copied to. The transpose sums over exactly these places.",
            "Crop to x = z[..., r:-r].clone(); add z[..., :r].flip(-1) to x[..., 1:r+1]; add the right margin, flipped, "
            "to the r samples before the last.",
        ],
    )


def phase() -> Exercise:
    """Where a low-resolution pixel sits: s i - m, for s = 3, i = (4, 4), m = (0.75, -0.5)."""
    return exercise(
        "where the pixel sits",
        [11.25, 12.5],
        cases=(),
        wrong={
            "Wrong sign: a kernel that moves content down lets the pixel see what lies further up": [12.75, 11.5],
            "The centroid is already in high-resolution pixels: do not multiply it by s": [9.75, 13.5],
            "You left the centroid out: this is the position on the phase-0 grid": [12.0, 12.0],
        },
        hints=[
            "Take a kernel that is a single one, one row below its center: (x * k)[p] = x[p - 1]. Which row does pixel p see?",
            "After decimation pixel i is (x * k)[s i]. Average the positions s i - u, with weights k(u).",
            "Position = s i - m. Rows: 3 times 4 minus 0.75. Columns: mind the sign of m.",
        ],
    )


def wiener_filter() -> Exercise:
    """The Wiener estimate of one spectrum: conj(K) Y / (|K|^2 + N / S)."""
    generator = torch.Generator().manual_seed(3)
    Y, K = (torch.complex(randn((6, 4), generator=generator).double(), randn((6, 4), generator=generator).double()) for _ in range(2))
    S, N = (0.2 + randn((6, 4), generator=generator).double().square() for _ in range(2))

    def solve(Y: Tensor, K: Tensor, ratio: Tensor) -> Tensor:
        return K.conj() * Y / (K.abs() ** 2 + ratio)

    return exercise(
        "the Wiener filter",
        lambda Y, K, S, N: solve(Y, K, N / S),
        cases=[(Y, K, S, N)],
        wrong={
            "The conjugate is missing: the kernel's phase is applied twice instead of being undone": lambda Y, K, S, N: (
                K * Y / (K.abs() ** 2 + N / S)
            ),
            "The ratio is upside down: much noise must mean much damping, so noise over signal": lambda Y, K, S, N: solve(Y, K, S / N),
            "Powers, not amplitudes: S and N are mean squares already, take no root": lambda Y, K, S, N: solve(Y, K, (N / S).sqrt()),
            "This is the plain inverse: it ignores the noise": lambda Y, K, S, N: Y / K,
        },
        hints=[
            "At one frequency the problem is scalar: Y = K X + noise. Which number W makes the mean of |W Y - X|^2 smallest?",
            "Setting the derivative to zero gives W (|K|^2 S + N) = conj(K) S.",
            "Divide by S: X = conj(K) Y / (|K|^2 + N / S). Check two limits: N = 0, and N very large.",
        ],
    )


def noise_std() -> Exercise:
    """Noise std of a patch under falling light, in gray levels."""

    def patch(seed: int) -> Tensor:
        light = torch.linspace(0, RAMP, 64).double()[None, :]
        return 100 + light + NOISE * randn((64, 64), generator=torch.Generator().manual_seed(seed)).double()

    def plane(p: Tensor) -> Tensor:
        rows, cols = torch.meshgrid(torch.arange(p.shape[0]), torch.arange(p.shape[1]), indexing="ij")
        basis = torch.stack([torch.ones(p.numel()), rows.flatten(), cols.flatten()], 1).to(p)
        coefficients = torch.linalg.lstsq(basis, p.reshape(-1, 1)).solution
        return (p.reshape(-1, 1) - basis @ coefficients).std()

    def differences(p: Tensor) -> Tensor:
        return (p[:, 1:] - p[:, :-1]).std()

    return exercise(
        "noise of a flat region",
        plane,
        cases=[(patch(4),), (patch(5),)],
        wrong={
            "This is the variance: take its root, a std has the unit of the picture": lambda p: plane(p) ** 2,
            "The light that falls off across the patch is counted as noise: remove it first": lambda p: p.std(),
            "A difference of two pixels carries the noise of both: divide by the root of 2": differences,
        },
        hints=[
            "Print p.mean(0). Is the region as flat as it looks?",
            "The light changes slowly, the noise from pixel to pixel: neighbors differ almost by noise alone.",
            "(p[:, 1:] - p[:, :-1]).std() / 2**0.5. Fitting and subtracting a plane is as good.",
        ],
        tol=0.06,
    )
