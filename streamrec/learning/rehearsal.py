"""Rehearsal for Avalanche: its exemplars are the rows that the replay buffer's reservoir kept.

What to keep was decided when events arrived (replay.Reservoir), so nothing is decided here:
a snapshot is taken once, because Avalanche's ReplayPlugin reads `buffer` more than once.
"""

from typing import Any

from avalanche.benchmarks.utils import AvalancheDataset
from avalanche.training.plugins import ReplayPlugin
from avalanche.training.storage_policy import ExemplarsBuffer


class ReservoirExemplars(ExemplarsBuffer):  # type: ignore[misc]
    """The reservoir's rows as an Avalanche dataset; training never changes it."""

    def __init__(self, snapshot: AvalancheDataset) -> None:
        super().__init__(max_size=len(snapshot))
        self.buffer = snapshot

    def post_adapt(self, agent_state: Any, exp: Any) -> None:
        """Nothing to keep: rows reach the reservoir through Kafka, not through training."""

    def update(self, strategy: Any, **kwargs: Any) -> None:
        """As `post_adapt`: ReplayPlugin still calls the older name."""

    def resize(self, strategy: Any, new_size: int) -> None:
        """The reservoir's size is the buffer's setting; only the label changes here."""
        self.max_size = new_size


def replay_plugin(snapshot: AvalancheDataset, new_rows: int, old_rows: int) -> ReplayPlugin:
    """Avalanche's replay: `new_rows` of the window and `old_rows` of the snapshot a batch."""
    return ReplayPlugin(
        mem_size=len(snapshot), batch_size=new_rows, batch_size_mem=old_rows,
        storage_policy=ReservoirExemplars(snapshot),
    )
