"""Telephone numbers: whole runs of digit groups that are written as such, or that a word announces as one.

Numbers are many and telephones few, so a run must have a form that hardly anything else has: a plus sign and a country,
North America's 3-3-4 with its hyphens, dots or brackets, Europe's leading zero; or follow `Tel:` and its kin.
Years, dates, ISBNs and sums have none of these.
"""

import regex

from groundup.corpus.redaction.span import Span

_INTERNATIONAL = regex.compile(rb"\+[1-9]\d{0,2}(?:[ .-]?\(0?\d{0,4}\))?+(?:(?:[ .-]|\xc2\xa0)?\d{1,12}){1,7}+")
_DOUBLE_ZERO = regex.compile(rb"00[ -]?[1-9]\d{0,2}(?:[ .-]\(?0?\d{1,5}\)?)(?:[ .-]\d{2,8}){1,5}+")
# Of a number with a slash after the area, what is before the slash: Germany's, Austria's and Switzerland's way.
_AREA = regex.compile(rb"(?<![\d/.,-])(?:(?:\+|00)[1-9]\d{0,2}[ -]?)?\(?0?[1-9]\d{1,4}\)? ?/ ?\Z")
_AMERICAN = regex.compile(
    rb"(?:1[ .-])?(?:\([2-9]\d{2}\)[ -]?|[2-9]\d{2}(?P<gap>[.-])|[2-9]\d{2} (?=\d{3}-))"
    rb"[2-9]\d{2}(?(gap)(?P=gap)|[ .-])\d{4}"
)
_LEADING_ZERO = regex.compile(
    rb"0[1-9](?P<gap>[ .])\d{2}(?:(?P=gap)\d{2}){3}"  # French
    rb"|\(?0[1-9]\d{1,3}\)?[ -]\d{3,4}[ -]\d{3,4}|\(?0[1-9]\d{3}\)?[ -]\d{6}"  # British, and many others
)
_ANNOUNCED = regex.compile(
    rb"(?i)\b(?:tel|telephone|phone|ph|telefon|telefax|telefono|t\xc3\xa9l|t\xc3\xa9l\xc3\xa9phone|tel\xc3\xa9fono|"
    rb"fax|mobile|mobil|whatsapp|hotline)s?(?: ?(?:number|no|nr|is|us|at))?[\s.:#-]{0,5}\Z"
)
_OTHER_NUMBER = regex.compile(rb"(?i)\b(?:isbn|issn|ean|doi|asin|oclc|lccn|pmid|arxiv|patent|no)[-:.#\s\d]{0,12}\Z")
_YEARS = regex.compile(
    rb"(?:1[5-9]|20)\d\d[ -]{1,2}(?:1[5-9]|20)\d\d(?:[ -]{1,2}\d{1,4})?"
    rb"|(?:1[5-9]|20)\d\d[-. ][01]?\d[-. ][0-3]?\d(?!\d).*|[0-3]?\d[-. ][01]?\d[-. ](?:1[5-9]|20)\d\d(?!\d).*",
    regex.DOTALL,
)
_MOST_DIGITS = 15  # ITU-T E.164
_NOT_BEFORE = b"/=#$_-.%&\xa3\xac\xa5"  # of the last three, the pound, euro and yen signs end with these bytes


def phones(piece: bytes, before: bytes, after: bytes, digits: int) -> list[Span]:
    """The telephone number that a run of digit groups is, where it is one."""
    following = after[:2]
    if following[:1].isalpha() or following[:1] in (b"_", b"%"):
        return []
    if following[:1] in (b"-", b".", b"/") and following[1:].isdigit():
        return []
    first = 1 if piece[:1] == b"(" and piece.count(b"(") > piece.count(b")") else 0  # of a remark in brackets
    found: list[Span] = [("phone", first, len(piece))]
    if digits <= _MOST_DIGITS and _ANNOUNCED.search(before) and not _YEARS.fullmatch(piece):
        return found
    area = _AREA.search(before)
    if area is not None and area[0].lstrip(b"(")[:1] in (b"0", b"+") and digits <= 10 and b"." not in piece:
        return [("phone", -len(area[0]), len(piece))]
    last = before[-1:]
    if (last and (last.isalnum() or last in _NOT_BEFORE)) or _OTHER_NUMBER.search(before):
        return []
    if piece[first : first + 1] == b"+":
        # A plus and few digits without a gap are a term of a sum.
        spread = digits >= 10 or len(piece) - first > digits + 1
        if 8 <= digits <= _MOST_DIGITS and spread and _INTERNATIONAL.fullmatch(piece, first):
            return found
    elif piece[first : first + 2] == b"00":
        if 10 <= digits <= _MOST_DIGITS + 2 and _DOUBLE_ZERO.fullmatch(piece, first):
            return found
    elif _AMERICAN.fullmatch(piece, first) or _LEADING_ZERO.fullmatch(piece, first):
        return found
    return []
