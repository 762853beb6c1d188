"""Training: a frozen snapshot to a model folder with its scores. Torch is loaded when a training starts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from tamis.train.settings import TrainSettings

if TYPE_CHECKING:
    from tamis.dataset.manifest import Snapshot, Split
    from tamis.train.crops import Progress
    from tamis.train.evaluation import Evaluation, Predict
    from tamis.vision.card import ModelCard

__all__ = ["TrainSettings", "evaluate", "evaluate_answers", "train"]


def train(
    snapshot_folder: Path, out: Path, settings: TrainSettings, *, progress: Progress, resume: bool = False
) -> ModelCard:
    """Train a model on a snapshot and write its folder `out` in one step; return its card.

    The folder holds `model.json`, `weights.safetensors`, `model.onnx` (input `images`, float32 (n, 3, H, W); one
    output of logits an attribute, named like it), `evaluation.json`, `training.json` and `predictions.jsonl`. Until
    it is there, a hidden folder beside it keeps what `resume` goes on from. `progress` is called with a share from 0
    to 1 and one line of text, and may raise Interrupted to end the training, but for its last call.

    Raises:
        UserError: the snapshot cannot be trained on, a setting is wrong, weights are missing, or `out` exists.
        Interrupted: the user stopped it; `resume` goes on after the last whole epoch, to the same weights bit for bit.
    """
    from tamis.train.session import run_training  # noqa: PLC0415 - torch is loaded when a training starts

    return run_training(snapshot_folder, out, settings, progress, resume=resume)


def evaluate(model_folder: Path, snapshot: Snapshot, split: Split = "test") -> Evaluation:
    """Return how good a model folder's answers are on a split of a snapshot with the same attributes and classes.

    Raises:
        UserError: no model folder, a model for other classes, or a split without labelled samples.
    """
    from tamis.train.evaluation import evaluate_folder  # noqa: PLC0415 - onnxruntime is loaded when it is used

    return evaluate_folder(model_folder, snapshot, split)


def evaluate_answers(
    predict: Predict, classes: Mapping[str, tuple[str, ...]], snapshot: Snapshot, split: Split = "test"
) -> Evaluation:
    """Return how good the answers of any classifier are on a split of a snapshot.

    `predict` takes RGB crops, uint8 (h, w, 3), and returns probabilities, float32 (n, classes), for each attribute in
    `classes`, whose names are matched with the snapshot's. A class that the snapshot lacks is always a wrong answer.

    Raises:
        UserError: the snapshot lacks an attribute or all of its classes, or the split has no labelled samples.
    """
    from tamis.train.evaluation import evaluate_predictions  # noqa: PLC0415 - numpy is loaded when it is used

    return evaluate_predictions(predict, classes, snapshot, split)
