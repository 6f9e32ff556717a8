"""Reports read back from their topic, and the page that shows them."""

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from msgspec.structs import replace

from streamrec.adapters.memory_broker import MemoryBroker
from streamrec.broker import TopicSpec
from streamrec.errors import NotFound
from streamrec.events import Contributor, DriftReport, Finding, encode
from streamrec.operate.drift import one, reports, row
from streamrec.operate.drift_page import page
from tests.e2e.browser import tab

TOPIC = "x.drift-reports.v1"


def report(n: int, alarm: bool = False, value: float | None = 0.1) -> DriftReport:
    finding = Finding(detector="topic-mix", alarm=alarm, value=value, threshold=0.25, samples=99,
                      reference="50 reads", current="newest 49 reads", detail="rose: <food> 1% to 9%",
                      p_value=1e-7, interval=(0.05, 0.6), first_seen=1.7e9, severity="high",
                      contributors=[Contributor(kind="topic", name="<food>", before=0.01, after=0.09,
                                                examples=["A soup & bread"])])
    return DriftReport(
        report_id=f"drift-{n}", generated_at=1.7e9 + 60 * n, trigger="alarm" if alarm else "period",
        model_version="3", events=10, findings=[finding], action="asked for an update" if alarm else "",
        quality={"click_rate": 0.25, "click_rate_before": 0.5, "ndcg_live": 0.125},
    )


def read(*sent: bytes) -> list[DriftReport]:
    broker = MemoryBroker()
    broker.create_topics([TopicSpec(TOPIC, 1, 1, {})])
    for value in sent:
        broker.publisher().send(TOPIC, None, value)
    return reports(broker, TOPIC)


def test_all_reports_are_read_in_time_order_and_rubbish_is_passed_over() -> None:
    found = read(encode(report(2)), b"rubbish", encode(report(1, alarm=True)))
    assert [r.report_id for r in found] == ["drift-1", "drift-2"]
    assert row(found[0])["alarms"] == "topic-mix" and row(found[1])["alarms"] == "-"
    assert one(found, "last") == found[1] and one(found, "drift-1") == found[0]
    assert one(found, "last-alarm") == found[0], "a report without one may have come since"
    with pytest.raises(NotFound, match="alarm"):
        one(found[1:], "last-alarm")
    with pytest.raises(NotFound, match="drift list"):
        one(found, "drift-9")
    assert read() == []


class Outside(HTMLParser):
    """Notes what a page would ask others for."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.asked, self.tags = list[str](), list[str]()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.asked += [v or "" for k, v in attrs if k in ("src", "href")]


def test_the_page_shows_each_alarm_and_asks_nobody_for_anything() -> None:
    text = page([report(1), report(2, alarm=True, value=0.4), report(3, value=None)])
    found = Outside(text)
    assert found.asked == [] and "script" not in found.tags and "http" not in text
    assert found.tags.count("circle") == 1 and "3 reports" in text and "1 with an alarm" in text
    assert "topic &lt;food&gt;: 1.0 % to 9.0 % (A soup &amp; bread)" in text and "high" in text
    rows = [re.findall(r"<td [^>]*>(?:<div>)?(.*?)</div>", row) for row in text.split("<tr>")]
    assert any(row[3:5] == ["2023-11-14 22:13:20", "p &lt; 0.0001, 0.0500 to 0.6000"] for row in rows)
    assert ["clicks per slate of the live model", "0.2500", "0.5000"] in rows
    assert ["NDCG@10 of the live model", "0.1250", "-"] in rows and "ndcg_" not in text
    assert "&lt;food&gt;" in text and "<food>" not in text and "asked for an update" in text


def test_an_alarm_on_the_page_says_what_its_own_report_says() -> None:
    """Its numbers and windows and what the lists were worth then, though later reports say something else."""
    alarm = report(2, alarm=True, value=0.4)
    [found] = alarm.findings
    alarm = replace(alarm, findings=[replace(found, reference="<b> 50 reads", divergence=0.0625)])
    text = page([alarm, replace(report(3), quality={"click_rate": 0.75})])
    [said] = re.findall(r"<summary>numbers.*?</summary><small>(.*?)</small>", text)
    assert said.split("<br>") == [
        "watches: -", "value: 0.4000", "threshold: 0.2500", "divergence: 0.0625", "samples: 99",
        "reference: &lt;b&gt; 50 reads", "current: newest 49 reads",
        "clicks per slate of the live model: 0.2500 (before: 0.5000)",
        "NDCG@10 of the live model: 0.1250 (before: -)", "report: drift-2, 10 events"]


def test_each_cell_names_its_column_where_columns_have_no_room() -> None:
    cells = re.findall(r"<td([^>]*)>", page([report(2, alarm=True)]))
    assert cells and all(re.fullmatch(r' data-label="[a-z -]+"', cell) for cell in cells)


def test_the_page_fits_a_phone(tmp_path: Path) -> None:
    with tab("", tmp_path) as t:
        t.page.set_content(page([report(n, alarm=True) for n in (1, 2)]))
        t.page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
        t.picture("report")


def test_a_page_of_no_reports_says_so() -> None:
    assert "No report yet" in page([])
