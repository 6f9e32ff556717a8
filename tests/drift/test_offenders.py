"""An alarm of data quality says what is wrong with which articles, and how much of it is one reader's."""

import random
from collections.abc import Callable, Iterable

import numpy as np
import pytest
from msgspec.structs import replace

from streamrec.config import Monitor
from streamrec.drift.contributors import Published
from streamrec.drift.monitor import DriftMonitor
from streamrec.events import Contributor, Feedback, Finding

QUIET = Monitor(period_s=1e9)
SOUND = Published("sound", "Sound", "en")


def published(
    monitor: DriftMonitor, n: int, of: Callable[[int], Published], length: float = 1.0
) -> list[Finding]:
    """Alarms told along `n` articles more, named a0, a1, … as they come."""
    rng, told = np.random.default_rng(monitor._published), list[Finding]()
    for _ in range(n):
        i = monitor._published
        vector = rng.standard_normal(32).astype(np.float32)
        monitor.article(f"a{i}", of(i), vector / np.linalg.norm(vector) * np.float32(length))
        told += alarms(monitor)
    return told


def alarms(monitor: DriftMonitor) -> list[Finding]:
    report = monitor.due(0.0)
    return [f for f in report.findings if f.alarm] if report else []


def sent(monitor: DriftMonitor, events: Iterable[Feedback]) -> list[Finding]:
    told = []
    for event in events:
        monitor.feedback(event)
        told += alarms(monitor)
    return told


def along(monitor: DriftMonitor, n: int, of: Callable[[int], Published]) -> list[Finding]:
    """As `published`, with a read between two articles, so that event time goes on."""
    start = monitor._published
    return [f for i in range(start, start + n)
            for f in (*sent(monitor, [reading(i)]), *published(monitor, 1, of))]


def reading(n: int, user: str = "", late: float = 0.0) -> Feedback:
    return Feedback(event_id=f"x{n}", user_id=user or f"u{n % 90}", event_type="read", item_id=f"a{n % 20}",
                    timestamp=1e9 + n - late, event_value=30.0)


def contributors(found: list[Finding], name: str, kind: str) -> list[Contributor]:
    [finding] = [f for f in found if f.detector == name]
    return [c for c in finding.contributors if c.kind == kind]


def test_an_alarm_of_missing_texts_names_their_topic_and_the_newest_of_them() -> None:
    monitor = DriftMonitor(QUIET)
    assert published(monitor, 1000, lambda i: SOUND) == []
    bare = Published("bare", "", "en", has_text=False)
    found = published(monitor, 300, lambda i: bare._replace(title=f"Bare {i}") if i % 2 else SOUND)
    [topic] = contributors(found, "missing-text", "topic")
    assert (topic.name, topic.before, topic.after) == ("bare", 0.0, 1.0)
    articles = contributors(found, "missing-text", "article")
    assert len(articles) == 3 and all(c.examples == [f"Bare {c.name[1:]}"] for c in articles)
    assert [int(c.name[1:]) for c in articles] == sorted((int(c.name[1:]) for c in articles), reverse=True)


def test_an_alarm_of_the_length_of_vectors_names_articles_whose_vectors_are_of_another() -> None:
    monitor = DriftMonitor(QUIET)
    assert published(monitor, 1000, lambda i: SOUND) == []
    found = published(monitor, 300, lambda i: SOUND, length=1.5)
    articles = contributors(found, "vector-norm", "article")
    assert articles and all(int(c.name[1:]) >= 1000 for c in articles)


def test_an_alarm_of_languages_calls_them_no_topics() -> None:
    monitor, rng = DriftMonitor(QUIET), random.Random(1)
    assert published(monitor, 3000, lambda i: SOUND) == []
    found = published(monitor, 900, lambda i: SOUND._replace(lang=rng.choice(["en", "zh"])))
    assert contributors(found, "language-mix", "topic") == []
    assert [c.name for c in contributors(found, "language-mix", "language")] == ["zh", "en"]


@pytest.mark.parametrize("name", ["duplicates", "clock-skew"])
def test_an_alarm_of_what_one_client_sends_says_that_it_is_one_and_not_who(name: str) -> None:
    monitor = DriftMonitor(QUIET)
    published(monitor, 20, lambda i: SOUND)
    assert sent(monitor, (reading(n) for n in range(2000))) == []

    def broken(n: int) -> list[Feedback]:
        if name == "duplicates":
            return [reading(n, "broken")] * 2
        return [reading(n, "broken", late=3600.0)]
    found = sent(monitor, (e for n in range(2000, 2600) for e in (broken(n) if n % 5 == 0 else [reading(n)])))
    one, known = contributors(found, name, "readers")
    assert one.name == "the one with most of it" and one.before == 0.0 and one.after == 1.0
    assert known.name == "who have read before" and known.after > 0.9
    assert contributors(found, name, "article")[0].examples == ["Sound"]
    assert "broken" not in str(found)


def test_an_alarm_of_missing_fields_says_which_are_missing_where_one_never_was_there() -> None:
    monitor, nameless = DriftMonitor(QUIET), SOUND._replace(lang="")
    assert along(monitor, 1000, lambda i: nameless) == []
    bare = nameless._replace(title="", has_tags=False)
    found = along(monitor, 300, lambda i: bare if i % 2 else nameless)
    title, tags, language = contributors(found, "missing-fields", "field")
    assert {title.name, tags.name} == {"title", "tags"} and language.name == "language"
    assert title.after > title.before == 0.0 and language.after < language.before == 1.0
    newest = contributors(found, "missing-fields", "article")
    assert newest and all(int(c.name[1:]) % 2 for c in newest), "of those that lack most"
    assert {f.detector for f in found} <= {"missing-fields", "new-words"}


def test_reads_that_come_without_their_dwell_are_an_alarm_once() -> None:
    monitor, rng = DriftMonitor(QUIET), random.Random(1)
    published(monitor, 20, lambda i: SOUND)

    def reads(start: int, without: float) -> list[Finding]:
        every = [reading(n) for n in range(start, start + 3000)]
        return sent(monitor, (replace(e, event_value=None) if rng.random() < without else e for e in every))
    assert reads(0, 0.02) == []
    found = reads(3000, 0.3)
    assert [f.detector for f in found] == ["missing-dwell"] and found[0].current.startswith("newest ")
    assert contributors(found, "missing-dwell", "article")[0].examples == ["Sound"]
    assert reads(6000, 0.0) == [], "that it is mended is no alarm"


def test_a_site_that_never_sends_a_field_has_no_alarm_whatever_the_share_of_reads_to_articles() -> None:
    monitor, found = DriftMonitor(QUIET), list[Finding]()
    for step in range(40):
        found += published(monitor, 100 if step < 20 else 5, lambda i: SOUND._replace(title="", lang=""))
        many = range(200 * step, 200 * step + (20 if step < 20 else 200))
        found += sent(monitor, (replace(reading(n), event_value=None) for n in many))
    assert found == []
    fields, dwells = monitor.detectors.fields.report(), monitor.detectors.dwells.report()
    assert fields.samples == 2100 and fields.detail == "stays at 0.667"
    assert dwells.samples == 4400 and dwells.detail == "stays at 1.000"
