"""A broker that has just started has no coordinator for groups: whoever asks about one waits a little."""

import pytest
from kafka.errors import CoordinatorNotAvailableError, GroupAuthorizationFailedError

from streamrec.adapters.kafka import errors
from streamrec.errors import RetryLater


def answering(*answers):
    """One after another; errors are raised."""
    left = list(answers)

    def ask():
        found = left.pop(0)
        if isinstance(found, Exception):
            raise found
        return found
    return ask


def test_who_asks_about_a_group_waits_until_it_has_a_coordinator():
    none = CoordinatorNotAvailableError()
    assert errors.coordinated(answering(none, none, {"g": 3})) == {"g": 3}


def test_but_not_for_ever_and_hears_what_to_do(monkeypatch):
    monkeypatch.setattr(errors, "COORDINATED_S", 0.0)
    none = CoordinatorNotAvailableError()
    with pytest.raises(RetryLater, match="coordinator for consumer groups .* try again"):
        errors.coordinated(answering(none, none, none))


def test_another_error_is_told_at_once():
    with pytest.raises(RetryLater, match="GroupAuthorizationFailed"):
        errors.coordinated(answering(GroupAuthorizationFailedError(), {}))
