"""The held-out share is decided by each document's own hash."""

from hypothesis import given
from hypothesis import strategies as st

from groundup.corpus.documents import document_id
from groundup.corpus.split import heldout_ids

IDS = [document_id(str(n)) for n in range(5000)]


def test_about_the_share_is_held_out() -> None:
    assert 0.015 < len(heldout_ids(IDS, 0.02)) / len(IDS) < 0.025
    assert heldout_ids(IDS, 0.0) == frozenset()


def test_a_document_stays_on_its_side_whatever_comes_or_goes() -> None:
    assert heldout_ids(IDS[:2500], 0.1) == heldout_ids(IDS, 0.1) & set(IDS[:2500])


@given(st.sets(st.sampled_from(IDS), min_size=2, max_size=20), st.floats(0.0001, 0.99))
def test_both_sides_have_a_document(ids: set[str], share: float) -> None:
    assert 0 < len(heldout_ids(ids, share)) < len(ids)
