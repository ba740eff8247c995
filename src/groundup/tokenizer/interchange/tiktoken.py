"""tiktoken's rank format: a line per token, its bytes in base64 and its rank, which is also its id.

There are no merges in it; `ranks.py` finds them. A word that is a token becomes it at once, whatever its parts are. The
file says neither the pattern nor the special tokens; its reader must.
"""

import base64
import binascii
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from groundup.artifacts.durable import write_text
from groundup.errors import GroundupError
from groundup.tokenizer.interchange.ranks import merges_of_ranks
from groundup.tokenizer.pretokenizer import PatternName
from groundup.tokenizer.tokenizer import Tokenizer
from groundup.tokenizer.vocabulary import Vocabulary

_DO = "name a file of tiktoken's ranks"


def read_tiktoken(path: Path, pattern: PatternName, special: Mapping[str, int]) -> Tokenizer:
    """The tokenizer of a file of ranks; ids equal those of `tiktoken.Encoding` with the same pattern.

    Args:
        pattern: the pre-tokenizer's pattern: `gpt2` for GPT-2's ranks, `llama3` for cl100k's and Llama 3's.
        special: text and id of each special token.

    Raises:
        GroundupError: the file can't be read, is corrupt, or its ids and those of `special` overlap.
    """
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise GroundupError(f"can't be read ({error})", where=str(path), do=_DO) from error
    ranks: dict[int, bytes] = {}
    for number, line in enumerate(lines, 1):
        if not line:
            continue
        try:
            token, rank = line.split()
            at = int(rank)
            if at in ranks or at < 0:
                raise ValueError
            ranks[at] = base64.b64decode(token, validate=True)
        except (ValueError, binascii.Error) as error:
            raise GroundupError(f"is no token and new rank: {line[:40]!r}", where=f"{path}:{number}", do=_DO) from error
    try:
        return Tokenizer(Vocabulary(ranks, merges_of_ranks(ranks), dict(special), pattern, whole_words=True))
    except ValueError as error:
        raise GroundupError(f"is corrupt ({error})", where=str(path), do=_DO) from error


def write_tiktoken(tokenizer: Tokenizer, path: Path) -> None:
    """Write the ranks; without special tokens.

    Raises:
        GroundupError: the ids are not in the order of the merges, so that they can't be ranks.
    """
    vocabulary = tokenizer.vocabulary
    in_order = bool((np.diff(vocabulary.made) > 0).all())
    if not in_order or not np.array_equal(merges_of_ranks(vocabulary.tokens), vocabulary.merges):
        raise GroundupError("has ids that are not in the order of its merges, so that they can't be tiktoken's ranks")
    lines = [f"{base64.b64encode(vocabulary.tokens[at]).decode()} {at}\n" for at in sorted(vocabulary.tokens)]
    write_text(path, "".join(lines))
