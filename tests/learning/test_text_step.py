"""The step through the encoder: the naive gradient at a fraction of its work."""

import copy

import numpy as np
import pytest
import structlog
import torch
from text_stream import ENCODER, MODES, base_vectors, examples, naive_loss, network, texts

from streamrec.config import Trainer
from streamrec.learning.examples import empty
from streamrec.learning.fine_tune import Plan
from streamrec.learning.fine_tune_text import batches, fine_tune_text
from streamrec.learning.packed import OverExamples
from streamrec.learning.text_step import Gram, pick
from streamrec.model.tuned import TunedEncoder

TEXTS = texts()
TEXTS[7], TEXTS[13] = "", "  \n"
ROWS = torch.arange(24)


@pytest.fixture(scope="module")
def base():
    return base_vectors(TEXTS)


def encoder_of(mode):
    """With its part moved away from where the mode starts: there half of the gradients are 0."""
    encoder = TunedEncoder(ENCODER, mode, dtype=torch.float32, lora_layers=3 if mode == "lora" else None)
    torch.manual_seed(5)
    with torch.no_grad():
        for p in encoder.parameters() if encoder.kind not in ("top", "full") else ():
            p.add_(0.02 * torch.randn_like(p))
    return encoder


def gram_step(net, encoder, some, base, **options):
    """One step's gradients, without the optimizer."""
    gram = Gram(encoder, TEXTS, some, base, **{"limit": None, "seed": 0, **options})
    model = OverExamples(net, some, base, torch.device("cpu"), vectors=gram)
    gram.choose(ROWS)
    loss = model.loss(model(ROWS), torch.from_numpy(some.target)[ROWS])
    loss.backward()
    gram.backward()
    return loss.item(), gram


def gradients(net, encoder):
    named = dict(net.named_parameters()) | encoder.named_parameters()
    found = {n: p.grad.clone() for n, p in named.items() if p.grad is not None}
    for p in named.values():
        p.grad = None
    return found


def assert_same(a, b):
    assert a.keys() == b.keys() and len(a) > 5
    for name in a:
        scale = max(1.0, float(b[name].abs().max()))
        assert (a[name] - b[name]).abs().max() <= 1e-5 * scale, name


@pytest.mark.parametrize("micro_tokens", [100_000, 48])
@pytest.mark.parametrize("mode", MODES)
def test_gradients_equal_those_of_encoding_every_text_in_place(mode, micro_tokens, base):
    net, encoder, some = network(), encoder_of(mode), examples(24)
    naive = naive_loss(net, encoder, TEXTS, some, ROWS.numpy())
    naive.backward()
    want = gradients(net, encoder)
    loss, _ = gram_step(net, encoder, some, base, micro_tokens=micro_tokens)
    assert loss == pytest.approx(naive.item(), abs=1e-5)
    got = gradients(net, encoder)
    assert_same(got, want)
    assert max(float(got[n].abs().max()) for n in encoder.named_parameters() if n in got) > 1e-4


def test_a_step_with_warm_caches_gives_bit_for_bit_the_same(base):
    net, encoder, some = network(), encoder_of("top:2"), examples(24)
    gram_step(net, encoder, some, base)
    cold, before = gradients(net, encoder), encoder.tokens
    gram_step(net, encoder, some, base)
    warm = gradients(net, encoder)
    assert all(torch.equal(cold[n], warm[n]) for n in cold)
    assert encoder.tokens - before < 0.7 * before  # four of six layers were skipped


def test_with_a_limit_only_so_many_articles_get_a_gradient_and_the_table_is_refreshed(base):
    net, encoder, some = network(), encoder_of("top:1"), examples(24)
    with torch.no_grad():
        encoder.parameters()[0].add_(0.05)
    loss, gram = gram_step(net, encoder, some, base, limit=10)
    chosen = gram._chosen
    assert len(chosen) == 10 and not {7, 13} & set(chosen.tolist())
    changed = (gram._table != torch.from_numpy(base)).any(1).nonzero()[:, 0]
    assert set(changed.tolist()) == set(chosen.tolist())
    assert torch.equal(gram._table[chosen], torch.from_numpy(encoder.encode([TEXTS[i] for i in chosen])))


def test_half_of_the_articles_with_gradient_are_positives_and_a_quarter_newest_reads():
    kinds = [np.arange(20), np.arange(10, 40), np.arange(100)]
    found = pick(kinds, 16, np.random.default_rng(0))
    assert len(set(found)) == 16
    assert (found < 20).sum() == 8 and ((found >= 20) & (found < 40)).sum() == 4
    assert sorted(pick(kinds, None, np.random.default_rng(0))) == list(range(100))
    few = [np.array([3]), np.array([3]), np.array([3, 4, 5, 6])]
    assert sorted(pick(few, 4, np.random.default_rng(0))) == [3, 4, 5, 6]
    assert len(pick([np.zeros(0, int)] * 3, 4, np.random.default_rng(0))) == 0


