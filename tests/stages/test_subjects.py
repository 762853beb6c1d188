"""What stages share about the regions that they work on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tamis.blobs import BlobStore
from tamis.engine.stage import Context
from tamis.errors import Unreadable
from tamis.settingsfile import parse_settings
from tamis.stages.subjects import ChosenSubject, read_crop, render_settings
from tamis.vision.render import Rendering, render_part


@pytest.mark.parametrize(("most", "readable"), [(10_000, True), (9_999, False)])
def test_pictures_are_decoded_within_the_limit_of_inspection(tmp_path: Path, most: int, readable: bool) -> None:
    blobs = BlobStore(str(tmp_path / "blobs"))
    data = render_part(np.full((100, 100, 3), 90, np.uint8), (0, 0, 100, 100), Rendering(format="png"))
    subject = ChosenSubject(1, blobs.put(data), 100, 100, 0.0, 0.0, 100.0, 100.0)
    context = Context(parse_settings(f"[inspect]\nmax_pixels = {most}"), tmp_path, blobs)
    if readable:
        assert read_crop(context, subject).shape == (100, 100, 3)
    else:
        with pytest.raises(Unreadable):
            read_crop(context, subject)


@pytest.mark.parametrize(
    ("lines", "shape", "digested"),
    [
        ("", (20, 40), "margin=0.0, square=False"),
        ("square = true", (40, 40), "margin=0.0, square=True"),
        ("aspect = 1", (40, 40), "margin=0.0, square=True"),
        ('aspect = "3:1"', (20, 60), "margin=0.0, aspect=3.0"),
        ('aspect = "1:4"', (100, 40), "margin=0.0, aspect=0.25"),
    ],
)
def test_crops_have_the_aspect_that_is_set(tmp_path: Path, lines: str, shape: tuple[int, int], digested: str) -> None:
    blobs = BlobStore(str(tmp_path / "blobs"))
    data = render_part(np.full((100, 100, 3), 90, np.uint8), (0, 0, 100, 100), Rendering(format="png"))
    subject = ChosenSubject(1, blobs.put(data), 100, 100, 30.0, 40.0, 70.0, 60.0)
    settings = parse_settings(f"[detect]\nmargin = 0\n{lines}")
    assert read_crop(Context(settings, tmp_path, blobs), subject).shape == (*shape, 3)
    assert render_settings(settings) == digested
