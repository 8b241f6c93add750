"""Every error that stream_lineage raises on purpose.

    StreamLineageError
    ├── SettingsError            a setting is unknown, missing or out of range
    ├── ConnectionFailed         a broker, registry or store did not answer; says which and how to mend it
    │   ├── KafkaUnavailable
    │   │   └── KafkaRefused     a broker or token endpoint answered and did not let us in
    │   └── RegistryUnavailable
    ├── NotFound                 the topic, partition, offset, schema or file asked for is not there
    │   └── UnknownSchema        the registry does not know this id (an answer, not an outage)
    ├── DecodeError              bytes are not what their schema says
    ├── SchemaError              a schema cannot be parsed or is not supported
    ├── WorkerLost               the decode worker died or ran past its deadline
    ├── Unreadable               a partition of a topic cannot be read on
    ├── ProvenanceError          the log contradicts itself
    ├── InputMismatch            a record is not what the model was trained on, and the caller wants to be stopped
    ├── IndexUnusable            the provenance index is damaged, of a later version, or cannot be opened
    │   └── IndexBusy            another process writes to it
    ├── GroupBusy                a consumer group has members, so that its offsets cannot be changed
    ├── Fenced                   another member owns this partition or transactional id now
    └── SandboxError             the embedded Kafka or registry could not be started

Vendor exceptions (confluent_kafka, httpx, sqlite3, ...) are translated where the vendor is called and do not cross a
package border.
"""

from __future__ import annotations


class StreamLineageError(Exception):
    """Base of all errors. ``hint`` is one sentence that says what to do about it."""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class SettingsError(StreamLineageError):
    """A setting is unknown, missing or out of range."""


class ConnectionFailed(StreamLineageError):
    """Something that we depend on did not answer."""


class KafkaUnavailable(ConnectionFailed):
    """No broker answered, or it refused us."""


class KafkaRefused(KafkaUnavailable):
    """Something answered and did not let us in, or is not what we took it for."""


class RegistryUnavailable(ConnectionFailed):
    """The schema registry did not answer, answered with an error, or with something that is no answer."""


class NotFound(StreamLineageError):
    """What was asked for does not exist."""


class UnknownSchema(NotFound):
    """The registry answered: it does not know this schema."""


class DecodeError(StreamLineageError):
    """Bytes are not what their schema says they are."""


class SchemaError(StreamLineageError):
    """A schema cannot be parsed, or uses something that is not supported."""


class WorkerLost(StreamLineageError):
    """The decode worker died or ran past its deadline."""


class Unreadable(StreamLineageError):
    """A partition cannot be read from some offset on."""


class ProvenanceError(StreamLineageError):
    """The provenance log contradicts itself."""


class IndexUnusable(StreamLineageError):
    """The provenance index is damaged, of a later version, or cannot be opened."""


class Overloaded(StreamLineageError):
    """Too many ask at once."""


class IndexBusy(IndexUnusable):
    """Another process writes to the provenance index."""


class GroupBusy(StreamLineageError):
    """A consumer group has members: nobody but they may change its offsets."""


class Fenced(StreamLineageError):
    """Another member owns this partition or transactional id now."""


class SandboxError(StreamLineageError):
    """The embedded Kafka or registry could not be started."""


class InputMismatch(StreamLineageError):
    """A record is not what a model was trained on."""
