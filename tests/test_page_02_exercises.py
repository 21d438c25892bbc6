"""Page 02: the references of its exercises are true."""

import torch

from restorekit.solvers import ULA, run
from restorekit.teach import tasks_02


def test_acceptance_takes_truth_values():
    assert tasks_02.acceptance().judge(lambda new, old, u: u.log() < new - old)[0] == "right"


def test_the_step_of_the_bias_does_what_it_says():
    v, excess = 0.5, 0.3
    h = tasks_02.step_for_bias().reference(v, excess)
    start = torch.zeros(200000, dtype=torch.float64)
    std = run(ULA(lambda x: -x / v, start, h, generator=torch.Generator().manual_seed(0)), 40).state.x.std()
    # standard error of a std: std / sqrt(2 n); 4.5 of them, false-alarm rate 7e-6
    assert abs(std - (1 + excess) * v**0.5) < 4.5 * std / (2 * len(start)) ** 0.5
