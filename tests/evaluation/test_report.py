"""The page is one file that asks for nothing and escapes everything; what is unknown is "-"."""

import copy
import io
import json
import math
import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import numpy as np
import pytest
from rich.console import Console

from streamrec.evaluation import charts
from streamrec.evaluation.figures import cost
from streamrec.evaluation.page import page
from streamrec.evaluation.report import QUALITY, best_of, ordered, span, table, verdict

EVIL = '<b>&"\'</svg><script>alert(1)</script>'
VOID = {"meta", "input"}
NAN = math.nan


def outcome(ndcg, seconds, versus=None, real=True, **more):
    return {
        "hr10": ndcg + 0.15, "ndcg10": ndcg, "mrr": ndcg - 0.02, "seeds": 5, "variant": "3 passes",
        "sd": {"hr10": 0.002, "ndcg10": 0.001},
        "ci": {"hr10": [ndcg + 0.14, ndcg + 0.16], "ndcg10": [ndcg - 0.01, ndcg + 0.01]},
        "versus_default": versus and {"hr10": versus, "ndcg10": versus, "real": real},
        "slices": {"cold article": {"hr10": 0.4, "ndcg10": 0.3, "n": 1234}},
        "windows": [
            {"index": i, "hr10": ndcg + 0.15 + i / 100, "ndcg10": ndcg + i / 100, "mrr": ndcg, "n": 600}
            for i in (1, 2, 3)
        ],
        "R": None, "forgetting": 0.003, "forgetting_dormant": 0.004, "backward_transfer": -0.002,
        "intransigence": None, "cost_ratio": seconds / 100, "seconds": seconds, "steps": 40, "tokens": 10**6,
        "peak_mb": 512.0, "coverage": 0.6, "novelty": 7.3, "gini": 0.8, "calibration": 0.012, "auc": NAN,
        "published": 9, "refused": 1, **more,
    }


RESULTS = {
    "default": "replay", "command": "streamrec evaluate ../shared/data/deskdrop --arms all",
    "log": {"name": "deskdrop", "events": 72312, "articles": 2987, "readers": 1895,
            "left_out": {"no article": 12}},
    "settings": {"windows": 3, "trainer": {"lr": 0.003}, "gate": None},
    "machine": {"device": "cpu", "cores": 2},
    "made_at": "2026-11-20T10:00:00Z", "streamrec": "0.1.0",
    "windows": [
        {"index": i, "start": 1.4e9 + i, "end": 1.4e9 + i + 1, "events": 900, "scored": 600, "tuning": i == 1}
        for i in (1, 2, 3)
    ],
    "R": [[0.7, 0.6, None], [0.71, 0.72, NAN], [0.69, 0.7, 0.73]],
    "arms": {
        "newest": outcome(0.73, 0.0, [0.046, 0.03, 0.06]),
        "replay": outcome(0.776, 5.0),
        "lora": outcome(0.79, 190.0, [-0.014, -0.02, -0.01],
                        R=[[0.7, 0.6, 0.5], [0.7, 0.7, 0.6], [0.6, 0.7, 0.7]]),
        "naive": outcome(0.775, 2.4, [0.001, -0.002, 0.004], real=False),
        "random": outcome(0.02, NAN, [0.756, 0.75, 0.76]),
    },
}


def changed(**more):
    return copy.deepcopy(RESULTS) | more


class Seen(HTMLParser):
    """Tags opened and left open, attributes, and the text of each cell."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.attributes, self.cells = [], [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag in ("td", "th"):
            self.cells.append("")
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.cells and {"td", "th"} & set(self.open):
            self.cells[-1] += data


def checked(results):
    """The page's text and what a parser sees, after the checks that every page must pass."""
    text = page(results)
    seen = Seen(text)
    assert seen.open == [] and seen.tags.count("title") >= 1
    assert not {"script", "link", "img", "iframe", "base", "object", "form"} & set(seen.tags)
    assert not {"src", "href", "xlink:href", "action", "srcset"} & {k for k, _ in seen.attributes}
    assert not any(k.startswith("on") for k, _ in seen.attributes)
    assert not re.search(r"@import|url\((?!#)", text)
    ids = [v for k, v in seen.attributes if k == "id"]
    assert len(ids) == len(set(ids))
    for svg in re.findall(r"<svg.*?</svg>", text, re.S):
        ElementTree.fromstring(svg)
    return text, seen


