"""An editor's side of the rules: a file of them, checked before any is published."""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from streamrec.broker import Publisher
from streamrec.errors import InvalidMessage, SetupError
from streamrec.events import Rule, decode, encode


def read(path: Path, now: float) -> list[Rule]:
    """The rules of a JSON file: one, or a list. Raises SetupError naming rule and field, for an id that is
    there twice (only the last would stay), and for a list of none."""
    try:
        found = json.loads(path.read_text())
    except OSError as error:
        raise SetupError(f"{path} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise SetupError(f"{path} is no JSON: {error}") from None
    rules = [_one(path, n, rule, now) for n, rule in enumerate(found if isinstance(found, list) else [found])]
    if not rules:
        raise SetupError(f"{path} holds no rule; `streamrec rules delete ID` ends one that is in force")
    rule_id, times = Counter(r.rule_id for r in rules).most_common(1)[0]
    if times > 1:
        raise SetupError(f"{path}: {times} rules have the id {rule_id!r}, give each its own; nothing was "
                         "published")
    return rules


def _one(path: Path, n: int, rule: Any, now: float) -> Rule:
    name = rule.get("rule_id") if isinstance(rule, dict) else None
    try:
        return decode(Rule, json.dumps(rule).encode(), now)
    except InvalidMessage as error:
        raise SetupError(f"{path}: rule {name or n + 1}: {error}; nothing was published") from None


def known(rule_ids: Sequence[str], there: Sequence[str]) -> None:
    """Raises SetupError for a rule that is not there to be ended."""
    if missing := [r for r in rule_ids if r not in there]:
        have = ", ".join(sorted(there)) or "none"
        raise SetupError(f"no rule {missing[0]!r}; nothing was published. There are: {have}")


def publish(publisher: Publisher, topic: str, put: Sequence[Rule], remove: Sequence[str]) -> None:
    """Send them, and wait until Kafka has them. Raises RetryLater."""
    for rule in put:
        publisher.send(topic, rule.rule_id.encode(), encode(rule))
    for rule_id in remove:
        publisher.send(topic, rule_id.encode(), None)
    publisher.flush()
