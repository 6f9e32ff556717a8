"""The demo site keeps its promises: seeded, changing, only hinted at by text, and clickable."""

from collections import Counter, defaultdict
from collections.abc import Callable

import numpy as np
import pytest

from streamrec.demo import clicks, words
from streamrec.demo.clicks import Floats, Memory
from streamrec.demo.world import World, WorldConfig

Ranker = Callable[[World, str, list[str], float], list[str]]


@pytest.fixture(scope="module")
def world() -> World:
    return World()


def guess_topic(text: str) -> int:
    """The topic with most words in a text; a word of two topics counts half for each."""
    topics_of = defaultdict(list)
    for topic, vocabulary in enumerate(words.TOPIC_WORDS):
        for word in vocabulary:
            topics_of[word].append(topic)
    votes = np.zeros(len(words.TOPICS))
    for word in text.lower().strip(".").split():
        for topic in topics_of.get(word, []):
            votes[topic] += 1 / len(topics_of[word])
    return int(votes.argmax())


def mean_clicks(rank: Ranker, visits: int = 1500, until: float = 0.15) -> float:
    """Clicks per slate under a ranking policy that never repeats what a reader has read."""
    world, total = World(), 0
    read: defaultdict[str, set[str]] = defaultdict(set)
    pool = world.released(0.0)
    for i, reader in enumerate(world.next_visitors(0.0, visits)):
        progress = until * i / visits
        ranked = rank(world, reader, pool, progress)
        slate = [item for item in ranked if item not in read[reader]][:10]
        made = world.click(reader, slate, progress)
        read[reader] |= {click.item_id for click in made}
        total += len(made)
    return total / visits


def appeal_to_all(world: World, pool: list[str]) -> Floats:
    found: Floats = np.mean(
        [world.relevance(reader, pool, 0.0) for reader in world.readers], axis=0
    )
    return found


# Seed.


def test_one_seed_fixes_articles_readers_visits_and_clicks() -> None:
    a, b = World(WorldConfig(seed=3)), World(WorldConfig(seed=3))
    assert a.articles == b.articles
    visitors = a.next_visitors(0.0, 200)
    assert visitors == b.next_visitors(0.0, 200)
    slate = a.released(0.0)[:10]
    assert [a.click(r, slate, 0.1) for r in visitors] == [b.click(r, slate, 0.1) for r in visitors]
    assert World(WorldConfig(seed=4)).articles != a.articles


def test_a_readers_clicks_do_not_depend_on_when_other_readers_come() -> None:
    a, b = World(), World()
    slate, (first, second) = a.released(0.0)[:10], a.readers[:2]
    one_by_one = [a.click(first, slate, 0.1) for _ in range(9)]
    mixed = [(b.click(second, slate, 0.1), b.click(first, slate, 0.1))[1] for _ in range(9)]
    assert one_by_one == mixed


# What is on the site, and who comes.


def test_articles_and_readers_keep_arriving_all_along(world: World) -> None:
    assert len(world.articles) == 2000 and len(set(world.released(1.0))) == 2000
    assert [len(world.released(p)) for p in (0.0, 0.5)] == [1200, 1600]
    assert world.article(1999).released_at < 1.0
    arrivals = [world.arrives_at(reader) for reader in world.readers]
    assert len(arrivals) == 500 and arrivals.count(0.0) == 450
    assert sum(at > 0.5 for at in arrivals) == 25


def test_only_arrived_readers_visit_and_a_few_visit_much_more(world: World) -> None:
    visits = Counter(world.next_visitors(0.0, 20_000))
    assert all(world.arrives_at(reader) == 0.0 for reader in visits)
    assert len(visits) > 440
    assert sum(n for _, n in visits.most_common(50)) > 0.25 * 20_000


