"""Pages that never end, take all memory or end their process are dropped with a rule, and the others lose nothing."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from groundup.corpus.extraction import html
from groundup.corpus.extraction.configuration import Extraction
from groundup.corpus.extraction.pool import Extracted, Extractor, Page
from groundup.corpus.extraction.worker import Method
from groundup.corpus.sources.unreadable import UnreadableError

GOOD = (
    "<html><head><title>T</title></head><body><article><h1>Head</h1><p>" + "A good page of text. " * 20 + "</p></body>"
)
DEEP = "<html><body>" + "<div>" * 60_000 + "text " * 50


@pytest.fixture(scope="module")
def shared() -> Iterator[Extractor]:
    with Extractor(Extraction(seconds=2, page_mb=2)) as extractor:
        yield extractor


def rules(found: list[Extracted | UnreadableError]) -> list[str]:
    return [one.rule if isinstance(one, UnreadableError) else "" for one in found]


@pytest.mark.parametrize("method", [Method.PRECISION, Method.RESILIPARSE])
def test_the_worker_gives_what_the_library_gives(method: Method) -> None:
    bare = html.by_trafilatura(GOOD)[:2] if method is Method.PRECISION else html.by_resiliparse(GOOD)
    with Extractor() as extractor:
        (found,) = extractor.extract([Page(method, GOOD)])
    assert isinstance(found, Extracted)
    assert (found.title, found.text) == bare
    assert "A good page of text." in found.text


def test_a_page_that_takes_too_long_is_dropped_and_the_rest_is_read() -> None:
    """Resiliparse needs time by the square of the depth: 60,000 nested elements take half a minute."""
    pages = [Page(Method.RESILIPARSE, page) for page in (GOOD, DEEP, GOOD, DEEP, GOOD)]
    started = time.process_time()
    with Extractor(Extraction(seconds=0.3)) as extractor:
        found = extractor.extract(pages)
    assert rules(found) == ["", "extraction-timeout", "", "extraction-timeout", ""]
    late = found[1]
    assert isinstance(late, UnreadableError) and late.threshold == 0.3
    assert time.process_time() - started < 2  # this process only waits


def test_processor_time_counts_and_not_the_time_on_the_wall() -> None:
    """A worker that is stopped for longer than the limit, as on a busy machine, drops nothing."""
    with Extractor(Extraction(seconds=0.2)) as extractor:
        extractor.extract([Page(Method.RESILIPARSE, GOOD)])
        assert extractor._worker is not None
        pid = extractor._worker.process.pid
        os.kill(pid, signal.SIGSTOP)
        waker = subprocess.Popen([sys.executable, "-c", f"import os, time; time.sleep(.6); os.kill({pid}, 18)"])
        assert rules(extractor.extract([Page(Method.RESILIPARSE, GOOD)])) == [""]
        waker.wait()


def test_a_page_that_takes_too_much_memory_is_dropped() -> None:
    """Ten million elements, a hundred bytes each at the least, where 256 MB are allowed."""
    huge = "<p>" * 10_000_000
    with Extractor(Extraction(memory_mb=256, page_mb=100)) as extractor:
        for method in (Method.RESILIPARSE, Method.PRECISION):
            found = rules(extractor.extract([Page(method, page) for page in (GOOD, huge, GOOD)]))
            assert found[0] == found[2] == ""
            assert found[1] in ("extraction-memory", "extraction-crash", "extraction-failed", "no-text")


@pytest.mark.parametrize(
    ("page", "rule"),
    [
        ("", "no-text"),
        ("<html></html>", "no-text"),
        ("\0<p>", "no-text"),
        ("x" * 3_000_000, "page-too-large"),
        ("<html><body>" + "<div>" * 3000 + "deep", None),
        ("<html><body>" + "<p><b>" * 3000 + "endless", None),
        ("<html><body>" + "<table><tr><td>" * 2000 + "tables", None),
        ("<html><body>" + "<ul><li>item " * 3000, None),
        ("<html><body><p " + " ".join(f'a{n}="x"' for n in range(5000)) + ">attributes</p>", None),
        ("<html><body>" + '<a href="' * 50_000, None),
        ("<!--" * 50_000, None),
        ("<html><body>" + "&amp;" * 100_000, None),
        ("<" * 100_000, None),
        ("<![CDATA[" * 20_000, None),
        ("<svg><math>" * 5_000, None),
        ("<select><option>" * 5_000, None),
    ],
)
def test_hostile_pages(shared: Extractor, page: str, rule: str | None) -> None:
    """Each is judged or read by both methods within its time, and the page after it is read."""
    for method in (Method.RESILIPARSE, Method.PRECISION):
        first, second = shared.extract([Page(method, page), Page(method, GOOD)])
        assert isinstance(second, Extracted)
        if rule is not None:
            assert rules([first]) == [rule]


def test_xml_that_multiplies_or_lies_is_refused() -> None:
    laughs = '<!DOCTYPE x [<!ENTITY a "ha">' + "".join(
        f'<!ENTITY {chr(98 + n)} "{f"&{chr(97 + n)};" * 10}">' for n in range(12)
    )
    with Extractor(Extraction(seconds=2)) as extractor:
        found = extractor.extract(
            [
                Page(Method.XML, laughs + "]><x>&m;</x>"),
                Page(Method.XML, '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><x>&a;</x>'),
                Page(Method.XML, "<a>" * 200_000),
                Page(Method.XML, "<a>" * 200_000 + "deep" + "</a>" * 200_000),
                Page(Method.XML, "<a><b></a>"),
            ]
        )
    assert rules(found) == ["extraction-failed", "no-text", "extraction-failed", "", "extraction-failed"]
    assert found[3] == Extracted("", "deep")


def test_a_worker_that_is_killed_is_replaced() -> None:
    with Extractor() as extractor:
        extractor.extract([Page(Method.RESILIPARSE, GOOD)])
        assert extractor._worker is not None
        extractor._worker.process.kill()
        extractor._worker.process.wait()
        assert rules(extractor.extract([Page(Method.RESILIPARSE, GOOD)] * 200)) == [""] * 200


def test_the_worker_ends_with_its_parent() -> None:
    """Even if the parent is killed."""
    code = (
        "import os, signal\n"
        "from groundup.corpus.extraction.pool import Extractor, Page\n"
        "from groundup.corpus.extraction.worker import Method\n"
        "e = Extractor(); e.extract([Page(Method.RESILIPARSE, '<p>Text')])\n"
        "print(e._worker.process.pid, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    worker = int(done.stdout)
    for _ in range(100):
        try:
            os.kill(worker, 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)
    os.kill(worker, signal.SIGKILL)
    pytest.fail("the worker lives on")
