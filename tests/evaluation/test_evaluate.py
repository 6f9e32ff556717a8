"""`streamrec evaluate` as a whole: from a log folder to table, JSON and page."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from small_log import rows, write
from typer.testing import CliRunner

from streamrec.cli import app
from streamrec.cli.evaluate import _bar
from streamrec.config import Settings
from streamrec.demo.log import simulate
from streamrec.demo.world import WorldConfig
from streamrec.errors import SetupError
from streamrec.evaluation import arms, evaluate
from streamrec.evaluation import log as logs
from streamrec.evaluation.page import page
from streamrec.evaluation.report import table
from streamrec.evaluation.results import results
from streamrec.evaluation.schedule import Protocol, plan
from streamrec.evaluation.store import Kept, Run, code_of, folder_name

PROTOCOL = Protocol(windows=4, sample=200, matrix_sample=20, tuning=1)
ORACLE = "streamrec.demo.oracle:Oracle"
ARMS = ("replay", "newest", "popular")  # a process that learns takes ten seconds to start


class Backwards:
    """An outside system, as docs/benchmark.md shows one: recommends what was read last."""

    def __init__(self, folder: Path) -> None:
        assert (folder / "events.jsonl").is_file()
        self.read: list[str] = []

    def observe(self, event):
        self.read.append(event.item_id)

    def recommend(self, user, t, n):
        return list(dict.fromkeys(reversed(self.read)))[:n]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write(tmp_path_factory.mktemp("log"), *rows())


def request(folder, cache, **more):
    asked = {"arms": ARMS, "seeds": 2, "protocol": PROTOCOL, "jobs": 2, "cache": cache, **more}
    return evaluate.Request(folder, **asked)


def ranks(runs):
    return {key: run["rows"]["rank"] for key, run in runs.items()}


@pytest.fixture(scope="module")
def done(folder, tmp_path_factory):
    """Runs of the arms, and where they are kept."""
    asked = request(folder, tmp_path_factory.mktemp("cache"),
                    outside=arms.parse_outside(["backwards=tests.evaluation.test_evaluate:Backwards"]),
                    arms=(*ARMS, "backwards"))
    said = []
    return asked, evaluate.evaluate(asked, Settings(), lambda *progress: said.append(progress)), said


def test_every_arm_is_run_for_each_seed_that_matters_and_progress_comes_to_its_end(done):
    _, runs, said = done
    assert [(a, s) for a, _, s in runs] == [
        ("replay", 0), ("replay", 1), *((a, 0) for a in ("newest", "popular", "backwards")),
    ]
    assert said[-1][1] == pytest.approx(said[-1][2])


def test_an_interrupted_evaluation_goes_on_and_says_the_same(done):
    asked, runs, _ = done
    kept = sorted(next(p for p in asked.cache.iterdir() if p.is_dir()).iterdir())
    untouched = kept[0].stat().st_mtime_ns
    gone = [p for p in kept if p.name.startswith("replay")]
    gone[0].unlink()
    gone[-1].write_bytes(gone[-1].read_bytes()[:50])  # killed in the middle of a write by hand
    again = evaluate.evaluate(asked, Settings())
    assert ranks(again) == ranks(runs) and kept[0].stat().st_mtime_ns == untouched


def test_the_results_hold_what_the_issue_of_a_benchmark_asks(done):
    asked, runs, _ = done
    log = logs.read(asked.folder)
    found = json.loads(json.dumps(results(runs, log, plan(log, PROTOCOL), PROTOCOL.tuning)))
    assert found["default"] == "replay" and set(found["arms"]) == {*ARMS, "backwards"}
    replay, newest = found["arms"]["replay"], found["arms"]["newest"]
    assert replay["versus_default"] is None and len(newest["versus_default"]["ndcg10"]) == 3
    assert replay["seeds"] == 2 and replay["steps"] > 0 and replay["peak_mb"] > 50
    low, high = replay["ci"]["ndcg10"]
    assert low <= replay["ndcg10"] <= high and 0 < replay["ndcg10"] <= replay["hr10"] <= 1
    assert np.array(found["R"], dtype=float).shape == (5, 5) and abs(replay["forgetting"]) < 0.5
    assert replay["repeats"]["n"] == newest["repeats"]["n"] == 15  # of 20, those of three windows in four
    assert 0 < replay["repeats"]["ndcg10"] <= replay["repeats"]["hr10"] <= 1
    assert [w["tuning"] for w in found["windows"]] == [False, True, False, False, False]
    assert sum(w["scored"] for w in found["windows"]) == len(next(iter(runs.values()))["rows"]["rank"])


def test_the_command_prints_a_table_and_writes_json_and_page(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("STREAMREC_HOME", str(tmp_path))
    out = CliRunner().invoke(app, [
        "evaluate", str(folder), "--arms", "newest,popular", "--windows", "4", "--sample", "100",
        "--json", str(tmp_path / "r.json"), "--html", str(tmp_path / "r.html"),
    ])
    assert out.exit_code == 0, out.output
    assert "newest" in out.output and "NDCG@10" in out.output
    assert set(json.loads((tmp_path / "r.json").read_text())["arms"]) == {"newest", "popular"}
    assert "<svg" in (tmp_path / "r.html").read_text()


def test_mistakes_are_said_before_any_work():
    with pytest.raises(SetupError, match="no arm 'magic': choose of random, newest"):
        arms.variants("magic", {})
    with pytest.raises(SetupError, match="name=package.module:factory"):
        arms.parse_outside(["mine"])
    with pytest.raises(SetupError, match="cannot be imported"):
        arms.parse_outside(["mine=nowhere:Nothing"])
    for place, why in (("os:getcwd", "called with the log's folder alone"), ("os:sep", "called with"),
                       (":Nothing", "cannot be imported"), (".near:Nothing", "cannot be imported")):
        with pytest.raises(SetupError, match=why):
            arms.parse_outside([f"mine={place}"])


def test_an_outside_factory_that_makes_no_recommender_is_named(tmp_path):
    with pytest.raises(SetupError, match=r"os:fspath made a str without observe\(\)"):
        arms.build("mine", "-", 0, None, "", {"mine": "os:fspath"}, tmp_path)


@pytest.mark.parametrize(("option", "target", "why"), [
    ("--json", "none/r.json", "make it first"), ("--html", ".", "is a folder"),
    ("--json", ".", "is a folder"),
])
def test_a_result_that_cannot_be_written_is_said_before_the_run(tmp_path, option, target, why):
    """The log is not there: so nothing was read yet."""
    out = CliRunner().invoke(app, ["evaluate", str(tmp_path / "log"), option, str(tmp_path / target)])
    assert isinstance(out.exception, SetupError) and why in str(out.exception)


def test_a_site_that_cannot_be_written_is_one_sentence(tmp_path):
    (tmp_path / "file").touch()
    for target in ("file", "file/below"):
        out = CliRunner().invoke(app, ["simulate", str(tmp_path / target), "--visits", "100"])
        assert isinstance(out.exception, SetupError) and "name another folder" in str(out.exception)
    (tmp_path / "log" / "events.jsonl.gz").mkdir(parents=True)
    out = CliRunner().invoke(app, ["simulate", str(tmp_path / "log"), "--visits", "100"])
    assert isinstance(out.exception, SetupError) and "events.jsonl.gz cannot be written" in str(out.exception)
    out = CliRunner().invoke(app, ["simulate", str(tmp_path / "new"), "--seed", "-1"])
    assert out.exit_code == 2 and "--seed" in out.output and not (tmp_path / "new").exists()


def test_an_article_dated_nan_is_an_undated_one(tmp_path):
    """NaN has no order: it would put the other messages out of theirs."""
    articles, events = rows(articles=8, events=60)
    undated = [a | {"published_at": None} if n % 3 == 0 else a for n, a in enumerate(articles)]
    odd = [a | {"published_at": float("nan")} if n % 3 == 0 else a for n, a in enumerate(articles)]
    clean = logs.read(write(tmp_path / "clean", undated, events))
    found = logs.read(write(tmp_path / "odd", odd, events))
    assert found.messages == clean.messages and found.dated == clean.dated


def test_very_long_texts_and_blank_ones_are_encoded(tmp_path):
    articles, events = rows(articles=6, events=200)
    articles[0]["body"], articles[1]["title"], articles[1]["body"] = "long " * 20_000, "", ""
    asked = request(write(tmp_path / "log", articles, events), tmp_path / "cache", arms=("content",))
    log = evaluate.prepare(asked, Settings(), lambda n, of: None)
    assert len(log.articles) == 6


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A simulated site's log, its results with the truth beside, and the folder of runs."""
    folder = tmp_path_factory.mktemp("simulated")
    simulate(folder / "site", WorldConfig(articles=300, readers=200), 8000)
    asked = request(folder / "site", folder / "cache", arms=("random", "popular", "replay", "oracle"),
                    outside={"oracle": ORACLE}, truth=ORACLE, seeds=1)
    log = evaluate.prepare(asked, Settings(), lambda n, of: None)
    return results(evaluate.evaluate(asked, Settings()), log, plan(log, PROTOCOL), PROTOCOL.tuning)


