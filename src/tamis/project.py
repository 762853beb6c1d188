"""A project: its folder with the settings, the database and the blob store."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Engine

from tamis.blobs import BlobStore
from tamis.config import UNREACHABLE, Settings
from tamis.database import check_reachable, open_engine
from tamis.errors import ProjectError, UserError
from tamis.migrations import migrate
from tamis.settingsfile import load_settings
from tamis.thumbnails import Thumbnails

if TYPE_CHECKING:
    from tamis.vision.triage import Triage


@dataclass(frozen=True)
class Project:
    """What a step may use of the project it runs in."""

    folder: Path
    settings: Settings
    engine: Engine
    blobs: BlobStore

    @property
    def thumbnails(self) -> Thumbnails:
        """Where small pictures of the images are kept."""
        return Thumbnails.of(self.folder)

    def path(self, *parts: str) -> Path:
        """A path below the project's folder."""
        return self.folder.joinpath(*parts)

    def close(self) -> None:
        """Give back the database's connections."""
        self.engine.dispose()


def open_project(folder: Path) -> Project:
    """Open the project in a folder and bring its database to the newest version.

    Raises:
        ProjectError: no project, wrong settings, or a database or store that cannot be used; one clear line.
    """
    folder = folder.absolute()
    settings = with_thresholds(load_settings(folder), folder)
    engine = open_engine(settings.project.database, folder)
    with ExitStack() as undone:
        undone.callback(engine.dispose)
        check_reachable(engine)
        migrate(engine)
        project = Project(folder, settings, engine, open_store(settings.project.store, folder))
        undone.pop_all()
    return project


def filter_triage(settings: Settings, folder: Path) -> Triage | None:
    """Return the thresholds of the filter for its wanted precision; None where no precision is set, or no filter.

    Raises:
        UserError: there is no such model, it does not answer the attribute, or it kept no held-out answers.
    """
    asked = settings.classify
    if not (asked.precision and asked.model and asked.attribute):
        return None
    from tamis.vision.triage import read_held_out, triage  # noqa: PLC0415 - numpy, for those who ask for it

    if (folder / asked.model).is_file():
        raise UserError(
            f"classify.precision: {asked.model} keeps no answers to held-out labels, which thresholds are made of: "
            "set keep_from and reject_below instead, or train a model here"
        )
    answers = read_held_out(folder / asked.model)
    if asked.attribute not in answers:
        known = ", ".join(answers)
        raise UserError(f"classify.attribute: model {asked.model} does not answer {asked.attribute}; it knows {known}")
    return triage(answers[asked.attribute].scores(asked.keep), asked.precision, surely=asked.surely)


def with_thresholds(settings: Settings, folder: Path) -> Settings:
    """Return settings whose filter has the thresholds that its wanted precision asks for.

    As long as there is no model to tell them nothing is kept or rejected by it; the stage says what is missing.
    """
    try:
        found = filter_triage(settings, folder)
    except UserError:
        thresholds = {"keep_from": UNREACHABLE, "reject_below": 0.0}
    else:
        if found is None:
            return settings
        thresholds = {"keep_from": found.keep_from, "reject_below": found.reject_below}
    classify = settings.classify.model_copy(update=thresholds)
    return settings.model_copy(update={"classify": classify})


def open_store(address: str, folder: Path) -> BlobStore:
    """Open the blob store at a URL, or at a path that counts from `folder`."""
    if "://" in address:
        return BlobStore(address)
    path = folder / address
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ProjectError(f"project.store: the folder {path} cannot be made: {error.strerror}") from error
    return BlobStore(path)
