"""The discriminator, its spectral normalization, and both sides of the GAN loss."""

from __future__ import annotations

import pytest
import torch

from restorekit.images import bundled, patches
from restorekit.nets import Discriminator, discriminator_loss, generator_loss, printed_gan_loss
from restorekit.nets.discriminator import spectral_norm
from restorekit.operators import Blur


def gen(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def small(channels: int = 3, levels: int = 5) -> Discriminator:
    return Discriminator(channels, features=4, levels=levels, generator=gen())


# the net


@pytest.mark.parametrize("size", [(32, 32), (33, 47), (40, 64)])
def test_one_logit_for_each_picture_of_any_size(size):
    D, x = small(), torch.rand(3, 3, *size, generator=gen())
    logits = D(x)
    assert logits.shape == (3,)
    torch.testing.assert_close(logits[1:2], D(x[1:2]), atol=1e-6, rtol=1e-5)


def test_it_has_no_state_but_its_weights_and_no_forward_pass_changes_it():
    D, x = small(), torch.rand(1, 3, 32, 32, generator=gen())
    assert not list(D.buffers())
    assert torch.equal(D(x), D(x)) and torch.equal(D(x), D.eval()(x))
    assert torch.equal(D(x), small()(x))


def test_the_size_of_a_weight_does_not_matter_but_its_direction_does():
    D, x = small(), torch.rand(2, 3, 32, 32, generator=gen())
    before = D(x)
    with torch.no_grad():
        for conv in D.convs:
            conv.weight *= 7.0
    torch.testing.assert_close(D(x), before, atol=1e-5, rtol=1e-4)
    with torch.no_grad():
        D.convs[0].weight[0] *= -1
    assert not torch.allclose(D(x), before, atol=1e-5, rtol=1e-4)


def test_signals_keep_their_size_at_the_start():
    """The features of different pictures differ, in the full size, by more than rounding: gradients reach the first layer."""
    D = Discriminator(features=16, generator=gen())
    x = torch.cat([patches(bundled(name, size=(64, 64)), 32) for name in ("cat", "coffee")])
    logits = D(x)
    assert logits.std() > 1e-3
    logits.sum().backward()
    sizes = [conv.weight.grad.norm() / conv.weight.norm() for conv in D.convs]
    assert max(sizes) < 100 * min(sizes)


def test_it_learns_to_tell_sharp_from_blurred():
    x = bundled("coffee", gray=True, size=(96, 128))
    sharp, blurred = (patches(v, 16) for v in (x, Blur(torch.ones(1, 1, 5, 5) / 25)(x)))
    D = Discriminator(1, features=8, levels=2, generator=gen())
    adam = torch.optim.Adam(D.parameters(), 3e-3)
    for _ in range(50):
        adam.zero_grad()
        discriminator_loss(D(sharp), D(blurred)).backward()
        adam.step()
    right = torch.cat([D(sharp) > 0, D(blurred) < 0]).float().mean()
    assert right > 0.8


@pytest.mark.parametrize("shape", [(8, 3, 3, 3), (6, 10, 4, 4), (12, 1, 1, 1), (1, 4, 3, 3)])
def test_the_spectral_norm_is_the_largest_singular_value(shape):
    W = torch.randn(shape, generator=gen(), dtype=torch.float64)
    expected = torch.linalg.svdvals(W.flatten(1))[0]
    assert spectral_norm(W).item() == pytest.approx(expected.item(), rel=1e-6)


def test_the_spectral_norms_gradient_is_u_v():
    W = torch.randn(5, 2, 3, 3, generator=gen(), dtype=torch.float64, requires_grad=True)
    spectral_norm(W).backward()
    u, _, v = torch.linalg.svd(W.detach().flatten(1), full_matrices=False)
    torch.testing.assert_close(W.grad.flatten(1), torch.outer(u[:, 0], v[0]), atol=1e-5, rtol=1e-5)


def test_a_zero_weight_gives_finite_logits():
    D = small(1, 1)
    with torch.no_grad():
        D.convs[0].weight.zero_()
    assert torch.isfinite(D(torch.rand(1, 1, 8, 8))).all()


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="sides from 32"):
        small()(torch.rand(1, 3, 31, 40))
    with pytest.raises(ValueError, match="1 channels"):
        small()(torch.rand(1, 1, 32, 32))
    with pytest.raises(TypeError, match="one dtype"):
        small()(torch.rand(1, 3, 32, 32).double())
    with pytest.raises(ValueError, match="levels=0"):
        small(levels=0)


# the losses


def logit(value: float) -> torch.Tensor:
    return torch.tensor([value], dtype=torch.float64, requires_grad=True)


def test_the_losses_are_what_their_docstrings_say():
    real, fake = torch.randn(2, 5, generator=gen(), dtype=torch.float64)
    p, q = real.sigmoid(), fake.sigmoid()
    assert printed_gan_loss(real, fake).item() == pytest.approx((p.log().mean() - q.log().mean()).item())
    assert discriminator_loss(real, fake).item() == pytest.approx((-p.log().mean() - (1 - q).log().mean()).item())
    assert generator_loss(fake).item() == pytest.approx(-q.log().mean().item())
    zero = torch.zeros(3)
    assert discriminator_loss(zero, zero).item() == pytest.approx(2 * torch.log(torch.tensor(2.0)).item())
    assert all(torch.isfinite(f(torch.tensor([-1e4]), torch.tensor([1e4]))) for f in (printed_gan_loss, discriminator_loss))


def test_the_restorers_part_is_the_printed_one():
    """G minimizes Eq. 3: its gradient is that of generator_loss, and it is largest where D is sure."""
    for value in (-6.0, 0.0, 6.0):
        a, b = logit(value), logit(value)
        printed_gan_loss(logit(0.3), a).backward()
        generator_loss(b).backward()
        torch.testing.assert_close(a.grad, b.grad)
        assert a.grad.item() == pytest.approx(torch.sigmoid(torch.tensor(value)).item() - 1, abs=1e-6)


def test_the_discriminators_part_as_printed_has_no_bound_and_weighs_the_wrong_fakes():
    real = torch.zeros(1)
    assert printed_gan_loss(real, torch.tensor([-1e4])) > 9e3  # D maximizes this
    sure, deceived = logit(-6.0), logit(6.0)
    for loss, ratio in ((printed_gan_loss, 400), (discriminator_loss, 1 / 400)):
        grads = [torch.autograd.grad(loss(real, fake), fake)[0].abs().item() for fake in (sure, deceived)]
        assert grads[0] / grads[1] == pytest.approx(ratio, rel=0.02)  # e^6 = 403


def test_the_best_discriminator_is_p_over_p_plus_q():
    """At frequencies p of real and q of restored pictures the loss is least at D = p / (p + q); as printed D runs to 1 or 0."""
    for p, q in ((0.75, 0.25), (0.2, 0.8)):
        l = torch.linspace(-8, 8, 321, dtype=torch.float64)
        proper = torch.stack([p * discriminator_loss(v, torch.tensor(-1e9)) + q * discriminator_loss(torch.tensor(1e9), v) for v in l])
        assert l[proper.argmin()].sigmoid().item() == pytest.approx(p / (p + q), abs=8e-3)
        one = torch.tensor(1e9, dtype=torch.float64)
        printed = torch.stack([p * printed_gan_loss(v, one) + q * printed_gan_loss(one, v) for v in l])
        assert l[printed.argmax()].item() == (8 if p > q else -8)
