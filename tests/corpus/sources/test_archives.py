"""Web archives: records become documents with address and offset; malformed archives are reported and never hang.

Archives are made in `made.archives`; those that warcio and Common Crawl test with are read too where they are there.
"""

import gzip
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from groundup.corpus.documents import Document, Dropped
from groundup.corpus.sources import pieces, read_piece
from groundup.corpus.sources.configuration import Files
from made.archives import ADDRESS, FAULTY, PAGE, arc, chunked, http, record
from made.pages import pages
from made.real import DATA

WARC = DATA / "web" / "warc"
# Archives with known faults that warcio is tested with, and what must come of each record.
PUBLISHED = [
    ("bad.arc", ["corrupt"]),
    ("example-bad-non-chunked.warc.gz", ["kept", "revisit"]),
    ("example-bad.warc.gz.bad", ["kept", "revisit", "http-status"]),
    ("example-digest.warc", ["no-document"]),  # requests alone
    ("example-iana.org-chunked.warc", ["kept"]),
    ("example-resource.warc.gz", ["kept"]),
    ("example-space-in-target-uri.warc.gz", ["unsupported-type"]),
    ("example-space-in-url.arc", ["truncated"]),
    ("example-trunc.warc", ["kept", "truncated", "corrupt"]),
    ("example-wget-bad-target-uri.warc.gz", ["kept", "crawl-log", "crawl-log"]),
    ("example-wrong-chunks.warc.gz", ["kept", "truncated"]),
    ("example.arc", ["kept"]),
    ("example.arc.gz", ["kept"]),
    ("example.warc", ["kept", "revisit"]),
    ("example.warc.gz", ["kept", "revisit"]),
    ("post-test.warc.gz", ["unsupported-type"] * 3),
]


def read(path: Path, limit_mb: float = 1.0, **options: object) -> list[Document | Dropped]:
    source = Files.model_validate({"kind": "files", "path": path, "extraction": {"method": "resiliparse"}, **options})
    return [one for piece in pieces(source, "src", path.parent) for one in read_piece(piece, source, limit_mb)]


def verdicts(path: Path, **options: object) -> list[tuple[str, str]]:
    """`(origin, rule)` of each; `kept` for a document."""
    return [(one.origin, one.rule if isinstance(one, Dropped) else "kept") for one in read(path, **options)]  # type: ignore[arg-type]


def test_records_and_what_becomes_of_them(tmp_path: Path) -> None:
    packed = gzip.compress(PAGE)
    responses = [
        ("kept", http(PAGE)),
        ("kept", http(packed, head="Content-Encoding: gzip\r\n")),
        ("kept", http(chunked(PAGE), head="Transfer-Encoding: chunked\r\n")),
        ("kept", http(PAGE, head="Transfer-Encoding: chunked\r\n")),  # which it is not
        ("kept", http(PAGE, media="")),
        ("http-status", http(PAGE, status="404 Not Found")),
        ("unsupported-type", http(b"\x89PNG", media="image/png")),
        ("too-large", http(b"x" * 2_000_000)),
        ("too-large", http(gzip.compress(b"x" * 100_000_000), head="Content-Encoding: gzip\r\n")),
        ("corrupt", http(b"not packed", head="Content-Encoding: gzip\r\n")),
        ("corrupt", b"this is no HTTP"),
    ]
    archive = b"".join(record(message, url=f"https://x.org/{at}") for at, (_, message) in enumerate(responses))
    archive += record(b"Plain words.", "conversion") + record(b"", "revisit") + record(b"GET /", "request")
    (tmp_path / "a.warc").write_bytes(archive)
    (tmp_path / "b.warc.gz").write_bytes(gzip.compress(archive, 1))
    found, packed_found = read(tmp_path / "a.warc"), read(tmp_path / "b.warc.gz")
    assert [(one.offset, one.url) for one in found] == [(one.offset, one.url) for one in packed_found]
    rules = [one.rule if isinstance(one, Dropped) else "kept" for one in found]
    assert rules == [rule for rule, _ in responses] + ["kept", "revisit"]
    for at, one in enumerate(found[: len(responses)]):
        assert one.url == f"https://x.org/{at}" and archive[one.offset :].startswith(b"WARC/1.0")
        if isinstance(one, Document):
            assert one.text.startswith("Bread") and one.title == "A page"
    text = found[-2]
    assert isinstance(text, Document) and text.text == "Plain words."