def test_the_oracle_of_a_simulated_site_knows_better(site):
    of = site["arms"]
    assert of["oracle"]["hr10"] > of["random"]["hr10"] + 0.05
    assert of["oracle"]["auc"] > 0.75  # slates are logged: the click is compared with all that was shown
    assert of["oracle"]["appeal"] > 2 * of["replay"]["appeal"] > 2 * of["random"]["appeal"] > 0


def test_where_slates_were_shown_the_truth_or_they_judge_and_not_what_the_site_used_to_show(site):
    of = site["arms"]
    lead = of["popular"]["versus_default"]
    assert lead["by"] == "appeal" and {"hr10", "ndcg10", "auc", "appeal"} <= lead.keys()
    assert lead["appeal"][0] == pytest.approx(of["replay"]["appeal"] - of["popular"]["appeal"])
    assert of["replay"]["auc"] > of["popular"]["auc"] and -0.2 < of["replay"]["forgetting_auc"] < 0.2
    printed = Console(width=120, file=io.StringIO(), record=True)
    printed.print(table(site, 120))
    text = printed.export_text()
    assert all(word in text for word in ("AUC", "appeal", "forgetting,"))
    assert f"{of['replay']['appeal']:.3f}" in text and "default leads by, AUC" in page(site)


def test_whoever_is_to_know_the_truth_must_be_able_to_tell_it(folder, tmp_path):
    for truth in ("no_such_module:Oracle", "streamrec.demo.oracle", f"{__name__}:Backwards"):
        with pytest.raises(SetupError, match="imported|package.module|score"):
            evaluate.check(request(folder, tmp_path, truth=truth))


