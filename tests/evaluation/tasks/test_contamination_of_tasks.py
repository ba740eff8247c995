"""Which items of a task the training documents hold: n-grams and short texts, in training documents alone."""

from pathlib import Path

from groundup.corpus.documents import Document, document_id, write_documents
from groundup.evaluation.tasks.contamination import contamination

LONG = "Natalia sold clips to forty eight of her friends in April and then she sold half as many in May"
SHORT = "how many legs have nine spiders altogether then"
TEXTS = [
    f"Before. {LONG.upper()}! After.",
    f"A page that asks: {SHORT}? It does.",
    "Nothing of any of them is in here.",
]


def test_items_are_found_in_training_documents(tmp_path: Path) -> None:
    kept_back = "the quick brown fox jumps over the lazy dog again and again until it is tired"
    documents = [Document(document_id(text), text, "t", "s", "o", "", "train") for text in TEXTS]
    write_documents(tmp_path, [*documents, Document("1" * 32, kept_back, "t", "s", "o", "", "heldout")])
    items = [[LONG], [SHORT], ["two words"], [kept_back], ["x", LONG.replace("clips", "apples")], [LONG + " at all"]]
    found = contamination("sums", items, tmp_path)
    assert found == {"set": "sums", "items": 6, "too_short": 1, "found": 4, "rows": [0, 1, 4, 5]}
    assert contamination("none", [["another text of more than eight words that is nowhere"]], tmp_path)["found"] == 0
