"""What a user can get wrong at the command line: one line that says what to do, a status other than 0, nothing lost."""

import gzip
import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

GOOD = "# A page\n\nThe river carries the stone near the garden, and the captain remembers the winter market well.\n"
OTHER = "# Another page\n\nA teacher who travels with an old paper lantern knows every village of the island by name.\n"
THIRD = "After the long line comes a row that is read all the same, since nothing that can be read is skipped."


def run_groundup(folder: Path, *arguments: str) -> tuple[int, str]:
    """`groundup run mine.yaml` up to the curate stage."""
    done = subprocess.run(
        [sys.executable, "-c", "from groundup.cli.main import main; main()", "run", "mine.yaml", *arguments],
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        timeout=120,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def blueprint(folder: Path, extra: str = "", path: str = "pages") -> None:
    text = f"name: mine\ncurate:\n  sources:\n    - kind: files\n      path: {path}\n{extra}"
    (folder / "mine.yaml").write_text(text, encoding="utf-8")


def pages(folder: Path, good: int = 2) -> Path:
    target = folder / "pages"
    target.mkdir()
    for number in range(good):
        (target / f"good{number}.md").write_text(OTHER if number else GOOD, encoding="utf-8")
    return target


def unknown_key(folder: Path) -> None:
    pages(folder)
    blueprint(folder, "pretrain:\n  learning_rat: 1e-3\n")


def wrong_type(folder: Path) -> None:
    pages(folder)
    blueprint(folder, 'seed: "twelve"\n')


def missing_folder(folder: Path) -> None:
    blueprint(folder, path="nowhere")


def empty_folder(folder: Path) -> None:
    (folder / "pages").mkdir()
    blueprint(folder)


def nothing_left(folder: Path) -> None:
    pages(folder)
    blueprint(folder, "  rules:\n    min_words: 5000\n")


@pytest.mark.parametrize(
    ("prepare", "said"),
    [
        (unknown_key, ["mine.yaml:7:3", "pretrain.learning_rat", "did you mean", "learning_rate"]),
        (wrong_type, ["mine.yaml:6:", "seed", "twelve"]),
        (missing_folder, ["nowhere"]),
        (empty_folder, ["pages"]),
        (nothing_left, ["min_words"]),
    ],
)
def test_a_mistake_is_one_line(tmp_path: Path, prepare: Callable[[Path], None], said: list[str]) -> None:
    prepare(tmp_path)
    status, output = run_groundup(tmp_path, "--only", "curate")
    assert status != 0
    assert "Traceback" not in output
    mistakes = [line for line in output.splitlines() if line.startswith("groundup: ")]
    assert len(mistakes) == 1, output
    for words in said:
        assert words in mistakes[0]


def test_an_override_is_blamed_as_such(tmp_path: Path) -> None:
    pages(tmp_path)
    blueprint(tmp_path)
    status, output = run_groundup(tmp_path, "--set", "pretrain.tokens=many")
    assert status != 0
    assert "--set pretrain.tokens=many" in output


def test_bad_files_are_skipped_and_listed_while_good_ones_are_kept(tmp_path: Path) -> None:
    """A binary file, a line of 100 MB, a truncated gzip: each dropped by a rule, none silent; Latin-1 is read."""
    import pyarrow.parquet as pq

    target = pages(tmp_path)
    (target / "binary.txt").write_bytes(bytes(range(256)) * 50)
    (target / "latin.txt").write_bytes("Ein schöner Tag für einen Spaziergang über die Brücke.".encode("latin-1"))
    with (target / "long.jsonl").open("wb") as file:
        file.write(b'{"text": "' + b"a " * (50 << 20) + b'"}\n{"text": "' + THIRD.encode() + b'"}\n')
    whole = gzip.compress(GOOD.encode() * 2000)
    (target / "cut.md.gz").write_bytes(whole[: len(whole) // 2])
    blueprint(tmp_path)
    status, output = run_groundup(tmp_path, "--only", "curate")
    assert status == 0, output
    (artifact,) = (tmp_path / "runs" / "mine" / "artifacts").glob("curate-*")
    dropped = {
        Path(row["origin"].split(":")[0]).name: row["rule"]
        for row in pq.read_table(artifact / "ledger").to_pylist()
        if row["rule"]
    }
    assert dropped["binary.txt"] == "binary"
    assert dropped["long.jsonl"] == "too-large"
    assert dropped["cut.md.gz"] == "truncated"
    kept = pq.read_table(artifact / "documents").to_pylist()
    assert {"good0.md", "good1.md", "latin.txt"} <= {Path(row["origin"]).name for row in kept}
    assert any("schöner Tag" in row["text"] for row in kept)
    assert any(row["origin"].startswith("long.jsonl:2") for row in kept), "the row after the long line is read"


@pytest.mark.skipif(os.geteuid() != 0 or sys.platform != "linux", reason="mounting a small disk needs root on Linux")
def test_a_full_disk_is_one_line_and_the_run_resumes_when_there_is_room(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24k", "none", str(disk)], check=False)
    if mounted.returncode != 0:
        pytest.skip("this machine lets nobody mount")
    try:
        target = pages(tmp_path)
        for number in range(400):
            words = " ".join(hashlib.sha256(f"{number} {k}".encode()).hexdigest()[:9] for k in range(30))
            (target / f"more{number}.md").write_text(f"{GOOD}\n{words}\n", encoding="utf-8")
        blueprint(tmp_path)
        status, output = run_groundup(tmp_path, "--only", "curate", "--run", str(disk / "run"))
        assert status != 0
        assert "Traceback" not in output
        assert "make room" in output
        subprocess.run(["mount", "-o", "remount,size=64m", str(disk)], check=True)
        status, output = run_groundup(tmp_path, "--only", "curate", "--run", str(disk / "run"))
        assert status == 0, output
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=False)
