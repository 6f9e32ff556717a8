"""Models: where each came from, what the gate said, what changed between two, and the way back."""

import asyncio

from nicegui import ui

from streamrec.dashboard.figures import age, number
from streamrec.dashboard.frame import Table, card, confirm, every, frame, link, named, no_login, say
from streamrec.dashboard.site import Site
from streamrec.errors import StreamrecError
from streamrec.events import ModelDiff

MOST = 30
KEPT = 50  # versions whose files the registry keeps


def page(site: Site) -> None:
    """Build it."""
    with frame(site, "models"):
        _lineage(site)
        _diff(site)
        _rollback(site)


def _lineage(site: Site) -> None:
    with card("Versions and verdicts, newest first", wide=True) as verdict:
        table = Table(["version", "from", "when", "why", "rows", "verdict", "served model's NDCG@10"],
                      "No increment yet: the trainer waits for enough new rows.")

        def look() -> None:
            parents = {v.version: v.parent or "-" for v in site.versions.seen.value}
            now, serving = site.clock.now(), site.facts.seen.value.get("serving")
            table.show([
                (q["version"] + (" (serves)" if q["version"] == serving else ""),
                 parents.get(q["version"], "-"),
                 f"{age(now - q['at'])} ago", q["trigger"], number(q["rows"]),
                 ("published: " if q["published"] else "refused: ") + q["reason"],
                 number(q["ndcg"]["live"][0], 3) if "live" in q["ndcg"] else "-")
                for q in site.quality.seen.value[: -MOST - 1 : -1]
            ])
            say(verdict, True, f"Version {serving} serves." if serving else "")
        every(look)


def _names(site: Site) -> list[str]:
    return [v.version for v in reversed(site.versions.seen.value)]


def _diff(site: Site) -> None:
    names = _names(site)
    with card("What changed between two", wide=True) as verdict:
        if len(names) < 2:
            ui.label("There is one once two versions were published.").classes("quiet")
            return
        with ui.row():
            older = named(ui.select(names, value=names[1], label="from"), "from").props("outlined dense")
            newer = named(ui.select(names, value=names[0], label="to"), "to").props("outlined dense")
        found = ui.column().style("width: 100%")

        def show(diff: ModelDiff) -> None:
            say(verdict, True, f"From {diff.older} to {diff.newer}, {diff.readers} readers keep "
                               f"{diff.overlap:.1f} of {diff.n} articles.")
            found.clear()
            with found:
                _told(diff)
        if (last := site.versions.seen.value[-1].diff) is not None:
            show(last)

        async def compare() -> None:
            say(verdict, True, "Comparing the lists of some readers ...")
            try:
                diff = await asyncio.to_thread(site.acts.diff, older.value, newer.value)
            except (StreamrecError, TimeoutError) as error:
                say(verdict, False, str(error) or "No answer in time: the answering thread is busy.")
                return
            show(diff)
        ui.button("Compare", on_click=compare).props("no-caps")


def _told(diff: ModelDiff) -> None:
    Table(["topic", "share of places before", "after"], "No topic gains or loses places.").show(
        [(t.name, f"{100 * t.before:.1f} %", f"{100 * t.after:.1f} %") for t in diff.topics])
    Table(["article", "lists before", "after"], "No article moves.").show(
        [((a.title or a.name, link("article", item=a.name)), number(a.before), number(a.after))
         for a in diff.articles])
    Table(["rows of era", "NDCG@10 before", "after"], "No era that both were asked about.").show(
        [(e.name, f"{e.before:.3f}", f"{e.after:.3f}") for e in diff.eras])


def _rollback(site: Site) -> None:
    with card("Roll back", wide=True) as verdict:
        if why := no_login(site):
            ui.label(why).classes("quiet")
            return
        serving = site.facts.seen.value.get("model", {}).get("version")
        names = [v for v in _names(site)[:KEPT] if v != serving]
        if not names:
            ui.label("There is no version to go back to.").classes("quiet")
            return
        chosen = named(ui.select(names, value=names[0], label="version"), "version").props("outlined dense")

        async def act() -> None:
            if why := no_login(site):  # a page may stay open for longer than its session lasts
                say(verdict, False, why)
                return
            try:
                await asyncio.to_thread(site.acts.rollback, chosen.value)
                say(verdict, True, f"Version {chosen.value} is the model now: the scorers take it up.")
            except StreamrecError as error:
                say(verdict, False, str(error))
        dialog = confirm("Serve the chosen version from now on? What was learned since is kept.", act)
        ui.button("Roll back", on_click=dialog.open).props('color="negative" no-caps')
