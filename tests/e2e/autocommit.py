"""The control of test_collector_chaos.py: what people write first. Auto-commit, and LPUSH."""

import sys

import kafka
import msgspec
import redis


def main(bootstrap: str, url: str, topic: str, key: str) -> None:
    """Read for ever."""
    client = redis.Redis.from_url(url)
    consumer = kafka.KafkaConsumer(
        topic, bootstrap_servers=bootstrap, group_id=f"{topic}-control", enable_auto_commit=True,
        auto_offset_reset="earliest", session_timeout_ms=1500, heartbeat_interval_ms=450,
    )
    while True:
        pipe = client.pipeline(transaction=False)
        for records in consumer.poll(50, 500).values():
            for record in records:
                event = parsed(record.value)
                if event:
                    pipe.lpush(key, event["event_id"])
        pipe.execute()


def parsed(value: bytes | None) -> dict[str, str] | None:
    """The event, if it is one."""
    try:
        found = msgspec.json.decode(value or b"")
        return found if "user_id" in found else None
    except msgspec.DecodeError:
        return None


main(*sys.argv[1:])
