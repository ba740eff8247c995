"""Bytes become the text that was written, whatever character set they are in and whatever the page says of it.

The texts are one story in many languages, encoded by Python's codecs in the sets that each was written in.
"""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from groundup.corpus.extraction.configuration import Extraction
from groundup.corpus.extraction.encoding import decode
from groundup.corpus.sources.unreadable import UnreadableError
from made.languages import TEXTS

SETS = {
    "de": "windows-1252 iso-8859-15",
    "fr": "windows-1252",
    "es": "windows-1252 iso-8859-1",
    "pt": "windows-1252",
    "da": "windows-1252",
    "sv": "windows-1252",
    "it": "windows-1252",
    "cs": "windows-1250 iso-8859-2",
    "pl": "windows-1250 iso-8859-2",
    "hu": "windows-1250 iso-8859-2",
    "ru": "windows-1251 koi8-r iso-8859-5",
    "uk": "windows-1251",
    "bg": "windows-1251",
    "el": "windows-1253 iso-8859-7",
    "tr": "windows-1254",
    "he": "windows-1255",
    "ar": "windows-1256",
    "ja": "shift_jis euc-jp iso-2022-jp utf-16",
    "ko": "euc-kr utf-16",
    "zh-hans": "gb18030 gb2312",
    "zh-hant": "big5",
    "th": "tis-620",
    "en": "utf-16-le utf-16-be utf-32 utf-8-sig",
}


def test_character_sets_that_nobody_names() -> None:
    """Languages in their usual sets, a text each: all but one at most are read as they were written."""
    wrong, pages = [], 0
    for language, names in SETS.items():
        for name in names.split():
            data = TEXTS[language].encode(name, "ignore")
            pages += 1
            try:
                found = decode(data)
            except UnreadableError as error:
                found = error.rule
            if found != data.decode(name):
                wrong.append((language, name))
    assert pages == 39
    assert len(wrong) <= 1, wrong


@pytest.mark.parametrize("language", ["fr", "ru", "ja"])
def test_what_the_page_or_the_server_says(language: str) -> None:
    """Believed where it can be true; `iso-8859-1` means windows-1252, as in browsers."""
    text, name = TEXTS[language], {"fr": "windows-1252", "ru": "koi8-r", "ja": "shift_jis"}[language]
    data = text.encode(name, "ignore")
    wanted = data.decode(name)
    said = "iso-8859-1" if language == "fr" else name
    assert decode(data, declared=said) == wanted
    for head in (f'<meta charset="{said}">', f'<meta http-equiv="Content-Type" content="text/html; charset={said}">'):
        assert decode(head.encode() + data, page=True) == head + wanted
    # Said to be what it is not: UTF-8 that can be no other set, and bytes that the set said does not have.
    assert decode(text.encode(), declared=said) == text
    assert decode(data, declared="utf-8") == wanted
    assert decode(data, declared="no-such-set") == wanted


def test_typographic_quotes_of_a_page_said_to_be_latin_1() -> None:
    assert decode(b"<meta charset=iso-8859-1>\x93Don\x92t\x94", page=True).endswith("\u201cDon\u2019t\u201d")


def test_utf8_with_a_broken_character() -> None:
    text = "Größe und Länge, Maß für Maß, über alle Straßen. " * 20
    assert decode(text.encode() + b"\xc3") == text + "\ufffd"
    assert decode(text.encode()[:500] + b"\xff" + text.encode()[500:]).count("\ufffd") <= 2


@pytest.mark.parametrize(
    ("data", "rule"),
    [
        (b"a\0b", "binary"),
        (b"\x89PNG\r\n\x1a\n\0\0", "binary"),
        (bytes(range(1, 9)) * 9, "binary"),
        (b"\xff\xd8" * 50 + b"\1" * 9, "binary"),
    ],
)
def test_what_is_no_text(data: bytes, rule: str) -> None:
    with pytest.raises(UnreadableError) as error:
        decode(data)
    assert error.value.rule == rule


def test_a_set_named_by_the_user_is_taken_as_it_is() -> None:
    assert decode(b"caf\xe9", "latin-1") == "café"
    assert decode("\ufeffx".encode(), "utf-8") == "x"
    for name, rule in (("utf-8", "invalid-utf-8"), ("ascii", "invalid-encoding")):
        with pytest.raises(UnreadableError) as error:
            decode(b"caf\xe9", name)
        assert (error.value.rule, error.value.value) == (rule, 3.0)


@given(st.text(alphabet=st.characters(exclude_categories=["Cs", "Cc"])))
def test_utf8_is_always_taken_for_utf8(text: str) -> None:
    assert decode(text.encode()) == text.removeprefix("\ufeff")


@given(st.binary(max_size=200))
def test_any_bytes_give_text_or_a_reason(data: bytes) -> None:
    try:
        assert isinstance(decode(data, page=True), str)
    except UnreadableError as error:
        assert error.rule in ("binary", "unknown-encoding")


def test_a_set_that_is_none_is_refused_at_once() -> None:
    with pytest.raises(ValidationError, match="no character set is called 'utf8000'"):
        Extraction(encoding="utf8000")
