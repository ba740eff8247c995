"""`verify` finds every damage to a run, `run` repairs or refuses, and nothing that is damaged is used."""

import json
from pathlib import Path
from random import Random

import pytest
from test_runner import execute, result
from toys import stages

from groundup.artifacts import outside
from groundup.errors import GroundupError
from groundup.pipeline import folder as folders
from groundup.pipeline.folder import RunFolder
from groundup.pipeline.verify import verify
from made.damage import Restored, damage


@pytest.fixture
def run(done: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A finished run with a log, a copy of its model, and digests that are remembered at once."""
    monkeypatch.setattr(outside, "COARSEST_CLOCK", 0)
    execute(done, sum={"start": 1})
    (done.parent / "run" / "log").mkdir(exist_ok=True)
    (done.parent / "run" / "log" / "sum.log").write_text("a warning of some library\n")
    execute(done, sum={"start": 1})  # seals the log
    return done.parent / "run"


@pytest.fixture(autouse=True)
def _toys_deliver(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("groundup.pipeline.graph.DELIVERED", {"model": "last"})


def test_300_random_damages_are_all_found(run: Path, tmp_path: Path) -> None:
    whole, random = Restored(run, tmp_path / "copy"), Random(3)
    assert verify(RunFolder(run)) == []
    files = whole.files()
    assert {"run.json", "blueprint.yaml", "metrics.jsonl", "manifest.json", "sum.log", "sha256.json", "weights"} <= {
        path.name for path in files
    }
    for number in range(300):
        done = damage(files, random)
        found = verify(RunFolder(run))
        assert found, f"{number}: {done} was not found"
        assert "\n" not in str(found[0])
        whole.restore(done.paths)
    assert verify(RunFolder(run)) == []


def test_events_that_were_added_since_are_no_damage_and_garbage_is(run: Path) -> None:
    RunFolder(run).event("started", "sum")
    assert verify(RunFolder(run)) == []
    with (run / "metrics.jsonl").open("a") as file:
        file.write("{nonsense\n")
    assert [str(one.path.name) for one in verify(RunFolder(run))] == ["metrics.jsonl"]


def test_a_renamed_artifact_and_a_foreign_file_are_found(run: Path) -> None:
    artifact = next((run / "artifacts").glob("sum-*"))
    (artifact / "extra.txt").write_text("who put this here")
    assert [one.what for one in verify(RunFolder(run))] == ["is not of this artifact"]
    artifact.rename(artifact.with_name("sum-000000000000"))
    assert "under another name" in " ".join(one.what for one in verify(RunFolder(run)))


def test_100_damages_to_what_a_run_uses_are_repaired_or_refused(run: Path, done: Path, tmp_path: Path) -> None:
    """The next run ends with the right result in `model/`, or with one line that names what is damaged."""
    whole, random = Restored(run, tmp_path / "copy"), Random(4)
    repaired = 0
    for _ in range(100):
        hurt = damage(whole.files("model", "artifacts", "run.json", "blueprint.yaml"), random)
        try:
            assert result(execute(done, sum={"start": 1})) == 56
            assert (run / "model" / "weights").read_text() == "56"
            assert verify(RunFolder(run)) == [] or "artifacts" in str(hurt.paths)  # those of older runs are not used
            repaired += 1
        except GroundupError as error:
            assert "artifacts" in str(error) and "\n" not in str(error)
        whole.restore([path for path in whole.files() if path.is_file()])
        for path in whole.copy.rglob("*"):  # what was deleted
            if path.is_file():
                whole.restore([run / path.relative_to(whole.copy)])
    assert repaired > 20


def test_nothing_damaged_is_handed_out(run: Path) -> None:
    folder = RunFolder(run)
    assert folder.copy("model") == run / "model"
    (run / "model" / "weights").write_text("57")
    with pytest.raises(GroundupError, match=r"model/weights: has changed since it was published; run the blueprint"):
        folder.copy("model")
    with pytest.raises(GroundupError, match="has no report yet"):
        folder.copy("report")
    weights = folder.artifact("last").file("weights")
    weights.write_text("57")
    with pytest.raises(GroundupError, match="has changed since it was published"):
        RunFolder(run).artifact("last")


@pytest.mark.parametrize(
    ("content", "what"),
    [
        ("{", "can't be read"),
        ("", "can't be read"),
        ("[" * 100_000, "nested 100,000 deep"),
        ('{"blueprint": "x"}', "is of no known format"),
        ("[1]", "no JSON object"),
        ('{"a": NaN}', "NaN is no number"),
    ],
)
def test_a_run_json_that_is_none_is_one_line_and_is_rebuilt(run: Path, done: Path, content: str, what: str) -> None:
    (run / "run.json").write_text(content)
    with pytest.raises(GroundupError, match=what) as raised:
        RunFolder(run).artifact("last")
    assert "\n" not in str(raised.value) and "run its blueprint again" in str(raised.value)
    assert execute(done, sum={"start": 1}).made == []
    assert verify(RunFolder(run)) == []


def test_a_run_of_a_newer_version_says_so(run: Path, done: Path) -> None:
    content = json.loads((run / "run.json").read_text()) | {"format": "groundup run 9", "colour": "green"}
    (run / "run.json").write_text(json.dumps(content))
    with pytest.raises(GroundupError, match=f"is of the format 'groundup run 9', and .* reads '{folders.FORMAT}'"):
        RunFolder(run).remembered()
    execute(done, table=stages(), sum={"start": 1})
    assert verify(RunFolder(run)) == []


def test_an_artifact_of_another_version_is_rebuilt(run: Path, done: Path) -> None:
    path = next(path for path in (run / "artifacts").glob("last-*") if path.name in (run / "run.json").read_text())
    manifest = path / "manifest.json"
    manifest.write_text(manifest.read_text().replace("groundup artifact 1", "groundup artifact 0"))
    assert execute(done, sum={"start": 1}).made == ["last"]
    assert verify(RunFolder(run)) == []


def test_a_folder_of_something_else(tmp_path: Path) -> None:
    with pytest.raises(GroundupError, match="is no run folder"):
        verify(RunFolder(tmp_path))
