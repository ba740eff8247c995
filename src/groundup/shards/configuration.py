"""The `tokens:` section."""

from groundup.section import Section


class TokensConfig(Section):
    """The documents as one memory-mapped row of token ids per split. Nothing to set yet but notes."""
