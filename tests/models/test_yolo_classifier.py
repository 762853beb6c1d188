"""A `-cls` model of ultralytics, randomly initialised and exported on the spot, answers as ultralytics' own predict."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.models.agreement import offline_ultralytics

from tamis.errors import UserError
from tamis.models.yolo_classifier import YoloClassifier, centre_square

pytest.importorskip("ultralytics", reason="needs the extra yolo")
pytestmark = pytest.mark.filterwarnings("ignore")

SIDE = 64
SIZES = ((90, 64), (64, 64), (200, 131), (75, 211), (40, 30))


def picture(width: int, height: int) -> NDArray[np.uint8]:
    """Large soft blots, so that where it is cut shows in the answer."""
    generator = np.random.default_rng(width * 1000 + height)
    coarse = generator.integers(0, 256, (5, 6, 3), np.uint8)
    rows, columns = np.arange(height) * 5 // height, np.arange(width) * 6 // width
    return coarse[rows][:, columns]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cls")
    ultralytics = offline_ultralytics()
    import torch
    from ultralytics.nn.tasks import ClassificationModel

    torch.manual_seed(3)
    model = ultralytics.YOLO("yolov8n-cls.yaml")
    model.model = ClassificationModel("yolov8n-cls.yaml", nc=4, verbose=False)  # type: ignore[no-untyped-call]
    model.model.task = "classify"
    model.model.names = {0: "front", 1: "rear", 2: "side", 3: "interior"}
    for module in model.model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0
    model.model.train()
    pictures = [centre_square(picture(*size), SIDE) for size in SIZES]
    with torch.no_grad():
        model.model(torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float() / 255)
    model.model.eval()
    model.model.model[-1].linear.weight.data *= 6  # answers that differ from picture to picture
    model.ckpt = {"train_args": {"imgsz": SIDE, "task": "classify"}}  # as a training leaves it
    model.save(folder / "views-cls.pt")
    return folder / "views-cls.pt"


def ultralytics_says(path: Path, pictures: list[NDArray[np.uint8]]) -> NDArray[np.float32]:
    model = offline_ultralytics().YOLO(str(path), task="classify")
    results = [model.predict(one[..., ::-1].copy(), imgsz=SIDE, verbose=False)[0] for one in pictures]
    return np.stack([result.probs.data.cpu().numpy() for result in results])


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["onnx", "pt"])
def test_probabilities_are_those_of_ultralytics(
    checkpoint: Path, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    yolo = offline_ultralytics().YOLO
    monkeypatch.chdir(tmp_path)
    pictures = [picture(*size) for size in SIZES]
    expected = ultralytics_says(checkpoint, pictures)
    assert np.ptp(expected, axis=0).max() > 0.3, "a network that says the same of everything would prove nothing"
    path = (
        checkpoint
        if kind == "pt"
        else Path(yolo(str(checkpoint)).export(format="onnx", imgsz=SIDE, simplify=False, verbose=False))
    )
    model = YoloClassifier(path, "view", threads=1, trusted=True)
    assert model.attributes["view"].classes == ("front", "rear", "side", "interior")
    found = model.predict(pictures)["view"]
    np.testing.assert_allclose(found, expected, atol=0.01)
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-5)
    assert model.predict([])["view"].shape == (0, 4)

    whole = YoloClassifier(path, "view", fit="letterbox", threads=1, trusted=True)
    assert whole.digest != model.digest
    wide, ends = picture(200, 64), picture(200, 64)
    ends[:, :40] = 255
    np.testing.assert_allclose(model.predict([wide])["view"], model.predict([ends])["view"], atol=1e-6)
    assert np.abs(whole.predict([wide])["view"] - whole.predict([ends])["view"]).max() > 1e-4


@pytest.mark.slow
def test_what_is_no_trusted_classifier_is_refused(checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"classify\.trust_pickle"):
        YoloClassifier(checkpoint, "view")
    with pytest.raises(UserError, match="not found"):
        YoloClassifier(tmp_path / "none.onnx", "view")
    with pytest.raises(UserError, match=r"classify\.attribute"):
        YoloClassifier(checkpoint, "", trusted=True)


@pytest.mark.parametrize("size", [(97, 64), (64, 97), (33, 31), (64, 64)])
def test_the_middle_square_is_torchvisions(size: tuple[int, int]) -> None:
    transforms = pytest.importorskip("torchvision.transforms")
    from PIL import Image

    image = picture(*size)
    expected = transforms.Compose([transforms.Resize(48), transforms.CenterCrop(48)])(Image.fromarray(image))
    np.testing.assert_array_equal(centre_square(image, 48), np.asarray(expected))
