"""Questions: one to predict before any code runs, and a quiz at the end."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

import ipywidgets as widgets

from restorekit._check import fail

from .panel import button


class Text:
    """A few sentences that display as HTML and as the same plain text."""

    def __init__(self, *sentences: str) -> None:
        self.sentences = [s for s in sentences if s]

    def __repr__(self) -> str:
        return "\n".join(self.sentences)

    def _repr_html_(self) -> str:
        return "".join(f"<p>{escape(s)}</p>" for s in self.sentences)


class Question(widgets.VBox):
    """A question with radio buttons; `.choice` is what was chosen, or None."""

    def __init__(self, question: str, answers: Sequence[str]) -> None:
        if not 2 <= len(answers) <= 5 or len(set(answers)) != len(answers):
            fail(f"answers {list(answers)}", "2 to 5 different answers", "three is a good number")
        self.question, self.answers = question, list(answers)
        self.buttons = widgets.RadioButtons(options=self.answers, value=None, layout=widgets.Layout(width="auto"))
        super().__init__([widgets.HTMLMath(f"<b>{escape(question)}</b>"), self.buttons])

    @property
    def choice(self) -> str | None:
        """The chosen answer, None so far."""
        return self.buttons.value

    def reveal(self, right: int, because: str) -> Text:
        """Take the question up again: what was predicted, answer number `right` (from 0), and why."""
        if not 0 <= right < len(self.answers):
            fail(f"right={right}", f"0 to {len(self.answers) - 1}", "count the answers from 0")
        said = f"You predicted: {self.choice}." if self.choice else "You made no prediction in this run."
        return Text(self.question, said, f"Answer: {self.answers[right]}. {because}")

    def _repr_mimebundle_(self, **kwargs: object) -> dict[str, Any]:
        listed = "".join(f"<li>{escape(a)}</li>" for a in self.answers)
        data = dict(super()._repr_mimebundle_(**kwargs) or {})
        data["text/plain"] = "\n".join([self.question, *(f"  {chr(97 + i)}) {a}" for i, a in enumerate(self.answers))])
        data["text/html"] = f"<p><b>{escape(self.question)}</b></p><ol type='a'>{listed}</ol>"
        return data


def predict(question: str, answers: Sequence[str]) -> Question:
    """One question before any code: `guess = predict("Which kernel wins?", ["narrow", "wide", "neither"])`; end the cell with `guess`.

    At the end of the page `guess.reveal(1, "because ...")` takes it up again. Without a live front end the question and
    its answers are shown as text. Raises ValueError unless there are 2 to 5 different answers.
    """
    return Question(question, answers)


class Quiz(widgets.VBox):
    """Questions with one Check button; `.score` is (right, all) after pressing it."""

    def __init__(self, items: Sequence[tuple[str, Sequence[str], int, str]]) -> None:
        for question, answers, right, _ in items:
            if not 0 <= right < len(answers):
                fail(f"right answer {right} of {question!r}", f"0 to {len(answers) - 1}", "count the answers from 0")
        self.items = [(q, list(a), r, why) for q, a, r, why in items]
        self.questions = [Question(q, a) for q, a, _, _ in self.items]
        self.notes = [widgets.HTMLMath() for _ in self.items]
        self.score: tuple[int, int] | None = None
        self.press = button("Check", self.mark, "compare with the answers")
        super().__init__([w for pair in zip(self.questions, self.notes, strict=True) for w in pair] + [self.press])

    def mark(self) -> None:
        """Say under each answered question whether it is right, and why."""
        right = 0
        for box, note, (_, answers, number, why) in zip(self.questions, self.notes, self.items, strict=True):
            good = box.choice == answers[number]
            right += good
            told = "choose an answer" if box.choice is None else f"{'right' if good else 'not quite'}: {why}"
            note.value = f"<i>{escape(told)}</i>"
        self.score = (right, len(self.items))

    def _repr_mimebundle_(self, **kwargs: object) -> dict[str, Any]:
        data = dict(super()._repr_mimebundle_(**kwargs) or {})
        data["text/plain"] = "\n".join(f"{i + 1}. {q} ({' / '.join(a)})" for i, (q, a, _, _) in enumerate(self.items))
        data["text/html"] = "".join(
            f"<p><b>{i + 1}. {escape(q)}</b></p><ol type='a'>{''.join(f'<li>{escape(x)}</li>' for x in a)}</ol>"
            f"<details><summary>Answer</summary><p>{escape(a[r])}. {escape(why)}</p></details>"
            for i, (q, a, r, why) in enumerate(self.items)
        )
        return data


def quiz(items: Sequence[tuple[str, Sequence[str], int, str]]) -> Quiz:
    """A quiz: items are (question, answers, number of the right answer from 0, why). Without a live front end the answers fold out."""
    if not items:
        fail("no question", "one or more (three is the course's rule)", "quiz([(question, answers, right, why), ...])")
    return Quiz(items)
