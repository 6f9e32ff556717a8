"""From beats, increments and reports to what is drawn."""

import random
from typing import Any

from streamrec.dashboard import charts, figures
from streamrec.dashboard.address import link, path
from streamrec.drift.remembered import Matrix, forgetting, remembered, so_far
from streamrec.events import DriftReport, Finding
from streamrec.registry import VersionRecord


def beat(at: float, version: str = "1", **more: Any) -> dict[str, Any]:
    return {"at": at, "version": version, "slates": {}, "bins": [], "delays_ms": []} | more


def increment(version: str, eras: list[Any], published: bool = True) -> dict[str, Any]:
    return {"at": 100.0 * int(version), "version": version, "published": published, "eras": eras,
            "trigger": "rows", "rows": 200, "reason": "worse", "ndcg": {"live": [0.5, 0.4, 0.6]}}


def record(version: str, at: float, parent: str | None = None) -> VersionRecord:
    return VersionRecord(version=version, parent=parent, created_at=at, rows=9, learned_until=at, metrics={})


def test_a_rate_per_second_counts_the_last_seconds_only() -> None:
    beats = [beat(float(t), events=100 if t < 50 else 6) for t in range(0, 62, 2)]
    assert figures.per_second(beats, "events", 10.0) == 3.0
    assert figures.per_second([], "events") is None
    assert figures.per_second(beats, "answers") == 0.0


def test_a_control_is_ahead_only_where_chance_would_not_have_it() -> None:
    def seen(live: list[int], frozen: list[int]) -> list[str]:
        return figures.behind([beat(float(t), slates={"live": live, "frozen": frozen}) for t in range(10)])

    assert seen([30, 9], [30, 12]) == [] and seen([30, 12], [30, 3]) == []
    assert seen([300, 90], [300, 130]) == ["frozen"] and seen([300, 90], [1, 1]) == []
    assert figures.behind([beat(1.0)]) == [] and figures.behind([]) == []
    rng = random.Random(1)  # a day of equal lists, looked at each minute
    day = [beat(2.0 * t, slates={p: [n, sum(rng.random() < 0.3 for _ in range(n))]
                                 for p, n in (("live", 5), ("frozen", 1))}) for t in range(43_200)]
    assert not any(figures.behind(day[t : t + 450]) for t in range(0, len(day) - 450, 30))


def test_click_rates_are_over_a_window_and_by_policy() -> None:
    beats = [beat(float(t), slates={"live": [10, 5 if t < 60 else 1], "frozen": [1, 1]})
             for t in range(0, 120, 2)]
    found = figures.click_rates(beats, 20.0)
    rates = dict(found["live"])
    assert rates[50.0] == 0.5 and rates[118.0] == 0.1 and rates[0.0] is None
    assert "frozen" not in found  # ten slates in a window are too few to be told


def test_the_click_rate_breaks_where_nobody_counted_and_where_nothing_was_shown() -> None:
    shown = [*range(0, 60, 2), *range(300, 400, 2)]
    beats = [beat(float(t), slates={"live": [10, 5]}) for t in shown]
    beats += [beat(float(t)) for t in range(400, 500, 2)]
    points = figures.click_rates(beats, 20.0)["live"]
    assert (58.0, 0.5) in points and points[points.index((58.0, 0.5)) + 1] == (58.0, None)
    assert (300.0, None) in points, "ten slates are too few"
    assert [x for t, x in points if t > 420] == [None] * 39
    drawn = charts.rates({"live": points})["series"][0]["data"]
    assert [58_000, None] in drawn and [58_000, 0.5] in drawn


def test_delays_are_those_of_the_newest_beat_that_saw_any() -> None:
    beats = [beat(1.0, delays_ms=[5, 9]), beat(2.0, delays_ms=[7, 11]), beat(3.0)]
    assert figures.delays_ms(beats) == (7, 11)
    assert figures.delays_ms([beat(1.0)]) is None
    assert figures.delays_ms([*beats, beat(600.0)]) is None, "those of ten minutes ago say nothing of now"


