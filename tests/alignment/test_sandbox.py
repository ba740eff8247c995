"""A program that a model wrote is shut in: what it may not do fails, and only what comes to its end has passed.

Skipped where the kernel can't: there the sandbox refuses to run anything.
"""

from pathlib import Path

import pytest

from groundup.alignment.data.data_reading import read_tasks
from groundup.alignment.data.records import task_of
from groundup.alignment.rewards import sandbox, sandbox_child
from groundup.alignment.rewards.sandbox import SandboxLimits, run_program
from groundup.alignment.rewards.user_function import load_function
from groundup.alignment.rewards.verifiers import misuse, verify
from groundup.errors import GroundupError

LIMITS = SandboxLimits(seconds=10.0)


@pytest.fixture(scope="module", autouse=True)
def _shut_in():
    try:
        run_program("")
    except GroundupError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        ("assert 1 == 2", "AssertionError"),
        ("import sys; sys.exit(0)", "SystemExit"),
        ("import os; os._exit(0)", "it ended its process"),
        ("x = 'a' * (1 << 30)", "MemoryError"),
        ("open('/etc/hostname')", "Permission"),
        ("open('../other', 'w')", "Permission"),
        ("open('big', 'wb').write(b'0' * (1 << 25))", "too large"),
        ("import socket; socket.create_connection(('127.0.0.1', 9))", "unreachable"),
        ("import os; os.listdir('/proc')", "Permission"),
        ("import os; os.kill(os.getppid(), 9)", "it ended its process"),  # it sees no parent: 0 is its own group
    ],
)
def test_what_it_may_not(program, reason):
    end = run_program(program, LIMITS)
    assert not end.passed and reason in end.reason


def test_what_it_may():
    """Python's library, and files in a folder of its own, of which nothing is left."""
    program = "import os, json, re\nopen('a', 'w').write('x')\nassert open('a').read() == 'x'\nos.symlink('a', 'b')"
    assert run_program(program, LIMITS).passed
    assert run_program("import os; assert os.listdir() == [] and not os.environ.get('HOME')", LIMITS).passed


def test_time_is_over():
    """Also for what it has started in a session of its own."""
    program = "import os\nif os.fork() == 0: os.setsid()\nwhile True: pass"
    assert run_program(program, SandboxLimits(seconds=1.0)).reason == "not done after 1 s"


def test_nothing_runs_where_it_cant_be_shut_in(monkeypatch, tmp_path):
    refusing = tmp_path / "child.py"
    refusing.write_text("import sys; print('Landlock: no', file=sys.stderr); sys.exit(77)")
    monkeypatch.setattr(sandbox_child, "__file__", str(refusing))
    with pytest.raises(GroundupError, match=r"can't shut programs in \(Landlock: no\).*use Linux 5.13"):
        run_program("pass")
    assert sandbox.sandbox_child is sandbox_child


def test_answers_are_tested():
    """The last code block counts; text around it does not."""
    task = task_of("Write double.", "assert double(2) == 4", "tests")
    right = "Sure:\n```python\ndef double(x):\n    return 2 * x\n```\nThat's it."
    assert verify(task, right) == 1.0
    assert verify(task, "def double(x): return x") == 0.0
    assert misuse(task) is None
    assert "no Python" in misuse(task_of("q", "assert double(", "tests"))
    assert "needs an answer with `assert`" in misuse(task_of("q", "double(2)", "tests"))


def test_a_function_of_ones_own(tmp_path: Path):
    """From a file next to the blueprint or a module; a row of data can't name one."""
    (tmp_path / "mine.py").write_text("def score(task, answer):\n    return len(answer) - len(task.answer)\n")
    assert load_function("mine.py:score", tmp_path)(task_of("q", "ab"), "abcd") == 2
    assert load_function("math:sqrt", tmp_path)(4.0) == 2
    for name, why in (("mine.py:other", "has no function other"), ("absent.py:score", "can't be imported")):
        with pytest.raises(GroundupError, match=why):
            load_function(name, tmp_path)
    data = tmp_path / "tasks.jsonl"
    data.write_text('{"prompt": "q", "answer": "a"}\n')
    assert read_tasks(data, "mine.py:score").records[0][1].verifier == "mine.py:score"
    data.write_text('{"prompt": "q", "answer": "a", "verifier": "os:system"}\n')
    with pytest.raises(GroundupError, match="a function is named by the blueprint alone"):
        read_tasks(data, "exact")
