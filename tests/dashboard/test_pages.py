"""The pages in a real browser, over memory adapters: where they lead, what they say, and on which screens."""

from collections.abc import Iterator
from pathlib import Path

import nicegui
import pytest

from tests.dashboard.page_site import REPORTS, PageSite
from tests.e2e.browser import Tab, chromium, tab
from tests.e2e.harness import wait_until

LONG = "reader-" + "x" * 200
CONTRAST = """(button) => {
  const light = (rgb) => rgb.match(/[\\d.]+/g).slice(0, 3).map((c) => c / 255)
    .map((c) => c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  let behind = button;
  while (/, 0\\)$/.test(getComputedStyle(behind).backgroundColor)) behind = behind.parentElement;
  const both = [getComputedStyle(button).color, getComputedStyle(behind).backgroundColor].map(light);
  return (Math.max(...both) + 0.05) / (Math.min(...both) + 0.05);
}"""


@pytest.fixture(scope="module")
def there() -> Iterator[tuple[PageSite, str]]:
    """One for all tests: the library keeps pages globally."""
    chromium()
    site = PageSite()
    with site.served() as base:
        yield site, base


@pytest.fixture
def t(there: tuple[PageSite, str], tmp_path: Path) -> Iterator[Tab]:
    with tab(there[1], tmp_path) as t:
        yield t
        assert t.outside == []


def log_in(t: Tab, page: str) -> None:
    t.page.goto(f"{t.base}/login?to=/dashboard/{page}")
    t.page.get_by_label("Password").fill("secret")
    t.page.get_by_role("button", name="Log in").click()
    t.page.get_by_role("navigation", name="Pages").wait_for()


def said(t: Tab, title: str) -> str:
    return t.page.get_by_role("region", name=title).get_by_role("status").first.inner_text()


def test_what_a_monitor_that_is_gone_said_last_is_not_shown_as_of_now(
    t: Tab, there: tuple[PageSite, str]
) -> None:
    def value(name: str) -> str:
        return t.page.get_by_label(name, exact=True).inner_text()

    site = there[0]
    site.beat(0.0)
    t.open("/dashboard/")
    wait_until(lambda: value("events/s") != "-", 20, "the monitor speaks")
    assert value("click to list, p50") == "47 ms" and said(t, "Is it fresh?").startswith(("Yes.", "No model"))
    site.beat(-600.0)
    silent = "Not known now: the monitor last spoke 10 min ago."
    for title in ("Is it fresh?", "Is it right? Clicks per slate", "Is it right? Chance said"):
        wait_until(lambda title=title: said(t, title) == silent, 20, f"{title} says that it is not known")
    assert {value(n) for n in ("events/s", "answers/s", "click to list, p50", "click to list, p99")} == {"-"}
    assert "streamrec monitor" in said(t, "Is it alive?") and value("dead letters") != "-"


@pytest.mark.parametrize(("page", "box", "field"), [("reader", "Reader's id", "user"),
                                                    ("article", "Article's id", "item")])
def test_an_id_and_enter_lead_to_its_page(t: Tab, page: str, box: str, field: str) -> None:
    t.open(f"/dashboard/{page}")
    t.page.get_by_label(box).fill("a/1 ö&x")
    t.page.get_by_label(box).press("Enter")
    t.page.wait_for_url(f"{t.base}/dashboard/{page}?{field}=a%2F1+%C3%B6%26x")
    t.page.get_by_text("Nothing is known of this reader." if page == "reader" else "is live").wait_for()


def test_each_kept_version_can_be_asked_what_it_would_have_said_and_by_the_keyboard(
    t: Tab, there: tuple[PageSite, str]
) -> None:
    site, title = there[0], "What others would have said"
    names = [str(n) for n in range(11, 18)]
    for version in names:
        site.publish(version)
    wait_until(lambda: set(names) <= set(site.site.kept()), 20, "the pages know of all")
    n = len(site.site.kept())
    t.open("/dashboard/reader?user=somebody")
    wait_until(lambda: f"the newest 4 of {n} are told" in said(t, title), 20, "it says that there are more")
    tables = t.page.get_by_role("region", name="Table: by, the same as now")
    rows = tables.first.get_by_role("row").all_inner_texts()
    assert [r.split("\t")[0] for r in rows][3:] == [f"version {v}" for v in names[:2:-1]]
    box = t.page.get_by_role("combobox", name="another version")
    box.focus()
    for key in ("ArrowDown", "ArrowDown", "Enter"):
        t.page.keyboard.press(key)
        t.page.wait_for_timeout(300)
    wait_until(lambda: tables.count() == 2, 20, "it has been asked")
    name, shared, first = tables.last.get_by_role("row").last.inner_text().split("\t")
    assert name.removeprefix("version ") in names[:3] and shared.endswith("of 9") and "Title a" in first


