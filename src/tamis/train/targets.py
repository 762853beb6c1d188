"""From a snapshot to class indices, and every reason why it cannot be trained on, found before anything is computed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tamis.dataset.manifest import SPLITS, Sample, Snapshot, Split
from tamis.errors import UserError
from tamis.labels import Attribute
from tamis.train.settings import ClassWeights, TrainSettings

#: Stands for "nobody labelled it" among class indices; the losses leave it out.
MISSING = -1

#: Most samples, and the side in pixels at which so many are seen; the crops of 1,000 samples at 512 are 790 MB.
_LARGE_SIZES = ((1_000, 512), (2_000, 384), (3_000, 320))

#: Labelled samples from which "auto" trains the whole network, where a graphics card makes that a matter of minutes.
ENOUGH = 1_000


@dataclass(frozen=True)
class Targets:
    """What is learned: the attributes, the samples and their class indices.

    `indices` is int64 (samples, attributes), MISSING where there is no label; `groups` is int64 (samples,) from 0.
    """

    attributes: tuple[Attribute, ...]
    samples: tuple[Sample, ...]
    indices: NDArray[np.int64]
    groups: NDArray[np.int64]

    def rows(self, split: Split) -> NDArray[np.int64]:
        """Positions of a split's samples that have at least one of the labels, in their stored order."""
        wanted = np.array([sample.split == split for sample in self.samples], bool)
        return np.flatnonzero(wanted & (self.indices != MISSING).any(axis=1))

    def counts(self, split: Split, attribute: int) -> NDArray[np.int64]:
        """Samples of each class, int64 (classes,), of the attribute at that position."""
        column = self.indices[self.rows(split), attribute]
        return np.bincount(column[column != MISSING], minlength=len(self.attributes[attribute].classes)).astype(
            np.int64
        )


def read_targets(snapshot: Snapshot, names: tuple[str, ...]) -> Targets:
    """Return the class indices of the attributes (all of them where `names` is empty).

    Raises:
        UserError: the snapshot holds no samples, an attribute or a class is unknown.
    """
    if not snapshot.samples:
        raise UserError(f"snapshot {snapshot.name} holds no samples; label some, then make a new snapshot")
    attributes = tuple(snapshot.attribute(name) for name in names) if names else snapshot.attributes
    if not attributes:
        raise UserError(f"snapshot {snapshot.name} has no attributes to learn; declare some in the project's settings")
    indices = np.full((len(snapshot.samples), len(attributes)), MISSING, np.int64)
    for column, attribute in enumerate(attributes):
        places = {label: place for place, label in enumerate(attribute.classes)}
        for row, sample in enumerate(snapshot.samples):
            label = sample.labels.get(attribute.name)
            if label is not None:
                indices[row, column] = _place(places, label, attribute, sample)
    numbers: dict[str, int] = {}
    groups = [numbers.setdefault(sample.group, len(numbers)) for sample in snapshot.samples]
    return Targets(attributes, snapshot.samples, indices, np.array(groups, np.int64))


def check_trainable(targets: Targets, name: str) -> None:
    """Raise UserError where the snapshot `name` cannot teach its attributes.

    Found are groups in two splits (the score would be a memory test), empty splits, attributes without labels in the
    training or validation split, and attributes of which the training split shows one class alone.
    """
    _check_groups(targets, name)
    for split in SPLITS[:2]:
        if not len(targets.rows(split)):
            learned = ", ".join(attribute.name for attribute in targets.attributes)
            raise UserError(f"snapshot {name}: its {split} split has no sample labelled with {learned}")
    for column, attribute in enumerate(targets.attributes):
        if not len(targets.rows("train")) or not targets.counts("train", column).any():
            raise UserError(f"snapshot {name}: attribute {attribute.name} has no labels in the train split")
        if (targets.counts("train", column) > 0).sum() < 2:
            only = attribute.classes[int(targets.counts("train", column).argmax())]
            raise UserError(
                f"snapshot {name}: attribute {attribute.name} has one class alone in its train split ({only}); "
                "label samples of another class, or leave the attribute out"
            )
        if not targets.counts("validation", column).any():
            raise UserError(
                f"snapshot {name}: attribute {attribute.name} has no labels in the validation split; label more samples"
            )


def class_weights(counts: NDArray[np.int64], kind: ClassWeights) -> NDArray[np.float32]:
    """Return the weight of each class in the loss, float32 (classes,), of mean 1 over the samples."""
    if kind == "none":
        return np.ones(len(counts), np.float32)
    power = 1.0 if kind == "balanced" else 0.5
    weights = np.where(counts > 0, np.maximum(counts, 1).astype(np.float64) ** -power, 0.0)
    weights *= counts.sum() / (weights * counts).sum()
    return np.where(counts > 0, weights, 1.0).astype(np.float32)


def may_flip(attributes: tuple[Attribute, ...], setting: bool | None) -> bool:
    """Whether pictures may be mirrored: as set, else unless a class names a side."""
    if setting is not None:
        return setting
    return not any(attribute.names_sides for attribute in attributes)


def may_jitter_colour(attributes: tuple[Attribute, ...], setting: bool | None) -> bool:
    """Whether colours may be changed: as set, else unless an attribute or its classes name colours."""
    if setting is not None:
        return setting
    return not any(attribute.names_colours for attribute in attributes)


def choose_method(
    settings: TrainSettings, samples: int, *, pretrained: bool, on_card: bool
) -> Literal["linear", "finetune"]:
    """Return how the network is trained.

    "auto" is "linear" for a pretrained backbone where there are fewer than `ENOUGH` labelled samples of the training
    and validation splits, or no graphics card: it takes seconds, resolution is worth more than further training, and
    no label has to be kept back to choose an epoch by. It is "finetune" else. Fine-tuning a pretrained network starts
    from the linear fit and keeps the best epoch by the validation split, the start included, so that it costs time and
    hardly ever quality (Kumar et al. 2022, "Fine-Tuning can Distort Pretrained Features").

    Raises:
        UserError: "linear" without pretrained weights, whose features mean nothing.
    """
    if settings.method == "linear" and not pretrained:
        raise UserError(
            'method "linear" needs a pretrained backbone: set weights to "auto" or a file, or use "finetune"'
        )
    if settings.method != "auto":
        return settings.method
    return "linear" if pretrained and (samples < ENOUGH or not on_card) else "finetune"


def choose_size(settings: TrainSettings, samples: int) -> int:
    """Return the side of the network's input, in pixels, for a settled method.

    Where it is left to choose and only heads are fitted, few samples are seen large: each costs one pass, and the
    resolution tells a car's front from its rear better than anything else does. The crops of a snapshot, which are
    kept uncompressed, stay below a gigabyte either way. All else is seen at 224 pixels, as pretraining was.
    """
    if settings.size:
        return settings.size
    large = _LARGE_SIZES if settings.method == "linear" else ()
    return next((size for most, size in large if samples <= most), 224)


def _place(places: Mapping[str, int], label: str, attribute: Attribute, sample: Sample) -> int:
    if label not in places:
        known = ", ".join(attribute.classes)
        raise UserError(f"sample {sample.id}: {attribute.name} = {label!r} is none of its classes ({known})")
    return places[label]


def _check_groups(targets: Targets, name: str) -> None:
    splits: dict[str, str] = {}
    for sample in targets.samples:
        known = splits.setdefault(sample.group, sample.split)
        if known != sample.split:
            raise UserError(
                f"snapshot {name}: group {sample.group} is in the splits {known} and {sample.split}; "
                "make the snapshot again, its scores would mislead"
            )
