"""ECharts options, as plain data. Grey text and lines are readable on light and dark alike."""

from collections.abc import Mapping, Sequence
from typing import Any

from streamrec.dashboard.figures import Bin, Mark
from streamrec.dashboard.style import COLOURS, FONT
from streamrec.drift.remembered import Matrix

Options = dict[str, Any]
GREY, FAINT = "#8a8f98", "rgba(138, 143, 152, .25)"
LANES = ("alarm", "update", "swap")
MOST = 300  # marks of the timeline
NAMES = {"live": "live", "frozen": "frozen first model", "popularity": "popularity", "new": "new model"}


def base(**more: Any) -> Options:
    """What all charts share."""
    return {
        "animation": False, "backgroundColor": "transparent",
        "textStyle": {"fontFamily": FONT, "color": GREY},
        "grid": {"left": 52, "right": 16, "top": 56, "bottom": 40},
        "legend": {"top": 0, "left": 0, "textStyle": {"color": GREY}, "icon": "roundRect"},
        "tooltip": {"trigger": "axis", "confine": True}, **more,
    }


def axis(kind: str, **more: Any) -> Options:
    """An axis."""
    return {"type": kind, "axisLabel": {"color": GREY, "hideOverlap": True},
            "axisLine": {"lineStyle": {"color": FAINT}}, "splitLine": {"lineStyle": {"color": FAINT}}, **more}


def upright(name: str, **more: Any) -> Options:
    """A value axis with its name above it, where the chart below the legend begins."""
    return axis("value", name=name, nameGap=10, nameTextStyle={"color": GREY, "align": "left"}, **more)


def rates(found: Mapping[str, Sequence[tuple[float, float | None]]]) -> Options:
    """Click rates over time, by policy; the line breaks where none is known."""
    return base(
        xAxis=axis("time", splitLine={"show": False}), yAxis=upright("clicks per slate", scale=True),
        series=[{
            "name": NAMES.get(policy, policy), "type": "line", "showSymbol": False,
            "color": COLOURS.get(policy, GREY), "lineStyle": {"width": 3 if policy == "live" else 2},
            "data": [[round(1000 * t), None if x is None else round(x, 4)] for t, x in points],
        } for policy, points in found.items()],
    )


def quality(increments: Sequence[Mapping[str, Any]]) -> Options:
    """NDCG@10 on rows not learned yet, with 95 % intervals, at each increment."""
    series: list[Options] = []
    for arm in ("live", "frozen", "popularity"):
        points = [(q["version"], q["ndcg"][arm]) for q in increments if arm in q["ndcg"]]
        colour = COLOURS[arm]
        series.append({"name": NAMES[arm], "type": "line", "color": colour,
                       "symbolSize": 6, "data": [[v, m] for v, (m, _, _) in points]})
        series += [
            {"type": "line", "data": [[v, low] for v, (_, low, _) in points], "symbol": "none",
             "lineStyle": {"opacity": 0}, "stack": f"{arm}-interval", "tooltip": {"show": False}},
            {"type": "line", "data": [[v, round(high - low, 4)] for v, (_, low, high) in points],
             "symbol": "none", "lineStyle": {"opacity": 0}, "stack": f"{arm}-interval",
             "areaStyle": {"color": colour, "opacity": 0.15}, "tooltip": {"show": False}},
        ]
    legend = base()["legend"] | {"data": [NAMES[a] for a in ("live", "frozen", "popularity")]}
    return base(
        legend=legend, series=series, yAxis=upright("NDCG@10, 0 to 1", scale=True),
        xAxis=axis("category", data=[q["version"] for q in increments], splitLine={"show": False},
                   name="increment", nameLocation="middle", nameGap=26),
    )


def calibration(bins: Sequence[Bin]) -> Options:
    """Chance that the model gave a place of a clicked slate, against how often it was the one."""
    return base(
        xAxis=axis("value", min=0, max=1, name="chance said", nameLocation="middle", nameGap=26),
        yAxis=upright("share clicked", min=0, max=1), tooltip={"trigger": "item", "confine": True},
        series=[
            {"name": "as it should be", "type": "line", "data": [[0, 0], [1, 1]], "symbol": "none",
             "silent": True, "color": GREY, "lineStyle": {"type": "dashed"}},
            {"name": "live", "type": "line", "color": COLOURS["live"], "symbolSize": 9,
             "data": [[round(b.predicted, 3), round(b.clicked, 3)] for b in bins]},
        ],
    )


def heat(m: Matrix) -> Options:
    """The matrix R: what each version still knows of each era."""
    cells = [[k, i, x] for i, row in enumerate(m.cells) for k, x in enumerate(row) if x is not None]
    values = [c[2] for c in cells] or [0.0, 1.0]
    return base(
        legend={"show": False}, tooltip={"position": "top", "confine": True},
        grid={"left": 52, "right": 16, "top": 24, "bottom": 64},
        xAxis=axis("category", data=m.eras, name="era"),
        yAxis=axis("category", data=m.versions, inverse=True, name="version"),
        visualMap={"min": min(values), "max": max(max(values), min(values) + 0.01), "orient": "horizontal",
                   "left": "center", "bottom": 0, "textStyle": {"color": GREY}, "precision": 2,
                   "inRange": {"color": ["#f2e6c9", "#7cb7d6", "#1c5fa8"]}},
        series=[{"type": "heatmap", "data": cells, "label": {"show": len(cells) < 80, "fontSize": 10}}],
    )


def timeline(marks: Sequence[Mark]) -> Options:
    """Alarms, updates and swaps on one axis of time; a click on one follows its link. Hollow: refused."""
    colour = {"alarm": COLOURS["alarm"], "update": COLOURS["new"], "swap": COLOURS["live"]}
    return base(
        xAxis=axis("time", splitLine={"show": False}),
        grid={"left": 64, "right": 24, "top": 12, "bottom": 28},
        yAxis=axis("category", data=list(LANES), inverse=True,
                   splitLine={"show": True, "lineStyle": {"color": FAINT}},
                   axisLabel={"color": GREY, "margin": 14}),
        legend={"show": False}, tooltip={"trigger": "item", "confine": True, "formatter": "{b}"},
        series=[{
            "type": "scatter", "symbolSize": 13,
            "data": [{"value": [round(1000 * m.at), m.lane], "name": m.text, "link": m.link,
                      "itemStyle": _filled(colour[m.lane], not m.refused)} for m in marks[-MOST:]],
        }],
    )


def _filled(colour: str, full: bool) -> Options:
    return {"color": colour if full else "transparent", "borderColor": colour, "borderWidth": 2}
