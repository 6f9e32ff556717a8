"""One page that answers at a glance: is it alive, fresh, right; does it remember; what moved."""

from nicegui import ui

from streamrec.dashboard import charts, figures
from streamrec.dashboard.address import link
from streamrec.dashboard.alive import alive, fresh, silence
from streamrec.dashboard.figures import age, number
from streamrec.dashboard.frame import card, every, frame, judged, old, say
from streamrec.dashboard.parts import Chart, Numbers, Table
from streamrec.dashboard.site import INCREMENTS, Site
from streamrec.drift.remembered import forgetting, remembered, so_far

FORGOT = 0.02  # NDCG@10
SHOWN = 12


def page(site: Site) -> None:
    """Build it."""
    with frame(site, ""), ui.element("div").classes("grid"):
        _alive(site)
        _fresh(site)
        _right(site)
        _quality(site)
        _calibration(site)
        _remembers(site)
        _moved(site)
        _topics(site)


def _heard(site: Site) -> tuple[figures.Beats, str]:
    """What the monitor counted; nothing, and why, where it has not spoken for long: spans are measured from
    its newest beat, so that old ones would look like those of now."""
    seen = site.pulse.seen
    silent = silence(seen, site.clock.now())
    return ([] if silent else seen.value), silent


def _alive(site: Site) -> None:
    with judged("Is it alive?") as verdict:
        numbers = Numbers(["events/s", "answers/s", "lag", "dead letters", "events stored", "articles"])

        def look() -> None:
            facts, (beats, _) = site.facts.seen.value, _heard(site)
            lag = sum(site.lag.seen.value.values()) if site.lag.seen.at else None
            numbers.show({
                "events/s": number(figures.per_second(beats, "events"), 1),
                "answers/s": number(figures.per_second(beats, "answers"), 1), "lag": number(lag),
                "dead letters": number(facts.get("dead_letters")),
                "events stored": number(facts.get("stored")), "articles": number(facts.get("articles")),
            })
            say(verdict, *alive(site.facts.seen, site.lag.seen, site.pulse.seen.value, site.clock.now()))
        every(look)


def _fresh(site: Site) -> None:
    with judged("Is it fresh?") as verdict:
        numbers = Numbers(["click to list, p50", "click to list, p99", "newest click learned", "model age",
                           "model", "published / refused"])

        def look() -> None:
            facts, (beats, silent) = site.facts.seen.value, _heard(site)
            delays = figures.delays_ms(beats)
            model, increments = facts.get("model", {}), site.quality.seen.value
            model_age = None if model.get("age_s") is None else model["age_s"] + (site.facts.seen.age_s or 0)
            behind = increments[-1]["behind_s"] if increments else None
            numbers.show({
                "click to list, p50": f"{number(delays[0])} ms" if delays else "-",
                "click to list, p99": f"{number(delays[1])} ms" if delays else "-",
                "newest click learned": f"{age(behind)} later" if behind is not None else "-",
                "model age": age(model_age), "model": model.get("version") or "none yet",
                "published / refused":
                    f"{number(facts.get('models_published'))} / {number(facts.get('models_refused'))}",
            })
            if why := old(site.facts, site.lag):
                say(verdict, None, why)
            else:
                say(verdict, *fresh(facts, delays, model_age, silent))
        every(look)


def _right(site: Site) -> None:
    with judged("Is it right? Clicks per slate, over a minute") as verdict:
        chart = Chart("Click rate of the live model and its controls over time",
                      "No slate of these lists has been shown lately.")

        def look() -> None:
            found = figures.click_rates(site.pulse.seen.value)
            chart.show(charts.rates(found), bool(found))
            if why := old(site.pulse, site.lag) or _heard(site)[1]:
                say(verdict, None, why)
                return
            last = {p: now for p, x in found.items() if (now := x[-1][1]) is not None}
            if "live" not in last:
                say(verdict, None, "Not known now: too few slates of the live model in the last minute.")
                return
            others = [f"{charts.NAMES.get(p, p)} {x:.3f}" for p, x in last.items() if p != "live"]
            better = [charts.NAMES.get(p, p) for p in figures.behind(site.pulse.seen.value)]
            so = f". Clicked more, and not by chance: {' and '.join(better)}." if better else ""
            told = f"Live {last['live']:.3f}" + (f"; {', '.join(others)}" if others else "")
            say(verdict, not better, told + so)
        every(look)


