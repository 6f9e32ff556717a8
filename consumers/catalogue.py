"""Catalogue: articles into base vectors, encoded again only when their text changes.

An article is a candidate as soon as its message is handled, placed by recency and popularity;
its text counts once the encoder has come to it. What is owed a vector is kept in the catalogue,
not here, so nothing is forgotten when this process dies.
"""

from collections.abc import Callable, Sequence

from msgspec.structs import replace

from consumers.dead_letters import DeadLetters
from streamrec.broker import Partition, Record
from streamrec.catalogue import Catalogue, Entry, Vectors, text_hash
from streamrec.clock import Clock
from streamrec.errors import InvalidMessage
from streamrec.events import Article, decode, epoch
from streamrec.metrics import ENCODED


class CatalogueKeeper:
    """See consumers.loop.Handler. `encode` maps texts to [n, d] float16; empty texts to zeros.
    `chars`: of a text that are kept, well beyond what the encoder reads."""

    def __init__(
        self, catalogue: Catalogue, encode: Callable[[list[str]], Vectors], fingerprint: str,
        text_of: Callable[[str, str], str], dead_letters: DeadLetters, clock: Clock,
        batch: int = 32, reread: bool = False, chars: int = 4000,
    ) -> None:
        self._catalogue, self._encode, self._fingerprint = catalogue, encode, fingerprint
        self._text_of, self._dead, self._clock = text_of, dead_letters, clock
        self._batch, self._reread, self._chars = batch, reread, chars

    def assigned(self, partition: Partition, committed: int | None) -> int | None:
        """See consumers.loop.Handler: all articles, then what is new; all of them again when
        another encoder has read the catalogue's texts."""
        return -2 if committed is None or self._reread else None

    def handle(self, batches: Sequence[tuple[Partition, Sequence[Record]]]) -> None:
        """See consumers.loop.Handler. Of several messages for an article the last one counts."""
        latest: dict[str, Article | None] = {}
        refused: list[tuple[Record, Exception]] = []
        for _, records in batches:
            for record in records:
                self._take(record, latest, refused)
        self._catalogue.remove([i for i, a in latest.items() if a is None])
        self._put([a for a in latest.values() if a is not None])
        for record, error in refused:  # last, so that waiting for Redis does not send them again
            self._dead.send(record, error)

    def _take(
        self, record: Record, latest: dict[str, Article | None],
        refused: list[tuple[Record, Exception]],
    ) -> None:
        try:
            if record.value is None:
                latest[(record.key or b"").decode()] = None
                return
            article = decode(Article, record.value, self._clock.now())
            if record.key is not None and record.key != article.item_id.encode():
                raise InvalidMessage("the key is not the item id - at `$.item_id`")
        except (InvalidMessage, UnicodeDecodeError) as error:
            refused.append((record, error))
            return
        if article.published_at is None:
            article = replace(article, published_at=record.timestamp / 1000)
        latest.pop(article.item_id, None)
        latest[article.item_id] = article

    def _put(self, articles: list[Article]) -> None:
        texts = {a.item_id: self._text_of(a.title, a.body) for a in articles}
        hashes = {i: text_hash(t, self._fingerprint) for i, t in texts.items()}
        known = self._catalogue.hashes(list(hashes))
        entries = [
            Entry(a.item_id, a.title, epoch(a.published_at or 0.0), a.tags, a.lang, hashes[a.item_id],
                  a.source, a.domain)
            for a in articles
        ]
        changed = {i: t[: self._chars] for i, t in texts.items() if t and known.get(i) != hashes[i]}
        self._catalogue.put(entries, changed)

    def idle(self) -> None:
        """Encode some of the texts that wait: a little at a time, so that new articles and
        deletions get through while a backlog is worked off."""
        owed = self._catalogue.owed(self._batch)
        if owed:
            vectors = self._encode([o.text for o in owed])
            self._catalogue.fill(list(zip(owed, vectors, strict=True)))
            ENCODED.inc(len(owed))
