"""Catalogue: articles into base vectors, encoded again only when their text changes."""

from collections.abc import Callable, Sequence

import numpy as np
from msgspec.structs import replace

from consumers.dead_letters import DeadLetters
from streamrec.broker import Partition, Record
from streamrec.catalogue import Catalogue, Entry, Vectors, text_hash
from streamrec.clock import Clock
from streamrec.errors import InvalidMessage
from streamrec.events import Article, decode, epoch
from streamrec.metrics import ENCODED


class CatalogueKeeper:
    """See consumers.loop.Handler. `encode` maps texts to [n, d] float16; empty texts to zeros."""

    def __init__(
        self, catalogue: Catalogue, encode: Callable[[list[str]], Vectors], fingerprint: str,
        text_of: Callable[[str, str], str], dead_letters: DeadLetters, clock: Clock,
    ) -> None:
        self._catalogue, self._encode, self._fingerprint = catalogue, encode, fingerprint
        self._text_of, self._dead, self._clock = text_of, dead_letters, clock

    def assigned(self, partition: Partition, committed: int | None) -> int | None:
        """See consumers.loop.Handler: all articles, then what is new."""
        return -2 if committed is None else None

    def handle(self, batches: Sequence[tuple[Partition, Sequence[Record]]]) -> None:
        """See consumers.loop.Handler. Of several messages for an article the last one counts."""
        latest: dict[str, Article | None] = {}
        for _, records in batches:
            for record in records:
                self._take(record, latest)
        self._catalogue.remove([i for i, a in latest.items() if a is None])
        self._put([a for a in latest.values() if a is not None])

    def _take(self, record: Record, latest: dict[str, Article | None]) -> None:
        try:
            if record.value is None:
                latest[(record.key or b"").decode()] = None
                return
            article = decode(Article, record.value, self._clock.now())
            if record.key is not None and record.key != article.item_id.encode():
                raise InvalidMessage("the key is not the item id - at `$.item_id`")
        except (InvalidMessage, UnicodeDecodeError) as error:
            self._dead.send(record, error)
            return
        if article.published_at is None:
            article = replace(article, published_at=record.timestamp / 1000)
        latest.pop(article.item_id, None)
        latest[article.item_id] = article

    def _put(self, articles: list[Article]) -> None:
        texts = {a.item_id: self._text_of(a.title, a.body) for a in articles}
        hashes = {i: text_hash(t, self._fingerprint) for i, t in texts.items()}
        known = self._catalogue.vectors_of(list(hashes.items()))
        fresh = [i for i in texts if i not in known]
        vectors = dict(zip(fresh, self._encode([texts[i] for i in fresh]), strict=True)) if fresh else {}
        ENCODED.inc(len(fresh))
        vectors |= {i: np.frombuffer(v, np.float16) for i, v in known.items()}
        entries = [self._entry(a, hashes[a.item_id]) for a in articles]
        if entries:
            self._catalogue.put(entries, np.stack([vectors[e.item_id] for e in entries]))

    @staticmethod
    def _entry(a: Article, hashed: str) -> Entry:
        return Entry(a.item_id, a.title, epoch(a.published_at or 0.0), a.tags, a.lang, hashed)

    def idle(self) -> None:
        """See consumers.loop.Handler."""
