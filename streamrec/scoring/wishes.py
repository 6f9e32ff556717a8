"""From a wish to what is ranked for it: what counts as read, which articles may be in the answer, and
what to say when none is."""

from collections.abc import Callable, Sequence

import numpy as np

from streamrec.errors import NotFound
from streamrec.events import Tier
from streamrec.model.features import Stated
from streamrec.model.words import title_tokens
from streamrec.replay import Read
from streamrec.scoring.ask import Ask
from streamrec.scoring.batch import Reader
from streamrec.scoring.fast import Bools
from streamrec.scoring.rules import Applied
from streamrec.scoring.state import ServingState, Vector

SEEN = 20  # newest reads and dismissals whose copies are kept out
Encode = Callable[[str, str], tuple[str, Vector]]  # interests and domain -> what is encoded, base vector [d]


class Wishes:
    """Over what a scoring process knows. `encode` gives the vector of what a reader says to like;
    without it interests count by their words alone. `weight`: see Stated."""

    def __init__(self, state: ServingState, encode: Encode | None, weight: float = 0.0) -> None:
        self._state, self._encode, self._weight = state, encode, weight

    def reader(self, ask: Ask, history: Sequence[Read], stated: Stated | None = None) -> Reader:
        """From what the list is made; for "more like this" the article alone."""
        now = self._state.now()
        if ask.similar_to is not None:
            return Reader([Read(ask.similar_to, now, "read")], None, alike=True)
        session = [Read(item, now, "read") for item in ask.session]
        older = [r for r in history if r.item not in ask.session]
        return Reader([*session, *older], stated)

    def stated(self, ask: Ask) -> Stated | None:
        """What a reader says to like. Raises NotFound if nothing here has to do with it, and whatever the
        encoder does."""
        interests = ask.interests.strip()
        if not interests or ask.similar_to is not None:
            return None
        blank = np.zeros(self._state.articles.dim, np.float16)
        domain = ask.filters.domain if ask.filters else ""
        text, vector = self._encode(interests, domain) if self._encode else ("", blank)
        tokens = title_tokens(interests)
        if self._encode and not vector.any() and not self._state.words.known(tokens):
            raise NotFound("neither the encoder nor any title knows a word of them")
        return Stated(vector, tokens, text, self._weight)

    def _known(self, item: str, ask: Ask) -> bool:
        row = self._state.articles.index.get(item)
        return row is not None and bool(self._state.articles.live[row]) and item not in ask.gone

    def eligible(self, ask: Ask, history: Sequence[Read], rules: Applied) -> Bools:
        """[N]: live, unread, asked for and not blocked."""
        mask, attributes = self._state.eligible(history), self._state.attributes
        mask[attributes.rows_of([*_asked_about(ask), *ask.without])] = False
        if ask.similar_to is not None and not (
            self._known(ask.similar_to, ask) and self._placed(ask.similar_to)
        ):
            mask[:] = False  # nothing is like what nobody knows, or knows nothing of
        if ask.filters is not None:
            mask &= attributes.passing(ask.filters)
        mask[rules.blocked[rules.blocked < len(mask)]] = False
        return mask

    def seen(self, ask: Ask, history: Sequence[Read]) -> list[int]:
        """Rows of what the reader asks about, and has read or dismissed last: none of it may come again under
        another name."""
        items = [*_asked_about(ask), *(r.item for r in history)]
        return self._state.attributes.rows_of(items[:SEEN])

    def tier(self, ask: Ask, history: Sequence[Read]) -> Tier:
        """What a list is made of."""
        if ask.similar_to is not None:
            return "similar"
        if any(r.kind != "dismiss" and self._says(r.item) for r in history[: self._state.row_history]):
            return "personal"
        if any(map(self._says, ask.session)):
            return "session"
        return "interests" if ask.interests.strip() else "popular"

    def _placed(self, item: str) -> bool:
        """Whether there is a measure of what is like it: a few words alone find too little."""
        row = self._state.articles.index[item]
        return bool(self._state.articles.vectors[row].any() or any(self._state.counters.near.of(row)))

    def _says(self, item: str) -> bool:
        """Whether a read of it says anything of who read it: it has a text, or others read it too."""
        articles = self._state.articles
        row = articles.index.get(item)
        if row is None:
            return False
        told = articles.entries[row].title or articles.entries[row].tags or articles.vectors[row].any()
        return bool(told) or any(self._state.counters.near.of(row))

    def why_none(self, ask: Ask, rules: Applied) -> str:
        """Why an answer is empty."""
        articles, attributes = self._state.articles, self._state.attributes
        if ask.similar_to is not None and not self._known(ask.similar_to, ask):
            return f"no article {ask.similar_to} is known - at `$.similar_to`"
        if ask.similar_to is not None and not self._placed(ask.similar_to):
            return (f"nothing is like {ask.similar_to} yet: it has no text that the encoder reads, and "
                    "nobody has read it with others - at `$.similar_to`")
        passing = articles.live.copy()
        passing[attributes.rows_of(ask.gone)] = False
        if ask.filters is not None:
            passing &= attributes.passing(ask.filters)
            passing[attributes.rows_of(_asked_about(ask))] = False
            if not passing.any():
                return "no other article passes the filters - at `$.filters`" if _asked_about(ask) else \
                    "no article passes the filters - at `$.filters`"
        if passing.any() and np.isin(np.flatnonzero(passing), rules.blocked).all():
            return "the rules block every article that passes the filters"
        if ask.filters is not None:
            return "this reader has read or dismissed every article that passes the filters - at `$.filters`"
        return "no article is live that this reader has not read"


def _asked_about(ask: Ask) -> list[str]:
    return [*([ask.similar_to] if ask.similar_to else []), *ask.session]
