"""An editor's rules: boost, bury, pin, block. What they change is a bias on every score, rows that
nobody may get, and rows that have a place of their own."""

import math
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamrec.events import Rule
from streamrec.rules import in_force
from streamrec.scoring.attributes import Attributes

Floats = NDArray[np.float32]
Rows = NDArray[np.int64]


class Move(NamedTuple):
    """A rule that moves an article, and what it adds to the score."""

    rule: str
    bias: float


class Applied(NamedTuple):
    """The rules in force over a catalogue of N articles. `by_row`: what moves a row, `blocking`:
    ids of those that block a live one, `buries`: the rows that each of those that bury is about."""

    bias: Floats | None
    blocked: Rows
    blocking: frozenset[str]
    pins: Mapping[int, tuple[int, str]]  # row -> position from 1, rule id
    by_row: Mapping[int, list[Move]]
    buries: Mapping[str, Rows] = {}
    rules: tuple[Rule, ...] = ()

    def burying(self, eligible: NDArray[np.bool_]) -> set[str]:
        """Ids of those that bury an article that could be in a list, by a mask [N]."""
        n = len(eligible)
        return {rule for rule, rows in self.buries.items() if eligible[rows[rows < n]].any()}

    def in_force(self, now: float) -> frozenset[str]:
        """Ids of those that are, of rules that were a while ago."""
        return frozenset(r.rule_id for r in self.rules if in_force(r, now))


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
        rules = tuple(r for r in self._rules if in_force(r, now))
        if self._made[0] != (rules, catalogue, n):
            self._made = (rules, catalogue, n), self._apply(rules, n)
        return self._made[1]

    def _apply(self, rules: tuple[Rule, ...], n: int) -> Applied:
        if not rules:
            return NO_RULES
        bias, by_row = np.zeros(n, np.float32), dict[int, list[Move]]()
        blocked, blocking, pins = set[int](), set[str](), dict[int, tuple[int, str]]()
        buries = dict[str, Rows]()
        for rule in rules:
            rows = self._attributes.matching(rule.match)
            if rule.action == "bury":
                buries[rule.rule_id] = rows
            if rule.action == "block":
                blocked.update(rows.tolist())
                blocking |= {rule.rule_id} if len(rows) else set()
            elif rule.action == "pin":
                pin, fit = (rule.position, rule.rule_id), set(rows.tolist())
                for row in self._attributes.rows_of(rule.match.item_ids):  # in the order that the rule gives
                    if row in fit and pins.get(row, pin) >= pin:
                        pins.pop(row, None)  # it stands where this rule has it in its order
                        pins[row] = pin
            else:
                move = Move(rule.rule_id, math.log(rule.factor) * (1 if rule.action == "boost" else -1))
                bias[rows] += move.bias  # no row comes twice
                for row in rows.tolist():
                    by_row.setdefault(row, []).append(move)
        pins = {row: pin for row, pin in pins.items() if row not in blocked}
        out = np.array(sorted(blocked), np.int64)
        return Applied(bias if by_row else None, out, frozenset(blocking), pins, by_row, buries, rules)
