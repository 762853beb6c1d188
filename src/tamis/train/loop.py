"""Fine-tuning by Lightning: best epoch kept, stopped cleanly, resumed to the same weights bit for bit.

A checkpoint is written at the end of each epoch and nowhere else. All that is random in an epoch (order, changes of
pictures, dropout) is seeded with the setting's seed and the epoch, whatever was drawn before.
"""

from __future__ import annotations

import logging
import signal
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import cos, pi
from pathlib import Path
from types import FrameType
from typing import Any

import lightning.pytorch as lightning
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback, EarlyStopping, ModelCheckpoint
from numpy.typing import NDArray
from torch.nn import functional
from torch.utils.data import DataLoader

from tamis.dataset.manifest import Split
from tamis.errors import Interrupted
from tamis.train.augment import Augmentation, augment
from tamis.train.batches import Batch, batches, pixels, standardised
from tamis.train.crops import Progress
from tamis.train.metrics import confusion_matrix, macro_f1
from tamis.train.model import MultiTaskModel, freeze_statistics, masked_loss
from tamis.train.settings import TrainSettings
from tamis.train.targets import MISSING, Targets, class_weights, may_flip, may_jitter_colour
from tamis.vision.preprocess import Preprocessing

LAST, BEST = "last.ckpt", "best.ckpt"

#: One epoch as it is reported: epoch, train_loss, validation_loss, score (macro F1 on validation), seconds.
Epoch = dict[str, float]

#: Share of all steps in which the rate climbs to its peak.
_WARM_UP = 0.1


@dataclass(frozen=True)
class Job:
    """What is trained on what. `pretrained` decides whether statistics and rates of the backbone are spared."""

    model: MultiTaskModel
    crops: NDArray[np.uint8]
    targets: Targets
    preprocessing: Preprocessing
    settings: TrainSettings
    pretrained: bool


@dataclass(frozen=True, slots=True)
class Validation:
    """Means over the attributes on the validation split: macro F1 and cross-entropy."""

    macro_f1: float
    loss: float

    @property
    def merit(self) -> float:
        """What the best epoch is chosen by: macro F1, and the loss among epochs that err alike, as few samples do."""
        return round(self.macro_f1 - 0.01 * min(self.loss, 10.0), 5)  # Lightning compares it in 32 bits


@dataclass(frozen=True)
class Fitted:
    """What came of it: the epochs, the best validation score and the epoch that reached it (0: the start)."""

    history: tuple[Epoch, ...]
    score: float
    best_epoch: int


def finetune(job: Job, folder: Path, progress: Progress, *, resume: bool) -> Fitted:
    """Train the job's model and leave the weights of its best epoch in it. Checkpoints lie in `folder`.

    Raises:
        Interrupted: the user asked to stop, or `progress` raises it; call again with `resume` to go on after the last
            whole epoch.
    """
    start = {name: value.clone() for name, value in job.model.state_dict().items()}
    before = validate(job, progress) if job.pretrained else None
    loader = _loader_of(job, "train")
    module = _Training(job, loader)
    last = folder / LAST
    callbacks = _callbacks(job.settings, folder, progress)
    with _quiet(), _stop_on_signal() as stop:
        trainer = _trainer(job.settings, [*callbacks, _StopCallback(stop)])
        trainer.fit(
            module,
            loader,
            _loader_of(job, "validation"),
            ckpt_path=last if resume and last.exists() else None,
            weights_only=True,
        )
    history = tuple(module.history)
    best = max(history, key=_merit)
    if before is not None and before.merit >= _merit(best):
        job.model.load_state_dict(start)
        return Fitted(history, before.macro_f1, 0)
    state = torch.load(folder / BEST, map_location="cpu", weights_only=True)["state_dict"]
    job.model.load_state_dict({name.removeprefix("model."): value for name, value in state.items()})
    return Fitted(history, best["score"], int(best["epoch"]))


def validate(job: Job, progress: Progress) -> Validation:
    """Judge the model as it is on the validation split."""
    job.model.eval()
    device = next(job.model.parameters()).device
    scores = _Scores(job.targets)
    with torch.inference_mode():
        for crops, wanted in _loader_of(job, "validation"):
            scores.add(job.model(standardised(pixels(crops, device), job.preprocessing)), wanted)
            progress(0.0, "judging the start")
    return scores.result()


def _merit(epoch: Epoch) -> float:
    return Validation(epoch["score"], epoch["validation_loss"]).merit


