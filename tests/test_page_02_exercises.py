"""The exercises of page 02: the solution passes, the stub does not block, each known-wrong answer gets its own hint."""

import pytest
import torch

from restorekit.solvers import ULA, run
from restorekit.teach import tasks_02

TASKS = ["downhill", "acceptance", "log_weights", "step_for_bias", "split_rhat"]


@pytest.mark.parametrize("name", TASKS)
def test_reference_passes_and_wrong_answers_get_their_hint(name):
    task = getattr(tasks_02, name)()
    task.verify()
    assert len(task.wrong) >= 3 and len(task.hints) == 3


@pytest.mark.parametrize("name", TASKS)
def test_stub_goes_on_with_the_reference(name, capsys):
    task = getattr(tasks_02, name)()
    assert task() is task.reference
    assert "not attempted" in capsys.readouterr().out


def test_acceptance_takes_truth_values():
    assert tasks_02.acceptance().judge(lambda new, old, u: u.log() < new - old)[0] == "right"


def test_the_step_of_the_bias_does_what_it_says():
    v, excess = 0.5, 0.3
    h = tasks_02.step_for_bias().reference(v, excess)
    start = torch.zeros(200000, dtype=torch.float64)
    std = run(ULA(lambda x: -x / v, start, h, generator=torch.Generator().manual_seed(0)), 40).state.x.std()
    # standard error of a std: std / sqrt(2 n); 4.5 of them, false-alarm rate 7e-6
    assert abs(std - (1 + excess) * v**0.5) < 4.5 * std / (2 * len(start)) ** 0.5


def test_each_quiz_answer_exists():
    assert len(tasks_02.QUIZ) == 3 and all(0 <= right < len(answers) for _, answers, right, _ in tasks_02.QUIZ)
