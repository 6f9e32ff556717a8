"""Dead letters: why each could not be used, and the way back to its topic."""

import asyncio

from nicegui import ui

from streamrec.dashboard.frame import Table, card, confirm, frame, no_login, say
from streamrec.dashboard.site import Site
from streamrec.errors import StreamrecError

MOST = 200


async def page(site: Site) -> None:
    """Build it."""
    with frame(site, "letters"), card("Messages that could not be used", wide=True) as verdict:
        table = Table(["place", "from", "why", "key", "its beginning"], "There are none.")
        ui.label("Reading the dead-letter topics ...").classes("quiet").bind_visibility_from(
            verdict, "text", lambda text: not text)

        async def look() -> None:
            try:
                found = await asyncio.to_thread(site.acts.letters)
            except StreamrecError as error:
                say(verdict, False, f"Not to be had now: {error}")
                return
            say(verdict, True, f"{len(found)} are kept." if found else "None.")
            table.show([(x["place"], x["topic"], x["message"], x["key"], x["value"][:80])
                        for x in found[: -MOST - 1 : -1]])
        ui.timer(0.1, look, once=True)
        if why := no_login(site):
            ui.label(why).classes("quiet")
            return

        async def act() -> None:
            if why := no_login(site):
                say(verdict, False, why)
                return
            try:
                n = await asyncio.to_thread(site.acts.replay, set())
                say(verdict, True, f"{n} were sent back to their topics.")
            except StreamrecError as error:
                say(verdict, False, str(error))
        dialog = confirm("Send all that were not sent back before? What fails again comes back here.", act)
        ui.button("Send back", on_click=dialog.open).props("no-caps")
