"""Exercises and quiz of every page: the solution passes, the stub does not block, each known-wrong answer gets its own hint."""

import importlib
import re
from inspect import getmembers, isfunction, signature
from pathlib import Path

import pytest

from restorekit.teach.questions import quiz

PAGES = {path.stem.split("_")[0]: path.read_text() for path in sorted((Path(__file__).parents[2] / "notebooks/py").glob("*.py"))}
NAMES = {page: sorted(set(re.findall(r"\btasks\.(\w+)\(\)", text))) for page, text in PAGES.items()}
EXERCISES = [(page, name) for page, names in NAMES.items() for name in names]


def tasks_of(page):
    return importlib.import_module(f"restorekit.teach.tasks_{page}")


@pytest.mark.parametrize(("page", "name"), EXERCISES)
def test_exercise_checks_itself(page, name, capsys):
    task = getattr(tasks_of(page), name)()
    task.verify()
    assert len(task.wrong) >= 3 and len(task.hints) == 3
    assert task.judge(...)[0] == task.judge(None)[0] == "not attempted"
    assert task() is task.reference and "not attempted" in capsys.readouterr().out
    assert task(task.reference) is task.reference and task.status == "right"


@pytest.mark.parametrize("page", PAGES)
def test_all_exercises_stand_on_their_page(page):
    made = [name for name, f in getmembers(tasks_of(page), isfunction) if signature(f).return_annotation == "Exercise"]
    assert sorted(set(made) - {"exercise"}) == NAMES[page] != []
    assert "tasks.QUIZ" in PAGES[page]


@pytest.mark.parametrize("page", PAGES)
def test_quiz_has_three_questions_with_an_answer_and_a_reason_each(page):
    items = tasks_of(page).QUIZ
    assert len(quiz(items).questions) == 3
    assert all(0 <= right < len(answers) and why for _, answers, right, why in items)