class Greedy:
    """An encoder on a card with room for `room` padded tokens of a graph."""

    def __init__(self, encoder, room):
        self.encoder, self.room, self.refused = encoder, room, 0

    def __getattr__(self, name):
        return getattr(self.encoder, name)

    def forward_tokens(self, states):
        if len(states) * max(len(s) for s in states) > self.room:
            self.refused += 1
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return self.encoder.forward_tokens(states)


def test_out_of_memory_halves_the_micro_batch_says_so_once_and_keeps_the_gradient(base):
    net, encoder, some = network(), encoder_of("lora"), examples(24)
    gram_step(net, encoder, some, base)
    want, small = gradients(net, encoder), Greedy(encoder, 60)
    with structlog.testing.capture_logs() as said:
        _, gram = gram_step(net, small, some, base)
        got = gradients(net, encoder)
        refused = small.refused
        gram.choose(ROWS)  # the next step starts with what fitted
        gram(torch.arange(60))
    assert_same(got, want)
    assert refused > 1 and small.refused == refused
    assert [(s["log_level"], "memory is full" in s["event"]) for s in said] == [("warning", True)]


def test_one_article_that_does_not_fit_is_an_error(base):
    with pytest.raises(torch.cuda.OutOfMemoryError):
        gram_step(network(), Greedy(encoder_of("top:1"), 3), examples(24), base)


def test_memory_that_runs_out_in_the_backward_adds_no_gradient_twice(base, monkeypatch):
    net, encoder, some = network(), encoder_of("top:1"), examples(24)
    gram_step(net, encoder, some, base)
    want, real, calls = gradients(net, encoder), torch.autograd.grad, []

    def grad(*args, **kwargs):
        calls.append(1)
        found = real(*args, **kwargs)
        if len(calls) == 1:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return found

    monkeypatch.setattr(torch.autograd, "grad", grad)
    gram_step(net, encoder, some, base)
    assert len(calls) > 1
    assert_same(gradients(net, encoder), want)


FAST = Trainer(batch=32, first_passes=1, warmup_steps=2, rehearsal_share=0.25)


def fit(mode, base, seed=0, trainer=FAST, **options):
    net, encoder, both = network(), TunedEncoder(ENCODER, mode, dtype=torch.float32), examples(300)
    done = fine_tune_text(net, encoder, TEXTS, both.take(range(260)), both.take(range(260, 300)), base,
                          trainer, first=True, seed=seed, gradient_articles=16, **options)
    return net, encoder, done


def text_loss(net, encoder, some):
    with torch.no_grad():
        return naive_loss(net, encoder, TEXTS, some, np.arange(len(some))).item()


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_learns(mode, base):
    """The encoder alone: the network stands still, so the fall is the transformer's."""
    rates = [name for name in Trainer.model_fields if name.startswith("lr_")]
    still = FAST.model_copy(update={**dict.fromkeys(rates, 1e-9), "first_passes": 2})
    asked = examples(96, seed=1).take(range(64, 96))
    start = TunedEncoder(ENCODER, mode, dtype=torch.float32)
    before = text_loss(network(), start, asked)
    net, encoder, done = fit(mode, base, trainer=still, lr_encoder=6 * start.rate)  # few, so large steps
    after = text_loss(net, encoder, asked)
    print(f"{mode}: {before:.4f} -> {after:.4f}, {done.steps} steps, {done.seconds:.1f} s")
    assert after < before - 0.05
    assert done.steps == 22 and np.isfinite(done.loss) and done.tokens > 0


def test_the_same_seed_gives_the_same_encoder_and_another_seed_does_not(base):
    a, b, c = (fit("lora", base, seed=s)[1].trainable_state() for s in (1, 1, 2))
    assert a == b and a != c


def test_training_goes_on_with_adams_state_at_the_increments_rate(base):
    net, encoder, done = fit("top:1", base)
    held = [k for k in done.optimizer_state if k.startswith("encoder.")]
    assert len(held) == 3 * len(encoder.parameters())
    steps = done.optimizer_state[held[0].rsplit("/", 1)[0] + "/step"]
    moved = copy.deepcopy(encoder.trainable_state())
    again = fine_tune_text(net, encoder, TEXTS, examples(64, seed=4), empty(5, 7), base, FAST, first=False,
                           seed=1, optimizer_state=done.optimizer_state, step_cap=1)
    assert again.steps == 1 and encoder.trainable_state() != moved
    assert again.optimizer_state[held[0].rsplit("/", 1)[0] + "/step"] == steps + 1


def test_rehearsal_is_mixed_in_and_every_new_row_comes_once_a_pass():
    torch.manual_seed(0)
    made = list(batches(100, 30, Plan(new=20, old=8, passes=2, steps=10)))
    assert len(made) == 10 and all(((b >= 100).sum(), len(b)) == (8, 28) for b in made)
    new = torch.cat(made)
    assert sorted(new[new < 100].tolist()) == sorted([*range(100)] * 2)
    assert torch.bincount(new[new >= 100] - 100).max() - torch.bincount(new[new >= 100] - 100).min() <= 1
