"""Mixtures in a blueprint: how they may be written, and that a source that is not read is blamed by its line."""

from pathlib import Path

import pytest

from groundup.blueprint.load import load
from groundup.blueprint.problems import BlueprintError

TEXT = """curate:
  sources:
    - {kind: files, path: wiki}
    - {kind: files, path: books/old, name: novels}
    - {kind: files, path: elsewhere/wiki}
pretrain:
  KEY
"""


def loaded(folder: Path, key: str):
    for name in ("wiki", "books/old", "elsewhere/wiki"):
        (folder / name).mkdir(parents=True)
    path = folder / "mine.yaml"
    path.write_text(TEXT.replace("KEY", key))
    return load(path)


def test_sources_are_called_by_name_or_by_path(tmp_path: Path) -> None:
    given = loaded(tmp_path, "mixture: {wiki: .5, novels: 2, wiki-2: 1e-1}")
    given.check_files()
    assert given.blueprint.pretrain.mixture == {"wiki": 0.5, "novels": 2.0, "wiki-2": 0.1}
    assert given.blueprint.pretrain.tokens


def test_epochs_replace_tokens(tmp_path: Path) -> None:
    assert loaded(tmp_path, "epochs: 3").blueprint.pretrain.tokens is None


@pytest.mark.parametrize("key", ["mixture", "epochs"])
def test_a_source_that_is_not_read_is_blamed(tmp_path: Path, key: str) -> None:
    with pytest.raises(BlueprintError) as error:
        loaded(tmp_path, f"{key}: {{wiki: 1, old: 2}}").check_files()
    (line,) = str(error.value).splitlines()
    assert line == (
        f"{tmp_path}/mine.yaml:7:{27 if key == 'mixture' else 26}: pretrain.{key}.old: there is no such source; "
        "curate.sources are wiki, novels, wiki-2"
    )


@pytest.mark.parametrize(
    ("key", "says"),
    [
        ("mixture: {wiki: 0}", "pretrain.mixture.wiki: expected"),
        ("mixture: {wiki: much}", "pretrain.mixture.wiki: expected"),
        ("mixture: [wiki]", "pretrain.mixture: expected"),
        ("{epochs: 2, tokens: 5}", "give one of them"),
        ("{epochs: 2, mixture: {wiki: 1}}", "give one of them"),
    ],
)
def test_what_can_t_be_meant(tmp_path: Path, key: str, says: str) -> None:
    with pytest.raises(BlueprintError) as error:
        loaded(tmp_path, key)
    assert says in str(error.value)