@pytest.mark.parametrize("size", [50, 40_000, 400_000])
@pytest.mark.parametrize("packed", [False, True])
def test_a_broken_record_costs_no_other(tmp_path: Path, size: int, packed: bool) -> None:
    """Between two good records lie noise, a header of nonsense and a length that is too small."""
    good = [
        record(b"Text of number %d. " % n + b"word " * size, "conversion", url=f"https://x.org/{n}") for n in range(5)
    ]
    broken = [
        b"\0noise" * size,
        b"WARC/1.0\r\nno header at all\r\n\r\n" * 3,
        record(b"word " * size, length=10),
        b"nonsense",
    ]
    parts = [part for pair in zip(good, [*(one + b"\r\n" for one in broken), b""], strict=True) for part in pair]
    data = b"".join(parts)
    path = tmp_path / ("x.warc.gz" if packed else "x.warc")
    path.write_bytes(gzip.compress(data, 1) if packed else data)
    found = read(path, 8.0)
    kept = [one for one in found if isinstance(one, Document)]
    assert [one.url for one in kept if one.text.startswith("Text of")] == [f"https://x.org/{n}" for n in range(5)]
    starts = [sum(map(len, parts[: 2 * n])) for n in range(5)]
    assert [one.offset for one in kept if one.text.startswith("Text of")] == starts
    rules = [one.rule for one in found if isinstance(one, Dropped)]
    assert 3 <= rules.count("corrupt") <= 8


@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cut=st.integers(0, 2_200), packed=st.booleans())
def test_an_archive_cut_anywhere_says_so(tmp_path: Path, cut: int, packed: bool) -> None:
    """Whole records before the cut are kept; a cut within a document is reported."""
    one = record(b"The first text, of some length. " * 20, "conversion")
    data = one + record(b"The second text, of some length. " * 20, "conversion")
    bytes_kept = min(cut, len(data))
    stored = data[:bytes_kept]
    if packed:  # the packed file is cut: gzip itself finds the break
        stored = gzip.compress(data, 0)[: min(cut, len(data) - 50)]
    path = tmp_path / ("x.warc.gz" if packed else "x.warc")
    path.write_bytes(stored)
    found = verdicts(path)
    kept = [rule for _, rule in found].count("kept")
    assert kept <= 2
    if packed:
        assert found[-1][1] in ("truncated", "corrupt" if cut == 1 else "no-document")
    else:
        ends = (len(one), len(data))
        assert kept >= sum(bytes_kept >= end for end in ends)
        # A cut between records loses nothing; one within a record is reported: its text, or at least its type.
        inside = 20 <= bytes_kept < ends[0] - 4 or ends[0] + 20 <= bytes_kept < ends[1] - 4
        assert [rule for _, rule in found if rule != "kept"] if inside else True


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.binary(max_size=300), st.sampled_from([b"WARC/1.0\r\n", b"filedesc://x 0.0.0.0 20240101000000 text/plain 5\n"])
)
def test_noise_is_reported(tmp_path: Path, noise: bytes, start: bytes) -> None:
    path = tmp_path / "x.warc"
    path.write_bytes(start + noise)
    assert all(rule != "kept" for _, rule in verdicts(path))
    path.write_bytes(noise)
    assert verdicts(path) and all(rule != "kept" for _, rule in verdicts(path))


@pytest.mark.parametrize("name", FAULTY)
def test_faults_that_crawlers_produce(tmp_path: Path, name: str) -> None:
    """Each is overcome or listed, and no good record is lost to it."""
    data, expected = FAULTY[name]
    (tmp_path / name).write_bytes(data)
    found = read(tmp_path / name, format="warc")
    assert [one.rule if isinstance(one, Dropped) else "kept" for one in found] == expected
    for one in found:
        if isinstance(one, Document):
            assert one.text.startswith("Bread") and one.url.startswith(ADDRESS)


def test_a_crawl_and_its_text(tmp_path: Path) -> None:
    """A page and the WET record of it are the same article; every page of a crawl is read, with its offset."""
    made = list(pages(3))
    crawl = [record(http(one.page.encode()), url=f"https://example.com/{at}") for at, one in enumerate(made)]
    crawl.insert(4, record(b"fetched 15 pages", "metadata"))
    archive = b"".join(crawl)
    (tmp_path / "crawl.warc.gz").write_bytes(b"".join(map(gzip.compress, crawl)))
    found = [one for one in read(tmp_path / "crawl.warc.gz") if isinstance(one, Document)]
    assert [one.url for one in found] == [f"https://example.com/{at}" for at in range(15)]
    text = b"".join(
        record(one.text.encode(), "conversion", url=f"https://example.com/{at}") for at, one in enumerate(made)
    )
    (tmp_path / "crawl.warc.wet.gz").write_bytes(gzip.compress(text))
    plain = read(tmp_path / "crawl.warc.wet.gz")
    for page, words in zip(found, plain, strict=True):
        assert isinstance(words, Document) and page.url == words.url
        assert len(set(page.text.split()) & set(words.text.split())) > 0.9 * len(set(words.text.split()))
        start = archive[page.offset : page.offset + 2000]
        assert start.startswith(b"WARC/1.") and page.url.encode() in start


