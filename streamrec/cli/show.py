"""Tables for people."""

import textwrap
from collections.abc import Iterator, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from streamrec.events import Finding, Recommendation

LEAST = 8  # characters of a column beside one that is shown whole


def _table(*columns: str, title: str | None = None) -> Table:
    """What stands in it is somebody's words, not markup: rows are made of `Text`."""
    said = None if title is None else Text(title, "table.title")
    table = Table(title=said, title_justify="left", box=None, pad_edge=False)
    for column in columns:
        table.add_column(column)
    return table


def _but_refused(refused: dict[str, str] | None) -> str:
    return f"; refused: {refused['why']}" if refused else ""


def status_table(s: dict[str, Any]) -> None:
    """`streamrec status`."""
    table = _table("", "")
    gate, drift, model = s["last_gate"], s["last_drift"], s["model"]
    alarms = [f["detector"] for f in drift["findings"] if f["alarm"]] if drift else []
    rows = {
        "events stored": s["stored"], "duplicates refused": s["duplicates_refused"],
        "dead letters": s["dead_letters"],
        "buffer": f"{s['buffer']['rows']} rows, {s['buffer']['bytes'] / 1e6:.1f} MB",
        "rows waiting": s["rows_waiting"], "articles": s["articles"],
        "model": f"version {model['version']}, {model['age_s']} s old" if model["version"] else
                 "none yet: the untrained prior answers",
        "serving": (s["serving"] or "the untrained prior") + _but_refused(s["serving_refused"]),
        "http": s["web"] or "no web process runs",
        "dashboard": s["dashboard"] or "none",
        "models": f"{s['models_published']} published, {s['models_refused']} refused",
        "last gate": gate["reason"] if gate else "none yet",
        "last drift report": (", ".join(alarms) or "no alarm") if drift else "none yet",
        "rows lost before they were learned": s["rows_lost"],
        "refreshes shed": s["refreshes_shed"], "misfires": s["misfires"],
    }
    for name, value in rows.items():
        table.add_row(name, Text(str(value)))
    for place, n in s["lag"].items():
        table.add_row(f"lag {place}", str(n))
    Console().print(table)


def recommendation_table(answer: Recommendation) -> None:
    """`streamrec recommend`."""
    title = f"for {answer.user_id}, model version {answer.model_version}, {answer.tier}"
    title += f", rules: {', '.join(answer.rules)}" if answer.rules else ""
    table = _table("rank", "title", "score", "reason", "article", title=title)
    for item in answer.items:
        why = "\n".join(r.text for r in item.reasons) or item.reason
        cells = str(item.rank), item.title or "(untitled)", f"{item.score:.3f}", why, item.item_id
        table.add_row(*map(Text, cells))
    Console().print(table)
    if answer.error:
        Console().print(Text(answer.error))


def rows_table(rows: list[dict[str, Any]], empty: str, whole: str = "") -> None:
    """Any list of like dicts, "-" where one lacks a column; `empty` is said when there are none. The column
    `whole` is what another command takes: it is cut on no screen, and the others make room for it."""
    console = Console()
    if not rows:
        console.print(empty)
        return
    columns = list(dict.fromkeys(name for row in rows for name in row))
    table = _table(*columns)
    for column in table.columns:
        if column.header == whole:
            longest = max(len(row[whole]) for row in rows)
            column.no_wrap = longest <= console.width - LEAST * (len(table.columns) - 1)
            column.overflow = "fold"  # where it is longer than the screen it goes on below
    for row in rows:
        table.add_row(*(Text(str(row.get(name, "-"))) for name in columns))
    console.print(table)


def findings_in_full(findings: Sequence[Finding]) -> Iterator[str]:
    """Each over some lines: what it saw, how sure it is, which windows, what moved."""
    from streamrec.operate.drift import interval, number, p_value, saw, since, told
    for f in findings:
        state = f"ALARM, {f.severity}, since" if f.alarm else "no alarm; newest values since"
        yield f"\n{f.detector}: {state} {since(f)}"
        lines = [saw(f),
                 f"value {number(f.value)}, threshold {number(f.threshold)}, p {p_value(f)}, "
                 f"95 % interval {interval(f)}",
                 f"{f.samples} values: {(f.current and f.reference) or '-'}; against {f.current or '-'}",
                 *(told(c, f.detector) for c in f.contributors)]
        for line in lines:
            yield textwrap.fill(line, Console().width, initial_indent="  ", subsequent_indent="    ")


def findings_in_short(findings: Sequence[Finding]) -> Iterator[str]:
    """Each in one line, cut where the screen ends."""
    from streamrec.operate.drift import number, saw
    name, width = max((len(f.detector) for f in findings), default=0), Console().width
    head = f"{'detector':{name}}   value  threshold  values  what it saw"
    for line in [head, *(f"{f.detector:{name}} {number(f.value):>7}  {number(f.threshold):>9}  "
                         f"{f.samples:>6}  {saw(f)}" for f in findings)]:
        yield line if len(line) <= width else f"{line[: width - 1]}…"
