"""The PDF: all chapters through typst."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from groundup.errors import GroundupError
from groundup.report.glossary import TERMS
from groundup.report.guide.build import BuiltBook
from groundup.report.guide.markdown import walk
from groundup.report.guide.site import title_of
from groundup.report.guide.typeset import Typesetter, escaped, string

TEMPLATE = Path(__file__).with_name("book.typ")


def markup(built: BuiltBook, folder: Path) -> str:
    """The book as typst markup; drawings are written into `folder/drawings`."""
    drawings = folder / "drawings"
    drawings.mkdir(parents=True, exist_ok=True)
    over = f"This copy was built over the run {built.run.name}."
    written = [
        '#import "book.typ": *\n',
        f"#show: book.with(title: {string(built.book.title)}, subtitle: {string(built.book.subtitle)}, "
        f"over: {string(over)})\n\n",
    ]
    every = [
        one for filled in built.chapters for token in walk(filled.tokens) for one, _ in token.meta.get("exercises", ())
    ]
    by_name = {one.chapter.name: one for one in built.chapters}
    for part, chapters in built.book.parts:
        if chapters[0].number:
            written.append(f"#part({string(part)})\n")
        for chapter in chapters:
            tokens = by_name[chapter.name].tokens
            for token in walk(tokens):
                token.meta["shown_run"] = built.run.name
                if token.meta.get("directive") == "solutions":
                    token.meta["all"] = every
            title = escaped(title_of(built, chapter))
            written.append(f"\n#chapter([{chapter.number}], [{title}], {string('chapter--' + chapter.name)})\n\n")
            first = next(i for i, token in enumerate(tokens) if token.tag == "h1" and token.nesting == -1) + 1
            written.append(Typesetter(built.labels, drawings, chapter.where).blocks(tokens[first:]))
    written.append('\n#chapter([], [Glossary], "glossary")\n\n')
    for name, meaning in sorted(TERMS.items(), key=lambda one: one[0].lower()):
        written.append(f"#par(hanging-indent: 1em)[*{escaped(name)}* #h(.4em) {escaped(meaning)}]\n")
    written.append('\n#chapter([], [Index], "index")\n\n#index()\n')
    return "".join(written)


def compile_pdf(folder: Path, source: str) -> bytes:
    """The PDF of a typst file; raises GroundupError with what typst says, or where it is not installed."""
    import matplotlib

    try:
        import typst
    except ModuleNotFoundError as error:
        raise GroundupError(
            "a PDF needs typst", do="pip install 'groundup[guide]', or print the page from a browser"
        ) from error
    fonts = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    try:
        made = typst.compile(str(folder / source), root=str(folder), font_paths=[str(fonts)])
    except typst.TypstError as error:
        raise GroundupError(f"typst: {error}", where=source) from error
    assert isinstance(made, bytes)
    return made


def write_pdf(built: BuiltBook, out: Path, keep: Path | None = None) -> None:
    """The book as the file `out`; `keep` is a folder for what typst reads, else it is thrown away."""
    folder = Path(tempfile.mkdtemp(prefix="guide-")) if keep is None else keep
    try:
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(TEMPLATE, folder / "book.typ")
        (folder / "guide.typ").write_text(markup(built, folder), encoding="utf-8")
        out.write_bytes(compile_pdf(folder, "guide.typ"))
    finally:
        if keep is None:
            shutil.rmtree(folder, ignore_errors=True)
