"""Keys and tokens, by the form that their issuers gave them so that they can be found."""

import regex

from groundup.corpus.redaction.span import Span

PEM_BYTES = 16_384  # of a private key that are looked at

_PEM = regex.compile(
    rb"-----BEGIN [A-Z0-9 ]{0,32}PRIVATE KEY(?: BLOCK)?-----(?:\s|\\[nr])*+"
    rb"(?:[A-Za-z-]{1,32}: [^\n]{0,128}\n|\s)*+"
    rb"(?:[A-Za-z0-9+/=]{20,}+(?:\s|\\[nr]|[\"'+,])*+)++[A-Za-z0-9+/=]*+(?:\s|\\[nr])*+"
    rb"(?:-----END [A-Z0-9 ]{0,32}PRIVATE KEY(?: BLOCK)?-----)?"
)
_TOKEN = regex.compile(
    rb"gh[pousr]_[A-Za-z0-9]{36,255}+"  # GitHub
    rb"|github_pat_[A-Za-z0-9]{22}_[A-Za-z0-9]{59}+"
    rb"|glpat-[A-Za-z0-9_-]{20,}+"  # GitLab
    rb"|npm_[A-Za-z0-9]{36}+"
    rb"|hf_[A-Za-z]{34}+"  # Hugging Face
    rb"|xox[abprs]-(?:\d{6,}-){1,3}[A-Za-z0-9]{16,}+"  # Slack
    rb"|[sr]k_(?:live|test)_[A-Za-z0-9]{24,}+|whsec_[A-Za-z0-9]{32,}+"  # Stripe
    rb"|dop_v1_[a-f0-9]{64}+"  # DigitalOcean
    rb"|shp(?:at|ss)_[a-fA-F0-9]{32}+"  # Shopify
    rb"|pypi-[A-Za-z0-9_-]{85,}+"
    rb"|xapp-\d-[A-Z0-9]{8,}-\d{8,}-[a-f0-9]{32,}+"  # Slack
    rb"|gsk_[A-Za-z0-9]{48,}+"  # Groq
    rb"|lin_api_[A-Za-z0-9]{40}+"  # Linear
    rb"|A[KS]IA[A-Z0-9]{16}+"  # AWS: names of keys
    rb"|AIza[A-Za-z0-9_-]{35}+"  # Google
    rb"|eyJ[A-Za-z0-9_-]{8,}+\.eyJ[A-Za-z0-9_-]{8,}+\.[A-Za-z0-9_-]{16,}+"  # JSON web tokens
)
_SK = regex.compile(rb"sk-[A-Za-z0-9_-]{32,}+")  # OpenAI, Anthropic and those who follow them
_AWS_SECRET = regex.compile(
    rb"(?i:secret_?access_?key)[\"']?\s{0,4}[=:]>?\s{0,4}[\"']?(?P<secret>[A-Za-z0-9/+]{40})(?![A-Za-z0-9/+=])"
)
_EXAMPLE = b"EXAMPLE"  # in the keys of AWS's own documentation


_PARAMETER = regex.compile(rb"[?&;][A-Za-z0-9_.-]{0,24}\Z")  # of an address, up to what is looked for
_VALUE = regex.compile(rb"(?:token|key|secret|password|signature|sig)=(?P<value>[A-Za-z0-9_.%+/-]{16,}+)")


def keys(piece: bytes, before: bytes, after: bytes) -> list[Span]:
    """The key that a piece begins with.

    Args:
        piece: from the key's first byte on, as far as the characters of tokens go.
        before: what is before it.
        after: what follows; of a private key all that could belong to it.
    """
    if piece.startswith(b"-----BEGIN"):
        found = _PEM.match(piece + after)
        return [("key", 0, len(found[0].rstrip()))] if found else []
    if piece[:3].lower() == b"sec":
        found = _AWS_SECRET.match(piece + after)
        return [("key", *found.span("secret"))] if found and _EXAMPLE not in found["secret"] else []
    if piece.find(b"=", 0, 10) >= 0:
        found = _VALUE.match(piece + after)
        in_address = found is not None and _PARAMETER.search(before) is not None
        return [("key", *found.span("value"))] if found and in_address and _is_random(found["value"]) else []
    found = _TOKEN.match(piece)
    if found is None:
        found = _SK.match(piece)
        return [("key", 0, found.end())] if found and _is_random(found[0][3:]) else []
    whole = not piece[found.end() : found.end() + 1].isalnum()
    return [("key", 0, found.end())] if whole and not found[0].endswith(_EXAMPLE) else []


def _is_random(text: bytes) -> bool:
    """Capitals, small letters and digits: what no name of a style or a file mixes over so many characters."""
    return (
        any(0x41 <= byte <= 0x5A for byte in text)
        and any(0x61 <= byte <= 0x7A for byte in text)
        and sum(0x30 <= byte <= 0x39 for byte in text) >= 3
    )