def test_who_serves_is_told_and_what_was_refused() -> None:
    assert figures.serves({"serving": None}) == (None, "No version serves yet.")
    assert figures.serves({"serving": "3", "serving_refused": None}) == (True, "Version 3 serves.")
    refused = {"version": "4", "why": "its files are bad"}
    assert figures.serves({"serving": "3", "serving_refused": refused}) == (
        False, "Version 4 is to serve and was refused, version 3 answers: its files are bad.")
    assert "popularity and text answer" in figures.serves({"serving": None, "serving_refused": refused})[1]


def test_calibration_sums_the_beats_and_leaves_out_what_is_rare() -> None:
    bins = [[30.0, 3.0, 6.0], [1.0, 0.15, 1.0], *[[0.0, 0.0, 0.0]] * 8]
    [only] = figures.calibration([beat(1.0, bins=bins), beat(2.0, bins=bins), beat(3.0)])
    assert only == figures.Bin(0.1, 0.2, 60)


def test_of_an_update_that_an_alarm_asked_for_is_told_what_became_of_it() -> None:
    def told(at: float, action: str = "asked for an update", trigger: str = "drift") -> str:
        report = DriftReport(report_id="r", generated_at=at, trigger="alarm", model_version="1", events=1,
                             findings=[], action=action)
        increments = [increment("2", []), increment("3", [], published=False)]
        return figures.done_about(report, [q | {"trigger": trigger} for q in increments])

    assert told(150.0) == "asked for an update: version 2 published, upon the alarm"
    assert told(150.0, trigger="time") == "asked for an update: version 2 published, by the timer"
    assert told(250.0, trigger="rows") == "asked for an update: refused, worse (by the number of new rows)"
    assert told(301.0) == "asked for an update; none since"
    held = "no update upon alarms before noon: the pause"
    assert told(150.0, held, "time") == f"{held}; since then: version 2 published, by the timer"
    assert told(301.0, held) == f"{held}; none since"
    assert told(150.0, "") == "" and told(150.0, "none: no update mends this") == "none: no update mends this"


def test_what_is_remembered_and_what_is_forgotten() -> None:
    increments = [
        increment("2", [["1", 10, 0.6]]), increment("3", [["1", 10, 0.5], ["2", 5, 0.4]]),
        increment("4", [["1", 10, 0.1]], published=False),
        increment("5", [["1", 10, 0.5], ["2", 5, 0.5], ["3", 5, 0.3]]),
    ]
    found = remembered(increments)
    assert found.versions == ["2", "3", "5"] and found.eras == ["1", "2", "3"]
    assert found.cells == [[0.6, None, None], [0.5, 0.4, None], [0.5, 0.5, 0.3]]
    lost = forgetting(increments)  # 0.1 of the ten rows of era 1, -0.1 of the five of era 2
    assert lost is not None and abs(lost - 0.5 / 15) < 1e-9
    assert forgetting([]) is None and forgetting(increments[:1]) is None


def test_before_anything_can_be_forgotten_it_says_what_is_known_and_what_is_missing() -> None:
    assert so_far(remembered([])) == "Not known yet: no version was measured on an earlier era."
    told = so_far(remembered([increment("2", [["1", 10, 0.6]])]))
    assert told == ("Known so far: version 2 on era 1 0.600. What is forgotten is known once a later version "
                    "was measured on the same era.")
    assert forgetting([increment("2", [["1", 10, 0.6]]), increment("3", [["2", 10, 0.6]])]) is None


def test_harder_eras_that_come_later_are_no_forgetting() -> None:
    increments = [increment(str(v + 1), [[str(e), 10, 0.9 - 0.02 * e] for e in range(1, v + 1)])
                  for v in range(1, 20)]
    lost = forgetting(increments)
    assert lost is not None and abs(lost) < 1e-9


def test_many_eras_are_put_together_by_their_rows() -> None:
    eras = [[str(v), v, 1.0 if v == 2 else 0.0] for v in range(1, 25)]
    found = remembered([increment("30", eras)])
    assert found.eras[0] == "1-2" and found.cells[0][0] == round(2 / 3, 3) and len(found.eras) == 12


