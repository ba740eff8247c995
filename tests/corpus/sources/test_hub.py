"""Data sets on a hub of this machine: listed, read whole or in parts, through bad connections, with clear refusals."""

import io
from collections.abc import Iterator
from pathlib import Path

import hub_server
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hub_server import Hub

from groundup.corpus.documents import Document
from groundup.corpus.fingerprint import fingerprint
from groundup.corpus.sources import hub, pieces, read_piece, web
from groundup.corpus.sources.configuration import Remote
from groundup.errors import GroundupError

ADDRESS = f"hf://datasets/{hub_server.DATASET}"


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    with hub_server.served() as found:
        monkeypatch.setenv("HF_ENDPOINT", found.address)
        monkeypatch.setenv("HF_HOME", str(tmp_path))
        monkeypatch.delenv("HF_TOKEN", raising=False)
        monkeypatch.setattr(web, "WAIT", 0.01)
        yield found


def table(rows: int, groups: int) -> bytes:
    """A Parquet file with the columns that FineWeb-Edu has, of text that does not compress."""
    random = np.random.default_rng(1)
    texts = [" ".join(map(str, random.integers(0, 10**9, 40))) for _ in range(rows)]
    file = io.BytesIO()
    columns = {"text": texts, "id": [f"<urn:{n}>" for n in range(rows)], "url": [f"https://a/{n}" for n in range(rows)]}
    pq.write_table(pa.table(columns), file, row_group_size=rows // groups)
    return file.getvalue()


def texts_of(source: Remote, piece_bytes: int = 1 << 30) -> list[str]:
    found = []
    for piece in pieces(source, "s", Path(), piece_bytes):
        found += [item.text for item in read_piece(piece, source) if isinstance(item, Document)]
    return found


def test_a_pattern_names_files_and_nothing_else_is_asked_for(served: Hub) -> None:
    served.files |= {
        "data/a.jsonl": b'{"text": "One."}\n', "data/more/b.jsonl": b'{"text": "Two."}\n',
        "other/c.jsonl": b'{"text": "Three."}\n', "README.md": b"# Pages\n",
    }  # fmt: skip
    wanted = {
        "data/*.jsonl": ["One."], "data/**": ["One.", "Two."], "data": ["One.", "Two."], "other/c.jsonl": ["Three."],
        "**/*.jsonl": ["One.", "Two.", "Three."], "data/?.jsonl": ["One."],
    }  # fmt: skip
    for path, texts in wanted.items():
        assert texts_of(Remote(kind="remote", address=f"{ADDRESS}/{path}")) == texts
    served.asked.clear()
    texts_of(Remote(kind="remote", address=f"{ADDRESS}/data/a.jsonl"))
    assert {path for _, path, _ in served.asked if "resolve" in path} == {
        f"/datasets/{hub_server.DATASET}/resolve/main/data/a.jsonl"
    }


def test_of_a_large_table_a_piece_fetches_its_row_groups_alone(served: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    from groundup.corpus.sources import remote

    monkeypatch.setattr(remote, "_FOOTER", 2000)  # less than the footer has
    served.files["data/0.parquet"] = table(800, 8)
    size = len(served.files["data/0.parquet"])
    source = Remote(kind="remote", address=f"{ADDRESS}/data/*.parquet", id="id")
    whole = list(read_piece(pieces(source, "s", Path())[0], source))
    cut = pieces(source, "s", Path(), size // 5)
    assert len(cut) == 4
    served.sent = 0
    some = list(read_piece(cut[2], source))
    assert served.sent < 0.4 * size
    assert [item for piece in cut for item in read_piece(piece, source)] == whole
    assert some == whole[400:600] and len(whole) == 800


@pytest.mark.parametrize("failures", [[503, 429], [0, 0, 500, 0], [0] * 4])
def test_bad_connections_cost_time_alone(served: Hub, failures: list[int]) -> None:
    text = "Bread. " * 40_000
    served.files["a.txt"] = text.encode()
    served.failures += failures
    assert texts_of(Remote(kind="remote", address=f"{ADDRESS}/a.txt")) == [text.strip()]
    assert not served.failures
    if 0 in failures:  # a transfer resumed, and sent nothing twice
        assert any(asked.startswith("bytes=") and asked != "bytes=0-" for _, _, asked in served.asked)
        assert served.sent == len(text)


def test_refusals_are_one_clear_line(served: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    served.files["a.txt"] = b"A page."
    for address in (f"{ADDRESS}/none.txt", "hf://datasets/someone/none/a.txt"):
        with pytest.raises(GroundupError, match=r"hf://.*none.*: can't be read \(nothing is there"):
            pieces(Remote(kind="remote", address=address), "s", Path())
    with pytest.raises(GroundupError, match="is no address of a data set's files; write hf://datasets/OWNER/NAME/PATH"):
        pieces(Remote(kind="remote", address="hf://models/x"), "s", Path())
    served.token = "hf_secret"
    with pytest.raises(GroundupError, match=r"asks for credentials, HTTP 401\); for hf:// set HF_TOKEN"):
        pieces(Remote(kind="remote", address=f"{ADDRESS}/a.txt"), "s", Path())
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    assert texts_of(Remote(kind="remote", address=f"{ADDRESS}/a.txt")) == ["A page."]
    served.failures += [503] * web.TRIES
    with pytest.raises(GroundupError, match=r"a.txt: can't be read \(HTTP 503, 5 times\); .* run again: it resumes"):
        texts_of(Remote(kind="remote", address=f"{ADDRESS}/a.txt"))


def test_a_host_that_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    monkeypatch.setattr(web, "TIMEOUT", 0.05)
    monkeypatch.setattr(web, "WAIT", 0.01)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}/a.txt"
        with pytest.raises(GroundupError, match=r"no answer within 0\.05 seconds, 5 times\)"):
            pieces(Remote(kind="remote", address=address), "s", Path())


def test_credentials_stay_with_the_hub() -> None:
    import urllib.request

    handler = web._NoCredentialsElsewhere()
    asked = urllib.request.Request("https://hub.example/a", headers={"Authorization": "Bearer x"})
    elsewhere = handler.redirect_request(asked, None, 302, "", {}, "https://store.example/a")
    here = handler.redirect_request(asked, None, 302, "", {}, "https://hub.example/b")
    assert elsewhere is not None and not elsewhere.has_header("Authorization")
    assert here is not None and here.has_header("Authorization")
    assert hub.parsed("hf://datasets/a/b@v1/c/d.parquet") == ("a/b", "v1", "c/d.parquet")


def test_a_blueprint_that_names_fineweb_edu(served: Hub, tmp_path: Path) -> None:
    """Its source, read from this hub; what a second run looks at is the listing alone."""
    from groundup.corpus.configuration import CurateConfig

    served.files["data/0.parquet"] = table(40, 2)
    source = {"kind": "remote", "address": f"{ADDRESS}/data/*.parquet", "licence": "ODC-By-1.0", "id": "id"}
    config = CurateConfig.model_validate({"sources": [source], "rules": {"preset": "fineweb"}})
    first = fingerprint(config, tmp_path, tmp_path / "cache")
    served.asked.clear()
    assert fingerprint(config, tmp_path, tmp_path / "cache") == first
    assert [path for _, path, _ in served.asked if "resolve" in path] == []
    assert len(texts_of(Remote.model_validate(source))) == 40
