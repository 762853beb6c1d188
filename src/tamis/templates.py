"""New projects: a commented `tamis.toml`, rules to begin with, and sources added from the command line."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path
from urllib.parse import urlsplit

from tamis.crawl.urls import BadUrl, PrivateAddress, check_literal, request_url
from tamis.errors import ProjectError, UserError
from tamis.settingsfile import FILE_NAME, load_settings, parse_settings

_EMPTY = """\
# A tamis project. `docs/settings.md` lists every setting; what is not set here has its default.

[project]
name = "{name}"

# Where the listings are: a site, a file of page URLs, or a folder of pictures.
# [source.shop]
# address = "https://shop.example/cars"

# What is to be labelled. Digits choose the classes in this order.
# [attribute.view]
# classes = ["front", "side", "rear", "other"]
"""


def templates() -> dict[str, str]:
    """Return name -> text of the starter projects that tamis brings."""
    folder = files("tamis.recipes") / "templates"
    found = {Path(entry.name).stem: entry for entry in folder.iterdir() if entry.name.endswith(".toml")}
    texts = {name: entry.read_text(encoding="utf-8") for name, entry in sorted(found.items()) if "rules" not in name}
    return {"empty": _EMPTY} | texts


def create_project(folder: Path, template: str) -> Path:
    """Write a new project's `tamis.toml` (and `rules.toml`, where the template has one); return its path.

    Raises:
        UserError: the folder holds a project already, or there is no such template.
    """
    known = templates()
    if template not in known:
        raise UserError(f"unknown template {template!r}; there are: {', '.join(known)}")
    path = folder / FILE_NAME
    if path.exists():
        raise UserError(f"{path} exists already: edit it, or choose another folder")
    name = re.sub(r"[^\w-]+", "-", folder.absolute().name).strip("-")[:60] or "project"
    text = known[template].replace("{name}", name)
    parse_settings(text, str(path))
    folder.mkdir(parents=True, exist_ok=True)
    rules = files("tamis.recipes") / "templates" / f"{template}.rules.toml"
    if rules.is_file():
        (folder / "rules.toml").write_text(rules.read_text(encoding="utf-8"), encoding="utf-8")
    path.write_text(text, encoding="utf-8")
    return path


def add_source(folder: Path, url: str) -> str:
    """Add a site to the project's `tamis.toml`, unless it is there, and return the source's name.

    Raises:
        UserError: the URL is none, or leads to this machine or a private network; nothing is written.
        ProjectError: no project here.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UserError(f"{url!r} is no URL of a site: it begins with http:// or https://")
    settings = load_settings(folder)
    for name, source in settings.source.items():
        if source.address == url:
            return name
    try:
        check_literal(request_url(url), allow_private=settings.crawl.allow_private)
    except (BadUrl, PrivateAddress) as error:
        raise UserError(f"{url!r} cannot be crawled: {error.reason}") from error
    stem = re.sub(r"[^a-z0-9]+", "-", parts.hostname.removeprefix("www.").lower()).strip("-") or "site"
    name, number = stem, 2
    while name in settings.source:
        name, number = f"{stem}-{number}", number + 1
    path = folder / FILE_NAME
    escaped = url.replace("\\", "%5C").replace('"', "%22")
    text = path.read_text(encoding="utf-8").rstrip() + f'\n\n[source.{name}]\naddress = "{escaped}"\n'
    try:
        parse_settings(text, str(path))
    except ProjectError as error:
        raise UserError(f"{url!r} cannot be added to {path}: {error}") from error
    path.write_text(text, encoding="utf-8")
    return name