def test_text_has_the_promised_lengths_and_overlapping_vocabularies(world: World) -> None:
    assert all(5 <= len(a.title.split()) <= 8 for a in world.articles)
    assert all(14 <= len(a.body.split()) <= 22 for a in world.articles)
    topics = [set(vocabulary) for vocabulary in words.TOPIC_WORDS]
    for i, vocabulary in enumerate(topics):
        assert len(vocabulary) >= 45 and len(vocabulary & topics[i - 1]) >= 6
        assert not vocabulary & set(words.FILLERS)


def test_text_and_section_only_hint_at_the_topic(world: World) -> None:
    truth = [world.main_topic(a.item_id) for a in world.articles]
    guesses = [guess_topic(f"{a.title} {a.body}") for a in world.articles]
    assert 0.70 < np.mean(np.equal(truth, guesses)) < 0.82
    sections = [world.topic_names.index(a.tags[0]) for a in world.articles]
    assert 0.65 < np.mean(np.equal(truth, sections)) < 0.80


def test_shifted_readers_may_all_turn_to_a_few_topics() -> None:
    world = World(WorldConfig(rising=3))
    turned = [r for r in world.readers if world.shifted(r)]
    mains = {int(world.interest(r, 0.99).argmax()) for r in turned}
    assert mains == {int(t) for t in world.rising_topics} and len(mains) == 3
    calm = [r for r in world.readers if not world.shifted(r)]
    assert all((world.interest(r, 0.0) == world.interest(r, 0.99)).all() for r in calm)


def test_a_site_of_another_size_works_and_one_of_too_few_topics_is_refused() -> None:
    small = World(WorldConfig(topics=6, articles=60, readers=10))
    assert small.click(small.next_visitors(0.0, 1)[0], small.released(0.0)[:10], 0.0) is not None
    with pytest.raises(ValueError, match="topics must be 6 to 12"):
        WorldConfig(topics=5)


# What changes.


def test_a_third_of_the_readers_turn_to_other_topics_half_way(world: World) -> None:
    shifted = [reader for reader in world.readers if world.shifted(reader)]
    assert len(shifted) == 167
    for reader in world.readers:
        early, late = world.interest(reader, 0.0), world.interest(reader, 0.9)
        assert (early.argmax() != late.argmax()) == (reader in shifted)
    early_best = [world.interest(reader, 0.0).argmax() for reader in shifted]
    rows = [world.interest(reader, 0.5) for reader in shifted]
    assert np.mean([row[t] for row, t in zip(rows, early_best, strict=True)]) < 0.1


def test_the_quiet_topic_publishes_nothing_and_then_returns(world: World) -> None:
    released = [
        a.released_at for a in world.articles if world.main_topic(a.item_id) == world.quiet_topic
    ]
    assert not [at for at in released if 0.35 <= at < 0.75]
    assert sum(0.0 < at < 0.35 for at in released) > 10
    assert sum(at >= 0.75 for at in released) > 10


def test_fans_of_the_quiet_topic_read_something_else_and_come_back(world: World) -> None:
    topic, fans = world.quiet_topic, world.fans(world.quiet_topic)
    assert len(fans) > 40 and not world.fans(topic, 0.4) and not world.fans(topic, 0.6)
    assert world.fans(topic, 0.75) == fans and not any(map(world.shifted, fans))
    for reader in fans:
        before, during = world.interest(reader, 0.3), world.interest(reader, 0.5)
        assert during[topic] < 0.05 and during.max() == before.max()
        assert (world.interest(reader, 0.8) == before).all()


# How they click.


def test_relevance_has_a_threshold_and_saturates() -> None:
    mixture, ones = np.array([[1.0, 0.0]]), np.ones(1)

    def felt(level: float) -> float:
        return float(clicks.appeal(mixture, 0 * ones, ones, np.array([level, 0.0]))[0])

    assert felt(0.0) == felt(0.1) == 0.0
    assert felt(0.5) > 0.6 and felt(1.0) < 1.5 * felt(0.5)


