"""What all pages share: the bar, the banner that tells what is away, cards, numbers, charts and tables."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from html import escape
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

from nicegui import ui
from nicegui.element import Element

from streamrec.dashboard.figures import age
from streamrec.dashboard.login import HOME, PATH
from streamrec.dashboard.site import Site
from streamrec.dashboard.style import CSS
from streamrec.dashboard.watch import Source
from streamrec.errors import StreamrecError

PAGES = {"": "Overview", "reader": "Reader", "article": "Article", "models": "Models",
         "drift": "Drift reports", "letters": "Dead letters"}
REFRESH_S = 1.0
HELD_S = 10.0  # that a table stands still for a pointer at most
Cell = str | tuple[str, str]  # text, or text and the address that it leads to


def link(page: str, **query: str) -> str:
    """The address of a page of ours; what is asked of it may hold anything."""
    return f"{HOME}/{quote(page)}" + (f"?{urlencode(query)}" if query else "")


def session(site: Site) -> bool:
    """Whether who looks at this page has logged in."""
    request = ui.context.client.request
    return request is not None and site.login.knows(request.cookies)


@contextmanager
def frame(site: Site, here: str) -> Iterator[None]:
    """A page; what is built inside is its content."""
    ui.add_css(CSS)
    dark = ui.dark_mode(None)
    title = PAGES[here]
    ui.page_title(f"{title} - streamrec")
    with ui.element("header").classes("bar"):
        ui.html("<h1>streamrec</h1>", sanitize=False)
        with named(ui.element("nav"), "Pages").classes("bar inner"):
            for page, name in PAGES.items():
                current = " aria-current=page" if page == here else ""
                ui.html(f'<a href="{link(page)}"{current}>{name}</a>', sanitize=False)
        shade = ui.button("dark / light", on_click=lambda: dark.set_value(not dark.value))
        named(shade, "Dark or light").props("flat dense no-caps")
        if session(site):
            ui.label("logged in").classes("quiet")
        elif site.login.can_act:
            ui.html(f'<a class="link" href="{PATH}?to={link(here)}">log in</a>', sanitize=False)
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


def every(look: Callable[[], None]) -> None:
    """Now, and each second."""
    look()
    ui.timer(REFRESH_S, look)


E = TypeVar("E", bound=Element)


def named(element: E, name: str) -> E:
    """The element, with a name for who cannot see it."""
    element.props["aria-label"] = name
    return element


@contextmanager
def card(title: str, wide: bool = False) -> Iterator[ui.label]:
    """A titled part; yields the label of its verdict."""
    with named(ui.element("section"), title).classes("card wide" if wide else "card"):
        ui.html(f"<h2>{escape(title)}</h2>", sanitize=False)
        verdict = ui.label("").classes("verdict").props('role="status"')
        yield verdict


def say(verdict: ui.label, good: bool, text: str) -> None:
    """One sentence; red if something is to do."""
    verdict.text = text
    verdict.classes(add="" if good else "bad", remove="bad" if good else "")


class Numbers:
    """A row of numbers with their names."""

    def __init__(self, names: Sequence[str]) -> None:
        self._values: dict[str, ui.label] = {}
        with ui.element("div").classes("numbers"):
            for name in names:
                with ui.element("div").classes("number"):
                    self._values[name] = named(ui.label("-"), name).classes("value")
                    ui.label(name).classes("quiet")

    def show(self, found: Mapping[str, str]) -> None:
        """New values by name."""
        for name, value in found.items():
            self._values[name].text = value


class Chart:
    """A chart that is sent again only if it has changed; without data a sentence stands in its place."""

    def __init__(self, label: str, empty: str, on_link: Callable[[str], None] | None = None) -> None:
        self._chart = named(ui.echart({"series": []}), label).classes("chart").props("role=img")
        self._empty = ui.label(empty).classes("quiet")
        if on_link:
            self._chart.on_point_click(lambda e: on_link(e.data.get("link", "")))

    def show(self, options: dict[str, Any], there: bool) -> None:
        """New options; `there`: whether there is anything to draw."""
        self._chart.set_visibility(there)
        self._empty.set_visibility(not there)
        if there and options != self._chart.options:
            self._chart.options.clear()
            self._chart.options.update(options)
            self._chart.update()


class Table:
    """A plain table, each cell escaped. Only cells that have changed are drawn anew, and none for a while
    below a pointer: what is pressed must be what was aimed at."""

    def __init__(self, head: Sequence[str], empty: str) -> None:
        self._rows: list[tuple[Element, list[ui.html]]] = []
        self._held_until = 0.0  # monotonic s
        with ui.element("div").classes("scroll").props('tabindex="0"') as frame:
            self._empty = ui.label(empty).classes("quiet")
            with ui.element("table").classes("plain") as self._table:
                names = "".join(f"<th scope=col>{escape(h)}" for h in head)
                ui.html(f"<tr>{names}</tr>", sanitize=False, tag="thead")
                self._body = ui.element("tbody")
        frame.on("mouseenter", lambda: self._hold(HELD_S)).on("mouseleave", lambda: self._hold(0.0))
        self.show([])

    def _hold(self, seconds: float) -> None:
        self._held_until = time.monotonic() + seconds

    def show(self, rows: Sequence[Sequence[Cell]]) -> None:
        """New rows."""
        if time.monotonic() < self._held_until:
            return
        self._empty.set_visibility(not rows)
        self._table.set_visibility(bool(rows))
        for row in rows[len(self._rows):]:
            self._grow(len(row))
        while len(self._rows) > len(rows):
            self._rows.pop()[0].delete()
        for (_, cells), row in zip(self._rows, rows, strict=True):
            for cell, content in zip(cells, row, strict=True):
                cell.content = _cell(content)

    def _grow(self, columns: int) -> None:
        with self._body, ui.element("tr") as row:
            self._rows.append((row, [ui.html("", sanitize=False, tag="td") for _ in range(columns)]))


def _cell(cell: Cell) -> str:
    if isinstance(cell, str):
        return escape(cell)
    return f'<a class="link" href="{escape(cell[1])}">{escape(cell[0])}</a>'


def confirm(question: str, act: Callable[[], Any]) -> ui.dialog:
    """A dialog that asks before it acts."""
    with ui.dialog() as dialog, ui.card():
        ui.label(question)
        with ui.row():
            ui.button("Cancel", on_click=dialog.close).props("flat no-caps")

            async def done() -> None:
                dialog.close()
                await act()
            ui.button("Yes", on_click=done).props('color="negative" no-caps')
    return dialog


def ask_for(name: str, page: str, field: str, value: str) -> None:
    """A box for an id; Enter opens the page of it."""
    box = named(ui.input(name, value=value), name).props("outlined dense")
    box.on("keydown.enter", lambda: ui.navigate.to(link(page, **{field: box.value})))


@contextmanager
def had_or_told() -> Iterator[None]:
    """What is built inside needs a server: if it cannot be had now, a card says why."""
    try:
        yield
    except (StreamrecError, TimeoutError) as error:
        with card("Not to be had now") as verdict:
            say(verdict, False, str(error) or "no answer in time")


def no_login(site: Site) -> str:
    """Why who looks cannot act, or nothing."""
    if session(site):
        return ""
    return "Log in to do this." if site.login.can_act else \
        "To do this from here, set STREAMREC_WEB__PASSWORD and start `streamrec web` again."
