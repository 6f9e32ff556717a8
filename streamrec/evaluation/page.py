"""The results as one HTML page that asks nobody for anything: no script, no font, no request.

Every text goes through `charts.tag`, which escapes it: names of articles, arms and folders are a
user's. The legend's boxes hide an arm in all charts, by CSS alone.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from streamrec.evaluation.charts import (
    Html,
    Point,
    Series,
    curves,
    frontier,
    heat_map,
    joined,
    joined_dots,
    tag,
)
from streamrec.evaluation.report import (
    CHARACTER,
    COST,
    MEMORY,
    NAMES,
    NOTHING,
    QUALITY,
    SHOWN,
    Column,
    Outcome,
    Results,
    best_of,
    known,
    ordered,
    shown,
    span,
    verdict,
    versus,
)

HUES, DASHES = 7, 3  # besides the default's own hue: 21 arms look different
Arms = Mapping[str, Outcome]


def page(results: Results) -> str:
    """The whole page. `results`: see `report`; everything but `arms` may be missing."""
    arms, default = ordered(results), str(results.get("default"))
    looks = {name: _look(i) for i, name in enumerate(arms)}
    title = f"streamrec evaluate: {(results.get('log') or {}).get('name') or 'a log'}"
    parts = [
        tag("header", tag("h1", title), _headline(arms, default), _cards(arms.get(default) or {})),
        _section("Window by window", _legend(looks, default), _curves(results, arms, looks)),
        _section("Quality against cost, and what was forgotten", _pair(results, arms, looks)),
        *_varied(arms, default, looks),
        _section("All arms", *_arms(arms, default)),
        _section("Slices", _slices(arms)),
        _section("Windows", _windows(results, arms)),
        _section("How this was made", _made(results)),
    ]
    hiding = "".join(f"main:has(#show{i}:not(:checked)) .a{i}{{display:none}}" for i in range(len(arms)))
    head = joined([tag("title", title), tag("style", Html(STYLE + hiding))])
    return f"{START}{head}</head><body>{tag('main', *parts)}</body></html>\n"


def _look(i: int) -> str:
    return "a0 c0 d0" if i == 0 else f"a{i} c{1 + (i - 1) % HUES} d{(i - 1) // HUES % DASHES}"


def _section(title: str, *parts: Html) -> Html:
    return tag("section", tag("h2", title), *parts)


def _headline(arms: Arms, default: str) -> Html:
    """What the run says in one sentence."""
    if default not in arms:
        return tag("p", f"The default arm, {default}, was not among the arms of this run.")
    found: dict[str, list[str]] = {"better": [], "worse": [], "alike": []}
    for name, arm in arms.items():
        if name != default and (said := verdict(arm)):
            found[said].append(name)
    told = [
        f"{text}: {', '.join(names)}" for text, names in (
            ("really better than it", found["better"]), ("not told apart from it", found["alike"]),
            ("really worse", found["worse"])) if names
    ]
    rest = "; ".join(told) or "no other arm was compared to it"
    return tag("p", tag("strong", default), f" is the default; {rest}.", class_="lead")


def _cards(arm: Outcome) -> Html:
    ci = arm.get("ci") or {}
    cards = [(c, span(ci.get(c.key)) or c.means) for c in (*QUALITY[:2], MEMORY[0], *COST[:2])]
    return tag("div", *(
        tag("div", tag("span", c.title), tag("b", shown(arm.get(c.key), c.form)), tag("small", more))
        for c, more in cards), class_="cards")


def _legend(looks: Mapping[str, str], default: str) -> Html:
    def entry(i: int, name: str, look: str) -> Html:
        box = Html(f'<input type="checkbox" id="show{i}" checked>')
        line = tag("line", x1=1, x2=27, y1=5, y2=5)
        shape = " ".join(look.split()[1:])  # without the class that hides it
        swatch = tag("svg", tag("g", line, class_=f"arm {shape}"), viewBox="0 0 28 10", aria_hidden="true")
        return tag("label", box, swatch, name + (" (default)" if name == default else ""))

    entries = [entry(i, name, look) for i, (name, look) in enumerate(looks.items())]
    return tag("div", *entries, class_="legend", role="group", aria_label="arms to show in the charts")


def _curves(results: Results, arms: Arms, looks: Mapping[str, str]) -> Html:
    windows = [
        w for w in results.get("windows") or []
        if known(w.get("index")) is not None and w.get("scored") != 0  # the bootstrap is not scored
    ]
    numbers = [int(w["index"]) for w in windows]
    tuning = [int(w["index"]) for w in windows if w.get("tuning")]
    charts = [
        curves(f"{c.title} of each window", [_course(n, a, looks[n], c) for n, a in arms.items()], numbers,
               tuning)
        for c in QUALITY[:2]
    ]
    note = tag("p", "Shaded windows were used to choose settings. A box hides its arm. Arms far below "
                    "the best are left below the axis.", class_="note")
    return joined([tag("div", *charts, class_="pair"), note])


def _course(name: str, arm: Outcome, look: str, column: Column) -> Series:
    points = [
        Point(int(w["index"]), y, f"{name}, window {w['index']}: {column.title} {y:.3f}, "
                                  f"{shown(w.get('n'), '{:,.0f}')} reads")
        for w in arm.get("windows") or []
        if (y := known(w.get(column.key))) is not None and known(w.get("index")) is not None
    ]
    return Series(name, look, sorted(points, key=lambda p: p.x))


def _pair(results: Results, arms: Arms, looks: Mapping[str, str]) -> Html:
    default = str(results.get("default"))
    dots = [_spot(name, arm, looks[name]) for name, arm in arms.items()]
    chart = frontier("NDCG@10 against seconds of learning", dots, "seconds, all windows (log)")
    windows = results.get("windows") or []
    names = [[str(w.get("index", i)) for i, w in enumerate(of)]
             for of in (windows, [w for w in windows if w.get("scored") != 0])]
    own = results.get("R") or (arms.get(default) or {}).get("R")
    others = [
        tag("details", tag("summary", f"R of {name}"), _heat(name, arm["R"], names))
        for name, arm in arms.items() if name != default and arm.get("R")
    ]
    return joined([tag("div", chart, _heat(default, own, names), class_="pair"),
                   tag("div", *others, class_="pair")])


def _varied(arms: Arms, default: str, looks: Mapping[str, str]) -> list[Html]:
    """What a more varied list costs; nothing if no arm shows one."""
    of_one_model = {name: arms[name] for name in arms if name == default or name.startswith("diverse-")}
    dots = [_varied_spot(name, arm, looks[name]) for name, arm in of_one_model.items()]
    chart = joined_dots("NDCG@10 against variety", dots, "1 - mean cosine of two articles of a list")
    return [_section("Quality against variety", tag("div", chart, class_="pair"))] if len(dots) > 1 else []


def _varied_spot(name: str, arm: Outcome, look: str) -> Series:
    spot, variety = _spot(name, arm, look), known(arm.get("variety"))
    points = [] if variety is None else [
        p._replace(x=variety, says=f"{name}: NDCG@10 {p.y:.3f}, variety {variety:.3f}") for p in spot.points]
    return spot._replace(points=points)


def _spot(name: str, arm: Outcome, look: str) -> Series:
    y, cost = known(arm.get("ndcg10")), known(arm.get("seconds")) or 0.0
    if y is None:
        return Series(name, look, [])
    bounds: Any = (arm.get("ci") or {}).get("ndcg10")
    low, high = (known(b) for b in bounds) if span(bounds) else (None, None)
    says = f"{name}: NDCG@10 {y:.3f} {span(bounds)}, {cost:,.1f} s"
    return Series(name, look, [Point(max(cost, 0.0), y, says, low, high)])


def _heat(name: str, matrix: Sequence[Sequence[Any]] | None, names: Iterable[Sequence[str]]) -> Html:
    """`names`: what the rows may be, with the bootstrap and without; else they are numbered."""
    rows = [[known(v) for v in row] for row in matrix or []]
    size = max([len(rows), *(len(r) for r in rows)])
    said = next((n for n in names if len(n) == size), [str(i) for i in range(size)])
    return heat_map(f"R of {name}, HR@10", rows, said)


def _arms(arms: Arms, default: str) -> list[Html]:
    told = [m for m in NAMES if any(versus(a, m) for a in arms.values())]
    head = [*(f"default leads by, {NAMES[m]}" for m in told), "so the arm is"]
    compared = {n: [*(versus(a, m) for m in told), verdict(a)] for n, a in arms.items()}
    seeds = {n: [a.get("variant") or NOTHING, shown(a.get("seeds"), "{:.0f}")] for n, a in arms.items()}
    return [
        _figures("Quality", arms, default, (*QUALITY, *SHOWN), head, compared),
        _figures("Memory and cost", arms, default, (*MEMORY, *COST), [], {}),
        _figures("Character", arms, default, CHARACTER, ["variant", "seeds"], seeds),
        tag("p", "Bold: best of its column. The default's lead is its quality less the arm's, with the "
                 "interval; alike: chance may have made it. ±: deviation over seeds.", class_="note"),
    ]


def _figures(
    caption: str, arms: Arms, default: str, columns: Sequence[Column], more: Sequence[str],
    rest: Mapping[str, Sequence[str]],
) -> Html:
    best = {c.key: best_of(c, arms.values()) for c in columns}
    rows = [
        [joined([tag("b", name), " (default)"]) if name == default else name,
         *(_figure(arm, c, best[c.key]) for c in columns), *rest.get(name, ())]
        for name, arm in arms.items()
    ]
    heads = [tag("span", c.title, title=c.means) for c in columns]
    return _table(caption, ["arm", *heads, *more], rows)


def _figure(arm: Outcome, column: Column, best: str | None) -> Html:
    text = shown(arm.get(column.key), column.form)
    spread = known((arm.get("sd") or {}).get(column.key))
    more = [f"±{spread:.3f}" if spread is not None else "", span((arm.get("ci") or {}).get(column.key))]
    small = tag("small", " ".join(m for m in more if m)) if any(more) else Html()
    return joined([tag("b", text) if text == best else text, small])


def _table(caption: str, heads: Sequence[object], rows: Iterable[Sequence[object]]) -> Html:
    """Scrolls sideways by itself where it is wider than the screen."""
    top = tag("tr", *(tag("th", h, scope="col") for h in heads))
    body = [tag("tr", tag("th", r[0], scope="row"), *(tag("td", c) for c in r[1:])) for r in rows]
    made = tag("table", tag("caption", caption), tag("thead", top), tag("tbody", *body))
    return tag("div", made, class_="wide", tabindex=0, role="region", aria_label=caption)


def _both(figures: Mapping[str, Any] | None) -> Html:
    of = figures or {}
    return joined([shown(of.get("ndcg10")), tag("small", shown(of.get("hr10")))])


def _slices(arms: Arms) -> Html:
    parts = {n: (a.get("slices") or {}) | ({"repeats, apart": again} if (again := a.get("repeats")) else {})
             for n, a in arms.items()}
    names = list(dict.fromkeys(s for found in parts.values() for s in found))
    rows = []
    for s in names:
        of = [found.get(s) or {} for found in parts.values()]
        size = next((known(o.get("n")) for o in of if known(o.get("n")) is not None), None)
        rows.append([s, shown(size, "{:,.0f}"), *(_both(o) for o in of)])
    return _table("NDCG@10, and HR@10 under it, of each slice", ["slice", "reads", *arms], rows)


def _windows(results: Results, arms: Arms) -> Html:
    per_arm = [{w.get("index"): w for w in a.get("windows") or []} for a in arms.values()]
    rows = [
        [shown(w.get("index"), "{:.0f}"), _day(w.get("start")), _day(w.get("end")),
         shown(w.get("events"), "{:,.0f}"), shown(w.get("scored"), "{:,.0f}"),
         "tuning" if w.get("tuning") else "learning only" if w.get("scored") == 0 else "report",
         *(_both(of.get(w.get("index"))) for of in per_arm)]
        for w in results.get("windows") or []
    ]
    heads = ["window", "from (UTC)", "to (UTC)", "events", "scored", "used for", *arms]
    return _table("NDCG@10, and HR@10 under it, of each window", heads, rows)


def _day(at: object) -> str:
    epoch = known(at)
    try:
        return NOTHING if epoch is None else f"{datetime.fromtimestamp(epoch, UTC):%Y-%m-%d %H:%M}"
    except (OverflowError, ValueError, OSError):  # a log may hold any number
        return NOTHING


def _made(results: Results) -> Html:
    log = dict(results.get("log") or {})
    left_out = log.pop("left_out", None) or {}
    about = {"made at": results.get("made_at"), "streamrec": results.get("streamrec")}
    lists = [("Log", log), ("Left out of it", left_out), ("Settings", results.get("settings") or {}),
             ("Machine", results.get("machine") or {}), ("Run", about)]
    return joined([tag("pre", tag("code", results.get("command") or NOTHING)),
                   tag("div", *(_facts(t, f) for t, f in lists), class_="pair")])


def _facts(title: str, facts: Mapping[str, Any]) -> Html:
    rows = [part for k, v in facts.items() for part in (tag("dt", k), tag("dd", _fact(v)))]
    return tag("div", tag("h3", title), tag("dl", *rows) if rows else tag("p", "nothing"))


def _fact(value: object) -> str:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return shown(value, "{:,}")
    return NOTHING if value is None else value if isinstance(value, str) else json.dumps(value, default=str)


START = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
"""
STYLE = """
:root{color-scheme:light dark;--bg:#fff;--fg:#1b1f24;--dim:#59636e;--edge:#d1d9e0;--soft:#f3f5f8;
--c0:#0550ae;--c1:#bf5700;--c2:#1a7f37;--c3:#a40e5c;--c4:#6639ba;--c5:#7d5200;--c6:#0e7490;--c7:#6e7781}
@media(prefers-color-scheme:dark){:root{--bg:#0d1117;--fg:#e6edf3;--dim:#9198a1;--edge:#30363d;
--soft:#161b22;--c0:#58a6ff;--c1:#f0883e;--c2:#56d364;--c3:#ff7bc0;--c4:#bc8cff;--c5:#e3b341;
--c6:#39c5cf;--c7:#a5adb5}}
*{box-sizing:border-box}body{margin:0;background:var(--bg);color:var(--fg);
font:15px/1.5 system-ui,sans-serif}main{max-width:1240px;margin:0 auto;padding:16px}
h1{font-size:1.5rem;margin:.5em 0;overflow-wrap:anywhere}h2{font-size:1.15rem;margin:2em 0 .6em;
border-bottom:1px solid var(--edge);padding-bottom:.2em}h3{font-size:1rem;margin:.8em 0 .2em}
.lead{overflow-wrap:anywhere}.note,figcaption,small,.cards span{color:var(--dim);font-size:.85rem}
.cards{display:grid;gap:8px;grid-template-columns:repeat(auto-fit,minmax(140px,1fr))}
.cards div{background:var(--soft);border:1px solid var(--edge);border-radius:8px;padding:8px 12px}
.cards>div>*{display:block}.cards b{font-size:1.35rem}
.pair{display:grid;gap:16px;grid-template-columns:repeat(auto-fit,minmax(min(100%,440px),1fr))}
.pair>*{min-width:0}figure{margin:0}figure svg{width:100%;height:auto;display:block}
figcaption{overflow-wrap:anywhere}figcaption strong{color:var(--fg)}
svg text{font-size:12px;fill:var(--dim)}svg .axis{font-size:11px}svg .value{fill:var(--fg);font-size:11px}
.grid{stroke:var(--edge)}.tuning{fill:var(--dim);fill-opacity:.16}.cell{fill:var(--c0)}
.cell.own{stroke:var(--fg);stroke-width:1}.frontier{fill:none;stroke:var(--dim);stroke-dasharray:2 3}
.arm polyline{fill:none;stroke:currentColor;stroke-width:1.5}.arm line{stroke:currentColor;stroke-width:1.5}
.arm circle{fill:currentColor;stroke:transparent;stroke-width:9}.arm.c0 polyline,.arm.c0 line{stroke-width:3}
.d1 polyline,.d1 line{stroke-dasharray:6 3}.d2 polyline,.d2 line{stroke-dasharray:2 2.5}
.c0{color:var(--c0)}.c1{color:var(--c1)}.c2{color:var(--c2)}.c3{color:var(--c3)}.c4{color:var(--c4)}
.c5{color:var(--c5)}.c6{color:var(--c6)}.c7{color:var(--c7)}svg text.name{fill:currentColor}
.legend{display:flex;flex-wrap:wrap;gap:4px 16px;margin:.5em 0 1em}.legend label{display:inline-flex;
align-items:center;gap:6px;cursor:pointer;overflow-wrap:anywhere}.legend svg{width:28px;height:10px;flex:none}
.wide{overflow-x:auto;margin:0 0 1.2em}table{border-collapse:collapse;font-variant-numeric:tabular-nums}
caption{text-align:left;font-weight:600;padding:.3em 0}th,td{padding:5px 10px;text-align:right;
border-bottom:1px solid var(--edge);vertical-align:top;white-space:nowrap}thead th{color:var(--dim);
font-weight:500;vertical-align:bottom;white-space:normal;min-width:5.5em}th:first-child{text-align:left;
position:sticky;left:0;background:var(--bg);font-weight:400;min-width:8em;max-width:45vw;white-space:normal;
overflow-wrap:anywhere}td small{display:block}pre{background:var(--soft);padding:10px;overflow-x:auto;
border-radius:6px}dl{display:grid;grid-template-columns:max-content 1fr;gap:2px 14px;margin:0}
dt{color:var(--dim);overflow-wrap:anywhere;max-width:40vw}dd{margin:0;overflow-wrap:anywhere}
details{margin-bottom:-8px}summary{cursor:pointer}
"""
