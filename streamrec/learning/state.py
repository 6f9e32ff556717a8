"""What the trainer carries between increments besides the model.

Old rows keep the feature values of their own time: recomputing them with today's counters would
teach that everything was popular before anybody read it.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

import msgspec
import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from streamrec.config import Buffer, Trainer
from streamrec.errors import CorruptArtefact
from streamrec.learning import parked
from streamrec.learning.examples import Examples, concat, empty
from streamrec.learning.negatives import Array
from streamrec.model import co_reads
from streamrec.model.counters import Counters
from streamrec.model.features import FEATURES
from streamrec.replay import Cursor, WindowRow, a_res_key, digest

ARRAYS, JSON = "state.safetensors", "state.json"
ANCHOR_SHARE = 0.05  # of any window, at most: anchors are never learned


@dataclass
class TrainerState:
    """Bounded by the reservoir (examples), the settings (anchors, parked) and the catalogue
    (counters)."""

    counters: Counters  # as they stood at the cursor, less the rows parked
    examples: Examples  # rows learned and still in the reservoir: rehearsal
    anchors: Examples  # rows of every era so far that no model has learned: for the gate
    cursor: Cursor
    rows: int = 0  # rows taken so far: learned, skipped, parked or dropped
    fitted: bool = False  # a model of this state was published
    learned_until: float = 0.0  # newest event time taken, epoch s
    older_until: float = 0.0  # the same before the last increment
    parked: list[WindowRow] = field(default_factory=list)  # their article is not announced yet
    best: dict[str, float] = field(default_factory=dict)  # anchor -> NDCG@10 of the best model
    encoder: str = ""  # fingerprint of the one whose vectors the rows' features are by; "": not known

    @classmethod
    def empty(cls, buffer: Buffer) -> "TrainerState":
        """Before the first row."""
        return cls(Counters(buffer), empty(1, 1), empty(1, 1), {})

    def of_encoder(self, encoder: str) -> "TrainerState":
        """As it is; or, when another encoder reads the texts by now, without rows, whose features would mean
        something else: a new first model is due."""
        if self.encoder in ("", encoder):
            return replace(self, encoder=encoder)
        none = empty(1, 1)
        return replace(self, encoder=encoder, examples=none, anchors=none, best={}, fitted=False)

    def older_anchors(self) -> Examples:
        """Anchors from before the last increment: the others are of the era that is being learned."""
        return self.anchors.take(np.flatnonzero(self.anchors.ts <= self.older_until).tolist())

    def set_aside(self, new: Examples, settings: Trainer) -> Examples:
        """Take some of the rows about to be learned for anchors; the others. Whoever has learned a row ranks
        it better than one that it never saw: such anchors would call every change forgetting."""
        # Smallest hashes: a uniform sample of the stream, whatever the size of its increments. A row older
        # than the last increment's would pass for an older anchor at once.
        small = np.array([_anchor_key(e) < math.log(ANCHOR_SHARE) for e in new.event_ids], dtype=np.bool_)
        pool = concat([self.anchors, new.take(np.flatnonzero(small & (new.ts > self.older_until)).tolist())])
        order = sorted(range(len(pool)), key=lambda i: _anchor_key(pool.event_ids[i]))
        self.anchors = pool.take(sorted(order[: settings.anchors]))
        aside = set(self.anchors.event_ids)
        return new.take([i for i, e in enumerate(new.event_ids) if e not in aside])

    def keep(self, learned: Examples, reservoir: set[str]) -> None:
        """Rows just learned: those in the reservoir are rehearsed from now on."""
        self.examples = concat([self.examples, learned]).only(reservoir)

    def raise_best(self, anchors: Examples, ndcg: Array) -> None:
        """A model was published that scores `ndcg` [n] on `anchors`. It is the best so far if it
        is on the anchors that both scored; anchors that none has scored yet get its score."""
        scored = dict(zip(anchors.event_ids, ndcg.tolist(), strict=True))
        held = {e: self.best[e] for e in scored if e in self.best}
        better = sum(scored[e] for e in held) >= sum(held.values())
        self.best = scored if better else scored | held

    def to_files(self) -> dict[str, bytes]:
        """Two files, arrays and JSON."""
        arrays = _counter_arrays(self.counters)
        for name in ("examples", "anchors"):
            packed: Examples = getattr(self, name)
            arrays |= {f"{name}/{f.name}": getattr(packed, f.name) for f in fields(packed)[:-1]}
        rest = {
            "ids": self.counters.ids, "partitions": list(self.counters.partitions.items()),
            "examples": self.examples.event_ids, "anchors": self.anchors.event_ids,
            "cursor": list(self.cursor.items()), "rows": self.rows, "fitted": self.fitted,
            "learned_until": self.learned_until, "older_until": self.older_until,
            "parked": parked.to_json(self.parked), "best": self.best, "encoder": self.encoder,
        }
        whole = {k: np.ascontiguousarray(v) for k, v in arrays.items()}
        return {ARRAYS: save(whole), JSON: json.dumps(rest).encode()}

    @classmethod
    def from_files(cls, files: Mapping[str, bytes], buffer: Buffer) -> "TrainerState":
        """The state back, bit for bit, but for rows that an older streamrec made of other features: those are
        left out, and a new first model is due. Raises CorruptArtefact."""
        try:
            arrays, rest = load(files[ARRAYS]), json.loads(files[JSON])
            ours = arrays["examples/feats"].shape[2] == len(FEATURES)
            # An older streamrec did not tell a slate from the rest, and had learned its anchors.
            told = ours and "examples/shown" in arrays
            arrays.setdefault("examples/shown", np.zeros(len(rest["examples"]), dtype=np.int16))
            packed = {name: Examples(
                **{f.name: arrays[f"{name}/{f.name}"] for f in fields(Examples)[:-1]},
                event_ids=tuple(rest[name]),
            ) if (ours if name == "examples" else told) else empty(1, 1) for name in ("examples", "anchors")}
            return cls(
                counters=_counters(arrays, rest, buffer), cursor=dict(rest["cursor"]),
                rows=rest["rows"], fitted=rest["fitted"] and ours, learned_until=rest["learned_until"],
                older_until=rest["older_until"], parked=parked.from_json(rest["parked"]),
                best=rest["best"] if told else {}, encoder=rest.get("encoder", ""), **packed,
            )
        except (KeyError, ValueError, TypeError, IndexError, SafetensorError,
                msgspec.ValidationError) as error:
            raise CorruptArtefact(f"the trainer's state cannot be read: {error}") from None


def _anchor_key(event_id: str) -> float:
    return a_res_key(digest("anchor/" + event_id))


def _counter_arrays(c: Counters) -> dict[str, Any]:
    n = len(c)
    return {
        "t0": c.t0[:, :n], "values": c.values[:, :n], "total": c.total[:, :n],
        "published_at": c.published_at[:n],
    } | co_reads.arrays(c)


def _counters(arrays: dict[str, Any], rest: dict[str, Any], buffer: Buffer) -> Counters:
    c = Counters(buffer)
    c.ids, c.partitions = list(rest["ids"]), dict(rest["partitions"])
    c.index = {item_id: i for i, item_id in enumerate(c.ids)}
    c.t0, c.values, c.total = arrays["t0"], arrays["values"], arrays["total"]
    c.published_at = arrays["published_at"]
    co_reads.restore(c, arrays)
    return c