def test_lower_positions_and_repeated_topics_are_clicked_less(world: World) -> None:
    reader, best = world.readers[0], world.released(0.0)[0]
    chances = world.click_probabilities(reader, [best] * 10, 0.0)
    assert (np.diff(chances) < 0).all() and chances[9] < 0.3 * chances[0]
    assert (chances[1:] / chances[0] < clicks.examination(10)[1:]).all()


def test_a_reader_tires_of_a_topic_and_of_a_session_and_recovers(world: World) -> None:
    reader, slate = world.readers[0], world.released(0.0)[:1]
    memory = Memory(np.zeros(12))
    rested = world.click_probabilities(reader, slate, 0.1, memory)
    for _ in range(5):
        memory.note(np.array([(world.main_topic(slate[0]) + 1) % 12]), [])
    long_session = world.click_probabilities(reader, slate, 0.1, memory)
    memory.topics[world.main_topic(slate[0])] = 4.0
    tired = world.click_probabilities(reader, slate, 0.1, memory)
    assert tired < long_session < rested
    later = world.click_probabilities(reader, slate, 0.1, memory.rested(0.9))
    assert later == pytest.approx(rested)


def test_nobody_reads_an_article_twice_with_the_same_appetite(world: World) -> None:
    reader, slate = world.readers[0], world.released(0.0)[:1]
    read = Memory(np.zeros(12), read=set(slate))
    fresh = world.click_probabilities(reader, slate, 0.0)
    assert world.click_probabilities(reader, slate, 0.0, read) < 0.2 * fresh


def test_a_slate_gets_at_most_three_clicks_with_longer_stays_on_better_articles() -> None:
    world, stays = World(), []
    for reader in world.next_visitors(0.0, 1500):
        slate = [
            world.article(int(i)).item_id for i in np.random.default_rng(1).integers(0, 1200, 10)
        ]
        made = world.click(reader, slate, 0.0)
        assert len(made) <= 3 and all(slate[c.position] == c.item_id for c in made)
        stays += [(world.relevance(reader, [c.item_id], 0.0)[0], c.dwell_s) for c in made]
    assert np.corrcoef(np.array(stays).T)[0, 1] > 0.5


def test_click_rates_leave_room_to_learn() -> None:
    draw = np.random.default_rng(0)
    by_all: dict[str, list[str]] = {}

    def at_random(_: World, __: str, pool: list[str], ___: float) -> list[str]:
        return [pool[i] for i in draw.choice(len(pool), 20, replace=False)]

    def popular(world: World, _: str, pool: list[str], __: float) -> list[str]:
        if not by_all:
            by_all["ranked"] = [pool[i] for i in np.argsort(-appeal_to_all(world, pool))[:100]]
        return by_all["ranked"]

    def oracle(world: World, reader: str, pool: list[str], progress: float) -> list[str]:
        return [pool[i] for i in np.argsort(-world.relevance(reader, pool, progress))[:100]]

    assert mean_clicks(at_random) == pytest.approx(0.25, abs=0.06)
    assert mean_clicks(popular) == pytest.approx(0.55, abs=0.12)
    assert mean_clicks(oracle) == pytest.approx(1.4, abs=0.2)


def test_some_articles_and_topics_are_more_popular_than_others(world: World) -> None:
    appeal = np.sort(appeal_to_all(world, world.released(0.0)))[::-1]
    assert appeal[:120].sum() > 0.18 * appeal.sum()
    fans = [len(world.fans(topic)) for topic in range(12)]
    assert max(fans) > 2 * min(fans)


def test_expected_clicks_ranks_slates_as_clicks_do(world: World) -> None:
    reader, pool = world.readers[0], world.released(0.0)
    order = np.argsort(-world.relevance(reader, pool, 0.0))
    best, worst = ([pool[i] for i in part] for part in (order[:10], order[-10:]))
    assert world.expected_clicks(reader, best, 0.0) > 5 * world.expected_clicks(reader, worst, 0.0)
    assert world.expected_clicks(reader, best, 0.0) > world.expected_clicks(reader, best[::-1], 0.0)