def test_a_point_of_the_timeline_leads_to_its_report(t: Tab, there: tuple[PageSite, str]) -> None:
    there[0].alarm("odd/../r?1")
    t.open("/dashboard/")
    t.press_point("Alarms, updates and swaps", "alarm")
    t.page.get_by_role("heading", name="Report odd/../r?1").wait_for()
    body = t.page.inner_text("body")
    assert "NDCG@10 of the new model" in body
    assert "Above its threshold without one: click-rate" in body and "not yet an alarm: for a reason" in body
    t.open("/dashboard/drift")
    t.page.get_by_role("link", name="odd/../r?1").click()
    t.page.get_by_role("heading", name="Report odd/../r?1").wait_for()


def test_the_list_of_reports_is_of_alarms_unless_all_are_asked_for(
    t: Tab, there: tuple[PageSite, str]
) -> None:
    there[0].alarm("loud")
    there[0].alarm("quiet", trigger="period")
    t.open("/dashboard/drift")
    t.page.get_by_role("link", name="loud").wait_for()
    assert t.page.get_by_role("link", name="quiet").count() == 0
    t.page.get_by_text("reports without an alarm, too").click()
    t.page.get_by_role("link", name="quiet").wait_for()


def test_a_missing_topic_of_reports_is_told(t: Tab, there: tuple[PageSite, str]) -> None:
    there[0].kafka.missing = REPORTS
    try:
        t.open("/dashboard/drift")
        t.page.get_by_text("The topic of drift reports is away").wait_for(timeout=40_000)
        t.page.get_by_text("run `streamrec topics create`").wait_for()
    finally:
        there[0].kafka.missing = ""
    t.page.get_by_text("The topic of drift reports is away").wait_for(state="hidden", timeout=20_000)


def test_dead_letters_are_told_once_they_are_known_and_marked_once_sent_back(
    t: Tab, there: tuple[PageSite, str]
) -> None:
    site, title = there[0], "Messages that could not be used"
    site.kafka.away = True
    log_in(t, "letters")
    wait_until(lambda: "Not to be had now: Kafka is away" in said(t, title), 20, "it says why")
    assert "There are none." not in t.page.inner_text("body")
    site.die("no number: " + "9" * 300)
    site.kafka.away = False
    n = site._facts()["dead_letters"]  # other tests' too: never sent back
    kept = f"{n} are kept. Not sent back yet: {n} from w.feedback.v1."
    wait_until(lambda: kept in said(t, title), 20, "it knows, though nobody has loaded it again")
    row = t.page.get_by_role("row").nth(1).inner_text().split("\t")
    assert row[0].endswith("s ago") and len(row[2]) < 170 and row[5] == "no"
    t.page.get_by_role("button", name="Send back").click()
    t.page.get_by_role("button", name="Yes").click()
    t.page.get_by_text(f"{n} were sent back to their topics.").wait_for()
    wait_until(lambda: "Not sent back yet: none." in said(t, title), 20, "it is marked")


def test_on_a_narrow_screen_each_cell_names_its_column(t: Tab, there: tuple[PageSite, str]) -> None:
    site = there[0]
    site.web.read(LONG, "a1")
    site.alarm("drift-" + "9" * 120)
    site.die("no good")
    for page in (f"reader?user={LONG}", "article?item=a1", "drift", "letters", "models", ""):
        t.open(f"/dashboard/{page}")
        t.picture(page.split("?")[0] or "overview")
    t.page.set_viewport_size({"width": 400, "height": 900})
    t.open(f"/dashboard/reader?user={LONG}")
    why = t.page.locator("td[data-label=why]").first
    box = why.bounding_box()
    assert box and box["x"] >= 0 and box["x"] + box["width"] <= 400
    assert why.evaluate("e => getComputedStyle(e, '::before').content") == '"why"'


