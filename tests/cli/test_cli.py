"""The verbs: fast to ask, plain in their errors, and right about a run folder."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from groundup.artifacts import Measured, MetricsLog, StageKey
from groundup.blueprint.load import load
from groundup.cli.main import main
from groundup.corpus.curate.curation import curate
from groundup.corpus.curate.partitions import Given
from groundup.corpus.documents import Document, document_id
from groundup.machine import SPINS
from groundup.pipeline.folder import Remembered, RunFolder
from groundup.pipeline.graph import stages
from groundup.pipeline.status import survey

BLUEPRINT = """name: mine
curate:
  sources:
    - kind: files
      path: docs
  heldout: 0.1
"""

Said = tuple[int, str, str]
Call = Callable[..., Said]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder with a blueprint and its documents."""
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.md").write_text("# A\n\nSome words.\n")
    (tmp_path / "mine.yaml").write_text(BLUEPRINT)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """`call("status", "mine.yaml")` gives exit status, standard output and standard error."""

    def called(*arguments: str) -> Said:
        monkeypatch.setattr(sys, "argv", ["groundup", *arguments])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        out, errors = capsys.readouterr()
        return int(ended.value.code or 0), out, errors

    return called


@pytest.fixture
def run(here: Path) -> RunFolder:
    """A run folder whose `curate` is done, with two documents, as if `groundup run` had been stopped after it."""
    loaded, folder = load(here / "mine.yaml"), RunFolder(Path("runs/mine"))
    key = survey(loaded, folder, stages(loaded.blueprint))[0].key
    assert key is not None
    out, _ = folder.store.begin(key)
    texts = {"A": "A page of seven words, more or less.", "B": "Another page of more than five words.", "C": "Short."}
    found = [
        Document(document_id(text), text, title, "docs", f"{title.lower()}.md", offset=7)
        for title, text in texts.items()
    ]
    curate([Given(tuple(found), "docs")], loaded.blueprint.curate, out, here / "aside", here)
    artifact = folder.store.publish(key, {"documents": 2}, Measured(61.0, 300 << 20), {"ended": "2026-01-31T12:00:00Z"})
    folder.remember(Remembered(str(here / "mine.yaml"), [], {"curate": artifact.path.name}))
    return folder


def test_every_verb_says_what_it_does_in_one_line(call: Call) -> None:
    status, out, _ = call("--help")
    verbs = out.partition("Commands:\n")[2].splitlines()
    assert status == 0
    assert {"new", "plan", "run", "status", "explain", "lineage", "clean", "doctor", "blueprint"} <= {
        line.split()[0] for line in verbs
    }
    assert all(line.endswith(".") and not line.endswith("...") for line in verbs)


@pytest.mark.parametrize(
    ("arguments", "status", "error"),
    [
        (["run", "absent.yaml"], 1, "groundup: absent.yaml: there is no such file; `groundup new DIR` writes one"),
        (["run", "mine.yaml", "--only", "summ"], 1, "groundup: there is no stage summ in this blueprint; its stages"),
        (["run", "mine.yaml", "--from", "summ"], 1, "groundup: there is no stage summ in this blueprint; its stages"),
        (["run", "mine.yaml", "--run", "docs"], 1, "groundup: docs: holds other files and is no run folder"),
        (["run", "mine.yaml", "--only", "tokens"], 1, "groundup: runs/mine: tokens needs curate, tokenizer, which is"),
        (["run", "mine.yaml", "--set", "curate.sources.0.path=nowhere"], 1, "groundup: --set curate.sources.0.path"),
        (["status"], 1, "groundup: runs: there is no run yet; name a run folder, or `groundup run` first"),
        (["status", "docs"], 1, "groundup: docs: is no run folder; name one that `groundup run` made"),
        (["lineage", "docs", "curate"], 1, "groundup: docs: is no run folder"),
        (["run", "mine.yaml", "--fast"], 2, "No such option: --fast"),
        (["run"], 2, "Missing argument"),
        (["fly"], 2, "No such command 'fly'"),
    ],
)
def test_a_mistake_is_reported_plainly(here: Path, call: Call, arguments: list[str], status: int, error: str) -> None:
    got, _, errors = call(*arguments)
    assert got == status
    assert error in errors
    assert "Traceback" not in errors
    if status == 1:
        assert errors.count("\n") == 1


