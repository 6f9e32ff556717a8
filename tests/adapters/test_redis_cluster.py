"""Everything in Redis also works on a cluster of three nodes: each partition is one slot."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from pydantic import SecretStr

from streamrec.adapters.embedded.cluster import EmbeddedRedisCluster
from streamrec.adapters.redis import connect
from streamrec.adapters.redis_buffer import RedisBuffer
from streamrec.adapters.redis_store import RedisBoard, RedisCatalogue, RedisPointers
from streamrec.catalogue import Entry, LiveArticles
from streamrec.config import Buffer, Redis
from streamrec.errors import Conflict, Fenced, ServerRefused
from streamrec.registry import Pointer, VersionRecord
from streamrec.replay import Applied, a_res_key, digest

pytestmark = pytest.mark.server
PARTITIONS = range(12)
NOW = 1_750_000_000.0


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory, redis_server: str) -> Iterator[str]:
    cluster = EmbeddedRedisCluster(tmp_path_factory.mktemp("cluster"))
    cluster.start()
    yield cluster.url
    cluster.kill()


@pytest.fixture(scope="module")
def cluster(url: str) -> Iterator[Any]:
    connection = connect(Redis(url=SecretStr(url), cluster=True))
    yield connection
    connection.close()


def keys_of(cluster: Any, pattern: str) -> list[str]:
    return [k.decode() for k in cluster.client.scan_iter(pattern, target_nodes="primaries")]


def events(p: int, n: int) -> list[Applied]:
    ids = [f"{p}-{i}" for i in range(n)]
    return [
        Applied(i, digest(e), e, f"u{i % 7}", f"i{i}", "click", NOW + i, [], 1.0, a_res_key(digest(e)))
        for i, e in enumerate(ids)
    ]


def test_partitions_lie_on_all_nodes_and_each_in_one_slot(cluster: Any, prefix: str) -> None:
    buffer = RedisBuffer(cluster, prefix, Buffer(reservoir_bytes=2000))
    for p in PARTITIONS:
        claim = buffer.claim(p, "x", 1)
        assert buffer.apply(p, claim, "x", events(p, 40), 40, NOW).stored == 40
    slots: dict[str, set[int]] = {}
    for key in keys_of(cluster, f"{prefix}:*"):
        tag = key[key.index("{") : key.index("}")]
        slots.setdefault(tag, set()).add(cluster.client.keyslot(key))
    assert len(slots) == len(PARTITIONS) + 1 and all(len(s) == 1 for s in slots.values())
    nodes = {cluster.client.get_node_from_key(f"{prefix}:{{feedback-{p}}}").name for p in PARTITIONS}
    assert len(nodes) == 3


def test_the_buffer_reads_over_all_nodes(cluster: Any, prefix: str) -> None:
    buffer = RedisBuffer(cluster, prefix, Buffer())
    for p in PARTITIONS:
        claim = buffer.claim(p, "x", 1)
        for _ in range(2):
            buffer.apply(p, claim, "x", events(p, 21), 21, NOW)
    n = 21 * len(PARTITIONS)
    counts = buffer.counts()
    assert (counts.stored, counts.rows, counts.reservoir_rows) == (n, n, n)
    assert len(buffer.window({}, 10_000)) == len(buffer.reservoir()) == n
    assert [r.item for r in buffer.histories(["u0"])["u0"]] == ["i14", "i7", "i0"]
    cursor, found = buffer.popularity({})
    assert set(found) == set(PARTITIONS) and buffer.popularity(cursor) == (cursor, {})
    assert buffer.claim(3, "x", 2).next_offset == 21
    with pytest.raises(Fenced):
        buffer.claim(3, "x", 1)


def test_the_catalogue_lives_in_one_slot(cluster: Any, prefix: str) -> None:
    catalogue = RedisCatalogue(cluster, prefix, 4)
    catalogue.put([Entry(f"i{n}", "t", NOW, [], "", "h") for n in range(9)], {"i0": "text"})
    catalogue.fill([(o, np.ones(4, np.float16)) for o in catalogue.owed(9)])
    catalogue.remove(["i8"])
    live = LiveArticles(4)
    live.sync(catalogue)
    assert live.vectors[live.index["i0"]].tolist() == [1, 1, 1, 1] and int(live.live.sum()) == 8
    keys = keys_of(cluster, f"{prefix}:*")
    assert len(keys) > 3 and len({cluster.client.keyslot(k) for k in keys}) == 1


def test_pointer_lease_and_board_work_on_a_cluster(cluster: Any, prefix: str) -> None:
    pointers, board = RedisPointers(cluster, prefix), RedisBoard(cluster, prefix)
    record = VersionRecord(version="1", parent=None, created_at=1.0, rows=1, learned_until=1.0, metrics={})
    token = pointers.acquire("me", 30)
    pointers.move(Pointer(version="1", attempt=1), 0, token, record)
    with pytest.raises(Conflict):
        pointers.move(Pointer(version="2", attempt=1), 0, token, None)
    assert pointers.read().version == "1" and pointers.records() == [record]
    assert token is not None and pointers.renew(token, 30) and pointers.next_number() == 1
    board.count("n", 2)
    board.put("x", [1])
    assert board.total("n") == 2 and board.get("x") == [1]


def test_a_cluster_not_named_as_one_is_refused_at_the_start(url: str) -> None:
    with pytest.raises(ServerRefused, match="STREAMREC_REDIS__CLUSTER=true"):
        connect(Redis(url=SecretStr(url)))
