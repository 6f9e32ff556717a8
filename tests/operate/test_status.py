"""What `streamrec status` says of a streamrec."""

import re
import time

import pytest
from msgspec.structs import replace

from streamrec.adapters.memory import MemoryBoard, MemoryBuffer, MemoryPointers
from streamrec.cli.show import status_table
from streamrec.config import Buffer
from streamrec.operate.status import facts
from streamrec.replay import Applied, a_res_key, digest


def test_it_says_how_many_rows_wait_to_be_learned(capsys: pytest.CaptureFixture[str]) -> None:
    buffer, pointers = MemoryBuffer(Buffer()), MemoryPointers()
    ids = [f"e{n}" for n in range(9)]
    buffer.apply(0, buffer.claim(0, "x", 1), "x", [
        Applied(n, digest(e), e, e, "a", "click", 1.0, [], 1.0, a_res_key(digest(e)))
        for n, e in enumerate(ids)
    ], 9, 1.0)
    pointers.move(replace(pointers.read(), cursor={0: 2}, attempt=1), 0, None, None)
    found = facts(buffer, pointers, MemoryBoard(), 0, time.time())
    assert found["rows_waiting"] == 7
    status_table({"lag": {}, **found})
    assert re.search(r"^rows waiting +7 *$", capsys.readouterr().out, re.MULTILINE)
