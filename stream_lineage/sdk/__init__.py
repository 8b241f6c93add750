"""For applications: Kafka clients that write down which records a record was made from, transformations that say what
they did, and checks at inference time.

What is here never raises an exception of its own into the application's code and never waits for anything, but for
``lineage_manifest``, which says what it cannot do.
"""

from stream_lineage.errors import InputMismatch
from stream_lineage.sdk.consumer import LineageConsumer, LineageDeserializingConsumer
from stream_lineage.sdk.declare import declare_lineage, send_declarations
from stream_lineage.sdk.lineage import AUTOMATIC, Counts, Lineage, Window
from stream_lineage.sdk.manifest import InputReport, Manifest, verify_input
from stream_lineage.sdk.model_manifest import data_hash, lineage_manifest, log_to_mlflow
from stream_lineage.sdk.parents import Parent
from stream_lineage.sdk.producer import LineageProducer, LineageSerializingProducer
from stream_lineage.sdk.provenance import MessageProvenance, provenance_of
from stream_lineage.sdk.run_sender import RunCounts, run_counts
from stream_lineage.sdk.runs import Run, current_run, run
from stream_lineage.sdk.telling import send_runs
from stream_lineage.sdk.transform import track_lineage, transform_lineage

__all__ = [
    "AUTOMATIC",
    "Counts",
    "InputMismatch",
    "InputReport",
    "Lineage",
    "LineageConsumer",
    "LineageDeserializingConsumer",
    "LineageProducer",
    "LineageSerializingProducer",
    "Manifest",
    "MessageProvenance",
    "Parent",
    "Run",
    "RunCounts",
    "Window",
    "current_run",
    "data_hash",
    "declare_lineage",
    "lineage_manifest",
    "log_to_mlflow",
    "provenance_of",
    "run",
    "run_counts",
    "send_declarations",
    "send_runs",
    "track_lineage",
    "transform_lineage",
    "verify_input",
]
