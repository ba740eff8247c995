"""The page as a whole: complete, self-contained, the same for the same run, and closed to what documents try."""

import re
import time
from collections import Counter

import lxml.html
import pytest
from fake_run import FakeRun, hostile

from groundup.artifacts import Work
from groundup.report.configuration import ReportConfig
from groundup.report.page import STYLE, page
from groundup.report.run import read_run
from groundup.report.stage import stage

SECTIONS = ["blueprint", "documents", "tokenizer", "pretraining", "alignment", "scores", "cost", "again", "glossary"]


def rendered(run, config=None):
    config = config or ReportConfig()
    return page(read_run(run.folder, run.artifacts, config.dropped_samples), config)


def words(tree):
    return re.sub(r"\s+", " ", tree.text_content().replace("\u202f", " "))


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    return FakeRun(tmp_path_factory.mktemp("full"))


@pytest.fixture(scope="module")
def html(full):
    return rendered(full)


@pytest.fixture(scope="module")
def tree(html):
    return lxml.html.fromstring(html)


def test_sections_are_in_order_and_linked(tree):
    """All sections, each linked from the contents; every link within the page has a target; ids are unique."""
    assert [section.get("id") for section in tree.xpath("//main/section")] == SECTIONS
    assert [link.get("href") for link in tree.xpath("//nav/a")] == [f"#{name}" for name in SECTIONS]
    ids = Counter(tree.xpath("//@id"))
    assert set(ids.values()) == {1}
    assert {href[1:] for href in tree.xpath("//@href") if href.startswith("#")} <= set(ids)


def test_terms_link_to_the_glossary(tree):
    """Terms of the field are links to lines of the page's glossary, which holds no other terms."""
    entries = {dt.get("id"): dt.getnext().text_content() for dt in tree.xpath("//section[@id='glossary']//dt")}
    links = {link.get("href")[1:]: link.get("title") for link in tree.xpath("//a[@class='term']")}
    assert links == entries
    assert {"term-sft", "term-ppo", "term-token-f1", "term-bits-per-byte", "term-kl", "term-bpe"} <= set(links)


def test_nothing_is_asked_of_anybody(tree, html):
    """No script, frame or form; no address but the figures next to it and the icon that it carries; no import in the
    style."""
    assert not tree.xpath("//script|//iframe|//object|//embed|//form|//base|//img|//audio|//video")
    assert not [name for element in tree.iter() for name in element.attrib if name.startswith("on")]
    outside = [one for one in tree.xpath("//@href|//@src") if not one.startswith("#")]
    assert [one for one in outside if not one.startswith("data:image/svg+xml,")] == ["report.json"]
    assert not re.search(r"@import|url\((?!#)", html)
    assert "default-src 'none'" in tree.xpath("//meta[@http-equiv]/@content")[0]


def test_key_figures_are_in_the_head(full, tree):
    """What the stages measured is what the head says, in words and in figures."""
    head = words(tree.xpath("//header")[0])
    rates = full.artifacts["evaluate"].figures["answers"]["sft"]
    for figure in (
        "4.0 million parameters",
        f"{full.artifacts['curate'].figures['documents']} documents",
        f"{100 * rates['taught']['exact_match']:.1f} % of the documented answers to the letter",
        f"{100 * rates['unseen']['exact_match']:.1f} % in phrasings that were not used in training",
        "+1.3 points of 100, 95 % interval +0.4 to +2.2: better than SFT alone",
        "2.04 bits per byte: fewer than n-grams (2.35), xz \u22129 primed (2.41) and xz \u22129 (3.10).",
        "groundup chat runs/python-docs",
        "made from the documents",
    ):
        assert figure in head, figure


def test_notes_and_source_come_back(full, tree):
    """The notes of the blueprint are quoted at their sections; the file is there as written; overrides are named."""
    quotes = [words(quote) for quote in tree.xpath("//section[@id='blueprint']//blockquote")]
    assert quotes[0].startswith("The default blueprint: does a 4M model")
    assert any("half the subjects" in quote for quote in quotes)
    source = (full.folder / "blueprint.source.yaml").read_text()
    assert source in [pre.text_content() for pre in tree.xpath("//section[@id='blueprint']//pre")]
    rows = {row[0].text_content(): row for row in tree.xpath("//table[@class='values']//tr[td]") if len(row) == 3}
    assert rows["pretrain.tokens"][1].text_content() == "800000"
    assert rows["pretrain.tokens"][2].text_content() == "--set"
    assert rows["curate.rules.min_words"][2].text_content() == "default"
    assert rows["pretrain.model.heads"][2].text_content().startswith("size 4M:")
    assert rows["size"][2].text_content() == f"line {source[: source.index('size: 4M')].count(chr(10)) + 1}"


def test_the_speed_is_that_of_the_middle_step(tree):
    """Of 782 steps, of which one was slow and one fast."""
    said = words(tree.get_element_by_id("pretraining"))
    assert "12,345 tokens/s, 31.6 % of the measured matmul ceiling" in said


