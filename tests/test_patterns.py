"""Every compiled pattern of the project takes linear time over text made to slow it down.

The texts repeat what the pattern itself looks for: each of its characters, pairs and triples of them, and the same with
an end that does not match. A pattern is used as its module uses it: anchored, or anywhere in the text.
"""

import importlib
import random
import re
import re._constants as constants  # type: ignore[import-not-found]
import re._parser as parser  # type: ignore[import-not-found]
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import groundup

SOURCES = Path(groundup.__file__).parent
LIMIT = 0.06  # seconds of processor time; a quadratic pattern takes several times that for the short texts
ANYWHERE = r"(?:search|sub|subn|finditer|findall|split)\b"


def patterns() -> Iterator[tuple[str, re.Pattern, bool]]:
    """`(module.NAME, pattern, whether it is looked for anywhere)` of every module that can be imported here."""
    for path in sorted(SOURCES.rglob("*.py")):
        source = path.read_text()
        if "re.compile(" not in source or path.parent.name == "kernels":  # which read our own sources alone
            continue
        name = ".".join(("groundup", *path.relative_to(SOURCES).with_suffix("").parts)).removesuffix(".__init__")
        try:
            module = importlib.import_module(name)
        except ImportError:
            continue  # of an extra that is not installed
        for key, value in vars(module).items():
            for one in value if isinstance(value, (tuple, list)) else (value,):
                found = one[0] if isinstance(one, tuple) and one else one
                if isinstance(found, re.Pattern):
                    used = re.search(rf"\b{key}\.{ANYWHERE}", source) or not re.search(rf"\b{key}\.", source)
                    yield f"{name}.{key}", found, bool(used) and found is one


FOUND = {(name, pattern.pattern): (pattern, anywhere) for name, pattern, anywhere in patterns()}


def characters(pattern: re.Pattern) -> list[str]:
    """Some of the characters that the pattern speaks of."""
    found: dict[str, None] = {}

    def walk(items: object) -> None:
        for operation, argument in items:  # type: ignore[attr-defined]
            if operation in (constants.LITERAL, constants.NOT_LITERAL):
                found[chr(argument)] = None
            elif operation is constants.RANGE:
                found[chr(argument[0])] = None
            elif operation is constants.CATEGORY:
                samples = {"DIGIT": "7", "SPACE": " \n", "WORD": "a"}.get(str(argument).split("_")[-1], ".")
                found.update(dict.fromkeys(samples))
            elif operation is constants.IN:
                walk(argument)
            elif operation is constants.BRANCH:
                for branch in argument[1]:
                    walk(branch)
            elif isinstance(argument, (tuple, list, parser.SubPattern)):
                parts = argument if isinstance(argument, tuple) else (argument,)
                for part in parts:
                    if isinstance(part, parser.SubPattern):
                        walk(part)

    tree = parser.parse(pattern.pattern, pattern.flags & ~re.UNICODE if isinstance(pattern.pattern, bytes) else 0)
    walk(tree)
    return [one for one in (*found, "a", " ", "\n") if not "\ud800" <= one <= "\udfff"][:40]


def texts(pattern: re.Pattern, size: int, count: int) -> Iterator[str]:
    alphabet = characters(pattern)
    draw = random.Random(repr(pattern.pattern))
    whole = "".join(alphabet)
    units = [*dict.fromkeys(alphabet), whole, whole[::-1], whole[:2], whole[:3], whole[:4]]
    units += ["".join(draw.choices(alphabet, k=k)) for k in (2, 2, 3, 4) for _ in range(count // 4)]
    for unit in units:
        run = unit * (size // len(unit))
        yield run
        yield whole + run + "\x00"


def slowest(pattern: re.Pattern, anywhere: bool, size: int, count: int) -> tuple[float, str]:
    """`(seconds, how the text begins)` of the text that took longest, or the first that took too long."""
    use: Callable = (lambda text: sum(1 for _ in pattern.finditer(text))) if anywhere else pattern.fullmatch
    worst = 0.0, ""
    for text in texts(pattern, size, count):
        given = text.encode("utf-8", "replace") if isinstance(pattern.pattern, bytes) else text
        started = time.process_time()
        use(given)
        worst = max(worst, (time.process_time() - started, text[:60]))
        if worst[0] > LIMIT * size / 20_000:
            break
    return worst


@pytest.mark.parametrize(("name", "pattern"), FOUND, ids=[name for name, _ in FOUND])
def test_patterns_take_linear_time(name: str, pattern: str | bytes) -> None:
    seconds, text = slowest(*FOUND[name, pattern], size=20_000, count=16)
    assert seconds < LIMIT, text


@pytest.mark.slow
@pytest.mark.parametrize(("name", "pattern"), FOUND, ids=[name for name, _ in FOUND])
def test_megabytes(name: str, pattern: str | bytes) -> None:
    """A linear pattern takes fifty times as long for fifty times as much; a quadratic one does not end."""
    seconds, text = slowest(*FOUND[name, pattern], size=1_000_000, count=200)
    assert seconds < 50 * LIMIT, text


def test_a_quadratic_pattern_is_noticed() -> None:
    assert len(FOUND) > 100
    assert slowest(re.compile(r"!\[[^\]]*\]\("), True, 20_000, 16)[0] > LIMIT
    assert slowest(re.compile(r"\s+$"), True, 20_000, 16)[0] > LIMIT
