"""Class names of the COCO data set, for models that were exported without names."""

from __future__ import annotations

from typing import Final

#: The 80 classes in the order of networks that number them without gaps.
COCO_NAMES: Final = (
    "person", "bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat", "traffic light",
    "fire hydrant", "stop sign", "parking meter", "bench", "bird", "cat", "dog", "horse", "sheep", "cow",
    "elephant", "bear", "zebra", "giraffe", "backpack", "umbrella", "handbag", "tie", "suitcase", "frisbee", "skis",
    "snowboard", "sports ball", "kite", "baseball bat", "baseball glove", "skateboard", "surfboard",
    "tennis racket", "bottle", "wine glass", "cup", "fork", "knife", "spoon", "bowl", "banana", "apple", "sandwich",
    "orange", "broccoli", "carrot", "hot dog", "pizza", "donut", "cake", "chair", "couch", "potted plant", "bed",
    "dining table", "toilet", "tv", "laptop", "mouse", "remote", "keyboard", "cell phone", "microwave", "oven",
    "toaster", "sink", "refrigerator", "book", "clock", "vase", "scissors", "teddy bear", "hair drier",
    "toothbrush",
)  # fmt: skip
#: Category numbers up to 90 that the data set leaves out.
_GAPS: Final = frozenset((0, 12, 26, 29, 30, 45, 66, 68, 69, 71, 83))


def coco_names(count: int) -> tuple[str, ...] | None:
    """Return the names for an output of so many classes: 80, or 91 for the data set's own category numbers."""
    if count == len(COCO_NAMES):
        return COCO_NAMES
    if count == 91:
        names = iter(COCO_NAMES)
        return tuple("unused" if number in _GAPS else next(names) for number in range(91))
    return None