def test_every_mistake_in_a_blueprint_gets_a_line(here: Path, call: Call) -> None:
    (here / "bad.yaml").write_text(BLUEPRINT + "  holdout: 1\nsed: 4\n")
    status, _, errors = call("plan", "bad.yaml")
    first, second = errors.splitlines()
    assert status == 1
    assert first.startswith("groundup: bad.yaml:7:3: curate.holdout: unknown key")
    assert second.startswith("groundup: bad.yaml:8:1: sed: unknown key")


def test_new_writes_a_blueprint_that_loads_and_never_overwrites(here: Path, call: Call) -> None:
    status, out, _ = call("new", "fresh")
    assert (status, out) == (0, "Wrote fresh/blueprint.yaml. Edit it, then: groundup run fresh/blueprint.yaml\n")
    assert call("plan", "fresh/blueprint.yaml")[0] == 0
    _, out, _ = call("plan", "fresh/blueprint.yaml", "--device", "h100", "--gpus", "8", "--price", "2.5")
    assert "On that device:\n- 1.5 M tokens in about" in out and "at 2.5 per device and hour" in out
    assert "--gpus and --price need a device" in call("plan", "fresh/blueprint.yaml", "--gpus", "8")[2]
    assert call("new", "fresh")[0] == 1


def test_plan_says_what_a_run_would_take_without_running(here: Path, call: Call) -> None:
    status, out, _ = call("plan", "mine.yaml", "--set", "align=dpo")
    stages_named = [line.split()[0] for line in out.splitlines()[3:12]]  # dpo makes its own pairs: no reward model
    assert status == 0
    assert stages_named == [stage.name for stage in stages(load(Path("mine.yaml"), ["align=dpo"]).blueprint)]
    assert not (here / "runs").exists()


def test_plan_names_the_line_of_a_missing_file(here: Path, call: Call) -> None:
    (here / "mine.yaml").write_text(BLUEPRINT.replace("path: docs", "path: nowhere"))
    status, _, errors = call("plan", "mine.yaml")
    assert status == 1
    assert errors.startswith("groundup: mine.yaml:5:13: curate.sources.0.path: there is no file or folder")


def test_blueprint_show_and_schema(here: Path, call: Call) -> None:
    assert call("blueprint", "show", "mine.yaml")[1] == BLUEPRINT
    resolved = call("blueprint", "show", "mine.yaml", "--resolved", "--set", "seed=3")[1].splitlines()
    values = {line.split()[0]: line for line in resolved}
    assert values["curate.heldout"].endswith("0.1  (mine.yaml:6)")
    assert values["seed"].endswith("3  (--set)")
    assert values["align"].endswith("ppo  (default)")
    assert "size 4M" in values["pretrain.model.width"]
    assert "properties" in json.loads(call("blueprint", "schema")[1])


def test_a_new_blueprints_folder_has_a_status_before_its_first_run(here: Path, call: Call) -> None:
    """From outside and from inside the folder; documents that are missing are reported by line and column."""
    call("new", "fresh", "--from", "files")
    status, _, errors = call("status", "fresh")
    assert status == 1 and errors.startswith("groundup: fresh/blueprint.yaml:") and "no file or folder" in errors
    (here / "docs").rename(here / "fresh" / "documents")
    for given in (["status", "fresh"], ["status", "fresh/blueprint.yaml"], ["explain", "fresh"]):
        status, out, _ = call(*given)
        assert status == 0 and out.startswith("fresh/runs/my-documents, with fresh/blueprint.yaml\n  curate")
    os.chdir("fresh")
    assert call("status")[1].startswith("runs/my-documents, with blueprint.yaml\n  curate")
    assert call("chat")[0] == 1


@pytest.mark.parametrize("named", ["runs/mine", "mine.yaml", ".", None])
def test_status_of_a_run_however_it_is_named(run: RunFolder, call: Call, named: str | None) -> None:
    status, out, _ = call("status", *([named] if named else []))
    lines = out.splitlines()
    assert status == 0
    assert lines[1].split() == ["curate", "done", "1:01", "300", "MiB", "documents", "2"]
    assert lines[2].split() == ["tokenizer", "new"]
    assert lines[3].split() == ["tokens", "waiting"]


