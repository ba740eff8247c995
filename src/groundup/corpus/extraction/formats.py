"""The formats of which a file is one document: how each becomes title and text."""

from collections.abc import Callable

from groundup.corpus.extraction.latex import read_latex
from groundup.corpus.extraction.light_markup import read_asciidoc, read_org
from groundup.corpus.extraction.markdown import read_markdown, read_mdx
from groundup.corpus.extraction.notebook import read_notebook
from groundup.corpus.extraction.office import read_docx, read_epub, read_odt, read_pptx
from groundup.corpus.extraction.pdf import read_pdf
from groundup.corpus.extraction.restructuredtext import read_rst
from groundup.corpus.extraction.rtf import read_rtf
from groundup.corpus.extraction.subtitles import read_gettext, read_subtitles

# From text with `\n` at the ends of lines.
TEXT_READERS: dict[str, Callable[[str], tuple[str, str]]] = {
    "asciidoc": read_asciidoc,
    "gettext": read_gettext,
    "latex": read_latex,
    "markdown": read_markdown,
    "mdx": read_mdx,
    "notebook": read_notebook,
    "org": read_org,
    "rst": read_rst,
    "subtitles": read_subtitles,
}
# From the file's bytes.
BINARY_READERS: dict[str, Callable[[bytes], tuple[str, str]]] = {
    "docx": read_docx,
    "epub": read_epub,
    "odt": read_odt,
    "pdf": read_pdf,
    "pptx": read_pptx,
    "rtf": read_rtf,
}