class _Scores:
    """Confusion matrices and losses of all attributes, added up batch by batch."""

    def __init__(self, targets: Targets) -> None:
        self.confusions = [
            np.zeros((len(attribute.classes), len(attribute.classes)), np.int64) for attribute in targets.attributes
        ]
        self.losses = np.zeros(len(self.confusions))

    def add(self, logits: tuple[torch.Tensor, ...], wanted: torch.Tensor) -> None:
        for column, scores in enumerate(logits):
            truth = wanted[:, column].cpu().numpy()
            labelled = truth != MISSING
            predicted = scores.argmax(dim=1).cpu().numpy()
            confusion = self.confusions[column]
            confusion += confusion_matrix(truth[labelled], predicted[labelled], len(confusion))
            loss = functional.cross_entropy(
                scores.float(), wanted[:, column].to(scores.device), ignore_index=MISSING, reduction="sum"
            )
            self.losses[column] += float(loss)

    def result(self) -> Validation:
        counts = np.array([confusion.sum() for confusion in self.confusions])
        macro = float(np.mean([macro_f1(confusion) for confusion in self.confusions]))
        return Validation(macro, float((self.losses / np.maximum(counts, 1)).mean()))


class _Training(lightning.LightningModule):
    """The steps of training, as Lightning wants them."""

    def __init__(self, job: Job, loader: DataLoader[Batch]) -> None:
        super().__init__()
        self.job, self.loader = job, loader
        self.model = job.model
        self.history: list[Epoch] = []
        attributes, settings = job.targets.attributes, job.settings
        self.change = Augmentation.of(
            settings.augment,
            flip=may_flip(attributes, settings.flip),
            colour=may_jitter_colour(attributes, settings.colour_jitter),
        )
        self.class_weights = [
            torch.from_numpy(class_weights(job.targets.counts("train", column), settings.class_weights))
            for column in range(len(attributes))
        ]
        self.generator = torch.Generator()
        self.scores = _Scores(job.targets)
        self.losses: list[torch.Tensor] = []
        self.began = 0.0

    def on_train_epoch_start(self) -> None:
        self.began = time.monotonic()
        self.losses = []
        self.model.backbone.requires_grad_(self.current_epoch >= self.job.settings.frozen_epochs)
        if self.job.pretrained:
            freeze_statistics(self.model)

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:  # noqa: ARG002 - Lightning's signature
        if batch_idx == 0:  # at the first batch: what precedes it draws another number of times after a resume
            torch.manual_seed(self.job.settings.seed + 1 + self.current_epoch)
            self.generator.manual_seed(self.job.settings.seed + 1 + self.current_epoch)

    def training_step(self, batch: Batch, batch_idx: int) -> torch.Tensor:  # noqa: ARG002 - Lightning's signature
        crops, wanted = batch
        images = augment(pixels(crops, self.device), self.change, self.generator)
        logits = self.model(standardised(images, self.job.preprocessing))
        weights = [weight.to(self.device) for weight in self.class_weights]
        loss = masked_loss(logits, wanted, weights, self.job.settings.label_smoothing, MISSING)
        self.losses.append(loss.detach())
        return loss

    def on_validation_epoch_start(self) -> None:
        self.scores = _Scores(self.job.targets)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:  # noqa: ARG002 - Lightning's signature
        crops, wanted = batch
        images = standardised(pixels(crops, self.device), self.job.preprocessing)
        self.scores.add(self.model(images), wanted)

    def on_validation_epoch_end(self) -> None:
        result = self.scores.result()
        self.log("merit", result.merit)
        self.history.append(
            {
                "epoch": float(self.current_epoch + 1),
                "train_loss": float(torch.stack(self.losses).mean()),
                "validation_loss": result.loss,
                "score": result.macro_f1,
                "seconds": time.monotonic() - self.began,
            }
        )

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["history"] = self.history

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.history = list(checkpoint["history"])
        order: Any = self.loader.sampler
        order.set_epoch(len(self.history))  # Lightning draws the first order after a resume before it sets the epoch

    def configure_optimizers(self) -> Any:
        settings = self.job.settings
        rate = settings.learning_rate
        backbone_rate = rate * settings.backbone_rate if self.job.pretrained else rate
        groups = [
            {"params": list(self.model.backbone.parameters()), "lr": backbone_rate},
            {"params": list(self.model.heads.parameters()), "lr": rate},
        ]
        optimiser = torch.optim.AdamW(groups, weight_decay=settings.weight_decay)
        steps = int(self.trainer.estimated_stepping_batches)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: _rate(step, steps))
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


