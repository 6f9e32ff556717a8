"""The evaluator sees no future, and its figures are those of the log alone."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from small_log import DIM, START, rows, vectors, write

from streamrec.config import Buffer, Settings
from streamrec.errors import SetupError
from streamrec.evaluation import log as logs
from streamrec.evaluation import unit
from streamrec.evaluation.arm import Cost
from streamrec.evaluation.heuristics import Random
from streamrec.evaluation.learned import How, Learned
from streamrec.evaluation.matrix import matrix
from streamrec.evaluation.metrics import ndcg
from streamrec.evaluation.schedule import READ, REPEAT, UNRANKABLE, Protocol, plan
from streamrec.evaluation.site import Site
from streamrec.learning.fine_tune import FitResult
from streamrec.learning.fine_tune_text import TextFit
from streamrec.learning.gate import Verdict
from streamrec.learning.increment import _numbers
from streamrec.scoring import Served

PROTOCOL = Protocol(windows=4, sample=0, matrix_sample=20, tuning=1)
NO_REPEATS = replace(PROTOCOL, repeats=0.0)


class Newest:
    """An arm that needs nothing but the moment."""

    def announce(self, article):
        pass

    def observe(self, event):
        pass

    def scores(self, moment):
        return moment.state.articles.published.astype(np.float32)

    def among(self, moment, rows, scored):
        return scored[rows]

    def learn(self, rows):
        return Cost()


class Recording(Newest):
    """Notes what could be known at each moment."""

    def __init__(self):
        self.moments, self.told = [], []

    def observe(self, event):
        self.told.append(event.event_id)

    def scores(self, moment):
        assert moment.state.now() == moment.t
        live = {moment.state.articles.entries[i].item_id for i in np.flatnonzero(moment.eligible)}
        self.moments.append((moment.user, moment.t, [r.item for r in moment.history], live, len(self.told)))
        return super().scores(moment)


def ran(folder, arm=None, protocol=PROTOCOL, settings=None, **kw):
    log = logs.read(folder, **kw)
    schedule = plan(log, protocol)
    site = Site(settings or Settings(), vectors, DIM)
    arm = arm(site) if callable(arm) else arm or Newest()
    return log, schedule, unit.run(log, schedule, site, [arm])[0], arm


def learner(how):
    return lambda site: Learned(how, site, 0, "test")


def test_a_moment_knows_what_came_before_its_event_and_nothing_else(tmp_path):
    articles, events = rows()
    short = Settings(buffer=Buffer(history=2))  # of all that was read
    log, schedule, record, arm = ran(
        write(tmp_path, articles, events), Recording(), NO_REPEATS, settings=short)
    published = {a["item_id"]: a["published_at"] for a in articles}
    assert len(arm.moments) == len(record.rows["event"]) > 200
    for (user, t, history, live, told), n in zip(arm.moments, record.rows["event"], strict=True):
        before = [e for e in events[:n] if e["user_id"] == user]
        assert t == events[n]["ts"] and told == n
        assert history[0] == before[-1]["item_id"] if before else not history
        assert live == {i for i, at in published.items() if at < t} - {e["item_id"] for e in before}


def test_what_comes_later_changes_no_score_of_the_past(tmp_path):
    articles, events = rows()
    half = len(events) // 2
    later = [{**e, "item_id": events[-k - 1]["item_id"]} for k, e in enumerate(events[half:])]
    ranks = []
    for name, some in (("a", events), ("b", [*events[:half], *later])):
        _, _, record, _ = ran(write(tmp_path / name, articles, some), learner(How()))
        ranks.append(dict(zip(record.rows["event"], record.rows["rank"], strict=True)))
    common = {n for n in ranks[0] if n < half and n in ranks[1]}
    assert len(common) > 50 and all(ranks[0][n] == ranks[1][n] for n in common)


def test_an_article_published_after_its_event_is_an_impossible_answer(tmp_path):
    articles, events = rows()
    leak = next(n for n in range(700, 900) if events[n]["item_id"] not in {e["item_id"] for e in events[:n]})
    item = events[leak]["item_id"]
    moved = [{**a, "published_at": START + 1e6} if a["item_id"] == item else a for a in articles]
    _, _, record, _ = ran(write(tmp_path, moved, events))
    assert record.rows["rank"][record.rows["event"].index(leak)] == np.inf


def test_an_article_that_only_events_name_is_known_after_its_first_event(tmp_path):
    articles, events = rows()
    described = articles[:60]
    log, schedule, record, _ = ran(write(tmp_path, described, events))
    hidden = [n for n, e in enumerate(events) if int(e["item_id"][1:]) >= 60]
    firsts = {e["item_id"]: n for n, e in reversed(list(enumerate(events))) if int(e["item_id"][1:]) >= 60}
    assert firsts and all(schedule.kind[n] == UNRANKABLE for n in firsts.values())
    assert any(schedule.kind[n] == READ for n in hidden if n not in firsts.values())
    assert np.isfinite(record.rows["rank"]).all()


def test_repeats_are_no_first_reads(tmp_path):
    log, schedule, record, _ = ran(write(tmp_path, *rows()))
    seen = set()
    for n, e in enumerate(log.events):
        assert (schedule.kind[n] == REPEAT) == ((e.user_id, e.item_id) in seen)
        seen.add((e.user_id, e.item_id))
    assert not {n for n in record.rows["event"] if schedule.kind[n] != READ}


@pytest.mark.parametrize("arm", [
    pytest.param(lambda site: Random(0), id="random"), pytest.param(lambda site: Newest(), id="newest"),
    pytest.param(lambda site: Learned(How(gate=True), site, 0, "test"), id="replay"),
])
def test_repeats_are_asked_apart_and_change_no_other_figure(tmp_path, arm):
    log = logs.read(write(tmp_path, *rows()))
    schedule = plan(log, replace(PROTOCOL, sample=400))
    assert len(schedule.repeats) == 40 and all(schedule.kind[n] == REPEAT for n in schedule.repeats)
    records = []
    for each in (schedule, replace(schedule, repeats=set())):
        site = Site(Settings(), vectors, DIM)
        records.append(unit.run(log, each, site, [arm(site)])[0])
    with_them, without = records
    windows, ranks = map(np.array, zip(*with_them.repeats, strict=True))
    assert not without.repeats and list(np.bincount(windows, minlength=5)) == [0, 10, 10, 10, 10]
    assert np.isfinite(ranks).all() and ranks.max() > 10
    assert with_them.rows.keys() == without.rows.keys()
    for name, column in without.rows.items():
        assert str(with_them.rows[name]) == str(column), name  # NaN is like NaN


def test_of_a_repeat_all_that_is_published_is_a_candidate(tmp_path):
    log = logs.read(write(tmp_path, *rows()))
    schedule = replace(plan(log, PROTOCOL), scored=set())
    arm = Recording()
    unit.run(log, schedule, Site(Settings(), vectors, DIM), [arm])
    assert len(arm.moments) == len(schedule.repeats) > 100
    for _, t, history, live, _ in arm.moments:
        assert live == {i for i, at in log.dated.items() if at < t} and live >= set(history)


def test_held_out_reads_are_never_learned_and_every_version_is_asked_of_them(tmp_path):
    log, schedule, record, arm = ran(write(tmp_path, *rows()), learner(How()))
    learned = {w.row.event_id for window in arm._windows for w in window}
    assert schedule.held_ids and not learned & schedule.held_ids
    r, _ = matrix(log, schedule, Site(Settings(), vectors, DIM), arm, 500)
    assert r.shape == (5, 5, 3) and not np.isnan(r[..., :2]).any()  # nobody was shown a slate


def test_a_slate_is_compared_by_full_scores_whatever_place_it_has_in_the_catalogue(tmp_path):
    """Only the catalogue's best by the fast score get the full one: a slate may lie on both sides."""
    articles, events = rows(articles=120)
    rng = np.random.default_rng(3)
    for e in events:
        others = rng.choice([a["item_id"] for a in articles if a["published_at"] < e["ts"]], 6)
        e["impression"] = [e["item_id"], *others.tolist()]
    log = logs.read(write(tmp_path, articles, events))
    schedule, found = plan(log, PROTOCOL), {}
    for rerank in (2, 500):  # of the catalogue
        site = Site(Settings(scorer={"rerank": rerank}), vectors, DIM)
        arm = Learned(How(), site, 0, "test")
        unit.run(log, schedule, site, [arm])
        r, _ = matrix(log, schedule, Site(Settings(), vectors, DIM), arm, rerank)
        found[rerank] = r
        asked = unit.run(log, schedule, Site(Settings(), vectors, DIM), [Newest()])[0]
        assert not np.isnan(asked.rows["auc"]).any()
    assert np.array_equal(found[2][:, :, 2], found[500][:, :, 2]) and found[2][-1, 1:, 2].mean() > 0.6
    assert not np.array_equal(found[2][:, :, 1], found[500][:, :, 1])


