"""Which format a file has: by its suffix and, where that is not known, by how it begins."""

import codecs
import re
from pathlib import Path

from groundup.corpus.extraction.encoding import decode
from groundup.corpus.sources.streams import COMPRESSED, SHORT_SUFFIXES
from groundup.corpus.sources.unreadable import UnreadableError
from groundup.corpus.sources.wide import wide_encoding

_SUFFIXES = {
    "text": "txt text",
    "markdown": "md markdown mkd",
    "mdx": "mdx",
    "rst": "rst rest",
    "asciidoc": "adoc asciidoc",
    "org": "org",
    "latex": "tex latex",
    "subtitles": "srt vtt",
    "gettext": "po pot",
    "notebook": "ipynb",
    "mail": "eml",
    "mbox": "mbox",
    "csv": "csv",
    "tsv": "tsv tab",
    "html": "html htm xhtml xht",
    "xml": "xml cnxml",
    "jsonl": "jsonl ndjson",
    "json": "json",
    "parquet": "parquet",
    "warc": "warc wet arc",
    "zip": "zip",
    "tar": "tar tgz tbz2 tbz txz tzst",
    "pdf": "pdf",
    "docx": "docx",
    "pptx": "pptx",
    "odt": "odt",
    "epub": "epub",
    "rtf": "rtf",
    "code": "py pyi js mjs cjs jsx ts tsx java kt kts scala groovy c h cc cpp cxx hpp hh cs fs go rs rb php swift"
    " m mm sh bash zsh ps1 pl pm lua r jl hs ml mli ex exs erl clj dart sql f90 f95 vb pas zig nim proto v sol",
}
FORMATS = {f".{suffix}": format for format, suffixes in _SUFFIXES.items() for suffix in suffixes.split()}
# Text for programs, pictures, sound, fonts, spreadsheets, programs, data: whatever is in them, they are no documents.
_NO_DOCUMENTS = frozenset(
    f".{suffix}"
    for suffix in "css scss sass less svg lock map ini cfg conf toml yaml yml properties env log sum mod gradle"
    " plist xsd dtd xsl csproj sln tsbuildinfo bib sty cls bst aux toc obj mtl pem crt key pub diff patch"
    " png jpg jpeg gif webp bmp tif tiff ico heic psd mp3 mp4 m4a wav ogg flac avi mkv mov webm woff woff2 ttf otf eot"
    " xlsx xls ods doc ppt exe dll so dylib bin o a class jar pyc wasm db sqlite npy npz pt safetensors gguf".split()
)
# How files begin, by which those of other suffixes are known.
_BEGINNINGS = (
    (re.compile(rb"<doc id="), "wikipedia"),
    (re.compile(rb"\s*(?:<\?xml[^<>]*>\s*)?<mediawiki\b"), "mediawiki"),
    (re.compile(rb"WARC/\d|filedesc://"), "warc"),
    (re.compile(rb"PAR1"), "parquet"),
    (re.compile(rb"%PDF-"), "pdf"),
    (re.compile(rb"\{\\rtf"), "rtf"),
    (re.compile(rb"PK\x03\x04.{26}mimetypeapplication/epub\+zip", re.DOTALL), "epub"),
    (re.compile(rb"PK\x03\x04.{26}mimetypeapplication/vnd\.oasis\.opendocument\.text", re.DOTALL), "odt"),
    (re.compile(rb"PK\x03\x04"), "zip"),
    (re.compile(rb".{257}ustar", re.DOTALL), "tar"),
    (re.compile(rb"\xef?\xbb?\xbf?WEBVTT"), "subtitles"),
    (re.compile(rb"From \S{1,200} [^\n]{0,100}\d{4}\r?\n"), "mbox"),
    (
        re.compile(
            rb"(?:(?:Received|Return-Path|Message-I[Dd]|MIME-Version|Delivered-To|From|Subject|Date): [^\n]*\n){3}"
        ),
        "mail",
    ),
    (re.compile(rb'\s*(?:\{\s*"|\[\s*\{)'), "json"),
    (re.compile(rb"(?i)\s*<(!doctype\s+html|html)\b"), "html"),
    (re.compile(rb"\s*<\?xml\b"), "xml"),
)
_OFFICE = ((b"word/", "docx"), (b"ppt/", "pptx"), (b"xl/", ""))  # folders in zip archives that are documents
LOOKED_AT = 4096


def format_of(name: str) -> tuple[str, str]:
    """`("jsonl", ".gz")` for `rows.jsonl.gz`; the format is empty where the suffix says none."""
    path = Path(name.lower())
    packed = path.suffix if path.suffix in COMPRESSED else SHORT_SUFFIXES.get(path.suffix, "")
    if path.suffix in SHORT_SUFFIXES:
        return "tar", packed
    return FORMATS.get(path.with_suffix("").suffix if packed else path.suffix, ""), packed


def sniff(start: bytes) -> str:
    """The format of a file by how it begins; empty where that is not known."""
    found = next((format for pattern, format in _BEGINNINGS if pattern.match(start)), "")
    if found == "zip":
        return next((format for folder, format in _OFFICE if folder in start), "zip")
    return found


def recognised(start: bytes, name: str) -> str:
    """The format of a file whose suffix is none of `FORMATS`, by how it begins; `text` where it is plain text."""
    if suffix_of(name) in _NO_DOCUMENTS:
        return ""
    if wide_encoding(start):
        try:
            text = decode(decode(start[: len(start) // 4 * 4]).encode("utf-8", "replace"))
        except UnreadableError:
            return ""
        return sniff(text.encode()) or "text"
    if (found := sniff(start)) or not start.strip():
        return found
    try:
        known = codecs.getincrementaldecoder("utf-8")().decode(start)  # the last character may be cut
        decode(known.encode())
    except (UnicodeDecodeError, UnreadableError):
        return ""
    return "text"


def suffix_of(name: str) -> str:
    """`.jsonl` for `rows.jsonl.gz`; lower case, empty where there is none."""
    path = Path(name.lower())
    return path.with_suffix("").suffix if path.suffix in COMPRESSED else path.suffix
