"""Rewards that need no model: whether an answer is right, by a rule that the task names.

exact     the text, whatever its spaces and case
number    its last number: `so 3 + 4 = 7.` is right where the answer is `7`, `7.0` or `... #### 7`
regex     the pattern in the task's answer, found anywhere
json      any JSON where the task has no answer, else JSON that is equal to it
tests     Python: the answer's last code block, or all of it, then the task's answer, as `assert f(2) == 4`, in a
          sandbox (`rewards.sandbox`)
"""

import json
import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from groundup.alignment.data.records import Task
from groundup.alignment.rewards.sandbox import run_program

_CODE = re.compile(r"^[ ]{0,3}```[^\n]*+\n(.*?)^[ ]{0,3}```", re.DOTALL | re.MULTILINE)
_NUMBER = re.compile(r"[-+]?\d[\d,]*(?:\.\d+)?")


def verify(task: Task, answer: str) -> float:
    """1 where the task's verifier accepts the answer, else 0.

    >>> from groundup.alignment.data.records import task_of
    >>> verify(task_of("2 + 2?", "4", "number"), "It is 4."), verify(task_of("2 + 2?", "4"), "It is 4.")
    (1.0, 0.0)
    """
    return float(VERIFIERS[task.verifier](answer, task.answer))


def _exact(answer: str, right: str) -> bool:
    return answer.casefold().split() == right.casefold().split()


def _number(answer: str, right: str) -> bool:
    found = last_number(answer)
    return found is not None and found == last_number(right)


def last_number(text: str) -> Decimal | None:
    """The last number of a text, with commas between its thousands or without; None where there is none."""
    numbers = _NUMBER.findall(text)
    return Decimal(numbers[-1].replace(",", "")) if numbers else None


def _regex(answer: str, right: str) -> bool:
    return re.search(right, answer) is not None


def _json(answer: str, right: str) -> bool:
    try:
        found: Any = json.loads(answer)
        return not right or found == json.loads(right)
    except ValueError:
        return False


def _tests(answer: str, tests: str) -> bool:
    blocks = _CODE.findall(answer)
    return run_program(f"{blocks[-1] if blocks else answer}\n\n{tests}\n").passed


VERIFIERS: dict[str, Callable[[str, str], bool]] = {
    "exact": _exact,
    "number": _number,
    "regex": _regex,
    "json": _json,
    "tests": _tests,
}


def misuse(task: Task) -> str | None:
    """Why the task's verifier can't work, or None."""
    if task.verifier not in VERIFIERS:
        known = ", ".join(VERIFIERS)
        return f"there is no verifier {task.verifier!r} (there are {known}; a function is named by the blueprint alone)"
    if task.verifier == "number" and last_number(task.answer) is None:
        return "the verifier `number` needs an answer with a number"
    if task.verifier == "regex":
        try:
            re.compile(task.answer)
        except re.error as error:
            return f"the pattern {task.answer!r} is wrong ({error})"
    if task.verifier == "json" and task.answer and not _json(task.answer, ""):
        return "the verifier `json` needs an answer that is JSON, or none"
    if task.verifier == "tests":
        try:
            compile(task.answer, "answer", "exec")
        except (SyntaxError, ValueError) as error:
            return f"the tests are no Python ({error})"
        if "assert" not in task.answer:
            return "the verifier `tests` needs an answer with `assert`"
    return None
