"""An editor's side of the rules: a file of them, checked before any is published."""

import json
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from streamrec.broker import Publisher
from streamrec.errors import InvalidMessage, SetupError
from streamrec.events import Rule, Time, decode, encode, epoch
from streamrec.rules import in_force

OWN = {"factor": ("boost", "bury"), "position": ("pin",)}  # fields that say something of these actions only


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
        found = decode(Rule, json.dumps(rule).encode(), now)
        _all_counts(rule)
    except InvalidMessage as error:
        raise SetupError(f"{path}: rule {name or n + 1}: {error}; nothing was published") from None
    return found


def _all_counts(rule: dict[str, Any]) -> None:
    """Raises InvalidMessage for what stands in a rule and could do nothing: its editor meant something by it.
    A message may hold as much, as who encodes one writes all its fields."""
    for field, actions in OWN.items():
        if field in rule and rule["action"] not in actions:
            raise InvalidMessage(f"a {rule['action']} has no {field} - at `$.{field}`")
    for field, value in rule["match"].items():
        if not value or value == [""]:
            raise InvalidMessage(f"it is empty, leave it out or say what is meant - at `$.match.{field}`")


def shown(rule: Rule) -> dict[str, Any]:
    """A rule as a file says it: `read` takes it again."""
    found: dict[str, Any] = msgspec.to_builtins(rule)
    found["match"] = {k: v for k, v in found["match"].items() if v}
    other = [field for field, actions in OWN.items() if rule.action not in actions]
    return {k: v for k, v in found.items() if v is not None and k not in (*other, "schema_version")}


def row(rule: Rule, now: float) -> dict[str, str]:
    """A rule for a table; `now` in epoch s."""
    effect = {"boost": f"odds × {rule.factor:g}", "bury": f"odds ÷ {rule.factor:g}",
              "pin": f"position {rule.position}", "block": "-"}[rule.action]
    begun = rule.since is None or epoch(rule.since) <= now
    return {"rule": rule.rule_id, "action": rule.action, "effect": effect,
            "match": "; ".join(f"{k} {_words(v)}" for k, v in shown(rule)["match"].items()),
            "now": "in force" if in_force(rule, now) else "over" if begun else "not yet",
            "since": _time(rule.since), "until": _time(rule.until)}


def _words(value: str | list[str]) -> str:
    return value if isinstance(value, str) else ", ".join(value)


def _time(t: Time | None) -> str:
    if t is None:
        return "-"
    try:
        return f"{datetime.fromtimestamp(epoch(t), UTC):%Y-%m-%d %H:%M} UTC"
    except (ValueError, OverflowError):  # beyond the calendar: milliseconds, most likely
        return f"{epoch(t):.0f} s"


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
