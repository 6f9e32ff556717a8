"""Increments learn each row once, or keep it as an anchor, and the state on disk is the whole state."""

import copy
from collections import Counter

import pytest
import torch
from msgspec.structs import replace
from safetensors.numpy import load, save
from synthetic_stream import DIM, articles, rows

from streamrec.config import Buffer, Model, Settings, Trainer
from streamrec.errors import CorruptArtefact
from streamrec.learning import parked
from streamrec.learning.increment import increment, split
from streamrec.learning.state import ARRAYS, TrainerState
from streamrec.model import bundle, co_reads
from streamrec.model.network import Recommender

BUFFER, TRAINER = Buffer(), Trainer(anchors=60)
ARTICLES = articles()


def run(state, net, optimizer, window, reservoir, trainer=TRAINER, known=ARTICLES, seed=0, encoder="test",
        **more):
    return increment(
        state=state, parent=net, optimizer=optimizer, window=window, reservoir=reservoir,
        articles=known, settings=Settings(trainer=trainer), dim=DIM, encoder=encoder, now=0.0,
        seed=seed, **more,
    )


class Trainee:
    """What a trainer process does between increments: keep files, read the window on."""

    def __init__(self, stream, **settings):
        self.stream, self.trainer = stream, TRAINER.model_copy(update=settings)
        self.state = TrainerState.empty(BUFFER)
        self.net = self.adam = None
        self.outcomes = []

    def window(self, until):
        cursor = self.state.cursor
        return [w for w in self.stream[:until] if w.ordinal > cursor.get(w.partition, 0)]

    def learn(self, until, **more):
        seen = [w.row for w in self.stream[:until]]
        reservoir = [r for r in seen if hash_of(r.event_id) % 3]
        out = run(self.state, self.net, self.adam, self.window(until), reservoir, self.trainer,
                  seed=len(self.outcomes), **more)
        self.state = TrainerState.from_files(out.state_files, BUFFER)
        if out.model_files:
            self.net, self.adam = bundle.from_files(out.model_files)[0], out.optimizer_files
        self.outcomes.append(out)
        return out


def hash_of(event_id):
    return int(event_id[1:]) * 2654435761 % 2**32


@pytest.fixture(scope="module")
def trainee():
    made = Trainee(rows(1500, list(ARTICLES)))
    for until in (600, 900, 1200, 1500):
        made.learn(until)
    return made


def test_the_first_model_beats_the_prior_and_later_ones_are_judged_on_both(trainee):
    first, second, *later = trainee.outcomes
    assert first.verdict.publish, first.verdict.reason
    assert first.metrics["holdout_ndcg_new"] > first.metrics["holdout_ndcg_old"]
    assert "anchors_lower" not in second.metrics  # no era is older than the parent's last
    for out in later:
        assert {"holdout_lower", "anchors_lower"} <= out.metrics.keys()
    assert trainee.outcomes[-1].learned_until > first.learned_until


def test_rows_whose_texts_another_encoder_read_are_neither_rehearsed_nor_judges():
    stream = rows(900, list(ARTICLES))
    made = Trainee(stream)
    made.learn(500)
    made.learn(700)
    window, reservoir = made.window(900), [w.row for w in stream[:900]]
    same = run(made.state, made.net, made.adam, window, reservoir)
    other = run(made.state, None, None, window, reservoir, encoder="another")
    assert same.metrics["rows_rehearsal"] > 100 and "anchors_lower" in same.metrics
    assert other.metrics["rows_rehearsal"] == 0 and "anchors_lower" not in other.metrics
    assert other.verdict.publish and TrainerState.from_files(other.state_files, BUFFER).encoder == "another"


