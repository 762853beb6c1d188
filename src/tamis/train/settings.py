"""How a model is trained: one frozen record, checked when it is made."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args

from tamis.errors import UserError
from tamis.vision.preprocess import Fit

Method = Literal["auto", "linear", "finetune"]
Device = Literal["auto", "cpu", "cuda"]
Precision = Literal["auto", "32", "16", "bf16"]
ClassWeights = Literal["balanced", "sqrt", "none"]
Augment = Literal["none", "light", "strong"]

#: Side of the smallest square that networks of five halvings see anything in, in pixels.
LEAST_SIZE = 32


@dataclass(frozen=True, slots=True)
class TrainSettings:
    """The choices of one training.

    Attributes:
        attributes: what to learn; empty for all attributes of the snapshot. Several share one backbone.
        backbone: a timm model, such as tf_efficientnet_lite0, resnet18, efficientnet_b0.
        weights: "auto" takes those of an installed package, else the hub's; "hub", "none", or a file (.safetensors,
            .pt, .pth; a pickle is read as tensors alone).
        method: "linear" fits the heads on the frozen backbone's features, in seconds; "finetune" goes on from there and
            trains all of it; "auto" is described at `tamis.train.targets.choose_method`.
        size: side of the square that the network sees, in pixels; 0 is described at `tamis.train.targets.choose_size`.
        fit: what becomes of another aspect; see `Preprocessing`.
        epochs: passes over the training split when fine-tuning.
        batch_size: samples a step.
        learning_rate: peak rate of the heads; the backbone gets `backbone_rate` times as much when it is pretrained.
        backbone_rate: see above.
        weight_decay: of AdamW (Loshchilov and Hutter 2019).
        frozen_epochs: epochs at the start in which the backbone stays as it is.
        dropout: share of the features that are left out in a training step.
        label_smoothing: share of the target spread over all classes.
        class_weights: weight of a class in the loss, by its inverse frequency ("balanced") or the root of it ("sqrt").
        augment: how much pictures are moved, scaled and lit differently while fine-tuning.
        flip: mirror pictures; None: unless a class names a side (left, right).
        colour_jitter: change saturation and contrast too; None: unless an attribute or its classes name colours.
        patience: epochs without a better validation score after which training stops; 0: never.
        seed: of all that is random.
        device: "auto" takes the graphics card where there is one.
        precision: "auto" is half precision on a graphics card and 32 bits elsewhere.
        time_limit_s: training stops after the epoch in which it is reached; 0: never.

    Raises:
        UserError: a value out of range; the line names the setting.
    """

    attributes: tuple[str, ...] = ()
    backbone: str = "tf_efficientnet_lite0"
    weights: str = "auto"
    method: Method = "auto"
    size: int = 0
    fit: Fit = "letterbox"
    epochs: int = 12
    batch_size: int = 32
    learning_rate: float = 1e-3
    backbone_rate: float = 0.3
    weight_decay: float = 0.02
    frozen_epochs: int = 0
    dropout: float = 0.2
    label_smoothing: float = 0.1
    class_weights: ClassWeights = "sqrt"
    augment: Augment = "light"
    flip: bool | None = None
    colour_jitter: bool | None = None
    patience: int = 5
    seed: int = 0
    device: Device = "auto"
    precision: Precision = "auto"
    time_limit_s: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "attributes", tuple(self.attributes))
        for name, known in _CHOICES.items():
            value = getattr(self, name)
            if value not in known:
                raise UserError(f"training setting {name} = {value!r} is none of {', '.join(known)}")
        for name, (least, most) in _RANGES.items():
            value = getattr(self, name)
            if not least <= value <= most:
                raise UserError(f"training setting {name} = {value} must be from {least:g} to {most:g}")
        if 0 < self.size < LEAST_SIZE:
            raise UserError(f"training setting size = {self.size} must be 0 (automatic) or from {LEAST_SIZE}")

    def to_json(self) -> dict[str, Any]:
        """The settings as plain JSON values."""
        return json.loads(json.dumps(asdict(self)))  # type: ignore[no-any-return]

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> TrainSettings:
        """Read what `to_json` wrote; raises UserError for an unknown setting."""
        known = {field.name for field in fields(cls)}
        if unknown := sorted(set(values) - known):
            raise UserError(f"unknown training setting {unknown[0]!r}; there are: {', '.join(sorted(known))}")
        return cls(**values)


_CHOICES: dict[str, tuple[str, ...]] = {
    "method": get_args(Method),
    "fit": get_args(Fit),
    "device": get_args(Device),
    "precision": get_args(Precision),
    "class_weights": get_args(ClassWeights),
    "augment": get_args(Augment),
}
_RANGES: dict[str, tuple[float, float]] = {
    "size": (0, 1024),
    "epochs": (1, 10_000),
    "batch_size": (2, 4096),
    "learning_rate": (1e-7, 10),
    "backbone_rate": (0, 10),
    "weight_decay": (0, 10),
    "frozen_epochs": (0, 10_000),
    "dropout": (0, 0.9),
    "label_smoothing": (0, 0.5),
    "patience": (0, 10_000),
    "seed": (0, 2**31 - 1),
    "time_limit_s": (0, 1e9),
}
