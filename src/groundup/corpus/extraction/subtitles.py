"""Subtitles (SRT, WebVTT) and translations (gettext) to text.

1                                    She came home.
00:01.000 --> 00:03.000        ->    It was late.
<i>She came home.</i>
"""

import re

_TIMES = re.compile(r"\s*[\d:.,]{5,16}\s*-->")
_TAG = re.compile(r"</?[a-zA-Z][^<>]*>|<[\d:.]+>|\{\\[^{}]*\}")
_PO_STRING = re.compile(r'(?:(?P<key>msgid|msgid_plural|msgstr|msgctxt)(?:\[\d+\])?[ \t]+)?"(?P<text>.*)"[ \t]*$')
_PO_ESCAPES = {"n": "\n", "t": "\t", '"': '"', "\\": "\\"}
_PO_ESCAPE = re.compile(r"\\(.)")


def read_subtitles(text: str) -> tuple[str, str]:
    """`("", text)`: a line for each cue, without numbers, times, tags, notes and styles."""
    cues: list[str] = []
    for block in text.split("\n\n"):
        lines = [line.strip() for line in block.strip().split("\n")]
        at = next((at for at, line in enumerate(lines) if _TIMES.match(line)), -1)
        if at >= 0:
            cues.append(" ".join(filter(None, (_TAG.sub("", line).strip() for line in lines[at + 1 :]))))
    return "", "\n".join(filter(None, cues))


def read_gettext(text: str) -> tuple[str, str]:
    """`("", text)`: each message in its translation, and untranslated where it has none, as a paragraph."""
    said: list[str] = []
    entry: dict[str, str] = {}
    key = ""
    for line in [*text.split("\n"), ""]:
        if line.startswith("#"):
            continue
        found = _PO_STRING.match(line.strip())
        if found is None or (found["key"] in ("msgid", "msgctxt") and "msgstr" in entry):
            if entry.get("msgid"):
                said.append(entry.get("msgstr") or entry["msgid"])
            entry = {}
        if found:
            if found["key"]:
                key = found["key"] if found["key"] not in entry else ""  # the first of several plural forms
            if key:
                entry[key] = entry.get(key, "") + _PO_ESCAPE.sub(_escape, found["text"])
    return "", "\n\n".join(said)


def _escape(match: re.Match[str]) -> str:
    return _PO_ESCAPES.get(match[1], match[0])
