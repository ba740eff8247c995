"""English documents that look real, drawn from a seed: the same words on every machine and in every Python.

    documents(3)                  three of them: a heading, paragraphs, now and then a list or a quotation
    passages(160, 400)            400 pieces of prose of exactly 160 words each

Sentences are patterns with nouns, verbs and names put in, so stop words, punctuation, word lengths and repetition are
near those of prose; it makes no sense, which nothing that is tested with it looks for.
"""

import re
from random import Random

THINGS = (
    "bridge river harbour orchard library engine valley letter garden winter market machine village island ledger "
    "window mountain railway museum theatre forest kitchen paper journey picture storm lantern meadow factory school "
    "council cathedral farmer teacher sailor doctor painter merchant engineer captain carpenter gardener traveller "
    "neighbour baker widow clerk shepherd song theory question promise winter summer harvest season fortune method "
    "experiment language discovery tradition treaty border province colony company newspaper instrument telescope "
    "medicine fabric copper silver timber flour honey cheese barley vineyard canal lighthouse quarry workshop"
).split()
QUALITIES = (
    "old narrow quiet famous wooden heavy distant early northern southern broad modern cheerful patient empty bright "
    "careful common curious difficult eastern faithful gentle hollow important industrial large local medieval modest "
    "natural original ordinary peculiar popular public rare remarkable rural shallow silent simple small steep "
    "stubborn sudden temporary unusual useful western wide young"
).split()
DOES = (
    "crossed repaired described visited remembered abandoned discovered painted followed measured carried supported "
    "replaced surrounded protected improved explained collected preserved examined built opened divided ruled sold "
    "bought admired imitated governed designed restored inherited published translated recorded forgot"
).split()
NAMES = (
    "Anna Brecht Tobias Lindqvist Maria Ferrante Henry Oakes Clara Whitmore Samuel Adeyemi Lucia Moretti Peter Novak "
    "Ingrid Solberg Thomas Harrow Elena Petrova Joseph Barnaby Ruth Calloway Martin Esposito Helen Drummond"
).split()
TOWNS = (
    "Ashford Kelmore Brinton Osterby Vallenza Marrick Dunholm Tessaly Corvane Lindhurst Praeston Wickmere Halvik "
    "Sorrento Greymouth Ellerby"
).split()
HOW = "slowly carefully rarely often quietly finally suddenly seldom usually gladly together apart".split()
PATTERNS = (
    "The {q} {t} was {d} by a {q} {t} that {n} had {d} in {y}.",
    "{n} {d} the {t}, and the {t} of {p} was {h} {d} after that.",
    "In {y} the {t} at {p} {d} more than {c} {t}s, although nobody had asked for it.",
    "It is not known whether {n} ever {d} the {q} {t}.",
    "When the {t} came to an end, the people of {p} {d} their {t} and {h} {d} the {t}.",
    '"I have never seen a {t} so {q}," wrote {n}, "and I do not expect to see one again."',
    "Most of the {t}s are {q}; the others were {d} by the {t} in the {q} part of {p}.",
    "There was a {q} {t} between {p} and the {t}, which {n} {h} {d}.",
    "A {t} of about {c} metres {d} the {q} {t} until {y}.",
    "Because the {t} had been {d}, {n} and the {q} {t} of {p} {h} {d} another one.",
    "What the {t} {d} is, of course, a {q} question.",
    "That the {t} would be {d} was clear to {n}, but not to the {t}s (there were {c} of them).",
    "They {h} {d} it with a {t} from {p}, with {q} {t}s, and with the {t} of {n}.",
    "Its {t} is {q} and its {t} {q}.",
    "Nevertheless the {t} has {d} the {q} {t} to this day.",
)


def sentence(random: Random) -> str:
    """One sentence of 6 to 30 words."""
    drawn = {
        "t": THINGS,
        "q": QUALITIES,
        "d": DOES,
        "n": NAMES,
        "p": TOWNS,
        "h": HOW,
    }
    text = random.choice(PATTERNS)
    for name, words in drawn.items():
        while f"{{{name}}}" in text:
            text = text.replace(f"{{{name}}}", random.choice(words), 1)
    text = re.sub(r"\b([Aa]) (?=[aeiou])", r"\1n ", text)
    return text.replace("{y}", str(random.randint(1600, 2020))).replace("{c}", str(random.randint(3, 900)))


def paragraph(random: Random) -> str:
    """Three to eight sentences."""
    return " ".join(sentence(random) for _ in range(random.randint(3, 8)))


def title(random: Random) -> str:
    return f"The {random.choice(QUALITIES)} {random.choice(THINGS)} of {random.choice(TOWNS)}"


def document(random: Random, paragraphs: int = 6) -> str:
    """A heading and paragraphs as in Markdown, with a list in every third document and a quotation in every fourth."""
    parts = [f"# {title(random)}", *(paragraph(random) for _ in range(paragraphs))]
    if random.random() < 1 / 3:
        parts.insert(-1, "\n".join(f"- {sentence(random)}" for _ in range(random.randint(2, 6))))
    if random.random() < 1 / 4:
        parts.insert(2, f"> {sentence(random)}")
    return "\n\n".join(parts) + "\n"


def documents(count: int, seed: int = 0) -> list[str]:
    """`count` documents of 1 to 12 paragraphs."""
    random = Random(seed)
    return [document(random, random.randint(1, 12)) for _ in range(count)]


def passages(words: int, count: int, seed: int = 0) -> list[str]:
    """`count` pieces of prose without line breaks, of `words` words each."""
    random, found = Random(seed), []
    for _ in range(count):
        piece: list[str] = []
        while len(piece) < words:
            piece += sentence(random).split()
        found.append(" ".join(piece[:words]))
    return found
