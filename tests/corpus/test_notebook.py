"""The functions for notebooks give what the stages' own parts give."""

import pytest

from groundup.corpus import deduplicate, extract, language, quality, redact
from groundup.corpus.redaction.configuration import Redaction
from groundup.errors import GroundupError
from made.languages import TEXTS
from made.pages import pages
from made.prose import passages


def test_planted_copies_go_and_all_others_stay() -> None:
    originals = passages(80, 60)
    copies = [f"{text} And that was all." for text in originals[:20]]
    found = deduplicate([*originals, *copies, originals[30]])
    assert sorted(pair[:2] for pair in found.pairs) == [*((row, 60 + row) for row in range(20)), (80, 30)]
    assert {pair.similarity for pair in found.pairs if pair.dropped == 80} == {1.0}
    assert all(0.9 < pair.similarity < 1 for pair in found.pairs if pair.dropped < 80)
    assert found.kept == [*range(20, 80)]
    assert deduplicate([]) == ([], [])


@pytest.mark.parametrize("mode", ["precision", "balanced", "recall"])
def test_the_main_text_of_pages(mode: str) -> None:
    for page in pages(1, seed=4):
        found = extract(page.page, mode)  # type: ignore[arg-type]
        assert page.title in found.title
        assert set(page.text.split()) - set(found.text.split()) <= {"-"}
    with pytest.raises(GroundupError, match="no-text"):
        extract("<html></html>")


def test_masks_and_what_is_kept() -> None:
    text = "Jo has jo@web.org and +44 20 7946 0018."
    assert redact(text, Redaction(phone="keep")).text == "Jo has <email> and +44 20 7946 0018."
    assert redact(text).counts == {"email": 1, "phone": 1}
    assert redact("nothing here") == ("nothing here", {})


def test_languages_by_their_codes() -> None:
    assert {name.split("-")[0] for name in TEXTS} == {language(text).code for text in TEXTS.values()}
    assert language("Zu kurz.") == ("und", 0.0)


def test_a_classifier_learns_from_lists_of_texts() -> None:
    good, bad = passages(40, 120, seed=1), [f"BUY {text[:60]} now !!!" for text in passages(10, 120, seed=2)]
    trained = quality.learn(good, bad)
    assert trained.evaluation.accuracy.value > 0.95
    scores = trained.model.scores([*passages(40, 5, seed=3), "BUY now !!! cheap"])
    assert scores[:5].min() > scores[5]
