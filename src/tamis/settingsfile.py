"""Reading `tamis.toml` into the settings; what is wrong with it is told with its line."""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from tamis.config import Settings
from tamis.errors import ProjectError, UserError

FILE_NAME = "tamis.toml"
#: Environment variable that overrides the address of the database.
DATABASE_VARIABLE = "TAMIS_DATABASE"


def load_settings(folder: Path) -> Settings:
    """Read `tamis.toml` of a project folder.

    Raises:
        ProjectError: there is no project, or its settings are wrong; the message names the line and the key.
    """
    path = folder / FILE_NAME
    try:
        text = path.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError) as error:
        where = "here" if str(folder) == "." else f"in {folder}"
        raise ProjectError(f"no project {where}: {path} is missing; `tamis init {folder}` makes one") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ProjectError(f"{path} cannot be read: {error}") from error
    return parse_settings(text, str(path))


def parse_settings(text: str, name: str = FILE_NAME) -> Settings:
    """Read settings from the text of a TOML document; errors name `name`, the line and the key."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ProjectError(f"{name}: {error}") from error
    if address := os.environ.get(DATABASE_VARIABLE):
        project = document.setdefault("project", {})
        if isinstance(project, dict):
            project["database"] = address
    try:
        settings = Settings.model_validate(document)
        settings.attributes  # noqa: B018 - declarations are checked as a whole
    except ValidationError as error:
        raise ProjectError(_explain(error, document, text, name)) from error
    except UserError as error:
        named = re.match(r"attribute ([^:]+): ", str(error))
        where = f"{name}, line {_line_of(['attribute', named[1]], text)}" if named else name
        raise ProjectError(f"{where}: {error}") from error
    return settings


def _explain(error: ValidationError, document: Mapping[str, Any], text: str, name: str) -> str:
    first = error.errors()[0]
    path = [str(part) for part in first["loc"]]
    where = f"{name}, line {_line_of(path, text)}" if path else name
    key = ".".join(path)
    if first["type"] == "extra_forbidden":
        known = list(_known_keys(path[:-1]))
        close = difflib.get_close_matches(path[-1], known, n=1)
        meant = f"did you mean {close[0]!r}?" if close else f"known here: {', '.join(known)}"
        return f"{where}: unknown key {key!r}; {meant}"
    given = document
    for part in path:
        given = given.get(part, {}) if isinstance(given, Mapping) else given
    shown = "" if first["type"] == "missing" else f" (given: {given!r})"
    return f"{where}: {key}: {first['msg'][0].lower()}{first['msg'][1:]}{shown}"


def _known_keys(path: list[str]) -> Iterator[str]:
    model: type[BaseModel] = Settings
    for part in path:
        field = model.model_fields.get(part)
        if field is None:
            continue  # the user's own name of a source or attribute
        annotation = field.annotation
        arguments = getattr(annotation, "__args__", ())
        inner = arguments[-1] if arguments else annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            model = inner
    yield from model.model_fields


def _line_of(path: list[str], text: str) -> int:
    """Line of a key, counted from 1: the deepest part of the path that the text shows."""
    lines = text.splitlines()
    best, header = 1, ""
    for number, line in enumerate(lines, 1):
        if match := re.match(r"\s*\[+\s*([^\]]+?)\s*\]+", line):
            header = re.sub(r"[\s\"']", "", match[1])
            if ".".join(path).startswith(header) and path[0] == header.split(".")[0]:
                best = number
        elif match := re.match(r"\s*([\w\"'.-]+)\s*=", line):
            full = ".".join(part for part in (header, re.sub(r"[\"']", "", match[1])) if part)
            if full == ".".join(path) or ".".join(path).startswith(f"{full}."):
                return number
    return best
