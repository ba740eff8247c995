"""Exercises: what is asked, a solution, a typical wrong answer, and the check that distinguishes them.

`guide/exercises/NAME.md` holds those of the chapter NAME: a heading of the second level each, the question, and three
fences: `python solution`, `python wrong: WORDS` (words that the check answers it with) and `python check`. The check
sees the reader's module as `answer`, and calls `expect(condition, "a helpful word")`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from groundup.errors import GroundupError
from groundup.report.guide.book import Book
from groundup.report.guide.markdown import parse

SECONDS = 60.0


class NotYetError(Exception):
    """An answer that is not right; its words help."""


@dataclass(frozen=True)
class Exercise:
    """One exercise of a chapter."""

    number: str
    """`7.2`: chapter and index in it."""
    title: str
    question: str
    """Markdown."""
    solution: str
    wrong: str
    hint: str
    """Words that the check must use about the wrong answer."""
    check: str


def read_exercises(book: Book) -> dict[str, list[Exercise]]:
    """Exercises by the name of their chapter."""
    found = {}
    for chapter in book.chapters:
        path = book.folder / "exercises" / f"{chapter.name}.md"
        if path.is_file():
            found[chapter.name] = _read(path, chapter.number)
    return found


def _read(path: Path, chapter: str) -> list[Exercise]:
    text = path.read_text(encoding="utf-8")
    lines, tokens = text.splitlines(), parse(text)
    heads = [(t.map[0], tokens[i + 1].content) for i, t in enumerate(tokens) if t.type == "heading_open" and t.map]
    bounds = [line for line, _ in heads] + [len(lines)]
    found = []
    for index, (line, title) in enumerate(heads):
        fences = [t for t in tokens if t.type == "fence" and t.map and line < t.map[0] < bounds[index + 1]]
        code: dict[str, str] = {}
        hint, first = "", bounds[index + 1]
        for fence in fences:
            kind = fence.info.removeprefix("python").strip()
            if not fence.map or kind.partition(":")[0] not in ("solution", "wrong", "check"):
                continue
            first = min(first, fence.map[0])
            if kind.startswith("wrong"):
                hint = kind.partition(":")[2].strip()
            code[kind.partition(":")[0]] = fence.content
        if missing := {"solution", "wrong", "check"} - code.keys():
            raise GroundupError(f"has no {', '.join(sorted(missing))}", where=f"{path.name}:{line + 1}")
        question = "\n".join(lines[line + 1 : first]).strip()
        found.append(
            Exercise(f"{chapter}.{index + 1}", title, question, code["solution"], code["wrong"], hint, code["check"])
        )
    return found


def find(book: Book, number: str) -> Exercise:
    """The exercise of a number; raises GroundupError with the numbers there are."""
    every = [one for chapter in read_exercises(book).values() for one in chapter]
    for one in every:
        if one.number == number.lstrip("0"):
            return one
    chapters = sorted({one.number.partition(".")[0] for one in every}, key=lambda text: (len(text), text))
    raise GroundupError(
        f"there is no exercise {number}", do=f"chapters {', '.join(chapters)} have some: `groundup exercise list`"
    )


def judge(answer: str, check: str) -> str | None:
    """None for an answer that passes, else the helpful word. Runs both in this process."""

    def expect(condition: object, word: str) -> None:
        if not bool(condition):
            raise NotYetError(word)

    namespace: dict[str, Any] = {"__name__": "answer"}
    try:
        exec(compile(answer, "answer", "exec"), namespace)
    except Exception as error:  # the reader's own code
        return f"your file does not run: {_shown(error, 'answer')}"
    checking: dict[str, Any] = {"__name__": "check", "answer": SimpleNamespace(**namespace), "expect": expect}
    try:
        exec(compile(check, "check", "exec"), checking)
    except NotYetError as error:
        return str(error)
    except AttributeError as error:
        if isinstance(error.obj, SimpleNamespace):
            return f"your file defines no {error.name}"
        return f"your code failed: {_shown(error, 'answer')}"
    except Exception as error:  # the reader's own code, called by the check
        return f"your code failed: {_shown(error, 'answer')}"
    return None


def _shown(error: Exception, file: str) -> str:
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
    if isinstance(error, SyntaxError):
        return f"SyntaxError: {error.msg} (line {error.lineno})"
    return f"{type(error).__name__}: {error}{f' (line {lines[-1]})' if lines else ''}"


def check_answer(exercise: Exercise, answer: str, seconds: float = SECONDS) -> str | None:
    """`judge` in a process of its own, which may take so many seconds."""
    given = json.dumps({"answer": answer, "check": exercise.check})
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    try:
        done = subprocess.run(
            [sys.executable, "-m", "groundup.report.guide.exercises"], input=given, capture_output=True, text=True,
            timeout=seconds, env=environment, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return f"your code took more than {seconds:.0f} seconds; is there a loop that never ends?"
    if done.returncode:
        said = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        return f"your code ended its process: {said[-1]}"
    word: str | None = json.loads(done.stdout.splitlines()[-1])
    return word


if __name__ == "__main__":
    job = json.loads(sys.stdin.read())
    print(json.dumps(judge(job["answer"], job["check"])))
