"""Classes as numbers: the tables by which labels become network targets and numeric columns."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tamis.dataset.manifest import Sample
from tamis.labels import Attribute

#: The index of a label that is missing; losses leave it out.
MISSING = -1


def class_table(attribute: Attribute) -> dict[str, int]:
    """Return class -> index, in the order of the attribute's classes, which is that of a network's outputs."""
    return {name: index for index, name in enumerate(attribute.classes)}


def encode(samples: Sequence[Sample], attribute: Attribute) -> NDArray[np.int64]:
    """Return the class indices of the samples, (n,); `MISSING` where nobody labelled.

    Raises:
        ValueError: a label is none of the attribute's classes.
    """
    table = class_table(attribute)
    return np.array([_index(sample, attribute.name, table) for sample in samples], np.int64)


def decode(indices: NDArray[np.int64], attribute: Attribute) -> list[str | None]:
    """Return the classes of indices (n,); None for `MISSING`."""
    return [None if index == MISSING else attribute.classes[index] for index in indices.tolist()]


def _index(sample: Sample, name: str, table: dict[str, int]) -> int:
    value = sample.labels.get(name)
    if value is None:
        return MISSING
    if value not in table:
        raise ValueError(f"sample {sample.id}: {value!r} is no class of {name}: {', '.join(table)}")
    return table[value]
