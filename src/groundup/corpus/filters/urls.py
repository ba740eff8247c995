"""Documents dropped by their address, as FineWeb does: by domain, whole address, and the words in it.

    http://user@Shop.Example.com:8080/Great-deals/index.html?page=2
    host       shop.example.com, which is in example.com
    words      http user shop example com 8080 great deals index html page 2
    letters    httpuser...greatdealsindexhtmlpage2, in which sub-words are looked for

Rules are tried in the order of `RULES`. The lists are the user's. A document without an address breaks no rule.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray

from groundup.corpus.filters.configuration import UrlsConfig
from groundup.errors import GroundupError

RULES = ("url-domain", "url-address", "url-word", "url-soft-words", "url-subword")
_APART = re.compile(r"[\W_]+")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{0,30}://")


@dataclass(frozen=True, slots=True)
class UrlVerdicts:
    """What became of each address, in columns of equal length."""

    rule: NDArray[np.object_]  # str: one of `RULES`; "" where none was broken
    value: NDArray[np.float64]  # of url-soft-words, how many there are; NaN for the others
    threshold: NDArray[np.float64]  # of url-soft-words, how many drop a document


class UrlRules:
    """The lists of one configuration.

    Args:
        config: the section `curate.urls`.
        base: relative paths start here.

    Raises:
        GroundupError: a list can't be read, or holds what is no domain.
    """

    def __init__(self, config: UrlsConfig, base: Path = Path()) -> None:
        def entries(key: str) -> list[tuple[str, str]]:
            path = getattr(config, key)
            return [] if path is None else _read(base / path.expanduser(), f"curate.urls.{key}")

        def words(key: str) -> list[str]:
            given = [(word, f"curate.urls.{key}") for word in getattr(config, key)] + entries(f"{key}_file")
            return [_one_word(word, where) for word, where in given]

        self._allowed = {_domain(entry, where) for entry, where in entries("allow_domains")}
        self._domains = {_domain(entry, where) for entry, where in entries("block_domains")}
        self._addresses = {_address(entry) for entry, _ in entries("block_addresses")}
        self._words, self._soft = frozenset(words("block_words")), frozenset(words("soft_words"))
        self._soft_needed = config.soft_words_needed
        self._subwords = _any_of(words("block_subwords"))

    def judge(self, urls: Sequence[str]) -> UrlVerdicts:
        """The first rule that each address breaks."""
        count = len(urls)
        found = UrlVerdicts(np.full(count, "", dtype=object), np.full(count, np.nan), np.full(count, np.nan))
        for at, url in enumerate(urls):
            if not url:
                continue
            found.rule[at], soft = self._one(url)
            if found.rule[at] == "url-soft-words":
                found.value[at], found.threshold[at] = soft, self._soft_needed
        return found

    def _one(self, url: str) -> tuple[str, int]:
        """`(rule or "", soft words)`"""
        above = _above(_host(url))
        if not self._allowed.isdisjoint(above):
            return "", 0
        if not self._domains.isdisjoint(above):
            return "url-domain", 0
        if self._addresses and _address(url) in self._addresses:
            return "url-address", 0
        words = frozenset(_APART.split(url.lower()))
        if not self._words.isdisjoint(words):
            return "url-word", 0
        soft = len(self._soft & words)
        if soft >= self._soft_needed:
            return "url-soft-words", soft
        if self._subwords is not None and self._subwords.search(_APART.sub("", url.lower())):
            return "url-subword", 0
        return "", soft


def judge(urls: Sequence[str], config: UrlsConfig, base: Path = Path()) -> UrlVerdicts:
    """The first rule that each address breaks; for many batches, keep a `UrlRules`."""
    return UrlRules(config, base).judge(urls)


def _host(url: str) -> str:
    """The host of an address as it is asked for: small letters, punycode, no user, no port; "" where there is none."""
    try:
        host = urlsplit(url if _SCHEME.match(url) or url.startswith("//") else f"//{url}").hostname or ""
    except ValueError:  # [ without ], and such: no browser would find it either
        return ""
    return _ascii(host.rstrip("."))


def _ascii(host: str) -> str:
    if host.isascii():
        return host.lower()
    try:
        return host.encode("idna").decode().lower()
    except UnicodeError:
        return host.lower()


def _above(host: str) -> list[str]:
    """The host and every domain that it is in: shop.example.com, example.com, com."""
    parts = host.split(".")
    return [".".join(parts[at:]) for at in range(len(parts))]


def _address(url: str) -> str:
    """An address as it is compared: without scheme, fragment and a slash at the end."""
    return _SCHEME.sub("", url.strip(), count=1).removeprefix("//").partition("#")[0].rstrip("/")


def _domain(entry: str, where: str) -> str:
    host = _ascii(entry.removeprefix("*.").strip(".").removeprefix("www."))
    if not host or re.search(r"[\s/:@*]", host):
        raise GroundupError(f"'{entry}' is no domain", where=where, do="write example.com, one on each line")
    return host


def _one_word(word: str, where: str) -> str:
    parts = [part for part in _APART.split(word.lower()) if part]
    if len(parts) != 1:
        do = "words are runs of letters and digits: write each for itself, or use block_subwords"
        raise GroundupError(f"'{word}' is {'several words' if parts else 'no word'}", where=where, do=do)
    return parts[0]


def _any_of(words: Iterable[str]) -> re.Pattern[str] | None:
    """A pattern that finds any of the words anywhere."""
    ordered = sorted(set(words))
    return re.compile("|".join(map(re.escape, ordered))) if ordered else None


def _read(path: Path, key: str) -> list[tuple[str, str]]:
    """`(entry, file:line)` for each line of a list."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise GroundupError(
            f"can't be read ({error.strerror})",
            where=f"{key} {path}",
            do="name a text file with one entry on each line",
        ) from error
    except UnicodeDecodeError as error:
        raise GroundupError("is not UTF-8 text", where=f"{key} {path}", do="save it as UTF-8") from error
    lines = ((line.strip(), f"{path}:{number}") for number, line in enumerate(text.splitlines(), 1))
    return [(line, where) for line, where in lines if line and not line.startswith("#")]
