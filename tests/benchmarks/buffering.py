"""One call of the buffer against plain pushes of the same events, both packed beforehand as the collector's
other thread does; and our decoding against json's."""

import json
from collections.abc import Sequence
from functools import partial
from typing import Any

from streamrec.events import Feedback, decode, encode
from streamrec.replay import Applied, a_res_key, digest
from tests.benchmarks.measured import Figures, Say, Sizes, seconds
from tests.benchmarks.servers import Bench
from tests.benchmarks.stream import START, only_rows, realistic

BATCH = 500
KINDS = {"impression", "click", "read", "like", "dismiss"}


def measure(bench: Bench, sizes: Sizes, figures: Figures, say: Say) -> None:
    """fenced_lua_over_lpush, its worst case, and msgspec_over_json."""
    n = BATCH * sizes.batches * sizes.repeats
    for name, events in (("", realistic(n)), ("_worst_case", only_rows(n))):
        say(f"buffer against LPUSH{name.replace('_', ' ')}")
        _buffer(bench, sizes, figures, name, events)
    say("msgspec against json")
    _decoding(sizes, figures)


def _buffer(
    bench: Bench, sizes: Sizes, figures: Figures, name: str, events: Sequence[Feedback]
) -> None:
    parts = bench.parts("buffer" + name.replace("_", "-"))
    buffer, applied = parts.buffer, [_applied(i, e) for i, e in enumerate(events)]
    claim, values = buffer.claim(0, "bench", 1), [encode(e) for e in events]
    ours, theirs, variadic = 0.0, 0.0, 0.0
    for n in range(len(events) // BATCH):
        at = slice(n * BATCH, (n + 1) * BATCH)
        batch, pushed = buffer.prepared(applied[at]), values[at]
        ours += seconds(partial(buffer.apply, 0, claim, "bench", batch, at.stop, START + n))
        theirs += seconds(partial(_lpush, parts.redis.client, pushed))
        variadic += seconds(partial(parts.redis.client.lpush, "bench:variadic", *pushed))
        if (n + 1) % sizes.batches == 0:
            figures.ratio(f"fenced_lua_over_lpush{name}", theirs / ours)
            figures.add(f"fenced_lua_events_per_s{name}", BATCH * sizes.batches / ours)
            figures.add(f"lpush_events_per_s{name}", BATCH * sizes.batches / theirs)
            figures.add(f"lpush_all_in_one_events_per_s{name}", BATCH * sizes.batches / variadic)
            ours = theirs = variadic = 0.0
    parts.redis.client.delete("bench:lpush", "bench:variadic")


def _lpush(client: Any, values: Sequence[bytes]) -> None:
    pipe = client.pipeline(transaction=False)
    for value in values:
        pipe.lpush("bench:lpush", value)
    pipe.execute()


def _applied(offset: int, e: Feedback) -> Applied:
    d = digest(e.event_id)
    assert isinstance(e.timestamp, float)
    return Applied(offset, d, e.event_id, e.user_id, e.item_id or "", e.event_type, e.timestamp,
                   e.impression, e.propensity or 1.0, a_res_key(d))


def _decoding(sizes: Sizes, figures: Figures) -> None:
    values = [encode(e) for e in realistic(sizes.messages)]
    for _ in range(sizes.repeats):
        ours = seconds(lambda: [decode(Feedback, v, START + 1e6) for v in values])
        by_hand = seconds(lambda: [_by_hand(v, START + 1e6) for v in values])
        figures.ratio("msgspec_over_json", by_hand / ours)
        figures.add("decode_events_per_s", len(values) / ours)


def _by_hand(value: bytes, now: float) -> dict[str, Any]:
    """json.loads and the checks that `events.decode` makes of a Feedback (ids, ranges, time)."""
    event: dict[str, Any] = json.loads(value)
    ok = (
        all(_id(event.get(name)) for name in ("event_id", "user_id"))
        and event.get("event_type") in KINDS
        and isinstance(event.get("timestamp"), float)
        and 946_684_800 <= event["timestamp"] <= now + 86_400
        and _slate(event.get("impression", []))
        and all(_optional(event.get(n), str) for n in ("session_id", "recommendation_id"))
        and _optional(event.get("event_value"), float) and (event.get("event_value") or 0) >= 0
        and _optional(event.get("propensity"), float) and 0 < (event.get("propensity") or 1) <= 1
        and event.get("schema_version", 1) == 1
        and (event["impression"] if event["event_type"] == "impression" else _id(event["item_id"]))
    )
    if not ok:
        raise ValueError(value)
    return event


def _id(x: Any) -> bool:
    return isinstance(x, str) and 1 <= len(x) <= 256


def _slate(x: Any) -> bool:
    return isinstance(x, list) and len(x) <= 500 and all(_id(i) for i in x)


def _optional(x: Any, kind: type) -> bool:
    return x is None or isinstance(x, kind)
