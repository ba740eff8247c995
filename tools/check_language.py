"""One language: finds words of the project's old dialect in code, docstrings, messages, docs and tests.

    python tools/check_language.py [PATH ...]      (default: src tests docs benchmarks examples guide README.md ...)

Each pattern has the field's standard term beside it. Identifiers are read as words: `held_out_rows` and `HeldOutRows`
are "held out rows". Uses that are right (a phrase of plain English, a name that a library gave) stand in ALLOWED, each
as the whole phrase, so that the list stays short and can be read.
"""

import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

HERE = Path(__file__).resolve().parent.parent
LOOKED_AT = (
    "src",
    "tests",
    "docs",
    "benchmarks",
    "examples",
    "guide",
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "Makefile",
)
SUFFIXES = {".py", ".md", ".yaml", ".js", ".css", ".html", ".typ", ".toml", ".txt", ".ipynb", ""}

INSTEAD = {
    r"places?|placed": "the word for the thing: index, position, folder, file, device, state, rank",
    r"stands?|stood|standing": "is, lies, appears, is listed",
    r"told|tells?": "reported, reports, shows",
    r"goes on|go on|going on|went on": "resumes, continues",
    r"anew": "rebuilt, again",
    r"foretold|foretells?": "predicted, forecast",
    r"mends?|mended|mending": "fix, repair",
    r"behind": "after (in order)",
    r"beside": "besides, next to, with",
    r"passed over|passes over|left out|leaves out|leave out|leaving out": "skipped, excluded",
    r"held out|holds out": "validation, held-out set",
    r"shares? of|share": "fraction, ratio, part",
    r"moments": "optimizer state",
    r"products?": "matrix product, matmul",
    r"takes? up|taken up|taking up|took up": "restore, collect",
    r"manieth": "index within its source",
    r"(?:at )?most (?=(?:skips|returns|tokens|rows|bytes))": "max_x",
    r"numbers alike|figures alike": "the same numbers",
}

# phrases in which a word above is right
# Words of people who ask, which are data.
QUESTIONS = ("handwritten.py", "phrasings.py", "taught.py", "test_taught.py", "test_phrasings.py")
ALLOWED = re.compile(
    r"""(?xi)
      in[- ]place | placeholders? | placements? | takes?\ place | first\ place
    | standard | standing\ for\ (?:its\ kind)
    | moment[s]?\ (?:match|estimate)
    | (?:matrix|dot|inner|outer|scalar|cartesian|tensor|element[- ]?wise|head)[- ]products?
    | itertools\ product | import\ product | prod(?:uct)?\(
    | share\ ?gpt | shared | share-?alike | share\ embeddings
    | shares?\ (?:one|a|an|the|no|its|their|these|it|them|memory|code|with)\b
    | renamed:.* | tell\ me | held-out | falls?\ behind | behind\ (?:a|the)\ (?:proxy|flag)
    | (?:\.|def\ )tell\(
    """
)

CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
FOUND = re.compile("|".join(rf"(?P<w{i}>(?<![a-z])(?:{p})(?![a-z]))" for i, p in enumerate(INSTEAD)), re.IGNORECASE)
TERMS = tuple(INSTEAD.items())


def findings(text: str) -> list[tuple[int, str, str]]:
    """`(line number, what was found, what to write)` for each use that isn't allowed."""
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        words = CAMEL.sub(" ", line).replace("_", " ")
        words = ALLOWED.sub(lambda match: "#" * len(match.group()), words)
        found += [(number, m.group(), TERMS[int(str(m.lastgroup)[1:])][1]) for m in FOUND.finditer(words)]
    return found


def files(paths: list[str]) -> list[Path]:
    """What git tracks, or would track, below the paths."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *paths],
        cwd=HERE,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    return [HERE / name for name in sorted(set(listed)) if (HERE / name).suffix in SUFFIXES and (HERE / name).is_file()]


def main() -> int:
    """Print every finding as file:line, and a count of each word; 1 where there is any."""
    paths = [str(Path(path).resolve()) for path in sys.argv[1:]] or [str(path) for path in LOOKED_AT]
    counts: Counter[str] = Counter()
    for path in files(paths):
        if path == Path(__file__).resolve() or "results" in path.parts or path.name in QUESTIONS:
            continue
        for number, word, instead in findings(path.read_text(encoding="utf-8", errors="replace")):
            counts[word.lower()] += 1
            print(f"{path.relative_to(HERE)}:{number}: {word!r}; write: {instead}")
    for word, count in counts.most_common():
        print(f"{count:6,}  {word}", file=sys.stderr)
    return 1 if counts else 0


if __name__ == "__main__":
    sys.exit(main())
