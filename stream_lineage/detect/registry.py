"""All detectors by name. A detector is here or it does not run."""

from __future__ import annotations

from stream_lineage.detect.data_loss import DataLoss
from stream_lineage.detect.detector import Detector
from stream_lineage.detect.payload_structure import PayloadStructure
from stream_lineage.detect.schema_drift import SchemaDrift

RESERVED = (
    "registry-watch",
    "window",
    "frozen",
    "baseline",
    "training",
    "pushed",
    "pushed-offset",
    "journal",
    "group",
    "edges",
    "edges-offset",
)
"""Names under which something else than a detector of observations keeps its states."""


def detectors() -> dict[str, Detector]:
    """The detectors, in the order in which they see an observation."""
    every: tuple[Detector, ...] = (SchemaDrift(), PayloadStructure(), DataLoss())
    return {detector.name: detector for detector in every}
