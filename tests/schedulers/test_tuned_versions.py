"""A version whose encoder learned is published, swapped in with its own vectors, and rolled back."""

import json

import numpy as np
import pytest
import safetensors.numpy
import torch

from consumers.model_fetch import ModelFetch
from consumers.own_texts import OwnTexts
from schedulers.learner import IncrementRunner
from streamrec.adapters.memory import (
    MemoryBoard,
    MemoryBuffer,
    MemoryCatalogue,
    MemoryFiles,
    MemoryPointers,
)
from streamrec.catalogue import Entry, text_hash
from streamrec.clock import ManualClock
from streamrec.config import Encoder, Settings
from streamrec.errors import Conflict, Fenced, SetupError
from streamrec.learning import increment as increments
from streamrec.learning.fine_tune import device_of
from streamrec.learning.gate import Verdict
from streamrec.learning.state import TrainerState
from streamrec.metrics import BOARD_QUALITY
from streamrec.model import tuned_files
from streamrec.model.encoder import TextEncoder
from streamrec.model.features import Stated
from streamrec.model.network import Recommender
from streamrec.registry import Pointer, Registry
from streamrec.replay import Applied, a_res_key, digest
from streamrec.scoring import Ask, Scorer, Served, ServingState, TunedServed

ENCODER = Encoder(max_tokens=16, batch=8)
SUBJECTS = ("tram council street", "galaxy telescope planet", "soup oven pepper")
MODES = ("lora", "adalora", "ia3", "prefix", "top:1", "full")
START = 1.7e9


@pytest.fixture(scope="module")
def frozen() -> TextEncoder:
    return TextEncoder(ENCODER)


