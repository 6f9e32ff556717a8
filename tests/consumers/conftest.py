"""Each test of a consumer has a world of its own."""

import pytest
from consumer_world import World


@pytest.fixture
def world() -> World:
    return World()
