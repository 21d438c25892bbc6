"""Exercises: stubs do not block, right answers pass, each known error gets its own hint."""

import gc

import pytest
import torch
import torch.nn.functional as F

from restorekit.teach import exercise, live_exercises, verify_exercises

X, K = torch.rand(1, 1, 6, 7, generator=torch.Generator().manual_seed(0)), torch.arange(9.0).reshape(1, 1, 3, 3) / 36


def true(x, k):
    return F.conv2d(x, k.flip(-1, -2), padding=1)


def blur_task(**changes):
    settings = {
        "cases": [(X, K)],
        "wrong": {
            "looks like correlation: flip the kernel": lambda x, k: F.conv2d(x, k, padding=1),
            "the border is lost: pad by half the kernel": lambda x, k: F.conv2d(x, k.flip(-1, -2)),
        },
        "hints": ["Write the sum.", "Which index runs backwards?", "k.flip(-1, -2)"],
    }
    return exercise("blur by hand", true, **{**settings, **changes})


def stub(x, k):
    """Blur x with k."""
    ...


def raising(x, k):
    raise NotImplementedError


@pytest.mark.parametrize("answer", [stub, raising, ..., None, lambda x, k: ...])
def test_an_untouched_stub_goes_on_with_the_reference(answer, capsys):
    task = blur_task()
    assert task(answer) is true and task.status == "not attempted"
    assert capsys.readouterr().out == "Exercise blur by hand: not attempted. The page goes on with the reference.\n"


def test_a_right_answer_is_used(capsys):
    def mine(x, k):
        padded = F.pad(x, (1, 1, 1, 1))
        return sum(k[0, 0, i, j] * padded[..., 2 - i : 8 - i, 2 - j : 9 - j] for i in range(3) for j in range(3))

    task = blur_task()
    assert task(mine) is mine and task.status == "right"
    assert capsys.readouterr().out == "Exercise blur by hand: right.\n"


def test_known_errors_get_their_own_hint(capsys):
    task = blur_task()
    for hint, wrong in task.wrong.items():
        assert task(wrong) is true and task.status == "wrong"
        assert f"not yet: {hint}. The page goes on" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("answer", "status", "word"),
    [
        (lambda x, k: true(x, k) + 0.25, "wrong", "differs from the reference by 0.25"),
        (lambda x, k: x[..., 1:], "wrong", "shape"),
        (lambda x, k: 1 / 0, "error", "ZeroDivisionError"),
        (lambda x, k: print("nothing returned"), "error", "a `return` is missing"),
        (lambda x: x, "error", "TypeError"),
        (5.0, "error", "expected a function"),
        (lambda x, k: x * float("nan"), "wrong", "differs"),
    ],
)
def test_other_answers_are_explained(answer, status, word):
    found, message = blur_task().judge(answer)
    assert found == status and word in message and message.endswith("The page goes on with the reference.")


def test_an_answer_that_works_in_place_spoils_nothing():
    task, before = blur_task(), X.clone()
    assert task.judge(lambda x, k: true(x.mul_(2), k))[0] == "wrong"
    assert torch.equal(X, before) and task.judge(true)[0] == "right"


def test_values_and_a_check_of_ones_own():
    wrong = {"you forgot the square root": 0.04, "that is in gray levels": 51.0}
    task = exercise("std of the noise", 0.2, wrong=wrong, hints=["a", "b", "c"], tol=1e-3)
    assert task(0.2001) == 0.2001 and task() == 0.2
    assert "square root" in task.judge(0.04)[1] and task.judge(...)[0] == "not attempted"
    word = exercise("which padding", "reflect", wrong={"zeros darken": "zero", "wraps": "circular"}, hints=["a", "b", "c"])
    assert word.judge("reflect")[0] == "right" and "zeros darken" in word.judge("zero")[1]
    strict = blur_task(check=lambda f: None if f.__name__ == "true" else "name it true")
    assert "name it true" in strict.judge(lambda x, k: true(x, k))[1] and strict.judge(true)[0] == "right"


def test_verify_finds_a_checker_that_does_not_work():
    blur_task().verify()
    twice = blur_task(wrong={"first": lambda x, k: x, "second": lambda x, k: x})
    with pytest.raises(AssertionError, match="'second'"):
        twice.verify()
    right = blur_task(wrong={"not wrong at all": true, "other": lambda x, k: x})
    with pytest.raises(AssertionError, match="was judged 'right'"):
        right.verify()


def test_all_exercises_of_a_kernel_are_found():
    gc.collect()
    task = blur_task()
    assert task in live_exercises()
    assert verify_exercises() == len(live_exercises())


def test_hints_open_one_by_one_and_are_escaped():
    page = blur_task(hints=["first <b>", "second", "third"])._repr_html_()
    first, second, third = (page.index(text) for text in ("first &lt;b&gt;", "second", "third"))
    assert first < second < third and page.count("<details") == page.count("</details>") == 3
    assert "</details>" not in page[:third], "each rung lies inside the one before"


@pytest.mark.parametrize("bad", [{"hints": ["one"]}, {"wrong": {"one": true}}, {"cases": []}])
def test_incomplete_exercises_are_refused(bad):
    with pytest.raises(ValueError, match="Fix"):
        blur_task(**bad)