class Shop:
    """Trainer and scorer over memory adapters, with real texts and the real encoder."""

    def __init__(self, frozen: TextEncoder, mode: str) -> None:
        trainer = Settings().trainer.model_copy(update={"gate": False, "max_steps": 4, "first_passes": 1,
                                                        "passes": 1, "device": "cpu", "tracking": "none"})
        model = Settings().model.model_copy(update={"train": mode})
        self.settings = Settings(encoder=ENCODER, trainer=trainer, model=model)
        self.frozen, self.clock, dim = frozen, ManualClock(START), frozen.dim
        self.buffer, self.catalogue = MemoryBuffer(self.settings.buffer), MemoryCatalogue(dim)
        self.registry, self.n = Registry(MemoryFiles(), MemoryPointers(self.clock)), 0
        self.board = MemoryBoard()
        self.claim = self.buffer.claim(0, "x", 1)
        self.announce(*(f"{s} number {i}" for i, s in enumerate(SUBJECTS * 4)))
        self.token = self.registry.pointers.acquire("test", 1e9)
        self.state = ServingState(self.buffer, self.catalogue, self.settings.buffer, dim)
        prior = Served("0", Recommender.initial(dim, model))
        self.scorer = Scorer(self.state, self.buffer, prior, self.settings.scorer, 7)
        self.own = OwnTexts(self.catalogue, self.state.articles, ENCODER)
        self.fetch = ModelFetch(self.registry, self.state.articles, frozen.fingerprint, self.own)

    def announce(self, *texts: str) -> None:
        entries = [Entry(t, t, START - 100, [], "en", text_hash(t, self.frozen.fingerprint)) for t in texts]
        self.catalogue.put(entries, {t: t for t in texts})
        owed = self.catalogue.owed(99)
        self.catalogue.fill(list(zip(owed, self.frozen.encode([o.text for o in owed]), strict=True)))

    def reads(self, n: int = 60) -> None:
        """Readers who stay with their subject."""
        items = sorted(self.catalogue.entries([e.item_id for e in self.catalogue.changes(0).entries]))
        events = []
        for i in range(self.n, self.n + n):
            ours = [t for t in items if t.split()[0] == SUBJECTS[i // 4 % 3].split()[0]]
            event = (f"e{i}", f"u{i // 4}", ours[i % len(ours)], "click", START + i, [], 1.0)
            events.append(Applied(i, digest(event[0]), *event, a_res_key(digest(event[0]))))
        self.n += n
        self.buffer.apply(0, self.claim, "x", events, self.n, START + self.n)

    def train(self, mode: str | None = None) -> dict:
        self.reads()
        runner = self.runner(mode)
        return runner.run(self.token, "test")

    def runner(self, mode: str | None = None) -> IncrementRunner:
        model = self.settings.model.model_copy(update={"train": mode or self.settings.model.train})
        settings = self.settings.model_copy(update={"model": model})
        return IncrementRunner(
            self.buffer, self.catalogue, self.registry, self.board, self.clock, settings,
            self.frozen.dim, self.frozen.fingerprint,
        )

    def swap(self) -> Served:
        """What the worker does when it is idle."""
        self.scorer.follow()
        self.fetch.fetch()
        live, frozen = self.fetch.take()
        if frozen is not None:
            self.scorer.catch_up(frozen)
            self.scorer.frozen = frozen
        if live is not None:
            self.scorer.swap(live)
        return self.scorer.live

    def encode_owed(self) -> int:
        done = self.own.work()
        self.scorer.follow()
        return done

    def slate(self) -> list[str]:
        (answer,) = self.scorer.rank([Ask("u1", 5)])
        return [i.item_id for i in answer.items]


def test_stated_interests_are_read_by_the_versions_own_encoder(frozen: TextEncoder) -> None:
    """As its articles are: the words of an article's text have that article's vector."""
    shop = Shop(frozen, "top:1")
    shop.scorer._wishes._encode = lambda text, domain: (text, frozen.encode([text])[0])
    for _ in range(2):  # the first version stays, as the frozen control
        shop.train()
        served, words = shop.swap(), f"{SUBJECTS[1]} number 1"
    row = shop.state.articles.index[words]
    stated = shop.scorer._wishes.stated(Ask("new", 3, interests=words))
    places = served.net.articles(torch.from_numpy(np.float32([served.stated(stated), stated.vector])))
    own, by_the_frozen = (torch.dist(place, served.at(np.array([row]))[0]) for place in places)
    assert own < by_the_frozen / 4
    (answer,) = shop.scorer.rank([Ask("new", 3, interests=words)])
    assert answer.tier == "interests" and answer.items
    shop.train()
    shop.fetch.fetch()  # another version is about to be swapped in, and this one still answers
    more = Stated(stated.vector, stated.tokens, "new words")
    assert np.array_equal(served.stated(more), more.vector)
    shop.registry.rollback(served.version, START)
    back = shop.swap()
    with shop.own._turn:  # at work: nobody waits for it
        assert np.array_equal(back.stated(more), more.vector)
    own = back.stated(more)
    assert not np.array_equal(own, more.vector)
    with shop.own._turn:
        assert np.array_equal(back.stated(more), own)  # kept


@pytest.mark.parametrize("mode", MODES)
def test_each_mode_trains_publishes_swaps_and_rolls_back(frozen: TextEncoder, mode: str) -> None:
    shop = Shop(frozen, mode)
    first = shop.train()
    assert first["published"] and isinstance(shop.swap(), TunedServed)
    one, base = shop.scorer.live.matrix.clone(), shop.state.articles.vectors.copy()
    assert shop.own.work() == 0  # the version brought the vectors of all articles
    shop.train()
    two = shop.swap()
    assert two.version == "2" and not np.array_equal(two.matrix, one)
    shop.registry.rollback(first["version"], START)
    back = shop.swap()
    assert back.version == "1" and np.array_equal(back.matrix, one)
    assert np.array_equal(shop.state.articles.vectors, base)  # features keep the frozen encoder's
    assert len(shop.slate()) == 5
    assert shop.train()["published"]  # goes on from what serves


def test_versions_with_encoders_of_their_own_are_compared_too(frozen: TextEncoder) -> None:
    shop = Shop(frozen, "top:1")
    shop.train()
    shop.train()
    diff = shop.registry.pointers.records()[-1].diff
    assert diff is not None and (diff.older, diff.newer) == ("1", "2")
    assert diff.readers > 10 and 0 < diff.overlap <= diff.n
    ndcg = shop.board.newest(BOARD_QUALITY, 1)[0]["ndcg"]
    assert ndcg["frozen"] == pytest.approx(ndcg["live"], abs=0.02)  # the same version, by its own encoder


def test_an_article_announced_later_is_encoded_by_the_version_that_serves(frozen: TextEncoder) -> None:
    shop = Shop(frozen, "top:1")
    shop.train()
    shop.swap()
    shop.announce("a galaxy far away")
    shop.scorer.follow()
    row = shop.state.articles.index["a galaxy far away"]
    stand_in = shop.scorer.live.matrix[row].clone()
    assert stand_in.any()  # a candidate at once
    assert shop.encode_owed() == 2  # for the live and the frozen version
    files = shop.registry.load("versions", "1").files
    from streamrec.model.tuned import TunedEncoder
    encoders = TunedEncoder.like(ENCODER, files), TunedEncoder(ENCODER, "top:1")  # which rounds alike
    texts = (torch.from_numpy(e.encode(["a galaxy far away"]).astype(np.float32)) for e in encoders)
    expected, untrained = (shop.scorer.live.net.articles(t)[0] for t in texts)
    now = shop.scorer.live.matrix[row]
    assert torch.allclose(now, expected) and not torch.equal(now, stand_in)
    assert not torch.allclose(now, untrained)
    assert shop.encode_owed() == 0


def test_the_head_alone_can_go_on_with_an_encoder_that_has_learned(frozen: TextEncoder) -> None:
    shop = Shop(frozen, "top:1")
    shop.train()
    shop.train("head")
    one, two = (shop.registry.load("versions", v).files for v in "12")
    assert one["encoder.safetensors"] == two["encoder.safetensors"]
    assert one["model.safetensors"] != two["model.safetensors"]


def test_another_mode_on_top_of_a_trained_encoder_is_refused_in_words(frozen: TextEncoder) -> None:
    shop = Shop(frozen, "top:1")
    shop.train()
    shop.reads()
    with pytest.raises(SetupError, match="trained by top:1, which lora cannot go on from"):
        shop.runner("lora").run(shop.token, "test")


def test_a_new_runner_goes_on_where_the_old_one_was(frozen: TextEncoder) -> None:
    """The fitting child may die between two increments: the same bytes come of it."""
    kept, fresh = Shop(frozen, "top:1"), Shop(frozen, "top:1")
    runner = kept.runner()
    for _ in range(2):
        kept.reads()
        runner.run(kept.token, "test")
        fresh.train()
    same = [s.registry.load("versions", "2").files["encoder.safetensors"] for s in (kept, fresh)]
    assert same[0] == same[1]


def test_a_refused_increment_leaves_the_encoder_as_it_was(
    frozen: TextEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = Shop(frozen, "top:1")
    runner = shop.runner()
    shop.reads()
    runner.run(shop.token, "test")
    real = increments.verdict
    monkeypatch.setattr(increments, "verdict", lambda *a, **k: Verdict(False, "worse", {}))
    shop.reads()
    assert not runner.run(shop.token, "test")["published"]
    monkeypatch.setattr(increments, "verdict", real)
    shop.reads()
    assert runner.run(shop.token, "test")["published"]


def test_what_was_learned_without_the_lease_is_refused(frozen: TextEncoder) -> None:
    shop = Shop(frozen, "head")
    shop.registry.pointers.release(shop.token)
    with pytest.raises(Fenced):
        shop.train()
    assert shop.registry.current() == Pointer()


def test_an_increment_does_not_undo_a_rollback_that_came_meanwhile(frozen: TextEncoder) -> None:
    shop = Shop(frozen, "head")
    shop.train()
    shop.train()
    shop.reads()
    with pytest.raises(Conflict):
        shop.runner().run(shop.token, "test", lambda _: shop.registry.rollback("1", START))
    assert shop.registry.current().version == "1"


def test_what_a_refused_increment_has_read_is_not_read_again(
    frozen: TextEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = Shop(frozen, "head")
    shop.train()
    before = shop.registry.current()
    monkeypatch.setattr(increments, "verdict", lambda *a, **k: Verdict(False, "worse", {}))
    assert not shop.train()["published"]
    now = shop.registry.current()
    assert now.version == before.version and now.state != before.state
    assert now.cursor[0] > before.cursor[0]


def test_a_version_whose_vectors_are_broken_is_refused_and_the_old_one_serves(frozen: TextEncoder) -> None:
    shop = Shop(frozen, "top:1")
    shop.train()
    shop.swap()
    shop.train()
    artefact = shop.registry.load("versions", "2")
    broken = {**artefact.files, "vectors.safetensors": b"rubbish"}
    shop.registry.files.delete("versions/2")
    shop.registry.stage("versions", "2", broken, cursor={0: 1})
    assert shop.swap().version == "1"


def test_after_an_upgrade_to_other_features_the_trainer_begins_anew_and_keeps_its_counts(
    frozen: TextEncoder,
) -> None:
    shop = Shop(frozen, "head")
    shop.train()
    pointer = shop.registry.current()
    made_by_an_older_release(shop.registry, "versions", pointer.version, "config.json", "model.safetensors")
    made_by_an_older_release(shop.registry, "states", pointer.state, "state.json", "state.safetensors")
    assert shop.swap().version == "0"
    done = shop.train()
    assert done["published"] and shop.swap().version == done["version"] != pointer.version
    assert len(shop.slate()) == 5
    files = shop.registry.load("states", shop.registry.current().state).files
    state = TrainerState.from_files(files, shop.settings.buffer)
    assert state.counters.total.sum() > 60  # both windows; the rows of the first are gone with their features
    assert len(state.examples) and not set(state.examples.event_ids) & {f"e{i}" for i in range(40)}


def made_by_an_older_release(registry: Registry, kind: str, name: str, about: str, arrays: str) -> None:
    """One feature less, as if the last one were new."""
    artefact = registry.load(kind, name)
    config, tensors = json.loads(artefact.files[about]), safetensors.numpy.load(artefact.files[arrays])
    if "features" in config:
        config["features"].pop()
    for key, array in tensors.items():
        if key in ("weights", "mean", "std", "interplay.0.weight") or key.endswith("/feats"):
            tensors[key] = np.ascontiguousarray(array[..., :-1])
    older = {k: v for k, v in tensors.items() if not k.startswith("near/") and not k.endswith("/dwell")}
    files = {**artefact.files, about: json.dumps(config).encode(), arrays: safetensors.numpy.save(older)}
    registry.files.delete(f"{kind}/{name}")
    about_it = {k: v for k, v in artefact.manifest.items() if k not in ("name", "files", "code_version")}
    registry.stage(kind, name, files, **about_it)


def test_auto_trains_the_head_alone_where_there_is_no_gpu(frozen: TextEncoder) -> None:
    shop = Shop(frozen, "auto")
    shop.train()
    assert not tuned_files.is_among(shop.registry.load("versions", "1").files)
    assert type(shop.swap()) is Served


def test_a_gpu_that_is_not_there_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SetupError, match="torch sees no GPU: set auto or cpu"):
        device_of("cuda")
