"""If this failed, topics with long or similar names would be mixed up or left out."""

from __future__ import annotations

import pytest
from collecting import Acknowledged, Lab
from confluent_kafka import KafkaError, KafkaException

pytestmark = pytest.mark.kafka


def test_the_longest_names_and_names_that_differ_in_a_sign_only(lab: Lab) -> None:
    longest = lab.topic("x" * (249 - len(lab.name) - 1), partitions=2)
    assert len(longest) == 249
    dotted, dashed, upper = lab.topic("a.b"), lab.topic("a-b"), lab.topic("A.b")
    # Kafka itself takes no two topics whose metrics would have one name; another cluster may.
    with pytest.raises(KafkaException) as refused:
        lab.topic("a_b")
    assert refused.value.args[0].code() == KafkaError.TOPIC_EXCEPTION
    known = Acknowledged()
    topics = (longest, dotted, dashed, upper)
    for number, topic in enumerate(topics, 1):
        lab.send(topic, lab.clicks(topic, count=10 * number), known, partition=0)
    lab.collect_until_end()
    lab.check(known, *topics)
    for number, topic in enumerate(topics, 1):
        assert sum(span["count"] for span in lab.spans(topic)) == 10 * number
        answer = lab.run("record", topic, "0", "3", *lab.flags(), "--output", "json")
        assert answer.json["topic"] == topic
        assert answer.json["schema"]["subject"] == f"{topic}-value"
