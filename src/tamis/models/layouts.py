"""What the outputs of exported detectors mean: each layout recognises its shapes and decodes them.

A detector's ONNX file doesn't say what its numbers are. `LAYOUTS` is asked from the most telling to the most general;
what none recognises is refused, because a wrong reading gives boxes that look plausible and are not.
"""

from __future__ import annotations

from pathlib import Path

from tamis.errors import UserError
from tamis.models.coco import coco_names
from tamis.models.detr_layouts import DeployedDetr, DetrClasses, DetrLogits, DetrRows, RfDetr
from tamis.models.layout import Layout, Signature
from tamis.models.yolo_layouts import YoloAnchors, YoloGrid, YoloRows

LAYOUTS: tuple[type[Layout], ...] = (
    DeployedDetr,
    RfDetr,
    DetrLogits,
    YoloGrid,
    YoloAnchors,
    YoloRows,
    DetrRows,
    DetrClasses,
)
_TASKS = ("detect", "segment")


def layout_of(signature: Signature, task: str, path: Path) -> Layout:
    """Return the first layout that recognises the outputs and has as many classes as there are names, if one has.

    Args:
        signature: what is known of the model.
        task: what the model's metadata say that it is made for.
        path: names the model in errors.

    Raises:
        UserError: no layout recognises the outputs, or the task is neither detection nor segmentation.
    """
    if task not in _TASKS:
        raise UserError(f"model {path} is made for the task {task}, not for {' or '.join(_TASKS)}")
    names = signature.names
    found = [layout for kind in LAYOUTS if (layout := kind.recognise(signature)) is not None]
    fitting = [layout for layout in found if names is None or layout.class_count in (None, len(names))]
    if found:
        return (fitting or found)[0]
    shapes = ", ".join(f"{name} {'x'.join(map(str, value.shape))}" for name, value in signature.outputs.items())
    known = ", ".join(kind.title for kind in LAYOUTS)
    raise UserError(f"model {path} has outputs ({shapes}) of no layout that tamis reads: {known}")


def class_names(layout: Layout, names: tuple[str, ...] | None, path: Path) -> tuple[str, ...]:
    """Return the names of a layout's classes: those given, else COCO's where the number fits, else numbers.

    Raises:
        UserError: the layout tells another number of classes apart than there are names.
    """
    count = layout.class_count
    if names is None:
        return coco_names(count or 80) or tuple(f"class {index}" for index in range(count or 0))
    if count is not None and count != len(names):
        raise UserError(f"model {path} has {count} classes in its output ({layout.title}) but {len(names)} names")
    return names
