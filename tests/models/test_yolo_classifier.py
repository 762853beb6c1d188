"""A `-cls` model of ultralytics, randomly initialised and exported on the spot, answers as ultralytics' own predict."""

from __future__ import annotations

import json
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from click.testing import CliRunner, Result
from numpy.typing import NDArray
from PIL import Image
from tests.models.agreement import offline_ultralytics

from tamis import schema
from tamis.blobs import BlobStore
from tamis.cli import cli
from tamis.database import reading, writing
from tamis.dataset.manifest import Sample, Snapshot
from tamis.errors import UserError
from tamis.labels import Attribute
from tamis.models.yolo_classifier import YoloClassifier, centre_square
from tamis.pipeline import run_pipeline
from tamis.project import open_project

pytest.importorskip("ultralytics", reason="needs the extra yolo")
pytestmark = pytest.mark.filterwarnings("ignore")

SIDE = 64
CLASSES = ("front", "rear", "side", "interior")
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


def exported(checkpoint: Path) -> Path:
    yolo = offline_ultralytics().YOLO
    return Path(yolo(str(checkpoint)).export(format="onnx", imgsz=SIDE, simplify=False, verbose=False))


def ultralytics_says(path: Path, pictures: list[NDArray[np.uint8]]) -> NDArray[np.float32]:
    model = offline_ultralytics().YOLO(str(path), task="classify")
    results = [model.predict(one[..., ::-1].copy(), imgsz=SIDE, verbose=False)[0] for one in pictures]
    return np.stack([result.probs.data.cpu().numpy() for result in results])


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["onnx", "pt"])
def test_probabilities_are_those_of_ultralytics(
    checkpoint: Path, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    pictures = [picture(*size) for size in SIZES]
    expected = ultralytics_says(checkpoint, pictures)
    assert np.ptp(expected, axis=0).max() > 0.3, "a network that says the same of everything would prove nothing"
    path = checkpoint if kind == "pt" else exported(checkpoint)
    model = YoloClassifier(path, "view", threads=1, trusted=True)
    assert model.attributes["view"].classes == CLASSES
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
    image = picture(*size)
    expected = transforms.Compose([transforms.Resize(48), transforms.CenterCrop(48)])(Image.fromarray(image))
    np.testing.assert_array_equal(centre_square(image, 48), np.asarray(expected))


SETTINGS = """
[project]
name = "cars"
[source.disk]
kind = "folder"
address = "photos"
[inspect]
min_contrast = 0.0
[duplicates]
enabled = false
[attribute.view]
classes = ["side", "front", "rear", "interior", "engine"]
[attribute.other]
classes = ["a", "b"]
"""


def png(image: NDArray[np.uint8]) -> bytes:
    stream = BytesIO()
    Image.fromarray(image).save(stream, "PNG")
    return stream.getvalue()


def tamis(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli, [str(one) for one in arguments])


def document(*arguments: str | Path) -> Any:
    result = tamis(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.fixture
def project_folder(tmp_path: Path) -> Path:
    """A project with the pictures as photos, crawled and looked at."""
    folder = tmp_path / "project"
    (folder / "photos").mkdir(parents=True)
    for size in SIZES:
        (folder / "photos" / f"{size[0]}x{size[1]}.png").write_bytes(png(picture(*size)))
    (folder / "tamis.toml").write_text(SETTINGS, encoding="utf-8")
    project = open_project(folder)
    run_pipeline(project, ["crawl", "download", "inspect", "detect"])
    project.close()
    return folder


def freeze(project_folder: Path, views: list[str], classes: tuple[str, ...]) -> None:
    """Register a snapshot with the pictures as its test split, labelled with those views."""
    project = open_project(project_folder)
    store = BlobStore(project_folder / "frozen")
    samples = [
        Sample(
            id=f"s{place}", sha256=store.put(png(picture(*size))), box_xyxy=(0.0, 0.0, float(size[0]), float(size[1])),
            crop_xyxy=(0, 0, *size), split="test", verdict="keep", labels={"view": views[place]}, group=f"g{place}",
        )
        for place, size in enumerate(SIZES)
    ]  # fmt: skip
    attributes = (Attribute.of("view", "choice", classes), Attribute.of("other", "choice", ("a", "b")))
    frozen = Snapshot(
        project_folder / "snapshots" / "1", "cars-1", 1, attributes, tuple(samples), str(project_folder / "frozen")
    )
    frozen.write()
    row = {
        "name": "cars-1", "folder": "snapshots/1", "digest": frozen.digest, "samples": len(samples), "settings": {},
        "created_at": 1.0,
    }  # fmt: skip
    with writing(project.engine) as connection:
        connection.execute(schema.snapshot.insert(), [row])
    project.close()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["onnx", "pt"])
def test_predict_and_evaluate_take_one(
    checkpoint: Path, kind: str, project_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project_folder)
    path = checkpoint if kind == "pt" else exported(checkpoint)
    says = ultralytics_says(checkpoint, [picture(*size) for size in SIZES])
    best = [CLASSES[place] for place in says.argmax(axis=1)]
    trust = ["--trust-pickle"] if kind == "pt" else []

    told = document("predict", "photos", "--model", path, *trust)
    assert told["model"] == path.name
    of_file = {row["file"]: row["labels"]["class"] for row in told["pictures"]}
    for size, shares, name in zip(SIZES, says, best, strict=True):
        label = of_file[f"{size[0]}x{size[1]}.png"]
        assert label["value"] == name
        np.testing.assert_allclose([label["probabilities"][one] for one in CLASSES], shares, atol=0.01)

    asked: list[str | Path] = ["--attribute", "view", *trust, "--project", project_folder]
    assert document("predict", "--model", path, *asked)["rows"] == len(SIZES)
    project = open_project(project_folder)
    with reading(project.engine) as connection:
        claims = connection.execute(sa.select(schema.label).where(schema.label.c.who == "model")).all()
    project.close()
    assert {row.actor for row in claims} == {path.name}
    assert sorted(row.value for row in claims) == sorted(best)

    wrong = next(name for name in CLASSES if name != best[0])
    freeze(project_folder, [wrong, *best[1:]], ("side", "front", "rear", "interior", "engine"))
    scores = document("evaluate", path, *asked)["metrics"]["attributes"]["view"]
    assert scores["samples"] == len(SIZES)
    assert scores["accuracy"]["value"] == pytest.approx(1 - 1 / len(SIZES))


@pytest.mark.slow
def test_a_class_that_the_snapshot_lacks_is_a_wrong_answer(checkpoint: Path, project_folder: Path) -> None:
    says = ultralytics_says(checkpoint, [picture(*size) for size in SIZES])
    best = [CLASSES[place] for place in says.argmax(axis=1)]
    lacking = best[0]
    known = tuple(name for name in (*CLASSES, "engine") if name != lacking)
    freeze(project_folder, [known[0] if name == lacking else name for name in best], known)
    asked: list[str | Path] = ["--attribute", "view", "--trust-pickle", "--project", project_folder]
    scores = document("evaluate", checkpoint, *asked)["metrics"]["attributes"]["view"]
    assert scores["accuracy"]["value"] == pytest.approx(1 - best.count(lacking) / len(SIZES))


@pytest.mark.slow
def test_what_is_not_said_of_one_is_asked_for(checkpoint: Path, project_folder: Path, tmp_path: Path) -> None:
    freeze(project_folder, ["front"] * len(SIZES), ("front", "rear"))
    inside: list[str | Path] = ["--project", project_folder]

    def refused(*arguments: str | Path) -> str:
        error = tamis(*arguments, *inside).exception
        assert isinstance(error, UserError)
        return str(error)

    assert "--attribute" in refused("evaluate", checkpoint, "--trust-pickle")
    assert "--trust-pickle" in refused("evaluate", checkpoint, "--attribute", "view")
    assert "share no class" in refused("evaluate", checkpoint, "--attribute", "other", "--trust-pickle")
    assert "'veiw' is not declared" in refused("predict", "--model", checkpoint, "--attribute", "veiw")
    assert "--attribute" in refused("predict", "--model", checkpoint, "--trust-pickle")
    assert "unknown model" in refused("evaluate", tmp_path / "none.onnx", "--attribute", "view")
    assert "file of its own" in refused("report", "model", checkpoint)
