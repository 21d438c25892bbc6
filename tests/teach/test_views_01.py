"""The figures of page 01: their alt texts state what was computed."""

from types import SimpleNamespace

import pytest
import torch

from restorekit import camera_shake, delta_kernel, line_kernel
from restorekit.teach import Trace, compare
from restorekit.teach import views_01 as views


def picture() -> torch.Tensor:
    return torch.rand(1, 1, 32, 32, generator=views.seeded(0))


def test_psnrs_fill_the_sentence_in_the_order_of_the_panels():
    x = picture()
    shown = compare({"far": x * 0.5, "near": x * 0.99}, x, alt=views.psnrs("first {0:.2f} dB, then {1:.2f} dB"))
    assert shown.alt == f"first {shown.scores['far'].psnr:.2f} dB, then {shown.scores['near'].psnr:.2f} dB"


def test_a_delta_keeps_all_frequencies_and_a_line_loses_some():
    assert "a: 0% of" in views.kernel(delta_kernel(9), picture(), "a").alt
    assert "b: 0% of" not in views.kernel(line_kernel(25, 16.0), picture(), "b").alt


@pytest.mark.parametrize(("turn", "same"), [(0.0, True), (0.2, False)])
def test_kernels_agree_over_the_picture_unless_the_camera_turns(turn, same):
    shaken = camera_shake(picture(), extent=6, rotation=turn, generator=views.seeded(3))
    assert ("share 100%" in views.shake(*shaken, window=41).alt) == same


def test_semi_convergence_names_the_best_and_the_last_step():
    trace, quality = Trace(), [20.0, 25.0, 24.0, 23.0, 22.0, 21.0]
    for i in range(1, 7):
        trace(i, SimpleNamespace(x=picture()))
    assert "25.0 dB at step 2" in views.semi_convergence(trace, quality).alt
    assert "21.0 dB at step 6" in views.semi_convergence(trace, quality).alt
    assert [s.step for s in views.key_steps(trace, 3)] == [1, 2, 6]
    assert len(views.stepping(trace, picture(), quality).states) > 2


def test_stopping_states_both_losses():
    alt = views.stopping({"1%": ([20.0, 25.0, 22.0], 0), "3%": ([19.0, 18.0, 15.0], 1)}).alt
    assert "never stopping loses 3.0, 4.0 dB" in alt and "the residual rule loses 5.0, 1.0 dB" in alt


def test_wins_count_cases_not_means():
    score = {("a", 0): 20, ("a", 1): 22, ("b", 0): 21, ("b", 1): 21}
    rows = [{"method": m, "image": "cat", "seed": s, "PSNR": v, "SSIM": 0.5} for (m, s), v in score.items()]
    assert views.wins(rows, "a", "b") == "a beats b in 1 of 2 cases"
    assert "21.00 ± 1.41" in views.ranking(rows) and "2 seeds, 1 pictures" in views.ranking(rows)
