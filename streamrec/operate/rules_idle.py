"""What of an editor's rules does nothing as things are: no mistake, as an article may come later, but most
likely a name that was misspelt."""

from collections.abc import Iterable, Iterator, Sequence

from streamrec.catalogue import Catalogue, Entry
from streamrec.events import Match, Rule, epoch

Label = tuple[str, str]  # field of a match, value


def idle(rules: Sequence[Rule], catalogue: Catalogue, now: float) -> list[str]:
    """A sentence for each thing. Raises RetryLater."""
    found = [_Open(rule) for rule in rules]
    for of in found:  # what is asked for by its id needs no search
        of.see(catalogue.entries(of.match.item_ids).values())
    searching = [of for of in found if not of.match.item_ids]
    for entries in _pages(catalogue) if searching else ():
        for of in searching:
            of.see(entries)
        if not any(of.unknown or of.unfit for of in searching):
            break
    return [f"rule {of.rule.rule_id}: {why}" for of in found for why in of.why(now)]


class _Open:
    """What no article has been seen for yet, of one rule."""

    def __init__(self, rule: Rule) -> None:
        self.rule, self.match, self.unfit = rule, rule.match, True
        self.unknown = _labels(rule.match)

    def see(self, entries: Iterable[Entry]) -> None:
        """Live articles."""
        asked = _labels(self.match, ids=False)
        for entry in entries:
            has = _has(entry)
            self.unknown -= has
            self.unfit = self.unfit and not asked <= has

    def why(self, now: float) -> Iterator[str]:
        """It does nothing, or a part of it."""
        if self.rule.until is not None and epoch(self.rule.until) <= now:
            yield "it is over: `until` lies in the past"
        among = "none of its articles" if self.match.item_ids else "no live article"
        for field, value in sorted(self.unknown):
            whose = "no live article" if field == "id" else among
            yield f"{whose} has the {field} {value!r}"
        if self.unfit and not self.unknown:
            yield f"{among} fits all of its match"


def _labels(match: Match, ids: bool = True) -> set[Label]:
    """All that a rule asks for, but of its ids one is enough."""
    fields = [("source", match.source), ("domain", match.domain), ("lang", match.lang)]
    items = [("id", i) for i in match.item_ids] if ids else []
    return {*(("tag", t) for t in match.tags), *((k, v) for k, v in fields if v), *items}


def _has(entry: Entry) -> set[Label]:
    return {("id", entry.item_id), ("source", entry.source), ("domain", entry.domain), ("lang", entry.lang),
            *(("tag", t) for t in entry.tags)}


def _pages(catalogue: Catalogue) -> Iterator[list[Entry]]:
    """All live articles."""
    cursor = 0
    while (found := catalogue.changes(cursor)).cursor != cursor:
        yield found.entries
        cursor = found.cursor
