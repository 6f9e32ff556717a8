"""Every message that crosses a topic: structs, strict decoding, topic names.

Field names are those that users of Personalize and Gorse know. Unknown fields are ignored, so
a producer may be newer than we are; a change of meaning gets a new `schema_version` and `.v2`.
Times are RFC 3339 with a zone, or epoch seconds.
"""

from datetime import datetime
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import Meta, Struct

from streamrec.errors import InvalidMessage

SCHEMA_VERSION = 1
MAX_MESSAGE_BYTES = 1_000_000
EARLIEST = 946_684_800.0  # 2000-01-01: an older event is a unit mistake or an unset clock
LATEST = 7_258_118_400.0  # 2200-01-01: a rule that begins or ends later has its time in milliseconds, say
MAX_SKEW_S = 86_400.0
A_MINUTE = 60.0

Id = Annotated[str, Meta(min_length=1, max_length=256)]
Slate = Annotated[list[Id], Meta(max_length=500)]
Time = Annotated[datetime, Meta(tz=True)] | float
Seconds = Annotated[float, Meta(ge=0)]
Version = Annotated[int, Meta(ge=SCHEMA_VERSION, le=SCHEMA_VERSION)]
EventType = Literal["impression", "click", "read", "like", "dismiss"]
Trigger = Literal["request", "feedback"]
Policy = Literal["live", "frozen", "popularity"]
Tier = Literal["personal", "session", "interests", "similar", "popular"]
Locale = Literal["en", "zh"]
Tags = Annotated[list[str], Meta(max_length=100)]
Unit = Annotated[float, Meta(ge=0, le=1)]
Kind = Literal["content", "interest", "label", "performance", "data-quality", "feedback-loop"]
Severity = Literal["none", "low", "medium", "high"]


class Article(Struct, kw_only=True, frozen=True):
    """`<prefix>.articles.v1`, key = item id, compacted; a null value deletes the article.

    `source` is who published it (an outlet, a journal, a shelf), `domain` what kind of thing it is
    (articles, papers, tools, …): requests can be filtered by both.
    """

    item_id: Id
    title: Annotated[str, Meta(max_length=1000)] = ""
    body: str = ""
    published_at: Time | None = None
    tags: Tags = []
    lang: str = ""
    url: str = ""
    source: str = ""
    domain: str = ""
    schema_version: Version = SCHEMA_VERSION


class Feedback(Struct, kw_only=True, frozen=True):
    """`<prefix>.feedback.v1`, key = user id. `event_value` is the dwell time in seconds.

    `impression` is the slate shown, in the order shown. An event of type impression needs a
    slate and no item; every other type needs an item.
    """

    event_id: Id
    user_id: Id
    event_type: EventType
    timestamp: Time
    item_id: Id | None = None
    session_id: str | None = None
    event_value: Seconds | None = None
    impression: Slate = []
    recommendation_id: str | None = None
    propensity: Annotated[float, Meta(gt=0, le=1)] | None = None
    schema_version: Version = SCHEMA_VERSION


