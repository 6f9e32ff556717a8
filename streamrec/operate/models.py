"""Published versions, as an operator names them."""

from typing import Any

from streamrec.drift.said import age
from streamrec.registry import VersionRecord

# Rows that the gate judges by, and the names of NDCG@10 on them: before an increment, and after it.
JUDGED = {"new rows": ("holdout_ndcg_old", "holdout_ndcg_new"),
          "old rows": ("anchors_ndcg_old", "anchors_ndcg_new")}


def row(record: VersionRecord, serving: str | None, now: float) -> dict[str, Any]:
    """A version as a line of a table that fits a screen of 80 columns."""
    m = record.metrics
    judged = {name: f"{m[old]:.3f} to {m[new]:.3f}" if {old, new} <= m.keys() else "-"
              for name, (old, new) in JUDGED.items()}
    return {"version": record.version + (" *" if record.version == serving else ""),
            "parent": record.parent or "-", "rows": record.rows, "age": age(now - record.created_at),
            **judged}