def test_each_row_is_learned_exactly_once():
    made, learned = Trainee(rows(900, list(ARTICLES))), Counter()
    for until in (300, 500, 700, 900):
        taken, held = split(made.window(until), made.trainer)
        assert held and len(held) <= 0.25 * len(taken) + 2
        out = made.learn(until)
        assert out.rows == len(taken)
        learned.update(w.row.event_id for w in taken)
    waiting = {w.row.event_id for w in made.window(900)}
    assert set(learned.values()) == {1}
    assert waiting.isdisjoint(learned) and len(waiting) + len(learned) == 900


def test_held_out_rows_are_neither_learned_nor_rehearsed_nor_counted(trainee):
    held = {w.row.event_id for w in trainee.window(1500)}
    state = trainee.state
    assert held and held.isdisjoint(state.examples.event_ids + state.anchors.event_ids)
    assert int(state.counters.totals().sum()) == state.rows == 1500 - len(held)


def test_the_state_stays_within_the_reservoir_and_anchors_are_never_rehearsed(trainee):
    state = trainee.state
    assert len(state.anchors) == 60
    assert set(state.anchors.event_ids).isdisjoint(state.examples.event_ids)
    assert all(hash_of(e) % 3 for e in state.examples.event_ids)


def test_the_state_on_disk_gives_the_next_increment_bit_for_bit():
    made = Trainee(rows(700, list(ARTICLES)))
    made.learn(400)
    window, files = made.window(700), made.state.to_files()
    assert TrainerState.from_files(files, BUFFER).to_files() == files
    again = TrainerState.from_files(files, BUFFER)
    runs = [
        run(s, made.net, made.adam, window, [w.row for w in made.stream], seed=1)
        for s in (made.state, again)
    ]
    assert runs[0].model_files == runs[1].model_files
    assert runs[0].optimizer_files == runs[1].optimizer_files
    assert runs[0].state_files == runs[1].state_files and runs[0].verdict == runs[1].verdict
    assert made.state.to_files() == files  # nothing passed in was changed


def test_a_refused_model_leaves_no_files_but_the_cursor_moves_on():
    made = Trainee(rows(900, list(ARTICLES)))
    made.learn(600)
    made.trainer = made.trainer.model_copy(
        update={"lr_features": 50.0, "warmup_steps": 0, "increment_scale": 1.0})
    before = made.state
    out = made.learn(900)
    assert not out.verdict.publish and not out.model_files and not out.optimizer_files
    assert made.state.rows > before.rows
    assert all(out.cursor[p] > before.cursor[p] for p in before.cursor)


def weights(net):
    return torch.cat([p.detach().reshape(-1) for p in net.parameters()])


def test_what_is_published_is_the_average_of_its_parent_and_the_learner_who_goes_on_from_itself():
    stream = rows(1200, list(ARTICLES))
    half, whole = (Trainee(stream, gate=False, average=share) for share in (0.5, 0.0))
    for trainee in (half, whole):
        trainee.learn(600)
    first = weights(half.net)
    assert (first == weights(whole.net)).all(), "of a first model there is nothing to average"
    for trainee in (half, whole):
        trainee.learn(900)
    own = weights(whole.net)
    assert torch.allclose(weights(half.net), (first + own) / 2, atol=1e-6)
    second = weights(half.net)
    for trainee in (half, whole):
        trainee.learn(1200)
    assert torch.allclose(weights(half.net), (second + weights(whole.net)) / 2, atol=1e-5)
    assert (weights(whole.net) - own).abs().max() > 1e-3


def test_rows_about_unknown_articles_are_skipped():
    made = Trainee(rows(300, [*ARTICLES][:40]))
    known = {k: v for k, v in ARTICLES.items() if k != "a0"}
    out = run(made.state, None, None, made.window(300), [], known=known)
    assert out.metrics["rows_skipped"] == sum(w.row.item == "a0" for w in made.stream) > 0
    nothing = run(made.state, None, None, made.window(300), [], known={})
    assert not nothing.verdict.publish and "known article" in nothing.verdict.reason
    assert nothing.cursor


