"""Dead letters: why each could not be used, and the way back to its topic."""

import asyncio
import time
from collections import Counter
from collections.abc import Sequence

from nicegui import ui

from streamrec.dashboard.figures import age
from streamrec.dashboard.frame import frame, judged, no_login, say
from streamrec.dashboard.parts import Table, confirm
from streamrec.dashboard.site import Facts, Site

MOST, LONGEST = 200, 160  # letters, characters of a cell
LOOK_S, REST_S = 3.0, 60.0  # a look reads all that is kept: without news, only now and then
HEAD = ["when", "from", "why", "key", "its beginning", "sent back", "place"]


class Letters:
    """What the page knows of them: nothing, until the first answer."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self.found: list[Facts] | None = None
        self.trouble = ""
        self._counted, self._at = -1, float("-inf")

    def forget(self) -> None:
        """The next look is due at once."""
        self._at = float("-inf")

    async def look(self) -> bool:
        """Read them, if it is time to; whether they were read. As long as they cannot be had it is."""
        counted = self._site.facts.seen.value.get("dead_letters", 0)
        rested = time.monotonic() - self._at > REST_S
        if not (self.trouble or counted != self._counted or rested):
            return False
        self._at, self._counted = time.monotonic(), counted
        try:
            self.found, self.trouble = await asyncio.to_thread(self._site.acts.letters), ""
        except Exception as error:  # whatever it was, who looks must be told
            self.trouble = str(error) or type(error).__name__
        return True


async def page(site: Site) -> None:
    """Build it."""
    with frame(site, "letters"), judged("Messages that could not be used", wide=True) as verdict:
        say(verdict, None, "Reading the dead-letter topics ...")
        letters, table = Letters(site), Table(HEAD, "")

        async def look() -> None:
            if await letters.look():
                say(verdict, *told(letters))
                table.show([_row(x, site.clock.now()) for x in (letters.found or [])[: -MOST - 1 : -1]])
        ui.timer(LOOK_S, look)
        if why := no_login(site):
            ui.label(why).classes("quiet")
            return
        done = ui.label("").props('role="status"')

        async def act() -> None:
            done.text = no_login(site) or "Sending ..."
            if not no_login(site):
                done.text = await _sent(site)
                letters.forget()
        question = "Send all that were not sent back before? What fails again comes back here."
        ui.button("Send back", on_click=confirm(lambda: question, act)).props("no-caps")


async def _sent(site: Site) -> str:
    try:
        n = await asyncio.to_thread(site.acts.replay, set())
    except Exception as error:  # whatever it was, who waits must be told
        return f"Not sent back: {error or type(error).__name__}"
    return f"{n} were sent back to their topics." if n else "All were sent back before: nothing was sent."


def told(letters: Letters) -> tuple[bool | None, str]:
    """How many there are, or why that is not known now."""
    if letters.trouble:
        return False, f"Not to be had now: {letters.trouble}"
    if not letters.found:
        return True, "There are none."
    waiting = Counter(x["topic"] for x in letters.found if not x["sent_back"])
    topics = ", ".join(f"{n} from {topic}" for topic, n in sorted(waiting.items()))
    return None, f"{len(letters.found)} are kept. Not sent back yet: {topics or 'none'}."


def _row(x: Facts, now: float) -> Sequence[str]:
    cells = (f"{age(now - x['at'])} ago", x["topic"], x["message"], x["key"], x["value"][:80],
             "yes" if x["sent_back"] else "no", x["place"])
    return [c if len(c) <= LONGEST else f"{c[:LONGEST]} ..." for c in cells]
