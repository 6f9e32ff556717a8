"""Encoding what readers say to like: whatever keeps the encoder from loading, who asks is told."""

import threading
from typing import Any

import numpy as np
import pytest

from consumers.interests import Interests
from streamrec.errors import RetryLater


def test_whatever_went_wrong_with_loading_is_what_the_answer_says() -> None:
    def load():
        raise OSError("disk on fire")

    interests = Interests(load, {"": "{interests}"})
    interests.start()
    with pytest.raises(RetryLater, match="OSError: disk on fire"):
        interests("bees", "")


def test_words_are_put_into_the_prompt_of_the_domain_and_encoded_once() -> None:
    asked: list[str] = []

    def encode(texts):
        asked.extend(texts)
        return np.ones((len(texts), 3), np.float16)

    interests = Interests(lambda: encode, {"": "{interests}", "papers": "Papers on {interests}"})
    interests.start()
    for _ in range(2):
        assert interests("bees", "papers")[0] == "Papers on bees"
    assert interests("bees", "tools")[0] == "bees" and asked == ["Papers on bees", "bees", "bees"]


def test_a_prompt_around_words_that_the_encoder_does_not_read_says_nothing() -> None:
    def encode(texts):
        return np.array([[float(any(map(str.isascii, t)))] * 3 for t in texts], np.float16)

    interests = Interests(lambda: encode, {"": "Likes {interests}"})
    interests.start()
    assert interests("bees", "")[1].any() and not interests("สวัสดี", "")[1].any()


def test_nobody_waits_again_and_again_for_an_encoder_that_is_slow_to_load(monkeypatch) -> None:
    """As one reader who waits holds up all others."""
    never, waited = threading.Event(), list[Any]()
    interests = Interests(never.wait, {}, wait_s=0.1)
    interests.start()
    wait = interests._ready.wait
    monkeypatch.setattr(interests._ready, "wait", lambda s: waited.append(s) or wait(s))
    for _ in range(3):
        with pytest.raises(RetryLater, match="still being loaded"):
            interests("bees", "")
    assert 0 <= waited[0] <= 0.1 and waited[1:] == [0.0, 0.0]
    never.set()
