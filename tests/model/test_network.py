import numpy as np
import pytest
import torch

from streamrec.config import Model
from streamrec.errors import CorruptArtefact
from streamrec.model import bundle
from streamrec.model.features import FEATURES
from streamrec.model.network import CLAMP, Recommender

DIM, F = 16, len(FEATURES)


def unit(*shape):
    torch.manual_seed(0)
    return torch.nn.functional.normalize(torch.randn(*shape), dim=-1)


@pytest.fixture
def net():
    return Recommender.initial(DIM, Model())


def test_the_head_starts_as_the_identity_and_keeps_no_text_at_zero(net):
    base = unit(5, DIM)
    base[2] = 0.0
    assert torch.allclose(net.articles(base), base, atol=1e-6)


def test_a_reader_without_history_is_the_zero_vector(net):
    hist, mask = unit(2, 4, DIM), torch.tensor([[True, True, False, False], [False] * 4])
    readers = net.readers(hist, mask)
    assert not readers[1].any()
    changed = hist.clone()
    changed[0, 2:] = 9.0  # masked reads say nothing
    assert torch.equal(net.readers(changed, mask), readers)


def test_newer_reads_weigh_more_before_any_training(net):
    new, old = unit(2, DIM)
    reader = net.readers(torch.stack([new, old])[None], torch.ones(1, 2, dtype=torch.bool))[0]
    assert reader @ new > reader @ old


def test_the_untrained_prior_ranks_by_taste_popularity_and_age(net):
    base, none = unit(3, DIM), torch.zeros(1, 3, F)
    same = net.score(base[:1], base, none)[0]
    assert same.argmax() == 0
    nobody = torch.zeros(1, DIM)
    read, aged = none.clone(), none.clone()
    read[0, 1, :4], aged[0, 1, FEATURES.index("age")] = 1.0, 3.0
    assert net.score(nobody, base, read)[0].argmax() == 1
    assert net.score(nobody, base, aged)[0].argmin() == 1


def test_parts_add_up_to_the_score_and_batched_training_gives_the_same(net):
    base = unit(9, DIM)
    hist, cand = torch.tensor([[1, 2, 0]]), torch.tensor([[3, 4, 5, 6]])
    mask, feats = torch.tensor([[True, True, False]]), torch.randn(1, 4, F)
    articles = net.articles(base)
    readers = net.readers(articles[hist], mask)
    parts = net.parts((articles[cand] * readers[:, None]).sum(-1), feats)
    assert set(parts) == {"content", "popularity", "freshness", "co_read"}
    score = net.score(readers, articles[cand[0]], feats)
    together = net.interplay(net.standardised(feats))[..., 0]
    assert torch.allclose(sum(parts.values()) + together, score, atol=1e-5)
    assert torch.allclose(net(base, hist, mask, cand, feats), score, atol=1e-5)


def test_standardised_features_are_centred_cut_and_average_when_unknown(net):
    feats = torch.randn(500, F) * 3 + 7
    feats[:50, 4] = torch.nan
    feats[:, 5] = 2.0  # never varied
    net.standardise(feats)
    scaled = net.standardised(feats)
    assert scaled.mean(0).abs().max() < 1e-4
    assert np.allclose(scaled[:, :4].std(0), 1.0, atol=0.05)
    assert not scaled[:50, 4].any()
    assert net.standardised(torch.full((1, F), 1e9)).max() == CLAMP


def test_a_bundle_comes_back_equal(net):
    torch.nn.init.normal_(net.query)
    net.standardise(torch.randn(20, F))
    again, meta = bundle.from_files(bundle.to_files(net, {"encoder": "x", "rows": 3}))
    assert meta == {"encoder": "x", "rows": 3} and not again.training
    for name, tensor in net.state_dict().items():
        assert torch.equal(again.state_dict()[name], tensor)


@pytest.mark.parametrize("name, old, new", [
    ("model.safetensors", None, b"\x00" * 40),
    ("model.safetensors", None, b""),
    ("config.json", None, b"{"),
    ("config.json", b'"dim": 16', b'"dim": 32'),
    ("config.json", b'"popular_long"', b'"popular_moon"'),
    ("config.json", b'"dim"', b'"width"'),
])
def test_a_corrupt_bundle_is_refused(net, name, old, new):
    files = bundle.to_files(net, {})
    files[name] = files[name].replace(old, new) if old else new
    with pytest.raises(CorruptArtefact, match=r"old version|new first model"):
        bundle.from_files(files)


def test_a_bundle_without_weights_is_refused(net):
    files = bundle.to_files(net, {})
    del files["model.safetensors"]
    with pytest.raises(CorruptArtefact):
        bundle.from_files(files)
