"""Lists given to readers, kept for who cannot wait."""

from collections import OrderedDict
from collections.abc import Mapping
from typing import NamedTuple

from streamrec.clock import due
from streamrec.events import Locale, Recommendation

READERS = 20_000  # whose last list is kept
OLD_S = 60.0  # so long a longer list stays beside a shorter one that came after it


class Kept(NamedTuple):
    """A list given, of how many places it was to be, and what editors pinned in it: item -> rule."""

    list: Recommendation
    asked: int
    pinned: Mapping[str, str]


class LastLists:
    """The last list of each reader, and of one nobody knows, in each language."""

    def __init__(self) -> None:
        self._of: OrderedDict[tuple[str, Locale], tuple[Kept, ...]] = OrderedDict()
        self._popular: dict[Locale, tuple[Kept, ...]] = {}

    def keep(self, new: Kept, locale: Locale) -> None:
        """A list made just now. A short one does not cost who asks for more the longer one before it."""
        if new.list.tier == "popular":
            self._popular[locale] = _with(new, self._popular.get(locale, ()))
            return
        key = new.list.user_id, locale
        self._of[key] = _with(new, self._of.get(key, ()))
        self._of.move_to_end(key)
        if len(self._of) > READERS:
            self._of.popitem(last=False)

    def of(self, user: str, locale: Locale, n: int) -> Kept | None:
        """The reader's last list that was to be of `n` places, or of a reader never seen if there is none
        as long of this one."""
        kept = *self._of.get((user, locale), ()), *self._popular.get(locale, ())
        return next((k for k in kept if k.asked >= n), None)


def _with(new: Kept, before: tuple[Kept, ...]) -> tuple[Kept, ...]:
    """The newest list, and the longest that is longer and not old."""
    made = new.list.generated_at
    longer = [k for k in before if k.asked > new.asked and not due(made, k.list.generated_at, OLD_S)]
    return new, *longer[-1:]
