"""Page 03: the references of its exercises are true."""

import math

import torch

from restorekit.methods.mlmc_unrolled import unrolled_meta_gradient
from restorekit.teach import tasks_03


def test_contraction_is_what_alternation_does():
    lam, k = 0.25, 1 - 1e-5
    for _ in range(3):
        k = 1 / ((k + lam) / (k**2 + lam))
    assert math.isclose((1 - k) / 1e-5 * 0.1, tasks_03.contraction().reference, rel_tol=1e-3)


def test_unrolled_reference_is_the_librarys():
    task = tasks_03.unrolled()
    loss, x, k, steps, eta = task.cases[0]
    library = unrolled_meta_gradient(loss, lambda x, g: x - eta * g, x, k, steps)
    assert torch.allclose(task.reference(*task.cases[0]), library, atol=1e-12)


def test_data_slope_is_the_derivative_of_the_library_loss():
    from restorekit.methods.mlmc_steps import noise_variance

    r = torch.tensor([0.5, -1.0, 0.25, 2.0], dtype=torch.float64, requires_grad=True)
    (r.square().sum() / noise_variance(r, 0.0)).backward()
    assert torch.allclose(tasks_03.data_slope().reference(r.detach()), r.grad)


def test_weights_of_one_give_the_plain_gradient():
    k, x, eta = 0.4, 1.5, 0.2
    first = -x * (1 - k * x)
    moved = x - eta * (-k * (1 - k * x) + 0.001 * (x - 1))
    second = -moved * (1 - k * moved)
    assert math.isclose(tasks_03.weighted().reference(k, x, [1.0, 1.0], eta), (first + second) / 2, rel_tol=1e-12)
