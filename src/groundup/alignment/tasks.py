"""Tasks of a person's own, from a file."""

from pathlib import Path

from groundup.alignment.data.examples import prompt_of, read_rows
from groundup.alignment.data.records import Task, task_of
from groundup.alignment.rewards.verifiers import misuse
from groundup.errors import GroundupError


def read_tasks(path: Path, verifier: str) -> list[Task]:
    """Rows of `{prompt | question | instruction, answer?, verifier?}`, as JSON or JSON lines.

    Args:
        verifier: of rows that name none.

    Raises:
        GroundupError: the file can't be read, or a row has no prompt, or a verifier that can't work.
    """
    tasks = []
    for where, row in read_rows(path):
        answer, named = row.get("answer", ""), row.get("verifier", verifier)
        task = task_of(prompt_of(row, where), answer if isinstance(answer, str) else str(answer), str(named))
        if why := misuse(task):
            raise GroundupError(why, where=where, do="correct the row, or set grpo.verifier")
        tasks.append(task)
    return tasks
