"""Page 01: the references of its exercises are true."""

import torch
import torch.nn.functional as F

from restorekit import Blur, gaussian_kernel, kernel_moments
from restorekit.teach import tasks_01


def test_convolution_reference_is_the_library():
    x, k = torch.rand(1, 1, 9, 8, dtype=torch.float64), torch.rand(1, 1, 3, 5, dtype=torch.float64)
    assert torch.allclose(tasks_01.convolution().reference(x, k), Blur(k, "zero")(x))


def test_reflect_adjoint_reference_passes_the_dot_test():
    x, z = torch.rand(2, 7, dtype=torch.float64), torch.rand(2, 13, dtype=torch.float64)
    padded = F.pad(x, (3, 3), mode="reflect")
    assert torch.isclose((padded * z).sum(), (x * tasks_01.reflect_adjoint().reference(z, 3)).sum())


def test_phase_reference_is_the_centroid_of_what_the_pixel_sees():
    k = gaussian_kernel(25, 1.5, shift=(0.75, -0.5), dtype=torch.float64)
    at = 3 * torch.tensor([4.0, 4.0]) - kernel_moments(k)[1][0]
    assert torch.allclose(at, torch.tensor(tasks_01.phase().reference, dtype=torch.float64), atol=1e-6)


def test_wiener_reference_has_the_least_error():
    g = torch.Generator().manual_seed(0)
    K, S, N = 0.3 + 0.4j, 2.0, 0.5
    X = S**0.5 * torch.randn(20000, generator=g, dtype=torch.complex128)
    Y = K * X + N**0.5 * torch.randn(20000, generator=g, dtype=torch.complex128)
    K, S, N = torch.tensor(K, dtype=torch.complex128), torch.tensor(S), torch.tensor(N)
    task = tasks_01.wiener_filter()
    errors = [(f(Y, K, S, N) - X).abs().square().mean() for f in (task.reference, *task.wrong.values())]
    assert errors.index(min(errors)) == 0


def test_noise_std_takes_either_right_way():
    task = tasks_01.noise_std()
    by_differences = lambda p: (p[:, 1:] - p[:, :-1]).std() / 2**0.5  # noqa: E731
    assert task.judge(by_differences)[0] == "right"
    assert abs(float(task.reference(*task.cases[0])) - tasks_01.NOISE) < 0.3
