"""Object stores, against moto's S3 server on this machine."""

import gzip
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from groundup.corpus.documents import Document
from groundup.corpus.sources import pieces, read_piece
from groundup.corpus.sources.configuration import Remote
from groundup.errors import GroundupError

BUCKET = "crawl-bucket"


@pytest.fixture(scope="module")
def bucket() -> Iterator[Any]:
    """A client of the server; Daft finds it as any tool does, by the environment."""
    server_module = pytest.importorskip("moto.server")
    boto3 = pytest.importorskip("boto3")
    server = server_module.ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        for name, value in (("ACCESS_KEY_ID", "key"), ("SECRET_ACCESS_KEY", "secret"), ("DEFAULT_REGION", "us-east-1")):
            patch.setenv(f"AWS_{name}", value)
        client = boto3.client("s3")
        client.create_bucket(Bucket=BUCKET)
        yield client
    server.stop()


def test_files_in_a_bucket(bucket: Any) -> None:
    table = io.BytesIO()
    pq.write_table(pa.table({"text": [f"Text {n} of the table." for n in range(60)]}), table, row_group_size=10)
    put = {
        "2024/a.jsonl.gz": gzip.compress(b'{"text": "One."}\n{"text": "Two."}\n'),
        "2024/deep/b.txt": b"A page.",
        "2024/c.parquet": table.getvalue(),
        "2023/d.txt": b"Not asked for.",
    }
    for key, data in put.items():
        bucket.put_object(Bucket=BUCKET, Key=key, Body=data)
    source = Remote(kind="remote", address=f"s3://{BUCKET}/2024/**", licence="CC0-1.0")
    found = []
    for piece in pieces(source, "s", Path(), piece_bytes=len(table.getvalue()) // 3):  # the table in parts
        found += [(piece.start, item) for item in read_piece(piece, source)]
    assert all(isinstance(item, Document) and item.licence == "CC0-1.0" for _, item in found)
    assert [item.text for _, item in found if isinstance(item, Document)] == [
        "One.", "Two.", *(f"Text {n} of the table." for n in range(60)), "A page."
    ]  # fmt: skip
    assert len({start for start, _ in found}) > 1
    assert [item.origin for _, item in found[:2]] == ["a.jsonl.gz:1", "a.jsonl.gz:2"]


def test_what_is_not_in_a_bucket_is_an_error(bucket: Any) -> None:
    for address in (f"s3://{BUCKET}/none.txt", "s3://no-such-bucket/*.txt"):
        with pytest.raises(GroundupError, match=r"s3://.*: can't be read \(nothing is there\); check the address"):
            pieces(Remote(kind="remote", address=address), "s", Path())
    bucket.put_object(Bucket=BUCKET, Key="gone.txt", Body=b"A page.")
    source = Remote(kind="remote", address=f"s3://{BUCKET}/gone.txt")
    (piece,) = pieces(source, "s", Path())
    bucket.delete_object(Bucket=BUCKET, Key="gone.txt")
    with pytest.raises(GroundupError, match=r"gone\.txt: can't be read"):
        list(read_piece(piece, source))
