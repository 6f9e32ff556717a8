"""A reader: what they read, what they are recommended and why, and what other models would have said."""

import asyncio

from nicegui import ui

from streamrec.dashboard.address import link
from streamrec.dashboard.figures import age, number
from streamrec.dashboard.frame import card, frame, had_or_told, judged, named, say
from streamrec.dashboard.parts import Cell, Table, ask_for
from streamrec.dashboard.site import Site
from streamrec.errors import StreamrecError
from streamrec.events import Recommendation

ARMS = {"frozen": "the frozen first model", "popularity": "popularity"}
VERSIONS, HISTORY = 4, 20


async def page(site: Site, user: str = "") -> None:
    """Build it."""
    with frame(site, "reader"):
        with card("A reader"):
            ask_for("Reader's id", "reader", "user", user)
            ui.label("Enter shows them.").classes("quiet")
        if not user:
            return
        with had_or_told():
            await _history(site, user)
            await _lists(site, user)


async def _history(site: Site, user: str) -> None:
    reads = await asyncio.to_thread(site.acts.history, user)
    with card(f"What {user} did, newest first"):
        table = Table(["article", "what", "when"], "Nothing is known of this reader.")
        now = site.clock.now()
        rows: list[list[Cell]] = []
        for read in reads[:HISTORY]:
            about = await asyncio.to_thread(site.acts.article, read.item)
            title = (about or {}).get("title") or read.item
            rows.append([(title, link("article", item=read.item)), read.kind, f"{age(now - read.ts)} ago"])
        table.show(rows)


async def _lists(site: Site, user: str) -> None:
    live = await site.asking.list_of(user)
    with card(f"Their list now, by version {live.model_version} ({live.tier})", wide=True):
        table = Table(["place", "article", "score", "why"], live.error or "Nothing can be recommended.")
        table.show([
            (str(i.rank), (i.title or i.item_id, link("article", item=i.item_id)), number(i.score, 2),
             "; ".join(r.text for r in i.reasons) or i.reason) for i in live.items
        ])
    await _others(site, user, live)


async def _others(site: Site, user: str, live: Recommendation) -> None:
    """What controls and the newest versions would have said, and any other that is kept."""
    with judged("What others would have said", wide=True) as verdict:
        others = [(name, await site.asking.list_of(user, policy)) for policy, name in ARMS.items()]
        older = [v for v in site.kept() if v != live.model_version]
        for version in older[:VERSIONS]:
            try:
                others.append((f"version {version}", await site.asking.list_of(user, version=version)))
            except StreamrecError as error:
                ui.label(f"version {version}: {error}").classes("quiet")
        _compared(live, others)
        if len(older) > VERSIONS:
            newest = f"the newest {VERSIONS} of {len(older)} are told; another can be chosen below"
            say(verdict, None, f"Of other versions, {newest}.")
            _one_more(site, user, live, older[VERSIONS:])


def _compared(live: Recommendation, others: list[tuple[str, Recommendation]]) -> None:
    Table(["by", "the same as now", "first three"], "Nobody else to ask.").show(
        [(name, _shared(live, other), "; ".join(i.title or i.item_id for i in other.items[:3]))
         for name, other in others])


def _one_more(site: Site, user: str, live: Recommendation, names: list[str]) -> None:
    """A choice of the versions that are not told yet, and below it what the one chosen would have said."""
    with ui.element("div").classes("choice"):
        chosen = named(ui.select(names, label="another version"), "another version")
        chosen.props("outlined dense").style("min-width: 11rem")
    told = ui.label().classes("quiet").props('role="status"')
    found = ui.column().style("width: 100%")

    async def ask() -> None:
        version = chosen.value
        told.text = f"Asking version {version} ..."
        found.clear()
        try:
            other = await site.asking.list_of(user, version=version)
        except (StreamrecError, TimeoutError) as error:
            told.text = f"version {version}: {str(error) or 'no answer in time'}"
            return
        if chosen.value == version:  # and no other meanwhile
            told.text = ""
            with found:
                _compared(live, [(f"version {version}", other)])
    chosen.on_value_change(ask)


def _shared(a: Recommendation, b: Recommendation) -> str:
    n = len({i.item_id for i in a.items} & {i.item_id for i in b.items})
    return f"{n} of {len(a.items)}" if a.items else "-"
