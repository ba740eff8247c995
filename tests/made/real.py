"""Real data next to the repository: where it is there, some tests use it in addition to what is made here."""

from pathlib import Path

DATA = Path(__file__).parents[3] / "shared" / "data"
UDHR = DATA / "langid" / "udhr" / "declaration"


def articles(file: str) -> list[str]:
    """The articles of a file of Wikipedia's, if it is there."""
    path = DATA / "corpus" / "enwiki" / file
    return path.read_text(encoding="utf-8").split("</doc>") if path.is_file() else []


def declarations() -> dict[str, str]:
    """Pages with one declaration in 53 languages, by name, if they are there."""
    return {path.stem: path.read_text(encoding="utf-8") for path in sorted(UDHR.glob("*.html"))}
