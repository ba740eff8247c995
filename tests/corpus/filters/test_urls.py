"""Addresses are matched by domain, as a whole and by their words; lists that can't be used are refused by line."""

from pathlib import Path

import numpy as np
import pytest

from groundup.corpus.filters.configuration import UrlsConfig
from groundup.corpus.filters.urls import RULES, UrlRules, judge
from groundup.errors import GroundupError


def rule(url: str, config: UrlsConfig) -> str:
    return str(judge([url], config).rule[0])


@pytest.fixture
def domains(tmp_path: Path) -> UrlsConfig:
    (tmp_path / "block.txt").write_text("# bad ones\n\nexample.com\n*.Bad.org\nbücher.example\n", encoding="utf-8")
    (tmp_path / "allow.txt").write_text("good.example.com\n", encoding="utf-8")
    return UrlsConfig(
        block_domains=tmp_path / "block.txt", allow_domains=tmp_path / "allow.txt", block_words=("casino",)
    )


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://example.com/", "url-domain"),
        ("https://www.shop.EXAMPLE.com:8080/a?b#c", "url-domain"),
        ("http://user:word@example.com./x", "url-domain"),
        ("example.com/without/scheme", "url-domain"),
        ("//bad.org", "url-domain"),
        ("http://bücher.example/", "url-domain"),
        ("http://xn--bcher-kva.example/", "url-domain"),
        ("http://notexample.com/", ""),
        ("http://example.com.evil.net/", ""),
        ("http://other.net/?to=example.com", ""),
        ("http://good.example.com/casino", ""),
        ("http://very.good.example.com/", ""),
        ("http://other.net/best-Casino_5", "url-word"),
        ("http://other.net/casinos", ""),
        ("", ""),
        ("http://[broken", ""),
        ("mailto:someone", ""),
    ],
)
def test_domains_and_words(domains: UrlsConfig, url: str, expected: str) -> None:
    assert rule(url, domains) == expected


def test_whole_addresses(tmp_path: Path) -> None:
    (tmp_path / "urls.txt").write_text("http://a.org/page?id=1\nb.org/x/\n")
    config = UrlsConfig(block_addresses=Path("urls.txt"))
    rules = UrlRules(config, tmp_path)
    urls = ["https://a.org/page?id=1#part", "http://a.org/page?id=2", "http://b.org/x", "http://b.org/x/y"]
    assert list(rules.judge(urls).rule) == ["url-address", "", "url-address", ""]


def test_soft_words_are_counted_and_subwords_found_anywhere() -> None:
    config = UrlsConfig(soft_words=("free", "Win", "now"), block_subwords=("xpills",))
    found = judge(
        ["http://a.org/free-win", "http://a.org/free/free", "http://a.org/x-pill-s", "http://a.org/maxpillsx"], config
    )
    assert list(found.rule) == ["url-soft-words", "", "url-subword", "url-subword"]
    assert (found.value[0], found.threshold[0]) == (2, 2)
    assert np.isnan(found.value[1:]).all()
    assert set(found.rule) - {""} <= set(RULES)


def test_words_come_from_files_too(tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("\ufeffpoker\n# not this\n", encoding="utf-8")
    config = UrlsConfig(block_words=("casino",), block_words_file=tmp_path / "words.txt")
    assert [rule(f"http://a.org/{word}", config) for word in ("poker", "casino", "this")] == [
        "url-word",
        "url-word",
        "",
    ]


def test_nothing_given_drops_nothing() -> None:
    assert not UrlsConfig().on
    assert not UrlsConfig().files
    assert rule("http://casino.example/xxx", UrlsConfig()) == ""


def test_lists_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("good.org\nhttp://bad.org/page\n")
    with pytest.raises(GroundupError, match=r"list.txt:2: 'http://bad.org/page' is no domain; write example.com"):
        UrlRules(UrlsConfig(block_domains=tmp_path / "list.txt"))
    with pytest.raises(GroundupError, match=r"curate.urls.block_domains .*none.txt: can't be read"):
        UrlRules(UrlsConfig(block_domains=tmp_path / "none.txt"))
    with pytest.raises(GroundupError, match=r"curate.urls.block_words: 'two words' is several words"):
        UrlRules(UrlsConfig(block_words=("two words",)))
    (tmp_path / "latin.txt").write_bytes(b"b\xfccher\n")
    with pytest.raises(GroundupError, match=r"latin.txt: is not UTF-8 text"):
        UrlRules(UrlsConfig(soft_words_file=tmp_path / "latin.txt"))
