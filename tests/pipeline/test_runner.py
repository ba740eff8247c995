"""Executing a blueprint with toy stages in real processes: what is made, what is used again, which files there are."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from toys import Toy, stages, toy_loaded

from groundup.artifacts import Figures, Manifest
from groundup.errors import GroundupError
from groundup.pipeline import process
from groundup.pipeline.folder import RunFolder
from groundup.pipeline.graph import Stage
from groundup.pipeline.runner import RunResult, Selection, run, summary
from groundup.planning.forecast import StagePlan


def execute(
    base: Path,
    choice: Selection | None = None,
    table: tuple[Stage, ...] | None = None,
    text: str = "toy",
    **sections: Any,
) -> RunResult:
    """Run the toy blueprint with some values changed."""
    blueprint = Toy.model_validate({"read": {"path": "numbers.txt"}} | sections)
    return run(toy_loaded(blueprint, base, text=text), RunFolder(base.parent / "run"), table or stages(), choice)


def result(outcome: RunResult) -> int:
    return int(outcome.artifacts["last"].file("weights").read_text())


def test_a_run_makes_every_stage_and_a_second_one_none(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = execute(base)
    assert first.made == ["read", "sum", "last"]
    assert result(first) == sum(range(1, 11))

    def no_process(*_: object, **__: object) -> None:
        raise AssertionError("a process was started")

    monkeypatch.setattr(process.subprocess, "Popen", no_process)
    second = execute(base)
    assert (second.made, second.reused) == ([], ["read", "sum", "last"])


@pytest.mark.parametrize(
    ("changed", "made"),
    [
        ({"read": {"path": "numbers.txt", "factor": 2}}, ["read", "sum", "last"]),
        ({"sum": {"start": 5}}, ["sum", "last"]),
        ({"sum": {"pause": 0.001, "notes": "a thought"}}, []),  # incidental
        ({"table": stages(last_version=2)}, ["last"]),
    ],
)
def test_exactly_what_a_value_affects_is_rebuilt(done: Path, changed: dict[str, Any], made: list[str]) -> None:
    assert execute(done, **changed).made == made
    assert execute(done, **changed).made == []
    assert execute(done).made == []  # the earlier result is still there


def test_a_changed_source_is_read_again_and_equal_results_stop_there(done: Path) -> None:
    (done / "numbers.txt").write_text("1 2 3 4 5 6 7 8 9 10")  # other bytes, the same numbers
    assert execute(done).made == ["read"]
    (done / "numbers.txt").write_text("1 2 3")
    outcome = execute(done)
    assert outcome.made == ["read", "sum", "last"]
    assert result(outcome) == 6


def test_a_source_that_changes_while_it_is_read_is_refused(base: Path) -> None:
    table = stages()
    unsteady = Stage("read", 1, (), "toys:read", lambda b: b.read, sources="toys:unsteady_sources")
    with pytest.raises(GroundupError, match=r"numbers\.txt: changed while it was read; run again"):
        execute(base, table=(unsteady, *table[1:]))


def test_only_makes_one_stage_and_needs_its_inputs(done: Path, base: Path) -> None:
    with pytest.raises(GroundupError, match="sum needs read, which is not up to date; run without --only"):
        execute(base, Selection(only="sum"))
    assert execute(done, Selection(only="sum"), sum={"start": 5}).made == ["sum"]
    assert execute(done, Selection(only="sum"), sum={"start": 5}).made == []
    assert execute(done, sum={"start": 5}).made == ["last"]


def test_force_and_from_rebuild_what_is_up_to_date(done: Path) -> None:
    first = execute(done)
    assert first.made == []
    assert execute(done, Selection(force=frozenset({"read"}))).made == ["read"]
    assert execute(done, Selection(from_="sum")).made == ["sum", "last"]
    assert execute(done, Selection(only="last", force=frozenset({"last"}))).made == ["last"]
    again = execute(done)
    assert again.made == []
    for name, artifact in again.artifacts.items():
        assert artifact.manifest.content == first.artifacts[name].manifest.content
        assert artifact.manifest.measured != first.artifacts[name].manifest.measured


def test_a_stage_that_does_not_exist_is_refused_with_those_that_do(base: Path) -> None:
    for choice in (Selection(only="summ"), Selection(from_="summ"), Selection(force=frozenset({"summ"}))):
        with pytest.raises(GroundupError, match=r"no stage summ.*read, sum, last"):
            execute(base, choice)


def test_the_run_folder_holds_what_was_executed(base: Path) -> None:
    folder = base.parent / "run"
    outcome = execute(base, text="# mine\n")
    assert (folder / "blueprint.source.yaml").read_text() == "# mine\n"
    assert "  factor: 1  # default\n" in (folder / "blueprint.yaml").read_text()
    assert RunFolder(folder).artifact("sum") == outcome.artifacts["sum"]
    events = [(row["event"], row["stage"]) for row in RunFolder(folder).events()]
    assert events == [(event, stage) for stage in ("read", "sum", "last") for event in ("started", "done")]
    done = [row for row in RunFolder(folder).events() if row["event"] == "done"]
    assert done[1]["figures"] == {"sum": 55, "summary": "the sum is 55"}
    assert all(row["seconds"] > 0 and row["peak_rss_bytes"] > 5e6 for row in done)
    assert not list(folder.glob("log/*"))


def test_provenance_says_with_what_and_from_which_artifacts(done: Path) -> None:
    artifacts = execute(done).artifacts
    made = artifacts["last"].manifest.provenance
    assert made["python"] == ".".join(map(str, sys.version_info[:3]))
    assert made["inputs"] == {name: artifacts[name].path.name for name in ("read", "sum")}
    assert made["started"] <= made["ended"]
    assert made["resumed"] is False


def test_the_newest_model_is_delivered_and_repaired(done: Path) -> None:
    model = done.parent / "run" / "model"
    assert (model / "weights").read_text() == "55"
    outcome = execute(done, sum={"start": 1})
    assert (model / "weights").read_text() == "56"
    assert Manifest.read(model) == outcome.artifacts["last"].manifest
    execute(done)
    assert (model / "weights").read_text() == "55"
    (model / "manifest.json").unlink()
    (model / "weights").unlink()
    assert execute(done).made == []
    assert (model / "weights").read_text() == "55"


def test_a_stage_that_sees_the_run_is_rebuilt_with_its_text_and_records(done: Path) -> None:
    teller = Stage("teller", 1, ("read", "sum"), "toys:teller", lambda b: b.last, sees_run=True)
    table = (*stages()[:2], teller)
    outcome = execute(done, table=table)
    assert outcome.made == ["teller"]
    assert outcome.artifacts["teller"].figures == {"run": "run"}
    assert execute(done, table=table).made == []
    assert execute(done, table=table, text="# another comment").made == ["teller"]
    forced = execute(done, Selection(force=frozenset({"sum"})), table=table, text="# another comment")
    assert forced.made == ["sum", "teller"]


def test_a_folder_of_something_else_is_not_touched(base: Path) -> None:
    blueprint = Toy.model_validate({"read": {"path": "numbers.txt"}})
    with pytest.raises(GroundupError, match="holds other files and is no run folder"):
        run(toy_loaded(blueprint, base), RunFolder(base), stages())
    assert [path.name for path in base.iterdir()] == ["numbers.txt"]
    with pytest.raises(GroundupError, match="is a file"):
        run(toy_loaded(blueprint, base), RunFolder(base / "numbers.txt"), stages())


def test_the_parent_imports_no_torch(base: Path) -> None:
    code = "import sys, toys; toys.script(); sys.exit('torch' in sys.modules)"
    command = [sys.executable, "-c", code, str(base), str(base.parent / "run"), "{}"]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    assert said[0] == f"3 of 3 stages to do in {base.parent / 'run'}: read, sum, last"
    assert [line.split()[0] for line in said[1:]] == ["read", "sum", "last"]
    assert said[2].endswith("the sum is 55")
    again = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert again == f"Nothing to do: all 3 stages are up to date in {base.parent / 'run'}\n"


def test_the_first_line_says_how_long_the_rest_should_take(done: Path) -> None:
    class Lines:
        def __init__(self) -> None:
            self.said: list[str] = []

        def say(self, line: str) -> None:
            self.said.append(line)

        def task(self, *_: object, **__: object) -> Any:
            raise AssertionError("the runner itself has no tasks")

    def forecast(figures: Mapping[str, Figures]) -> dict[str, StagePlan]:
        assert figures == {"read": {"numbers": 10}}
        seconds = {"read": 1e6, "sum": 300.0, "last": 240.0}
        return {name: StagePlan(name, value, memory={"program": 7}) for name, value in seconds.items()}

    lines = Lines()
    blueprint = Toy.model_validate({"read": {"path": "numbers.txt"}, "sum": {"start": 9}})
    folder = RunFolder(done.parent / "run")
    run(toy_loaded(blueprint, done), folder, stages(), None, lines, forecast)
    assert lines.said[0] == f"2 of 3 stages to do in {folder.path}: sum, last; about 9 minutes on this machine"
    started = [row for row in folder.events() if row["event"] == "started"]
    assert [row["expected"] for row in started[-2:]] == [
        {"seconds": 300.0, "memory_bytes": 7.0}, {"seconds": 240.0, "memory_bytes": 7.0}
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("set_by_the_user", "found"),
    [({}, ("10000", None)), ({"GOMP_SPINCOUNT": "5"}, ("5", None)), ({"OMP_WAIT_POLICY": "active"}, (None, "active"))],
)
def test_threads_of_a_stage_give_way_to_other_work_unless_the_user_decides(
    base: Path, monkeypatch: pytest.MonkeyPatch, set_by_the_user: dict[str, str], found: tuple[str | None, str | None]
) -> None:
    for name in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY"):
        monkeypatch.delenv(name, raising=False)
    for name, value in set_by_the_user.items():
        monkeypatch.setenv(name, value)
    figures = execute(base, table=(Stage("read", 1, (), "toys:waiting", lambda b: b.read),)).artifacts["read"].figures
    assert (figures["GOMP_SPINCOUNT"], figures["OMP_WAIT_POLICY"]) == found


def test_a_summary_is_the_stages_own_or_its_first_figures() -> None:
    assert summary({"summary": "as it says", "a": 1}) == "as it says"
    assert summary({"kept_documents": 12345, "rate": 0.98765, "rules": {"x": 1}}) == "kept documents 12,345, rate 0.988"


def test_a_run_folder_that_is_not_utf8_is_refused_in_one_line(tmp_path: Path) -> None:
    folder = RunFolder(Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9")))
    with pytest.raises(GroundupError, match="caf\ufffd: the path of a run folder must be UTF-8; name another folder"):
        folder.check()