class _ProgressCallback(Callback):
    """Tells how far it is, the best score and the time left; ends training when its time is over."""

    def __init__(self, settings: TrainSettings, progress: Progress) -> None:
        self.settings, self.progress = settings, progress
        self.began, self.first, self.told = time.monotonic(), 0.0, (0.0, "judging")

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:  # noqa: ARG002 - Lightning's signature
        self.began, self.first = time.monotonic(), trainer.current_epoch / self.settings.epochs

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:  # noqa: ARG002 - Lightning's signature
        done = (trainer.current_epoch + (batch_idx + 1) / trainer.num_training_batches) / self.settings.epochs
        left = (time.monotonic() - self.began) / max(done - self.first, 1e-9) * (1 - done)
        best = max((epoch["score"] for epoch in pl_module.history), default=None)
        scored = f", best macro F1 {best:.3f}" if best is not None else ""
        text = f"epoch {trainer.current_epoch + 1} of {self.settings.epochs}{scored}, {_duration(left)} left"
        self.told = (min(done, 1.0), text)
        self.progress(*self.told)

    def on_validation_batch_end(self, *arguments: Any, **named: Any) -> None:  # noqa: ARG002 - Lightning's signature
        self.progress(*self.told)

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        spent = sum(epoch["seconds"] for epoch in pl_module.history)
        if self.settings.time_limit_s and spent >= self.settings.time_limit_s:
            trainer.should_stop = True


class _StopCallback(Callback):
    """Raises Interrupted at the end of the step in which the user asked to stop."""

    def __init__(self, stop: threading.Event) -> None:
        self.stop = stop

    def on_train_batch_end(self, *arguments: Any, **named: Any) -> None:  # noqa: ARG002 - Lightning's signature
        if self.stop.is_set():
            raise Interrupted("training stopped", "resuming goes on after the last whole epoch")


def _callbacks(settings: TrainSettings, folder: Path, progress: Progress) -> list[Any]:
    checkpoint = ModelCheckpoint(
        dirpath=folder,
        filename=Path(BEST).stem,
        monitor="merit",
        mode="max",
        save_last=True,
        save_on_train_epoch_end=True,
        enable_version_counter=False,
    )
    callbacks: list[Any] = [checkpoint, _ProgressCallback(settings, progress)]
    if settings.patience:
        callbacks.append(
            EarlyStopping(monitor="merit", mode="max", patience=settings.patience, check_on_train_epoch_end=True)
        )
    return callbacks


def _trainer(settings: TrainSettings, callbacks: list[Any]) -> Any:
    on_card = device_of(settings).type == "cuda"
    half = "bf16-mixed" if on_card and torch.cuda.is_bf16_supported() else "16-mixed"
    named: Any = {"32": "32-true", "16": "16-mixed", "bf16": "bf16-mixed", "auto": half if on_card else "32-true"}
    return lightning.Trainer(
        accelerator="cuda" if on_card else "cpu",
        devices=1,
        precision=named[settings.precision],
        max_epochs=settings.epochs,
        callbacks=callbacks,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        gradient_clip_val=1.0,
    )


def device_of(settings: TrainSettings) -> torch.device:
    """The device that the settings ask for."""
    if settings.device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(settings.device)


def _loader_of(job: Job, split: Split) -> DataLoader[Batch]:
    seed = job.settings.seed if split == "train" else None
    return batches(job.crops, job.targets.indices, job.targets.rows(split), job.settings.batch_size, seed)


def _rate(step: int, steps: int) -> float:
    """Share of the peak rate: a linear climb, then half a cosine down to nothing (Loshchilov and Hutter 2017)."""
    climb = max(1, round(steps * _WARM_UP))
    if step < climb:
        return (step + 1) / climb
    return 0.5 * (1 + cos(pi * min(1.0, (step - climb) / max(1, steps - climb))))


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{round(seconds / 60)} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


@contextmanager
def _stop_on_signal() -> Iterator[threading.Event]:
    """Turn the first Ctrl-C into a request to stop; the second one acts as ever. Other threads get no signals.

    A handler that a caller has set is left alone: it ends the training by what `progress` raises.
    """
    stop = threading.Event()
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or before is not signal.default_int_handler:
        yield stop
        return

    def ask(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - the signature of handlers
        stop.set()
        signal.signal(signal.SIGINT, before)

    signal.signal(signal.SIGINT, ask)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Lightning's advice off the user's terminal: its workers and intervals are set on purpose here."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"lightning\..*")
            warnings.filterwarnings("ignore", module=r"torch\..*")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
