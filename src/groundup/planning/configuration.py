"""The `scale:` section: the ladder of small models that `groundup scale` trains."""

from typing import Annotated

from pydantic import Field

from groundup.section import Section

Size = Annotated[str, Field(pattern=r"^\d{1,6}(\.\d{1,6})?[KMBkmb]$", examples=["4M", "124M", "1.5B"])]


class ScaleConfig(Section):
    """Several sizes, each trained at several compute budgets, and one larger model that tests the prediction.

    >>> ScaleConfig(sizes=("300K", "600K", "1M")).budgets
    3
    """

    flops: float | None = Field(default=None, gt=0)
    """Of all the ladder's models together; null: a fifth of what pretraining takes."""
    sizes: Annotated[tuple[Size, ...], Field(min_length=3)] | None = None
    """About how many parameters the models have, the smallest first; the largest one is the held-out model, trained at
    twice the largest budget. null: five that are compute-optimal at about such budgets."""
    budgets: int = Field(default=3, ge=2, le=8)
    """Compute budgets, each twice the one before."""
    bootstrap: int = Field(default=100, ge=20)
    """Fits from which the intervals are drawn, for each of five seeds."""
