"""How far raters agree: in percent, and beyond what chance alone would give (kappa).

A rating is a category: of two answers the first is better, the second is, or they are equal. A ranked list counts as
all of its pairs.
"""

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations


@dataclass(frozen=True)
class Agreement:
    """Of what several raters judged."""

    raters: int
    compared: int
    """Pairs of answers that at least two raters judged."""
    percent: float
    """Of the pairs of raters at each of them, how many say the same; 0 to 100."""
    kappa: float | None
    """Cohen's for two raters, Fleiss' for more: 1 is full agreement, 0 what chance gives. None where all ratings are
    the same, so that chance alone would agree too."""


def agreement(ratings: Mapping[str, Mapping[Hashable, Hashable]]) -> Agreement | None:
    """None where no two raters have judged the same thing.

    Args:
        ratings: of each rater, the category given to each subject.
    """
    subjects = Counter(subject for given in ratings.values() for subject in given)
    shared = [subject for subject, count in subjects.items() if count > 1]
    raters = [name for name, given in ratings.items() if any(subject in given for subject in shared)]
    if not shared:
        return None
    rows = [[ratings[name][subject] for name in raters if subject in ratings[name]] for subject in shared]
    pairs = [one == other for row in rows for one, other in combinations(row, 2)]
    kappa = cohen(*zip(*rows, strict=True)) if len(raters) == 2 else fleiss(rows)
    return Agreement(len(raters), len(shared), 100 * sum(pairs) / len(pairs), kappa)


def cohen(first: Sequence[Hashable], second: Sequence[Hashable]) -> float | None:
    """Cohen's kappa of two raters (1960): chance is what each rater's own frequencies would give.

    >>> cohen("yyynnn", "yyynny")
    0.6666666666666667
    """
    n = len(first)
    observed = sum(a == b for a, b in zip(first, second, strict=True)) / n
    one, other = Counter(first), Counter(second)
    return _beyond_chance(observed, sum(one[category] * other[category] for category in one) / n**2)


def fleiss(rows: Sequence[Sequence[Hashable]]) -> float | None:
    """Fleiss' kappa (1971), for two or more ratings of each subject, also where their number differs.

    >>> round(fleiss(["aab", "bbb", "aaa"]), 3)
    0.55
    """
    alike = [sum(c * (c - 1) for c in Counter(row).values()) / (len(row) * (len(row) - 1)) for row in rows]
    all_of = Counter(category for row in rows for category in row)
    total = sum(all_of.values())
    return _beyond_chance(sum(alike) / len(alike), sum((count / total) ** 2 for count in all_of.values()))


def _beyond_chance(observed: float, chance: float) -> float | None:
    return None if chance >= 1 else (observed - chance) / (1 - chance)
