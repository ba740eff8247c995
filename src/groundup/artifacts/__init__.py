"""Artifacts: folders with a manifest of digests, published whole or not at all, and never changed after."""

from groundup.artifacts.key import StageKey
from groundup.artifacts.manifest import Artifact, Manifest, Measured
from groundup.artifacts.metrics import MetricsLog, read_metrics
from groundup.artifacts.outside import Digests
from groundup.artifacts.store import Store
from groundup.artifacts.work import Figures, Work

__all__ = [
    "Artifact",
    "Digests",
    "Figures",
    "Manifest",
    "Measured",
    "MetricsLog",
    "StageKey",
    "Store",
    "Work",
    "read_metrics",
]
