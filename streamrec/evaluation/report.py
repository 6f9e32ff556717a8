"""What an evaluation found, for people: how a figure is written, and the table of the terminal.

`results` is the one dict that `streamrec evaluate --json` writes. Whatever it lacks, and whatever
is None, NaN or infinite in it, is shown as "-": a report must come out of a run that went badly.
`versus_default` of an arm is the default's lead over it, as `figures.versus` has it: above 0, the
default is better.
"""

import math
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from rich.table import Table
from rich.text import Text

Results = Mapping[str, Any]
Outcome = Mapping[str, Any]  # what is known of one arm
NOTHING = "-"


class Column(NamedTuple):
    """One figure of the arms: how it is written, and which is best (1 the highest, -1 the lowest,
    0 neither). `means` is one sentence for a reader who does not know the name."""

    title: str
    key: str
    form: str = "{:.3f}"
    best: int = 0
    means: str = ""


QUALITY = (
    Column("HR@10", "hr10", best=1, means="share of reads found among the first ten"),
    Column("NDCG@10", "ndcg10", best=1, means="the same, and the higher the place the better"),
    Column("MRR", "mrr", best=1, means="mean of 1 / rank"),
)
MEMORY = (
    Column("forgetting", "forgetting", "{:+.3f}", -1, "best quality ever on old windows, less quality now"),
    Column("forgetting, dormant", "forgetting_dormant", "{:+.3f}", -1, "the same on topics that went quiet"),
    Column("backward transfer", "backward_transfer", "{:+.3f}", 1, "quality on old windows now, less then"),
    Column("forgetting, AUC", "forgetting_auc", "{:+.3f}", -1,
           "of telling, in the slate shown, what is clicked: where slates were logged, this one counts"),
    Column("backward transfer, AUC", "backward_transfer_auc", "{:+.3f}", 1, "the same way"),
    Column("intransigence", "intransigence", "{:+.3f}", -1, "quality of joint training, less own"),
)
FORGETTING_AUC = MEMORY[3]
NAMES = {"hr10": "HR@10", "ndcg10": "NDCG@10", "auc": "AUC", "appeal": "appeal"}
COST = (
    Column("cost", "cost_ratio", "{:.1%}", -1, "seconds, as a share of the full retrain's"),
    Column("seconds", "seconds", "{:,.1f}", -1, "learning, all windows"),
    Column("steps", "steps", "{:,.0f}", -1, "optimizer steps"),
    Column("tokens", "tokens", "{:,.0f}", -1, "forward and backward, stands for energy"),
    Column("peak MB", "peak_mb", "{:,.0f}", -1, "memory"),
)
SHOWN = (
    Column("AUC", "auc", best=1, means="per impression; only logs that show what was not clicked have it"),
    Column("appeal", "appeal", best=1, means="of lists to their readers, where the truth is known"),
)
CHARACTER = (
    Column("calibration error", "calibration", best=-1, means="predicted against true rate of clicks"),
    Column("coverage", "coverage", means="share of the catalogue that was recommended"),
    Column("novelty", "novelty", "{:.2f}", means="bits: how rarely read, by the log's end, the lists are"),
    Column("variety", "variety", means="of a list: 1 less the mean cosine between its articles' texts"),
    Column("exposure Gini", "gini", means="0: all articles alike, 1: one article always"),
    Column("published", "published", "{:,.0f}", means="increments that the gate let pass"),
    Column("refused", "refused", "{:,.0f}", means="increments that the gate held back"),
)