def test_a_slow_partition_is_learned_too():
    window = rows(50, list(ARTICLES), partitions=1)
    lonely = window[0]._replace(partition=9, ordinal=1)
    taken, _ = split([lonely, *window[1:]], TRAINER)
    assert lonely in taken


def test_a_corrupt_state_is_refused(trainee):
    files = trainee.state.to_files()
    with pytest.raises(CorruptArtefact):
        TrainerState.from_files(files | {"state.safetensors": b"no"}, BUFFER)
    with pytest.raises(CorruptArtefact):
        TrainerState.from_files(files | {"state.json": b"{}"}, BUFFER)


def test_a_parent_for_another_encoder_is_not_built_on():
    made = Trainee(rows(300, list(ARTICLES)))
    other = Recommender.initial(DIM * 2, Model())
    out = run(made.state, other, None, made.window(300), [])
    assert bundle.from_files(out.model_files)[0].dim == DIM


def test_no_model_ever_learns_an_anchor():
    """Whoever has learned a row ranks it better: a gate by such rows takes every change for forgetting."""
    made, learned = Trainee(rows(900, list(ARTICLES))), set()

    def seen(parent, new, rehearsal):
        learned.update(new.event_ids, rehearsal.event_ids)
        return ()

    for until in (400, 650, 900):
        out = made.learn(until, plugins=seen)
        assert out.rows > out.metrics["rows_new"] > 0.9 * out.rows
    anchors = made.state.anchors
    assert len(anchors) > 30 and learned.isdisjoint(anchors.event_ids)
    assert min(anchors.ts) < made.stream[300].row.ts and max(anchors.ts) > made.stream[600].row.ts


def test_of_no_window_more_than_a_few_rows_become_anchors_though_all_were_lost_with_another_encoder():
    made = Trainee(rows(900, list(ARTICLES)), anchors=400)
    made.learn(300)
    made.state.rows = 20_000  # a long life
    out = run(made.state, None, None, made.window(600), [], made.trainer, encoder="another")
    assert out.metrics["rows_new"] > 0.85 * out.rows


def test_a_state_of_before_slates_were_told_apart_goes_on_where_it_was():
    made = Trainee(rows(600, list(ARTICLES)))
    made.learn(300)
    files = made.state.to_files()
    arrays = {k: v for k, v in load(files[ARRAYS]).items() if not k.endswith("/shown")}
    back = TrainerState.from_files({**files, ARRAYS: save(arrays)}, BUFFER)
    assert back.fitted and back.examples.event_ids == made.state.examples.event_ids
    assert not back.examples.shown.any() and len(back.examples.shown) == len(back.examples)
    assert len(made.state.anchors) and not len(back.anchors)  # they had been learned


class Late(Trainee):
    """A trainee whose catalogue learns of an article late; notes what was learned when."""

    def __init__(self, stream, late, **settings):
        super().__init__(stream, **settings)
        self.known = {k: v for k, v in ARTICLES.items() if k not in late}
        self.learned = Counter()

    def learn(self, until):
        before = set(self.state.examples.event_ids + self.state.anchors.event_ids)
        seen = [w.row for w in self.stream[:until]]
        out = run(self.state, self.net, self.adam, self.window(until), seen, self.trainer,
                  known=self.known, seed=len(self.outcomes))
        self.state = TrainerState.from_files(out.state_files, BUFFER)
        if out.model_files:
            self.net, self.adam = bundle.from_files(out.model_files)[0], out.optimizer_files
        now = self.state.examples.event_ids + self.state.anchors.event_ids
        new = [e for e in now if e not in before]
        assert len(new) == out.rows
        self.learned.update(new)
        self.outcomes.append(out)
        return out


def about(stream, articles):
    return {w.row.event_id for w in stream if w.row.item in articles}