class Filters(Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """Which articles may be in the answer: those that pass every filter given. `tags_any`: at least
    one of these, `tags_all`: each, `tags_none`: none of them."""

    tags_any: Tags = []
    tags_all: Tags = []
    tags_none: Tags = []
    lang: str = ""
    source: str = ""
    domain: str = ""
    published_after: Time | None = None
    exclude_items: Annotated[list[Id], Meta(max_length=5000)] = []


class Request(Struct, kw_only=True, frozen=True):
    """`<prefix>.requests.v1`, key = user id: please recommend to this reader.

    The collector asks for many readers at once (`user_ids`, trigger feedback) after it has
    applied their events; a site names one `user_id`. `policy` picks a control arm.

    `session`: articles read in this visit, newest first, for readers whom the feedback topic does
    not know. `interests`: what the reader says to like, in free text. `similar_to`: more like this
    article. `diversity`: 0 is the best articles, 1 the most different ones among the good.
    `calibration`: 0 is the best articles, 1 those whose tags are mixed as in the reader's reads.
    `explain`: give each article the reasons for its place, in `locale`. `deadline_ms`: an answer
    later than that after the request is the reader's last list instead, marked stale.
    """

    request_id: Id
    user_id: Id | None = None
    user_ids: Annotated[list[Id], Meta(max_length=5000)] = []
    n: Annotated[int, Meta(ge=1, le=500)] = 10
    trigger: Trigger = "request"
    policy: Policy = "live"
    filters: Filters | None = None
    similar_to: Id | None = None
    interests: Annotated[str, Meta(max_length=2000)] = ""
    session: Annotated[list[Id], Meta(max_length=100)] = []
    diversity: Unit | None = None
    calibration: Unit | None = None
    explain: bool = False
    locale: Locale = "en"
    deadline_ms: Annotated[int, Meta(ge=1, le=60_000)] | None = None
    schema_version: Version = SCHEMA_VERSION


class Reason(Struct, kw_only=True, frozen=True):
    """Why an article stands where it does. `kind`: read (what the reader read, `item_id`), interests,
    content, popularity, freshness, co_read, interplay, exploration, rule (`rule_id`). `weight`: what
    the score would lose without it."""

    kind: str
    text: str
    weight: float | None = None
    item_id: str | None = None
    rule_id: str | None = None


class RankedItem(Struct, kw_only=True, frozen=True):
    """One place of a slate. `propensity` is the probability that the policy put this article
    at this rank, given the reader's state; `reason` names the largest additive part; `reasons` are
    given if the request asks to `explain`, the strongest first."""

    item_id: str
    rank: int
    score: float
    propensity: float
    reason: str
    title: str = ""
    reasons: list[Reason] = []


class Recommendation(Struct, kw_only=True, frozen=True):
    """`<prefix>.recommendations.v1`, key = user id: the answer.

    `state_at` is the timestamp (epoch s) of the reader's newest event in this answer, or None
    for a reader never seen. `tier` says what the list is made of: what the reader read (personal),
    this visit (session), stated interests, one article (similar), or what is popular and new.
    `stale`: the deadline passed, and this is the reader's last list. `rules` are the ids of those that
    changed this answer. `error` says why `items` is empty.
    """

    recommendation_id: str
    request_id: str
    user_id: str
    trigger: Trigger
    policy: Policy
    model_version: str
    generated_at: float
    items: list[RankedItem]
    state_at: float | None = None
    tier: Tier = "popular"
    stale: bool = False
    rules: list[str] = []
    error: str | None = None
    schema_version: Version = SCHEMA_VERSION


class Moved(Struct, kw_only=True, frozen=True):
    """A topic's share of places, or in how many lists an article stands, before and after."""

    name: str
    before: float
    after: float
    title: str = ""


class ModelDiff(Struct, kw_only=True, frozen=True):
    """What a version changes for some recent readers: of `n` articles a reader keeps `overlap`, mean;
    topics and articles that gain or lose most places. `eras`: NDCG@10 on rows kept of each era, named
    after the version that learned it: what is forgotten."""

    older: str
    newer: str
    readers: int
    n: int
    overlap: float
    topics: list[Moved] = []
    articles: list[Moved] = []
    eras: list[Moved] = []


class ModelPointer(Struct, kw_only=True, frozen=True):
    """`<prefix>.models.v1`, key = "current", compacted: which version serves now, and why.

    `learned_until` is the newest event time (epoch s) among the rows the version was fitted on;
    `trigger` why it was trained: rows, time or drift; `diff` what it changed against its parent, unless
    it has none or brings an encoder of its own.
    """

    version: str
    parent: str | None
    action: Literal["publish", "rollback"]
    published_at: float
    learned_until: float
    rows: int
    metrics: dict[str, float]
    trigger: str = ""
    diff: ModelDiff | None = None
    schema_version: Version = SCHEMA_VERSION


class Contributor(Struct, kw_only=True, frozen=True):
    """What moved most. `kind`: topic, article, language, field (that is missing) or readers (a segment of
    them); `before` and `after`: its share in the reference and in the current window; with an alarm of label
    or performance, the mean of what is watched over what was shown or read of it (clicks per place, …); with
    one of data quality, but of languages, its share of what was wrong. `examples`: titles."""

    kind: Literal["topic", "article", "language", "field", "readers"]
    name: str
    before: float
    after: float
    examples: list[str] = []


class Finding(Struct, kw_only=True, frozen=True):
    """What one detector saw: its statistic against its threshold, and over which windows.

    `value` is None while there is not enough data; `detail` says how much is missing. `p_value` and
    `interval` (95 %): how sure it is; `divergence`: Jensen-Shannon, in bits, of a mix; `first_seen`: event
    time (epoch s) of the first value that differs.
    """

    detector: str
    alarm: bool
    value: float | None
    threshold: float | None
    samples: int
    reference: str
    current: str
    detail: str = ""
    kind: Kind | None = None
    severity: Severity = "none"
    p_value: float | None = None
    interval: tuple[float, float] | None = None
    divergence: float | None = None
    first_seen: float | None = None
    contributors: list[Contributor] = []


ASKED = "asked for an update"  # the action of a report whose alarms learning may answer


class DriftReport(Struct, kw_only=True, frozen=True):
    """`<prefix>.drift-reports.v1`: one report at each alarm and each period. `action`: what was done about
    it, or what holds the update back; the trainer decides whether one that an alarm asks for is due.
    `quality`: click rate and calibration error (expected, of the chances within a slate) of the served model,
    and NDCG@10 on rows not seen yet of it and its controls, now and before (names ending in `_before`): with
    an alarm, when what it tells of had not begun, if that is known; else at the last report."""

    report_id: str
    generated_at: float
    trigger: Literal["alarm", "period"]
    model_version: str
    events: int
    findings: list[Finding]
    action: str = ""
    quality: dict[str, float] = {}
    schema_version: Version = SCHEMA_VERSION


class Match(Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """Which articles a rule is about: those that fit everything given, at least one thing."""

    tags: Tags = []
    source: str = ""
    domain: str = ""
    lang: str = ""
    item_ids: Annotated[list[Id], Meta(max_length=1000)] = []


class Rule(Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """`<prefix>.rules.v1`, key = rule id, compacted; a null value ends the rule.

    boost and bury multiply the odds of the matching articles by `factor` (bury: divide), block keeps
    them out, pin puts them at `position` (from 1). In force from `since` until `until` (wall time).
    """

    rule_id: Id
    action: Literal["boost", "bury", "pin", "block"]
    match: Match
    factor: Annotated[float, Meta(gt=1, le=1000)] = 2.0
    position: Annotated[int, Meta(ge=1, le=500)] = 1
    since: Time | None = None
    until: Time | None = None
    schema_version: Version = SCHEMA_VERSION


MESSAGES: dict[str, type[Struct]] = {
    "articles": Article,
    "feedback": Feedback,
    "requests": Request,
    "recommendations": Recommendation,
    "models": ModelPointer,
    "drift-reports": DriftReport,
    "rules": Rule,
}
T = TypeVar("T", bound=Struct)
_encoder = msgspec.json.Encoder()
_decoders: dict[type, msgspec.json.Decoder[Any]] = {
    t: msgspec.json.Decoder(t) for t in MESSAGES.values()
}


def topic(prefix: str, name: str) -> str:
    """Topic of a message name: `topic("streamrec", "feedback") == "streamrec.feedback.v1"`."""
    return f"{prefix}.{name}.v{SCHEMA_VERSION}"


def encode(message: Struct) -> bytes:
    """One message as JSON bytes."""
    return _encoder.encode(message)


def well_read(seconds: Any) -> Any:
    """What a read so long (seconds, a number or a tensor) is worth, in [0, 1): a minute is half of
    it, so that a page left open outweighs nothing."""
    return seconds / (seconds + A_MINUTE)


def epoch(t: datetime | float) -> float:
    """Epoch seconds of a `Time`."""
    return t if isinstance(t, float) else t.timestamp()


def decode(kind: type[T], value: bytes | None, now: float) -> T:
    """Strictly decode one message. Raises InvalidMessage with the field's name."""
    if value is None:
        raise InvalidMessage("the value is null: only articles may be deleted with a null value")
    if len(value) > MAX_MESSAGE_BYTES:
        raise InvalidMessage(f"{len(value)} bytes: at most {MAX_MESSAGE_BYTES} are taken")
    try:
        message: T = _decoders[kind].decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidMessage(str(error)) from None
    if b"\\" in value and kind in (Feedback, Article):  # JSON escapes them: else a scan per id
        _no_control_characters(message)
    check = _CHECKS.get(kind)
    if check:
        check(message, now)
    return message


class Asker(Struct, frozen=True):
    """Of a request that cannot be understood: whom to tell."""

    request_id: Id
    user_id: Id


def who_asks(value: bytes | None) -> Asker | None:
    """Who sent a request that `decode` refuses, if that much can be read of it."""
    if value is None or len(value) > MAX_MESSAGE_BYTES:
        return None
    try:
        return msgspec.json.decode(value, type=Asker)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _no_control_characters(message: Any) -> None:
    """Ids are joined with control characters in Redis, so they may hold none."""
    for field in ("user_id", "item_id"):
        if any(c < " " for c in getattr(message, field, None) or ""):
            raise InvalidMessage(f"an id holds a control character - at `$.{field}`")


def _check_feedback(event: Feedback, now: float) -> None:
    ts = epoch(event.timestamp)
    if not EARLIEST <= ts <= now + MAX_SKEW_S:
        raise InvalidMessage(f"timestamp {ts:.0f} lies before 2000 or over a day ahead - at `$.timestamp`")
    if event.event_type == "impression":
        if not event.impression:
            raise InvalidMessage("an impression needs the slate shown - at `$.impression`")
    elif event.item_id is None:
        raise InvalidMessage(f"a {event.event_type} needs an item - at `$.item_id`")


def _check_article(article: Article, now: float) -> None:
    if article.published_at is not None and epoch(article.published_at) > now + MAX_SKEW_S:
        raise InvalidMessage("published over a day ahead - at `$.published_at`")


def _check_request(request: Request, now: float) -> None:
    if (request.user_id is None) == (not request.user_ids):
        raise InvalidMessage("give either user_id or user_ids - at `$.user_id`")


def _check_rule(rule: Rule, now: float) -> None:
    m = rule.match
    if not (m.tags or m.source or m.domain or m.lang or m.item_ids):
        raise InvalidMessage("a rule must name what it is about - at `$.match`")
    if rule.action == "pin" and not m.item_ids:
        raise InvalidMessage("a pin needs articles - at `$.match.item_ids`")
    for name, at in (("since", rule.since), ("until", rule.until)):
        if at is not None and not EARLIEST <= epoch(at) < LATEST:
            raise InvalidMessage(f"{epoch(at):.0f} s lie before 2000 or after 2199 - at `$.{name}`")
    if rule.since is not None and rule.until is not None and epoch(rule.since) >= epoch(rule.until):
        raise InvalidMessage("a rule ends after it begins - at `$.until`")


def _check_report(report: DriftReport, now: float) -> None:
    seen = [("generated_at", report.generated_at), *((f"findings[{i}].first_seen", f.first_seen)
                                                     for i, f in enumerate(report.findings))]
    for name, at in seen:
        if at is not None and not 0 <= at < LATEST:
            raise InvalidMessage(f"{at:g} s is no time of a report - at `$.{name}`")


_CHECKS: dict[type, Any] = {
    DriftReport: _check_report,
    Feedback: _check_feedback,
    Article: _check_article,
    Request: _check_request,
    Rule: _check_rule,
}
