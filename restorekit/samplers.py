"""Samples of a known density, and how far to trust them: Metropolis, effective sample size, R-hat, exact sums on a grid."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import log10

import torch
from torch import Tensor

from ._check import check_generator, fail
from ._random import rand, randn

LogProb = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Chains:
    """samples (steps, n, d) of n chains, their log_prob (steps, n), and the share of accepted proposals, acceptance (n,)."""

    samples: Tensor
    log_prob: Tensor
    acceptance: Tensor


@torch.no_grad()
def metropolis(
    log_prob: LogProb,
    start: Tensor,
    *,
    steps: int,
    step_size: float | Sequence[float] | Tensor,
    low: Sequence[float] | Tensor | None = None,
    high: Sequence[float] | Tensor | None = None,
    period: Sequence[float] | Tensor | None = None,
    generator: torch.Generator,
) -> Chains:
    """x' = x + step_size xi, xi ~ N(0, 1); accept x' with probability min(1, p(x') / p(x)), else stay (Metropolis et al. 1953).

    log_prob: (n, d) -> (n,), log p up to a constant; -inf forbids. start (n, d): one row a chain, allowed points. step_size:
    one number, or one for each coordinate. low, high (d,): a box outside which p = 0; no log_prob is asked there. period
    (d,): coordinates that repeat, such as an angle, are wrapped into [low, low + period); 0 where one does not. The samples
    are those after each step, the start is left out. Raises ValueError for a start outside the box or where p = 0.
    """
    x, size, box = _prepare(start, step_size, low, high, period, steps, generator)
    now = log_prob(x)
    if now.shape != x.shape[:1] or not torch.isfinite(now).all():
        fail(f"log_prob(start) = {now}", f"finite values of shape {tuple(x.shape[:1])}", "start where the density is positive")
    samples, values, accepted = [], [], torch.zeros_like(now)
    for _ in range(steps):
        proposal, inside = box.wrap(x + size * randn(x.shape, generator=generator, like=x))
        new = torch.where(inside, log_prob(torch.where(inside[:, None], proposal, x)), -torch.inf)
        accept = rand(now.shape, generator=generator, like=now).log() < new - now
        x, now = torch.where(accept[:, None], proposal, x), torch.where(accept, new, now)
        accepted = accepted + accept
        samples.append(x)
        values.append(now)
    return Chains(torch.stack(samples), torch.stack(values), accepted / steps)


@dataclass(frozen=True)
class _Box:
    low: Tensor
    high: Tensor
    period: Tensor

    def wrap(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """x with its periodic coordinates wrapped, and whether each row lies in the box."""
        turns = self.period > 0
        x = torch.where(turns, self.low + (x - self.low) % torch.where(turns, self.period, torch.ones_like(x)), x)
        return x, ((x >= self.low) & (x <= self.high)).all(1)


def _prepare(
    start: Tensor, step_size: object, low: object, high: object, period: object, steps: int, generator: torch.Generator
) -> tuple[Tensor, Tensor, _Box]:
    check_generator(generator)
    if not (isinstance(start, Tensor) and start.is_floating_point() and start.ndim == 2 and start.numel()):
        fail("a start that is no floating (n, d) tensor", "one row a chain", "start=torch.zeros(chains, dimensions)")
    if isinstance(steps, bool) or not isinstance(steps, int) or steps < 1:
        fail(f"steps={steps!r}", "an integer of at least 1", "steps=1000")
    edge = lambda value, default: _row(default if value is None else value, start)  # noqa: E731
    size, box = edge(step_size, 1.0), _Box(edge(low, -torch.inf), edge(high, torch.inf), edge(period, 0.0))
    if not (size > 0).all() or not torch.isfinite(size).all():
        fail(f"step_size={step_size}", "positive numbers", "about the width of the density")
    if (torch.isinf(box.low) & (box.period > 0)).any():
        fail("a period without low", "the value at which a periodic coordinate starts", "low=[..., 0.0] for an angle")
    if not ((start >= box.low) & (start <= box.high)).all():
        fail("a start outside the box", "low <= start <= high in each coordinate", "draw the starts inside it")
    return start, size, box


def _row(value: object, like: Tensor) -> Tensor:
    row = torch.as_tensor(value, dtype=like.dtype, device=like.device)
    if row.ndim > 1 or (row.ndim == 1 and len(row) != like.shape[1]):
        fail(f"{value}", f"one number or {like.shape[1]}, one for each coordinate", "one entry a column of start")
    return row.expand(like.shape[1])


def ess(samples: Tensor | None = None, *, weights: Tensor | None = None) -> Tensor:
    """How many independent samples are worth as much: n / (1 + 2 sum_t rho_t) of chains, or (sum w)^2 / sum w^2 of weights.

    samples (steps, n, ...): n chains, one result for each entry of the rest; (steps,) is one chain. rho_t as in Stan (Vehtari
    et al. 2021, Eq. 10), so that chains which disagree count for little, cut off after Geyer's initial monotone sequence
    (1992). At least 4 steps; chains that never move count as 1. weights (..., T): >= 0; one result a row (Kong 1992).
    """
    if (samples is None) == (weights is None):
        fail("both or neither", "samples or weights", "ess(chains.samples) or ess(weights=omega)")
    if weights is not None:
        if not (weights >= 0).all() or not (weights.sum(-1) > 0).all():
            fail(
                "weights with a negative entry, NaN or no mass",
                "non-negative weights with a positive sum",
                "exponentiate log-weights first",
            )
        return weights.sum(-1).square() / weights.square().sum(-1)
    assert samples is not None
    x = _chains(samples)
    steps, n = x.shape[:2]
    covariance = _autocovariance(x)
    within = covariance[0].mean(0) * steps / (steps - 1)
    total = within * (steps - 1) / steps + (x.mean(0).var(0) if n > 1 else 0)
    rho = 1 - (within - covariance.mean(1) * steps / (steps - 1)) / total
    rho[0] = 1
    pairs = rho[: steps // 2 * 2].unflatten(0, (-1, 2)).sum(1)  # Geyer: sums of neighbours are positive and fall
    positive = (pairs > 0).cumprod(0)
    tau = (-1 + 2 * (pairs.cummin(0).values * positive).sum(0)).clamp(min=1 / log10(10 + steps * n))
    return torch.where(total > 0, steps * n / tau, torch.ones_like(tau))


def rhat(samples: Tensor, *, rank: bool = False) -> Tensor:
    """sqrt(total variance / variance within chains), each chain split into halves: 1 when all agree (Gelman et al. 2013).

    samples (steps, n, ...), at least 4 steps: one result for each entry of the rest. Above 1.01 the chains have not yet found
    the same distribution; inf if none of them moves. rank: of normal scores, of x and of |x - median|, the larger one (Vehtari
    et al. 2021): sees heavy tails and chains that differ in scale only.
    """
    x = _chains(samples)
    if rank:
        return torch.maximum(rhat(_normal_scores(x)), rhat(_normal_scores((x - x.flatten(0, 1).median(0).values).abs())))
    half = x.shape[0] // 2
    x = torch.cat([x[:half], x[-half:]], 1)
    within, between = x.var(0).mean(0), x.mean(0).var(0)
    return ((half - 1) / half + between / within).sqrt().nan_to_num(torch.inf, posinf=torch.inf)


def _chains(samples: Tensor) -> Tensor:
    """samples as (steps, n, ...) in float64."""
    if not isinstance(samples, Tensor) or samples.ndim < 1 or samples.shape[0] < 4 or not torch.isfinite(samples).all():
        fail("samples that are no chains", "finite values (steps, n, ...), 4 steps or more", "metropolis(...).samples")
    return samples.double()[:, None] if samples.ndim == 1 else samples.double()


def _autocovariance(x: Tensor) -> Tensor:
    """sum_i (x_i - m)(x_{i+t} - m) / steps for t = 0..steps-1 along axis 0, by FFT."""
    steps = x.shape[0]
    spectrum = torch.fft.rfft(x - x.mean(0), 2 * steps, dim=0)
    return torch.fft.irfft(spectrum.abs().square(), 2 * steps, dim=0)[:steps] / steps


def _normal_scores(x: Tensor) -> Tensor:
    """Phi^-1((rank - 3/8) / (count + 1/4)) over all chains; ties share their mean rank."""
    columns = x.flatten(0, 1).reshape(x.shape[0] * x.shape[1], -1).T.contiguous()
    order = columns.sort(1).values
    rank = (torch.searchsorted(order, columns) + torch.searchsorted(order, columns, right=True) + 1) / 2
    return torch.special.ndtri((rank - 0.375) / (columns.shape[1] + 0.25)).T.reshape(x.shape)


@dataclass(frozen=True)
class GridPosterior:
    """p(x) as probabilities on the points of a grid; see `grid_posterior`.

    axes: d tensors of centres of equal cells; p: probabilities, shape (len(axes[0]), ..., len(axes[d-1])), sum 1;
    log_evidence: log of the integral of exp(log_prob) over the cells.
    """

    axes: tuple[Tensor, ...]
    p: Tensor
    log_evidence: float

    @property
    def points(self) -> Tensor:
        """All grid points (m, d), in the order of p.flatten()."""
        return torch.cartesian_prod(*self.axes).reshape(-1, len(self.axes))

    def expect(self, function: Callable[[Tensor], Tensor]) -> Tensor:
        """E f(x) = sum p f(x), for function: (m, d) -> (m, ...)."""
        return torch.tensordot(self.p.flatten(), function(self.points), 1)

    @property
    def mean(self) -> Tensor:
        """E x, (d,)."""
        return self.expect(lambda x: x)

    @property
    def cov(self) -> Tensor:
        """E (x - mean)(x - mean)^T, (d, d); the centres of the cells stand for all of their points."""
        mean = self.mean
        return self.expect(lambda x: (x - mean)[:, :, None] * (x - mean)[:, None, :])

    @property
    def mode(self) -> Tensor:
        """The most probable grid point, (d,)."""
        return self.points[self.p.argmax()]

    def marginal(self, *kept: int) -> Tensor:
        """Probabilities of the coordinates `kept` (in increasing order), summed over all others."""
        others = [i for i in range(len(self.axes)) if i not in kept]
        return self.p.sum(others) if others else self.p

    def sample(self, n: int, *, generator: torch.Generator) -> Tensor:
        """n independent samples (n, d): a cell by its probability, uniform within the cell."""
        edges = self.p.flatten().cumsum(0)
        picks = torch.searchsorted(edges, rand((n,), generator=generator, like=edges) * edges[-1]).clamp(max=len(edges) - 1)
        widths = torch.stack([_width(axis) for axis in self.axes])
        return self.points[picks] + widths * (rand((n, len(self.axes)), generator=generator, like=edges) - 0.5)


@torch.no_grad()
def grid_posterior(log_prob: LogProb, axes: Sequence[Tensor], *, chunk: int = 4096) -> GridPosterior:
    """p(x) = exp(log_prob(x)) / sum over the grid: the exact answer, up to the grid, that samplers can be held against.

    log_prob: (m, d) -> (m,), asked for `chunk` points at a time; -inf forbids. axes: d one-dimensional tensors, equally spaced
    and increasing, two or more points each. The cost is the product of their lengths. Raises ValueError if no point is
    possible or one is NaN.
    """
    for i, axis in enumerate(axes):
        gaps = axis.diff()
        if axis.ndim != 1 or len(axis) < 2 or not (gaps > 0).all() or not torch.allclose(gaps, gaps[0].expand_as(gaps), rtol=1e-3):
            fail(f"axis {i} of {len(axis)} points", "two or more equally spaced, increasing points", "torch.linspace(low, high, 40)")
    points = torch.cartesian_prod(*axes).reshape(-1, len(axes))
    values = torch.cat([log_prob(part) for part in points.split(chunk)])
    if torch.isnan(values).any() or not (values > -torch.inf).any() or (values == torch.inf).any():
        fail("log_prob with NaN, +inf, or -inf at every point", "finite values or -inf, one of them finite", "check the axes' range")
    total = values.logsumexp(0)
    evidence = total + sum(_width(axis).log() for axis in axes)
    shape = tuple(len(axis) for axis in axes)
    return GridPosterior(tuple(axes), (values - total).exp().reshape(shape), float(evidence))


def _width(axis: Tensor) -> Tensor:
    return (axis[-1] - axis[0]) / (len(axis) - 1)
