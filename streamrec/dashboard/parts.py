"""What pages are made of: numbers, charts, tables, boxes for an id and questions before an act."""

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from html import escape
from typing import Any

from nicegui import ui
from nicegui.element import Element

from streamrec.dashboard.address import path
from streamrec.dashboard.frame import named

HELD_S = 10.0  # that a table stands still for a pointer at most
Cell = str | tuple[str, str]  # text, or text and the address that it leads to


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
    """A chart that is sent again only if it has changed; without data a sentence stands in its place. A press
    on a point that has a link follows it."""

    def __init__(self, label: str, empty: str, told: str = "") -> None:
        self._chart = named(ui.echart({"series": []}), label).classes("chart").props("role=img")
        self._told = ui.label(told).classes("quiet")
        self._empty = ui.label(empty).classes("quiet")
        self._chart.on_point_click(lambda e: _follow(e.data))

    def show(self, options: dict[str, Any], there: bool) -> None:
        """New options; `there`: whether there is anything to draw."""
        self._chart.set_visibility(there)
        self._told.set_visibility(there and bool(self._told.text))
        self._empty.set_visibility(not there)
        if there and options != self._chart.options:
            self._chart.options.clear()
            self._chart.options.update(options)
            self._chart.update()


def _follow(point: Any) -> None:
    if isinstance(point, dict) and (to := point.get("link")):
        ui.navigate.to(to)


class Table:
    """A plain table, each cell escaped. Only cells that have changed are drawn anew, and none for a while
    below a pointer: what is pressed must be what was aimed at. On a narrow screen each row is a block, whose
    cells bring the names of their columns with them."""

    def __init__(self, head: Sequence[str], empty: str) -> None:
        self._head, self._rows = head, list[tuple[Element, list[ui.html]]]()
        self._held_until = 0.0  # monotonic s
        with named(ui.element("div"), f"Table: {', '.join(filter(None, head)) or 'facts'}") as frame:
            self._empty = ui.label(empty).classes("quiet")
            with ui.element("table").classes("plain") as self._table:
                self._names()
                self._body = ui.element("tbody")
        frame.classes("scroll").props('tabindex="0" role="region"')
        frame.on("mouseenter", lambda: self._hold(HELD_S)).on("mouseleave", lambda: self._hold(0.0))
        self.show([])

    def _names(self) -> None:
        if any(self._head):
            names = "".join(f"<th scope=col>{escape(h)}" for h in self._head)
            ui.html(f"<tr>{names}</tr>", sanitize=False, tag="thead")
        else:
            self._table.classes("pairs")

    def _hold(self, seconds: float) -> None:
        self._held_until = time.monotonic() + seconds

    def show(self, rows: Sequence[Sequence[Cell]]) -> None:
        """New rows."""
        if time.monotonic() < self._held_until:
            return
        self._empty.set_visibility(not rows)
        self._table.set_visibility(bool(rows))
        for _ in rows[len(self._rows):]:
            self._grow()
        while len(self._rows) > len(rows):
            self._rows.pop()[0].delete()
        for (_, cells), row in zip(self._rows, rows, strict=True):
            for cell, content in zip(cells, row, strict=True):
                cell.content = _cell(content)

    def empty(self, text: str) -> None:
        """What stands in the place of no rows."""
        self._empty.text = text

    def _grow(self) -> None:
        with self._body, ui.element("tr") as row:
            cells = [ui.html("", sanitize=False, tag="td") for _ in self._head]
        for cell, name in zip(cells, self._head, strict=True):
            cell.props["data-label"] = name
        self._rows.append((row, cells))


def _cell(cell: Cell) -> str:
    if isinstance(cell, str):
        return escape(cell)
    return f'<a class="link" href="{escape(cell[1])}">{escape(cell[0])}</a>'


def confirm(question: Callable[[], str], act: Callable[[], Awaitable[None]]) -> Callable[[], None]:
    """A dialog that asks before it acts; what is returned opens it."""
    with ui.dialog() as dialog, ui.card():
        asked = ui.label("")
        with ui.row():
            ui.button("Cancel", on_click=dialog.close, color=None).props("flat no-caps")

            async def done() -> None:
                dialog.close()
                await act()
            ui.button("Yes", on_click=done).props('color="negative" no-caps')

    def opened() -> None:
        asked.text = question()
        dialog.open()
    return opened


def ask_for(name: str, page: str, field: str, value: str) -> None:
    """A box for an id; Enter opens the page of it."""
    box = named(ui.input(name, value=value), name).props("outlined dense")
    box.on("keydown.enter", lambda: ui.navigate.to(path(page, **{field: box.value})))
