"""A person's own Python function as a reward: `module:function`, or `file.py:function` next to the blueprint.

    def reward(task, answer):            # a groundup.alignment.Task and the answer's text
        return float(task.answer in answer)

Only the blueprint names one, never a row of data: it runs with all rights of the run.
"""

import importlib
import importlib.util
from collections.abc import Callable
from pathlib import Path

from groundup.alignment.data.records import Task
from groundup.errors import GroundupError


def is_function(verifier: str) -> bool:
    return ":" in verifier


def function_file(verifier: str, base: Path) -> Path | None:
    """The file of `file.py:function`; None of a module."""
    name = verifier.rpartition(":")[0]
    return base / Path(name).expanduser() if name.endswith(".py") else None


def load_function(verifier: str, base: Path) -> Callable[[Task, str], float]:
    """The function.

    Raises:
        GroundupError: there is no such module, file or function, or it fails when it is imported.
    """
    source, _, name = verifier.rpartition(":")
    path = function_file(verifier, base)
    try:
        if path is None:
            module = importlib.import_module(source)
        else:
            spec = importlib.util.spec_from_file_location(f"groundup_reward_{path.stem}", path)
            assert spec is not None and spec.loader is not None  # the name ends with .py
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
    except Exception as error:  # the user's own code
        raise GroundupError(
            f"the reward's module can't be imported ({type(error).__name__}: {error})",
            where=str(path or source),
            do="name it as module:function or file.py:function, a path from the blueprint's folder",
        ) from error
    function = getattr(module, name, None)
    if not callable(function):
        raise GroundupError(f"has no function {name}", where=str(path or source), do="name one that it has")
    found: Callable[[Task, str], float] = function
    return found
