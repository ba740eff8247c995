"""The `extraction:` section of a source: how pages become text, and what one page may cost."""

import codecs
from typing import Literal

from pydantic import Field, field_validator

from groundup.section import Section

HtmlMethod = Literal["trafilatura", "resiliparse"]
Mode = Literal["precision", "balanced", "recall"]


class Extraction(Section):
    """How HTML and XML become text, and what one page may cost."""

    method: HtmlMethod = "trafilatura"
    """For HTML. trafilatura: main text with the fewest menus and other clutter; resiliparse: ten times as fast, with
    more clutter."""
    mode: Mode = "precision"
    """For trafilatura. `precision` drops nearly all clutter, `recall` nearly no text, `balanced` is between them. Where
    precision would lose most of a page, the balanced mode's text is taken, and counted as `precision given up`."""
    seconds: float = Field(default=10.0, gt=0)
    """Processor time for one document: a page that needs more is dropped as `extraction-timeout`, any other document as
    `reading-timeout`; a PDF may take six times as long."""
    memory_mb: int = Field(default=1024, ge=256)
    """Memory for one document; what needs more is dropped as `extraction-memory` or `reading-memory`."""
    page_mb: float = Field(default=4.0, gt=0)
    """Larger pages are dropped as `page-too-large`, before anything looks into them."""
    encoding: str = "auto"
    """The character set of text files and pages: `auto` goes by byte-order mark, UTF-8, what the page declares, and
    the frequencies of its bytes; a name (`utf-8`, `windows-1252`, `shift_jis`) is taken for every file."""
    repair: bool = True
    """Repair text that was decoded with a wrong character set earlier (`schÃ¶n`, `donâ€™t`)."""

    @field_validator("encoding")
    @classmethod
    def _is_known(cls, encoding: str) -> str:
        if encoding != "auto":
            try:
                codecs.lookup(encoding)
            except LookupError:
                raise ValueError(f"no character set is called {encoding!r}; try `auto`") from None
        return encoding
