"""An article: what it is, how often it was shown and clicked, and which are like it."""

import asyncio

from nicegui import ui

from streamrec.dashboard.address import link
from streamrec.dashboard.figures import age, number
from streamrec.dashboard.frame import card, frame, had_or_told
from streamrec.dashboard.parts import Table, ask_for
from streamrec.dashboard.site import Site

MOST = 20


async def page(site: Site, item: str = "") -> None:
    """Build it."""
    with frame(site, "article"):
        with card("An article"):
            ask_for("Article's id", "article", "item", item)
            ui.label("Enter shows it.").classes("quiet")
        if not item:
            _most_shown(site)
            return
        with had_or_told():
            await _about(site, item)
            await _similar(site, item)


def _most_shown(site: Site) -> None:
    with card("Most shown since the monitor began", wide=True):
        found = sorted(site.seen.seen.value.items(), key=lambda kv: -kv[1][0])[:MOST]
        Table(["article", "shown", "clicked"], "No slate has been shown yet.").show(
            [((item, link("article", item=item)), number(n), number(k)) for item, (n, k) in found])


async def _about(site: Site, item: str) -> None:
    about = await asyncio.to_thread(site.acts.article, item)
    with card((about or {}).get("title") or item):
        if about is None:
            ui.label("No article of this id is live.").classes("quiet")
            return
        shown, clicked = site.seen.seen.value.get(item, (None, None))
        Table(["", ""], "").show([
            ("id", item), ("tags", ", ".join(about["tags"]) or "-"), ("language", about["lang"] or "-"),
            ("source", about["source"] or "-"),
            ("published", f"{age(site.clock.now() - about['published_at'])} ago"),
            ("shown, since the monitor began", number(shown)), ("clicked", number(clicked)),
        ])
        ui.label(about["text"][:600]).classes("quiet")


async def _similar(site: Site, item: str) -> None:
    answer = await site.asking.similar(item)
    with card("Most like it", wide=True):
        Table(["article", "score"], answer.error or "None.").show(
            [((i.title or i.item_id, link("article", item=i.item_id)), number(i.score, 2))
             for i in answer.items])