def test_an_outside_system_that_was_changed_is_run_again_and_no_other_arm_is(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path / "code"))
    (tmp_path / "code").mkdir()
    log, source = write(tmp_path / "log", *rows(events=9)), tmp_path / "code" / "their_system.py"
    folders, judged, codes = [], [], []
    for text in ("a = 1", "a = 1", "a = 2"):
        source.write_text(text)
        asked = [request(log, tmp_path, outside={"theirs": "their_system:make"}, truth=truth)
                 for truth in ("", "their_system:make")]
        for names, each in zip((folders, judged), asked, strict=True):
            names.append(folder_name(log, evaluate._asked(each), Settings()))
        codes.append(code_of("their_system:make"))
    assert len(set(folders)) == 1 and folders[0] == folder_name(
        log, evaluate._asked(request(log, tmp_path)), Settings())
    for first, same, other in (judged, codes):
        assert first == same != other
    kept = [Kept(tmp_path, {"theirs": code}) for code in codes[1:]]
    ours, theirs = Run("hot", "1h-3", 0, None), Run("theirs", "-", 0, None)
    assert kept[0].file(ours) == kept[1].file(ours) and kept[0].file(theirs) != kept[1].file(theirs)
    assert code_of("their_system:make") != code_of("their_system:other")


def test_what_else_lies_in_the_folder_of_a_log_changes_nothing(tmp_path):
    log = write(tmp_path / "log", *rows(events=9))
    names = [folder_name(log, {}, Settings())]
    (log / "results.json").write_text("{}")
    names.append(folder_name(log, {}, Settings()))
    (log / "events.jsonl").write_text((log / "events.jsonl").read_text() + "\n")
    names.append(folder_name(log, {}, Settings()))
    assert names[0] == names[1] != names[2]


def test_an_outside_system_takes_no_name_that_there_is():
    for pairs in (["replay=os:fspath"], ["hot=os:fspath"], ["lora=os:fspath"], ["mine=os:fspath"] * 2):
        with pytest.raises(SetupError, match="already, so choose another name"):
            arms.parse_outside(pairs)


def test_an_outside_factory_that_fails_is_named(tmp_path):
    with pytest.raises(SetupError, match="os:listdir could not be made: FileNotFoundError"):
        arms.build("mine", "-", 0, None, "", {"mine": "os:listdir"}, tmp_path / "none")


def test_an_outside_system_walks_alone(tmp_path):
    asked = request(tmp_path, tmp_path, arms=("hot", "newest", "mine"), outside={"mine": "os:fspath"})
    families = {name: arms.variants(name, asked.outside) for name in asked.arms}
    assert {run.arm for unit in evaluate._tuning(families, asked) for run in unit} == {"hot", "newest"}


def test_a_retrain_is_tuned_as_the_other_learners_are():
    for name in ("retrain", "retrain-warm"):
        settings = {v: how.settings(Settings().trainer, 0) for v, how in arms.LEARNED[name].items()}
        assert list(settings) == ["as shipped", "gentle", "strong"]
        assert settings["gentle"].lr_tower < settings["as shipped"].lr_tower == Settings().trainer.lr_tower
        assert settings["strong"].first_passes > settings["as shipped"].first_passes


def test_time_left_is_known_however_long_a_unit_takes():
    now = 0.0
    with _bar() as bar:
        bar.get_time = lambda: now
        task = bar.add_task("running", total=10)
        bar.tasks[0]._get_time = bar.get_time
        for n in range(1, 4):
            now += 100.0
            bar.update(task, completed=n)
        assert bar.tasks[0].time_remaining == pytest.approx(700, rel=0.01)
