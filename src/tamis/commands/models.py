"""Commands on models: train, evaluate, predict."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from tamis.commands.session import BEGINS_ANEW, Session, project_option
from tamis.display import table

#: What the next run of a training that was stopped does.
_GOES_ON = "the same command with --resume goes on from what is finished"


@click.command()
@click.argument("snapshot", required=False)
@click.option("--attribute", "attributes", multiple=True, help="Learn only these; may be given again.")
@click.option("--name", help="Name of the model.  [default: ATTRIBUTE-N or PROJECT-N]")
@click.option("--set", "overrides", multiple=True, metavar="NAME=VALUE", help="Override a setting of [train].")
@click.option("--resume", is_flag=True, help="Go on with a training that was stopped.")
@project_option
def train(
    session: Session,
    snapshot: str | None,
    attributes: tuple[str, ...],
    name: str | None,
    overrides: tuple[str, ...],
    resume: bool,
) -> None:
    """Train a model on a snapshot (the newest, if none is named): one attribute, or many at once.

    The model's folder holds safetensors, an ONNX export, its classes and preprocessing, and a report.
    """
    from tamis.modelling import parse_overrides, snapshot_folder, train_model, train_settings  # noqa: PLC0415

    project = session.project
    chosen = train_settings(project, {"attributes": attributes, **parse_overrides(overrides)})
    folder, card = train_model(
        project,
        snapshot_folder(project, snapshot),
        name,
        chosen,
        progress=session.steps("train", _GOES_ON),
        resume=resume,
    )
    session.finish(
        {"model": folder.name, "folder": str(folder), "metrics": card.metrics},
        f"model {folder.name} in {folder}; its report: {folder / 'report.html'}",
        "",
        *metric_lines(card.metrics),
    )


def metric_lines(metrics: Mapping[str, Any]) -> list[str]:
    """A table of the scores of each attribute, with their 95 % intervals."""
    from tamis.modelling import metric_rows  # noqa: PLC0415 - loaded on use

    return table(("attribute", "samples", "accuracy", "", "macro F1", "", "majority"), metric_rows(metrics))


def _own_model_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """What a `-cls` model does not say of itself."""
    for option in (
        click.option("--trust-pickle", is_flag=True, help="Load a .pt file, which can run code."),
        click.option(
            "--fit",
            type=click.Choice(["trained", "letterbox", "stretch"]),
            help="How a -cls model sees a picture: its middle square, or the whole of it.",
        ),
        click.option("--attribute", help="What the classes of a -cls model are of."),
    ):
        command = option(command)
    return command


def _own_model(attribute: str | None, fit: str | None, trust_pickle: bool) -> dict[str, Any]:
    """The settings of `[classify]` that were given as options."""
    given = {"attribute": attribute, "fit": fit, "trust_pickle": trust_pickle or None}
    return {name: value for name, value in given.items() if value is not None}


@click.command()
@click.argument("model")
@click.argument("snapshot", required=False)
@click.option(
    "--split",
    type=click.Choice(["train", "validation", "test"]),
    default="test",
    help="Which samples.  [default: test]",
)
@_own_model_options
@project_option
def evaluate(
    session: Session,
    model: str,
    snapshot: str | None,
    split: str,
    attribute: str | None,
    fit: str | None,
    trust_pickle: bool,
) -> None:
    """Judge a model on a split of a snapshot (the newest, if none is named).

    Also told are the thresholds that its filter would have at several wanted precisions, and what the labels support.
    MODEL may be a YOLO -cls model (.onnx, .pt) as well; what is not given stands in [classify].
    """
    from tamis.modelling import evaluate_model, evaluate_thresholds  # noqa: PLC0415 - loaded on use

    asked = _own_model(attribute, fit, trust_pickle)
    metrics = evaluate_model(session.project, model, snapshot, split, asked)
    thresholds = evaluate_thresholds(session.project, model)
    if metrics["seen"]:
        session.note(f"the model has learned from the {split} split: these scores flatter it")
    session.finish(
        {"model": model, "split": split, "metrics": metrics, "thresholds": thresholds},
        *metric_lines(metrics),
        *threshold_lines(thresholds),
    )


def threshold_lines(thresholds: Sequence[Mapping[str, Any]]) -> list[str]:
    """A table of thresholds by wanted precision, with a line on what the labels support."""
    from tamis.modelling import threshold_rows  # noqa: PLC0415 - loaded on use

    if not thresholds:
        return []
    head = ("filter on", "wanted", "keep from", "reject below", "estimated", "supported", "of the wanted kept", "lost")
    notes = [f"{one['attribute']} at {one['wanted']:g}: {one['told']}" for one in thresholds if not one["supported"]]
    return ["", *table(head, threshold_rows(thresholds)), "", *notes]


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False), required=False)
@click.option(
    "--model",
    required=True,
    metavar="MODEL",
    help="A model of the project, a model's folder, or a YOLO -cls model (.onnx, .pt).",
)
@_own_model_options
@project_option
def predict(
    session: Session, folder: Path | None, model: str, attribute: str | None, fit: str | None, trust_pickle: bool
) -> int:
    """Label pictures with a model: those of FOLDER, or all regions of the project.

    With FOLDER it works from the model alone, outside a project and without torch (a .pt file apart). In a project,
    what is not given of a -cls model stands in [classify].
    """
    asked = _own_model(attribute, fit, trust_pickle)
    if folder is not None:
        return _predict_folder(session, folder, model, asked)
    from tamis.modelling import predict_regions  # noqa: PLC0415 - loaded on use

    report = predict_regions(session.project, model, asked, progress=session.progress("predict"), stop=session.stop)
    session.finish(
        {"rows": report.rows, "failed": report.failed, "seconds": report.seconds},
        f"{report.rows} regions labelled by {model}, {report.failed} failed",
    )
    return 1 if report.failed else 0


def _predict_folder(session: Session, folder: Path, model: str, asked: Mapping[str, Any]) -> int:
    from tamis.models.classify_folder import classify_folder  # noqa: PLC0415 - loaded on use
    from tamis.models.files import is_classifier_file  # noqa: PLC0415
    from tamis.models.registry import ClassifierOptions  # noqa: PLC0415

    path = Path(model)
    if not (path / "model.json").is_file() and not (is_classifier_file(path) and path.is_file()):
        from tamis.modelling import model_path  # noqa: PLC0415

        path = model_path(session.project, model)
    options = ClassifierOptions(
        asked.get("attribute", "class"), asked.get("fit", "trained"), asked.get("trust_pickle", False)
    )
    document = classify_folder(path, folder, options, progress=session.steps("predict", BEGINS_ANEW))
    rows = [
        (row["file"], name, answer["value"], f"{answer['confidence']:.3f}")
        for row in document["pictures"]
        for name, answer in row["labels"].items()
    ]
    lines = table(("file", "attribute", "value", "confidence"), rows)
    lines += [f"unreadable: {row['file']}: {row['reason']}" for row in document["unreadable"]]
    session.finish(document, *lines)
    return 0
