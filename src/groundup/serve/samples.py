"""Questions for the page to offer, about what the model was taught."""

import re
from collections.abc import Sequence

SYMBOL = re.compile(r"[A-Za-z]\w*(\.[A-Za-z]\w*)+")


def sample_questions(subjects: Sequence[str], count: int = 4) -> list[str]:
    """Up to `count` questions about subjects spread over the sorted list, the shortest of each part.

    Dotted names (`os.path.join`) are preferred where there are enough of them; other subjects are headings.
    """
    named = sorted(subject for subject in subjects if SYMBOL.fullmatch(subject))
    pool = named if len(named) >= count else sorted(subjects)
    parts = [pool[len(pool) * i // count : len(pool) * (i + 1) // count] for i in range(count)]
    chosen = [min(part, key=lambda subject: (len(subject), subject)) for part in parts if part]
    return [f"What does {it} do?" if SYMBOL.fullmatch(it) else f"Tell me about {it}." for it in chosen]
