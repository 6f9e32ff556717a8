"""Charts as inline SVG, and the one function through which all markup is made.

A chart is 460 units wide, so that it can be read at 400 pixels and two fit beside each other at
1280. Colours and dashes are classes; the page's style sheet says what they are, by day and night.
"""

import html
import math
import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 460, 280, 44, 10, 14, 34
LETTER = 6.6  # width of a letter of a label
NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
Box = tuple[float, float, float, float]


class Html(str):
    """Markup. Any other string is a user's until `tag` has escaped it."""


def tag(name: str, *children: object, **attributes: object) -> Html:
    """An element. Children and attributes are escaped; `class_` is class, `aria_label` aria-label."""
    pairs = ((k.rstrip("_").replace("_", "-"), v) for k, v in attributes.items() if v is not None)
    opened = "".join(f' {k}="{_escaped(v)}"' for k, v in pairs)
    return Html(f"<{name}{opened}>{joined(children)}</{name}>")


def joined(parts: Iterable[object]) -> Html:
    """Parts one after another, escaped unless they are markup."""
    return Html("".join(p if isinstance(p, Html) else _escaped(p) for p in parts))


def _escaped(value: object) -> str:
    text = f"{value:.1f}" if isinstance(value, float) else str(value)
    return html.escape(NOT_XML.sub("\ufffd", text))


class Point(NamedTuple):
    """A place in a chart and what a pointer over it is told. `low`, `high`: the y's interval."""

    x: float
    y: float
    says: str
    low: float | None = None
    high: float | None = None


class Series(NamedTuple):
    """One arm: its name, the classes that give its look, its points from left to right."""

    name: str
    look: str
    points: Sequence[Point]

    def mean(self) -> float:
        """Of y; there must be points."""
        return sum(p.y for p in self.points) / len(self.points)


