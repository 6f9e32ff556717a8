"""Models: where each came from, what the gate said, what changed between two, and the way back."""

import asyncio

from nicegui import ui

from streamrec.dashboard.address import link
from streamrec.dashboard.figures import age, number, parent_of, serves
from streamrec.dashboard.frame import every, frame, judged, named, no_login, say
from streamrec.dashboard.parts import Table, confirm
from streamrec.dashboard.site import Site
from streamrec.errors import StreamrecError
from streamrec.events import ModelDiff

MOST = 30


def page(site: Site) -> None:
    """Build it. The way back comes first: on a phone the versions are some screens long."""
    with frame(site, "models"):
        _rollback(site)
        _lineage(site)
        _diff(site)


def _lineage(site: Site) -> None:
    with judged("Versions and verdicts, newest first", wide=True) as verdict:
        table = Table(["version", "from", "when", "why", "rows", "verdict", "served model's NDCG@10"],
                      "No increment yet: the trainer waits for enough new rows.")

        def look() -> None:
            records, current = site.versions.seen.value, site.model()
            now, serving = site.clock.now(), site.facts.seen.value.get("serving")
            table.show([
                (q["version"] + (" (serves)" if q["version"] == serving else ""),
                 parent_of(q, records, current), f"{age(now - q['at'])} ago", q["trigger"], number(q["rows"]),
                 ("published: " if q["published"] else "refused: ") + q["reason"],
                 number(q["ndcg"]["live"][0], 3) if "live" in q["ndcg"] else "-")
                for q in site.quality.seen.value[: -MOST - 1 : -1]
            ])
            say(verdict, *serves(site.facts.seen.value))
        every(look)


def _diff(site: Site) -> None:
    names = site.kept()
    with judged("What changed between two", wide=True) as verdict:
        if len(names) < 2:
            say(verdict, None, "Known once two versions were published.")
            return
        say(verdict, None, "Choose two versions.")
        with ui.element("div").classes("choice"):
            older = named(ui.select(names, value=names[1], label="from"), "from").props("outlined dense")
            newer = named(ui.select(names, value=names[0], label="to"), "to").props("outlined dense")
            button = ui.button("Compare").props("no-caps")
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
            say(verdict, None, "Comparing the lists of some readers ...")
            try:
                diff = await asyncio.to_thread(site.acts.diff, older.value, newer.value)
            except (StreamrecError, TimeoutError) as error:
                say(verdict, False, str(error) or "No answer in time: the answering thread is busy.")
                return
            show(diff)
        button.on_click(compare)


def _told(diff: ModelDiff) -> None:
    Table(["topic", "share of places before", "after"], "No topic gains or loses places.").show(
        [(t.name, f"{100 * t.before:.1f} %", f"{100 * t.after:.1f} %") for t in diff.topics])
    Table(["article", "lists before", "after"], "No article moves.").show(
        [((a.title or a.name, link("article", item=a.name)), number(a.before), number(a.after))
         for a in diff.articles])
    Table(["rows of era", "NDCG@10 before", "after"], "No era that both were asked about.").show(
        [(e.name, f"{e.before:.3f}", f"{e.after:.3f}") for e in diff.eras])


def _rollback(site: Site) -> None:
    with judged("Roll back", wide=True) as verdict:
        current = site.model()
        say(verdict, None, f"Version {current} is the model." if current else "No version is the model yet.")
        if why := no_login(site):
            ui.label(why).classes("quiet")
            return
        names = [v for v in site.kept() if v != current]
        if not names:
            ui.label("There is no version to go back to.").classes("quiet")
            return

        async def act() -> None:
            say(verdict, *await _rolled_back(site, chosen.value))
        ask = confirm(lambda: f"Serve version {chosen.value} from now on, instead of {site.model()}? "
                              "What was learned since is kept.", act)
        with ui.element("div").classes("choice"):
            chosen = named(ui.select(names, value=names[0], label="version"), "version")
            chosen.props("outlined dense")
            ui.button("Roll back", on_click=ask).props('color="negative" no-caps')


async def _rolled_back(site: Site, version: str) -> tuple[bool | None, str]:
    """What came of it; a page may stay open for longer than its session lasts, or than a model does."""
    if why := no_login(site):
        return False, why
    if version == site.model():
        return None, f"Version {version} is the model already: nothing was done."
    try:
        await asyncio.to_thread(site.acts.rollback, version)
    except StreamrecError as error:
        return False, str(error)
    return True, f"Version {version} is the model now: the scorers take it up."
