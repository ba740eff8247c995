"""How often our Gopher and FineWeb rules and datatrove's filters of these names agree, and by which rule they differ.

    python benchmarks/filter_agreement.py FOLDER_OF_JSONL [--json FILE]

For every document of the `text` column both sides give a verdict. Needs datatrove (see peers.txt). docs/filters.md
explains the differences: spaCy's words, which include punctuation marks, against those between white space.
"""

import argparse
import json
from collections import Counter
from importlib.metadata import version
from pathlib import Path
from typing import Any

GOPHER_QUALITY = (
    *("min_words", "max_words", "min_mean_word_length", "max_mean_word_length", "min_alphabetic_words"),
    *("min_stop_words", "max_hashes_per_word", "max_ellipses_per_word", "max_bullet_lines", "max_ellipsis_lines"),
)
GOPHER_REPETITION = (
    *("max_duplicate_lines", "max_duplicate_line_characters"),
    *("max_duplicate_paragraphs", "max_duplicate_paragraph_characters"),
    *("max_top_bigram", "max_top_trigram", "max_top_fourgram"),
    *(f"max_duplicate_{n}grams" for n in range(5, 11)),
)
FINEWEB = ("min_terminal_lines", "max_short_lines", "max_duplicate_line_characters", "max_newlines_per_word")
FILTERS = (
    ("GopherQualityFilter", "gopher", GOPHER_QUALITY),
    ("GopherRepetitionFilter", "gopher", GOPHER_REPETITION),
    ("FineWebQualityFilter", "fineweb", FINEWEB),
)


def compare(texts: list[str], name: str, preset: Any, keys: tuple[str, ...]) -> dict[str, Any]:
    """How often datatrove's filter `name` and these rules of the preset agree, and where they differ."""
    import pyarrow as pa
    from datatrove.data import Document
    from datatrove.pipeline import filters

    from groundup.corpus.filters.configuration import RulesConfig
    from groundup.corpus.filters.rules import RULES, judge
    from groundup.corpus.filters.statistics import measure

    whole = RulesConfig(preset=preset)
    rules = RulesConfig.model_validate(dict.fromkeys(RULES) | {key: getattr(whole, key) for key in keys})
    ours = judge(measure(pa.array(texts, pa.large_string())), rules).rule
    peer = getattr(filters, name)()
    both = Counter[tuple[str, str]]()
    for number, text in enumerate(texts):
        verdict = peer.filter(Document(text=text, id=str(number)))
        both[ours[number], "" if verdict is True else verdict[1]] += 1
    agreed = sum(count for (mine, theirs), count in both.items() if (mine == "") == (theirs == ""))
    differences = [
        {"ours": mine or "kept", "theirs": theirs or "kept", "documents": count}
        for (mine, theirs), count in both.most_common()
        if (mine == "") != (theirs == "")
    ]
    return {
        "filter": name,
        "documents": len(texts),
        "agreement": round(agreed / len(texts), 4),
        "differences": differences,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path, help="searched for *.jsonl with a column `text`")
    parser.add_argument("--json", type=Path, help="write the result there too")
    arguments = parser.parse_args()
    texts = [
        json.loads(line)["text"].strip()
        for path in sorted(arguments.folder.rglob("*.jsonl"))
        for line in path.open(encoding="utf-8")
    ]
    texts = [text for text in texts if text]
    rows = [compare(texts, *each) for each in FILTERS]
    for row in rows:
        print(f"{row['filter']}: {row['agreement']:.1%} of {row['documents']:,} documents")
        for one in row["differences"]:
            print(f"    {one['documents']:>6,}  ours {one['ours']:<34} theirs {one['theirs']}")
    if arguments.json:
        arguments.json.write_text(json.dumps({"datatrove": version("datatrove"), "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
