"""Whether brokers answer, let us in, and can be reached where they say they are."""

from __future__ import annotations

from stream_lineage.doctor.check import Check, Status, fail, failed_by, ok, skipped, warn
from stream_lineage.doctor.network import reachable, shown
from stream_lineage.errors import KafkaRefused, StreamLineageError
from stream_lineage.wire.cluster_probe import Cluster, ClusterProbe
from stream_lineage.wire.kafka_security import CLIENT_ID
from stream_lineage.wire.settings import KafkaSettings

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_ADVERTISED = (
    "Brokers tell clients where to find them (advertised.listeners): make these addresses known here, or use a "
    "listener whose addresses are."
)
_OTHER_LISTENER = (
    "Check that this is Kafka, and kafka.security.protocol: a listener for another protocol hangs up without a word."
)


def check_brokers(
    probe: ClusterProbe, settings: KafkaSettings, *, connected: bool
) -> tuple[Cluster | None, list[Check]]:
    """The cluster, if it answers, and the checks ``brokers`` and ``security``.

    ``connected`` says that something listens at the addresses.
    """
    protocol = str(settings.kafka.get("security.protocol", "PLAINTEXT")).upper()
    try:
        cluster = probe.describe()
    except StreamLineageError as error:
        if isinstance(error, KafkaRefused):
            return None, [
                fail("brokers", "a broker was reached, but did not let us in", "See security, below."),
                failed_by("security", error),
            ]
        if connected:
            return None, [
                fail(
                    "brokers", f"something listens, but does not answer as a broker: {error.message}", _OTHER_LISTENER
                ),
                skipped("security", f"no broker has answered; the protocol was {protocol}"),
            ]
        return None, [
            failed_by("brokers", error),
            skipped("security", f"no broker has answered; the protocol would be {protocol}"),
        ]
    controller = f", controller {cluster.controller}" if cluster.controller is not None else ""
    nodes = ", ".join(shown(node) for node in cluster.brokers)
    brokers = ok("brokers", f"cluster {cluster.cluster_id or 'without id'}, brokers {nodes}{controller}")
    return cluster, [brokers, _security(protocol, settings)]


def check_advertised(cluster: Cluster, *, timeout_seconds: float) -> Check:
    """Whether the addresses that brokers give out can be reached: clients use those after the first answer."""
    found = reachable("advertised", cluster.brokers, timeout_seconds=timeout_seconds, mend=_ADVERTISED)
    if found.status is Status.WARN:  # the partitions that these brokers lead cannot be read
        return fail(found.name, found.detail, found.mend)
    return found


def _security(protocol: str, settings: KafkaSettings) -> Check:
    mechanism = str(settings.kafka.get("sasl.mechanisms") or settings.kafka.get("sasl.mechanism") or "")
    names = ("sasl.username", *CLIENT_ID)
    user = next((str(settings.kafka[name]) for name in names if name in settings.kafka), "")
    told = " ".join(part for part in (protocol, mechanism, f"as {user}" if user else "") if part)
    beyond = [shown(address) for address in settings.addresses if address[0] not in _LOOPBACK]
    if protocol == "SASL_PLAINTEXT" and mechanism in ("", "PLAIN", "OAUTHBEARER") and beyond:
        what = "token" if mechanism == "OAUTHBEARER" else "password"
        return warn("security", f"{told}: the {what} crosses the network unencrypted", "Use SASL_SSL.")
    return ok("security", told if protocol != "PLAINTEXT" else "PLAINTEXT: neither encrypted nor authenticated")
