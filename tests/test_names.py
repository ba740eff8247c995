"""One name for one thing, and files that a person can read in one sitting."""

import ast
from collections import defaultdict

from house import SOURCE

MAX_LINES = 400


def test_a_class_name_is_unique_in_the_project() -> None:
    """Two rooms that need the same word for two things find two words."""
    files = defaultdict(list)
    for path in sorted(SOURCE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                files[node.name].append(str(path.relative_to(SOURCE)))
    assert {name: where for name, where in files.items() if len(where) > 1} == {}


def test_no_file_is_longer_than_a_person_reads_at_once() -> None:
    lines = {
        str(path.relative_to(SOURCE)): len(path.read_text(encoding="utf-8").splitlines())
        for path in SOURCE.rglob("*.py")
    }
    assert {name: count for name, count in lines.items() if count > MAX_LINES} == {}
