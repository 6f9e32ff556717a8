"""What the monitor sees, as metrics."""

from prometheus_client import REGISTRY

from schedulers import telling


def seen(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


def test_a_click_has_come_to_a_model_only_if_it_was_published() -> None:
    name, counted = "streamrec_click_to_model_seconds_count", "streamrec_increments_total"
    before = seen(name), seen(counted, verdict="refused", trigger="rows")
    each = {"trigger": "rows", "behind_s": 9.0}
    telling.increments([{**each, "published": True}, {**each, "published": False}], [])
    assert seen(name) - before[0] == 1
    assert seen(counted, verdict="refused", trigger="rows") - before[1] == 1
