"""Where the figures of each increment go: TensorBoard, Weights & Biases, or MLflow."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from streamrec.errors import SetupError
from streamrec.metrics import Tracker

PROJECT = "streamrec"


class NoTracker:
    """See streamrec.metrics.Tracker; keeps nothing."""

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        """See Tracker."""


class TensorBoardTracker:
    """See Tracker. Event files under `folder`: look with `tensorboard --logdir FOLDER`."""

    def __init__(self, folder: Path) -> None:
        from torch.utils.tensorboard import SummaryWriter
        self._writer: Any = SummaryWriter(str(folder))

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        """See Tracker."""
        for name, value in figures.items():
            self._writer.add_scalar(name, value, step)
        self._writer.flush()


class WandbTracker:
    """See Tracker. WANDB_MODE=offline keeps runs in `folder` until `wandb sync`."""

    def __init__(self, folder: Path) -> None:
        import wandb
        folder.mkdir(parents=True, exist_ok=True)
        self._run = wandb.init(project=PROJECT, dir=str(folder), resume="allow")

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        """See Tracker."""
        self._run.log(dict(figures), step=step)


class MlflowTracker:
    """See Tracker. MLFLOW_TRACKING_URI names the server; without it, files in `folder`."""

    def __init__(self, folder: Path) -> None:
        import os

        import mlflow
        if "MLFLOW_TRACKING_URI" not in os.environ:
            mlflow.set_tracking_uri(folder.absolute().as_uri())
        mlflow.set_experiment(PROJECT)
        mlflow.start_run()
        self._mlflow = mlflow

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        """See Tracker."""
        self._mlflow.log_metrics(dict(figures), step=step)


TRACKERS: dict[str, Callable[[Path], Tracker]] = {
    "tensorboard": TensorBoardTracker, "wandb": WandbTracker, "mlflow": MlflowTracker,
}


def tracker(name: str, folder: Path) -> Tracker:
    """The tracker of a setting. Raises SetupError when its package is not installed."""
    if name == "none":
        return NoTracker()
    try:
        return TRACKERS[name](folder / name)
    except ModuleNotFoundError as error:
        raise SetupError(
            f"{error.name} is missing: pip install {error.name}, or set STREAMREC_TRAINER__TRACKING=none"
        ) from None
