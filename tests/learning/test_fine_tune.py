"""Fine-tuning learns, equals the loop by hand, and rehearsal keeps what it learned before."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from avalanche.training.plugins import EWCPlugin, SupervisedPlugin
from synthetic_stream import DIM, TOPICS, articles, rows

from streamrec.catalogue import GONE, LIVE
from streamrec.config import Buffer, Model, Trainer
from streamrec.learning import optimizer as adam
from streamrec.learning.examples import concat, empty, in_time_order, materialise
from streamrec.learning.fine_tune import fine_tune, plain_fit, plan, warm_up
from streamrec.learning.gate import ndcg
from streamrec.learning.increment import vectors
from streamrec.learning.packed import scores
from streamrec.model.counters import Counters
from streamrec.model.network import Recommender
from streamrec.model.words import Words

MODEL = Model(dropout=0.0)


class Stream:
    """Articles, counters that walk on, and the vectors."""

    def __init__(self):
        self.articles, self.counters = articles(), Counters(Buffer())
        for item_id, article in self.articles.items():
            self.counters.publish(item_id, article.published_at)
        self.known = np.full(len(self.counters), LIVE)
        self.base = vectors(self.counters, self.articles, DIM)

    def examples(self, window, trainer=Trainer()):
        made, _ = materialise(window, self.counters, self.known, self.base, Words(), 20, trainer, 0)
        return made


def test_what_was_deleted_is_learned_from_but_is_no_negative():
    stream, window = Stream(), rows(300, list(articles()))
    read = {w.row.item for w in window[:150]}
    gone = {stream.counters.index[i] for i in read}
    stream.known[list(gone)] = GONE
    made = stream.examples(window)
    chosen = made.cand[np.arange(len(made)), made.target]
    others = made.cand.copy()
    others[np.arange(len(made)), made.target] = -1
    assert len(made) > 250 and gone & set(chosen.tolist()) and not gone & set(others.ravel().tolist())


@pytest.mark.parametrize("few", [0, 3])
def test_a_row_is_compared_with_the_slate_shown_and_few_others_or_without_one_with_many(few):
    trainer = Trainer(negatives=30, slate_negatives=few)
    for slate, least, most in ((8, 1, 8 + few), (0, 20, 30)):
        window = rows(200, list(articles()), slate=slate)
        shown = {w.row.event_id: {*w.row.slate} for w in window}
        stream = Stream()
        made = stream.examples(window, trainer)
        others = [c[c >= 0][c[c >= 0] != c[t]] for c, t in zip(made.cand, made.target, strict=True)]
        assert all(least <= len(o) <= most for o in others)
        drawn = [len({stream.counters.ids[i] for i in o} - shown[e])
                 for o, e in zip(others, made.event_ids, strict=True)]
        assert max(drawn) == (few if slate else max(map(len, others)))


def test_any_number_of_negatives_beside_a_slate_finds_room():
    window = rows(100, list(articles()), slate=20)
    for trainer in (Trainer(negatives=2), Trainer(slate_negatives=60), Trainer(slate=0, slate_negatives=0)):
        assert len(Stream().examples(window, trainer)) > 80


def test_a_row_with_a_slate_is_judged_within_it_and_one_without_among_all():
    for slate in (8, 0):
        window = rows(200, list(articles()), slate=slate)
        shown = {w.row.event_id: {*w.row.slate} for w in window}
        stream = Stream()
        made = stream.examples(window, Trainer(slate_negatives=5))
        for judged in (made.as_shown(), concat([made, made.take([0])]).as_shown()):
            there = [{stream.counters.ids[i] for i in c[c >= 0]} for c in judged.cand]
            if slate:
                assert all(t <= shown[e] and len(t) > 1 for t, e in zip(there, judged.event_ids, strict=True))
            assert all(judged.cand[k, t] >= 0 for k, t in enumerate(judged.target))
        assert slate or (made.as_shown().cand == made.cand).all()


def prior(examples):
    net = Recommender.initial(DIM, MODEL)
    net.standardise(torch.from_numpy(examples.feats[examples.cand >= 0].astype(np.float32)))
    return net


def quality(net, examples, base):
    return ndcg(scores(net, examples, base), examples.target).mean()


class Recorder(SupervisedPlugin):
    """Notes the batches that Avalanche made."""

    def __init__(self):
        super().__init__()
        self.batches = []

    def before_training_iteration(self, strategy, **kwargs):
        self.batches.append(strategy.mbatch[0].clone())


@pytest.mark.parametrize("rehearsed", [0, 150])
def test_avalanche_and_the_loop_by_hand_give_the_same_weights(rehearsed):
    stream, trainer = Stream(), Trainer(passes=2)
    both = stream.examples(rows(450, list(stream.articles)))
    old, new = both.take(range(rehearsed)), both.take(range(150, 450))
    nets = [prior(new), prior(new)]
    warm = fine_tune(nets[0], new, old, stream.base, trainer, first=True, seed=5)
    fine_tune(nets[1], new, old, stream.base, trainer, first=True, seed=5)
    recorder = Recorder()
    a = fine_tune(nets[0], new, old, stream.base, trainer, first=False, seed=6,
                  optimizer_state=warm.optimizer_state, plugins=[recorder])
    b = plain_fit(nets[1], concat([new, old]), stream.base, trainer, recorder.batches,
                  first=False, optimizer_state=warm.optimizer_state)
    assert a.steps == b.steps == plan(len(new), rehearsed, trainer, False).steps
    for name, tensor in nets[0].state_dict().items():
        assert torch.allclose(tensor, nets[1].state_dict()[name], atol=1e-6), name
    for name, tensor in a.optimizer_state.items():
        assert torch.allclose(tensor, b.optimizer_state[name], atol=1e-6), name


def test_several_passes_of_an_increment_end_when_rows_held_out_are_helped_no_more():
    """Few rows again and again: soon they are learned by heart."""
    stream, trainer = Stream(), Trainer(passes=30, increment_scale=0.5, batch=8, max_steps=9000)
    both = stream.examples(rows(500, list(stream.articles)))
    new, tail = both.take(range(150)), both.take(range(150, 450))
    nets, losses = [prior(new) for _ in range(3)], []
    stopped = fine_tune(nets[0], new, new.take([]), stream.base, trainer, first=False, seed=1, tail=tail)
    fine_tune(nets[1], new, new.take([]), stream.base, trainer, first=False, seed=1)
    once = Trainer(passes=stopped.passes - 1, increment_scale=0.5, batch=8, max_steps=9000)
    again = fine_tune(nets[2], new, new.take([]), stream.base, once, first=False, seed=1, tail=tail)
    for net in nets:
        logits = torch.from_numpy(scores(net, tail, stream.base))
        losses.append(torch.nn.functional.cross_entropy(logits, torch.from_numpy(tail.target)).item())
    print(f"stopped after {stopped.passes} passes, loss {losses[0]:.3f}; after 30 {losses[1]:.3f}")
    assert 1 < stopped.passes < 30 and losses[0] < losses[1] - 0.01
    # what is kept is the pass before the one that was no better, as if nobody had gone on
    assert again.passes == stopped.passes - 1 and losses[2] == pytest.approx(losses[0])


def test_who_asks_for_one_pass_and_a_first_model_end_when_planned():
    stream = Stream()
    both = stream.examples(rows(200, list(stream.articles)))
    new, tail = both.take(range(150)), both.take(range(150, len(both)))
    with_tail, without = prior(new), prior(new)
    for first in (True, False):
        fit = fine_tune(with_tail, new, new.take([]), stream.base, Trainer(), first=first, seed=1, tail=tail)
        fine_tune(without, new, new.take([]), stream.base, Trainer(), first=first, seed=1)
        assert fit.passes == (8 if first else 4)  # of few rows
    assert all(torch.equal(a, b) for a, b in zip(with_tail.parameters(), without.parameters(), strict=True))


def test_a_first_model_of_few_rows_takes_enough_steps_and_warms_up_within_a_fifth_of_them():
    for new, passes in ((150, 8), (210, 7), (400, 4), (2000, 3)):
        sizes = plan(new, 0, Trainer(), first=True)
        assert sizes.passes == passes and sizes.steps >= 21
        assert warm_up(Trainer(), sizes.steps, first=True) == min(sizes.steps // 5, Trainer().warmup_steps)
    assert plan(150, 0, Trainer(max_steps=4, first_passes=1), first=True).steps <= 4
    assert warm_up(Trainer(), 5, first=False) == Trainer().warmup_steps


def test_an_increment_of_few_rows_passes_over_them_until_it_has_steps_enough_but_four_times_at_most():
    for new, rehearsal, *wanted in ((60, 400, 4, 8), (450, 400, 2, 18), (620, 400, 1, 13), (350, 0, 2, 12)):
        sizes = plan(new, rehearsal, Trainer(), first=False)
        assert [sizes.passes, sizes.steps] == wanted
    assert plan(450, 400, Trainer(passes=3), first=False).passes == 3  # as was asked for
    assert plan(450, 400, Trainer(max_steps=9), first=False).steps == 9


def test_the_share_asked_for_of_every_batch_is_rehearsal_and_every_new_row_is_seen_once_a_pass():
    stream, recorder = Stream(), Recorder()
    both = stream.examples(rows(328, list(stream.articles)))
    new, old = both.take(range(200)), both.take(range(200, 328))
    fit = fine_tune(prior(new), new, old, stream.base, Trainer(rehearsal_share=0.5), first=False, seed=1,
                    plugins=[recorder])
    for n, batch in enumerate(recorder.batches, 1):
        last = n % (fit.steps // fit.passes) == 0  # of a pass: what is left of the new rows
        assert (batch < 200).sum() == (200 % 32 if last else 32) and (batch >= 200).sum() == 32
    seen = torch.cat(recorder.batches)
    assert sorted(seen[seen < 200].tolist()) == sorted([*range(200)] * fit.passes)


def test_the_step_cap_makes_batches_larger_and_drops_no_row():
    sizes = plan(20_000, 500, Trainer(max_steps=100, rehearsal_share=0.5), first=False)
    assert sizes.steps <= 100 and sizes.steps * sizes.new >= 20_000
    assert sizes.old == sizes.new


@pytest.mark.parametrize("slate", [0, 8])
def test_learning_lifts_rows_never_seen_over_the_prior(slate):
    stream = Stream()
    both = stream.examples(rows(2600, list(stream.articles), slate=slate))
    new, later = both.take(range(2200)), both.take(range(2200, 2600))
    net = prior(new)
    before = quality(net, later, stream.base)
    fit = fine_tune(net, new, empty(20, 1), stream.base, Trainer(), first=True, seed=0)
    after = quality(net, later, stream.base)
    print(f"slate {slate}: prior {before:.3f} learned {after:.3f} in {fit.seconds:.1f} s")
    assert after > before + 0.05


def test_rehearsal_forgets_less_than_none():
    """Two eras: half of the topics, then the other half; the first era is asked again."""
    stream, trainer = Stream(), Trainer(increment_scale=1.0, passes=3)
    half = TOPICS // 2
    items = list(stream.articles)
    first = [a for a in items if int(a[1:]) % TOPICS < half]
    second = [a for a in items if int(a[1:]) % TOPICS >= half]
    era1 = stream.examples(rows(1500, first, taste=lambda r: r % half))
    era2 = stream.examples(rows(1500, second, start=1500, taste=lambda r: half + r % half))
    old, asked = era1.take(range(1200)), era1.take(range(1200, 1500))
    start = prior(old)
    fit = fine_tune(start, old, empty(20, 1), stream.base, trainer, first=True, seed=0)
    learned, left = quality(start, asked, stream.base), {}
    for name, memory in {"naive": empty(20, 1), "rehearsal": old}.items():
        net = Recommender.initial(DIM, MODEL)
        net.load_state_dict(start.state_dict())
        fine_tune(net, era2, memory, stream.base, trainer, first=False, seed=0,
                  optimizer_state=fit.optimizer_state)
        left[name] = quality(net, asked, stream.base)
    print(f"era 1 after era 1 {learned:.3f}, after era 2 {left}")
    assert left["rehearsal"] > left["naive"] + 0.01


def test_avalanches_own_plugins_work_on_our_batches():
    stream = Stream()
    new = stream.examples(rows(100, list(stream.articles)))
    fit = fine_tune(prior(new), new, empty(20, 1), stream.base, Trainer(), first=False, seed=0,
                    plugins=[EWCPlugin(0.1, mode="online", decay_factor=0.9)])
    assert fit.steps == 8 and np.isfinite(fit.loss)


def test_adam_state_survives_its_file():
    stream = Stream()
    new = stream.examples(rows(100, list(stream.articles)))
    state = fine_tune(prior(new), new, empty(20, 1), stream.base, Trainer(), first=True,
                      seed=0).optimizer_state
    again = adam.from_files(adam.to_files(state))
    assert again.keys() == state.keys() and len(state) > 10
    assert all(torch.equal(again[k], state[k]) for k in state)


def test_examples_hold_the_counters_of_the_instant_before_the_event():
    stream = Stream()
    window = rows(200, list(stream.articles))
    made = stream.examples(window)
    counted = {}
    for e, w in enumerate(in_time_order(window)):
        cand = [stream.counters.ids[i] for i in made.cand[e] if i >= 0]
        assert cand[made.target[e]] == w.row.item and len(set(cand)) == len(cand)
        assert not set(cand) & set(w.row.history)
        ever = np.expm1(made.feats[e, : len(cand), 3].astype(float))
        assert np.allclose(ever, [counted.get(a, 0) for a in cand], rtol=0.01)
        counted[w.row.item] = counted.get(w.row.item, 0) + 1


def test_an_article_is_no_negative_before_it_is_published():
    stream = Stream()
    late = stream.counters.index["a7"]
    stream.counters.published_at[late] = rows(1, ["a1"])[0].row.ts + 3000.0
    made = stream.examples(rows(200, [a for a in stream.articles if a != "a7"]))
    seen = (made.cand == late).any(axis=1)
    # Negatives are drawn by blocks: an article may join a block late, never early.
    assert not seen[:100].any() and seen[165:].any()


def test_only_training_imports_avalanche():
    code = ("import sys, streamrec.model.encoder, streamrec.model.bundle, streamrec.learning.gate,"
            " streamrec.learning.increment; assert 'avalanche' not in sys.modules")
    subprocess.run([sys.executable, "-c", code], check=True)


def carried(state):
    """As a version carries it: through its file."""
    return adam.from_files(adam.to_files(state))


@pytest.mark.parametrize("loss", ["softmax", "bce", "mse"])
@pytest.mark.parametrize("optimizer", ["adamw", "sgd", "adafactor"])
def test_every_optimizer_and_loss_learns_and_goes_on_where_it_was(optimizer, loss):
    stream, trainer = Stream(), Trainer(passes=2, optimizer=optimizer, loss=loss)
    made = stream.examples(rows(1200, list(stream.articles)))
    new, later, test = made.take(range(700)), made.take(range(700, 900)), made.take(range(900, len(made)))
    net = prior(new)
    before = quality(net, test, stream.base)
    first = fine_tune(net, new, new.take([]), stream.base, trainer, first=True, seed=1)
    assert quality(net, test, stream.base) > before + 0.005
    again = fine_tune(net, later, new.take([]), stream.base, trainer, first=False, seed=2,
                      optimizer_state=carried(first.optimizer_state))
    slots = {key.rpartition("/")[2] for key in again.optimizer_state}
    assert slots <= adam.KINDS[optimizer].slots and slots - {"step"}
    steps = [v for k, v in again.optimizer_state.items() if k.endswith("/step")]
    assert all(int(step) == first.steps + again.steps for step in steps)


def test_a_state_of_another_optimizer_begins_anew():
    stream = Stream()
    new = stream.examples(rows(200, list(stream.articles)))
    net = prior(new)
    state = fine_tune(net, new, new.take([]), stream.base, Trainer(), first=True, seed=1).optimizer_state
    other = fine_tune(net, new, new.take([]), stream.base, Trainer(optimizer="sgd"), first=False, seed=1,
                      optimizer_state=state).optimizer_state
    assert {key.rpartition("/")[2] for key in other} == {"momentum_buffer"}
