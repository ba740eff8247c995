"""The `report:` section."""

from pydantic import Field

from groundup.section import Section


class ReportConfig(Section):
    """One self-contained HTML file and its figures as JSON."""

    title: str | None = None
    dropped_samples: int = Field(default=3, ge=0)
    """Samples shown of what each curation rule dropped."""
