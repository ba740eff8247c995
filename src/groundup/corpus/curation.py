"""From documents as they come to documents worth training on, and the account of every one that was dropped.

    read -> rules -> exact duplicates -> near-duplicates -> split

The texts are held in memory from the rules on; statistics and languages are worked out as they come.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from groundup.corpus.configuration import NearDuplicates, RulesConfig
from groundup.corpus.documents import Document, Dropped, Fact, drop
from groundup.corpus.language import identify
from groundup.corpus.near_duplicates import Duplicate, exact_duplicates, near_duplicates
from groundup.corpus.rules import first_broken
from groundup.corpus.split import heldout_ids
from groundup.corpus.statistics import measure
from groundup.errors import GroundupError
from groundup.progress import Progress, Silent

EXACT_DUPLICATE, NEAR_DUPLICATE = "exact-duplicate", "near-duplicate"


@dataclass(frozen=True)
class Curated:
    """What was kept and what was not, both sorted by source and origin."""

    documents: list[Document]
    dropped: list[Dropped]
    figures: dict[str, Any]  # funnel, dropped, documents, bytes, heldout_documents, heldout_bytes, sources, languages


def curate(
    found: Iterable[Document | Dropped],
    rules: RulesConfig | None = None,
    near: NearDuplicates | None = None,
    heldout: float = 0.02,
    progress: Progress | None = None,
) -> Curated:
    """Keep what passes the rules and says something new, and split it.

    Args:
        found: documents, and what the sources had to leave out; a stream.
        rules: thresholds over each document's statistics.
        near: how near-duplicates are found.
        heldout: share of the documents kept that goes to the split `heldout`.
        progress: where to show the work.

    Raises:
        GroundupError: nothing is left.
    """
    rules, near, progress = rules or RulesConfig(), near or NearDuplicates(), progress or Silent()
    dropped: list[Dropped] = []
    languages: Counter[str] = Counter()
    passed: list[Document] = []
    read, read_bytes, unread = 0, 0, 0
    for item in found:
        if isinstance(item, Dropped):
            unread += 1
            dropped.append(item)
            continue
        read, read_bytes = read + 1, read_bytes + item.size
        language = identify(item.text)
        languages[language.code] += 1
        broken = first_broken(measure(item.text), language, rules)
        if broken is None:
            passed.append(item)
        else:
            dropped.append(drop(item, broken.rule, broken.value, broken.threshold))
    funnel = [{"step": "found", "documents": read + unread, "bytes": read_bytes}, _step("read", read, read_bytes)]
    funnel.append(_step_of("rules", passed))
    passed.sort(key=_place)
    same = exact_duplicates([one.text for one in passed], [one.id for one in passed])
    passed = _without(passed, same, EXACT_DUPLICATE, None, dropped)
    funnel.append(_step_of("exact duplicates", passed))
    similar = near_duplicates([one.text for one in passed], [one.id for one in passed], near, progress)
    passed = _without(passed, similar, NEAR_DUPLICATE, near.threshold, dropped)
    funnel.append(_step_of("near-duplicates", passed))
    if not passed:
        raise _nothing_left(read, dropped)
    aside = heldout_ids((one.id for one in passed), heldout)
    kept = [replace(one, split="heldout" if one.id in aside else "train") for one in passed]
    dropped.sort(key=lambda one: (one.source, one.origin, one.rule, one.id))
    return Curated(kept, dropped, _figures(kept, dropped, funnel, languages))


def _place(document: Document) -> tuple[str, str, str]:
    return document.source, document.origin, document.id


def _without(
    documents: list[Document],
    duplicates: Sequence[Duplicate],
    rule: str,
    threshold: float | None,
    dropped: list[Dropped],
) -> list[Document]:
    """`documents` without the duplicates, which are added to `dropped`.

    What a duplicate says of subjects of its own goes to the document that is kept for it: `json.dumps` is described
    by the words of `json.dump`, and can still be asked about.
    """
    facts: dict[int, dict[tuple[str, str], Fact]] = {}
    for one in duplicates:
        gone, kept = documents[one.index], documents[one.kept]
        dropped.append(drop(gone, rule, one.similarity, threshold, kept.id))
        known = facts.setdefault(one.kept, {(fact.subject, fact.aspect): fact for fact in kept.facts})
        for fact in gone.facts:
            known.setdefault((fact.subject, fact.aspect), fact)
    indices = {one.index for one in duplicates}
    return [
        replace(document, facts=tuple(facts[index].values())) if index in facts else document
        for index, document in enumerate(documents)
        if index not in indices
    ]


def _step(name: str, documents: int, size: int) -> dict[str, Any]:
    return {"step": name, "documents": documents, "bytes": size}


def _step_of(name: str, documents: Sequence[Document]) -> dict[str, Any]:
    return _step(name, len(documents), _bytes(documents))


def _bytes(documents: Iterable[Document]) -> int:
    return sum(document.size for document in documents)


def _figures(
    kept: list[Document], dropped: list[Dropped], funnel: list[dict[str, Any]], languages: Counter[str]
) -> dict[str, Any]:
    sources: dict[str, dict[str, int]] = {}
    for document in kept:
        counts = sources.setdefault(document.source, {"documents": 0, "bytes": 0})
        counts["documents"] += 1
        counts["bytes"] += document.size
    heldout = [document for document in kept if document.split == "heldout"]
    return {
        "funnel": funnel,
        "dropped": _by_count(Counter(one.rule for one in dropped)),
        "documents": len(kept),
        "bytes": _bytes(kept),
        "heldout_documents": len(heldout),
        "heldout_bytes": _bytes(heldout),
        "sources": sources,
        "languages": _by_count(languages),
    }


def _by_count(counts: Counter[str]) -> dict[str, int]:
    """The most frequent first, then by name."""
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _nothing_left(read: int, dropped: Sequence[Dropped]) -> GroundupError:
    reasons = _by_count(Counter(one.rule for one in dropped))
    shown = ", ".join(f"{rule} ({count})" for rule, count in list(reasons.items())[:5])
    return GroundupError(
        f"no document is left of {read} that were read; they were dropped by: {shown or 'nothing, there were none'}",
        where="curate",
        do="loosen those rules in curate.rules, or add sources",
    )
