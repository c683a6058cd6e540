"""The grader of a run, for any value of `--grade`."""

from __future__ import annotations

from collections.abc import Callable

from llmfan.errors import UserError, near
from llmfan.grading.grade import NAMES, grade
from llmfan.grading.thinking import answer_of
from llmfan.inputs.own_grader import PREFIX, own_grader
from llmfan.records import Prompt

Grader = Callable[[Prompt, str], float | None]


def chosen(spec: str | None) -> Grader:
    """None: by the shape of each `expect`; a name: that grader; `python:…`: the user's own, an `OwnGrader`.

    Each is given the answer without the reasoning before it. A built-in one gives None for a prompt that expects
    nothing; the user's own may judge it all the same.
    """
    if spec is not None and spec.startswith(PREFIX):
        return own_grader(spec)
    if spec is not None and spec not in NAMES:
        known = f"{', '.join(NAMES)}, or python:module:function"
        raise UserError(f'--grade: unknown grader "{spec}"{near(spec.lower(), NAMES)}; known are {known}')

    def judge(prompt: Prompt, text: str) -> float | None:
        return None if prompt.expect is None else grade(answer_of(text), prompt.expect, spec)

    return judge
