"""The parts of four papers in one restoration: a kernel by MLMC, a noise map by guidance, dynamic plug-and-play with a learned prior."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from .._check import check_choice, check_image, check_kernel, check_like, fail
from .._convolution import PADDINGS
from ..nets import load_denoiser
from ..nets.guided import load_guided
from ..nets.noise_map_denoiser import noise_level
from ..nets.rrdb import blind_denoiser, load_restorer
from ..operators import Blur, LinearOperator
from ..solvers import Denoiser, schedules
from .blind import super_resolve_blind
from .dynamic_pnp import DynamicPnP
from .guided_restoration import guidance_map, restore_guided
from .handoff import LAM, SIGMA_LAST, SIGMA_LEAST, SIGMA_START, each_channel
from .kernel_fit import fit_kernel
from .learner import BlindState

PRIORS = ("guided", "denoiser", "and")
# chosen on four bundled pictures with Gaussian kernels and 1 to 3% noise, none of which any table reports; fitted to y itself instead
# of y - g(y), the kernels would explain the noise too
ROUNDS, RIDGE = 3, 0.1
ITERATIONS = 8  # of the plug-and-play priors


@dataclass(frozen=True)
class KernelFrom:
    """An operator update for `DynamicPnP` that starts from a kernel which another method found, instead of A = I.

        k <- argmin_k 1/2 sum_d |d_d (k * v) - d_d t|^2, k >= 0, sum k = 1, ridge RIDGE   (`fit_kernel`), or k where it is held

    kernel (1, 1, kh, kw), kh = kw odd.
    """

    kernel: Tensor
    hold: bool = False
    padding: str = "reflect"

    def init(self, y: Tensor) -> Tensor:
        """A^(0): the kernel."""
        return self.kernel.to(y)

    def operator(self, A: Tensor) -> LinearOperator:
        return Blur(A, self.padding)

    def offset(self, A: Tensor) -> float:
        return 0.0

    def __call__(self, A: Tensor, x: Tensor, t: Tensor) -> Tensor:
        return A if self.hold else fit_kernel(x, t, A.shape[-1], padding=self.padding, ridge=RIDGE)


@dataclass(frozen=True)
class Combined:
    """image: x (1, C, H, W). kernel: the last k. sigma: the noise map (1, 1, H, W). mlmc: the picture that MLMC itself gave, or None
    where the kernel was given."""

    image: Tensor
    kernel: Tensor
    sigma: Tensor
    mlmc: Tensor | None


def restore_combined(
    y: Tensor,
    kernel: Tensor | None = None,
    *,
    sigma: float | Tensor | None = None,
    prior: str | Denoiser = "guided",
    rounds: int = ROUNDS,
    padding: str = "reflect",
    preset: str = "quick",
    generator: torch.Generator | None = None,
    callback: Callable[[int, BlindState], None] | None = None,
) -> Combined:
    """x with y = x * k + n, nothing known: each unknown from the method that finds it.

        k      from MLMC                                                              (`super_resolve_blind`, MLMC Alg. 1)
        sigma  from the proxy H_theta, a map                                          (`guidance_map`, Bilevel Eq. 4)
        v <- A_omega^-1(y; k, sigma), the guided net                                  (`restore_guided`, Bilevel Eq. 5)
        k <- the kernel that best leads from v to y - g(y), g the noise that the denoiser takes off y
                                                                                      (Dynamic PnP Eq. 9, exactly: `KernelFrom`)

    the last two `rounds` times, then v once more. With another prior it is plug-and-play with the kernel held, 8 iterations of

        x <- argmin_x 1/2 |x * k - y|^2 + mu_i/2 |x - v|^2,  mu_i = LAM mean(sigma)^2 / s_i^2        (Dynamic PnP Eq. 6, by CG)
        v <- D(x, s_i sigma / mean(sigma)),  s_i falling from 49/255 to max(5/255, mean(sigma))         (Dynamic PnP Eq. 7)

    y (1, C, H, W) in [0, 1]. kernel, sigma: where they are known, the methods are not asked. prior: 'guided'; 'denoiser', the shipped
    gray net, channel by channel; 'and', the restorer trained against adversarial degradations; or any D(x, sigma). padding: what the
    blur saw beyond the border. Not clipped. Raises ValueError or TypeError for bad input, FileNotFoundError for weights that are not
    there.
    """
    check_image(y, "y")
    check_choice(padding, PADDINGS, "padding")
    if rounds < 0:
        fail(f"rounds={rounds}", "0 or more", f"rounds={ROUNDS}")
    if isinstance(prior, str):
        check_choice(prior, PRIORS, "prior")
    found = None
    if kernel is None:
        if generator is None:
            fail("neither kernel nor generator", "a kernel, or a generator for the search of one", "kernel=k, or generator=g")
            raise AssertionError
        blind = super_resolve_blind(y, 1, preset=preset, padding=padding, generator=generator, callback=callback)
        kernel, found = blind.kernel, blind.image
    check_like(check_kernel(kernel), y, "kernel", "y")
    with torch.no_grad():
        level = _map(y) if sigma is None else noise_level(y, sigma).expand(y.shape[0], 1, *y.shape[-2:])
        if prior == "guided":
            x, k = _led(y, KernelFrom(kernel, padding=padding), level, rounds)
        else:
            x, k = _plugged(y, KernelFrom(kernel, hold=True, padding=padding), level, _denoiser(prior, y))
    return Combined(x, k, level, found)


def _led(y: Tensor, update: KernelFrom, level: Tensor, rounds: int) -> tuple[Tensor, Tensor]:
    """The guided net and the A-step in turn."""

    def net(k: Tensor) -> Tensor:
        return restore_guided(y, k, sigma=level, padding=update.padding).image

    k = update.init(y)
    v = net(k)
    t = each_channel(load_denoiser(1).to(y))(y, level)  # y - g(y)
    for _ in range(rounds):
        k = update(k, v, t)
        v = net(k)
    return v, k


def _plugged(y: Tensor, update: KernelFrom, level: Tensor, D: Denoiser) -> tuple[Tensor, Tensor]:
    """Dynamic plug-and-play from the kernel that was found, its prior weaker in each iteration."""
    mean = max(level.mean().item(), SIGMA_LEAST)
    last = max(mean, SIGMA_LAST)
    solver = DynamicPnP(y, D, update, x_step="cg", fit="v")
    state = solver.init(y)
    for s in schedules.geometric(max(SIGMA_START, last), last, ITERATIONS):
        solver = replace(solver, mu=LAM * mean**2 / s**2, sigma=s * (level / mean).clamp(0.2, 5))
        state = solver.step(state)
    return state.v, state.A


def _map(y: Tensor) -> Tensor:
    _, proxy = load_guided()
    return guidance_map(y, proxy and proxy.to(y))


def _denoiser(prior: str | Denoiser, y: Tensor) -> Denoiser:
    if callable(prior):
        return prior
    return each_channel(load_denoiser(1).to(y) if prior == "denoiser" else blind_denoiser(load_restorer("adversarial", 1, 1).to(y)))
