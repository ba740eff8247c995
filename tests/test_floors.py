"""A room uses only what is below it, and questions are answered at once because heavy parts wait.

Floors are those of the design. Every room's `configuration` may be named by any room: it holds no logic.
"""

import subprocess
import sys
import time
from graphlib import CycleError, TopologicalSorter

import house
import pytest
from house import FLOORS, GROUND, SOURCE, imports, is_configuration


@pytest.mark.parametrize("room", FLOORS)
def test_a_room_imports_only_what_is_below_it(room: str) -> None:
    """No arrow points up or sideways."""
    files = sorted((SOURCE / room).rglob("*.py"))
    assert files, f"{room} is empty"
    for path in files:
        for name in imports(path):
            other = name.split(".")[1]
            if other in (*GROUND, room, "__version__") or is_configuration(name):
                continue
            assert other in FLOORS, f"{path.name} imports {name}, which is in no room"
            assert FLOORS.index(other) < FLOORS.index(room), f"{room}/{path.name} imports {name} from above"


def test_every_room_is_on_a_floor() -> None:
    rooms = {path.parent.relative_to(SOURCE).parts[0] for path in SOURCE.rglob("*/*.py")}
    assert rooms - set(GROUND) == set(FLOORS)


def test_every_room_says_what_it_is_for() -> None:
    """The first sentence of its docstring, which the picture of the house shows."""
    assert [room for room in FLOORS if not house.purpose(room)] == []


def test_the_picture_of_the_house_is_of_today() -> None:
    """It is drawn from the imports; `make docs` draws it again."""
    assert house.PICTURE.read_text(encoding="utf-8") == house.draw()


@pytest.mark.parametrize("part", GROUND)
def test_the_ground_floor_imports_no_room(part: str) -> None:
    for path in [SOURCE / f"{part}.py", *(SOURCE / part).rglob("*.py")]:
        for name in imports(path) if path.is_file() else ():
            assert name.split(".")[1] in (*GROUND, "__version__"), f"{path.name} imports {name} from above"


def test_no_file_imports_itself_by_way_of_others() -> None:
    """Not even inside functions: in a cycle, a part of one file belongs elsewhere."""
    files = {".".join(path.relative_to(SOURCE.parent).with_suffix("").parts): path for path in SOURCE.rglob("*.py")}
    files = {name.removesuffix(".__init__"): path for name, path in files.items()}
    graph = {name: imports(path) & files.keys() - {name} for name, path in files.items()}
    for found in graph.values():  # `from package import module` names the module, not the package's __init__
        found -= {name.rpartition(".")[0] for name in found}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


@pytest.mark.parametrize(
    "module",
    [*(f"groundup.{path.parent.name}.configuration" for path in sorted(SOURCE.glob("*/configuration.py")))]
    + ["groundup.blueprint.load", "groundup.planning.estimate", "groundup.cli.main"],
)
def test_configuration_and_plans_answer_without_torch(module: str) -> None:
    """Errors in a blueprint, plans and `--help` never wait for heavy libraries."""
    code = (
        f"import sys, {module}\n"
        "heavy = {'torch', 'numba', 'pyarrow', 'matplotlib', 'fastapi', 'trafilatura'} & set(sys.modules)\n"
        "sys.exit(', '.join(sorted(heavy)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{module} imports {done.stderr.strip()}"


def test_help_answers_in_under_half_a_second() -> None:
    """Processor time, so that a busy machine doesn't decide; the wall clock is measured on a quiet one."""
    import resource

    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", "from groundup.cli.main import main; main()", "--help"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert time.monotonic() - started < 60
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert "run" in done.stdout
    assert (after.ru_utime + after.ru_stime) - (before.ru_utime + before.ru_stime) < 0.5
