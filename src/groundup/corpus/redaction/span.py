"""What a check finds."""

from groundup.corpus.redaction.configuration import Kind

Span = tuple[Kind, int, int]
"""Kind, start and end in the candidate."""