def test_the_order_of_a_slate_does_not_give_the_choice_away(tmp_path):
    class Lazy(Newest):
        """Keeps whatever order it is given."""

        def among(self, moment, rows, scored):
            return -np.arange(len(rows), dtype=np.float32)

    articles, events = rows()
    rng = np.random.default_rng(5)
    for e in events:
        e["impression"] = rng.permutation([e["item_id"], "a0", "a1", "a2", "a3"]).tolist()
    aucs = ran(write(tmp_path, articles, events), Lazy())[2].rows["auc"]
    assert 0.4 < np.nanmean(aucs) < 0.6


def own_vector(texts):
    """Its topic's direction, and some of its own for every text."""
    rngs = [np.random.default_rng(int.from_bytes(t.encode(), "big")) for t in texts]
    own = np.array([r.normal(size=DIM) for r in rngs]) / DIM**0.5
    return (np.asarray(vectors(texts), np.float64) + own).astype(np.float16)


def test_the_matrix_knows_each_article_by_its_own_vector(tmp_path):
    """Its walk gives articles other rows than the walk in which the versions came about."""
    articles, events = rows(articles=300)
    there = [{**a, "published_at": START + 1800.0 * max(n - 200, 0)} for n, a in enumerate(articles)]
    log = logs.read(write(tmp_path, there, events))
    schedule = plan(log, Protocol(windows=4, sample=40, matrix_sample=60, tuning=1))
    first, again, alone = (Site(Settings(), own_vector, DIM) for _ in range(3))
    arm, same = Learned(How(), first, 0, "test"), Learned(How(), alone, 0, "test")
    unit.run(log, schedule, first, [arm])
    r, _ = matrix(log, schedule, again, arm, 500)
    same.versions, same.learn = [Served("third", arm.versions[3].net)], lambda rows: Cost()
    asked = unit.run(log, replace(schedule, scored=schedule.held), alone, [same])[0]
    gains, windows = ndcg(asked.rows["rank"], 10), np.array(asked.rows["window"])
    assert [gains[windows == w].mean() for w in range(5)] == pytest.approx(list(r[2, :, 1]))