@pytest.mark.parametrize("samples", [0, 2])
def test_each_rule_shows_what_it_dropped(full, samples):
    """As many samples of each rule as the blueprint asks for, none more; the counts are those of the artifact."""
    section = lxml.html.fromstring(rendered(full, ReportConfig(dropped_samples=samples))).get_element_by_id("documents")
    dropped = full.artifacts["curate"].figures["dropped"]
    assert len(section.xpath(".//article")) == sum(min(samples, number) for number in dropped.values())
    table = {row[0].text_content(): row[-1].text_content() for row in section.xpath(".//table//tr[td]")}
    assert {rule: f"{number:,}" for rule, number in dropped.items()}.items() <= table.items()


def test_right_answers_are_marked(tree):
    """An answer is marked right exactly where it is the documents' own."""
    marked = Counter()
    for card in tree.xpath("//article[@class='answers']"):
        truth = card.xpath(".//div[@class='truth']/dd")[0].text_content()
        for cell in card.xpath(".//div[@class='right' or @class='wrong']"):
            right = cell.xpath("./dd")[0].text_content().strip() == truth
            assert cell.get("class") == ("right" if right else "wrong")
            assert cell.xpath("./dt/span/@aria-label") == ["right" if right else "not the same"]
            marked[right] += 1
    assert marked[True] > 5 and marked[False] > 5


def test_the_same_run_gives_the_same_bytes(tmp_path, full):
    """Written twice by the stage, page and figures are equal to the byte."""
    written = []
    for name in ("one", "two"):
        out = tmp_path / name
        out.mkdir()
        stage(ReportConfig(), full.artifacts, Work(out, out, 1, base=full.base, run=full.folder))
        written.append({path.name: path.read_bytes() for path in out.iterdir()})
    assert written[0] == written[1] and sorted(written[0]) == ["index.html", "report.json"]


def test_it_is_quick(full):
    """Under five seconds of processor time, as it must be."""
    started = time.process_time()
    rendered(full)
    assert time.process_time() - started < 5


def test_documents_cannot_break_out(tmp_path):
    """Markup in a document's text, title, origin, licence, subject and answer, in a note, in a rule's sample: all of it
    is shown as text, and the page has the elements that it has without it."""
    run = FakeRun(tmp_path, documents=(hostile(), hostile(kept=False)))
    source = run.folder / "blueprint.source.yaml"
    source.write_text(source.read_text().replace("  The default blueprint:", "  <script>alert('note')</script>"))
    html = rendered(run, ReportConfig(title="<script>alert('name')</script>"))
    found = lxml.html.fromstring(html)
    assert not found.xpath("//script|//img|//header//i[not(@style)]")
    assert not [name for element in found.iter() for name in element.attrib if name.startswith("on")]
    text = words(found)
    for where in ("name", "note", "title", "text", "subject", "answer"):
        assert f"alert('{where}')" in text, where
    assert "<i>licence</i>" in text and "\x00" not in html and "\ufffd" in html


def hex_colours(theme):
    """`{variable: (r, g, b)}` of the light or the dark palette in the style sheet."""
    blocks = re.findall(r":root \{(.*?)\}", STYLE.read_text(), flags=re.DOTALL)
    found = re.findall(r"--(\w+): #([0-9a-f]{6})", blocks[theme])
    return {name: tuple(int(value[at : at + 2], 16) / 255 for at in (0, 2, 4)) for name, value in found}


def linear(colour):
    return [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour]


def luminance(colour):
    return sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear(colour), strict=True))


def contrast(one, other):
    """WCAG 2: (lighter + .05) / (darker + .05)."""
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


# Machado, Oliveira and Fernandes 2009, severity 1: how a colour is seen without red or without green cones.
BLINDNESS = {
    "none": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "protan": ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)),
    "deutan": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881)),
}


def lab(rgb):
    """CIE L*a*b* (D65) of a linear RGB colour."""
    matrix = ((0.4124, 0.3576, 0.1805), (0.2126, 0.7152, 0.0722), (0.0193, 0.1192, 0.9505))
    xyz = [sum(m * max(0.0, c) for m, c in zip(row, rgb, strict=True)) for row in matrix]
    scaled = [value / white for value, white in zip(xyz, (0.9505, 1.0, 1.089), strict=True)]
    x, y, z = (t ** (1 / 3) if t > 0.008856 else 7.787 * t + 16 / 116 for t in scaled)
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_colours_are_distinguishable(theme):
    """Text has a contrast of 4.5 and lines of 3 against the ground (WCAG 2.1); any two series differ by a CIE 1976
    distance of 20 or more, also for eyes without red or green cones."""
    colours = hex_colours(theme)
    for ground in ("ground", "raised"):
        for name in ("ink", "soft", "green"):
            assert contrast(colours[name], colours[ground]) >= 4.5, (name, ground)
        for name in "abc":
            assert contrast(colours[name], colours[ground]) >= 3, (name, ground)
    for kind, matrix in BLINDNESS.items():
        seen = {
            name: lab([sum(m * c for m, c in zip(row, linear(colours[name]), strict=True)) for row in matrix])
            for name in "abc"
        }
        for one, other in ("ab", "ac", "bc"):
            distance = sum((a - b) ** 2 for a, b in zip(seen[one], seen[other], strict=True)) ** 0.5
            assert distance >= 20, (kind, one, other, distance)
