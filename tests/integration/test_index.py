"""If this failed, the provenance index would say something else than the log that it is made from, or lose it."""

from __future__ import annotations

import io
import json
import sqlite3
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from collecting import CLICK, CLICK_2, Acknowledged, Answer, Lab, eventually
from confluent_kafka import Producer, TopicCollection, TopicPartition
from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource, NewTopic
from path_checks import settings_of

from stream_lineage import indexing
from stream_lineage.cli.index import FEEDS
from stream_lineage.cli.main import run
from stream_lineage.errors import IndexBusy
from stream_lineage.graph.codec import encode_event, message_key
from stream_lineage.graph.graph import Graph
from stream_lineage.graph.picture import document, whole
from stream_lineage.graphing import known_graph, lineage_graph
from stream_lineage.index.file import sole_writer
from stream_lineage.model.graph import Evidence, EvidenceClass, GraphEdge, GraphEvent, Node, NodeKind
from stream_lineage.model.record_edge import EdgeBatch, ParentRange, RecordEdge
from stream_lineage.provenance.edge_codec import encode_edges
from stream_lineage.searching import has_value

pytestmark = pytest.mark.kafka

ALERT = {
    "kind": "mean", "severity": "critical", "phase": "open", "score": 0.9, "summary": "clicks: amount is far off",
    "field_path": "amount", "job": None, "before": None, "after": None, "compatibility": None, "changes": [],
    "last_offsets": {}, "downstream": [], "fingerprint": "f" * 32, "observed_at": "2026-03-01T12:00:00.000Z",
    "url": "http://localhost/",
}  # fmt: skip


