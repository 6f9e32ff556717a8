"""What a reader wishes, and the answer."""

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from streamrec.events import Filters, Locale, Policy, RankedItem, Request, Tier


class Ask(NamedTuple):
    """One reader's wish; see `events.Request` for the fields' meaning. `explore`: no for who only looks, so
    that new articles keep their chances for readers. `without`: articles that may not be in it; `gone`: those
    of them that are deleted."""

    user: str
    n: int
    policy: Policy = "live"
    filters: Filters | None = None
    similar_to: str | None = None
    interests: str = ""
    session: Sequence[str] = ()
    diversity: float | None = None
    calibration: float | None = None
    explain: bool = False
    locale: Locale = "en"
    explore: bool = True
    without: Collection[str] = ()
    gone: Collection[str] = ()

    @classmethod
    def of(cls, user: str, request: Request) -> "Ask":
        """The wish of one reader that a request names: without filters that filter nothing, words that hold
        no word, and an article of this visit named twice."""
        r = request
        filters = None if r.filters == Filters() else r.filters
        interests = r.interests if any(c.isalnum() for c in r.interests) else ""
        session = tuple(dict.fromkeys(r.session))
        return cls(user, r.n, r.policy, filters, r.similar_to, interests.strip(), session, r.diversity,
                   r.calibration, r.explain, r.locale)


class Ranked(NamedTuple):
    """One answer: which version made it, from which state of the reader and from what (`tier`), which rules
    changed it, and which pinned an article of it (item -> rule)."""

    version: str
    items: list[RankedItem]
    state_at: float | None
    error: str | None
    tier: Tier = "popular"
    rules: Sequence[str] = ()
    pinned: Mapping[str, str] = {}