def _quality(site: Site) -> None:
    with judged("Is it right? Rank of what was read next, not learned yet") as verdict:
        chart = Chart("NDCG at 10 of the served model and its controls at each increment, with intervals",
                      "Known once the first window has been learned.",
                      "At each increment, on rows that it had not learned yet. Shaded: 95 % intervals.")

        def look() -> None:
            found = [q for q in site.quality.seen.value if q["ndcg"]][-40:]
            chart.show(charts.quality(found), bool(found))
            if not found or (why := old(site.quality)):
                say(verdict, None, why if found else "Not known yet.")
                return
            arms = found[-1]["ndcg"]
            live = arms.get("live", (0.0, 0.0, 0.0))
            better = [a for a in ("frozen", "popularity") if a in arms and arms[a][1] > live[2]]
            below = f", below {' and '.join(charts.NAMES[b] for b in better)}" if better else ""
            say(verdict, not better, f"NDCG@10 {live[0]:.3f} ({live[1]:.3f} to {live[2]:.3f}){below}.")
        every(look)


def _calibration(site: Site) -> None:
    with judged("Is it right? Chance said, chance seen") as verdict:
        chart = Chart("Reliability of the chance that the model gives each place of a clicked slate",
                      "Known once some slates of the served model were clicked.",
                      "Places of clicked slates, put together by the chance of the click that the live model "
                      "had given them. On the dashed line it was right; below it, it had promised too much.")

        def look() -> None:
            found = figures.calibration(site.pulse.seen.value)
            chart.show(charts.calibration(found), bool(found))
            known = f"Of {number(sum(b.places for b in found))} places." if found else "Not known yet."
            say(verdict, None, old(site.pulse) or _heard(site)[1] or known)
        every(look)


def _remembers(site: Site) -> None:
    with judged("Does it remember? NDCG@10 of each version on each era") as verdict:
        chart = Chart("Matrix R: what each version still knows of each era",
                      "Known once a second version has been published.")

        def look() -> None:
            found = remembered(site.quality.seen.value)
            chart.show(charts.heat(found), bool(found.cells))
            lost = forgetting(site.quality.seen.value)
            if lost is None:
                say(verdict, None, so_far(found))
                return
            say(verdict, lost <= FORGOT, f"Forgotten: {max(lost, 0.0):.3f} of NDCG@10, mean over eras.")
        every(look)


def _moved(site: Site) -> None:
    with judged("What moved, and what was done", wide=True) as verdict:
        chart = Chart("Alarms, updates and swaps on one axis of time",
                      "Nothing yet: no alarm, no update.",
                      "A full green point is an update that was published, a hollow one an update that was "
                      "refused. Press a point to see more.")
        table = Table(["when", "what", "done about it"], "No alarm yet.")

        def look() -> None:
            reports = site.reports.seen.value
            marks = figures.timeline(reports, site.quality.seen.value, site.pulse.seen.value,
                                     site.versions.seen.value[-INCREMENTS:],
                                     site.facts.seen.value.get("rollbacks", []))
            chart.show(charts.timeline(marks), bool(marks))
            alarms = [(r, f) for r in reports for f in r.findings if f.alarm]
            now = site.clock.now()
            table.show([
                (f"{age(now - r.generated_at)} ago",
                 (f"{f.detector}: {f.detail}", link("drift", r.report_id)),
                 figures.done_about(r, site.quality.seen.value))
                for r, f in alarms[: -SHOWN // 2 : -1]
            ])
            told = f"{len(reports)} reports, {len(alarms)} alarms." if reports else "No report yet."
            say(verdict, True if reports and not alarms else None, told)
        every(look)


def _topics(site: Site) -> None:
    with card("What rose and what fell in what is read", wide=True):
        told = ui.label().classes("quiet")
        table = Table(["topic", "before", "now", "read there"], "Known after some hundred reads.")

        def look() -> None:
            found = [(r.generated_at, f) for r in site.reports.seen.value for f in r.findings
                     if f.detector == "topic-mix"]
            at, rows = next(((at, f.contributors) for at, f in reversed(found) if f.contributors), (0.0, []))
            now = found[-1][1].detail if found and not found[-1][1].contributors else ""
            told.text = " ".join([f"As it was {age(site.clock.now() - at)} ago."] * bool(rows)
                                 + [f"Since then: {now}." if rows else f"Now: {now}."] * bool(now))
            table.show([(c.name, f"{100 * c.before:.1f} %", f"{100 * c.after:.1f} %", "; ".join(c.examples))
                        for c in rows if c.kind == "topic"])
        every(look)
