"""Every value of a blueprint with where it came from, for `groundup blueprint show --resolved`."""

from groundup.blueprint.load import Leaf, LoadedBlueprint


def resolved(loaded: LoadedBlueprint) -> list[tuple[str, Leaf, str]]:
    """`(path, value, origin)` of every value, in the order of the file; see `LoadedBlueprint.origin`."""
    return [(path, value, loaded.origin(path)) for path, value in loaded.leaves()]