def printed(results, width=120):
    console = Console(width=width, record=True, file=io.StringIO(), color_system="truecolor")
    console.print(table(results, width))
    return console.export_text(styles=True)


def plain(text):
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


def test_the_page_stands_alone_and_names_every_arm():
    text, seen = checked(RESULTS)
    assert not re.search(r"https?://|//\w", text) and "default-src 'none'" in text
    for name in RESULTS["arms"]:
        assert seen.cells.count(name) + seen.cells.count(f"{name} (default)") >= 3
    assert seen.tags.count("svg") == len(RESULTS["arms"]) + 5  # swatches; 2 curves, frontier, R, R of lora
    assert text.count('class="tuning"') == 2 and "prefers-color-scheme:dark" in text
    for said in ("72,312", "no article", "deskdrop --arms all", '{&quot;lr&quot;: 0.003}', "0.1.0", "1,234"):
        assert said in text


def test_the_page_says_what_the_run_found():
    text, seen = checked(RESULTS)
    assert ("<strong>replay</strong> is the default; really better than it: lora; "
            "not told apart from it: naive; really worse: newest, random.") in text
    assert "+0.046 [+0.030, +0.060]" in seen.cells and {"better", "worse", "alike"} <= set(seen.cells)
    assert "<b>0.790</b>" in text and "±0.001 [0.766, 0.786]" in text
    assert "replay, window 2: NDCG@10 0.796, 600 reads" in text
    assert "model after window 2, held-out events of window 1: 0.710" in text
    assert "Below the axis: random (0.040)" in text
    assert "naive: NDCG@10 0.775 [0.765, 0.785], 2.4 s" in text


def test_a_bootstrap_is_listed_and_not_drawn():
    bootstrap = {"index": 0, "start": 0.0, "end": 1.0, "events": 400, "scored": 0, "tuning": False}
    text, seen = checked(changed(windows=[bootstrap, *RESULTS["windows"]]))
    at = seen.cells.index("1970-01-01 00:00")
    assert seen.cells[at - 1] == "0" and seen.cells[at + 4] == "learning only"
    assert text.count('text-anchor="middle">0</text>') == 1  # the frontier's; no window 0 on a curve


def test_every_text_of_a_user_is_escaped():
    results = changed(default=EVIL, command=EVIL, settings={EVIL: EVIL}, machine={EVIL: [EVIL]})
    results["log"] |= {"name": EVIL, "left_out": {EVIL: 1}}
    arm = outcome(0.7, 3.0, variant=EVIL, slices={EVIL: {"hr10": 0.1, "ndcg10": 0.1, "n": 1}}, R=[[0.1]])
    results["arms"] = {EVIL: arm, EVIL + "2": arm}
    text, seen = checked(results)
    assert "<script" not in text and '<b>&"' not in text and EVIL in seen.cells
    assert EVIL in plain(printed(results, 200))


def test_characters_that_no_page_may_hold_are_replaced():
    results = changed()
    results["arms"]["a\x00b\ud800c\x1b[31m"] = outcome(0.7, 1.0)
    text, _ = checked(results)
    assert "a\ufffdb\ufffdc\ufffd[31m" in text
    text.encode()


@pytest.mark.parametrize("value", [None, NAN, math.inf, "many", True])
def test_what_is_no_figure_is_a_dash(value):
    results = changed()
    bare = dict.fromkeys(results["arms"]["naive"], value) | {"windows": [], "R": None, "slices": {}}
    bare |= {"sd": None, "ci": None, "versus_default": None, "variant": None}
    results["arms"]["broken"] = bare
    _, seen = checked(results)
    at = seen.cells.index("broken", seen.cells.index("random"))
    assert seen.cells[at : at + 4] == ["broken", "-", "-", "-"]
    row = next(line for line in plain(printed(results)).splitlines() if line.startswith("broken"))
    assert row.split() == ["broken", *"------"]
    assert "nan" not in json.dumps(seen.cells)