@pytest.mark.parametrize("restart", ["scratch", "warm"])
def test_a_retrain_learns_as_much_of_the_newest_window_as_an_increment_does(tmp_path, restart):
    log = logs.read(write(tmp_path, *rows(articles=200, events=4000, readers=80)))
    learned = {}
    for name, how in (("replay", How()), ("retrain", How(restart=restart, memory="none"))):
        site, kept = Site(Settings(), vectors, DIM), []
        arm = Learned(how, site, 0, "test")
        take = arm._take
        arm._take = lambda o, take=take, kept=kept: (kept.append(o.rows), take(o))[1]
        unit.run(log, plan(log, PROTOCOL), site, [arm])
        learned[name] = kept
    assert learned["retrain"] == list(np.cumsum(learned["replay"])) and learned["retrain"][-1] > 1000


def test_a_window_may_have_more_rows_than_the_buffer_keeps(tmp_path):
    settings = Settings(buffer=Buffer(window_rows=700))
    log = logs.read(write(tmp_path, *rows(articles=200, events=6000, readers=60)))
    site = Site(settings, vectors, DIM)
    arm = Learned(How(frozen=True), site, 0, "test")
    unit.run(log, plan(log, PROTOCOL), site, [arm])
    held = len(plan(log, PROTOCOL).held_ids)
    assert sum(map(len, arm._windows)) + held == site.buffer.counts().rows > 2500


