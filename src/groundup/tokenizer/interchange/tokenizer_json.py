"""`tokenizer.json`, the file format of Hugging Face's `tokenizers` library.

Read are byte-level BPEs whose pre-tokenizer is one of groundup's patterns: groundup's own, GPT-2's, Llama 3's and the
like. What a file says beyond that must not change ids or text, else it is refused. A post-processor (Llama 3's adds
the token that begins a text) is skipped: ids are those of `encode(text, add_special_tokens=False)`.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np

from groundup.artifacts.durable import write_text
from groundup.errors import GroundupError
from groundup.tokenizer.interchange.spelling import spell, unspell
from groundup.tokenizer.pretokenizer import PATTERNS, PatternName
from groundup.tokenizer.vocabulary import Vocabulary

BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False}


def document(vocabulary: Vocabulary) -> dict[str, Any]:
    """The content of `tokenizer.json`, as plain JSON types."""
    spelled = {token: spell(vocabulary.tokens[token]) for token in sorted(vocabulary.tokens)}
    split = {
        "type": "Split",
        "pattern": {"Regex": PATTERNS[vocabulary.pattern]},
        "behavior": "Isolated",
        "invert": False,
    }
    # The library numbers added tokens by itself, one after the other from the vocabulary's size on. Those that have
    # another id must also be in the vocabulary.
    special = sorted(vocabulary.special.items(), key=lambda item: item[1])
    named = dict(special) if [at for _, at in special] != list(range(len(spelled), len(spelled) + len(special))) else {}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {
                "id": token,
                "content": content,
                "single_word": False,
                "lstrip": False,
                "rstrip": False,
                "normalized": False,
                "special": True,
            }
            for content, token in special
        ],
        "normalizer": None,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [split, BYTE_LEVEL]},
        "post_processor": None,
        "decoder": BYTE_LEVEL,
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": vocabulary.whole_words,
            "vocab": {token: at for at, token in spelled.items()} | named,
            "merges": [[spelled[left], spelled[right]] for left, right in vocabulary.merges.tolist()],
        },
    }


def write(vocabulary: Vocabulary, path: Path) -> None:
    """Write `tokenizer.json`; the same vocabulary gives the same bytes."""
    write_text(path, json.dumps(document(vocabulary), ensure_ascii=False, indent=1) + "\n")


def read(path: Path) -> Vocabulary:
    """Read the vocabulary of a `tokenizer.json`.

    Raises:
        GroundupError: the file can't be read, is corrupt, or would give other ids or texts here than there; the
            message names what is missing or differs.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _refused(path, f"can't be read ({error})") from error
    if not isinstance(content, dict):
        raise _refused(path, "is not a tokenizer.json: it holds no JSON object")
    spelled, merges = _field(content, "model.vocab", dict, path), _field(content, "model.merges", list, path)
    added = _field(content, "added_tokens", list, path)
    _check(content, path)
    try:
        special = {token["content"]: int(token["id"]) for token in added}
        tokens = {int(at): unspell(token) for token, at in spelled.items() if token not in special}
        ids = {token: at for token, at in spelled.items() if token not in special}
        pairs = [(ids[left], ids[right]) for left, right in map(_pair, merges)]
        if any(spelled.get(token, at) != at for token, at in special.items()):
            raise ValueError("an added token has two ids")
        return Vocabulary(
            tokens,
            np.array(pairs, dtype=np.int32).reshape(-1, 2),
            special,
            _pattern(content["pre_tokenizer"], path),
            whole_words=bool(content["model"].get("ignore_merges")),
        )
    except (KeyError, ValueError, TypeError) as error:
        raise _refused(path, f"is corrupt: its merges do not fit its vocabulary ({error})") from error


def _pattern(pre_tokenizer: Any, path: Path) -> PatternName:
    """The pattern of `ByteLevel` by itself, or of `Split` before it."""
    steps = [pre_tokenizer]
    if isinstance(pre_tokenizer, dict) and pre_tokenizer.get("type") == "Sequence":
        steps = pre_tokenizer.get("pretokenizers") or []
    match steps:
        case [{"type": "ByteLevel", "add_prefix_space": False, **rest}] if rest.get("use_regex", True):
            return "gpt2"
        case [
            {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False},
            {"type": "ByteLevel", "add_prefix_space": False, "use_regex": False},
        ]:
            for name, known in PATTERNS.items():
                if pattern == known:
                    return name
            raise _refused(path, f"has a pre-tokenizer's pattern that is none of {', '.join(PATTERNS)}")
    raise _refused(path, "has a pre-tokenizer that is not a pattern and the byte level")


def _check(content: dict[str, Any], path: Path) -> None:
    """Whatever else would change ids or text must be absent."""
    model = content["model"]
    if model.get("type") != "BPE":
        raise _refused(path, f"holds a {model.get('type')} model, not BPE")
    for name in ("dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix", "byte_fallback"):
        if model.get(name):
            raise _refused(path, f"has a model with {name}")
    if content.get("normalizer") is not None:
        raise _refused(path, "has a normalizer, which changes the text")
    decoder = content.get("decoder")
    if not isinstance(decoder, dict) or decoder.get("type") != "ByteLevel":
        raise _refused(path, "has a decoder that is not the byte level's")
    for token in content["added_tokens"]:
        for name in ("single_word", "lstrip", "rstrip"):
            if isinstance(token, dict) and token.get(name):
                raise _refused(path, f"has the added token {token.get('content')!r} with {name}")
    _pattern(content.get("pre_tokenizer"), path)


def _field(content: dict[str, Any], name: str, kind: type, path: Path) -> Any:
    value: Any = content
    for key in name.split("."):
        value = value.get(key) if isinstance(value, dict) else None
    if not isinstance(value, kind):
        raise _refused(path, f"is not a tokenizer.json of a BPE: {name} is missing")
    return value


def _pair(merge: Any) -> tuple[str, str]:
    left, right = merge.split(" ") if isinstance(merge, str) else merge  # older files write `left right`
    return left, right


def _refused(path: Path, what: str) -> GroundupError:
    return GroundupError(what, where=str(path), do="use a tokenizer.json of a byte-level BPE, such as groundup writes")
