"""The replay buffer: its contract, its rows, and every keep-or-evict decision in plain Python."""

from streamrec.replay.contract import (
    HOLDER_SILENT_S,
    SLACK,
    Applied,
    Claim,
    Counts,
    Cursor,
    Popularity,
    Read,
    ReplayBuffer,
    Row,
    WindowRow,
)
from streamrec.replay.partition import PartitionState, bump, merge_histories, oldest_first
from streamrec.replay.reservoir import Reservoir, a_res_key, digest, merge_reservoirs, row_size

__all__ = [
    "HOLDER_SILENT_S", "SLACK", "Applied", "Claim", "Counts", "Cursor",
    "PartitionState", "Popularity", "Read", "ReplayBuffer", "Reservoir", "Row", "WindowRow",
    "a_res_key", "bump", "digest", "merge_histories", "merge_reservoirs", "oldest_first",
    "row_size",
]
