"""Every arm by name, each a family of variants; the variant is chosen on the tuning windows."""

import importlib
import inspect
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Literal

from streamrec.config import Trainer
from streamrec.errors import SetupError, StreamrecError
from streamrec.evaluation.arm import Arm, Truth
from streamrec.evaluation.families import FAMILIES
from streamrec.evaluation.learned import How, Learned
from streamrec.evaluation.outside import Outside, told
from streamrec.evaluation.shown import Shown
from streamrec.evaluation.site import Site

DEFAULT = "replay"
JOINT = "retrain"  # what costs and intransigence are compared with
RECALLED = ("recent", "strata", "loss")  # ways to draw rehearsal rows, other than uniformly
PLAIN = {"increment_scale": 0.6, "average": 0.0}
STRONG = {"increment_scale": 1.0, "average": 0.0, "passes": 3}
MEMORIES: dict[str, Literal["none", "recent"]] = {"naive": "none", "sliding": "recent"}
# Of a fit over all rows, which has the settings of a first one: rates and passes, halved and doubled.
GENTLE_FIRST = {f"lr_{of}": Trainer().model_dump()[f"lr_{of}"] / 2
                for of in ("tower", "temperature", "features", "interplay")}
STRONG_FIRST = {"first_passes": 2 * Trainer().first_passes}
RESTARTS: dict[str, Literal["scratch", "warm"]] = {"retrain": "scratch", "retrain-warm": "warm"}
LEARNED: dict[str, dict[str, How]] = {
    "replay": {"as shipped": How(gate=True)},
    "frozen": {"-": How(frozen=True)},
    **{name: {"gentle": How(memory, trainer=PLAIN), "strong": How(memory, trainer=STRONG),
              "averaged": How(memory)} for name, memory in MEMORIES.items()},
    "replay-kd": {str(s): How(regulariser="kd", strength=s, trainer=PLAIN) for s in (0.5, 2.0)},
    "der++": {str(s): How(regulariser="der", strength=s, trainer=PLAIN) for s in (0.1, 0.5)},
    "replay-plain": {"-": How(gate=True, trainer=PLAIN)},
    **{f"replay-{how}": {"-": How(gate=True, trainer={"rehearsal": how})} for how in RECALLED},
    "replay-passes": {"full rate, 3 at most": How(gate=True, trainer=STRONG)},
    "ewc": {str(s): How("none", regulariser="ewc", strength=s, trainer=PLAIN) for s in (1.0, 100.0)},
    "a-gem": {"gentle": How("none", regulariser="a-gem", strength=64, trainer=PLAIN),
              "strong": How("none", regulariser="a-gem", strength=64, trainer=STRONG)},
    **{name: {"as shipped": How("none", restart), "gentle": How("none", restart, trainer=GENTLE_FIRST),
              "strong": How("none", restart, trainer=STRONG_FIRST)} for name, restart in RESTARTS.items()},
    # Slow on a CPU, so only run when they are asked for.
    "top:1": {"-": How(gate=True, train="top:1")},
    "lora": {"-": How(gate=True, train="lora")},
    "lora-naive": {"-": How("none", train="lora")},
}
# What a feature of a request costs or gains, with the default's model; on request too.
SHOWN = {
    **{f"reads-{n}": Shown(reads=n) for n in (0, 1, 3, 5)},
    "interests": Shown(reads=0, titles=3),
    **{f"interests-{w}": Shown(reads=0, titles=3, weight=w) for w in (5, 10, 20)},
    "interests-tags": Shown(reads=0, tags=3),
    "interests-prompt": Shown(reads=0, titles=3, prompt="A reader interested in {interests} would read:"),
    **{f"diverse-{d}": Shown(diversity=d) for d in (0.1, 0.3, 0.5)},
    **{f"calibrated-{c}": Shown(calibration=c) for c in (0.3, 0.6)},
    **{f"distinct-{s}": Shown(duplicate=s) for s in (0.9, 0.95)},
    **{f"capped-{n}": Shown(per_topic=n) for n in (2, 4)},
}
LEARNED |= {name: {"-": How(gate=True, shown=shown)} for name, shown in SHOWN.items()}
ON_REQUEST = ("top:1", "lora", "lora-naive", "replay-passes", "replay-plain",
              *(f"replay-{how}" for how in RECALLED), *SHOWN)


def variants(name: str, outside: dict[str, str]) -> list[str]:
    """The variants of an arm, in a fixed order. Raises SetupError naming the arms there are."""
    if name in outside:
        return ["-"]
    if name in LEARNED:
        return list(LEARNED[name])
    if name in FAMILIES:
        return list(FAMILIES[name])
    raise SetupError(
        f"no arm {name!r}: choose of {', '.join([*names(), *ON_REQUEST])}, "
        f"or give --outside {name}=module:factory"
    )


def names() -> list[str]:
    """All arms of our own that are run unless others are asked for, heuristics first."""
    return [name for name in (*FAMILIES, *LEARNED) if name not in ON_REQUEST]


def learns(name: str) -> bool:
    """Whether an arm is one of our own model's: it has versions, a matrix R, and depends on its seed."""
    return name in LEARNED


def build(
    name: str, variant: str, seed: int, site: Site, fingerprint: str, outside: dict[str, str], folder: Path
) -> Arm:
    """One arm over a site; an outside system's factory gets the log's folder."""
    if name in outside:
        return Outside(_made(outside[name], folder, "observe", "recommend"), name)
    if name in LEARNED:
        return Learned(LEARNED[name][variant], site, seed, fingerprint)
    return FAMILIES[name][variant](seed)


def parse_outside(pairs: Iterable[str]) -> dict[str, str]:
    """`name=package.module:factory` pairs, whose factories take a folder. Raises SetupError."""
    found = {}
    for pair in pairs:
        name, _, place = pair.partition("=")
        if not name or ":" not in place:
            raise SetupError(f"--outside {pair}: give name=package.module:factory")
        if name in found or name in FAMILIES or name in LEARNED:
            raise SetupError(f"--outside {pair}: there is an arm {name} already, so choose another name")
        _load(place)
        found[name] = place
    return found


def _load(place: str) -> Callable[[Path], Any]:
    module, _, factory = place.partition(":")
    try:
        found: Callable[[Path], Any] = getattr(importlib.import_module(module), factory)
    except Exception as error:  # importing somebody's module runs it
        raise SetupError(f"{place} cannot be imported: {error}") from None
    try:
        inspect.signature(found).bind(Path())
    except TypeError as error:
        raise SetupError(f"{place} cannot be called with the log's folder alone: {error}") from None
    except ValueError:
        pass  # written in C, and does not say what it takes
    return found


def truth(place: str, folder: Path) -> Truth | None:
    """Who knows what readers want, if a place `package.module:factory` is named. Raises SetupError."""
    if place and ":" not in place:
        raise SetupError(f"--truth {place}: give package.module:factory")
    if not place:
        return None
    made: Truth = _made(place, folder, "score")
    return made


def _made(place: str, folder: Path, *methods: str) -> Any:
    factory = _load(place)
    try:
        made = factory(folder)
    except StreamrecError:
        raise
    except Exception as error:
        raise SetupError(f"{place} could not be made: {told(error)}") from error
    for method in methods:
        if not callable(getattr(made, method, None)):
            kind = type(made).__name__
            raise SetupError(f"{place} made a {kind} without {method}(): give it one, see docs/benchmark.md")
    return made
