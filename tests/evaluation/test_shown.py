"""What a request's features cost is measured with what the scorer would be given, and would show."""

import numpy as np
import pytest
from tiny_site import TinySite

from streamrec.evaluation.arms import LEARNED, ON_REQUEST, SHOWN
from streamrec.evaluation.shown import Shown


@pytest.fixture
def moment():
    site = TinySite()
    for n, vector in enumerate(([1, 0, 0, 0], [1, 0.1, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1])):
        site.announce(f"a{n}", title=f"Title {n}", vector=vector)
    for n in (3, 4):
        site.event("u", f"a{n}", 10.0 + n)
    return site.moment("u", 100.0)


def never(text):
    raise AssertionError("nothing was said")


def test_only_so_many_reads_are_known(moment):
    assert [r.item for r in Shown().reader(moment, never).history] == ["a4", "a3"]
    assert [r.item for r in Shown(reads=1).reader(moment, never).history] == ["a4"]
    assert Shown(reads=0).reader(moment, never).history == []


def test_interests_are_the_titles_of_what_was_read_in_the_prompt(moment):
    said = []
    shown = Shown(reads=0, titles=2, prompt="likes {interests}!")
    reader = shown.reader(moment, lambda text: said.append(text) or np.ones(4, np.float16))
    assert said == ["likes Title 4, Title 3!"] and reader.history == [] and reader.stated is not None


def test_interests_are_the_tags_of_what_was_read(moment):
    for name, tags in (("a4", ["x", "y"]), ("a3", ["y", "z"])):
        moment.state.articles.entries[moment.state.articles.index[name]].tags.extend(tags)
    said = []
    Shown(reads=0, tags=2).reader(moment, lambda text: said.append(text) or np.ones(4, np.float16))
    assert said == ["x, y, z"]


def test_a_varied_list_stands_before_the_rest_of_the_ranking(moment):
    scores = np.array([5.0, 4.9, 1.0, 0.0, 0.0], np.float32)
    plain, varied = (Shown(diversity=d).listed(moment, scores) for d in (0.0, 0.9))
    assert (plain == scores).all()
    assert np.argsort(-varied, kind="stable")[:3].tolist() == [0, 2, 1]


def test_near_duplicates_and_what_is_over_the_cap_stand_behind_the_list(moment):
    scores = np.array([5.0, 4.9, 1.0, 0.0, 0.0], np.float32)
    distinct = Shown(duplicate=0.9).listed(moment, scores)  # a1 is a0 again
    assert np.argsort(-distinct, kind="stable")[:3].tolist() == [0, 2, 1]
    for name in ("a0", "a1"):
        i = moment.state.articles.index[name]
        moment.state.articles.entries[i].tags.append("x")
    capped = Shown(per_topic=1).listed(moment, scores)
    assert np.argsort(-capped, kind="stable")[:3].tolist() == [0, 2, 1]


def test_each_has_an_arm_that_is_run_when_it_is_asked_for():
    assert set(SHOWN) <= set(LEARNED) and set(SHOWN) <= set(ON_REQUEST)