def test_a_learned_model_beats_newest_where_taste_is_what_matters(tmp_path):
    folder = write(tmp_path, *rows(events=1500))
    ndcg = {}
    for name, arm in (("newest", None), ("replay", learner(How(gate=True)))):
        _, _, record, _ = ran(folder, arm)
        ranks = np.array(record.rows["rank"])
        ndcg[name] = np.where(ranks <= 10, 1 / np.log2(1 + ranks), 0).mean()
    assert ndcg["replay"] > ndcg["newest"] + 0.05


def test_a_dirty_log_is_cleaned_and_says_how(tmp_path):
    articles, events = rows()
    dirty = [*events, {**events[3]}, {**events[5], "event_id": "late", "ts": 9e9},
             {**events[6], "event_id": "old", "ts": 12.0}]
    rng = np.random.default_rng(0)
    clean = logs.read(write(tmp_path / "clean", articles, events))
    found = logs.read(write(tmp_path / "dirty", articles, [dirty[i] for i in rng.permutation(len(dirty))]))
    assert [e.event_id for e in found.events] == [e.event_id for e in clean.events]
    assert sum(found.left_out.values()) == 3 and "duplicate event id" in found.left_out


@pytest.mark.parametrize("change", [
    {"readers": 1}, {"articles": 1}, {"articles": 3, "readers": 2},
])
def test_one_reader_or_one_article_gives_a_defined_result(tmp_path, change):
    articles, events = rows(**change)
    events = [{**e, "user_id": f"{e['user_id']}-{n % 30}"} if change.get("articles") else e
              for n, e in enumerate(events)]
    _, _, record, _ = ran(write(tmp_path, articles, events), learner(How(gate=True)))
    assert len(record.costs) == PROTOCOL.windows + 1


def test_a_window_in_which_nothing_is_learned_is_no_error(tmp_path):
    articles, events = rows(events=900)
    silent = [{**e, "type": "dismiss"} if 400 <= n < 560 else e for n, e in enumerate(events)]
    _, schedule, record, _ = ran(write(tmp_path, articles, silent), learner(How(gate=True)))
    assert len(record.costs) == PROTOCOL.windows + 1


def stuck(articles, events):
    """Logs in which there is nothing to ask an arm for."""
    once = [{**e, "user_id": f"u{n}", "item_id": f"b{n}"} for n, e in enumerate(events)]
    late = [e if n < 100 else {**e, "type": "dismiss"} for n, e in enumerate(events)]
    again = [e if n < 100 else {**events[7], "event_id": e["event_id"], "ts": e["ts"]}
             for n, e in enumerate(events)]
    return [
        ([], once, "157|158.* are no reads|of articles that nobody knew before"),
        (articles, [{**e, "type": "dismiss"} for e in events], "158 are no reads, 0 are repeats, and 0 are"),
        (articles, late, "158 are no reads"), (articles, again, "0 are no reads, 158 are repeats, and 0 are"),
    ]


@pytest.mark.parametrize("case", range(4))
def test_a_log_without_a_read_to_score_says_why(tmp_path, case):
    articles, events, why = stuck(*rows())[case]
    with pytest.raises(SetupError, match=f"no first read can be scored in the tuning windows.*{why}"):
        plan(logs.read(write(tmp_path, articles, events)), PROTOCOL)
    tuned = [e if n < 428 else {**e, "type": "dismiss"} for n, e in enumerate(rows()[1])]
    with pytest.raises(SetupError, match="in the reported windows: of their 472 events 472 are no reads"):
        plan(logs.read(write(tmp_path / "tuned", rows()[0], tuned)), PROTOCOL)


def test_what_a_reader_dismissed_is_no_candidate_and_its_read_no_question(tmp_path):
    articles, events = rows()
    n = next(n for n in range(700, 900) if events[n]["item_id"] not in {e["item_id"] for e in events[:n]})
    user, item = events[n]["user_id"], events[n]["item_id"]
    at = next(a["published_at"] for a in articles if a["item_id"] == item) + 0.5
    no = {"event_id": "no", "user_id": user, "item_id": item, "type": "dismiss", "ts": at}
    other = {**no, "event_id": "never read", "item_id": "a3", "ts": events[300]["ts"] + 0.5}
    settings = Settings(buffer=Buffer(history=2))  # the dismissal is soon forgotten there
    folder = write(tmp_path, articles, [*events, no, other])
    log, schedule, record, arm = ran(folder, Recording(), NO_REPEATS, settings=settings)
    ids = [e.event_id for e in log.events]
    assert schedule.kind[ids.index(events[n]["event_id"])] == UNRANKABLE
    assert np.isfinite(record.rows["rank"]).all()
    mine = [live for who, t, _, live, _ in arm.moments if who == user and t > other["ts"]]
    assert mine and not any("a3" in live for live in mine)


