"""The one way in which reading says that a document, a record or a file can't be had."""


class UnreadableError(Exception):
    """A document that can't be read; `rule` says why, in a word that the report counts by.

    Args:
        rule: `truncated`, `corrupt`, `too-large`, ...
        detail: what the reader said, for a person.
        value: what was measured, where the rule is a limit.
        threshold: the limit.
    """

    def __init__(self, rule: str, detail: str = "", value: float | None = None, threshold: float | None = None) -> None:
        super().__init__(detail or rule)
        self.rule, self.detail, self.value, self.threshold = rule, detail, value, threshold