def test_status_says_how_far_a_killed_stage_came(run: RunFolder, here: Path, call: Call) -> None:
    key = survey(load(here / "mine.yaml"), run, stages(load(here / "mine.yaml").blueprint))[1].key
    assert key is not None
    _, keep = run.store.begin(key)
    run.event("started", "tokenizer", key=key.digest, expected={"steps": 9.0})
    log = MetricsLog(keep / "metrics.jsonl")
    for step in (1, 2, 3):
        log.write(step, tokens=100.0)
    (keep / "checkpoint-000000002").mkdir()
    where = "was killed at step 3 of 9, 300 tokens; resumes after step 2"
    assert call("status", "runs/mine")[1].splitlines()[2] == f"  tokenizer  interrupted {where}"
    assert f"  tokenizer  interrupted {where}\n" in call("explain", "runs/mine")[1]
    found = json.loads(call("status", "runs/mine", "--json")[1])["stages"][1]
    assert (found["state"], found["reached"]["resumes_after"]) == ("interrupted", 2)
    (keep / "metrics.jsonl").unlink()
    run.event("failed", "tokenizer", seconds=1.0, error="the disk is full")
    assert (
        call("status", "runs/mine")[1]
        .splitlines()[2]
        .endswith("failed at step 2 of 9; resumes after step 2 (the disk is full)")
    )


def test_explain_names_the_value_and_its_line(run: RunFolder, here: Path, call: Call) -> None:
    artifact = run.artifact("curate").path.name
    assert f"curate     done        made 2026-01-31T12:00:00Z as {artifact}" in call("explain", "runs/mine")[1]
    (here / "mine.yaml").write_text(BLUEPRINT.replace("0.1", "0.2"))
    assert "curate     stale       curate.heldout was 0.1, is 0.2 (mine.yaml:6)" in call("explain", "runs/mine")[1]
    (here / "mine.yaml").write_text(BLUEPRINT)
    (here / "docs" / "b.md").write_text("# B\n")
    assert "curate     stale       its source docs has changed" in call("explain", "runs/mine")[1]


def test_lineage_reaches_the_documents(run: RunFolder, call: Call) -> None:
    name = run.artifact("curate").path.name
    out = call("lineage", "runs/mine", "curate")[1]
    assert out.startswith(name)
    assert "from sources" in out
    assert "2 documents of docs, licence not stated" in out
    assert call("lineage", "runs/mine", name)[1] == out
    listed = call("lineage", "runs/mine", "curate", "--documents")[1].splitlines()
    assert [line.split(None, 1)[1] for line in listed[-2:]] == ["train  docs  a.md  -  A", "heldout  docs  b.md  -  B"]
    kept, dropped = document_id("A page of seven words, more or less."), document_id("Short.")
    shown = call("lineage", "runs/mine", "curate", "--document", kept[:6])[1]
    assert shown.startswith(f"{kept}  A\n  from       docs: a.md, at 7\n  licence    not stated\n  kept\n")
    shown = call("lineage", "runs/mine", "curate", "--document", "c.md")[1]
    assert shown.startswith(f"{dropped}  C\n")
    assert "\n  dropped    by min_words (measured 1, threshold 5)\n" in shown
    assert "\n    words                            1\n" in shown
    assert (
        "curate was made from no document with the id or origin ffff"
        in call("lineage", "runs/mine", "curate", "--document", "ffff")[2]
    )
    assert f"there is no artifact sft; there are {name}" in call("lineage", "runs/mine", "sft")[2]


def test_clean_takes_what_the_newest_run_does_not_use(run: RunFolder, call: Call) -> None:
    assert call("clean", "runs/mine")[1] == "Nothing to remove\n"
    used = run.artifact("curate")
    run.remember(Remembered("mine.yaml", [], {}))
    with run.store.lock("run"):
        assert "is working on this run" in call("clean", "runs/mine")[2]
    assert call("clean", "runs/mine", "--dry-run")[1].startswith(f"would remove {used.path.name} (0 MB)\n")
    [listed] = json.loads(call("clean", "runs/mine", "--dry-run", "--json")[1])
    assert listed["bytes"] == sum(path.stat().st_size for path in used.path.rglob("*") if path.is_file()) > 0
    assert used.path.exists()
    assert call("clean", "runs/mine")[1].startswith(f"removed {used.path.name} ")
    assert not used.path.exists()


def test_clean_keeps_what_an_interrupted_stage_resumes_from(run: RunFolder, call: Call) -> None:
    _, keep = run.store.begin(StageKey("pretrain", 1, {}, 7))
    (keep / "checkpoint-000001").write_text("weights")
    assert "kept for interrupted stages: pretrain (0 MB); --yes removes it too" in call("clean", "runs/mine")[1]
    assert keep.is_dir()
    assert f"removed {keep.name}" in call("clean", "runs/mine", "--yes")[1]
    assert not keep.exists()


