"""The entries of `curate.sources`: where documents come from."""

from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Field, field_validator

from groundup.corpus.extraction.configuration import Extraction
from groundup.section import Section

Text = Literal["text", "code", "markdown", "mdx", "rst", "asciidoc", "org", "latex", "subtitles", "gettext", "notebook"]
Container = Literal["wikipedia", "mediawiki", "json", "jsonl", "csv", "tsv", "parquet", "warc", "mail", "mbox"]
Office = Literal["pdf", "docx", "pptx", "odt", "epub", "rtf"]
Format = Text | Container | Office | Literal["html", "xml"]


class PythonDocs(Section):
    """The Python documentation that every machine has: docstrings, help topics, packages' descriptions."""

    kind: Literal["python-docs"]
    name: str = ""
    """The name of the source in the report and in every document; by default `python-docs`."""
    packages: tuple[str, ...] = ("numpy", "pyarrow", "pydantic", "typer", "rich", "safetensors", "matplotlib")
    """Installed packages whose docstrings and long descriptions are read besides the standard library's."""


class Contents(Section):
    """How the files of a source are read, wherever they lie."""

    name: str = ""
    """The name of the source in the report and in every document; by default the last part of its path."""
    format: Format | None = None
    """Read every file as this. By default the file's suffix decides and, where it has none, its first bytes."""
    code: bool | None = None
    """Whether source code is read too; null: under the preset `code` of `rules` alone."""
    licence: str = ""
    """The licence of these documents, recorded with each."""
    text: str = "text"
    """The column that holds the text in jsonl and parquet."""
    title: str = "title"
    """The column that holds the title in jsonl and parquet, where there is one."""
    url: str = "url"
    """The column that holds the address in jsonl and parquet, where there is one."""
    id: str = ""
    """A column of jsonl and parquet that names the row; it is added to the document's origin."""
    licence_column: str = "license"
    """The column that holds the row's own licence in jsonl and parquet, where there is one."""
    max_bad_rows: float = Field(default=0.05, ge=0, le=1)
    """Fraction of jsonl and parquet rows that may lack the text or be damaged; such rows are skipped and listed in the
    ledger. Above it the stage stops and names the first ten. Up to ten are always skipped."""
    documents: Literal["file", "line"] = "file"
    """What is one document in a plain text file: the file, or each of its lines."""
    extraction: Extraction = Extraction()


class Files(Contents):
    """A file, a folder (walked recursively) or a pattern such as `crawl/**/*.warc.gz` on this machine.

    Text, markup, source code, subtitles, mails, tables, JSON, pages, web archives and office documents; plain, in
    .gz, .bz2, .xz or .zst, or in .zip or .tar (the table in docs/curation.md).
    """

    incidental: ClassVar[frozenset[str]] = frozenset({"path"})

    kind: Literal["files"]
    path: Path
    """A file, a folder or a pattern; a relative path starts at the blueprint's folder."""
    follow_links: bool = False
    """Read what links lead to outside of the folder, and linked folders. By default they are listed in the ledger."""


class Remote(Contents):
    """Files in an object store, on a web server or in a Hugging Face data set. The network is used for these alone."""

    kind: Literal["remote"]
    address: str
    """`s3://bucket/folder/*.jsonl.gz`, `hf://datasets/owner/name/data/*.parquet`, `https://host/file.warc.gz`, ..."""

    @field_validator("address")
    @classmethod
    def _has_scheme(cls, address: str) -> str:
        if "://" not in address or address.split("://")[0] not in SCHEMES:
            raise ValueError(f"must begin with one of {', '.join(f'{scheme}://' for scheme in SCHEMES)}")
        return address


SCHEMES = ("s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "hf", "https", "http")

Source = Annotated[PythonDocs | Files | Remote, Field(discriminator="kind")]
