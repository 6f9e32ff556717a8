"""From the runs of all arms to one dict of results, ready for JSON, table and page."""

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from streamrec.evaluation import arms, figures
from streamrec.evaluation.log import Log
from streamrec.evaluation.runs import ArmRuns
from streamrec.evaluation.schedule import REPEAT, Schedule


def results(
    runs: Mapping[tuple[str, str, int], Mapping[str, Any]], log: Log, schedule: Schedule, tuning: int
) -> dict[str, Any]:
    """`runs` by (arm, variant, seed); `tuning`: windows that are not reported."""
    by_arm: dict[str, list[Any]] = defaultdict(list)
    for (name, _, _), run in runs.items():
        by_arm[name].append(run)
    variant = {name: chosen for name, chosen, _ in runs}
    read = {name: ArmRuns(of, tuning) for name, of in by_arm.items()}
    default = arms.DEFAULT if arms.DEFAULT in read else next(iter(read))
    out = {
        name: _figures(arm, None if name == default else read[default], read.get(arms.JOINT))
        | {"variant": variant[name]} for name, arm in read.items()
    }
    return {"default": default, "log": _about(log), "windows": _windows(read[default], schedule, tuning),
            "R": out[default].get("R"), "arms": out}


def _figures(arm: ArmRuns, default: ArmRuns | None, joint: ArmRuns | None) -> dict[str, Any]:
    return {
        **figures.quality(arm), "versus_default": figures.versus(arm, default) if default else None,
        "slices": figures.slices(arm), "repeats": figures.repeats(arm), "windows": figures.by_window(arm),
        **figures.cost(arm, joint), **figures.memory(arm, joint), **figures.lists(arm), **figures.trust(arm),
    }


def _about(log: Log) -> dict[str, Any]:
    return {"name": log.name, "events": len(log.events), "articles": len(log.articles),
            "readers": len({e.user_id for e in log.events}), "left_out": log.left_out}


def _windows(arm: ArmRuns, schedule: Schedule, tuning: int) -> list[dict[str, Any]]:
    found = []
    for w, (start, end) in enumerate(schedule.bounds):
        here = schedule.window == w
        found.append({
            "index": w, "start": start, "end": end, "events": int(here.sum()), "tuning": 1 <= w <= tuning,
            "repeats": int((here & (schedule.kind == REPEAT)).sum()), "scored": int((arm.window == w).sum()),
        })
    return found
