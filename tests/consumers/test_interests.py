"""Encoding what readers say to like: whatever keeps the encoder from loading, who asks is told."""

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
    assert interests("bees", "tools")[0] == "bees" and asked == ["Papers on bees", "bees"]
