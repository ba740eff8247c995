"""What all tests use. That this file is here also puts its folder on the path, so that they can import `tiny`."""

import sys
from collections.abc import Iterator

import hypothesis
import pytest

hypothesis.settings.register_profile("groundup", deadline=None)  # other work may share the cores
hypothesis.settings.load_profile("groundup")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whole runs come first: a process that begins one of them last would have the other wait."""
    items.sort(key=lambda item: item.path.parent.name != "whole")


@pytest.fixture(autouse=True)
def denormal_numbers() -> Iterator[None]:
    """Stages make their process flush denormal numbers, and hypothesis refuses to draw floats where that is so."""
    yield
    if torch := sys.modules.get("torch"):
        torch.set_flush_denormal(False)
