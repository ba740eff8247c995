"""`tokenizer.json`, the file format of Hugging Face's `tokenizers` library.

A token's bytes are spelled there with one printable character per byte, GPT-2's table: printable bytes of Latin-1
stand for themselves, the other 68 take the characters from U+0100 on.
"""

import json
from pathlib import Path
from typing import Any

from groundup.artifacts.durable import write_text
from groundup.errors import GroundupError
from groundup.tokenizer.bpe import BYTES
from groundup.tokenizer.pretokenizer import PATTERNS, PatternName
from groundup.tokenizer.tokenizer import SPECIAL_TOKENS, Tokenizer


def _byte_characters() -> list[str]:
    """The character that spells each byte."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(BYTES) if byte not in printable]
    spelled = {byte: chr(byte) for byte in printable} | {byte: chr(0x100 + at) for at, byte in enumerate(others)}
    return [spelled[byte] for byte in range(BYTES)]


CHARACTERS = _byte_characters()


def spell(token: bytes) -> str:
    """A token as `tokenizer.json` writes it: `b" the"` as `Ġthe`."""
    return "".join(CHARACTERS[byte] for byte in token)


def document(tokenizer: Tokenizer) -> dict[str, Any]:
    """The content of `tokenizer.json`, as plain JSON types."""
    spelled = [spell(tokenizer.token_bytes(token)) for token in range(BYTES + len(tokenizer.merges))]
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False}
    split = {
        "type": "Split",
        "pattern": {"Regex": PATTERNS[tokenizer.pattern]},
        "behavior": "Isolated",
        "invert": False,
    }
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
            for content, token in tokenizer.special_ids.items()
        ],
        "normalizer": None,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [split, byte_level]},
        "post_processor": None,
        "decoder": byte_level,
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": {token: at for at, token in enumerate(spelled)},
            "merges": [[spelled[left], spelled[right]] for left, right in tokenizer.merges.tolist()],
        },
    }


def write(tokenizer: Tokenizer, path: Path) -> None:
    """Write `tokenizer.json`; the same tokenizer gives the same bytes."""
    write_text(path, json.dumps(document(tokenizer), ensure_ascii=False, indent=1) + "\n")


def read(path: Path) -> Tokenizer:
    """Read `tokenizer.json` as groundup writes it, also after the `tokenizers` library has saved it again.

    Raises:
        GroundupError: the file can't be read, or is another tokenizer; the message names what is missing or differs.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _refused(path, f"can't be read ({error})") from error
    if not isinstance(content, dict):
        raise _refused(path, "is not a tokenizer.json: it holds no JSON object")
    pattern = _pattern(content, path)
    vocabulary, merges = _field(content, "model.vocab", dict, path), _field(content, "model.merges", list, path)
    contents = [added.get("content") for added in _field(content, "added_tokens", list, path)]
    missing = [token for token in SPECIAL_TOKENS if token not in contents]
    if missing:
        raise _refused(path, f"is not a groundup tokenizer: the special token {', '.join(missing)} is missing")
    try:
        pairs = [(vocabulary[left], vocabulary[right]) for left, right in map(_pair, merges)]
        tokenizer = Tokenizer(pairs, pattern)
    except (KeyError, ValueError, TypeError) as error:
        raise _refused(path, f"is corrupt: its merges do not fit its vocabulary ({error})") from error
    _compare(content, document(tokenizer), path)
    return tokenizer


def _pattern(content: dict[str, Any], path: Path) -> PatternName:
    written = json.dumps(content.get("pre_tokenizer"))
    for name, pattern in PATTERNS.items():
        if json.dumps(pattern) in written:
            return name
    names = ", ".join(PATTERNS)
    raise _refused(path, f"is not a groundup tokenizer: its pre-tokenizer's pattern is none of {names}")


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


def _compare(found: dict[str, Any], expected: dict[str, Any], path: Path) -> None:
    """Whatever else would change the ids or the decoding must be as we would write it."""
    for name in ("normalizer", "pre_tokenizer", "decoder"):
        if found.get(name) != expected[name]:
            raise _refused(path, f"is not a groundup tokenizer: its {name} differs")
    if found["model"].get("type") != "BPE":
        raise _refused(path, f"is not a groundup tokenizer: its model is {found['model'].get('type')}, not BPE")
    for name in ("dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix"):
        if found["model"].get(name):
            raise _refused(path, f"is not a groundup tokenizer: its model sets {name}")
    specials = {content: at for at, content in ((one.get("id"), one.get("content")) for one in found["added_tokens"])}
    if specials != {one["content"]: one["id"] for one in expected["added_tokens"]}:
        raise _refused(path, "is not a groundup tokenizer: its added tokens are not the special tokens in their order")
    extra = {token: at for token, at in found["model"]["vocab"].items() if token not in specials}
    if extra != expected["model"]["vocab"]:
        raise _refused(path, "is corrupt: its vocabulary is not the 256 bytes and the merges, in their order")


def _refused(path: Path, what: str) -> GroundupError:
    return GroundupError(what, where=str(path), do="use the tokenizer.json that the stage tokenizer wrote")
