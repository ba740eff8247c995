"""PDF to title and text, by pypdf (extra `documents`)."""

import io

from groundup.corpus.clean import squeeze
from groundup.corpus.sources.unreadable import UnreadableError


def read_pdf(data: bytes) -> tuple[str, str]:
    """`(title, text)`: the pages' text in their order; scanned pages have none.

    Raises:
        UnreadableError: `needs-extra`, `encrypted` or `corrupt`.
    """
    try:
        from pypdf import PdfReader
        from pypdf.errors import PyPdfError
    except ImportError as error:
        raise UnreadableError("needs-extra", "PDF is read with pip install 'groundup[documents]'") from error
    try:
        reader = PdfReader(io.BytesIO(data))
        if reader.is_encrypted and not reader.decrypt(""):
            raise UnreadableError("encrypted", "a password opens it")
        title = reader.metadata.title if reader.metadata else None
        pages = [page.extract_text() for page in reader.pages]
    except PyPdfError as error:
        raise UnreadableError("corrupt", str(error)) from error
    return squeeze(title or ""), "\n\n".join(filter(None, pages))