@pytest.mark.parametrize("odd", [
    {"body": "long " * 250_000}, {"published_at": START * 1000}, {"lang": "\ud800"},
])
def test_an_article_that_the_site_would_refuse_is_one_that_nobody_described(tmp_path, odd):
    articles, events = rows()
    refused = [a | odd if n == 40 else a for n, a in enumerate(articles)]
    log, schedule, record, _ = ran(write(tmp_path, refused, events))
    assert log.left_out == {"article that the site would refuse": 1}
    assert log.articles["a40"].title == "" and "a40" not in log.dated
    of_it = [n for n, e in enumerate(events) if e["item_id"] == "a40"]
    assert [int(schedule.kind[n]) for n in of_it[:1]] == [UNRANKABLE]
    assert np.isfinite(record.rows["rank"]).all()


def test_events_that_the_site_would_refuse_are_counted(tmp_path):
    articles, events = rows()
    odd = [*events, {**events[5], "event_id": "long", "user_id": "u" * 200 + "\n"},
           {**events[6], "event_id": "half", "user_id": "\ud800"},
           {**events[7], "event_id": "no item", "item_id": None, "impression": ["a1"]}]
    found = logs.read(write(tmp_path, articles, odd))
    assert found.left_out == {"event that the site would refuse": 3} and len(found.events) == len(events)


def test_half_a_character_is_replaced(tmp_path):
    articles, events = rows()
    articles[3] |= {"title": "bad \ud800 title", "body": "and \udfff body", "tags": ["\ud900"]}
    found = logs.read(write(tmp_path, articles, events))
    assert found.text("a3").encode() and not found.left_out
    assert found.articles["a3"].title == "bad \ufffd title" and found.articles["a3"].tags == ["\ufffd"]


def trains(settings, how):
    tuning = Learned(how, Site(settings, vectors, DIM), 0, "test")._tuning
    return tuning and (tuning.encoder.mode, tuning.encoder.device.type)


def test_what_learns_and_where_follows_the_settings_unless_an_arm_says(monkeypatch):
    of = {mode: Settings(model={"train": mode}) for mode in ("auto", "head", "top:1")}
    assert trains(of["top:1"], How()) == ("top:1", "cpu") and not trains(of["head"], How())
    assert trains(of["head"], How(train="top:1")) and not trains(of["auto"], How())
    assert not trains(of["top:1"], How(regulariser="kd")), "it regularises the head"
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    assert How().mode(of["auto"]) == "lora"
    on_cpu = Settings(trainer={"device": "cpu"})
    assert not trains(on_cpu, How()) and trains(on_cpu, How(train="top:1")) == ("top:1", "cpu")


def test_the_cost_of_an_encoder_is_told_by_its_own_tokens():
    data = SimpleNamespace(new=range(4), rehearsal=range(2))
    assert "tokens" not in _numbers(data, None)
    assert "tokens" not in _numbers(data, FitResult(3, 0.1, 0.5, {}, 2))
    assert _numbers(data, TextFit(3, 0.1, 0.5, {}, 2, 12_345))["tokens"] == 12_345
    arm = Learned(How(), Site(Settings(), vectors, DIM), 0, "test")
    metrics = {"steps": 3.0, "rows_new": 4.0, "passes": 2.0}
    verdict = Verdict(False, "", {})
    for more, tokens in (({}, int(4 * 2 / 0.8 * 81)), ({"tokens": 12_345.0}, 12_345)):
        arm._increment = lambda m=metrics | more: SimpleNamespace(metrics=m, verdict=verdict, state_files={})
        arm._take = lambda outcome: None
        assert arm.learn([]).tokens == tokens


def test_too_few_events_say_so(tmp_path):
    articles, events = rows(events=3)
    with pytest.raises(SetupError, match="too few"):
        plan(logs.read(write(tmp_path, articles, events)), Protocol())
    with pytest.raises(SetupError, match="no event that can be used"):
        logs.read(write(tmp_path / "none", articles, []))
