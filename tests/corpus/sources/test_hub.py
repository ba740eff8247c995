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
from made.prose import documents

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


def test_the_gallery_curates_fineweb_edu_from_this_hub(served: Hub, tmp_path: Path) -> None:
    """As its blueprint says, whole; of the hub's files only those that it names, and a second run asks for none."""
    from groundup.blueprint import gallery
    from groundup.blueprint.load import load
    from groundup.corpus.curate.curation import curate
    from groundup.corpus.curate.partitions import partitions
    from groundup.corpus.documents import DOCUMENTS, read_documents
    from groundup.corpus.engine import DataEngine
    from groundup.corpus.ledger import LEDGER, dropped_entries

    pages = list(documents(60))
    assert len({*pages}) == 60
    rows = {"text": [*pages, pages[0]], "id": [f"<urn:{n}>" for n in range(61)], "url": ["https://a.example/"] * 61}
    file = io.BytesIO()
    pq.write_table(pa.table({**rows, "score": [3.1] * 61}), file, row_group_size=20)
    served.dataset = "HuggingFaceFW/fineweb-edu"
    served.files |= {
        "sample/10BT/000_00000.parquet": file.getvalue(),
        "sample/100BT/000_00000.parquet": b"",
        "a.md": b"",
    }
    loaded = load(gallery.write("fineweb-edu", tmp_path / "new")[0]).blueprint
    assert loaded.curate is not None
    digest = fingerprint(loaded.curate, tmp_path, tmp_path / "cache")
    out, keep = tmp_path / "out", tmp_path / "keep"
    out.mkdir()
    curate(partitions(loaded.curate, tmp_path), loaded.curate, out, keep, tmp_path, DataEngine(workers=1))
    found = list(read_documents(out / DOCUMENTS))
    lost = list(dropped_entries(out / LEDGER))
    assert len(found) + len(lost) == 61 and len(found) > 30
    assert any(one.rule == "exact-duplicate" for one in lost)
    assert {(one.source, one.licence, one.url) for one in found} == {
        ("fineweb-edu", "ODC-By-1.0", "https://a.example/")
    }
    assert all(one.origin.startswith("000_00000.parquet:") and "<urn:" in one.origin for one in found)
    assert {path for _, path, _ in served.asked if "resolve" in path} == {
        "/datasets/HuggingFaceFW/fineweb-edu/resolve/main/sample/10BT/000_00000.parquet"
    }
    served.asked.clear()
    assert fingerprint(loaded.curate, tmp_path, tmp_path / "cache") == digest
    assert [path for _, path, _ in served.asked if "resolve" in path] == []
