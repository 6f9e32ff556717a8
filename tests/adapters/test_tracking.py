"""Each tracker keeps the figures where its own tool finds them."""

import pytest

from streamrec.adapters.tracking import tracker
from streamrec.errors import SetupError

FIGURES = {"gate/holdout_ndcg_new": 0.5, "rows": 200.0}


def test_tensorboard_reads_back_what_was_logged(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    board = tracker("tensorboard", tmp_path)
    board.log(1, FIGURES)
    board.log(2, {"rows": 300.0})
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [(e.step, e.value) for e in events.Scalars("rows")] == [(1, 200.0), (2, 300.0)]


def test_wandb_offline_keeps_a_run_without_a_network(tmp_path, monkeypatch):
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    board = tracker("wandb", tmp_path)
    board.log(1, FIGURES)
    board._run.finish()
    assert list((tmp_path / "wandb").rglob("*.wandb"))


def test_none_keeps_nothing_and_a_missing_package_says_what_to_install(tmp_path, monkeypatch):
    tracker("none", tmp_path).log(1, FIGURES)
    assert not list(tmp_path.iterdir())
    monkeypatch.setitem(__import__("sys").modules, "mlflow", None)
    with pytest.raises(SetupError, match="pip install mlflow"):
        tracker("mlflow", tmp_path)
