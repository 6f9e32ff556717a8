"""The encoder that learns: starts as the frozen one, saves only what it learned, caches exactly."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load, save

from streamrec.config import Encoder
from streamrec.errors import CorruptArtefact, SetupError
from streamrec.model.encoder import TextEncoder
from streamrec.model.lower_cache import LowerCache
from streamrec.model.tuned import TunedEncoder
from streamrec.model.tuned_files import CONFIG, TENSORS

SMALL = Encoder(max_tokens=16)
MODES = ("top:1", "top:2", "lora", "adalora", "ia3", "prefix", "full")
TEXTS = [
    "Council approves new tram line after long debate", "", "Striker scores twice in the derby",
    "soup", " \n", "A telescope sees a planet of another star, says a report that is longer than the cut",
]


def moved(mode, settings=SMALL):
    """As if trained."""
    by = {"adalora": 0.5, "prefix": 0.2}.get(mode, 0.02)  # what these add is small beside it
    encoder = TunedEncoder(settings, mode)
    torch.manual_seed(1)
    with torch.no_grad():
        for p in encoder.parameters():
            p.add_(by * torch.randn_like(p))
    return encoder


@pytest.fixture(scope="module")
def frozen():
    return TextEncoder(SMALL).encode(TEXTS).astype(np.float32)


@pytest.mark.parametrize("mode", MODES)
def test_before_training_it_is_the_frozen_encoder(mode, frozen):
    vectors = TunedEncoder(SMALL, mode).encode(TEXTS)
    assert vectors.dtype == np.float16 and not vectors[[1, 4]].any()
    cosine = (vectors.astype(np.float32) * frozen).sum(1)[[0, 2, 3, 5]]
    print(f"{mode}: cosine at least {cosine.min():.5f}")
    # Eight tokens of a prefix are a third of a text of 16: it cannot start as nothing.
    assert cosine.min() > (0.99 if mode == "prefix" else 0.999)
    assert TunedEncoder(SMALL, mode).encode([]).shape == (0, 384)


@pytest.mark.parametrize("mode", MODES)
def test_what_it_learned_survives_its_files_bit_for_bit(mode):
    encoder, again = moved(mode), TunedEncoder(SMALL, mode, seed=99)
    vectors, files = encoder.encode(TEXTS), encoder.trainable_state()
    untrained = TunedEncoder(SMALL, mode).encode(TEXTS)  # the frozen encoder may round otherwise
    assert np.abs(vectors.astype(np.float32) - untrained).max() > 1e-3
    again.load_state(files)
    assert np.array_equal(vectors, again.encode(TEXTS))
    assert again.version() == encoder.version() != TunedEncoder(SMALL, mode).version()
    assert set(load(files[TENSORS])) == set(encoder.named_parameters())
    if mode in ("lora", "ia3"):
        assert len(files[TENSORS]) < 200_000


def tampered(files, **changes):
    return {**files, CONFIG: json.dumps({**json.loads(files[CONFIG]), **changes}).encode()}


def test_foreign_or_broken_files_are_refused_and_change_nothing():
    encoder = TunedEncoder(SMALL, "lora")
    files, before = moved("lora").trainable_state(), encoder.trainable_state()
    tensors = load(files[TENSORS])
    first = next(iter(tensors))
    bad = {
        "mode": moved("top:1").trainable_state(),
        "rank": TunedEncoder(SMALL, "lora", lora_rank=4).trainable_state(),
        "layers": TunedEncoder(SMALL, "lora", lora_layers=3).trainable_state(),
        "cut": TunedEncoder(Encoder(max_tokens=32), "lora").trainable_state(),
        "base": tampered(files, base="0123456789abcdef@16"),
        "no config": {TENSORS: files[TENSORS]},
        "no tensors": {CONFIG: files[CONFIG]},
        "truncated": {**files, TENSORS: files[TENSORS][:-7]},
        "noise": {**files, TENSORS: b"\x80\x04 not a safetensors file"},
        "config is no json": {**files, CONFIG: b"\xff{"},
        "config is a list": {**files, CONFIG: b"[]"},
        "a tensor less": {**files, TENSORS: save({k: v for k, v in tensors.items() if k != first})},
        "other shape": {**files, TENSORS: save({**tensors, first: tensors[first][:1].contiguous()})},
        "other type": {**files, TENSORS: save({**tensors, first: tensors[first].half()})},
    }
    for name, refused in bad.items():
        with pytest.raises(CorruptArtefact):
            encoder.load_state(refused)
        assert encoder.trainable_state() == before, name
    encoder.load_state(files)
    assert encoder.trainable_state() == files


def test_only_the_part_learns():
    for mode, layers in {"top:2": {4, 5}, "lora": {4, 5}, "full": {*range(6)}}.items():
        names = TunedEncoder(SMALL, mode).named_parameters()
        assert {int(n.split("layer.")[1].split(".")[0]) for n in names if "layer." in n} == layers
        assert any("embeddings" in n for n in names) == (mode == "full")
        assert not any("pooler" in n for n in names)


@pytest.mark.parametrize("mode", ["top:0", "top:7", "top", "top:x", "lora:2", "all", "", "head"])
def test_an_unknown_part_is_one_sentence(mode):
    with pytest.raises(SetupError, match="top:"):
        TunedEncoder(SMALL, mode)


@pytest.mark.parametrize("mode", ["top:2", "lora", "prefix", "full"])
def test_cached_lower_layers_give_exactly_the_same_vectors(mode):
    encoder, none = moved(mode), moved(mode, Encoder(max_tokens=16, cache_mb=0))
    cold = encoder.encode(TEXTS)
    first = encoder.tokens
    assert np.array_equal(cold, encoder.encode(TEXTS)) and np.array_equal(cold, none.encode(TEXTS))
    again = encoder.tokens - first
    assert again == pytest.approx(first * encoder.layers / 6)


def test_a_cached_state_does_not_depend_on_training():
    encoder = moved("top:1")
    states = encoder.lower(TEXTS[:1])
    with torch.no_grad():
        encoder.parameters()[0].add_(1.0)
    assert all(torch.equal(a, b) for a, b in zip(states, encoder.lower(TEXTS[:1]), strict=True))
    assert states[0].dtype == torch.float16 and states[0].shape[1] == 384


def test_the_walk_over_the_layers_is_the_models_own_forward():
    encoder = TunedEncoder(SMALL, "full")
    tokens = encoder._tokenizer([TEXTS[0], TEXTS[5]], padding=True, truncation=True, max_length=16,
                                return_tensors="pt")
    hidden, mask = encoder._stack.padded(encoder.lower([TEXTS[0], TEXTS[5]]))
    with torch.no_grad():
        own = encoder._model(**tokens).last_hidden_state
        walked = encoder._stack.walk(hidden, mask, range(6))
    assert (own - walked)[mask].abs().max() < 1e-5


def test_the_cache_is_bounded_and_drops_what_was_used_longest_ago():
    cache, tensor = LowerCache(1000), torch.zeros(100, dtype=torch.float16)
    for i in range(5):
        cache.put(bytes([i]), tensor)
    assert cache.get(b"\x00") is not None
    cache.put(b"\x05", tensor)
    assert cache.get(b"\x01") is None and cache.get(b"\x00") is not None
    cache.put(b"\x06", tensor, evict=False)
    assert cache.get(b"\x06") is None and len(cache) == 5 and cache.bytes == 1000
    cache.put(b"\x07", torch.zeros(501, dtype=torch.float16))
    assert len(cache) == 5 and LowerCache(0).put(b"", tensor) is None


def test_a_batch_of_texts_does_not_keep_all_of_it_alive():
    state = TunedEncoder(SMALL, "top:1").lower(["soup", TEXTS[0], TEXTS[2]])[0]
    assert state.untyped_storage().nbytes() == state.nbytes
