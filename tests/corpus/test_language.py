"""Languages are told where there is text enough, and left open where there is not."""

import re
from pathlib import Path

import pytest

from groundup.corpus.language import MIN_BYTES, UNDETERMINED, identify

UDHR = Path(__file__).parents[2].parent / "shared" / "data" / "langid" / "udhr"

GERMAN = "Alle Menschen sind frei und gleich an Würde und Rechten geboren und sollen einander brüderlich begegnen. " * 2
ENGLISH = "All human beings are born free and equal in dignity and rights and should act towards one another well. " * 2
JAPANESE = "すべての人間は、生まれながらにして自由であり、かつ、尊厳と権利とについて平等である。" * 2


def test_three_languages() -> None:
    assert [identify(text).code for text in (GERMAN, ENGLISH, JAPANESE)] == ["de", "en", "ja"]


def test_short_texts_and_code_are_left_undetermined() -> None:
    assert identify("Zurück zur Seite.").code == UNDETERMINED
    assert identify("x_1 = f(a[0]) + g(b[1])  # --\n" * 50).code == UNDETERMINED
    assert identify("").confidence == 0.0
    assert identify("a " * MIN_BYTES).code != UNDETERMINED  # the limit itself is enough


def test_code_between_words_changes_nothing() -> None:
    mixed = ENGLISH.replace("equal", "`eq_1(x[0])` equal os.path.join(a, *p)")
    assert identify(mixed) == identify(ENGLISH)


@pytest.mark.skipif(not UDHR.is_dir(), reason="needs the shared data")
def test_english_is_told_from_fifty_other_languages() -> None:
    pages = sorted(UDHR.rglob("*.html"))
    texts = {page.name: re.sub(r"<[^>]*>", " ", page.read_text(encoding="utf-8")) for page in pages}
    assert len(texts) > 50
    assert [name for name, text in texts.items() if identify(text).code == "en"] == ["eng.html"]
