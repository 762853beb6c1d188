"""What stages share about the regions that they work on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tamis.blobs import BlobStore
from tamis.config import parse_settings
from tamis.engine.stage import Context
from tamis.errors import Unreadable
from tamis.stages.subjects import ChosenSubject, read_crop
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
