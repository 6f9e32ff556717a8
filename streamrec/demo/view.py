"""The live view of the demo: one screen that a person would rather look at than read."""

import time
from typing import Any

from rich.console import Group
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from streamrec.demo.measure import ERAS, POLICIES, Measured

BAR = "▏▎▍▌▋▊▉█"


def screen(measured: Measured, status: dict[str, Any], progress: float, events_per_s: float) -> Panel:
    """The whole view."""
    return Panel(
        Group(_phase(progress), _loop(measured, status, events_per_s), _rates(measured), _verdicts(status)),
        title="streamrec demo", border_style="cyan",
    )


def _phase(progress: float) -> Table:
    said = ("readers arrive, the first model learns", "one topic has gone quiet",
            "a third of the readers have changed their interests", "the quiet topic is back")
    at = sum(progress >= t for t in (0.35, 0.5, 0.75))
    row = Table.grid(padding=(0, 1))
    row.add_row(ProgressBar(total=1.0, completed=progress, width=30), Text(said[at], style="bold"))
    return row


def _loop(m: Measured, s: dict[str, Any], events_per_s: float) -> Table:
    model, f = s.get("model", {}), m.figures(time.time())
    latency = f["click_to_recommendation_ms"]
    table = Table.grid(padding=(0, 3))
    for _ in range(4):
        table.add_column()
    table.add_row("events/s", f"{events_per_s:.0f}", "published", str(len(m.published)))
    table.add_row("lag", str(sum(s.get("lag", {}).values())), "stored", str(s.get("stored", 0)))
    table.add_row("rehearsal rows", str(s.get("buffer", {}).get("rows", 0)),
                  "articles", str(s.get("articles", 0)))
    table.add_row("model version", str(model.get("version") or "untrained"),
                  "model age", f"{model['age_s']:.0f} s" if model.get("age_s") else "-")
    table.add_row("click to list", f"p50 {latency['p50'] or '-'} ms, p99 {latency['p99'] or '-'} ms",
                  "click to model", f"p50 {f['click_to_model_s']['p50'] or '-'} s")
    return table


def _rates(m: Measured) -> Table:
    table = Table("clicks per slate", *(e.replace("_", " ") for e in ERAS), "", box=None, pad_edge=False)
    for policy in POLICIES:
        values = [m.rates[policy, e].value for e in ERAS]
        newest = next((v for v in reversed(values) if v is not None), 0.0)
        style = "green" if policy == "live" else "dim"
        table.add_row(policy, *("-" if v is None else f"{v:.2f}" for v in values), bar(newest),
                      style=style)
    return table


def bar(value: float, full: float = 1.5, width: int = 24) -> str:
    """A bar of eighths of a character."""
    eighths = int(min(1.0, value / full) * width * 8)
    return "█" * (eighths // 8) + (BAR[eighths % 8 - 1] if eighths % 8 else "")


def _verdicts(s: dict[str, Any]) -> Table:
    gate, drift = s.get("last_gate"), s.get("last_drift")
    alarms = [f for f in drift["findings"] if f["alarm"]] if drift else []
    table = Table.grid(padding=(0, 3))
    counted = f"{s.get('models_published', 0)} published, {s.get('models_refused', 0)} refused"
    table.add_row("gate", counted, gate["reason"] if gate else "no verdict yet")
    said = "; ".join(f"{f['detector']} {f['detail']}" for f in alarms) or "no alarm"
    table.add_row("drift", "last report" if drift else "no report yet", said if drift else "")
    return table


def line(measured: Measured, status: dict[str, Any], progress: float) -> str:
    """The same in one line, where there is no terminal."""
    rates = ", ".join(
        f"{p} {measured.rates[p, e].value or 0:.2f}" for e in ERAS[-1:] for p in POLICIES
        if measured.rates[p, e].slates
    )
    model = (status.get("model") or {}).get("version") or "untrained"
    return (f"{progress:4.0%}  published {len(measured.published)}  stored {status.get('stored', 0)}  "
            f"model {model}  {rates}")
