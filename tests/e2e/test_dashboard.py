"""The dashboard in a real browser against the running system: the curve moves, an alarm leads to its report,
the report names what rose, a model is rolled back. `make screenshots` keeps the pictures."""

import json
import os
import re
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from streamrec.demo.measure import Measured
from streamrec.demo.site import Site
from streamrec.demo.world import World, WorldConfig
from streamrec.events import DriftReport, Feedback, encode
from streamrec.operate.drift import reports
from tests.e2e.browser import Tab, chromium, tab
from tests.e2e.harness import Stack, wait_until

pytestmark = [pytest.mark.server, pytest.mark.alone]
QUICK = {
    "STREAMREC_TRAINER__TRIGGER_ROWS": "300", "STREAMREC_TRAINER__TRIGGER_S": "8",
    "STREAMREC_TRAINER__MIN_ROWS": "150", "STREAMREC_MONITOR__PERIOD_S": "10",
    "STREAMREC_MONITOR__CLICK_TIMEOUT_S": "2", "STREAMREC_MONITOR__REFERENCE": "300",
    "STREAMREC_MONITOR__WINDOW": "150", "STREAMREC_ENCODER__MAX_TOKENS": "32",
    "STREAMREC_TRAINER__GATE": "false", "STREAMREC_WEB__PASSWORD": "secret", "STREAMREC_TRACES__SHARE": "1",
}
RISING, READS = 3, 600  # topics, and reads of them that nobody recommended


@contextmanager
def running_site(stack: Stack, seconds: float) -> Iterator[World]:
    """The demo's site on the test's topics."""
    world = World(WorldConfig(articles=600, readers=200, shift_at=0.99))
    site = Site(world, stack.parts.broker, stack.parts.names, Measured(), 20.0)
    site.open(90.0)
    thread = threading.Thread(target=site.run, args=(seconds,))
    thread.start()
    try:
        yield world
    finally:
        site.stop.set()
        thread.join()
        site.close()


def turn_to(stack: Stack, world: World) -> set[str]:
    """All at once readers find articles of some topics by themselves; which topics."""
    published = [world.article(i) for i in range(len(world.articles))]
    published = [a for a in published if a.released_at == 0 and a.tags]
    topics = sorted({a.tags[0] for a in published})[:RISING]
    wanted = [a.item_id for a in published if a.tags[0] in topics]
    publisher = stack.parts.broker.publisher()
    for n in range(READS):
        event = Feedback(event_id=uuid.uuid4().hex, user_id=f"guest-{n % 97}", event_type="read",
                         item_id=wanted[n % len(wanted)], timestamp=time.time(), event_value=30.0)
        publisher.send(stack.topic("feedback"), event.user_id.encode(), encode(event))
    publisher.close()
    return set(topics)


@pytest.fixture
def live(stack: Stack) -> Iterator[tuple[Stack, World, str]]:
    chromium()
    stack.env |= QUICK | {"STREAMREC_TRACES__TO": str(stack.home / "spans.jsonl")}
    for name in ("collect", "catalogue", "score", "train", "monitor", "web"):
        stack.start(name)
    found = wait_until(lambda: (stack.parts.board.get("web") or {}).get("url"), 90, "the web process listens")
    with running_site(stack, 150.0) as world:
        yield stack, world, str(found)


def follow_a_click(stack: Stack) -> set[str]:
    """The steps of the click that went furthest."""
    steps: dict[str, set[str]] = {}
    for line in (stack.home / "spans.jsonl").read_text().splitlines():
        if line.endswith("}"):  # the last one may be on its way
            span = json.loads(line)
            steps.setdefault(span["context"]["trace_id"], set()).add(span["name"])
    return max(steps.values(), key=len)


def verdict(t: Tab, title: str) -> Any:
    """The sentence below a card's title."""
    return t.page.get_by_role("region", name=title).get_by_role("status")


def moves(t: Tab) -> None:
    """The click rate is told, and told anew."""
    rate = verdict(t, "Is it right? Clicks per slate")
    wait_until(lambda: rate.inner_text().startswith("Live 0."), 60, "there is a click rate")
    before = rate.inner_text()
    wait_until(lambda: rate.inner_text() != before, 20, "the click rate moves")


def first_alarm(stack: Stack, since: float, rising: set[str]) -> DriftReport:
    """The first report after this moment whose alarm of the mix of topics names two of those that rise at
    least: the small windows of this test may have alarmed before they held the turn."""
    def look() -> DriftReport | None:
        found = reports(stack.parts.broker, stack.topic("drift-reports"))
        return next((r for r in found if r.generated_at > since and len(rose(r) & rising) >= 2), None)
    report: DriftReport = wait_until(look, 60, "an alarm that names what rose", every=1.0)
    return report


