"""What networks see of real photos, against the preprocessing of their authors: resize, averaging, rounding, scale."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
import torch
import torchvision.transforms.functional as tv
from numpy.typing import NDArray
from PIL import Image
from tests.realdata import data_folder

from tamis.models.detr_layouts import DeployedDetr, DetrLogits, DetrRows, RfDetr
from tamis.models.frames import Frames
from tamis.vision.boxes import Placement
from tamis.vision.decode import decode_rgb
from tamis.vision.preprocess import IMAGENET_MEAN, IMAGENET_STD

pytestmark = pytest.mark.filterwarnings("ignore")

#: A frame smaller than the photos, one larger, and one that is both.
FRAMES = [(320, 320), (800, 800), (640, 576)]
#: Resizing in floats differs by the order of its sums, this much of a level of grey; rounding to levels by a half.
ORDER = 0.02


def photos() -> list[NDArray[np.uint8]]:
    files = sorted(data_folder("cars").rglob("*.jpg"))[::150]
    assert len(files) >= 3
    return [decode_rgb(file.read_bytes()) for file in files]


def seen(layout: Any, picture: NDArray[np.uint8], frame_wh: tuple[int, int]) -> NDArray[np.float32]:
    placement = Placement((picture.shape[1], picture.shape[0]), frame_wh, frame_wh, 0, 0)
    assert layout.fit == "stretch"
    return np.asarray(Frames(layout, np.float32, None).fill([picture], [placement])[0]).copy()


@pytest.mark.parametrize("frame_wh", FRAMES)
def test_rf_detr_sees_what_its_authors_show_it(frame_wh: tuple[int, int]) -> None:
    """`rfdetr.RFDETR.predict` of rfdetr 1.11: to a tensor, resize without averaging, normalise."""
    for picture in photos():
        tensor = tv.resize(tv.to_tensor(Image.fromarray(picture)), list(frame_wh[::-1]), antialias=False)
        theirs = tv.normalize(tensor, list(IMAGENET_MEAN), list(IMAGENET_STD)).numpy()
        ours = seen(RfDetr(3, frame_wh), picture, frame_wh)
        levels = np.abs(ours - theirs) * np.reshape(IMAGENET_STD, (3, 1, 1)) * 255
        assert levels.max() < ORDER


@pytest.mark.parametrize("layout", [DeployedDetr(), DetrLogits(5, "logits", (0, 0))])
@pytest.mark.parametrize("frame_wh", FRAMES)
def test_rt_detr_and_d_fine_see_what_their_authors_show_them(layout: Any, frame_wh: tuple[int, int]) -> None:
    """`rtdetrv2_onnxruntime.py` of RT-DETR and `onnx_inf.py` of D-FINE: Pillow's resize, then to a tensor."""
    for picture in photos():
        theirs = tv.to_tensor(tv.resize(Image.fromarray(picture), list(frame_wh[::-1])))
        np.testing.assert_allclose(seen(layout, picture, frame_wh), theirs.numpy(), atol=1e-6)


@pytest.mark.parametrize("frame_wh", FRAMES)
def test_rt_detr_of_ultralytics_sees_what_ultralytics_shows_it(frame_wh: tuple[int, int]) -> None:
    """`LetterBox(scale_fill=True)`: OpenCV's resize of eight bits."""
    for picture in photos():
        theirs = cv2.resize(picture, frame_wh, interpolation=cv2.INTER_LINEAR).transpose(2, 0, 1) / 255
        np.testing.assert_allclose(seen(DetrRows("output0", frame_wh), picture, frame_wh), theirs, atol=1e-6)


def test_half_precision_is_the_same_but_for_its_rounding() -> None:
    picture = photos()[0]
    placement = Placement((picture.shape[1], picture.shape[0]), (320, 320), (320, 320), 0, 0)
    half = Frames(RfDetr(3, (320, 320)), np.float16, None).fill([picture], [placement])[0]
    assert torch.from_numpy(half.copy()).dtype == torch.float16
    np.testing.assert_allclose(half, seen(RfDetr(3, (320, 320)), picture, (320, 320)), atol=2e-3)
