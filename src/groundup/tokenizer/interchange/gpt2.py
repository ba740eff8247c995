"""GPT-2's two files: a vocabulary (token -> id, JSON) and a list of merges, one a line.

OpenAI calls them `encoder.json` and `vocab.bpe`, Hugging Face `vocab.json` and `merges.txt`. Neither says which
pre-tokenizer's pattern belongs to them, nor which tokens are special: a token that no merge makes and that is not a
byte is taken for a special one, as GPT-2's `<|endoftext|>` is.
"""

import json
from pathlib import Path

import numpy as np

from groundup.artifacts.durable import write_text
from groundup.errors import GroundupError
from groundup.tokenizer.interchange.spelling import spell, unspell
from groundup.tokenizer.pretokenizer import PatternName
from groundup.tokenizer.tokenizer import Tokenizer
from groundup.tokenizer.vocabulary import Vocabulary

FILES = (("encoder.json", "vocab.bpe"), ("vocab.json", "merges.txt"))
_DO = "name the folder of a byte-level BPE's two files"


def read_gpt2(folder: Path, pattern: PatternName = "gpt2") -> Tokenizer:
    """The tokenizer whose two files lie in `folder`, under either pair of names.

    Args:
        pattern: the pre-tokenizer's pattern that the tokenizer was trained with.

    Raises:
        GroundupError: the files are not there, can't be read, or do not belong together.
    """
    for names in FILES:
        vocabulary, merges = (folder / name for name in names)
        if vocabulary.is_file() and merges.is_file():
            return _read(vocabulary, merges, pattern)
    raise GroundupError(
        f"holds neither {' and '.join(FILES[0])} nor {' and '.join(FILES[1])}", where=str(folder), do=_DO
    )


def write_gpt2(tokenizer: Tokenizer, folder: Path) -> None:
    """Write `vocab.json` and `merges.txt`; the same tokenizer gives the same bytes.

    Raises:
        GroundupError: a word that is a token would be cut by the merges, which the files can't say.
    """
    vocabulary = tokenizer.vocabulary
    if vocabulary.nfc:
        raise GroundupError("brings texts to Unicode's normal form C, which GPT-2's files can't say")
    if vocabulary.whole_words:
        raise GroundupError("has words that are tokens whatever the merges say, which GPT-2's files can't hold")
    spelled = {token: spell(vocabulary.tokens[token]) for token in vocabulary.tokens}
    ids = {text: token for token, text in spelled.items()} | dict(vocabulary.special)
    folder.mkdir(parents=True, exist_ok=True)
    write_text(
        folder / "vocab.json", json.dumps(dict(sorted(ids.items(), key=lambda item: item[1])), ensure_ascii=False)
    )
    lines = [f"{spelled[left]} {spelled[right]}\n" for left, right in vocabulary.merges.tolist()]
    write_text(folder / "merges.txt", "".join(["#version: 0.2\n", *lines]))


def _read(vocabulary: Path, merges: Path, pattern: PatternName) -> Tokenizer:
    try:
        ids = json.loads(vocabulary.read_text(encoding="utf-8"))
        lines = merges.read_text(encoding="utf-8").split("\n")
    except (OSError, ValueError) as error:
        raise GroundupError(f"can't be read ({error})", where=str(vocabulary.parent), do=_DO) from error
    if not isinstance(ids, dict) or not all(isinstance(at, int) for at in ids.values()):
        raise GroundupError("holds no tokens and their ids", where=str(vocabulary), do=_DO)
    pairs = []
    for number, line in enumerate(lines, 1):
        if not line or line.startswith("#version"):
            continue
        parts = line.split(" ")
        if len(parts) != 2 or parts[0] not in ids or parts[1] not in ids or "".join(parts) not in ids:
            raise GroundupError(
                f"is no merge of two tokens of {vocabulary.name}: {line[:40]!r}", where=f"{merges}:{number}", do=_DO
            )
        pairs.append((parts[0], parts[1]))
    made = {left + right for left, right in pairs}
    special = {token: at for token, at in ids.items() if len(token) > 1 and token not in made}
    try:
        return Tokenizer(
            Vocabulary(
                {at: unspell(token) for token, at in ids.items() if token not in special},
                np.array([(ids[left], ids[right]) for left, right in pairs], dtype=np.int32).reshape(-1, 2),
                special,
                pattern,
            )
        )
    except ValueError as error:
        raise GroundupError(
            f"its two files do not fit together ({error})", where=str(vocabulary.parent), do=_DO
        ) from error
