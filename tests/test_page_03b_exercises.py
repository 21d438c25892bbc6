"""Page 03b: the references of its exercises are true."""

import math

import pytest
import torch

from restorekit import gaussian_kernel, kernel_distance
from restorekit.experiments.claims import verdict_from
from restorekit.teach import tasks_03b


def test_rate_of_false_verdicts_is_that_of_the_rule():
    t = 2 * math.sqrt(3)
    assert tasks_03b.FALSE == pytest.approx(1 - t / math.sqrt(2 + t**2), abs=5e-5)  # Student's law with 2 degrees of freedom
    seeds = torch.randn(20000, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    pairs = zip(seeds.mean(1).tolist(), seeds.std(1).tolist(), strict=True)
    decided = sum(verdict_from(m, s) != "undecided" for m, s in pairs) / 20000
    assert decided == pytest.approx(tasks_03b.FALSE, abs=0.008)  # 4 standard errors


def test_aligned_psnr_finds_the_shift():
    x, ref, r = tasks_03b.aligned_psnr().cases[0]
    found = tasks_03b.aligned_psnr().reference(x, ref, r)
    assert found > 20  # noise of at most 0.1; misplaced, two unlike noise pictures
    assert found == pytest.approx(tasks_03b.aligned_psnr().reference(x.roll((1, 1), (-2, -1)), ref, r), abs=1.0)


def test_gaussian_of_moments_of_a_gaussian_is_itself():
    k = gaussian_kernel(21, (2.0, 1.0), 0.5, dtype=torch.float64)
    assert kernel_distance(tasks_03b.gaussian_of_moments().reference(k), k).item() < 1e-3
