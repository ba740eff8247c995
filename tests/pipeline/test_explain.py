"""`status` and `explain`: the state of each stage and the very value that caused it."""

from pathlib import Path
from typing import Any

import pytest
from test_runner import execute
from toys import Toy, stages, toy_loaded

from groundup.errors import GroundupError
from groundup.pipeline.explain import reasons
from groundup.pipeline.folder import RunFolder
from groundup.pipeline.graph import Stage
from groundup.pipeline.runner import Selection
from groundup.pipeline.status import survey


def look(base: Path, table: tuple[Stage, ...] | None = None, **sections: Any) -> dict[str, tuple[str, list[str]]]:
    blueprint = Toy.model_validate({"read": {"path": "numbers.txt"}} | sections)
    loaded, folder = toy_loaded(blueprint, base), RunFolder(base.parent / "run")
    steps = survey(loaded, folder, table or stages())
    return {step.stage.name: (step.state.value, reasons(step, loaded, folder)) for step in steps}


def test_before_the_first_run(base: Path) -> None:
    said = look(base)
    assert said["read"] == ("new", ["was never made in this run folder"])
    assert said["sum"] == ("waiting", ["waits for read"])
    assert said["last"] == ("waiting", ["waits for read, sum"])


def test_a_done_stage_names_its_artifact(done: Path) -> None:
    state, (reason,) = look(done)["sum"]
    assert state == "done"
    assert reason.endswith(f" as {RunFolder(done.parent / 'run').artifact('sum').path.name}")


@pytest.mark.parametrize(
    ("changed", "stage", "reason"),
    [
        ({"sum": {"start": 5}}, "sum", "sum.start was 0, is 5 (default)"),
        ({"seed": 2}, "read", "seed was 1, is 2 (default)"),
        ({"table": stages(last_version=2)}, "last", "last (version of the stage's code) was 1, is 2"),
    ],
)
def test_the_value_that_made_a_stage_stale_is_named(
    done: Path, changed: dict[str, Any], stage: str, reason: str
) -> None:
    assert look(done, **changed)[stage] == ("stale", [reason])


def test_a_changed_file_is_named(done: Path) -> None:
    (done / "numbers.txt").write_text("1 2 3")
    assert look(done)["read"] == ("stale", ["its source numbers.txt has changed"])
    assert look(done)["sum"] == ("waiting", ["waits for read"])


def test_a_changed_input_is_followed_to_the_value_that_changed_it(done: Path) -> None:
    changed = {"read": {"path": "numbers.txt", "factor": 3}}
    execute(done, Selection(only="read"), **changed)
    reason = "its input read has changed: read.factor was 1, is 3 (default)"
    assert look(done, **changed)["sum"] == ("stale", [reason])


def test_the_nearest_of_several_older_artifacts_is_compared_with(done: Path) -> None:
    """The newer of the two differs in the seed too."""
    execute(done, Selection(only="read"), seed=9)
    execute(done, Selection(only="sum"), seed=9, sum={"start": 7})
    assert look(done, sum={"start": 6})["sum"][1] == ["sum.start was 0, is 6 (default)"]


def test_a_stage_under_way_is_building(base: Path) -> None:
    folder = RunFolder(base.parent / "run")
    with folder.store.lock("read"):
        assert look(base)["read"][0] == "building"


def test_an_unreadable_source_is_an_error_that_names_it(base: Path) -> None:
    (base / "numbers.txt").unlink()
    with pytest.raises(
        GroundupError, match=r"numbers\.txt: can\'t be read \(No such file or directory\); check the path"
    ):
        look(base)
