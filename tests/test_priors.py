"""Priors, static stacking, self-ensemble, and the rules that stop without the true picture."""

from __future__ import annotations

from math import sqrt

import pytest
import torch
from torch import Tensor

from restorekit import Blur, bundled, gaussian_noise
from restorekit.methods.priors import DenoiserPrior, self_ensemble, stack
from restorekit.methods.stopping import discrepancy, discrepancy_target, sure, whiteness
from restorekit.nets import load_denoiser


def gen(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def rand(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=gen(seed), dtype=torch.float64)


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=gen(seed), dtype=torch.float64)


# priors


def test_a_prior_scales_the_strength_and_splits_channels():
    seen = []

    def net(x: Tensor, sigma: float | Tensor) -> Tensor:
        seen.append((x.shape[1], float(sigma)))
        return 0.5 * x

    x = rand(1, 3, 6, 6)
    torch.testing.assert_close(DenoiserPrior(net, sigma=0.1, lam=2.0)(x), 0.5 * x)
    DenoiserPrior(net, sigma=0.1, channels="each")(x, 0.3)
    assert seen == [(3, 0.2), (1, pytest.approx(0.3))]


def test_gradients_are_kept_only_on_request():
    x = rand(1, 1, 6, 6).requires_grad_()
    assert not DenoiserPrior(lambda x, s: 2 * x)(x).requires_grad
    assert DenoiserPrior(lambda x, s: 2 * x, gradients=True)(x).requires_grad


def test_a_stack_applies_its_net_again_and_again():
    x = rand(1, 1, 6, 6)
    torch.testing.assert_close(stack(lambda x, s: 0.5 * x + s, 3)(x, 0.1), x / 8 + 0.1 * 1.75)
    with pytest.raises(ValueError, match="times"):
        stack(lambda x, s: x, 0)


def test_a_self_ensemble_is_the_mean_over_all_turns_and_mirrorings():
    k = rand(1, 1, 3, 3)
    f = lambda x, sigma: Blur(k, "zero")(x)  # noqa: E731
    total = sum(Blur(q, "zero")(rand(1, 2, 9, 7)) for t in range(4) for q in (k.rot90(t, (2, 3)), k.flip(3).rot90(t, (2, 3))))
    torch.testing.assert_close(self_ensemble(f)(rand(1, 2, 9, 7)), total / 8)


def test_a_noise_map_is_turned_along():
    x, level = rand(1, 1, 5, 8), rand(1, 1, 5, 8, seed=1)
    torch.testing.assert_close(self_ensemble(lambda x, s: x - s)(x, level), x - level)


def test_an_equivariant_net_does_not_change_and_another_is_never_worse_than_its_mean():
    x, y = bundled(size=(40, 40), gray=True), None
    torch.testing.assert_close(self_ensemble(lambda x, s: x.clamp(0.2, 0.8))(x), x.clamp(0.2, 0.8))
    net = load_denoiser(1)
    y = gaussian_noise(x, 0.1, generator=gen())
    copies = [(m, t) for m in (0, 1) for t in range(4)]

    def mse(z: Tensor) -> float:
        return (z - x).square().mean().item()

    def turned(m: int, t: int) -> Tensor:
        z = net((y.flip(-1) if m else y).rot90(t, (-2, -1)).contiguous(), 0.1).rot90(-t, (-2, -1))
        return z.flip(-1) if m else z

    assert mse(self_ensemble(net)(y, 0.1)) < sum(mse(turned(*c)) for c in copies) / 8


# stopping


def test_the_right_target_of_the_discrepancy_is_below_sigma():
    """Gaussian x of std s: v = s^2/(s^2 + sigma^2) y is the posterior mean, with mse = s^2 sigma^2 / (s^2 + sigma^2)."""
    s, sigma = 0.2, 0.1
    x = s * randn(1, 1, 300, 300)
    y = x + sigma * randn(1, 1, 300, 300, seed=1)
    v = s**2 / (s**2 + sigma**2) * y
    mse = s**2 * sigma**2 / (s**2 + sigma**2)
    assert discrepancy(y, v).item() == pytest.approx(discrepancy_target(sigma, mse), rel=0.01)
    assert discrepancy_target(sigma, mse) < 0.5 * sigma == pytest.approx(discrepancy_target(sigma) / 2)
    with pytest.raises(ValueError, match="mse"):
        discrepancy_target(0.1, 0.02)


def test_whiteness_is_one_for_white_noise_of_any_size_and_more_for_structure():
    for size in (32, 64, 128):
        values = [whiteness(0.3 * randn(1, 1, size, size, seed=i) + 0.5).item() for i in range(20)]
        assert sum(values) / 20 == pytest.approx(1, abs=0.2)
    lines = randn(1, 1, 64, 64) + torch.linspace(0, 20, 64, dtype=torch.float64).sin()
    assert whiteness(lines).item() > 5 and whiteness(randn(1, 1, 64, 64).expand(1, 2, -1, -1)).shape == (1,)
    brute = randn(1, 1, 8, 9, seed=5)
    c = brute - brute.mean()
    rho = [(c * c.roll((a, b), (2, 3))).sum() / c.square().sum() for a in (-1, 0, 1) for b in (-1, 0, 1) if (a, b) != (0, 0)]
    assert whiteness(brute, 1).item() == pytest.approx(72 * sum(r.item() ** 2 for r in rho) / 8)


def test_sure_is_exact_for_a_linear_map_and_unbiased_on_planted_noise():
    y = rand(2, 1, 20, 20)
    shrink = lambda y, sigma: 0.6 * y  # noqa: E731
    value, error = sure(shrink, y, 0.1, probes=4, generator=gen())
    expected = (0.4 * y).square().mean((1, 2, 3)) - 0.01 + 2 * 0.01 * 0.6  # divergence 0.6 N: each probe has it exactly
    torch.testing.assert_close(value, expected)
    assert error.max() < 1e-12
    x, sigma = rand(1, 1, 64, 64), 0.2
    blur = Blur(torch.full((1, 1, 3, 3), 1 / 9, dtype=torch.float64))
    f = lambda y, s: blur(y)  # noqa: E731
    gaps = []
    for i in range(12):
        noisy = x + sigma * randn(1, 1, 64, 64, seed=50 + i)
        gaps.append((sure(f, noisy, sigma, generator=gen(i))[0] - (f(noisy, 0) - x).square().mean()).item())
    spread = torch.tensor(gaps).std().item()
    assert abs(sum(gaps) / 12) < 3 * spread / sqrt(12) and spread < 0.1 * 0.2**2


def test_more_probes_tell_more_and_the_error_says_so():
    x = bundled(size=(48, 48), gray=True)
    y, net = gaussian_noise(x, 0.1, generator=gen()), load_denoiser(1)
    values = torch.stack([sure(net, y, 0.1, probes=1, generator=gen(100 + i))[0] for i in range(12)])
    value, error = sure(net, y, 0.1, probes=12, generator=gen(40))
    assert 0.5 < values.std().item() / sqrt(12) / error.item() < 2
    assert (values.mean() - value).abs() < 4 * error
    assert sure(net, y, 0.1, probes=1, generator=gen())[1].isnan().all()


def test_bad_settings_are_refused():
    with pytest.raises(ValueError, match="sigma"):
        sure(lambda y, s: y, rand(1, 1, 8, 8), 0.0, generator=gen())
    with pytest.raises(ValueError, match="radius"):
        whiteness(rand(1, 1, 6, 6), 3)
    with pytest.raises(ValueError, match="channels"):
        DenoiserPrior(lambda x, s: x, channels="rgb")
