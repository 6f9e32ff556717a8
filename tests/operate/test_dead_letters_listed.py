"""Dead letters as they are listed: since when, and whether a replay of all has taken them."""

from consumers.dead_letters import DeadLetters
from streamrec.adapters.memory_broker import MemoryBroker
from streamrec.broker import Partition, TopicSpec
from streamrec.clock import ManualClock
from streamrec.errors import InvalidMessage
from streamrec.operate import dlq

TOPIC, GROUP = "x.feedback.v1", "x-dlq-replay"


def test_a_letter_tells_its_time_and_whether_it_was_sent_back() -> None:
    clock = ManualClock(1.7e9)
    broker = MemoryBroker(clock)
    broker.create_topics([TopicSpec(t, 1, 1, {}) for t in (TOPIC, f"{TOPIC}.dlq")])
    publisher = broker.publisher()

    def die() -> None:
        publisher.send(TOPIC, b"k", b"no good")
        record = broker.read(Partition(TOPIC, 0), 0, 99)[-1]
        DeadLetters(publisher, "group").send(record, InvalidMessage("no good"))
    die()
    assert dlq.replay(broker, [TOPIC], set(), GROUP) == 1
    clock.sleep(60.0)
    die()
    assert dlq.replay(broker, [TOPIC], {f"{TOPIC}.dlq/0/1"}, GROUP) == 1, "by name: nobody remembers it"
    found = dlq.listed(broker, [TOPIC], GROUP)
    assert [(x["at"], x["sent_back"]) for x in found] == [(1.7e9, True), (1.7e9 + 60, False)]
