"""Catalogue: articles into base vectors, encoded again only when their text changes.

An article is a candidate as soon as its message is handled, placed by recency and popularity;
its text counts once the encoder has come to it. What is owed a vector is kept in the catalogue,
not here, so nothing is forgotten when this process dies.
"""

from collections.abc import Callable, Sequence

from consumers.dead_letters import DeadLetters
from consumers.reread import Reread
from streamrec import logs
from streamrec.broker import Partition, Record
from streamrec.catalogue import Catalogue, Entry, Vectors, text_hash
from streamrec.clock import Clock
from streamrec.errors import InvalidMessage
from streamrec.events import Article, decode, epoch
from streamrec.metrics import ENCODED

log = logs.get(__name__)
Latest = dict[str, tuple[Article, float] | None]  # by item id: what it is now, and when that was sent


class CatalogueKeeper:
    """See consumers.loop.Handler. `encode` maps texts to [n, d] float16; empty texts to zeros.
    `chars`: of a text that are kept, well beyond what the encoder reads."""

    def __init__(
        self, catalogue: Catalogue, encode: Callable[[list[str]], Vectors], fingerprint: str,
        text_of: Callable[[str, str], str], dead_letters: DeadLetters, clock: Clock,
        reread: Reread, batch: int = 32, chars: int = 4000,
    ) -> None:
        self._catalogue, self._encode, self._fingerprint = catalogue, encode, fingerprint
        self._text_of, self._dead, self._clock = text_of, dead_letters, clock
        self._batch, self._reread, self._chars = batch, reread, chars

    def assigned(self, partition: Partition, committed: int | None) -> int | None:
        """See consumers.loop.Handler: all articles, then what is new; all of them again when another encoder
        has read the catalogue's texts, or Redis has lost them."""
        return self._reread.assigned(partition, committed)

    def handle(self, batches: Sequence[tuple[Partition, Sequence[Record]]]) -> None:
        """See consumers.loop.Handler. Of several messages for an article the last one counts."""
        latest: Latest = {}
        refused: list[tuple[Record, Exception]] = []
        for _, records in batches:
            for record in records:
                self._take(record, latest, refused)
        self._catalogue.remove([i for i, a in latest.items() if a is None])
        self._put([a for a in latest.values() if a is not None])
        self._reread.handled(batches)
        for record, why in refused:  # last, so that waiting for Redis does not send them again
            self._dead.send(record, why)

    def _take(
        self, record: Record, latest: Latest,
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
            if not self._reread.again(record):
                refused.append((record, error))
            return
        latest.pop(article.item_id, None)
        latest[article.item_id] = article, record.timestamp / 1000

    def _put(self, sent: Sequence[tuple[Article, float]]) -> None:
        texts = {a.item_id: self._text_of(a.title, a.body) for a, _ in sent}
        hashes = {i: text_hash(t, self._fingerprint) for i, t in texts.items()}
        known = self._catalogue.entries(list(hashes))
        entries = [
            Entry(a.item_id, a.title, _published(a, at, known.get(a.item_id)), a.tags, a.lang,
                  hashes[a.item_id], a.source, a.domain)
            for a, at in sent
        ]
        same = {i for i, entry in known.items() if entry.text_hash == hashes[i]}
        changed = {i: t[: self._chars] for i, t in texts.items() if t and i not in same}
        self._catalogue.put(entries, changed)

    def idle(self) -> None:
        """Encode some of the texts that wait: a little at a time, so that new articles and
        deletions get through while a backlog is worked off."""
        self._reread.check()
        owed = self._catalogue.owed(self._batch)
        if owed:
            vectors = self._encode([o.text for o in owed])
            filled = list(zip(owed, vectors, strict=True))
            if unread := sum(bool(o.text.strip()) and not vector.any() for o, vector in filled):
                log.warning("texts_not_read", texts=unread, of=len(owed), so="their words count, their sense "
                            "does not: name a model of their language in STREAMREC_ENCODER__NAME")
            self._catalogue.fill(filled)
            ENCODED.inc(len(owed))


def _published(article: Article, sent_at: float, known: Entry | None) -> float:
    """Without a date an article is as old as the first message about it: a change makes it no newer."""
    if article.published_at is not None:
        return epoch(article.published_at)
    return known.published_at if known else sent_at