def test_diagnose_reads_the_newest_run(run: RunFolder, call: Call) -> None:
    assert call("diagnose", "runs/mine")[1] == "Nothing went wrong, as far as the figures show.\n"
    artifact = run.artifact("curate")
    run.store.begin(replace(artifact.manifest.key, seed=9))
    bad = {"documents": 1, "dropped": {"min_words": 9}}
    made = run.store.publish(replace(artifact.manifest.key, seed=9), bad, Measured(1.0, 1 << 20), {})
    run.remember(Remembered("mine.yaml", [], {"curate": made.path.name}))
    assert call("diagnose", "runs/mine")[1].startswith(
        "curate: the rule min_words drops 90% of the documents\n  because  9 of 10 documents\n  to try   see what"
    )
    assert json.loads(call("diagnose", "runs/mine", "--json")[1])[0]["stage"] == "curate"


def test_status_before_the_first_run_leaves_nothing(here: Path, call: Call) -> None:
    status, out, _ = call("status", "mine.yaml")
    assert (status, out.splitlines()[:2]) == (0, ["runs/mine, with mine.yaml", "  curate     new        "])
    assert not (here / "runs").exists()


def test_a_runs_folder_follows_from_the_blueprint_not_from_the_current_folder(
    run: RunFolder, here: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    (here / "elsewhere").mkdir()
    monkeypatch.chdir(here / "elsewhere")
    assert call("status", "../mine.yaml")[1].startswith("../runs/mine, with ../mine.yaml\n  curate     done")


def test_status_and_explain_use_and_show_the_overrides_of_the_newest_run(run: RunFolder, call: Call) -> None:
    before = run.remembered()
    assert before is not None
    run.remember(Remembered(before.blueprint, ["curate.heldout=0.3"], before.stages))
    for verb in ("status", "explain"):
        first, second, *_ = call(verb, "mine.yaml")[1].splitlines()
        assert first == "runs/mine, with mine.yaml and --set curate.heldout=0.3"
        assert second.split()[:2] == ["curate", "stale"]
    found = json.loads(call("explain", "mine.yaml", "curate", "--json")[1])
    assert found["overrides"] == ["curate.heldout=0.3"]
    assert found["stages"][0]["reasons"] == ["curate.heldout was 0.1, is 0.3 (--set)"]
    assert call("status", "mine.yaml", "--set", "seed=1337")[1].splitlines()[1].split()[:2] == ["curate", "done"]
    assert "there is no stage summ" in call("explain", "mine.yaml", "summ")[2]


def test_a_misspelt_override_names_what_was_probably_meant(here: Path, call: Call) -> None:
    assert "pretain: unknown key; did you mean pretrain?" in call("plan", "mine.yaml", "--set", "pretain.tokens=3")[2]
    assert "did you mean tokens?" in call("plan", "mine.yaml", "--set", "pretrain.token=3")[2]


def test_the_package_runs_as_a_module_and_completes_its_verbs() -> None:
    command = [sys.executable, "-m", "groundup"]
    assert subprocess.run([*command, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    asked = {**os.environ, "_GROUNDUP_COMPLETE": "complete_bash", "COMP_WORDS": "groundup expl", "COMP_CWORD": "1"}
    code = "from groundup.cli.main import app; app(prog_name='groundup')"
    found = subprocess.run([sys.executable, "-c", code], env=asked, capture_output=True, text=True, check=False)
    assert found.stdout.split() == ["explain"]


def test_report_needs_a_run_that_came_to_its_end(run: RunFolder, call: Call) -> None:
    (run.path / "blueprint.source.yaml").write_text(BLUEPRINT)
    status, _, errors = call("report", "runs/mine")
    assert (status, errors) == (
        1,
        "groundup: runs/mine: its newest run has no tokenizer; run the blueprint to its end\n",
    )


def test_doctor_looks_at_everything(call: Call) -> None:
    status, out, _ = call("doctor")
    found = [line.split()[1] for line in out.splitlines() if line.startswith(("ok", "warn"))]
    assert status == 0
    assert found == ["python", "torch", "threads", "device", "precision", "memory", "disk", "serve"]


def test_openmps_threads_do_not_spin_for_long(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    """Next to the threads of a decoding step; what the user has set stays."""
    for name in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY"):
        monkeypatch.delenv(name, raising=False)
    call("--version")
    assert os.environ["GOMP_SPINCOUNT"] == SPINS
    monkeypatch.setenv("GOMP_SPINCOUNT", "5")
    call("--version")
    assert os.environ["GOMP_SPINCOUNT"] == "5"