def test_a_row_about_an_unknown_article_is_learned_once_when_it_is_announced():
    late = {f"a{i}" for i in range(0, 300, 10)}
    made = Late(rows(900, list(ARTICLES)), late, anchors=10_000)
    for until in (300, 500):
        out = made.learn(until)
    waits = {w.row.event_id for w in made.state.parked}
    assert len(waits) == out.metrics["rows_parked"] > 20 and waits.isdisjoint(made.learned)
    assert waits == about(made.stream[:500], late) - {w.row.event_id for w in made.window(500)}
    assert int(made.state.counters.totals().sum()) == made.state.rows - len(waits)
    made.known = ARTICLES
    out = made.learn(700)
    assert out.metrics["rows_late"] == len(waits) and waits <= made.learned.keys()
    assert not made.state.parked and made.learn(900).metrics["rows_late"] == 0
    waiting = {w.row.event_id for w in made.window(900)}
    assert set(made.learned.values()) == {1} and waiting.isdisjoint(made.learned)
    assert len(waiting) + len(made.learned) == 900
    assert int(made.state.counters.totals().sum()) == made.state.rows == 900 - len(waiting)


def test_late_rows_do_not_count_themselves_before_they_are_learned():
    window = rows(300, list(ARTICLES), partitions=1)
    made = Late(window, {window[5].row.item}, anchors=10_000)
    made.learn(200)
    made.known = ARTICLES
    made.learn(300)
    kept = made.state.examples.event_ids, made.state.anchors.event_ids
    packed, ids = ((made.state.examples, kept[0]) if "e5" in kept[0] else (made.state.anchors, kept[1]))
    e = ids.index("e5")
    assert packed.feats[e, packed.target[e], 3] == 0.0  # nobody had read it before


def test_parked_rows_are_bounded_and_those_dropped_are_counted():
    window = rows(300, list(ARTICLES)[:60])
    made = Late(window, {"a0", "a1", "a2"}, parked_rows=5)
    out = made.learn(200)
    gone = out.metrics["rows_dropped"]
    assert out.metrics["rows_parked"] == 5 and gone > 0
    assert int(made.state.counters.totals().sum()) == made.state.rows - 5
    made.known = ARTICLES
    assert made.learn(300).metrics["rows_late"] == 5
    assert not made.state.parked


def test_only_room_bounds_how_long_a_row_waits_however_fast_the_stream_runs():
    """A log of years that is replayed in minutes is years ahead before its catalogue has caught up."""
    old, new = rows(2, ["a1"], readers=9)
    late = new._replace(row=replace(new.row, ts=old.row.ts + 12 * 365 * 86_400.0))
    assert parked.bounded([late, old], 2) == ([old, late], [])
    assert parked.bounded([late, old], 1) == ([late], [old])


def test_co_reads_travel_with_a_model_as_the_scorer_counts_them():
    made = Late(rows(300, list(ARTICLES)), {"a0", "a1"})
    out = made.learn(300)
    shipped = co_reads.from_files(out.co_read_files)
    counted = sum(len([*pairs.items()]) for pairs in co_reads.tables(made.state.counters).values())
    assert made.state.parked and len(shipped) > counted
    waiting = {w.row.item for w in made.state.parked if w.row.history}
    for table in ("co", "near"):
        assert {partner for name, _, _, partner, _ in shipped if name == table} >= waiting


def test_the_best_published_model_is_remembered_on_the_anchors():
    trainee = Trainee(rows(1500, list(ARTICLES)), margin=0.5)  # so that all are published
    for until in (600, 900, 1200, 1500):
        trainee.learn(until)
    best = trainee.state.best
    assert best and set(best) <= {w.row.event_id for w in trainee.stream}
    state = copy.deepcopy(trainee.state)
    state.best = dict.fromkeys(state.older_anchors().event_ids, 1.0)  # nobody ranks like that
    seen = [w.row for w in trainee.stream]
    out = run(state, trainee.net, trainee.adam, trainee.window(1500), seen, TRAINER)
    assert out.metrics["anchors_best_gap"] < -0.1
