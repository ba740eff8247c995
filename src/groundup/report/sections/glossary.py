"""The terms that the page has linked, in a line each."""

import re

from groundup.report.glossary import TERMS, slug
from groundup.report.markup import Html, tag


def glossary(written: Html) -> Html | None:
    """The entries of the terms that `written` links to, in alphabetical order; None where it links to none."""
    linked = set(re.findall(r'href="#(term-[a-z0-9-]+)"', written))
    entries = [
        tag("div", tag("dt", name, id=slug(name)), tag("dd", meaning))
        for name, meaning in sorted(TERMS.items(), key=lambda one: one[0].lower())
        if slug(name) in linked
    ]
    return tag("dl", *entries, class_="glossary") if entries else None