class Scale(NamedTuple):
    """From `low`..`high` to the units `start`..`end` of the drawing."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)


def ticks(low: float, high: float, most: int = 6) -> list[tuple[float, str]]:
    """Round numbers from low to high and their texts, in steps of 1, 2 or 5 times a power of ten."""
    rough = (high - low) / most
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * m for m in (1, 2, 5, 10) if power * m >= rough * (1 - 1e-9))
    digits = max(0, -math.floor(math.log10(step) + 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [(i * step, f"{i * step:.{digits}f}") for i in range(first, last + 1)]


def curves(label: str, series: Sequence[Series], windows: Sequence[int], tuning: Iterable[int]) -> Html:
    """A line per arm over the windows' numbers, the windows of `tuning` shaded."""
    lines = [s for s in series if s.points]
    if not lines or not windows:
        return tag("p", f"No figure of {label} to draw.")
    means = sorted(s.mean() for s in lines)
    least = max(0.5 * means[-1], min(0.8 * means[-1], means[len(means) // 4]))
    y, low = _focus(lines, [p.y for s in lines for p in s.points if s.mean() >= least], least)
    x = Scale(min(windows) - 0.5, max(windows) + 0.5, LEFT, WIDTH - RIGHT)
    shaded = (
        tag("rect", tag("title", f"window {w}: settings were tuned here"), class_="tuning", x=x(w - 0.5),
            y=TOP, width=x(w + 0.5) - x(w - 0.5), height=HEIGHT - BOTTOM - TOP)
        for w in tuning
    )
    every = math.ceil(len(windows) / 16)
    along = [(x(w), str(w)) for w in sorted(windows)[::every]]
    frame = joined([*shaded, _across(y), _along(along, "window")])
    drawn = [_line(s, x, y) for s in reversed(lines)]  # the first, the default, on top
    return _figure(label, frame, _clipped(f"clip-{label}", drawn), low)


def _focus(series: Sequence[Series], values: Sequence[float], least: float) -> tuple[Scale, list[str]]:
    """The y axis for values, and the arms whose mean is under `least`: they are left below it,
    for with them the rest would be one line."""
    low, high = min(values), max(values)
    pad = 0.06 * (high - low) or 0.05 * abs(high) or 0.05
    below = [f"{s.name} ({s.mean():.3f})" for s in series if s.mean() < least]
    return Scale(max(0.0, low - pad) if low >= 0 else low - pad, high + pad, HEIGHT - BOTTOM, TOP), below


def _line(s: Series, x: Scale, y: Scale) -> Html:
    path = " ".join(f"{x(p.x):.1f},{y(p.y):.1f}" for p in s.points)
    dots = (tag("circle", tag("title", p.says), cx=x(p.x), cy=y(p.y), r=2.5) for p in s.points)
    return tag("g", tag("polyline", points=path), *dots, class_=f"arm {s.look}")


def _across(y: Scale) -> Html:
    return joined(
        part for v, text in ticks(y.low, y.high) for part in (
            tag("line", class_="grid", x1=LEFT, x2=WIDTH - RIGHT, y1=y(v), y2=y(v)),
            tag("text", text, x=LEFT - 5, y=y(v) + 4, text_anchor="end"),
        )
    )


def _along(marks: Iterable[tuple[float, str]], title: str) -> Html:
    texts = (tag("text", t, x=at, y=HEIGHT - BOTTOM + 14, text_anchor="middle") for at, t in marks)
    middle = (LEFT + WIDTH - RIGHT) / 2
    return joined([*texts, tag("text", title, x=middle, y=HEIGHT - 4, text_anchor="middle", class_="axis")])


def _clipped(key: str, drawn: Iterable[Html]) -> Html:
    key = re.sub(r"\W+", "-", key)
    wide, tall = WIDTH - LEFT - RIGHT + 8, HEIGHT - BOTTOM - TOP + 6
    area = tag("rect", x=LEFT - 4, y=TOP - 6, width=wide, height=tall)
    return joined([tag("clipPath", area, id=key), tag("g", *drawn, clip_path=f"url(#{key})")])


def _figure(label: str, frame: Html, drawn: Html, below: Sequence[str], height: float = HEIGHT) -> Html:
    svg = tag("svg", frame, drawn, viewBox=f"0 0 {WIDTH} {height:.0f}", role="img", aria_label=label)
    note = f" Below the axis: {', '.join(below)}." if below else ""
    return tag("figure", svg, tag("figcaption", tag("strong", label), note))


def frontier(label: str, series: Sequence[Series], unit: str) -> Html:
    """One dot per arm: y against cost x on a log axis, with y's interval; the line joins the arms
    that nothing cheaper is as good as. Costs of 0 stand at the left edge, apart."""
    dots = [s for s in series if s.points]
    if not dots:
        return tag("p", f"No figure of {label} to draw.")
    least = 0.5 * max(s.mean() for s in dots)
    seen = [s for s in dots if s.mean() >= least]
    ends = [v for s in seen for p in s.points for v in (p.y, p.low, p.high) if v is not None]
    y, low = _focus(dots, ends, least)
    costs = [p.x for s in seen for p in s.points if p.x > 0] or [1.0]
    first = math.floor(math.log10(min(costs)))
    last = max(first + 1, math.ceil(math.log10(max(costs))))
    x = Scale(first, last, LEFT + 34, WIDTH - RIGHT - 14)

    def at(p: Point) -> float:
        return x(math.log10(p.x)) if p.x > 0 else LEFT + 12.0

    decades = range(first, last + 1, math.ceil((last - first) / 6))
    marks = [(LEFT + 12.0, "0"), *((x(k), f"{10.0**k:g}") for k in decades)]
    frame = joined([_across(y), _along(marks, unit)])
    places = [(s, at(s.points[0]), y(s.points[0].y)) for s in seen]
    drawn = [_steps(places), *(_dot(s, px, y) for s, px, _ in places), *_labels(places)]
    return _figure(label, frame, joined(drawn), low)


def joined_dots(label: str, series: Sequence[Series], unit: str) -> Html:
    """One dot per arm that y and x are known of, from left to right, each joined with the next."""
    dots = sorted((s for s in series if s.points), key=lambda s: s.points[0].x)
    if len(dots) < 2:
        return tag("p", f"No figure of {label} to draw.")
    ends = [v for s in dots for p in s.points for v in (p.y, p.low, p.high) if v is not None]
    y, low = _focus(dots, ends, min(ends))
    left, right = dots[0].points[0].x, dots[-1].points[0].x
    room = max((right - left) / 12, 1e-3)
    x = Scale(left - room, right + room, LEFT, WIDTH - RIGHT)
    frame = joined([_across(y), _along([(x(v), t) for v, t in ticks(left, right + room)], unit)])
    places = [(s, x(s.points[0].x), y(s.points[0].y)) for s in dots]
    line = tag("path", class_="frontier", d="M" + " L".join(f"{px:.1f},{py:.1f}" for _, px, py in places))
    drawn = [line, *(_dot(s, px, y) for s, px, _ in places), *_labels(places)]
    return _figure(label, frame, joined(drawn), low)


def _steps(places: Sequence[tuple[Series, float, float]]) -> Html:
    path, best = "", math.inf
    for _, x, y in sorted(places, key=lambda p: (p[1], p[2])):
        if y < best:  # up is less in a drawing
            path += f" H{x:.1f} V{y:.1f}" if path else f"M{x:.1f},{y:.1f}"
            best = y
    return tag("path", tag("title", "nothing cheaper is as good"), d=path, class_="frontier")


def _dot(s: Series, x: float, y: Scale) -> Html:
    p = s.points[0]
    reach = [] if p.low is None or p.high is None else [tag("line", x1=x, x2=x, y1=y(p.low), y2=y(p.high))]
    dot = tag("circle", tag("title", p.says), cx=x, cy=y(p.y), r=4.5)
    return tag("g", *reach, dot, class_=f"arm {s.look}")


def _labels(places: Sequence[tuple[Series, float, float]]) -> list[Html]:
    """Names beside their dots where there is room; a dot without one still has its tooltip."""
    taken: list[Box] = [(x - 5, y - 5, x + 5, y + 5) for _, x, y in places]
    made = []
    for s, x, y in places:
        name = s.name if len(s.name) <= 20 else s.name[:19] + "…"
        box = next((b for b in _beside(x, y, LETTER * len(name)) if not _hits(b, taken)), None)
        if box:
            taken.append(box)
            made.append(tag("text", name, x=box[0], y=box[3] - 2, class_=f"name {s.look}"))
    return made


def _beside(x: float, y: float, wide: float) -> list[Box]:
    """Where a name may stand: right of its dot, left, above, below, and a little up or down."""
    corners = [(x + 8, y), (x - 8 - wide, y), (x - wide / 2, y - 12), (x - wide / 2, y + 12),
               (x + 7, y - 9), (x + 7, y + 9), (x - 7 - wide, y - 9), (x - 7 - wide, y + 9)]
    boxes = [(left, middle - 5, left + wide, middle + 6) for left, middle in corners]
    return [b for b in boxes if b[0] >= LEFT and b[2] <= WIDTH and b[1] >= 0]


def _hits(box: Box, taken: Iterable[Box]) -> bool:
    return any(box[0] < t[2] and t[0] < box[2] and box[1] < t[3] and t[1] < box[3] for t in taken)


def heat_map(label: str, matrix: Sequence[Sequence[float | None]], names: Sequence[str]) -> Html:
    """R: row i is the model after window i, column j the held-out events of window j; the darker
    the better. None is left empty. The diagonal, each window's own model, is framed."""
    figures = [v for row in matrix for v in row if v is not None]
    if not figures:
        return tag("p", f"No figure of {label} to draw.")
    low, high, n = min(figures), max(figures), len(names)
    wide, tall = (WIDTH - LEFT - 2) / n, max(14.0, min(26.0, 300 / n))
    cells = [
        _cell(LEFT + j * wide, 34 + i * tall, wide, tall, v, (v - low) / ((high - low) or 1.0), i == j,
              f"model after window {names[i]}, held-out events of window {names[j]}: {v:.3f}")
        for i, row in enumerate(matrix) for j, v in enumerate(row) if v is not None
    ]
    every = math.ceil(n / 16)
    heads = [tag("text", names[j], x=LEFT + (j + 0.5) * wide, y=28, text_anchor="middle")
             for j in range(0, n, every)]
    sides = [tag("text", names[i], x=LEFT - 6, y=34 + (i + 0.5) * tall + 4, text_anchor="end")
             for i in range(0, n, every)]
    axis = tag("text", "held-out events of window →, model after window ↓", x=2, y=12, class_="axis")
    return _figure(label, joined([axis, *heads, *sides]), joined(cells), [], 38 + n * tall)


def _cell(
    x: float, y: float, wide: float, tall: float, v: float, share: float, own: bool, says: str
) -> Html:
    square = tag("rect", tag("title", says), x=x + 0.5, y=y + 0.5, width=wide - 1, height=tall - 1,
                 class_="cell own" if own else "cell", fill_opacity=f"{0.05 + 0.55 * share:.2f}")
    if wide < 27:
        return square
    text = tag("text", f"{v:.2f}".removeprefix("0"), x=x + wide / 2, y=y + tall / 2 + 4,
               text_anchor="middle", class_="value")
    return joined([square, text])