def asked(lab: Lab, *arguments: str) -> Answer:
    """A command as somebody types it, in this process: that takes a tenth of the time of one of its own."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = run([*arguments, *lab.flags()])
    return Answer(code, out.getvalue(), err.getvalue())


def index(lab: Lab, *arguments: str) -> Any:
    answer = asked(lab, "index", *arguments, "--state-dir", str(lab.directory / "state"), "--output", "json")
    assert answer.code == 0, answer.err
    return answer.json


def trace(lab: Lab, *arguments: str) -> Answer:
    return asked(lab, "trace", *arguments, "--state-dir", str(lab.directory / "state"))


def send_edges(lab: Lab, topic: str, edges: Iterable[RecordEdge], topic_id: str | None = None) -> None:
    batch = EdgeBatch("b", lab.bootstrap_servers, topic, topic_id, "c", datetime.now(UTC), tuple(edges))
    producer = lab.producer()
    producer.produce(f"{lab.prefix}edges", encode_edges(batch), key=topic.encode())
    assert producer.flush(30) == 0


def logical(lab: Lab) -> dict[str, list[tuple[Any, ...]]]:
    """What the index holds, by names instead of by numbers, so that two of them can be compared."""
    with sqlite3.connect(lab.directory / "state" / "index.sqlite") as file:
        return {
            "spans": file.execute(
                "SELECT topic, topic_id, number, first_offset, last_offset, v.document, k.document FROM span s"
                " JOIN log l ON l.id = s.log JOIN reference v ON v.id = s.value_schema"
                " JOIN reference k ON k.id = s.key_schema ORDER BY 1, 2, 3, 4"
            ).fetchall(),
            "holes": file.execute(
                "SELECT topic, topic_id, number, first_offset, last_offset, reason FROM hole h"
                " JOIN log l ON l.id = h.log ORDER BY 1, 2, 3, 4"
            ).fetchall(),
            "edges": file.execute(
                "SELECT o.topic, o.number, out_first, out_last, p.topic, p.number, parent_first, parent_last, width,"
                " flags FROM edge JOIN log o ON o.id = out_log JOIN log p ON p.id = parent_log"
                " ORDER BY 1, 2, 3, 5, 6, 7"
            ).fetchall(),
            "alerts": file.execute("SELECT event_id, topic, kind FROM alert ORDER BY 1").fetchall(),
            "positions": file.execute("SELECT topic, number, next_offset FROM position ORDER BY 1, 2").fetchall(),
        }


def from_index(lab: Lab, topic: str) -> list[dict[str, Any]]:
    """The rows of ``spans``, as the index has them."""
    from stream_lineage.index.reader import ProvenanceIndex
    from stream_lineage.provenance.documents import span_document

    with ProvenanceIndex(lab.directory / "state" / "index.sqlite") as opened:
        rows = [span_document(s, epoch.topic_id) for epoch in opened.epochs(topic) for s in opened.spans(epoch)]
    found: list[dict[str, Any]] = json.loads(json.dumps(rows))
    return found


def test_the_index_says_what_the_log_says(lab: Lab) -> None:
    clicks, scored = lab.topic("clicks", partitions=2), lab.topic("scored")
    for name in ("edges", "anomaly-alerts"):
        lab.admin.create_topics([NewTopic(f"{lab.prefix}{name}", 2)])[f"{lab.prefix}{name}"].result(30)
    known = Acknowledged()
    first, second = lab.clicks(clicks, CLICK, 40), lab.clicks(clicks, CLICK_2, 40)
    for payloads in (first[:20], second[:20]):
        for partition in (0, 1):
            lab.send(clicks, payloads, known, partition=partition)
    lab.send(scored, lab.clicks(scored, CLICK, 20), known)
    lab.collect_until_end()
    send_edges(lab, scored, [RecordEdge(0, n, (ParentRange(clicks, 0, 2 * n, 2 * n + 1),)) for n in range(10)])
    producer = lab.producer()
    for junk in (b"", b"\x00\x00\x00\x00\x01junk", b"{}" * 1000, b"\xc3\x01" + bytes(64)):
        for name in ("edges", "observations", "anomaly-alerts"):
            producer.produce(f"{lab.prefix}{name}", junk, key=b"junk")
    alert = {**ALERT, "topic": clicks, "first_offsets": {"0": 4}, "dataset": {"namespace": "kafka://c", "name": clicks}}
    producer.produce(f"{lab.prefix}anomaly-alerts", json.dumps(alert), headers=[("ce_id", b"e1")])
    assert producer.flush(30) == 0

    made = index(lab, "update")  # there is none yet
    assert made["left_out"] == 12
    for topic in (clicks, scored):
        assert from_index(lab, topic) == asked(lab, "spans", topic, "--output", "json").json

    # More comes: the index reads on from where it is, and is then the same as one that is made anew.
    lab.send(clicks, second[20:], known, partition=1)
    lab.send(clicks, first[20:], known, partition=0)
    lab.collect_until_end()
    send_edges(lab, scored, [RecordEdge(0, n, (ParentRange(clicks, 0, 2 * n, 2 * n + 1),)) for n in range(10, 20)])
    assert index(lab, "status")["lag"] > 0
    assert index(lab, "update")["left_out"] == 0
    assert index(lab, "update")["messages"] == 0
    assert index(lab, "status")["lag"] == 0
    for topic in (clicks, scored):
        assert from_index(lab, topic) == asked(lab, "spans", topic, "--output", "json").json
    grown = logical(lab)
    assert index(lab, "rebuild")["left_out"] == 12
    assert logical(lab) == grown
    assert [row[2:4] for row in grown["edges"]] == [(0, 19)]

    answer = trace(lab, scored, "0", "7", "--output", "json")
    assert answer.code == 0, answer.err
    document = answer.json
    [end] = document["ends"]
    assert (end["topic"], end["partition"], end["ranges"], end["in_kafka"]) == (clicks, 0, [[14, 15]], "all")
    [stretch] = document["records"]
    assert stretch["schema"]["subject"] == f"{clicks}-value"
    assert [read["offset"] for read in stretch["read"]] == [14, 15]
    assert all(read["timestamp"] is not None for read in stretch["read"])
    assert [alert["kind"] for alert in document["alerts"]] == ["mean"]
    assert document["exact"]

    # The sources are deleted, as by retention: the path is known all the same.
    lab.delete_records(clicks, 0, 15)
    again = trace(lab, scored, "0", "7", "--output", "json").json
    assert [{**end, "in_kafka": "some"} for end in document["ends"]] == again["ends"]
    assert again["edges"] == document["edges"]
    assert "1 of these records are no longer in Kafka" in str(again["notes"])
    assert "no longer in Kafka" in trace(lab, scored, "0", "7").out
    assert trace(lab, clicks, "0", "15", "--downstream", "--output", "json").json["ends"][0]["ranges"] == [[7, 7]]

    # The log is another one than that which the index was made from.
    lab.delete_topic(f"{lab.prefix}edges")
    eventually(lambda: created(lab, f"{lab.prefix}edges"), 30, "the topic is there again")
    answer = trace(lab, scored, "0", "7")
    assert answer.code == 1
    assert "index rebuild" in answer.err
    assert trace(lab, scored, "0", "7", "--no-update").code == 0


def test_the_graph_is_known_after_retention_has_taken_its_events(lab: Lab) -> None:
    settings = settings_of(lab)
    topic = f"{lab.prefix}graph"
    for name, partitions in ((topic, 1), (f"{lab.prefix}observations", 1)):
        lab.admin.create_topics([NewTopic(name, partitions)])[name].result(30)

    def node(name: str) -> Node:
        return Node(NodeKind.DATASET, "kafka://lab", name)

    def said(number: int) -> GraphEvent:
        seen = datetime(2026, 3, 1, tzinfo=UTC) + timedelta(minutes=number)
        edge = GraphEdge(node(f"t{number}"), node(f"t{number + 1}"))
        return GraphEvent(edge, Evidence(EvidenceClass.HEADER, "s", seen, seen, 1.0, ()))

    def send(events: Iterable[GraphEvent]) -> None:
        producer = lab.producer()
        for event in events:
            producer.produce(topic, encode_event(event), key=message_key(event))
        assert producer.flush(30) == 0

    events = [said(number) for number in range(20)]
    send(events)
    assert known_graph(settings) is None  # there is no index
    assert index(lab, "update")["graph"] == 20
    lab.delete_records(topic, 0, 15)
    begun = known_graph(settings)
    assert begun is not None
    assert (picture(begun[0]), begun[1]) == (picture(Graph(events)), 20)
    more = [said(30), said(31)]
    send(more)
    assert picture(lineage_graph(settings)) == picture(Graph([*events, *more]))
    assert index(lab, "status")["rows"]["graph_evidence"] == 20
    assert index(lab, "rebuild")["removed"]["graph"] == 15  # said: they are nowhere any more
    # Another topic of that name says something else.
    lab.delete_topic(topic)
    eventually(lambda: created(lab, topic), 30, "the topic is there again")
    send(more)
    assert known_graph(settings) is None
    assert picture(lineage_graph(settings)) == picture(Graph(more))


def picture(graph: Graph) -> Any:
    return document(whole(graph, at_least=0.0))


def created(lab: Lab, topic: str) -> bool:
    return lab.admin.create_topics([NewTopic(topic, 2)])[topic].exception(30) is None


def test_an_answer_says_what_the_index_may_lack(lab: Lab) -> None:
    clicks, made = lab.topic("clicks"), lab.topic("made")
    known = Acknowledged()
    for topic in (clicks, made):
        lab.send(topic, lab.clicks(topic, CLICK, 40), known)
    lab.collect_until_end()
    life = str(lab.admin.describe_topics(TopicCollection([made]))[made].result(30).topic_id)
    send_edges(lab, made, [RecordEdge(0, n, (ParentRange(clicks, 0, 2 * n, 2 * n + 3),)) for n in range(8)], life)

    def answered(*arguments: str) -> Any:
        answer = trace(lab, *arguments, "--output", "json")
        assert answer.code == 0, answer.err
        return answer.json

    first = answered(made, "0", "1")
    assert (first["exact"], first["notes"]) == (True, [])
    assert [(end["kind"], end["ranges"], end["in_kafka"]) for end in first["ends"]] == [("source", [[2, 5]], "all")]

    # What has come since is not read; nobody asks; another process writes.
    send_edges(lab, made, [RecordEdge(0, 8, (ParentRange(clicks, 0, 3, 3),))], life)
    behind = answered(made, "0", "1", "--no-update")
    assert not behind["exact"]
    assert "has not read 1 messages" in str(behind["notes"])
    assert answered(made, "0", "1", "--offline")["exact"]
    offline = answered(clicks, "0", "3", "--downstream", "--offline")
    assert "Kafka was not asked for what came later" in str(offline["notes"])
    state = lab.directory / "state" / "index.sqlite"
    assert answered(clicks, "0", "3", "--downstream")["exact"]
    with sole_writer(state):
        down = answered(clicks, "0", "3", "--downstream")
        assert (down["exact"], down["ends"][0]["ranges"]) == (True, [[0, 1], [8, 8]])
    with following(lab):
        send_edges(lab, made, [RecordEdge(0, 10, (ParentRange(clicks, 0, 3, 3),))], life)
        down = answered(clicks, "0", "3", "--downstream")  # waits for the other
        assert (down["exact"], down["ends"][0]["ranges"]) == (True, [[0, 1], [8, 8], [10, 10]])
        eventually(lambda: answered(made, "0", "10", "--offline")["exact"], 30, "the index says that it is whole")

    # A transaction is open: what is in it, and what is behind it, cannot be read yet.
    producer = Producer({"bootstrap.servers": lab.bootstrap_servers, "transactional.id": f"{lab.prefix}open"})
    producer.init_transactions(30)
    producer.begin_transaction()
    producer.produce(f"{lab.prefix}edges", b"{}", key=made.encode())
    assert producer.flush(30) == 0
    held = answered(made, "0", "1")
    assert not held["exact"]
    assert "1 messages of our own topics cannot be read yet: a transaction is open" in str(held["notes"])
    assert "not exact" in trace(lab, made, "0", "1", "--no-update").out
    assert "not exact" in trace(lab, made, "0", "1", "--no-update", "--output", "mermaid").out
    producer.abort_transaction(30)
    assert answered(made, "0", "1")["exact"]

    # The topic is compacted: its log begins where it did, and records in it may be gone all the same.
    resource = ConfigResource(ConfigResource.Type.TOPIC, clicks)
    compact = ConfigEntry("cleanup.policy", "compact", incremental_operation=AlterConfigOpType.SET)
    resource.add_incremental_config(compact)
    for future in lab.admin.incremental_alter_configs([resource]).values():
        future.result(30)
    [end] = answered(made, "0", "1")["ends"]
    assert end["in_kafka"] == "compacted"  # of four records two were read again

    # Retention takes edges before an index is made: of what was observed until then nobody knows what it was made from.
    assert index(lab, "rebuild")["removed"] == dict.fromkeys(FEEDS, 0)
    for partition, end in enumerate(ends_of(lab, f"{lab.prefix}edges")):
        lab.delete_records(f"{lab.prefix}edges", partition, end)
    send_edges(lab, made, [RecordEdge(0, 9, (ParentRange(clicks, 0, 3, 3),))], life)
    rebuilt = asked(lab, "index", "rebuild", "--state-dir", str(lab.directory / "state"), "--output", "json")
    removed = rebuilt.json["removed"]
    assert removed["edges"] >= 2
    assert f"retention had removed messages before the index was made: up to {removed['edges']} of edges" in rebuilt.err
    late = answered(made, "0", "9")
    assert not late["exact"]
    assert [end["kind"] for end in late["ends"]] == ["in-doubt"]
    assert "removed by retention" in str(late["notes"])


@contextmanager
def following(lab: Lab) -> Iterator[None]:
    """Another thread keeps the index up to date, and has begun to."""
    settings, stop = settings_of(lab), threading.Event()
    thread = threading.Thread(target=indexing.follow, args=(settings, lambda: not stop.is_set()))

    def begun() -> bool:
        try:
            with sole_writer(settings.index.index_path):
                return False
        except IndexBusy:
            return True

    thread.start()
    try:
        eventually(begun, 30, "the index is kept up to date")
        yield
    finally:
        stop.set()
        thread.join()


def ends_of(lab: Lab, topic: str) -> list[int]:
    reader = lab.consumer()
    try:
        partitions = reader.list_topics(topic).topics[topic].partitions
        return [reader.get_watermark_offsets(TopicPartition(topic, n), timeout=30)[1] for n in sorted(partitions)]
    finally:
        reader.close()


def test_a_record_is_found_by_a_value_in_it(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    known = Acknowledged()
    clicks, words, numbers = lab.topic("clicks", partitions=2), lab.topic("words"), lab.topic("numbers")
    for partition in (0, 1):
        lab.send(clicks, lab.clicks(clicks, CLICK, 900), known, partition=partition)
    texts = [*({"id": f"p-{n}", "nested": {"n": n, "flag": n == 3}} for n in range(700)), {"id": "p-7", "nested": {}}]
    lab.send(words, [(json.dumps(text).encode(), None) for text in texts], known, key=b"same")
    lab.send(numbers, [(b"\xff" * 9, None)] * 5, known)
    lab.collect_until_end()
    flags = ("--schema-registry-url", lab.registry_url)

    def found(said: str, topic: str, *more: str) -> Any:
        return trace(lab, said, "--topic", topic, "--output", "json", *flags, *more)

    assert found("id=p-345", words).json["record"]["offset"] == 345
    assert found("nested.n=612", words).json["record"]["offset"] == 612
    answer = found("user=898", clicks)  # in both partitions
    assert answer.code == 0, answer.err
    assert [each["record"]["partition"] for each in answer.json["traces"]] == [0, 1]
    assert {each["record"]["offset"] for each in answer.json["traces"]} == {898}
    assert [each["record"]["offset"] for each in found("id=p-7", words).json["traces"]] == [7, 700]
    many = found("@key=same", words)
    assert (many.json["found"], len(many.json["traces"]), len(many.json["not_traced"])) == (20, 10, 10)
    assert "more records with that value: the search ended with 20" in many.err
    for said, topic, says in (
        ("id=p-701", words, "701 were looked at"),
        ("nothing=1", numbers, "no record"),
    ):
        answer = found(said, topic)
        assert answer.code == 1, answer.out
        assert says in answer.err
        assert "Traceback" not in answer.err
    key = lab.directory / "hash-key"
    key.write_text("a key that nobody guesses", encoding="utf-8")
    keyed_flags = ("--key-fields", f"{words}:id", "--hash-key-file", str(key))
    declared = trace(lab, "id=p-11", *keyed_flags, "--output", "json", *flags)
    assert declared.json["record"]["offset"] == 11
    assert found("id=p-345", words, "--since", "2030-01-01T00:00Z").code != 0
    # By the index, once the collector writes hashes: without asking Kafka, and after retention.
    later = [{"id": f"q-{n}", "nested": {"n": n}} for n in range(50)]
    lab.send(words, [(json.dumps(text).encode(), None) for text in later], known, key=b"k-9")
    lab.send(clicks, lab.clicks(clicks, CLICK, 1_000)[900:], known, partition=1)
    keyed = [word for field in (f"{words}:id", f"{words}:@key", f"{clicks}:user") for word in ("--key-fields", field)]
    lab.environment["STREAM_LINEAGE_HASH_KEY"] = "a key that nobody guesses"
    monkeypatch.setenv("STREAM_LINEAGE_HASH_KEY", "a key that nobody guesses")
    lab.collect_until_end(*keyed)
    answer = found("id=q-30", words).json
    assert answer["record"]["offset"] == 731
    assert not [note for note in answer["notes"] if "not verified" in note]  # it was compared
    asked_of = settings_of(lab)
    had = [has_value(asked_of, words, None, 0, 731, "id", value) for value in ("q-30", "q-31")]
    assert had == [True, False]
    assert has_value(asked_of, words, "another life", 0, 731, "id", "q-30") is None
    answer = found("user=942", clicks, "--offline").json
    assert [note for note in answer["notes"] if "by its hash, not verified" in note]
    record = answer["record"]
    assert (record["partition"], record["offset"]) == (1, 942)
    same = found("@key=k-9", words, "--offline").json
    assert (same["found"], [each["record"]["offset"] for each in same["traces"]]) == (50, list(range(701, 711)))
    assert "Without --offline" in found("id=p-11", words, "--offline").err  # from before the field was declared
    assert found("id=p-11", words).json["record"]["offset"] == 11
    lab.delete_records(words, 0, 740)
    answer = found("id=q-30", words).json
    assert (answer["record"]["in_kafka"], answer["exact"]) == ("none", False)
    assert [note for note in answer["notes"] if "by its hash, not verified" in note]
    monkeypatch.setenv("STREAM_LINEAGE_HASH_KEY", "another key than that one")
    assert "another hash_key" in found("id=q-45", words).err
