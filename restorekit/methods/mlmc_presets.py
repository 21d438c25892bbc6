"""Settings of MLMC: every number of the method in one frozen dataclass, and the presets by name."""

from __future__ import annotations

from dataclasses import dataclass, replace

from .._check import check_choice, fail
from .regularizers import REGULARIZERS

WEIGHT_RULES = ("inverse", "posterior")


@dataclass(frozen=True)
class MLMCSettings:
    """Letters as in the paper (Algorithms 1 to 3); what the paper does not have says so and is off by default.

    Loops: `outer` I, `mcka_steps` L, `samples` T, `meta_steps` Q, `image_steps` P. Nets: width, skip maps and levels of
    the image net, number of noise maps fed to it, hidden layers of the kernel net. Loss: `rho` and `eta` of Eq. 35
    (`regularizer`, by default sum |f * x|^(2 eta); `diagonals` adds two filters to the paper's two), `noise_variance` divides by
    Eq. 36, floored at `sigma_floor`^2. `mcka` and `mlao` False leave the phase out (MLAO: only its kernel steps).
    """

    outer: int = 100
    mcka_steps: int = 1
    samples: int = 10
    meta_steps: int = 5
    image_steps: int = 5
    channels: int = 128
    skip: int = 16
    levels: int = 5
    inputs: int = 32
    hidden: tuple[int, ...] = (1000,)
    lr_image: float = 5e-3
    lr_mcka: float = 1e-4
    lr_kernel: float = 1e-4
    weights: str = "inverse"
    epsilon: float = 1e-6
    rho: float = 3.0
    eta: float = 1 / 3
    diagonals: bool = False
    regularizer: str = "hyper_laplacian"
    noise_variance: bool = True
    sigma_floor: float = 0.5 / 255
    mcka: bool = True
    mlao: bool = True
    # ours, not in the paper
    spectral: bool = False  # the sampler draws from the kernels that the picture's power spectrum supports
    anchor: float = 0.0  # weight, per low-resolution value, of KL(start kernel | k) in the kernel's loss
    start_at_mean: bool = False  # the kernel net starts at the mean of the prior's samples, not at random
    kernel_from: int = 0  # outer steps before the kernel steps of MLAO begin: the picture must have formed
    guided: bool = False  # the image net also sees the bicubic enlargement of y, not noise alone
    jitter: float = 0.0  # std of the noise added to the image net's input at each step
    average_from: float = 1.0  # share of the run after which the outputs are averaged
    data_weight: float = 0.0  # rho of the closing proximal data step; 0: none

    def __post_init__(self) -> None:
        counts = {n: getattr(self, n) for n in ("outer", "samples", "meta_steps", "image_steps", "channels", "levels", "inputs")}
        for name, value in counts.items():
            if value < 1:
                fail(f"{name}={value}", "1 or more", f"choose a positive {name}")
        check_choice(self.weights, WEIGHT_RULES, "weights")
        check_choice(self.regularizer, REGULARIZERS, "regularizer")


# Algorithms 1 to 3 with the constants of Sec. 5.1. The step size 0.5 that is printed for the kernel net looks wrong
# for a softmax, so 1e-4. rho and eta are not given: eta makes |g|^(2/3), and rho is what the published code's weight
# amounts to at a residual of 2/255, since here the data term is divided by the noise variance.
PAPER = MLMCSettings()
# With the averaging of outputs a far weaker rho does; a strong one makes kernels too narrow.
BALANCED = replace(
    PAPER,
    outer=60,
    meta_steps=5,
    image_steps=3,
    channels=64,
    lr_image=5e-3,
    lr_kernel=2e-4,
    spectral=True,
    guided=True,
    start_at_mean=True,
    rho=0.02,
    anchor=2.0,
    kernel_from=5,
    jitter=0.03,
    average_from=0.6,
    data_weight=0.01,
)
QUICK = replace(BALANCED, outer=25, meta_steps=5, image_steps=2, channels=48, inputs=8)
PRESETS = {"paper": PAPER, "balanced": BALANCED, "quick": QUICK}


def preset_settings(name: str) -> MLMCSettings:
    """The settings of a preset; ValueError names the presets that there are."""
    check_choice(name, tuple(PRESETS), "preset")
    return PRESETS[name]
