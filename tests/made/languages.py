"""One short story of the project's own, of a baker, a market and a bridge, in 29 languages.

`TEXTS` has 170 to 700 characters by ISO 639-1 code; Chinese is there in both scripts, as `zh-hans` and `zh-hant`.
"""

from pathlib import Path

_LINES = (Path(__file__).parent / "languages.txt").read_text(encoding="utf-8").splitlines()
TEXTS: dict[str, str] = dict(line.split("\t", 1) for line in _LINES)
