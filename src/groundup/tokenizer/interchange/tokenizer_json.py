"""`tokenizer.json`, the file format of Hugging Face's `tokenizers` library.

Read are byte-level BPEs whose pre-tokenizer is one of groundup's patterns: groundup's own, GPT-2's, Llama 3's and the
like. What a file says beyond that must not change ids or text, else it is refused. A post-processor (Llama 3's adds
the token that begins a text) is skipped: ids are those of `encode(text, add_special_tokens=False)`. The normalizer NFC,
which Qwen's files have, is applied; a file that cuts or pads texts is refused, since ids are those of the whole text.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np

from groundup.artifacts.durable import write_text
from groundup.artifacts.json_files import read_json
from groundup.errors import GroundupError
from groundup.tokenizer.interchange.spelling import spell, unspell
from groundup.tokenizer.pretokenizer import PATTERNS, PatternName
from groundup.tokenizer.vocabulary import Vocabulary

DO = "use a tokenizer.json of a byte-level BPE, such as groundup writes"
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
        "normalizer": {"type": "NFC"} if vocabulary.nfc else None,
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
    content = read_json(path, do=DO)
    _check_kind(content, path)
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
            nfc=_is_nfc(content.get("normalizer"), path),
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
    for name in ("dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix", "byte_fallback"):
        if model.get(name):
            raise _refused(path, f"has a model with {name}")
    nfc = _is_nfc(content.get("normalizer"), path)
    for name, does in (("truncation", "cuts"), ("padding", "pads")):
        if content.get(name) is not None:
            raise _refused(path, f"has {name}, which {does} texts: set it to null to have the ids of the whole text")
    decoder = content.get("decoder")
    if not isinstance(decoder, dict) or decoder.get("type") != "ByteLevel":
        raise _refused(path, "has a decoder that is not the byte level's")
    for token in content["added_tokens"]:
        for name in ("single_word", "lstrip", "rstrip", *(["normalized"] if nfc else [])):
            if isinstance(token, dict) and token.get(name):
                raise _refused(path, f"has the added token {token.get('content')!r} with {name}")
    _pattern(content.get("pre_tokenizer"), path)


def _check_kind(content: dict[str, Any], path: Path) -> None:
    """Files that are valid but of another kind are named as what they are."""
    model = content.get("model")
    if not isinstance(model, dict):
        if content and all(isinstance(at, int) for at in content.values()):
            what = "is a list of tokens and ids, as GPT-2's vocab.json is: name the folder that also holds merges.txt"
        elif "tokenizer_class" in content or "added_tokens_decoder" in content:
            what = "is a tokenizer_config.json: name the tokenizer.json next to it"
        else:
            what = "is not a tokenizer.json: it has no model"
        raise _refused(path, what)
    kind, like = model.get("type", "BPE"), {"WordPiece": "BERT's", "Unigram": "T5's", "WordLevel": "older models'"}
    if kind != "BPE":
        known = f", as {like[kind]} tokenizers are" if kind in like else ""
        raise _refused(path, f"is a valid tokenizer.json of another kind, {kind}{known}; byte-level BPE is read")
    if model.get("byte_fallback"):
        raise _refused(path, "is a valid tokenizer.json of another kind, a BPE over characters as Llama 2 has")


def _is_nfc(normalizer: Any, path: Path) -> bool:
    """Whether texts are brought to normal form C; refuses every other normalizer."""
    match normalizer:
        case None | {"type": "Sequence", "normalizers": []}:
            return False
        case {"type": "NFC"} | {"type": "Sequence", "normalizers": [{"type": "NFC"}]}:
            return True
    kind = normalizer.get("type") if isinstance(normalizer, dict) else normalizer
    raise _refused(path, f"has the normalizer {kind}, which changes the text; NFC is applied, no other")


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
    return GroundupError(what, where=str(path), do=DO)
