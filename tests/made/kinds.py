"""A folder of files of every kind that is read, and of kinds that are not, each with what must come of it.

`FILES` is `name -> (bytes, what a reader finds)`: a text that the document contains for `Text`, a reason for `Reason`.
"""

import bz2
import gzip
import io
import json
import lzma
import tarfile
import zipfile
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

from made.archives import ANSWER, arc, record

SAID = "The heron waits at the river until the morning mist is gone."


class Text(NamedTuple):
    """The text of the document, or its beginning, and its title; `origin` where it differs from the file's name."""

    text: str
    title: str = ""
    origin: str = ""
    is_whole: bool = True


class Reason(NamedTuple):
    rule: str


def zipped(members: dict[str, str | bytes]) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in members.items():
            packing = zipfile.ZIP_STORED if name == "mimetype" else None
            archive.writestr(name, text, packing)
    return data.getvalue()


def tarred(members: dict[str, str]) -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as archive:
        for name, text in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(text.encode())
            archive.addfile(member, io.BytesIO(text.encode()))
    return data.getvalue()


def table() -> bytes:
    data = io.BytesIO()
    pq.write_table(pa.table({"text": [SAID], "title": ["Herons"]}), data)
    return data.getvalue()


def pdf() -> bytes:
    """One page with one line, as small as a PDF gets."""
    content = f"BT /F1 12 Tf 50 700 Td ({SAID}) Tj ET".encode()
    parts = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R "
        b"/Resources << /Font << /F1 5 0 R >> >> >>",
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(content), content),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
        b"<< /Title (Herons) >>",
    ]
    data = b"%PDF-1.4\n"
    offsets = []
    for number, part in enumerate(parts, 1):
        offsets.append(len(data))
        data += b"%d 0 obj\n%s\nendobj\n" % (number, part)
    start = len(data)
    data += b"xref\n0 %d\n0000000000 65535 f \n" % (len(parts) + 1) + b"".join(
        b"%010d 00000 n \n" % at for at in offsets
    )
    return data + b"trailer << /Size %d /Root 1 0 R /Info 6 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (len(parts) + 1, start)


