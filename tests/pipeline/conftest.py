import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = str(Path(__file__).parent)
SEARCHED = os.pathsep.join([HERE, *filter(None, [os.environ.get("PYTHONPATH")])])
sys.path.insert(0, HERE)  # the toy stages are imported by name, here and in the stages' processes


@pytest.fixture(autouse=True)
def toys_in_children(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", SEARCHED)


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """A folder with the toy's source; runs go into `run` next to it."""
    return _source(tmp_path / "base")


@pytest.fixture(scope="session")
def _finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    from test_runner import execute

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", SEARCHED)
        folder = tmp_path_factory.mktemp("finished")
        execute(_source(folder / "base"))
        yield folder


@pytest.fixture
def done(_finished: Path, tmp_path: Path) -> Path:
    """Like `base`, with a finished run of the toy."""
    shutil.copytree(_finished, tmp_path / "done")
    return tmp_path / "done" / "base"


def _source(folder: Path) -> Path:
    folder.mkdir()
    (folder / "numbers.txt").write_text("".join(f"{number}\n" for number in range(1, 11)))
    return folder
