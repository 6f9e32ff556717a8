"""What all pages share: the bar, the banner that tells what is away, and cards."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from html import escape
from typing import Any, TypeVar

from nicegui import ui
from nicegui.element import Element

from streamrec.dashboard import shade
from streamrec.dashboard.address import link
from streamrec.dashboard.figures import age
from streamrec.dashboard.login import OUT, PATH
from streamrec.dashboard.site import Site
from streamrec.dashboard.style import COLOURS, CSS
from streamrec.dashboard.watch import Source
from streamrec.errors import StreamrecError

PAGES = {"": "Overview", "reader": "Reader", "article": "Article", "models": "Models",
         "drift": "Drift reports", "letters": "Dead letters"}
NOWHERE = "No such page"
REFRESH_S = 0.5  # what happened is on a page within 2 s: of a beat, a reading and this


def session(site: Site) -> bool:
    """Whether who looks at this page has logged in."""
    request = ui.context.client.request
    return request is not None and site.login.knows(request.cookies)


@contextmanager
def frame(site: Site, here: str) -> Iterator[None]:
    """A page; what is built inside is its content. `here`: one of PAGES, or nothing of ours."""
    ui.add_css(CSS)
    ui.colors(primary=COLOURS["press"])
    ui.page_title(f"{PAGES.get(here, NOWHERE)} - streamrec")
    with ui.element("header").classes("bar"):
        ui.html("<h1>streamrec</h1>", sanitize=False)
        with named(ui.element("nav"), "Pages").classes("bar inner"):
            for page, name in PAGES.items():
                current = " aria-current=page" if page == here else ""
                ui.html(f'<a href="{link(page)}"{current}>{name}</a>', sanitize=False)
        named(shade.button(), "Dark or light").props("flat dense no-caps")
        if session(site):
            ui.html(f'<form method="post" action="{OUT}"><button class="link">Log out</button></form>',
                    sanitize=False)
        elif site.login.can_act:
            back = link(here if here in PAGES else "")
            ui.html(f'<a class="link" href="{PATH}?to={back}">log in</a>', sanitize=False)
    _banner(site)
    with ui.element("div").classes("page"):
        yield


def _banner(site: Site) -> None:
    banner = ui.label().classes("banner").props('role="alert"')

    def look() -> None:
        watched = (site.facts, site.lag if site.lag.seen.stale else site.reports)
        away = [_away(s) for s in watched if s.seen.stale]
        banner.text = " ".join(away)
        banner.set_visibility(bool(away))
    every(look)


def _away(source: Source[Any]) -> str:
    name = {"redis": "Redis", "kafka": "Kafka", "reports": "The topic of drift reports"}[source.name]
    if source.seen.at is None:
        return f"{name} has not been read yet: {source.seen.trouble}."
    why = source.seen.trouble or "it does not answer"
    return f"{name} is away: what you see of it is {age(source.seen.age_s)} old ({why})."


def old(*sources: Source[Any]) -> str:
    """Why what these say cannot be judged now, or nothing."""
    late = next((s.seen for s in sources if s.seen.stale and not s.seen.new), None)
    return "" if late is None else f"Not known now: what you see is {age(late.age_s)} old."


def every(look: Callable[[], None]) -> None:
    """Now, and twice a second."""
    look()
    ui.timer(REFRESH_S, look)


E = TypeVar("E", bound=Element)


def named(element: E, name: str) -> E:
    """The element, with a name for who cannot see it."""
    element.props["aria-label"] = name
    return element


@contextmanager
def card(title: str, wide: bool = False) -> Iterator[None]:
    """A titled part."""
    with named(ui.element("section"), title).classes("card wide" if wide else "card"):
        ui.html(f"<h2>{escape(title)}</h2>", sanitize=False)
        yield


@contextmanager
def judged(title: str, wide: bool = False) -> Iterator[ui.label]:
    """A card with a sentence below its title, which is yielded: see `say`."""
    with card(title, wide):
        yield ui.label("").classes("verdict").props('role="status"')


def say(verdict: ui.label, good: bool | None, text: str) -> None:
    """One sentence; red if something is to do, and None is neither good nor bad."""
    kind = {True: "", False: "bad", None: "neither"}[good]
    verdict.text = text
    verdict.classes(add=kind, remove=" ".join({"bad", "neither"} - {kind}))


@contextmanager
def had_or_told() -> Iterator[None]:
    """What is built inside needs a server: if it cannot be had now, a card says why."""
    try:
        yield
    except (StreamrecError, TimeoutError) as error:
        with judged("Not to be had now") as verdict:
            say(verdict, False, str(error) or "no answer in time")


def no_login(site: Site) -> str:
    """Why who looks cannot act, or nothing."""
    if session(site):
        return ""
    return "Log in to do this." if site.login.can_act else \
        "To do this from here, set STREAMREC_WEB__PASSWORD and start `streamrec web` again."