_W = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
DOCX = zipped(
    {
        "[Content_Types].xml": "<Types/>",
        "docProps/core.xml": '<p xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:title>Herons</dc:title></p>',
        "word/document.xml": f'<w:document {_W}><w:body><w:p><w:pPr><w:pStyle w:val="Heading1"/></w:pPr><w:r><w:t>Birds'
        f"</w:t></w:r></w:p><w:p><w:r><w:t>The heron waits </w:t></w:r><w:r><w:t>at the river.</w:t></w:r></w:p>"
        "<w:p><w:pPr><w:numPr/></w:pPr><w:r><w:t>one</w:t></w:r></w:p><w:p><w:pPr><w:numPr/></w:pPr><w:r><w:t>two</w:t>"
        "</w:r></w:p><w:tbl><w:tr><w:tc><w:p><w:r><w:t>a</w:t></w:r></w:p></w:tc><w:tc><w:p><w:r><w:t>b</w:t></w:r></w:p>"
        "</w:tc></w:tr></w:tbl></w:body></w:document>",
    }
)
_A = 'xmlns:a="http://x/a" xmlns:p="http://x/p"'
PPTX = zipped(
    {
        f"ppt/slides/slide{number}.xml": f'<p:sld {_A}><p:sp><p:nvPr><p:ph type="title"/></p:nvPr><a:p><a:r><a:t>{title}'
        f"</a:t></a:r></a:p></p:sp><p:sp><a:p><a:r><a:t>{said}</a:t></a:r></a:p></p:sp></p:sld>"
        for number, title, said in ((10, "Last", "Gone."), (2, "First", "The heron waits."))
    }
)
ODT = zipped(
    {
        "mimetype": "application/vnd.oasis.opendocument.text",
        "content.xml": '<o xmlns:text="urn:t"><text:h text:outline-level="2">Birds</text:h><text:p>The heron<text:s/>waits'
        "<text:tab/>here.</text:p><text:list><text:list-item><text:p>one</text:p></text:list-item></text:list></o>",
    }
)
EPUB = zipped(
    {
        "mimetype": "application/epub+zip",
        "META-INF/container.xml": '<c><rootfiles><rootfile full-path="O/book.opf"/></rootfiles></c>',
        "O/book.opf": '<package xmlns:dc="http://purl.org/dc/elements/1.1/"><metadata><dc:title>Herons</dc:title></metadata>'
        '<manifest><item id="b" href="two%20b.xhtml" media-type="application/xhtml+xml"/><item id="a" href="one.xhtml" '
        'media-type="application/xhtml+xml"/></manifest><spine><itemref idref="a"/><itemref idref="b"/></spine></package>',
        "O/one.xhtml": "<html><head><title>x</title></head><body><h1>One</h1><p>The heron&nbsp;waits.</p></body></html>",
        "O/two b.xhtml": "<html><body><h2>Two</h2><ul><li>a <b>b</b></li><li>c</li></ul></body></html>",
    }
)
NOTEBOOK = json.dumps(
    {
        "metadata": {"kernelspec": {"language": "julia"}},
        "cells": [
            {"cell_type": "markdown", "source": ["# Herons\n", "They wait."]},
            {"cell_type": "code", "source": "x = 1", "outputs": [{"text": "1"}]},
            {"cell_type": "raw", "source": "raw"},
        ],
    }
)
MAIL = f"From: a@b.org\nSubject: Herons\nContent-Type: text/plain; charset=utf-8\n\n{SAID}\n"
WIKI = """<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.11/" version="0.11" xml:lang="de">
  <siteinfo>
    <base>https://de.wiki.example/wiki/Hauptseite</base>
    <namespaces>
      <namespace key="-2" case="first-letter">Medium</namespace>
      <namespace key="0" case="first-letter" />
      <namespace key="6" case="first-letter">Datei</namespace>
      <namespace key="14" case="first-letter">Kategorie</namespace>
    </namespaces>
  </siteinfo>
  <page>
    <title>Graue Reiher</title>
    <ns>0</ns>
    <id>7</id>
    <revision><id>70</id><model>wikitext</model><text bytes="9" xml:space="preserve">Old.</text></revision>
    <revision>
      <id>71</id>
      <model>wikitext</model>
      <text bytes="9" xml:space="preserve">{{Box|a=[[b]]}}
'''Herons''' wait at the [[river|rivers]] &amp;amp; lakes.&lt;ref&gt;{{cite|x}}&lt;/ref&gt;

== Food ==
* [[fish]]
[[Datei:A.jpg|thumb|A heron]]
[[Kategorie:Birds]]</text>
    </revision>
  </page>
  <page>
    <title>Heron</title>
    <ns>0</ns>
    <id>8</id>
    <redirect title="Graue Reiher" />
    <revision><id>80</id><text>#REDIRECT [[Graue Reiher]]</text></revision>
  </page>
  <page>
    <title>Vorlage:Box</title>
    <ns>10</ns>
    <id>9</id>
    <revision><id>90</id><text>{{{a}}}</text></revision>
  </page>
</mediawiki>
"""
WIKI_ENDS = ("# Graue Reiher\n\nHerons wait at the rivers & lakes.\n\n## Food\n\n- fish", "Graue Reiher")
PAGE = f"<html><head><title>Herons</title></head><body><article><h1>Birds</h1><p>{SAID}</p></article></body></html>"

