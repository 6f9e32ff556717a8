"""The shared list of an editor's rules: one writer, which reads the topic; scorers follow it."""

from collections.abc import Sequence
from typing import Protocol

from streamrec.events import Rule, epoch


def in_force(rule: Rule, now: float) -> bool:
    """Whether it counts at `now` (wall time, epoch s)."""
    began = rule.since is None or epoch(rule.since) <= now
    return began and (rule.until is None or now < epoch(rule.until))


class RuleStore(Protocol):
    """Rules by id. `version` grows with every change, so that followers need not read them all."""

    def change(self, put: Sequence[Rule], remove: Sequence[str]) -> None:
        """Add or replace, and take away; unknown ids are ignored."""

    def all(self) -> list[Rule]:
        """All rules, by id."""

    def version(self) -> int:
        """0 before the first change."""
