"""Times as people say them."""

from datetime import UTC, datetime

DAY_S = 86_400.0  # reads are not told of beyond it: the collector keeps no more of one either
UNITS = (  # from so many seconds on
    (2 * DAY_S, DAY_S, "days"), (2 * 3600.0, 3600.0, "h"), (120.0, 60.0, "min"), (0.0, 1.0, "s"),
)


def when(at: float) -> str:
    """Epoch seconds for people, UTC."""
    return datetime.fromtimestamp(at, UTC).isoformat(sep=" ", timespec="seconds").removesuffix("+00:00")


def duration(seconds: float) -> str:
    """How long, with a decimal where there is one: "12 s", "3.4 min", "2.5 h"; "over a day" beyond that."""
    return "over a day" if seconds > DAY_S else age(seconds)


def age(seconds: float) -> str:
    """As `duration`, without an end."""
    size, unit = next(((size, unit) for least, size, unit in UNITS if seconds >= least), (1.0, "s"))
    return f"{round(seconds / size, 1):g} {unit}"
