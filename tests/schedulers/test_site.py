"""What the monitor hears of articles and of who serves."""

import numpy as np

from schedulers.site import SiteFollower
from streamrec.adapters.memory import MemoryBoard, MemoryCatalogue, MemoryFiles, MemoryPointers
from streamrec.catalogue import Entry
from streamrec.clock import ManualClock
from streamrec.config import Monitor
from streamrec.drift.monitor import DriftMonitor
from streamrec.metrics import BOARD_SCORER
from streamrec.registry import Registry

DIM, N = 4, 60


class There:
    """A catalogue, whose encoder `by` names, and a follower of it."""

    def __init__(self) -> None:
        self.catalogue, self.board = MemoryCatalogue(DIM), MemoryBoard()
        self.by: str | None = "old"
        self.monitor = DriftMonitor(Monitor())
        registry = Registry(MemoryFiles(), MemoryPointers(ManualClock()))
        self.follower = SiteFollower(self.catalogue, DIM, lambda: self.by, registry, self.board)

    def read(self, by: str, first: int = 0, filled: int = N) -> None:
        entries = [Entry(f"a{n}", f"Title {n}", 0.0, ["x"], "en", f"{by}{n}") for n in range(first, N)]
        self.catalogue.put(entries, {e.item_id: "text" for e in entries})
        owed = self.catalogue.owed(filled)
        self.catalogue.fill([(o, np.ones(DIM, np.float16)) for o in owed])

    def told(self) -> int:
        """How many vectors the detector of content has."""
        self.follower.tell(self.monitor)
        return self.monitor.detectors.content.report().samples


def test_vectors_that_another_encoder_made_before_are_no_reference() -> None:
    there = There()
    there.read("old")
    there.by = ""  # another one has come, and reads the texts again
    assert there.told() == 0 and there.monitor.detectors.words.report().samples == N
    there.read("new", filled=20)
    assert there.told() == 0
    there.by = "new"
    assert there.told() == 20
    there.catalogue.fill([(o, np.ones(DIM, np.float16)) for o in there.catalogue.owed(N)])
    assert there.told() == N


def test_where_the_encoder_is_set_otherwise_than_here_the_rest_goes_on() -> None:
    there = There()
    there.by = None
    there.read("other")
    there.board.put(BOARD_SCORER, {"version": "3", "refused": None})
    assert there.told() == 0 and there.monitor.beat(1.0)["version"] == "3"
    there.by = "other"
    assert there.told() == N


def test_what_serves_is_what_scorers_say_and_not_what_is_to_serve() -> None:
    there = There()
    there.board.put(BOARD_SCORER, {"version": None, "refused": {"version": "4", "why": "another encoder"}})
    there.told()
    assert there.monitor.beat(1.0)["version"] == "0"