def rose(report: DriftReport) -> set[str]:
    """The topics that an alarm of their mix says have risen."""
    return {c.name for f in report.findings if f.detector == "topic-mix" and f.alarm
            for c in f.contributors if c.kind == "topic" and c.after > c.before}


def follow_alarm(t: Tab, report: DriftReport, rising: set[str]) -> None:
    """From the alarm to its report, which names what rose. Who presses slowly is led there too, though the
    page moves below the finger."""
    alarm = t.page.locator(f'a[href$="{report.report_id}"]').first
    alarm.hover(timeout=30_000)
    alarm.click(delay=1_500)
    t.page.get_by_role("heading", name="topic-mix").wait_for()
    rows = t.page.get_by_role("region", name="topic-mix").get_by_role("row").all_inner_texts()
    shares = [re.match(r"topic: (.+)\t([\d.]+) %\t([\d.]+) %", text) for text in rows]
    shown = {m[1] for m in shares if m and float(m[3]) > float(m[2])}
    assert shown == rose(report) and len(shown & rising) >= 2, (rising, rows)
    t.picture("drift-report")


def press_alarm(t: Tab) -> None:
    """A point of the timeline leads to its report, too."""
    t.open("/")
    t.press_point("Alarms, updates and swaps", "alarm")
    t.page.wait_for_url(re.compile(f"^{t.base}/dashboard/drift/drift-"))
    t.page.get_by_role("heading", name="Report drift-").wait_for()


def ask_for(t: Tab, page: str, box: str, wanted: str) -> None:
    """An id and Enter lead to what is known of it."""
    t.open(f"/dashboard/{page}")
    t.page.get_by_label(box).fill(wanted)
    t.page.get_by_label(box).press("Enter")
    t.page.wait_for_url(re.compile(rf"^{t.base}/dashboard/{page}\?\w+={wanted}$"))


def roll_back(t: Tab, stack: Stack) -> None:
    """Not without the password; then to the version before."""
    t.open("/dashboard/models")
    t.page.get_by_text("Log in to do this.").wait_for()
    assert not t.page.get_by_role("button", name="Roll back").count()
    t.page.goto(f"{t.base}/login?to=/dashboard/models")
    t.page.get_by_label("Password").fill("secret")
    t.page.get_by_role("button", name="Log in").click()
    t.page.get_by_role("button", name="Compare").click()
    t.page.get_by_text("readers keep").wait_for()
    t.picture("models")
    t.page.get_by_role("button", name="Roll back").click()
    t.page.get_by_role("button", name="Yes").click()
    said = t.page.get_by_text("is the model now").inner_text()
    older = said.split()[1]
    pointer = stack.parts.registry.current()
    # An increment may have been published meanwhile: then its parent is that version again.
    parents = {r.version: r.parent for r in stack.parts.registry.pointers.records()}
    assert older in (pointer.version, parents[str(pointer.version)])


@pytest.mark.timeout(400)
def test_the_dashboard_shows_the_loop_and_leads_to_what_happened(
    live: tuple[Stack, World, str], tmp_path: Path
) -> None:
    stack, world, base = live
    pictures = Path(os.environ.get("STREAMREC_TEST_PICTURES") or tmp_path)
    with tab(base, pictures) as t:
        t.open("/")
        moves(t)
        wait_until(lambda: len(stack.parts.registry.pointers.records()) > 2, 90, "three versions", every=0.5)
        turned = time.time()
        rising = turn_to(stack, world)
        report = first_alarm(stack, turned, rising)
        t.picture("overview")
        follow_alarm(t, report, rising)
        press_alarm(t)
        for page in ("drift", "letters", "article"):
            t.open(f"/dashboard/{page}")
            t.page.wait_for_timeout(500)
            t.picture(page)
        ask_for(t, "article", "Article's id", world.article(0).item_id)
        t.page.get_by_role("region", name="Most like it").get_by_role("link").first.wait_for()
        ask_for(t, "reader", "Reader's id", "guest-1")
        t.page.get_by_role("region", name="Their list now").get_by_role("link").first.wait_for()
        t.picture("reader")
        diff = stack.parts.registry.pointers.records()[-1].diff
        assert diff is not None and diff.readers > 10 and 0 < diff.overlap <= diff.n
        roll_back(t, stack)
        assert t.outside == [] and t.complaints == []
    assert follow_a_click(stack) == {"collect", "answer", "learn", "serve"}
