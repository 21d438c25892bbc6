"""The exercises of page 06 against the library; figures' numbers."""

import pytest
import torch

from restorekit.methods.dynamic_pnp import DynamicState
from restorekit.methods.operator_updates import Dense, Diagonal, OperatorUpdate
from restorekit.teach import tasks_06
from restorekit.teach import views_06 as views


def drawn(*shape, seed=0):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_a_dense_operator_has_that_many_unknowns():
    x = drawn(1, 1, 64, 48)
    assert tasks_06.unknowns().reference == pytest.approx(Dense().identity(x).numel() / x.numel())


def test_exact_step_is_the_librarys():
    v, y, a = (drawn(1, 1, 6, 5, seed=s) for s in range(3))
    mine = tasks_06.exact_step().reference(v, y, a, 0.4)
    assert torch.allclose(mine, Diagonal().operator(a).prox(v, y, 0.4))


def test_line_search_is_the_librarys():
    x, t = drawn(1, 1, 5, 7), drawn(1, 1, 5, 7, seed=1)
    A = Dense().identity(x)
    stepped = OperatorUpdate(Dense(), "line_search")(A, x, t)
    r = Dense().apply(A, x) - t
    alpha = tasks_06.line_search().reference(x[0, 0], r[0, 0])
    assert torch.allclose(stepped, A - alpha * r @ x.mT)


def test_gradients_of_rows_and_columns_are_autograds():
    a, b, x, t = drawn(4), drawn(6, seed=1), drawn(4, 6, seed=2), drawn(4, 6, seed=3)

    def loss(a, b):
        return 0.5 * (torch.diag(a) @ x @ torch.diag(b) - t).square().sum()

    for mine, auto in zip(tasks_06.row_column().reference(a, b, x, t), torch.func.grad(loss, (0, 1))(a, b), strict=True):
        assert torch.allclose(mine, auto)


def state(x, step, A=None):
    one = torch.ones_like(x)
    zero = torch.zeros(1, dtype=x.dtype)
    return DynamicState(x, 0.9 * x + 0.05, one if A is None else A, zero, zero, step=step)


def test_the_film_says_what_v_and_A_became():
    x = drawn(1, 1, 16, 16)
    runs = {"small": [state(x, i) for i in range(4)], "large": [state(x + 0.1 * i, i, 1 + 0.1 * i * x) for i in range(4)]}
    film = views.Film(runs, x, torch.zeros_like(x), x)
    assert [s.step for s in film.states] == [0, 1, 2, 3]
    assert film.strip().png[:4] == b"\x89PNG" and "small" in film.strip().alt
    said = film.frame(film.states[2]).alt
    assert f"{views.dB(runs['large'][2].v, x):.2f} dB" in said and f"{runs['large'][2].A.max():.2f}" in said


def test_panels_show_the_residual_of_A_x_plus_n():
    x, n = drawn(1, 1, 8, 8), 0.02 * torch.ones(1, 1, 8, 8, dtype=torch.float64)
    panels = views.state_panels(state(x, 1, torch.full_like(x, 1.5)), 1.5 * x, n, x)
    (name,) = [k for k in panels if k.startswith("residual")]
    assert name == "residual: 5.1 levels" and torch.allclose(panels[name], 0.5 + n / (2 * views.SPAN))


def test_a_gain_is_over_one_pass():
    said = views.gain_table([{"one pass": 30.0, "a": 30.5}, {"one pass": 28.0, "a": 28.1}], "g").data
    assert "0.30 ± 0.20" in said and "| 0.10 |" in said and "2 pictures" in said


def test_figures_say_their_numbers():
    assert "a +0.10 dB" in views.second_pass([0, 1], {"a": [0.0, 0.1]}).alt
    assert "a 20.0 after one, 22.0 dB after 2" in views.rounds({"a": [20.0, 22.0]}).alt
    x = torch.eye(4, dtype=torch.float64)
    along = views.along(lambda A: float((A - 2 * x).square().sum()), x, {"D": -x, "P": x}, x)
    assert "D 0.00 at best, 1.00 at twice that step" in along.alt and "P 1.00 at best" in along.alt
    assert "0.2% of the way" in views.cliff([1e-5, 1e-4, 1e-3], {"a": [0, 0, 0]}, [0, 0, 0.002]).alt


def test_the_second_denoiser_is_another_than_the_prior():
    g, name = views.second_denoiser()
    y = drawn(1, 1, 16, 16).float()
    assert name and not torch.equal(g(y, 0.1), views.load_denoiser(1)(y, 0.1))


def test_the_stored_gradients_are_those_of_today():
    assert "dense" in views.stored_gradients().data