def test_dark_or_light_is_the_opposite_of_what_is_shown_and_stays(t: Tab) -> None:
    t.page.emulate_media(color_scheme="dark")
    t.open("/dashboard/models")
    body, button = t.page.locator("body"), t.page.get_by_role("button", name="Dark or light")
    assert "body--dark" in str(body.get_attribute("class"))
    button.click()
    wait_until(lambda: "body--light" in str(body.get_attribute("class")), 5, "it is light")
    t.open("/dashboard/drift")
    assert "body--light" in str(body.get_attribute("class"))
    button.click()
    wait_until(lambda: "body--dark" in str(body.get_attribute("class")), 5, "it is dark again")


def test_who_sees_little_or_nothing_is_told_what_is_what(t: Tab) -> None:
    log_in(t, "letters")
    assert t.page.get_by_role("region", name="Table: when, from, why").get_attribute("tabindex") == "0"
    assert t.page.locator("html").get_attribute("lang") == "en-US"
    for scheme in ("light", "dark"):
        t.page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        for name in ("Dark or light", "Send back"):
            button = t.page.get_by_role("button", name=name)
            assert wait_until(lambda b=button: b.evaluate(CONTRAST) >= 4.5, 5, f"{name}, {scheme}")
    button = t.page.get_by_role("button", name="Dark or light")
    t.page.get_by_role("link", name="Dead letters").focus()
    t.page.keyboard.press("Tab")
    assert button.evaluate("b => b.matches(':focus-visible') && getComputedStyle(b).outlineStyle") == "solid"


def test_where_nothing_is_the_bar_leads_on(t: Tab) -> None:
    answer = t.page.goto(f"{t.base}/dashboard/nothing/here")
    assert answer and answer.status == 404
    t.page.get_by_role("heading", name="No such page").wait_for()
    t.page.get_by_role("link", name="Models").click()
    t.page.get_by_role("heading", name="Roll back").wait_for()
    file = t.page.request.get(f"{t.base}/dashboard/_nicegui/{nicegui.__version__}/libraries/none")
    assert file.status == 404 and "not found" in file.json()["detail"]


def test_who_logs_out_by_the_keyboard_can_act_on_no_page_any_more(t: Tab) -> None:
    log_in(t, "letters")
    with t.page.expect_popup() as opened:
        t.page.evaluate("window.open('/dashboard/letters')")
    other = opened.value
    send = other.get_by_role("button", name="Send back")
    send.wait_for()
    t.page.get_by_role("button", name="Dark or light").focus()
    t.page.keyboard.press("Tab")
    out = t.page.get_by_role("button", name="Log out")
    assert out.evaluate("b => b.matches(':focus-visible') && getComputedStyle(b).outlineStyle") == "solid"
    t.page.keyboard.press("Enter")
    t.page.get_by_role("link", name="log in").wait_for()
    t.open("/dashboard/letters")
    t.page.get_by_text("Log in to do this.").wait_for()
    send.click()
    other.get_by_role("button", name="Yes").click()
    other.get_by_text("Log in to do this.").wait_for()


def test_a_rollback_names_the_version_and_a_second_one_says_that_it_serves(
    t: Tab, there: tuple[PageSite, str]
) -> None:
    facts = there[0].site.facts
    for version in ("1", "2"):
        there[0].publish(version)
    wait_until(lambda: facts.seen.value.get("model", {}).get("version") == "2", 20, "the page knows of it")
    log_in(t, "models")
    button = t.page.get_by_role("button", name="Roll back")

    def offered() -> int:
        t.open("/dashboard/models")
        return button.count()
    wait_until(offered, 20, "the page knows of both", every=0.5)
    assert said(t, "Roll back") == "Version 2 is the model."
    t.page.set_viewport_size({"width": 400, "height": 900})
    box = button.bounding_box()
    assert box and box["x"] >= 0 and box["x"] + box["width"] <= 400 and box["y"] + box["height"] <= 900
    assert t.page.evaluate("document.documentElement.scrollWidth") <= 400, "a phone shows it at once"
    for expected in ("Version 1 is the model now", "Version 1 is the model already: nothing was done."):
        button.click()
        t.page.get_by_text("Serve version 1 from now on").wait_for()
        t.page.get_by_role("button", name="Yes").click()
        t.page.get_by_text(expected).wait_for()
        wait_until(lambda: facts.seen.value["model"]["version"] == "1", 20, "the page knows of it")
