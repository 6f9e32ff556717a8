"""The synthetic site's own readers turn to other topics; the monitor's report says which."""

import gzip
import json
from pathlib import Path

import pytest

from streamrec.demo.log import at, simulate
from streamrec.demo.world import World, WorldConfig
from streamrec.errors import RetryLater
from streamrec.events import DriftReport
from streamrec.operate.drift import reports
from tests.e2e.harness import Stack, wait_until

pytestmark = pytest.mark.server
SITE = WorldConfig(  # no topic goes quiet, and no section is wrong
    seed=2, articles=800, rising=3, shift_share=0.6, quiet_from=2.0, section_right=1.0)
EACH_ARTICLE = "missing-text"  # it looks at each article once
PACE = "100000"  # the second half takes 12 s: its events come in order, whatever their partition


def parts_of_a_log(folder: Path) -> list[Path]:
    """The articles, and the events before the shift and after it."""
    simulate(folder, SITE, visits=20_000)
    with gzip.open(folder / "events.jsonl.gz", "rt") as lines:
        rows = [json.loads(line) for line in lines]
    halves = {"before": [r for r in rows if r["ts"] < at(SITE.shift_at)],
              "after": [r for r in rows if r["ts"] >= at(SITE.shift_at)]}
    found = []
    for name, some in {"articles": [], **halves}.items():
        found.append(folder / name)
        found[-1].mkdir()
        (found[-1] / "events.jsonl").write_text("".join(json.dumps(r) + "\n" for r in some))
        (found[-1] / "articles.jsonl").write_text("")
    (found[0] / "articles.jsonl").unlink()
    (folder / "articles.jsonl.gz").rename(found[0] / "articles.jsonl.gz")
    return found


def rose(report: DriftReport) -> set[str]:
    """Topics that its alarms say have risen."""
    return {c.name for f in report.findings if f.alarm for c in f.contributors
            if c.kind == "topic" and c.after > c.before}


def test_a_report_names_the_topics_that_rose(stack: Stack, home: Path) -> None:
    articles, before, after = parts_of_a_log(home / "log")
    stack.env |= {"STREAMREC_ENCODER__MAX_TOKENS": "16", "STREAMREC_MONITOR__PERIOD_S": "2"}
    for name in ("catalogue", "monitor"):
        stack.start(name)
    rising = {World(SITE).topic_names[t] for t in World(SITE).rising_topics}

    def published(folder: Path, speed: str) -> None:
        done = stack.run("replay", str(folder), "--speed", speed, "--no-announce-unknown")
        assert done.returncode == 0, done.stderr
        wait_until(lambda: not behind(stack), 60, "the monitor has read it all")
    published(articles, "max")
    # A read counts for the topics only if its article is known: without these waits a busy machine compares
    # what was read after the shift with what was read after the shift.
    wait_until(lambda: stack.parts.catalogue(1).size() == SITE.articles, 60, "all articles are known")
    wait_until(lambda: known(stack) == SITE.articles, 60, "the monitor knows them, too", every=0.5)
    published(before, "max")
    old = {r.report_id for r in told(stack)}
    published(after, PACE)

    def named() -> DriftReport | None:
        return next((r for r in told(stack) if r.report_id not in old and len(rose(r) & rising) >= 2), None)
    report = wait_until(named, 30, f"an alarm that names two of {rising}", every=1.0)
    examples = [c.examples for f in report.findings if f.alarm for c in f.contributors if c.name in rising]
    assert any(examples), report


def told(stack: Stack) -> list[DriftReport]:
    return reports(stack.parts.broker, stack.topic("drift-reports"))


def known(stack: Stack) -> int:
    """How many articles the monitor has told of in its last report."""
    last = told(stack)[-1:]
    return sum(f.samples for r in last for f in r.findings if f.detector == EACH_ARTICLE)


def behind(stack: Stack) -> bool:
    try:
        lag = stack.parts.broker.group_lag(stack.parts.names.group("monitor"), [stack.topic("feedback")])
        return any(lag.values())
    except RetryLater:  # nobody has joined yet
        return True
