"""The guide's exercises: every solution passes, every typical wrong answer is met with a helpful word."""

import pytest

from groundup.errors import GroundupError
from groundup.report.guide.book import read_book
from groundup.report.guide.exercises import Exercise, check_answer, find, judge, read_exercises

BOOK = read_book()
EXERCISES = [one for chapter in read_exercises(BOOK).values() for one in chapter]

each = pytest.mark.parametrize("exercise", EXERCISES, ids=lambda one: one.number)


def test_there_are_forty_and_each_chapter_has_two() -> None:
    assert len(EXERCISES) >= 40
    chapters = [chapter.name for chapter in BOOK.chapters if chapter.number.isdigit()]
    counts = {name: len(found) for name, found in read_exercises(BOOK).items()}
    assert {name for name in chapters if counts.get(name, 0) < 2} == set()


@each
def test_the_solution_passes(exercise: Exercise) -> None:
    assert judge(exercise.solution, exercise.check) is None


@each
def test_the_wrong_answer_is_caught_with_a_helpful_word(exercise: Exercise) -> None:
    """The words are those that the exercise promises, and not those of an exception."""
    word = judge(exercise.wrong, exercise.check)
    assert word is not None and exercise.hint in word
    assert len(exercise.hint) > 3 and not word.startswith(("your code failed", "your file does not run"))


@each
def test_an_empty_answer_names_what_is_missing(exercise: Exercise) -> None:
    assert "your file defines no" in str(judge("", exercise.check))


def test_an_answer_runs_in_a_process_of_its_own_for_a_limited_time() -> None:
    """A loop without end, an exit and a syntax error are words, not tracebacks."""
    exercise = Exercise("1.1", "", "", "", "", "", "expect(answer.f() == 3, 'make it 3')")
    assert check_answer(exercise, "def f(): return 3") is None
    assert check_answer(exercise, "def f(): return 4") == "make it 3"
    assert "more than 1 seconds" in str(check_answer(exercise, "while True: pass", seconds=1))
    assert "ended its process" in str(check_answer(exercise, "import os; os._exit(3)"))
    assert judge("def f(:", exercise.check) == "your file does not run: SyntaxError: invalid syntax (line 1)"


def test_an_unknown_number_is_an_error_with_the_chapters() -> None:
    assert find(BOOK, "1.1") == EXERCISES[0]
    with pytest.raises(GroundupError, match=r"no exercise 99\.1"):
        find(BOOK, "99.1")
