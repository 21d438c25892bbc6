"""The kernel flow: exact inverse and density, FKP's files, what training reaches, the prior made of it."""

from __future__ import annotations

import math
import os
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from restorekit.kernels import GaussianPrior, MotionPrior, centered_gaussian, kernel_moments, project_simplex
from restorekit.nets import FlowPrior, KernelFlow, load_kernel_flow, shipped_kernel_flow, train_kernel_flow
from restorekit.nets.kernel_flow import ALPHA, Coupling, FlowNorm, FlowTrainer, flow_from_weights, published_name
from restorekit.solvers import run
from restorekit.weights import load_weights, save_weights

needs_published = pytest.mark.skipif(not os.environ.get("RESTOREKIT_WEIGHTS"), reason="RESTOREKIT_WEIGHTS is not set")


def gen(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def small(size: int = 3) -> KernelFlow:
    """A flow with every number drawn, in float64."""
    flow = KernelFlow(size, hidden=4, blocks=3, normalization=0.7, generator=gen()).double().eval()
    for layer in flow.layers:
        if isinstance(layer, FlowNorm):
            for p in (layer.log_gamma, layer.beta, layer.running_mean):
                p.data.copy_(0.3 * torch.randn(p.shape, generator=gen(1)))
            layer.running_var.copy_(0.5 + torch.rand(layer.running_var.shape, generator=gen(2)))
    return flow.requires_grad_(False)


def test_decode_and_encode_are_inverse() -> None:
    flow, z = small(5), torch.randn(7, 25, generator=gen(3)).double()
    k = flow.decode(z)
    assert k.shape == (7, 1, 5, 5)
    assert torch.allclose(flow.encode(k)[0], z, atol=1e-8)
    assert torch.allclose(flow.decode(flow.encode(k)[0]), k, atol=1e-10)


def test_log_determinant_equals_that_of_autograds_jacobian() -> None:
    flow = small()
    k = flow.decode(torch.randn(4, 9, generator=gen(3)).double())
    z, log_det = flow.encode(k)
    for one, expected, latent in zip(k, log_det, z, strict=True):
        J = torch.autograd.functional.jacobian(lambda v: flow.encode(v.reshape(1, 1, 3, 3))[0][0], one.reshape(-1))
        assert torch.linalg.slogdet(J)[1].item() == pytest.approx(expected.item(), abs=1e-8)
        log_p = flow.log_prob(one[None]).item()
        assert log_p == pytest.approx(expected.item() - 0.5 * (latent.square().sum().item() + 9 * math.log(2 * math.pi)), abs=1e-8)


def test_the_density_integrates_to_one() -> None:
    """2x2 taps: mean of p(k) / q(k), q a Gaussian of the logits twice as wide as the flow's samples, unaware of the flow."""
    flow = small(2)

    def logits(k: Tensor) -> Tensor:
        return torch.logit(ALPHA + (1 - 2 * ALPHA) * k.flatten(1) / flow.normalization)

    own = logits(flow.decode(torch.randn(5000, 4, generator=gen(4)).double()))
    q = torch.distributions.MultivariateNormal(own.mean(0), 2 * torch.cov(own.T))
    x = q.mean + torch.randn(20000, 4, generator=gen(5)).double() @ q.scale_tril.T
    share = torch.sigmoid(x)
    k = ((share - ALPHA) / (1 - 2 * ALPHA) * flow.normalization).reshape(-1, 1, 2, 2)
    volume = torch.log(flow.normalization / (1 - 2 * ALPHA) * share * (1 - share)).sum(1)  # log |det dk/dx|
    ratio = (flow.log_prob(k) + volume - q.log_prob(x)).exp()
    assert ratio.mean().item() == pytest.approx(1, abs=5 * ratio.std().item() / 20000**0.5)
    assert ratio.std() < 3


def test_a_coupling_is_triangular_in_its_mask() -> None:
    """Taps of the mask pass unchanged; each other tap depends on itself and on the mask's taps only."""
    mask = torch.tensor([0.0, 1, 0, 1, 0, 1])
    layer = Coupling(mask, 5).double()
    x = torch.randn(6, generator=gen(1)).double()
    J = torch.autograd.functional.jacobian(lambda v: layer(v[None])[0][0], x)
    order = [1, 3, 5, 0, 2, 4]  # the mask's taps first
    J = J[order][:, order]
    assert torch.equal(J[:3, :3], torch.eye(3).double()) and torch.equal(J[:3, 3:], torch.zeros(3, 3).double())
    assert (J[3:, :3] != 0).all() and torch.equal(J[3:, 3:], J[3:, 3:].diag().diag())
    assert torch.linalg.slogdet(J)[1].item() == pytest.approx(layer(x[None])[1].item(), abs=1e-10)


def test_masks_alternate_and_every_tap_is_moved() -> None:
    masks = [layer.mask for layer in small(5).layers if isinstance(layer, Coupling)]
    assert masks[0][:4].tolist() == [0, 1, 0, 1]
    assert all(torch.equal(a + b, torch.ones(25).double()) for a, b in zip(masks[:-1], masks[1:], strict=True))


def test_the_call_gives_probabilities_at_the_centroid() -> None:
    flow, z = small(7), torch.randn(20, 49, generator=gen(3)).double()
    k = flow(z, (-0.5, 0.25))
    assert (k >= 0).all() and torch.allclose(k.sum((1, 2, 3)), torch.ones(20).double())
    assert torch.allclose(kernel_moments(k)[1], torch.tensor([[-0.5, 0.25]]).double(), atol=1e-6)
    z = z[:1].requires_grad_()
    loss = (flow(z, (0.0, 0.0)) * torch.rand(7, 7, generator=gen(1)).double()).sum()
    (gradient,) = torch.autograd.grad(loss, z)
    step = 1e-5 * torch.randn(1, 49, generator=gen(2)).double()
    weights = torch.rand(7, 7, generator=gen(1)).double()
    ahead, behind = ((flow(z.detach() + s * step, (0.0, 0.0)) * weights).sum() for s in (1, -1))
    assert ((ahead - behind) / 2).item() == pytest.approx((gradient * step).sum().item(), rel=1e-5)


GAUSSIANS = GaussianPrior(7, (-0.5, -0.5), variance=(0.5, 2.0))
SHORT: dict[str, Any] = {"hidden": 8, "blocks": 4, "batch": 32, "pool": 512, "lr": 5e-3, "jitter": 0.05}


@pytest.fixture(scope="module")
def trained() -> KernelFlow:
    return train_kernel_flow(GAUSSIANS, steps=250, **SHORT, generator=gen())


def from_gaussian(k: Tensor) -> Tensor:
    """|k - g| / |g|, g the Gaussian with the covariance and centroid of k."""
    variances, axes = torch.linalg.eigh(kernel_moments(k)[2])
    angle = torch.atan2(axes[:, 0, 1], axes[:, 1, 1])
    centroid = kernel_moments(k)[1].mean(0).tolist()
    g = centered_gaussian(k.shape[-1], variances.flip(1).clamp(min=0.1).sqrt(), angle, (centroid[0], centroid[1]))
    return (k - g).norm(dim=(2, 3)) / g.norm(dim=(2, 3))


def test_training_learns_the_gaussians(trained: KernelFlow) -> None:
    prior = FlowPrior(7, (-0.5, -0.5), trained)
    k = prior.sample(300, generator=gen(1))
    expected = kernel_moments(GAUSSIANS.sample(300, generator=gen(2)))[2].mean(0)
    assert torch.allclose(kernel_moments(k)[2].mean(0), expected, atol=0.25)
    assert from_gaussian(k).median() < 0.2
    untrained = KernelFlow(7, hidden=8, normalization=trained.normalization.item(), generator=gen()).eval()
    assert from_gaussian(untrained(torch.randn(50, 49, generator=gen(1)), (-0.5, -0.5)).detach()).median() > 0.4


def test_new_gaussians_are_likely_and_other_kernels_are_not(trained: KernelFlow) -> None:
    gaussians = trained.log_prob(GAUSSIANS.sample(100, generator=gen(5)))
    paths = MotionPrior(7).sample(100, generator=gen(5)).clamp(max=0.9 * trained.normalization.item())
    assert gaussians.quantile(0.1) > trained.log_prob(paths).quantile(0.9)


def test_training_is_resumed_bitwise_and_repeats() -> None:
    def trainer(seed: int = 0) -> FlowTrainer:
        return FlowTrainer(GAUSSIANS, steps=10, **SHORT, generator=gen(seed))

    a, b = trainer(), trainer()
    run(a, 6)
    run(b, 3)
    c = trainer()
    c.load_state_dict(b.state_dict())
    run(c, 3)
    for p, q in zip(a.flow().state_dict().values(), c.flow().state_dict().values(), strict=True):
        assert torch.equal(p, q)
    assert not torch.equal(a.flow().decode(torch.zeros(1, 49)), trainer(1).flow().decode(torch.zeros(1, 49)))


def test_weights_come_back_from_a_file(trained: KernelFlow, tmp_path: Any) -> None:
    save_weights(tmp_path / "flow.safetensors", trained.state_dict())
    again = load_kernel_flow(tmp_path / "flow.safetensors")
    z = torch.randn(2, 49, generator=gen(1))
    assert torch.equal(again.decode(z), trained.decode(z)) and not any(p.requires_grad for p in again.parameters())
    with pytest.raises(ValueError, match="published=True"):
        flow_from_weights({"net.0.weight": z})


@pytest.mark.parametrize("scale", [1, 2, 3, 4])
def test_shipped_flows_give_gaussians(scale: int) -> None:
    flow = shipped_kernel_flow(scale)
    m = -(scale - 1) / 2
    prior = FlowPrior(flow.size, (m, m), flow)
    assert flow.size == (4 * scale + 3 if scale > 1 else 15)
    k = prior.sample(200, generator=gen(1))
    assert from_gaussian(k).median() < 0.1
    low, middle, high = torch.linalg.eigvalsh(kernel_moments(k)[2]).flatten().quantile(torch.tensor([0.05, 0.5, 0.95])).tolist()
    s = max(scale, 2)
    assert 0.5 * s < low < 0.7 * s and 1.1 * s < middle < 1.3 * s and 1.6 * s < high < 2.1 * s  # as the docstring says
    raw = kernel_moments(flow.decode(torch.randn(200, flow.inputs, generator=gen(2))))
    assert (raw[1].mean(0) - m).abs().max() < 0.05 and raw[0].median().item() == pytest.approx(1, abs=0.1)


@needs_published
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_published_flows_are_loaded_whole_and_give_gaussians_on_the_grid_of_resize(scale: int) -> None:
    """Strict: every tensor is used or is one that follows from the others, and those are as expected."""
    path = f"fkp/FKP_x{scale}.pt"
    raw = load_weights(path, published=True)
    flow = load_kernel_flow(path, published=True)
    size = 4 * scale + 3
    assert raw["kernel_size"].item() == flow.size == size
    assert (raw["base_dist_mean"] == 0).all() and (raw["base_dist_var"] == 1).all()
    for name, value in raw.items():
        if name.endswith(".mask"):
            assert torch.equal(value, flow.layers[int(name.split(".")[1])].mask)  # type: ignore[arg-type]
    assert {published_name(n) for n in raw} - {None} == set(flow.state_dict())
    flow = flow.double()
    z = torch.randn(200, size * size, generator=gen(1)).double()
    k = flow.decode(z)
    assert torch.allclose(flow.encode(k)[0], z, atol=1e-6)
    mass, centroid, _ = kernel_moments(k)
    assert k.min() > -1e-6 and mass.median().item() == pytest.approx(1, abs=0.05)
    # trained on Gaussians about -(s-1)/2, which the window cuts on one side
    assert (centroid.mean(0) + (scale - 1) / 2).abs().max() < 0.1
    m = -(scale - 1) / 2
    assert from_gaussian(flow(z, (m, m)).float()).median() < 0.2


def test_bad_input() -> None:
    flow = small(5)
    with pytest.raises(ValueError, match="5x5"):
        flow.encode(torch.zeros(1, 1, 7, 7).double())
    with pytest.raises(ValueError, match="0 to 0.7"):
        flow.encode(torch.full((1, 1, 5, 5), 0.8).double())
    with pytest.raises(ValueError, match="positive"):
        KernelFlow(1)
    with pytest.raises(ValueError, match="no flow"):
        FlowPrior(5)
    with pytest.raises(ValueError, match="5x5"):
        FlowPrior(7, (0.0, 0.0), flow)
    with pytest.raises(TypeError, match="Generator"):
        train_kernel_flow(GAUSSIANS, generator=0)  # type: ignore[arg-type]


def test_a_prior_moved_to_another_centroid_stays_a_probability(trained: KernelFlow) -> None:
    k = replace(FlowPrior(7, (-0.5, -0.5), trained), centroid=(0.0, 0.0)).sample(50, generator=gen(3))
    assert torch.allclose(project_simplex(k), k, atol=1e-5) and from_gaussian(k).median() < 0.2
