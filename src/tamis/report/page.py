"""Rendering of a report into one HTML file: templates with all text escaped, styles and pictures inside."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from numpy.typing import NDArray
from PIL import Image

from tamis.dataset.manifest import Sample, Snapshot
from tamis.errors import UserError
from tamis.train.crops import load_crop

#: Longest side of an inlined picture in pixels, twice its size on the page for dense screens.
_THUMBNAIL = 240
_QUALITY = 78


def write_page(template: str, values: Mapping[str, Any], path: Path) -> Path:
    """Render a template of this package with its values into `path`, in one step, and return the path.

    Raises:
        UserError: the file cannot be written.
    """
    text = _environment().get_template(template).render(values)
    temporary = path.with_name(f".{path.name}.unfinished")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}") from error
    return path


def thumbnail(snapshot: Snapshot, sample: Sample) -> str:
    """Return the sample's crop as a small JPEG in a data URL; raises UserError where the image is missing."""
    return data_url(load_crop(snapshot, sample))


def data_url(image_rgb: NDArray[np.uint8]) -> str:
    """Return a picture, uint8 (h, w, 3), as a small JPEG in a data URL."""
    picture = Image.fromarray(image_rgb)
    picture.thumbnail((_THUMBNAIL, _THUMBNAIL))
    stream = BytesIO()
    picture.save(stream, "JPEG", quality=_QUALITY)
    return jpeg_url(stream.getvalue())


def jpeg_url(data: bytes) -> str:
    """Return the bytes of a JPEG as a data URL."""
    return f"data:image/jpeg;base64,{b64encode(data).decode()}"


def web_address(url: str) -> str:
    """Return the URL where it is safe as a link, else nothing: pages name their own, and `javascript:` is one too."""
    try:
        return url if urlsplit(url).scheme in ("http", "https") else ""
    except ValueError:
        return ""


def percent(value: float) -> str:
    """A share as people read it: 93.4 %."""
    return f"{100 * value:.1f}\u202f%"


def whole(value: float) -> str:
    """A count with thin spaces between thousands."""
    return f"{round(value):,}".replace(",", "\u202f")


def duration(seconds: float) -> str:
    """Seconds as people read them."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("tamis.report"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    environment.filters |= {"percent": percent, "whole": whole, "duration": duration, "web": web_address}
    style = (files("tamis.report") / "templates" / "report.css").read_text(encoding="utf-8")
    environment.globals["style"] = Markup(style)  # noqa: S704 - a file of this package
    return environment
