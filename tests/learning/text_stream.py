"""The synthetic stream with texts in place of vectors, and the step that encodes naively."""

import numpy as np
import torch
from synthetic_stream import TOPICS, rows

from streamrec.config import Encoder, Model
from streamrec.learning.examples import PAD, blank
from streamrec.learning.packed import softmax
from streamrec.model.encoder import TextEncoder
from streamrec.model.network import Recommender

ENCODER = Encoder(max_tokens=16)
MODES = ("top:1", "top:2", "lora", "adalora", "ia3", "prefix", "full")
SUBJECTS = (
    "tram council street", "striker derby goal", "galaxy telescope planet", "soup oven pepper",
    "bank shares interest", "guitar concert album",
)
FILLER = ["today", "report", "about", "people", "who", "say", "that", "this", "week", "many", "new",
          "things", "happen", "there"]


def texts(n=60, seed=0):
    """Article i is of topic i % TOPICS and says so in one or two of its words."""
    rng = np.random.default_rng(seed)
    made = []
    for i in range(n):
        words = [*rng.choice(SUBJECTS[i % TOPICS].split(), 1 + i % 2), *rng.choice(FILLER, 2 + i % 9)]
        made.append(" ".join(rng.permutation(words)))
    return made


def examples(n, articles=60, history=5, negatives=6, seed=0):
    """First reads of topical readers, each beside negatives drawn at random."""
    made, rng = blank(n, history, 1 + negatives), np.random.default_rng(seed)
    names = [f"a{i}" for i in range(articles)]
    for r, w in enumerate(rows(n, names, seed=seed)):
        row = w.row
        hist, chosen = [int(a[1:]) for a in row.history[:history]], int(row.item[1:])
        others = rng.choice([i for i in range(articles) if i != chosen], negatives, replace=False)
        slot = int(rng.integers(negatives + 1))
        made.hist[r, : len(hist)] = hist
        made.cand[r], made.target[r], made.ts[r] = np.insert(others, slot, chosen), slot, row.ts
    return made.take(range(n))


def base_vectors(of):
    """The frozen encoder's vectors, exactly."""
    return TextEncoder(ENCODER, dtype=torch.float32).encode(of)


def network(dim=384, history=5):
    """Without dropout, so that two runs can be compared."""
    net = Recommender.initial(dim, Model(history=history, dropout=0.0))
    torch.manual_seed(3)
    with torch.no_grad():  # away from the identity, or some gradients vanish
        net.head.weight.add_(0.02 * torch.randn(dim, dim))
        net.query.add_(0.1 * torch.randn(dim))
    return net


def own_forward(encoder, of):
    """Vectors [n, d] by the transformer's own forward over all layers, every text anew. By 64 and
    sorted by length: the naive step is to lose by what it repeats, not by padding."""
    order = sorted(range(len(of)), key=lambda i: len(of[i]))
    parts = [_forward(encoder, [of[i] for i in order[k : k + 64]]) for k in range(0, len(of), 64)]
    return torch.cat(parts)[np.argsort(order)]


def _forward(encoder, of):
    padded = encoder._tokenizer(of, padding=True, truncation=True, return_tensors="pt",
                                max_length=encoder.settings.max_tokens)
    mask = padded["attention_mask"].bool()
    if encoder.kind == "prefix":  # whose prompt starts at the cut, which the own forward cannot do
        walk, hidden = encoder._stack.walk, encoder._model.embeddings(padded["input_ids"])
        hidden = walk(hidden, mask, range(encoder.cut))
        hidden = walk(hidden, mask, range(encoder.cut, encoder.depth))
    else:
        hidden = encoder._model(**padded).last_hidden_state
    summed = (hidden * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
    return torch.nn.functional.normalize(summed, dim=-1)


def naive_loss(net, encoder, of, some, at):
    """The loss of rows `at` with every text of every slot encoded where it stands."""
    hist, cand = torch.from_numpy(some.hist[at]).long(), torch.from_numpy(some.cand[at]).long()
    slots = torch.cat([hist, cand], 1)
    real = ((slots != PAD) & torch.tensor([bool(t.strip()) for t in of])[slots.clamp(min=0)]).flatten()
    parts = own_forward(encoder, [of[i] for i in slots.flatten()[real].tolist()])
    vectors = torch.zeros(slots.numel(), parts.shape[1]).index_put((real.nonzero()[:, 0],), parts)
    where, h = torch.arange(slots.numel()).view_as(slots), hist.shape[1]
    mask = real.view_as(slots)[:, :h]
    logits = net(vectors, where[:, :h], mask, where[:, h:], torch.from_numpy(some.feats[at]).float())
    logits = (logits - torch.from_numpy(some.logq[at])).masked_fill(cand == PAD, -torch.inf)
    return softmax(logits, torch.from_numpy(some.target[at]), -torch.ones(len(logits)))
