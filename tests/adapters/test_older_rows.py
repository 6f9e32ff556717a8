"""Rows that an older streamrec left in Redis are read on."""

from typing import Any

import msgspec

from streamrec.adapters.redis_buffer import RedisBuffer
from streamrec.config import Buffer
from streamrec.replay import Applied, Row, a_res_key, digest


def test_a_row_without_a_dwell_is_one_whose_dwell_is_not_known(redis_connection: Any, prefix: str) -> None:
    buffer = RedisBuffer(redis_connection, prefix, Buffer())
    claim, key = buffer.claim(0, "x", 1), a_res_key(digest("e1"))
    new = [Applied(0, digest("e1"), "e1", "u", "a", "read", 9.0, ["a", "b"], 0.5, key, 7.0)]
    buffer.apply(0, claim, "x", new, 1, 9.0)
    older = msgspec.msgpack.encode(["e1", "u", "a", "read", 9.0, ["a", "b"], 0.5, key, "\x1eb\x1e"])
    window, rows = buffer._key(0, "window"), buffer._key(0, "row")
    redis_connection.pipeline([("lset", window, 0, older), ("hset", rows, digest("e1"), older)])
    expected = Row("e1", "u", "a", "read", 9.0, ["b"], ["a", "b"], 0.5, key, -1.0)
    assert [w.row for w in buffer.window({}, 9)] == buffer.reservoir() == [expected]