def test_line_feeds_alone_end_the_lines_of_a_head(tmp_path: Path) -> None:
    """In HTTP, with CR LF CR LF only in the page, and in the archive itself; charset and type are read all the same."""
    page = PAGE.replace(b"<h1>", b"\r\n\r\n<p>First part of the caf\xe9, which has a good number of words too.</p><h1>")
    head = b"HTTP/1.1 200 OK\nContent-Type: text/html; charset=windows-1252\n\n"
    (tmp_path / "http.warc").write_bytes(record(head + page))
    (tmp_path / "all.warc").write_bytes(record(head + page.replace(b"\r\n", b"\n")).replace(b"\r\n", b"\n"))
    for name in ("http.warc", "all.warc"):
        (one,) = read(tmp_path / name)
        assert isinstance(one, Document)
        assert one.text.startswith("First part of the caf\xe9")
        assert "Bread is made" in one.text


@pytest.mark.parametrize("end", [b"\r\r", b"\r\n\r\n", b"\n\n"])
def test_a_carriage_return_alone_ends_the_lines_of_a_head(tmp_path: Path, end: bytes) -> None:
    """In WARC and in ARC; the page may have blank lines of either kind, and is all there."""
    page = b"\n" + PAGE.replace(
        b"<h1>", b"\r\r<p>First part of the caf\xe9, which has a good number of words.</p>\r\n\r\n<h1>"
    )
    lines = [b"HTTP/1.1 200 OK", b"Content-Type: text/html; charset=windows-1252", b"Content-Length: %d" % len(page)]
    message = b"\r".join(lines) + end + page
    (tmp_path / "a.warc").write_bytes(record(message))
    (tmp_path / "a.arc").write_bytes(arc(message))
    for name in ("a.warc", "a.arc"):
        (one,) = read(tmp_path / name)
        assert isinstance(one, Document)
        assert one.text.startswith("First part of the caf\xe9") and "Bread is made" in one.text


@pytest.mark.parametrize(
    ("head", "message", "detail"),
    [
        ("WARC-Truncated: length\r\n", http(PAGE), "WARC-Truncated: length"),
        ("WARC-Segment-Number: 1\r\n", http(PAGE), "WARC-Segment-Number: 1"),
        ("", http(PAGE, head="Content-Length: 2000\r\n"), "Content-Length: 2000"),
        ("", http(PAGE, head=f"Content-Length: {len(PAGE)}\r\n"), ""),
    ],
)
def test_declared_incompleteness_is_listed(tmp_path: Path, head: str, message: bytes, detail: str) -> None:
    (tmp_path / "a.warc").write_bytes(record(message, head=head))
    kept, *rest = read(tmp_path / "a.warc")
    assert isinstance(kept, Document)
    assert [(one.origin, one.rule) for one in rest] == ([("a.warc:1", "truncated")] if detail else [])
    assert all(detail in one.excerpt for one in rest)


@pytest.mark.parametrize(("name", "expected"), PUBLISHED if WARC.is_dir() else [])
def test_every_malformed_archive_of_warcio(name: str, expected: list[str]) -> None:
    """The fault that each of them shows is reported or overcome."""
    found = read(WARC / "warcio" / name, format="warc")
    assert [one.rule if isinstance(one, Dropped) else "kept" for one in found] == expected
    for one in found:
        if isinstance(one, Document) and "iana" not in name:
            assert "This domain is established to be used for illustrative examples" in one.text
            assert one.url.startswith("http://example.com")


@pytest.mark.skipif(not WARC.is_dir(), reason="needs a published data set (../shared/data)")
def test_real_crawls() -> None:
    """Common Crawl's page and its WET text are the same article; dolma's sample holds 15 pages, all of them read."""
    page, text = (read(WARC / "whirlwind" / name)[0] for name in ("whirlwind.warc.gz", "whirlwind.warc.wet.gz"))
    assert isinstance(page, Document) and isinstance(text, Document)
    assert page.url == text.url == "https://an.wikipedia.org/wiki/Escopete"
    words = set(page.text.split())
    assert len(words & set(text.text.split())) > 0.8 * len(words)
    assert "alimentazión" in text.text or "Escopete" in text.text
    sample = read(WARC / "dolma" / "sample-0001.warc.gz")
    assert [one.rule if isinstance(one, Dropped) else "kept" for one in sample] == ["kept"] * 15 + ["crawl-log"] * 2
    archive = gzip.decompress((WARC / "dolma" / "sample-0001.warc.gz").read_bytes())
    for one in sample:
        start = archive[one.offset : one.offset + 2000]
        assert start.startswith(b"WARC/1.") and one.url.encode() in start
