"""The exercises of page 00: references pass, stubs do not block, each known-wrong answer gets its own hint."""

import pytest

from restorekit.teach import tasks_00


@pytest.mark.parametrize("make", [tasks_00.position, tasks_00.psnr_of_tables])
def test_reference_passes_and_wrong_answers_get_their_hint(make):
    make().verify()


def test_quiz_has_a_right_answer_to_each_question():
    for _, answers, right, why in tasks_00.QUIZ:
        assert 0 <= right < len(answers) and why