def test_the_timeline_is_one_axis_of_alarms_updates_and_swaps() -> None:
    finding = Finding(detector="dwell", alarm=True, value=1.0, threshold=0.5, samples=9, reference="r",
                      current="c", detail="fell")
    report = DriftReport(report_id="r1", generated_at=150.0, trigger="alarm", model_version="1", events=3,
                         findings=[finding])
    beats = [beat(210.0), beat(212.0, "2"), beat(290.0, "2"), beat(292.0, "1")]
    marks = figures.timeline([report], [increment("2", [])], beats, [record("1", 90.0), record("2", 200.0)])
    assert [(m.at, m.lane) for m in marks] == [
        (90.0, "swap"), (150.0, "alarm"), (200.0, "update"), (212.0, "swap"), (292.0, "swap")]
    assert [m.link for m in marks[:2]] == ["/models", "/drift/r1"]
    drawn = charts.timeline(marks)["series"][0]["data"]
    assert [d["value"] for d in drawn[1:4]] == [[150_000, "alarm"], [200_000, "update"], [212_000, "swap"]]


def test_swaps_outlive_the_beats() -> None:
    marks = figures.timeline([], [], [beat(9000.0, "2")], [record("1", 90.0), record("2", 200.0)])
    assert [(m.at, m.lane) for m in marks] == [(90.0, "swap"), (200.0, "swap")]
    assert figures.timeline([], [], [], [record("1", 90.0)])[0].lane == "swap"


def test_rollbacks_outlive_the_beats_and_are_told_once() -> None:
    back = [{"version": "1", "at": 300.0}, {"version": "2", "at": 9001.0}]
    beats = [beat(9000.0), beat(9002.0, "2")]
    marks = figures.timeline([], [], beats, [record("1", 90.0), record("2", 200.0)], back)
    assert [(m.at, m.text) for m in marks[2:]] == [
        (300.0, "rolled back to version 1"), (9002.0, "version 2 serves")]


def test_a_refused_update_is_drawn_hollow() -> None:
    marks = figures.timeline([], [increment("2", []), increment("3", [], published=False)], [], [])
    full, hollow = (d["itemStyle"]["color"] for d in charts.timeline(marks)["series"][0]["data"])
    assert (full, hollow) == (charts.COLOURS["new"], "transparent")


def test_what_a_report_is_called_cannot_lead_elsewhere() -> None:
    assert link("drift", "a/../../models?x") == "/dashboard/drift/a%2F..%2F..%2Fmodels%3Fx"
    assert link("") == "/dashboard/" and path("reader", user="a b&c") == "/reader?user=a+b%26c"


def test_a_refused_version_went_on_from_the_one_before_it_unless_a_rollback_may_lie_between() -> None:
    records = [record("1", 100.0), record("2", 200.0, "1"), record("5", 500.0, "2")]
    refused = [increment(v, [], published=False) for v in ("3", "6")]
    assert [figures.parent_of(q, records, "5") for q in refused] == ["2", "5"]
    assert figures.parent_of(increment("5", []), records, "5") == "2"
    back = [*records[:2], record("5", 500.0, "1")]
    assert [figures.parent_of(q, back, "2") for q in refused] == ["-", "-"]
    assert figures.parent_of(increment("1", []), records, "5") == "-", "the first came from nowhere"


def test_an_interval_is_drawn_from_its_low_end_to_its_high_one() -> None:
    low, width = charts.quality([increment("2", [])])["series"][1:3]
    assert low["data"] == [["2", 0.4]] and width["data"] == [["2", 0.2]]
    assert low["stack"] == width["stack"]


def test_the_heat_map_has_a_cell_for_each_measured_value() -> None:
    found = charts.heat(Matrix(["2", "3"], ["1", "2"], [[0.5, None], [0.4, 0.3]]))
    assert found["series"][0]["data"] == [[0, 0, 0.5], [0, 1, 0.4], [1, 1, 0.3]]


def test_times_and_numbers_are_told_as_people_say_them() -> None:
    told = [figures.age(s) for s in (None, -1.0, 5.0, 90.0, 7200.0, 20 * 3600.0, 30 * 86_400.0)]
    assert told == ["-", "0 s", "5 s", "1.5 min", "2.0 h", "20 h", "30 d"]
    assert (figures.number(1234.5, 1), figures.number(None)) == ("1,234.5", "-")
