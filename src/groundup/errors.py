"""The one kind of error that a user is meant to read."""


class GroundupError(Exception):
    """Something that the person at the keyboard can fix: it is printed as one line, without a traceback.

    Args:
        what: what is wrong, as a sentence without a full stop.
        where: where it is wrong (``file:line:column``, a row, a document, a folder), if that is known.
        do: what to do about it.
    """

    def __init__(self, what: str, *, where: str | None = None, do: str | None = None) -> None:
        self.what, self.where, self.do = what, where, do
        super().__init__(str(self))

    def __str__(self) -> str:
        line = f"{self.where}: {self.what}" if self.where else self.what
        return f"{line}; {self.do}" if self.do else line
