"""Rules come from a compacted topic; a mistake becomes a dead letter and changes nothing."""

from consumer_world import RULES, World

from consumers.dead_letters import origin
from consumers.reread import Reread
from consumers.router import Router
from consumers.rules import RulesKeeper
from streamrec.adapters.memory import MemoryRules
from streamrec.broker import Partition
from streamrec.events import Match, Rule, encode


def rule(rule_id: str, factor: float = 2.0) -> Rule:
    return Rule(rule_id=rule_id, action="boost", match=Match(tags=["x"]), factor=factor)


def keep(world: World, store: MemoryRules) -> None:
    keeper = RulesKeeper(store, world.dead_letters(), world.clock, Reread(world.board, "rules", world.clock))
    loop = world.loop(world.broker.subscribe([RULES], "catalogue"), Router({RULES: keeper}))
    for _ in range(4):
        loop.turn()


def test_the_last_word_on_a_rule_counts_and_null_ends_it(world: World) -> None:
    store = MemoryRules()
    for sent in (rule("a"), rule("b"), rule("b", 5.0)):
        world.send(RULES, sent.rule_id.encode(), encode(sent))
    world.send(RULES, b"a", None)
    keep(world, store)
    assert store.all() == [rule("b", 5.0)]


def test_a_rule_with_a_mistake_is_a_dead_letter_and_the_old_one_stays(world: World) -> None:
    store = MemoryRules()
    world.send(RULES, b"a", encode(rule("a")))
    world.send(RULES, b"a", encode(rule("a")).replace(b"boost", b"boots"))
    world.send(RULES, b"other", encode(rule("c")))
    keep(world, store)
    assert store.all() == [rule("a")]
    letters = world.broker.read(Partition(f"{RULES}.dlq", 0), 0, 9)
    assert {origin(r)["message"].rpartition("`")[0].rpartition("`")[2] for r in letters} == {
        "$.action", "$.rule_id"}
