"""What a terminal would act on is shown as an escape, wherever text of others is printed."""

import doctest
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest

from groundup import terminal
from groundup.progress import Bars, Lines
from groundup.terminal import printable
from made.languages import TEXTS

CLEARS = "notes\x1b[2J\x9b2J\u202etxt.md"


def test_no_control_or_direction_or_surrogate_is_left_and_text_stays() -> None:
    every = "".join(map(chr, range(sys.maxunicode + 1)))
    left = printable(every)
    assert {unicodedata.category(one) for one in left if one not in "\n\t"} & {"Cc", "Cs", "Zl", "Zp"} == set()
    assert not any(unicodedata.bidirectional(one) in ("RLO", "LRO", "RLE", "LRE", "PDF", "LRI", "RLI") for one in left)
    left.encode()  # what a terminal is sent
    for text in TEXTS.values():
        assert printable(text) == text
    assert doctest.testmod(terminal).failed == 0


@pytest.mark.parametrize("kind", [Lines, Bars])
def test_progress_shows_foreign_names_as_escapes(
    kind: type[Lines] | type[Bars], capsys: pytest.CaptureFixture[str]
) -> None:
    shown = kind()
    shown.say(CLEARS)
    with shown.task(CLEARS, 1) as task:
        task.advance(note=CLEARS)
    out = capsys.readouterr().out
    assert "\x1b[2J" not in out and "\x9b" not in out and "notes\\x1b[2J\\x9b2J\\u202etxt.md" in out


def test_an_error_that_names_a_file_cannot_clear_the_screen(tmp_path: Path) -> None:
    code = "from groundup.cli.main import main; main()"
    command = [sys.executable, "-c", code, "status", str(tmp_path / CLEARS)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "\x1b" not in done.stderr and "\\x1b[2J" in done.stderr
