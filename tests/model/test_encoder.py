import numpy as np
import pytest
import torch

from streamrec.config import Encoder
from streamrec.errors import SetupError
from streamrec.model.encoder import TextEncoder, article_text

TITLES = [
    "Council approves new tram line after long debate",
    "Tram extension wins city council vote",
    "Striker scores twice as United win the derby",
]


@pytest.fixture(scope="module")
def minilm():
    return TextEncoder(Encoder())


def test_similar_texts_get_similar_unit_vectors(minilm):
    vectors = minilm.encode(TITLES).astype(np.float32)
    assert vectors.shape == (3, minilm.dim)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=2e-3)
    similar, other = vectors[0] @ vectors[1], vectors[0] @ vectors[2]
    assert similar > other + 0.3


def test_blank_text_is_the_zero_vector_and_no_text_is_no_vector(minilm):
    vectors = minilm.encode(["", "  \n", TITLES[0]])
    assert not vectors[:2].any() and vectors[2].any()
    assert minilm.encode([]).shape == (0, minilm.dim)


def test_a_script_that_the_encoder_was_not_taught_is_the_zero_vector(minilm):
    """All such texts would have much the same vector, and be taken for copies of each other."""
    unread = ["ข่าวเทคโนโลยี", "机器学习与深度学习", "😀", "สวัสดี 2024, 10:30", "\u200b"]
    unread.append("ข่าวเทคโนโลยี iPhone 15")
    read = ["ไทย iphone and tram", "Привет мир", "1984", "Tram 😀", TITLES[0]]
    assert minilm.encode([*unread, *read]).any(axis=1).tolist() == [False] * 6 + [True] * 5


def test_a_vector_does_not_depend_on_its_batch(minilm):
    alone = np.concatenate([minilm.encode([t]) for t in TITLES]).astype(np.float32)
    together = minilm.encode([*TITLES, "word " * 90]).astype(np.float32)[:3]
    assert (alone * together).sum(axis=1).min() > 0.999


def test_the_fast_number_format_agrees_with_the_exact_one(minilm):
    exact = TextEncoder(Encoder(), dtype=torch.float32).encode(TITLES).astype(np.float32)
    assert (exact * minilm.encode(TITLES).astype(np.float32)).sum(axis=1).min() > 0.999


def test_the_fingerprint_names_model_and_cut(minilm):
    assert minilm.fingerprint == TextEncoder(Encoder()).fingerprint
    assert minilm.fingerprint != TextEncoder(Encoder(max_tokens=32)).fingerprint


def test_progress_ends_at_the_total(minilm):
    seen = []
    minilm.encode(TITLES, progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (3, 3)


@pytest.mark.parametrize("name", ["/no/such/folder", "no-such-organisation/no-such-model"])
def test_a_model_that_is_not_there_is_one_sentence(name):
    with pytest.raises(SetupError, match="minilm"):
        TextEncoder(Encoder(name=name))


def test_article_text_joins_what_there_is():
    assert article_text("Tram line", "It opens.") == "Tram line. It opens"
    assert article_text("Tram line", "") == "Tram line" and article_text(" ", "") == ""
