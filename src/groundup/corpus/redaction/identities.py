"""Numbers by which a state knows a person, each a kind of its own."""

import regex

from groundup.corpus.redaction.span import Span

# Areas 000, 666 and 900 to 999, group 00 and serial 0000 are never given out (ssa.gov).
_SSN = regex.compile(rb"(?!000|666|9)\d{3}(?P<gap>[- ]?)(?!00)\d{2}(?P=gap)(?!0000)\d{4}")
_NEVER = (b"078-05-1120", b"219-09-9999")  # printed in advertisements
_ANNOUNCED = regex.compile(rb"(?i)\b(?:ssn|social[ -]security(?:[ -](?:number|no))?)[\s.:#-]{0,5}(?:is )?\Z")
_NINO = regex.compile(
    rb"(?!BG|GB|KN|NK|NT|TN|ZZ)[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z](?P<first>[ -]?)"
    rb"\d{2}(?P<gap>[ -]?)\d{2}(?P=gap)\d{2}(?P<last>[ -]?)[A-D]"
)
_NINO_ANNOUNCED = regex.compile(
    rb"(?i)\b(?:nino|ni[ -](?:number|no|nr)|national[ -]insurance(?:[ -](?:number|no))?)[\s.:#-]{0,5}(?:is )?\Z"
)


def social_security(piece: bytes, before: bytes, after: bytes) -> list[Span]:
    """A US number: with hyphens it has a form of its own; without, a word must announce it."""
    first = piece.startswith(b"(")
    found = _SSN.fullmatch(piece, first)
    if found is None or found[0] in _NEVER or after[:1].isalnum() or after[:1] in (b"-", b"/", b"_"):
        return []
    announced = _ANNOUNCED.search(before) is not None
    last = before[-1:]
    apart = not last.isalnum() and last not in (b"-", b"/", b".", b"_", b"#", b"=")
    return [("ssn", int(first), len(piece))] if announced or (found["gap"] == b"-" and apart) else []


def national_insurance(piece: bytes, before: bytes) -> list[Span]:
    """A British number, at the beginning of a piece: in one word or in pairs; other groups must be announced."""
    found = _NINO.match(piece)
    if found is None or piece[found.end() : found.end() + 1].isalnum():
        return []
    gaps = found["first"], found["gap"], found["last"]
    row_of_numbers = piece[found.end() : found.end() + 1] == b" " and piece[found.end() + 1 : found.end() + 2].isdigit()
    usual = gaps == (b"", b"", b"") or (gaps == (b" ", b" ", b" ") and not row_of_numbers)
    return [("nino", 0, found.end())] if usual or _NINO_ANNOUNCED.search(before) else []
