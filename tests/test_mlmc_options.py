"""Options of MLMC beyond the printed algorithms: weights, warm-up, SSIM phase, priors, unrolled meta-gradient, stopping rule."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from restorekit.kernel_priors import LinePrior
from restorekit.kernels import GaussianPrior, KernelPrior, MotionPrior, gaussian_kernel, kernel_moments, line_kernel
from restorekit.methods.blind import blind_solver, default_kernel_prior
from restorekit.methods.mlmc import MLMC, kernel_weights, mcka_step
from restorekit.methods.mlmc_presets import PAPER, PUBLISHED, MLMCSettings
from restorekit.methods.mlmc_steps import noise_variance, sample_kernels, warm_up
from restorekit.methods.regularizers import REGULARIZERS, hyper_laplacian, image_prior, printed_hyper_laplacian
from restorekit.metrics import ssim
from restorekit.nets import KernelNet, SkipNet
from restorekit.nets.nonlocal_block import NonLocalBlock
from restorekit.operators import BlurDown
from restorekit.solvers import load_state, run, save_state

PLAIN = replace(PAPER, outer=4, meta_steps=2, image_steps=2, channels=4, skip=2, levels=2, inputs=2, hidden=(16,))


def gen(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def picture(n: int = 12, channels: int = 1) -> Tensor:
    return torch.rand(1, channels, n // 3, n // 3, generator=gen(7)).repeat_interleave(3, 2).repeat_interleave(3, 3)


def learner(settings: MLMCSettings = PLAIN, seed: int = 0, y: Tensor | None = None, **options: Any) -> MLMC:
    return MLMC(picture() if y is None else y, 2, GaussianPrior(7), settings=settings, generator=gen(seed), **options)


def small_nets() -> tuple[SkipNet, KernelNet, Tensor, Tensor, Tensor]:
    image_net = SkipNet(2, 1, channels=3, skip=1, levels=2, generator=gen()).double()
    kernel_net = KernelNet(5, hidden=(6,), inputs=4, generator=gen(1)).double()
    z_x, z_k = torch.rand(1, 2, 12, 12, generator=gen(2)).double(), torch.rand(1, 4, generator=gen(3)).double()
    return image_net, kernel_net, z_x, z_k, torch.rand(1, 1, 6, 6, generator=gen(4)).double()


# sample weights


def test_focal_weights_are_those_of_the_published_code() -> None:
    nu = torch.tensor([3.0, 1.0, 2.0, 6.0])  # excess 2, 0, 1, 5 of 8
    expected = [-((1 - p) ** 2) * math.log(p + 1e-3) for p in (2 / 8, 0.0, 1 / 8, 5 / 8)]
    assert kernel_weights(nu, "focal").tolist() == pytest.approx(expected)
    assert kernel_weights(nu, "focal").argmax() == nu.argmin()
    assert kernel_weights(torch.tensor([1.0, 9.0]), "focal")[1].item() == pytest.approx(0, abs=1e-6)
    alike = kernel_weights(torch.full((4,), 2.0), "focal")
    assert torch.isfinite(alike).all() and alike.std() == 0


# warm-up


def test_warm_up_goes_through_the_samples_and_ends_near_the_mean_of_the_prior() -> None:
    cold, warm = learner(), learner(replace(PLAIN, warmup=60, lr_mcka=3e-3))
    mean = sample_kernels(GaussianPrior(7), 500, generator=gen(5)).mean(0)

    def off(one: MLMC) -> float:
        return (one.kernel()[0] - mean).abs().sum().item()

    assert off(warm) < 0.35 * off(cold)
    assert warm._step == 0
    net, z = KernelNet(5, hidden=(6,), inputs=4, generator=gen()), torch.rand(1, 4, generator=gen(1))
    samples, seen = GaussianPrior(5).sample(3, generator=gen(2)), []
    sgd = torch.optim.SGD(net.parameters(), 0.05)
    for k_tau in samples.split(1):  # by hand, on a copy of the parameters
        loss = (net(z) - k_tau).square().sum()
        seen.append([p - 0.05 * g for p, g in zip(net.parameters(), torch.autograd.grad(loss, list(net.parameters())), strict=True)])
        warm_up(net, z, sgd, k_tau)
        assert all(torch.allclose(p, q) for p, q in zip(net.parameters(), seen[-1], strict=True))


def test_one_adam_for_all_kernel_steps() -> None:
    shared, apart = learner(replace(PLAIN, shared_adam=True)), learner()
    assert shared._optimizers["mcka"] is shared._optimizers["kernel"]
    assert apart._optimizers["mcka"] is not apart._optimizers["kernel"]
    shared.step()
    counts = {int(s["step"]) for s in shared._optimizers["kernel"].state.values()}
    assert counts == {3}  # one step of MCKA, two of MLAO
    assert shared._gain == pytest.approx(12 * 12 / 49) and apart._gain == 1


def test_the_gain_of_mcka_multiplies_its_step() -> None:
    net, z = KernelNet(7, hidden=(6,), inputs=4, generator=gen()).double(), torch.rand(1, 4, generator=gen(1)).double()
    samples, x = GaussianPrior(7).sample(3, generator=gen(2)).double(), torch.rand(1, 1, 24, 24, generator=gen(3)).double()
    start = [p.detach().clone() for p in net.parameters()]
    moves = []
    for gain in (1.0, 3.0):
        net.load_state_dict(dict(zip(net.state_dict(), start, strict=True)))
        mcka_step(net, z, torch.optim.SGD(net.parameters(), 0.1), samples, x=x, y=picture().double(), scale=2, gain=gain)
        moves.append([p.detach() - b for p, b in zip(net.parameters(), start, strict=True)])
    assert all(torch.allclose(3 * m, n) for m, n in zip(*moves, strict=True)) and moves[0][0].abs().max() > 0


# loss


def test_ssim_phase_is_the_data_term_of_the_first_image_steps() -> None:
    a = learner(replace(PLAIN, ssim_steps=6, rho=0.0, noise_variance=False))
    k = gaussian_kernel(7, 1.0)
    x = torch.rand(1, 1, 24, 24, generator=gen(3), requires_grad=True)
    k.requires_grad_()
    Ax = BlurDown(k, 2, "reflect")(x)
    expected = 144 * (1 - ssim(Ax, picture(), quantize=False)[0]).float()
    loss = a._loss(x, k)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    for got, wanted in zip(torch.autograd.grad(loss, (x, k)), torch.autograd.grad(expected, (x, k)), strict=True):
        assert torch.allclose(got, wanted, rtol=1e-3, atol=1e-5) and wanted.abs().max() > 0.1  # of picture and of kernel
    counted: list[bool] = []
    term = a._data_term
    a._data_term = lambda Ax, s: (counted.append(not torch.equal(t := term(Ax, s), s)), t)[1]  # type: ignore[method-assign, func-returns-value, assignment]
    for _ in range(2):
        a.step()
    assert counted == [True] * 6 + [False] * 2
    with pytest.raises(ValueError, match="ssim_steps"):
        learner(replace(PLAIN, ssim_steps=6), y=torch.rand(1, 1, 10, 20, generator=gen()))


def test_literal_noise_variance_leaves_the_data_without_a_gradient() -> None:
    r = torch.tensor([0.3, -0.1, 0.2], dtype=torch.float64, requires_grad=True)
    literal = r.square().sum() / noise_variance(r, 0.01, stop_gradient=False)
    assert literal.item() == pytest.approx(3) and torch.autograd.grad(literal, r)[0].abs().max() < 1e-12
    assert torch.autograd.grad(r.square().sum() / noise_variance(r, 0.01), r)[0].abs().max() > 1


def test_noise_variance_can_be_left_out() -> None:
    x, k = torch.rand(1, 1, 24, 24, generator=gen(3)), gaussian_kernel(7, 1.0)
    squares = (picture() - BlurDown(k, 2, "reflect")(x)).square().sum().item()
    bare = replace(PLAIN, rho=0.0)
    assert learner(replace(bare, noise_variance=False))._loss(x, k).item() == pytest.approx(squares, rel=1e-5)
    assert learner(bare)._loss(x, k).item() == pytest.approx(144, rel=1e-5)  # |r|^2 / mean r^2: the number of values


@pytest.mark.parametrize("name", REGULARIZERS)
def test_the_regularizer_of_the_settings_is_in_the_loss(name: str) -> None:
    x, k = torch.rand(1, 1, 24, 24, generator=gen(3)), gaussian_kernel(7, 1.0)
    down, right = (x[..., 1:, :] - x[..., :-1, :]).abs(), (x[..., 1:] - x[..., :-1]).abs()
    power = {"hyper_laplacian": 2 / 3, "tv": 1.0, "tikhonov": 2.0, "none": None}[name]
    expected = 0.0 if power is None else ((down**power).sum() + (right**power).sum()).item()
    assert image_prior(x, name).item() == pytest.approx(expected, rel=1e-3)  # its epsilon rounds the corner at 0
    both = [learner(replace(PLAIN, rho=rho, regularizer=name))._loss(x, k).item() for rho in (0.0, 0.5)]
    assert both[1] - both[0] == pytest.approx(0.5 * expected, rel=1e-3, abs=1e-3)


def test_the_printed_prior_does_not_see_how_edges_are_spread() -> None:
    """One edge of 1 and four of 1/2 have one printed value (equal norms), while a hyper-Laplacian prefers the single edge."""
    one, many = torch.zeros(1, 1, 1, 20), torch.zeros(1, 1, 1, 20)
    one[..., 10:] = 1
    for at in (4, 8, 12, 16):
        many[..., at:] += 0.5
    printed = [printed_hyper_laplacian(x, 1 / 3).item() for x in (one, many)]
    assert printed == pytest.approx([1, 1])
    sums = [hyper_laplacian(x, 1 / 3, epsilon=1e-12).item() for x in (one, many)]
    assert sums[1] > 2 * sums[0]
    x = torch.rand(1, 2, 4, 5, generator=gen())
    norms = (x[..., 1:, :] - x[..., :-1, :]).norm(), (x[..., 1:] - x[..., :-1]).norm()
    assert printed_hyper_laplacian(x, 0.4).item() == pytest.approx(sum(n.item() ** 0.8 for n in norms), rel=1e-5)


# kernel priors


def test_lines_of_the_prior_have_the_planted_lengths_and_angles() -> None:
    """A uniform segment of length l has variance l^2/12 along it; bilinear dots add at most 1/4 to each axis."""
    exact = LinePrior(15, length=(6.0, 6.0), theta=(0.7, 0.7)).sample(1, generator=gen())
    assert (exact - line_kernel(15, 6.0, 0.7)).abs().sum() < 0.05
    prior = LinePrior(21, (-0.5, 0.25), length=(4.0, 14.0))
    k = prior.sample(2000, generator=gen()).double()
    mass, centroid, covariance = kernel_moments(k)
    assert torch.allclose(mass, torch.ones_like(mass), atol=1e-5) and (k >= 0).all()
    assert (centroid - torch.tensor([-0.5, 0.25])).abs().max() < 0.01
    eigen, vectors = torch.linalg.eigh(covariance)
    lengths = (12 * (eigen[:, 1] - eigen[:, 0])).sqrt()  # what the dots add is nearly the same on both axes
    assert 3 < lengths.min() and lengths.max() < 15.5
    assert lengths.mean().item() == pytest.approx(9, abs=0.4)  # 10 / sqrt(12 * 2000) = 0.065 is its standard error
    assert eigen[:, 0].max() < 0.3
    twice = 2 * torch.atan2(vectors[:, 0, 1], vectors[:, 1, 1])
    assert torch.stack([twice.sin(), twice.cos()]).mean(1).abs().max() < 5 / 2000**0.5  # every direction alike


def test_lines_fill_the_window_and_no_more() -> None:
    prior = LinePrior(11, (-1.5, -1.5))
    assert prior.lengths == (1.0, pytest.approx(7.0))
    prior.sample(500, generator=gen())
    for length in ((3.0, 8.0), (-1.0, 3.0), (4.0, 3.0)):
        with pytest.raises(ValueError, match="length"):
            LinePrior(11, (-1.5, -1.5), length=length)


@pytest.mark.parametrize(("name", "kind"), [("gaussian", GaussianPrior), ("motion", MotionPrior), ("line", LinePrior)])
@pytest.mark.parametrize("scale", [1, 2, 3, 4])
@pytest.mark.parametrize("sign", [-1, 1])
def test_priors_have_names_and_hold_at_every_scale(name: str, kind: type[KernelPrior], scale: int, sign: int) -> None:
    m = (sign * (scale - 1) / 2,) * 2
    made = blind_solver(torch.rand(1, 1, 16, 16, generator=gen()), scale, settings=PLAIN, kernel_prior=name, align=m, generator=gen())
    assert type(made.prior) is kind and made.prior.centroid == m and made.prior.size == (15 if scale == 1 else 4 * scale + 3)
    made.prior.sample(300, generator=gen(1))


def test_a_name_of_no_prior_is_refused() -> None:
    with pytest.raises(ValueError, match="kernel_prior='disk'"):
        blind_solver(torch.rand(1, 1, 16, 16, generator=gen()), 2, kernel_prior="disk", generator=gen())


@pytest.mark.parametrize(("scale", "low", "high"), [(1, 1.35, 13), (2, 1.35, 13), (3, 2.525, 16.5), (4, 3.7, 20)])
def test_published_variances_are_wider_and_fit_the_window(scale: int, low: float, high: float) -> None:
    m = ((scale - 1) / 2,) * 2
    prior = default_kernel_prior(scale, 15 if scale == 1 else 4 * scale + 3, m, variances="published")
    assert isinstance(prior, GaussianPrior) and prior.variance == pytest.approx((low, high))
    prior.sample(300, generator=gen())
    plain = default_kernel_prior(scale, 19, m)
    assert isinstance(plain, GaussianPrior) and plain.variance == pytest.approx((0.175 * max(scale, 2), 2.5 * max(scale, 2)))


# meta-gradient


def test_a_fifth_of_the_terms_is_dropped_as_in_the_published_code() -> None:
    a = learner(replace(PLAIN, outer=6, meta_steps=1, image_steps=5, kernel_every=3))
    rounds = []
    for a._step in range(3):
        rounds += [a._rounds()]
    assert rounds == [[(3, True), (2, False)], [(1, True), (3, True), (1, False)], [(2, True), (3, True)]]
    assert sum(n for one in rounds for n, learns in one if not learns) == 3
    a._step = 0
    a.step()
    assert {int(s["step"]) for s in a._optimizers["kernel"].state.values()} == {1}
    assert {int(s["step"]) for s in a._optimizers["image"].state.values()} == {5}
    assert learner()._rounds() == [(2, True), (2, True)]


def test_a_non_local_block_starts_as_the_identity_and_then_looks_everywhere() -> None:
    block = NonLocalBlock(4).double()
    x = torch.rand(1, 4, 6, 8, generator=gen()).double()
    assert torch.equal(block(x), x)
    torch.nn.init.ones_(block.norm.weight)
    theta, phi, g = (layer(x)[0] for layer in (block.theta, block.phi, block.g))
    phi, g = (v.unfold(1, 2, 2).unfold(2, 2, 2).amax((3, 4)).flatten(1) for v in (phi, g))
    a = torch.zeros(2, 48).double()
    for i in range(48):
        for j in range(12):
            a[:, i] += (theta.flatten(1)[:, i] @ phi[:, j]) * g[:, j] / 12
    expected = x + block.norm(block.out(a.reshape(1, 2, 6, 8)))
    assert torch.allclose(block(x), expected)
    assert NonLocalBlock(3)(torch.rand(1, 3, 1, 5)).shape == (1, 3, 1, 5)


def test_the_deepest_levels_have_non_local_blocks() -> None:
    net = SkipNet(3, 3, channels=8, nonlocal_levels=3, generator=gen())
    blocks = [name for name, module in net.named_modules() if isinstance(module, NonLocalBlock)]
    assert [name.count("below") for name in blocks] == [2, 3, 4]
    assert net(torch.rand(1, 3, 33, 40)).shape == (1, 3, 33, 40)
    assert not [m for m in SkipNet(3, 3, channels=8, generator=gen()).modules() if isinstance(m, NonLocalBlock)]


def test_the_run_stops_when_nothing_moves() -> None:
    still = replace(PLAIN, outer=50, stop=(10.0, 10.0), stop_window=3)
    a = learner(still)
    assert len(run(a, 50, record={"loss": lambda s: s.loss}).history) == 3 and a.finished
    assert run(a, 5).state is None  # a finished learner stays finished
    assert run(learner(replace(still, average_from=0.1)), 50).state.step == 5 + 3  # the mean begins at step 6
    for stop in ((1e-12, 10.0), (10.0, 1e-12), None):  # both have to rest; None never stops
        b = learner(replace(still, outer=6, stop=stop))
        assert run(b, 6).state.step == 6 and not b.finished


OPTIONS = {
    "warmup": {"warmup": 3},
    "ssim": {"ssim_steps": 10},
    "published order": {"kernel_every": 3, "meta_steps": 1, "image_steps": 5, "shared_adam": True, "weights": "focal"},
    "unrolled": {"meta_gradient": "unrolled"},
    "stop": {"stop": (10.0, 10.0), "stop_window": 4},
    "nonlocal": {"nonlocal_levels": 2, "kernel_input": 0.1},
}


@pytest.mark.parametrize("name", OPTIONS)
def test_every_option_resumes_bitwise(name: str, tmp_path: Path) -> None:
    settings = replace(PLAIN, outer=6, **OPTIONS[name])  # type: ignore[arg-type]
    a = learner(settings)
    for _ in range(2):
        a.step()
    save_state(tmp_path / "state", a)
    b = load_state(tmp_path / "state", learner(settings, seed=99))
    rest = run(a, 4).state, run(b, 4).state
    assert torch.equal(rest[0].x, rest[1].x) and torch.equal(rest[0].k, rest[1].k) and rest[0].step == rest[1].step
    assert rest[0].step == (4 if name == "stop" else 6) and a.finished == b.finished == (name == "stop")


# presets and errors


@pytest.mark.parametrize("scale", [1, 2, 3, 4])
def test_the_published_preset_runs_at_every_scale(scale: int) -> None:
    small = replace(PUBLISHED, outer=2, channels=4, skip=2, hidden=(16,), warmup=2, ssim_steps=7)
    y = torch.rand(1, 3, 12, 13, generator=gen())
    made = blind_solver(y, scale, settings=small, align=((scale - 1) / 2,) * 2, padding="circular", generator=gen())
    state = run(made, 2).state
    assert state.x.shape == (1, 3, 12 * scale, 13 * scale) and torch.isfinite(state.x).all()
    assert made._draw().shape[0] == 5 and made.z_k.max() <= 0.1  # type: ignore[attr-defined]


def test_the_published_preset_follows_the_list() -> None:
    c = PUBLISHED
    assert c.outer * c.meta_steps * c.image_steps == 1000 and c.kernel_every == 3 and c.samples == 5
    assert (c.warmup, c.ssim_steps, c.weights, c.nonlocal_levels, c.inputs) == (200, 405, "focal", 3, 3)
    assert (c.rho, 2 * c.eta, c.lr_image, c.lr_kernel) == (2e-4, 0.67, 5e-3, 1e-4)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"weights": "uniform"}, "weights='uniform'"),
        ({"regularizer": "l1"}, "regularizer='l1'"),
        ({"meta_gradient": "exact"}, "meta_gradient='exact'"),
        ({"variances": "wide"}, "variances='wide'"),
        ({"warmup": -1}, "warmup=-1"),
        ({"ssim_steps": -1}, "ssim_steps=-1"),
        ({"kernel_every": -1}, "kernel_every=-1"),
        ({"nonlocal_levels": -1}, "nonlocal_levels=-1"),
        ({"stop_window": 0}, "stop_window=0"),
        ({"stop": (0.0, 1.0)}, "stop="),
        ({"stop": (1.0,)}, "stop="),
    ],
)
def test_wrong_values_are_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(PAPER, **wrong)
    with pytest.raises(ValueError, match="nonlocal_levels"):
        SkipNet(2, 1, channels=2, nonlocal_levels=-1, generator=gen())
