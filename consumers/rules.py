"""Rules: from the compacted topic into the store that scorers follow. A rule with a mistake becomes a
dead letter, and the rule before it stays in force."""

from collections.abc import Sequence

from consumers.dead_letters import DeadLetters
from consumers.reread import Reread
from streamrec.broker import Partition, Record
from streamrec.clock import Clock
from streamrec.errors import InvalidMessage
from streamrec.events import Rule, decode
from streamrec.rules import RuleStore


class RulesKeeper:
    """See consumers.loop.Handler."""

    def __init__(
        self, store: RuleStore, dead_letters: DeadLetters, clock: Clock, reread: Reread
    ) -> None:
        self._store, self._dead, self._clock, self._reread = store, dead_letters, clock, reread

    def assigned(self, partition: Partition, committed: int | None) -> int | None:
        """See consumers.loop.Handler: all rules, then what is new; all again when Redis has lost them."""
        return self._reread.assigned(partition, committed)

    def handle(self, batches: Sequence[tuple[Partition, Sequence[Record]]]) -> None:
        """See consumers.loop.Handler. Of several messages for a rule the last one counts."""
        latest: dict[str, Rule | None] = {}
        refused: list[tuple[Record, Exception]] = []
        for record in (r for _, records in batches for r in records):
            try:
                key = (record.key or b"").decode()
                latest[key] = None if record.value is None else self._read(record.value, key)
            except (InvalidMessage, UnicodeDecodeError) as error:
                if not self._reread.again(record):
                    refused.append((record, error))
        put = [rule for rule in latest.values() if rule is not None]
        if latest:
            self._store.change(put, [key for key, rule in latest.items() if rule is None])
        self._reread.handled(batches)
        for record, why in refused:
            self._dead.send(record, why)

    def _read(self, value: bytes, key: str) -> Rule:
        rule = decode(Rule, value, self._clock.now())
        if key != rule.rule_id:
            raise InvalidMessage("the key is not the rule id - at `$.rule_id`")
        return rule

    def idle(self) -> None:
        """Nothing waits."""
        self._reread.check()