@pytest.mark.parametrize("results", [
    {}, {"arms": {}}, {"arms": {"a": {}}}, {"default": "a", "arms": {"a": {}, "b": None}},
    {"default": "x", "arms": {"a": {"hr10": 0.5, "ndcg10": 0.5}}, "R": []},
    {"default": "a", "arms": {"a": {"ndcg10": 0.0, "seconds": 0}}, "R": [[0.0]], "windows": [{"index": 0}]},
])
def test_a_run_that_went_badly_has_a_page_and_a_table(results):
    checked(results)
    assert printed(results)


@pytest.mark.parametrize("key", [k for k in RESULTS if k != "arms"])
def test_every_other_key_may_be_missing(key):
    checked({k: v for k, v in RESULTS.items() if k != key})


@pytest.mark.parametrize("key", list(RESULTS["arms"]["replay"]))
def test_every_key_of_an_arm_may_be_missing(key):
    results = changed()
    for arm in results["arms"].values():
        del arm[key]
    checked(results)
    assert printed(results)


def test_one_window_forty_arms_and_dates_out_of_range():
    window = {"index": 7, "start": 1e300, "end": -1e300, "events": 1, "scored": 1}
    results = changed(windows=[window], R=[[0.5]])
    results["arms"] = {f"arm {i}": outcome(0.5 + i / 100, 10.0 ** (i - 20)) for i in range(40)}
    text, _ = checked(results)
    assert text.count('<label>') == 40


def test_the_terminal_shows_the_default_first_the_best_bold_and_differences():
    styled = printed(RESULTS)
    lines = plain(styled).splitlines()
    rows = [line for line in lines if re.match(r"\w+( \(default\))? +\d\.\d{3} ", line)]
    assert [r.split()[0] for r in rows] == ["replay", "lora", "naive", "newest", "random"]
    assert rows[0].startswith("replay (default)")
    assert "-0.014 [-0.020, -0.010]" in rows[1] and rows[1].endswith("better")
    assert rows[2].rstrip().endswith("alike") and rows[4].rstrip().endswith("worse")
    bold = re.findall(r"\x1b\[1m *([\d.+%]+)", styled)
    assert {"0.790", "0.940", "0.0%", "0.0"} <= set(bold) and "0.776" not in bold


def of_slates(results):
    """The same of a log with slates, by people who know the truth: what was worst is best."""
    found = copy.deepcopy(results)
    for n, (name, arm) in enumerate(found["arms"].items()):
        arm |= {"auc": 0.6 + n / 100, "appeal": 0.2 + n / 100, "forgetting_auc": -0.0021}
        if name != "replay":
            arm["versus_default"] |= {"by": "appeal", "auc": [0, -0.03, 0.01], "appeal": [-0.25, -0.3, -0.2]}
    return found


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("results", [RESULTS, of_slates(RESULTS)])
def test_no_cell_is_cut_in_a_terminal_of_usual_width(results, width):
    text = plain(printed(results, width))
    assert "…" not in text and max(map(len, text.splitlines())) <= width


def test_where_the_truth_is_known_it_orders_the_arms_and_says_who_is_better():
    lines = plain(printed(of_slates(RESULTS), 80)).splitlines()
    rows = [line.split()[0] for line in lines if line.split()[0] in RESULTS["arms"]]
    assert rows == ["replay", "random", "naive", "lora", "newest"]
    assert "appeal" in lines[2] and "-0.250 [-0.300, -0.200]" in next(x for x in lines if "random" in x)
    assert next(x for x in lines if x.startswith("random")).rstrip().endswith("better")


