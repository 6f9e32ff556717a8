"""An editor's rules: boost, bury, pin, block. What they change is a bias on every score, rows that
nobody may get, and rows that have a place of their own."""

import math
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamrec.events import Rule, epoch
from streamrec.scoring.attributes import Attributes

Floats = NDArray[np.float32]


class Applied(NamedTuple):
    """The rules in force over a catalogue of N articles. `by_row`: which rules move a row, `blocking`:
    ids of those that block a live one."""

    bias: Floats | None
    blocked: NDArray[np.int64]  # rows
    blocking: frozenset[str]
    pins: Mapping[int, tuple[int, str]]  # row -> position from 1, rule id
    by_row: Mapping[int, list[str]]


NO_RULES = Applied(None, np.zeros(0, np.int64), frozenset(), {}, {})


class Rules:
    """The rules of a site, by id; `replace` them at any time, from any thread."""

    def __init__(self, attributes: Attributes) -> None:
        self._attributes = attributes
        self._rules: tuple[Rule, ...] = ()
        self._made: tuple[object, Applied] = (None, NO_RULES)

    def replace(self, rules: Iterable[Rule]) -> None:
        """From the next answer on these are the rules."""
        self._rules = tuple(sorted(rules, key=lambda r: r.rule_id))

    def at(self, now: float, catalogue: int, n: int) -> Applied:
        """What is in force at `now` (wall time, epoch s) over `n` articles, while the catalogue's
        cursor stands at `catalogue`."""
        rules = tuple(r for r in self._rules if _in_force(r, now))
        if self._made[0] != (rules, catalogue, n):
            self._made = (rules, catalogue, n), self._apply(rules, n)
        return self._made[1]

    def _apply(self, rules: tuple[Rule, ...], n: int) -> Applied:
        if not rules:
            return NO_RULES
        bias, by_row = np.zeros(n, np.float32), dict[int, list[str]]()
        blocked, blocking, pins = set[int](), set[str](), dict[int, tuple[int, str]]()
        for rule in rules:
            for row in self._attributes.matching(rule.match).tolist():
                if rule.action == "block":
                    blocked.add(row)
                    blocking.add(rule.rule_id)
                elif rule.action == "pin":
                    pins[row] = rule.position, rule.rule_id
                else:
                    bias[row] += math.log(rule.factor) * (1 if rule.action == "boost" else -1)
                    by_row.setdefault(row, []).append(rule.rule_id)
        pins = {row: pin for row, pin in pins.items() if row not in blocked}
        rows = np.array(sorted(blocked), np.int64)
        return Applied(bias if by_row else None, rows, frozenset(blocking), pins, by_row)


def _in_force(rule: Rule, now: float) -> bool:
    began = rule.since is None or epoch(rule.since) <= now
    return began and (rule.until is None or now < epoch(rule.until))
