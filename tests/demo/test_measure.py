"""What the demo's figures mean, on messages made by hand."""

from msgspec.structs import replace

from streamrec.demo.measure import Measured
from streamrec.demo.run import promises, worse
from streamrec.events import Feedback, Finding, ModelPointer, RankedItem, Recommendation

NOW = 1_750_000_000.0


def click(user: str = "u", at: float = NOW) -> Feedback:
    return Feedback(event_id=f"{user}{at}", user_id=user, event_type="click", item_id="a", timestamp=at)


def answer(version: str = "0", state_at: float | None = None, at: float = NOW, user: str = "u",
           request: str = "r", scores: tuple[float, ...] = (3.0, 2.0, 1.0)) -> Recommendation:
    items = [RankedItem(item_id=str(i), rank=i + 1, score=s, propensity=1.0, reason="")
             for i, s in enumerate(scores)]
    return Recommendation(recommendation_id="x", request_id=request, user_id=user, trigger="request",
                          policy="live", model_version=version, generated_at=at, items=items,
                          state_at=state_at)


def pointer(version: str, learned_until: float) -> ModelPointer:
    return ModelPointer(version=version, parent=None, action="publish", published_at=NOW,
                        learned_until=learned_until, rows=1, metrics={})


def test_a_click_has_reached_a_list_only_when_the_readers_state_includes_it() -> None:
    m = Measured()
    m.sent(click(at=NOW), NOW)
    m.answer(answer(state_at=NOW - 5), NOW + 0.1)
    assert m.figures(NOW)["click_to_recommendation_ms"]["p50"] is None
    m.answer(answer(state_at=NOW), NOW + 0.25)
    assert m.figures(NOW)["click_to_recommendation_ms"]["p50"] == 250.0


def test_a_click_has_reached_a_model_when_an_answer_names_a_version_that_learned_it() -> None:
    m = Measured()
    m.sent(click(at=NOW), NOW)
    m.model(pointer("1", NOW - 1))
    m.answer(answer("1"), NOW + 5)
    assert m.figures(NOW)["click_to_model_s"]["p50"] is None
    m.model(pointer("2", NOW + 1))
    assert m.figures(NOW)["click_to_model_s"]["p50"] is None  # announced, but nobody was answered by it
    m.answer(answer("2"), NOW + 9)
    assert m.figures(NOW)["click_to_model_s"]["p50"] == 9.0


def test_an_answer_by_an_older_version_than_the_last_is_torn() -> None:
    m = Measured()
    m.answer(answer("2", at=NOW), NOW)
    m.answer(answer("1", at=NOW + 1), NOW + 1)
    assert m.figures(NOW)["swaps_torn"] == 1


def test_scores_out_of_order_before_the_exploring_place_are_torn() -> None:
    m = Measured()
    m.answer(answer(scores=(3.0, 2.0, 9.0)), NOW)
    assert m.figures(NOW)["swaps_torn"] == 0
    m.answer(answer(scores=(2.0, 3.0, 1.0, 0.0)), NOW)
    assert m.figures(NOW)["swaps_torn"] == 1


def test_a_request_without_an_answer_in_time_has_failed_once() -> None:
    m = Measured()
    m.asked("r", NOW)
    m.overdue(NOW + 9, 10)
    m.overdue(NOW + 11, 10)
    m.overdue(NOW + 12, 10)
    assert m.figures(NOW)["requests_failed"] == 1


def test_the_alarm_is_counted_in_events_from_the_shift() -> None:
    from streamrec.events import DriftReport
    finding = Finding(detector="topic-mix", alarm=True, value=1.0, threshold=0.1, samples=1,
                      reference="", current="")
    report = DriftReport(report_id="d", generated_at=NOW, trigger="alarm", model_version="1", events=1,
                         findings=[finding])
    m = Measured()
    m.report(report)
    m.shifted(NOW - 1)
    m.shifted(NOW)
    m.report(replace(report, generated_at=NOW - 2))  # of before the shift, read after it
    assert m.figures(NOW)["drift_alarm_events_after_shift"] is None
    for i in range(7):
        m.sent(click(f"u{i}"), NOW)
    m.report(report)
    assert m.figures(NOW)["drift_alarm_events_after_shift"] == 7


def test_arms_are_compared_only_once_there_is_a_model_to_freeze() -> None:
    m = Measured()
    m.shown("live", "before_shift", 3, 1.0)
    m.model(pointer("1", NOW))
    m.shown("live", "before_shift", 1, 0.5)
    assert m.figures(NOW)["click_rate"]["live"]["before_shift"] == 1.0
    assert m.figures(NOW)["deserved_rate"]["live"]["before_shift"] == 0.5


def test_worse_means_clearly_worse_and_a_lost_event_breaks_a_promise() -> None:
    def figures(live: float, n: int, lost: int = 0) -> dict:  # type: ignore[type-arg]
        rates = {"live": live, "frozen": 0.4, "popularity": 0.4}
        return Measured().figures(NOW) | {
            "click_rate": {p: {"after_shift": r} for p, r in rates.items()},
            "slates": {p: {"after_shift": n} for p in rates}, "events_lost": lost, "events_doubled": 0,
        }
    assert not worse(figures(0.35, 100), "live", "frozen")
    assert worse(figures(0.35, 10_000), "live", "frozen")
    assert promises(figures(0.5, 100))["no event lost"]
    assert not promises(figures(0.5, 100, lost=1))["no event lost"]


def test_clicks_that_reached_nothing_are_not_left_out() -> None:
    m = Measured()
    m.sent(click(at=NOW), NOW)
    m.answer(answer(state_at=NOW), NOW + 0.25)
    m.sent(click("forgotten", at=NOW), NOW)
    m.sent(click("young", at=NOW + 29), NOW + 29)
    figures = m.figures(NOW + 30)
    assert figures["click_to_recommendation_ms"]["p99"] > 29_000
    assert figures["click_to_recommendation_ms"]["p50"] == (250 + 30_000) / 2
    assert figures["clicks_not_in_model"] == 3 and m.unlisted() == 2
