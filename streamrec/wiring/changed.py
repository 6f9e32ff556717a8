"""What changed between two versions: the only question that takes a scorer of its own."""

import threading

from streamrec import events
from streamrec.config import Settings
from streamrec.metrics import BOARD_QUALITY, INCREMENTS_KEPT
from streamrec.wiring.asked import recent_readers
from streamrec.wiring.consuming import serving
from streamrec.wiring.parts import Parts, same_encoder


def diff(settings: Settings, older: str, newer: str, readers: int) -> events.ModelDiff:
    """What changed between two versions. Raises NotFound, CorruptArtefact, RetryLater, SetupError."""
    from streamrec.drift.remembered import with_eras
    from streamrec.scoring.compare import compare
    p = Parts(settings)
    same_encoder(p)
    p.registry.require(older, newer)
    served = serving(p, threading.Event())
    try:
        served.scorer.follow()
        old, new = (served.version(v) for v in (older, newer))
        served.scorer.swap(new)  # with the co-reads that it came with
        served.scorer.catch_up_rows()
        found = compare(served.scorer, old, new, recent_readers(p, readers))
        return with_eras(found, p.board.newest(BOARD_QUALITY, INCREMENTS_KEPT))
    finally:
        served.close()
        p.close()