def test_repeats_are_told_apart():
    results = changed()
    results["arms"]["naive"]["repeats"] = {"n": 77, "hr10": 0.5, "ndcg10": 0.123}
    results["arms"]["replay"]["repeats"] = {"n": 0, "hr10": None, "ndcg10": None}
    assert "repeats, apart, NDCG@10: naive 0.123" in plain(printed(results))
    _, seen = checked(results)
    at = seen.cells.index("repeats, apart")
    assert "0.1230.500" in seen.cells[at : at + 7]
    assert "repeats" not in plain(printed(RESULTS))


def test_a_retrain_that_took_nothing_is_nothing_to_compare_with():
    class Runs:
        runs = ({"costs": [[0.0, 0, 0]], "peak_mb": 1.0},)

        def __init__(self, *costs):
            self._costs = np.array(costs, dtype=float)

        def increments(self):
            return self._costs

    free, ours = Runs(0, 0, 0), Runs(2, 4, 8)
    assert cost(ours, free)["cost_ratio"] is None and cost(ours, free)["cost_ratio_steps"] is None
    dear = cost(ours, Runs(4, 16, 1))
    assert dear["cost_ratio"] == 0.5 and dear["cost_ratio_steps"] == 0.25
    results = changed()
    results["arms"]["naive"] |= cost(ours, free)
    checked(results)
    assert printed(results)


def test_what_reads_the_same_is_as_good():
    arms = [{"hr10": 0.92701}, {"hr10": 0.9274}, {"hr10": None}, {}]
    assert best_of(QUALITY[0], arms) == "0.927" and best_of(QUALITY[0], [{}]) is None
    assert span([0.1, NAN]) == span(None) == span([1]) == ""
    assert verdict({"versus_default": {"ndcg10": [0.01, 0.0, 0.02], "real": False}}) == "alike"
    assert verdict({"versus_default": {"hr10": [0.01, 0.001, 0.02], "real": True}}) == "worse"
    arms = {"c": {}, "a": {"ndcg10": 0.1}, "b": {}}
    assert list(ordered({"default": "b", "arms": arms})) == ["b", "a", "c"]


def test_ticks_are_round_and_inside():
    assert [t for _, t in charts.ticks(0.861, 0.962)] == ["0.88", "0.90", "0.92", "0.94", "0.96"]
    assert [t for _, t in charts.ticks(0.0, 30.0)] == ["0", "5", "10", "15", "20", "25", "30"]
    assert [t for _, t in charts.ticks(0.5, 0.5002)][:2] == ["0.50000", "0.50005"]


def test_the_frontier_holds_what_nothing_cheaper_reaches():
    def dot(name, x, y):
        return charts.Series(name, "a1 c1 d0", [charts.Point(x, y, name)])

    drawn = charts.frontier("f", [dot("dear", 100, 0.9), dot("mid", 10, 0.8), dot("waste", 50, 0.7),
                                  dot("free", 0, 0.6)], "seconds")
    path = re.search(r'<path d="([^"]+)"', drawn).group(1)
    assert path.count("H") == 2  # free, mid, dear
    assert all(f">{n}</text>" in drawn for n in ("dear", "mid", "waste", "free"))


def test_what_variety_costs_is_drawn_where_an_arm_shows_varied_lists():
    arms = {"replay": {"ndcg10": 0.5, "variety": 0.4}, "diverse-0.3": {"ndcg10": 0.45, "variety": 0.6},
            "hot": {"ndcg10": 0.2, "variety": 0.9}}
    drawn = page({"default": "replay", "arms": arms})
    assert "Quality against variety" in drawn and "diverse-0.3: NDCG@10 0.450, variety 0.600" in drawn
    assert "hot: NDCG@10 0.200, variety" not in drawn, "of one model's lists"
    del arms["diverse-0.3"]
    assert "Quality against variety" not in page({"default": "replay", "arms": arms})


def test_markup_is_escaped_unless_made_here():
    inner = charts.tag("i", "a & b", title='"')
    assert charts.tag("p", inner, "<i>") == '<p><i title="&quot;">a &amp; b</i>&lt;i&gt;</p>'
    assert charts.tag("rect", x=1.25, stroke_width=2, class_="a", id=None) == \
        '<rect x="1.2" stroke-width="2" class="a"></rect>'