def known(value: object) -> float | None:
    """The value as a finite number, or None for all else."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def shown(value: object, form: str = "{:.3f}") -> str:
    """A figure as text, or "-"."""
    number = known(value)
    return NOTHING if number is None else form.format(number)


def span(bounds: object, form: str = "{:.3f}") -> str:
    """[low, high] as text, or "" if either is unknown."""
    pair = bounds if isinstance(bounds, list | tuple) and len(bounds) == 2 else (None, None)
    texts = [shown(b, form) for b in pair]
    return "" if NOTHING in texts else f"[{texts[0]}, {texts[1]}]"


def ordered(results: Results) -> dict[str, Outcome]:
    """The arms: the default first, then by NDCG@10 or what the log tells better, unknown ones last."""
    arms = {str(name): arm or {} for name, arm in (results.get("arms") or {}).items()}
    default, by = str(results.get("default")), ([c.key for c in _of_slates(arms)] or ["ndcg10"])[-1]

    def place(name: str) -> tuple[bool, float]:
        return name != default, -(known(arms[name].get(by)) or 0.0)

    return {name: arms[name] for name in sorted(arms, key=place)}


def best_of(column: Column, arms: Iterable[Outcome]) -> str | None:
    """How the best figure of a column is written. What reads the same is as good: the next digit
    is chance."""
    figures = [v for a in arms if (v := known(a.get(column.key))) is not None]
    if not figures or not column.best:
        return None
    return column.form.format(max(figures) if column.best > 0 else min(figures))


def versus(arm: Outcome, metric: str) -> str:
    """The default's lead over an arm, with its interval; "" for the default itself."""
    found = (arm.get("versus_default") or {}).get(metric)
    if not isinstance(found, list | tuple) or len(found) != 3:
        return ""
    return f"{shown(found[0], '{:+.3f}')} {span(found[1:], '{:+.3f}')}".rstrip()


def verdict(arm: Outcome) -> str:
    """"better" or "worse" than the default if the difference is real, "alike" if chance may have
    made it, "" for the default itself."""
    against = arm.get("versus_default")
    if not against:
        return ""
    diffs = [known((against.get(m) or [None])[0]) for m in (against.get("by", "ndcg10"), "hr10")]
    lead = next((d for d in diffs if d), 0.0)
    if not against.get("real") or not lead:
        return "alike"
    return "worse" if lead > 0 else "better"


def table(results: Results, width: int = 120) -> Table:
    """The arms for a terminal `width` letters wide: the default first and marked, the best of each
    column bold, the default's lead over every arm with its interval and whether it is real. What
    does not fit into 120 letters is left to the page."""
    arms, default, wide = ordered(results), str(results.get("default")), width >= 120
    columns, metrics = _columns(arms, wide)
    leads = [f"default leads by,\n{NAMES[m]}" for m in metrics]
    titles = [c.title.replace(", ", ",\n") for c in columns]
    made = _framed(results, ["arm", *titles, *leads, "so the\narm is"])
    best = {c.key: best_of(c, arms.values()) for c in columns}
    for name, arm in arms.items():
        figures = [(c.key, shown(arm.get(c.key), c.form)) for c in columns]
        cells = [Text(text, style="bold" if text == best[key] else "") for key, text in figures]
        compared = (*(versus(arm, m) for m in metrics), verdict(arm))
        mark = Text(f"{name} (default)", style="cyan") if name == default else Text(name)
        made.add_row(mark, *cells, *(Text(t) for t in compared))
    return made


def _columns(arms: Mapping[str, Outcome], wide: bool) -> tuple[list[Column], list[str]]:
    """What fits, and the leads that are told: where slates were shown, what they tell comes first."""
    slates = _of_slates(arms)
    if not slates:
        figures = [*QUALITY, MEMORY[0], *COST[:2]] if wide else [*QUALITY[:2], MEMORY[0], COST[0]]
        return figures, ["ndcg10", "hr10"] if wide else ["ndcg10"]
    figures = [*slates, FORGETTING_AUC]
    return [QUALITY[1], *figures, *COST[:2]] if wide else figures, [slates[-1].key]


def _of_slates(arms: Mapping[str, Outcome]) -> list[Column]:
    """Of a log that tells what was shown, or a site whose truth is known; the last one tells best."""
    return [c for c in SHOWN if any(known(a.get(c.key)) is not None for a in arms.values())]


def _repeats(results: Results) -> str:
    """Of reads of what the reader had read before, one line; none if there are none."""
    found = {n: (a.get("repeats") or {}).get("ndcg10") for n, a in ordered(results).items()}
    told = ", ".join(f"{name} {shown(value)}" for name, value in found.items() if known(value) is not None)
    return f"\nrepeats, apart, NDCG@10: {told}" if told else ""


def _framed(results: Results, heads: Iterable[str]) -> Table:
    log = (results.get("log") or {}).get("name") or "evaluation"
    made = Table(
        title=Text(f"{log}, default arm {results.get('default')}"), title_justify="left", box=None,
        caption=Text("bold: best of its column; cost: share of a full retrain's seconds; alike: "
                     f"chance may have made the difference{_repeats(results)}"),
        caption_justify="left", pad_edge=False, collapse_padding=True,
    )
    for i, head in enumerate(heads):
        made.add_column(head, justify="right" if i else "left", no_wrap=True)
    return made
