"""A project: its folder with the settings, the database and the blob store."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Engine

from tamis.blobs import BlobStore
from tamis.config import Settings, load_settings
from tamis.database import check_reachable, open_engine
from tamis.errors import ProjectError
from tamis.migrations import migrate


@dataclass(frozen=True)
class Project:
    """What a step may use of the project it runs in."""

    folder: Path
    settings: Settings
    engine: Engine
    blobs: BlobStore

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
    settings = load_settings(folder)
    engine = open_engine(settings.project.database, folder)
    with ExitStack() as undone:
        undone.callback(engine.dispose)
        check_reachable(engine)
        migrate(engine)
        project = Project(folder, settings, engine, open_store(settings.project.store, folder))
        undone.pop_all()
    return project


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
