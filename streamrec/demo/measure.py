"""What the site measures, on its own side of the topics: none of it is a process's own word."""

import threading
from collections import defaultdict
from dataclasses import dataclass, field
from statistics import quantiles
from typing import Any

from streamrec.events import DriftReport, Feedback, ModelPointer, Policy, Recommendation

POLICIES: tuple[Policy, ...] = ("live", "frozen", "popularity")
OVERDUE_S = 2.0  # a click that has reached no list by then counts at its age
ERAS = ("before_shift", "after_shift")


@dataclass
class Rate:
    """Clicks per slate."""

    slates: int = 0
    clicks: int = 0
    deserved: float = 0.0  # clicks expected by the truth about reader and articles: less noisy

    @property
    def value(self) -> float | None:
        """None before the first slate."""
        return self.clicks / self.slates if self.slates else None


@dataclass
class _Waiting:
    """A click and what it waits for."""

    user: str
    at: float


@dataclass
class Measured:
    """Fed by the site's two sides: what it published, and what it read from the topics."""

    published: list[str] = field(default_factory=list)
    articles: int = 0
    requests: dict[str, float] = field(default_factory=dict)
    failed: int = 0
    answered: int = 0
    rates: dict[tuple[str, str], Rate] = field(default_factory=lambda: defaultdict(Rate))
    to_list_ms: list[float] = field(default_factory=list)
    to_model_s: list[float] = field(default_factory=list)
    versions: dict[str, ModelPointer] = field(default_factory=dict)
    named: str = "0"
    torn: int = 0
    reports: list[DriftReport] = field(default_factory=list)
    shift: tuple[int, float] | None = None  # events published by then, and epoch s
    alarm_after: int | None = None
    fans: dict[str, list[float]] = field(default_factory=lambda: {"before": [], "after": []})
    _for_list: dict[str, list[_Waiting]] = field(default_factory=lambda: defaultdict(list))
    _for_model: list[_Waiting] = field(default_factory=list)
    _newest: float = 0.0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def sent(self, event: Feedback, at: float) -> None:
        """An event was handed to Kafka at `at` (epoch s)."""
        with self.lock:
            self.published.append(event.event_id)
            if event.event_type == "click":
                waiting = _Waiting(event.user_id, at)
                self._for_list[event.user_id].append(waiting)
                self._for_model.append(waiting)

    def asked(self, request_id: str, at: float) -> None:
        """A request was handed to Kafka."""
        with self.lock:
            self.requests[request_id] = at

    def overdue(self, now: float, limit_s: float) -> None:
        """Requests without an answer after `limit_s` have failed."""
        with self.lock:
            late = [r for r, at in self.requests.items() if now - at > limit_s]
            for request in late:
                del self.requests[request]
            self.failed += len(late)

    def answer(self, a: Recommendation, now: float) -> bool:
        """An answer was read from the topic; True if it is one we asked for."""
        with self.lock:
            ours = self.requests.pop(a.request_id, None) is not None
            self.answered += ours
            self.failed += bool(ours and a.error)
            if a.policy == "live":
                self._names(a, now)
            waiting = self._for_list.pop(a.user_id, [])
            seen = a.state_at or 0.0
            self.to_list_ms += [(now - w.at) * 1000 for w in waiting if w.at <= seen]
            left = [w for w in waiting if w.at > seen]
            if left:
                self._for_list[a.user_id] = left
            return ours

    def _names(self, a: Recommendation, now: float) -> None:
        version = a.model_version
        older = int(version) < int(self.named) and a.generated_at > self._newest
        unsorted = any(x.score < y.score for x, y in zip(a.items[:-2], a.items[1:-1], strict=False))
        self.torn += bool(older or unsorted)
        self._newest = max(self._newest, a.generated_at)
        if int(version) > int(self.named):
            self.named = version
        known = self.versions.get(version)
        if known:
            self.to_model_s += [now - w.at for w in self._for_model if w.at <= known.learned_until]
            self._for_model = [w for w in self._for_model if w.at > known.learned_until]

    def model(self, pointer: ModelPointer) -> None:
        """A version was announced."""
        with self.lock:
            self.versions.setdefault(pointer.version, pointer)

    def report(self, report: DriftReport) -> None:
        """A drift report was read."""
        with self.lock:
            self.reports.append(report)
            if self.shift is None or self.alarm_after is not None:
                return
            events, at = self.shift
            if report.trigger == "alarm" and report.generated_at > at:
                self.alarm_after = len(self.published) - events

    def shifted(self, now: float) -> None:
        """The readers' interests have changed; only the first call counts."""
        with self.lock:
            self.shift = self.shift or (len(self.published), now)

    def unlisted(self) -> int:
        """Clicks that have reached no list yet."""
        with self.lock:
            return sum(map(len, self._for_list.values()))

    def shown(self, policy: Policy, era: str, clicks: int, deserved: float) -> None:
        """A slate was shown. Arms are compared once there is a trained model to freeze."""
        if self.versions:
            rate = self.rates[policy, era]
            rate.slates += 1
            rate.clicks += clicks
            rate.deserved += deserved

    def figures(self, now: float) -> dict[str, Any]:
        """The figures of `demo --json`, but for those of the audit and the registry."""
        with self.lock:
            ages = [now - w.at for waiting in self._for_list.values() for w in waiting]
            to_list = self.to_list_ms + [age * 1000 for age in ages if age > OVERDUE_S]
            before, after = (_mean(self.fans[k]) for k in ("before", "after"))
            forgetting = None if before is None or after is None else round(before - after, 4)
            return {
                "events_published": len(self.published),
                "click_to_recommendation_ms": {f"p{p}": _q(to_list, p) for p in (50, 99)},
                "click_to_model_s": {"p50": _q(self.to_model_s, 50)},
                "clicks_not_in_model": len(self._for_model),
                "models_published": len(self.versions),
                "swaps_torn": self.torn,
                "requests_failed": self.failed,
                "requests_answered": self.answered,
                "drift_reports": len(self.reports),
                "drift_alarm_events_after_shift": self.alarm_after,
                "click_rate": {p: {e: _round(self.rates[p, e].value) for e in ERAS} for p in POLICIES},
                "deserved_rate": {
                    p: {e: _per(self.rates[p, e].deserved, self.rates[p, e].slates) for e in ERAS}
                    for p in POLICIES
                },
                "slates": {p: {e: self.rates[p, e].slates for e in ERAS} for p in POLICIES},
                "forgetting": forgetting,
            }


def _mean(values: list[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _per(total: float, n: int) -> float | None:
    return round(total / n, 4) if n else None


def _round(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def _q(values: list[float], percent: int) -> float | None:
    if len(values) < 2:
        return round(values[0], 1) if values else None
    return round(quantiles(values, n=100, method="inclusive")[percent - 1], 1)
