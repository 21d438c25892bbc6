"""The figures of page 03: their alt texts state what was computed."""

from types import SimpleNamespace

import pytest
import torch

from restorekit import gaussian_kernel
from restorekit.teach import Trace
from restorekit.teach import views_03 as views

TRUTH = torch.rand(1, 1, 24, 24, generator=views.seeded(0))
KERNEL = gaussian_kernel(7, 1.0)


def movie() -> views.Movie:
    """A run whose kernel widens from a delta to the truth in four steps while the picture comes nearer."""
    trace = Trace()
    for i in range(1, 5):
        k = gaussian_kernel(7, 0.4 + 0.15 * i)
        samples, weights = torch.cat([k, KERNEL]), torch.tensor([0.5, 0.5])
        trace(i, SimpleNamespace(x=TRUTH * (1 - 0.2 / i), k=k, loss=144 * (i / 255) ** 2, samples=samples, weights=weights))
    return views.Movie(trace, TRUTH, KERNEL, 2)


def test_a_movie_measures_what_it_shows():
    made = movie()
    assert made.misfit == pytest.approx([1.0, 2.0, 3.0, 4.0])
    assert made.dB == sorted(made.dB) and made.distance[-1] == pytest.approx(0, abs=1e-3)
    assert made.moved[0] == 0 and min(made.moved[1:]) > 0
    assert f"{made.dB[-1]:.1f} dB" in made.strip().alt and "to 0.00" in made.strip().alt
    assert "misfit 3.0 gray levels" in made.frame(made.trace[2]).alt
    assert "kernel distance: " in made.halves() and "4.00 at the end" in made.halves()


def test_each_frame_of_a_movie_differs():
    made = movie()
    assert len({made.frame(state).png for state in made.trace}) == len(made)
    assert len(made.player().states) == len(made)


def test_portrait_names_where_each_path_ends():
    path = torch.tensor([[1.0, 0.4], [2.0, 0.5]])
    alt = views.portrait(lambda x, k: (1 - k * x) ** 2, {"a": path, "b": path.flip(0)}, (1.0, 1.0)).alt
    assert "a ends at k = 0.50; b ends at k = 0.40" in alt


def test_landscape_finds_the_lowest_point_and_its_curvature():
    k = torch.linspace(0, 2, 401, dtype=torch.float64)
    assert "bowl: at 0.50, curvature 6.000" in views.landscape(k, {"bowl": 3 * (k - 0.5) ** 2}).alt


def test_gradients_count_where_the_signs_differ():
    k = torch.linspace(-1, 1, 101)
    assert "on 50% of the range" in views.gradients(k, k - 2, k + 1e-4).alt


def test_paired_differences_count_pictures_and_mean():
    assert "a: +0.50 dB, worse in 2 of 3" in views.paired({"a": [1.0, 1.0, -0.5]}, "stored table, 3 runs").alt


def test_cliff_states_best_and_last():
    rows = [{"rate": r, "kernel_distance": d, "kernel_distance_spread": 0.1, "peak": p} for r, d, p in ((1e-3, 0.4, 0.2), (0.5, 1.1, 0.5))]
    alt = views.cliff(rows, "two runs").alt
    assert "lowest, 0.40, at step size 0.001" in alt and "at the printed 0.5 it is 1.10" in alt


def test_saturation_and_learning_state_the_distance():
    curves, found = {0.1: [1.0, 0.25], 0.5: [1.0, 1.5]}, {0.1: KERNEL, 0.5: KERNEL}
    assert "kernel distance 1.50" in views.saturation(0.5, curves, found, KERNEL).alt
    assert "0.1: 0.25, 0.5: 1.50" in views.learning(curves).alt
    assert "P = 2" in views.alignment({"a": [1.0, 0.5]}).alt


def test_landings_are_listed():
    text = views.landings({"a": 0.41}, {"a": torch.tensor([[1.0, 0.4], [2.0, 0.52]])})
    assert "| a | 0.41 | 0.52 |" in text
