"""For applications: Kafka clients that write down which records a record was made from, and checks at inference time.

What is here never raises an exception of its own into the application's code and never waits for anything.
"""

from stream_lineage.errors import InputMismatch
from stream_lineage.sdk.consumer import LineageConsumer, LineageDeserializingConsumer
from stream_lineage.sdk.declare import declare_lineage, send_declarations
from stream_lineage.sdk.lineage import AUTOMATIC, Counts, Lineage, Window
from stream_lineage.sdk.manifest import InputReport, Manifest, verify_input
from stream_lineage.sdk.parents import Parent
from stream_lineage.sdk.producer import LineageProducer, LineageSerializingProducer
from stream_lineage.sdk.provenance import MessageProvenance, provenance_of

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
    "Window",
    "declare_lineage",
    "provenance_of",
    "send_declarations",
    "verify_input",
]