# ruff: noqa: E501
FILES: dict[str, tuple[str | bytes, list[Text | Reason]]] = {
    "a.txt": (SAID, [Text(SAID, "a")]),
    "README": (SAID, [Text(SAID, "README")]),
    "Notes 3.5 of May": (SAID, [Text(SAID)]),
    "b.md": ("---\ntitle: Herons\n---\nThey wait.\n\n{{< toc >}}\n", [Text("# Herons\n\nThey wait.", "Herons")]),
    "c.markdown": ("# Herons\n\nThey <!-- x -->wait.", [Text("# Herons\n\nThey wait.", "Herons")]),
    "d.mdx": (
        "import A from './a'\n\n# Herons\n\n<Tabs items={[1]}>\nThey wait.\n</Tabs>\n\n```jsx\n<Kept />\n```\n",
        [Text("# Herons\n\nThey wait.\n\n```jsx\n<Kept />\n```", "Herons")],
    ),
    "e.rst": ("Herons\n======\n\nThey :emph:`wait`.", [Text("# Herons\n\nThey wait.", "Herons")]),
    "f.adoc": (
        "= Herons\n:toc:\n\n// no\nSee link:x.html[the river] and <<b,birds>>.\n\n[source,python]\n----\n= 1\n----\n",
        [Text("# Herons\n\nSee the river and birds.\n\n```python\n= 1\n```", "Herons")],
    ),
    "g.org": (
        "#+TITLE: Herons\n* Birds :tag:\n:PROPERTIES:\n:ID: 1\n:END:\nSee [[x][the river]].\n#+BEGIN_SRC c\n* x;\n#+END_SRC",
        [Text("# Birds\nSee the river.\n```c\n* x;\n```", "Herons")],
    ),
    "h.tex": (
        "\\documentclass{article}\\title{Herons}\n\\begin{document}\n\\section{Birds}\nThey \\emph{wait}~\\cite{a}"
        " for $x_1$, 5\\% of ``them''. % no\n\\begin{itemize}\\item one\\end{itemize}\n\\begin{verbatim}\n\\x{1}\n"
        "\\end{verbatim}\n\\end{document}",
        [Text('# Birds\n\nThey wait for $x_1$, 5% of "them".\n- one\n\n```\n\\x{1}\n```', "Herons")],
    ),
    "i.srt": (
        "1\n00:00:01,0 --> 00:00:02,0\n<i>They</i>\nwait.\n\n2\n00:00:03,0 --> 00:00:04,0\nGone.\n",
        [Text("They wait.\nGone.")],
    ),
    "j.vtt": ("WEBVTT\n\nNOTE x\n\n00:01.000 --> 00:02.000 align:start\n<v Ann>They wait.\n", [Text("They wait.")]),
    "k.po": (
        'msgid ""\nmsgstr "Language: de\\n"\n\n#: a.c:1\nmsgid "They "\n"wait."\nmsgstr "Sie warten."\nmsgid "Gone."\nmsgstr ""\n',
        [Text("Sie warten.\n\nGone.")],
    ),
    "l.ipynb": (NOTEBOOK, [Text("# Herons\nThey wait.\n\n```julia\nx = 1\n```", "Herons")]),
    "m.eml": (MAIL, [Text(SAID, "Herons")]),
    "n.mbox": (
        f"From a@b.org Mon Jan  1 00:00:00 2024\n{MAIL}\nFrom a@b.org Mon Jan  1 00:00:00 2024\n{MAIL}",
        [Text(SAID, "Herons", f"n.mbox:{number}") for number in (1, 2)],
    ),
    "o.csv": (f'text,title\n"{SAID}",Herons\n', [Text(SAID, "Herons", "o.csv:1")]),
    "p.tsv": (f"title\ttext\nHerons\t{SAID}\n", [Text(SAID, "Herons", "p.tsv:1")]),
    "q.csv": ("year,rain\n2024,3\n", [Reason("no-text")]),
    "r.jsonl": (json.dumps({"text": SAID}), [Text(SAID, "", "r.jsonl:1")]),
    "s.json": (json.dumps([{"text": SAID}]), [Text(SAID, "", "s.json:1")]),
    "t.json": (json.dumps({"text": SAID}, indent=1), [Text(SAID)]),
    "package.json": (json.dumps({"name": "x"}, indent=1), [Reason("no-text")]),
    "u.parquet": (table(), [Text(SAID, "Herons", "u.parquet:1")]),
    "v.html": (PAGE, [Text(f"# Birds\n\n{SAID}", "Herons")]),
    "w.xhtml": (PAGE, [Text(f"# Birds\n\n{SAID}", "Herons")]),
    "page": (PAGE, [Text(f"# Birds\n\n{SAID}", "Herons")]),
    "x.xml": (f"<article><title>Birds</title><para>{SAID}</para></article>", [Text(f"# Birds\n\n{SAID}", "Birds")]),
    "y.warc": (record(ANSWER), [Text("# Bread\n\nBread is made", "", "y.warc:1", False)]),
    "z.arc.gz": (gzip.compress(arc(ANSWER)), [Text("# Bread\n\nBread is made", "", "z.arc.gz:2", False)]),
    "wiki_00": (
        f'<doc id="7" url="x" title="Herons">\nHerons\n\n{SAID} (, ) It is formula_1 long.\n</doc>\n',
        [Text(f"# Herons\n\n{SAID} It is long.", "Herons", "wiki_00#7")],
    ),
    "wiki.xml": (
        WIKI,
        [Text(*WIKI_ENDS, "wiki.xml#7"), Reason("no-article"), Reason("no-article")],
    ),
    "dump.xml.bz2": (
        bz2.compress(WIKI[:500].encode()) + bz2.compress(WIKI[500:].encode()),
        [Text(*WIKI_ENDS, "dump.xml.bz2#7"), Reason("no-article"), Reason("no-article")],
    ),
    "dewiki-pages": (WIKI, [Text(*WIKI_ENDS, "dewiki-pages#7"), Reason("no-article"), Reason("no-article")]),
    "A.docx": (DOCX, [Text("# Birds\n\nThe heron waits at the river.\n\n- one\n- two\n\na | b", "Herons")]),
    "B.pptx": (PPTX, [Text("## First\n\nThe heron waits.\n\n## Last\n\nGone.")]),
    "C.odt": (ODT, [Text("## Birds\n\nThe heron waits here.\n\n- one")]),
    "D.epub": (EPUB, [Text("# One\n\nThe heron waits.\n\n## Two\n\n- a b\n- c", "Herons")]),
    "E.rtf": (
        r"{\rtf1\ansi{\fonttbl{\f0 Arial;}}\f0 Caf\'e9 \u8364?5\par {\b Gone}.\par}",
        [Text("Caf\u00e9 \u20ac5\n\nGone.")],
    ),
    "F.pdf": (pdf(), [Text(SAID, "Herons")]),
    "report": (DOCX, [Text("# Birds\n\nThe heron waits at the river.\n\n- one\n- two\n\na | b", "Herons")]),
    "G.zip": (
        zipped({"in/a.md": "# Herons", "../b.txt": SAID}),
        [Text(SAID, "", "G.zip/../b.txt"), Text("# Herons", "", "G.zip/in/a.md")],
    ),
    "H.tar": (
        tarred({"in/a.md": "# Herons", "b": SAID}),
        [Text("# Herons", "", "H.tar/in/a.md"), Text(SAID, "", "H.tar/b")],
    ),
    "I.tar.gz": (gzip.compress(tarred({"a.txt": SAID})), [Text(SAID, "", "I.tar.gz/a.txt")]),
    "J.tgz": (gzip.compress(tarred({"a.txt": SAID})), [Text(SAID, "", "J.tgz/a.txt")]),
    "K.txt.gz": (gzip.compress(SAID.encode()), [Text(SAID)]),
    "L.txt.bz2": (bz2.compress(SAID.encode()), [Text(SAID)]),
    "M.txt.xz": (lzma.compress(SAID.encode()), [Text(SAID)]),
    "N.txt.zst": (zstandard.compress(SAID.encode()), [Text(SAID)]),
    "O.py": ("x = 1  # herons\n", [Reason("source-code")]),
    "P.css": ("a { color: red }", [Reason("unsupported-type")]),
    "Q.png": (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", [Reason("unsupported-type")]),
    "R.xlsx": (zipped({"xl/workbook.xml": "<x/>"}), [Reason("unsupported-type")]),
    "S.mp4": (b"\0\0\0\x18ftypmp42", [Reason("unsupported-type")]),
    "latin.txt": (
        "Der Reiher wartet am Fluß, bis es dämmert und die Nebel über den Wiesen vergehen.".encode("latin-1"),
        [Text("Der Reiher wartet am Flu\xdf, bis es d\xe4mmert", is_whole=False)],
    ),
}
