"""Every article has a topic, and the same one in every process."""

import numpy as np

from streamrec.drift.topics import cluster, topic_of

VECTOR = np.random.default_rng(0).standard_normal(384).astype(np.float32)


def test_the_first_tag_wins_then_the_text_then_nothing() -> None:
    assert topic_of(["sport", "news"], VECTOR) == "sport"
    assert topic_of([], VECTOR) == cluster(VECTOR)
    assert topic_of([], 0 * VECTOR) == "untitled"
    assert topic_of([], None) == "untitled"


def test_clusters_are_fixed_sixteen_and_keep_neighbours_together() -> None:
    rng = np.random.default_rng(1)
    vectors = rng.standard_normal((500, 384)).astype(np.float32)
    found = [cluster(v) for v in vectors]
    assert set(found) == {f"cluster-{i}" for i in range(16)}
    near = [cluster(v + 0.05 * rng.standard_normal(384).astype(np.float32)) for v in vectors]
    assert sum(a == b for a, b in zip(found, near, strict=True)) > 450
    assert cluster(VECTOR) == "cluster-11"  # another value breaks windows across an upgrade
