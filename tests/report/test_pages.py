"""Whole pages from a real snapshot and a real model: complete, escaped, and without a request to anyone."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from tamis import train
from tamis.dataset.manifest import Snapshot
from tamis.errors import UserError
from tamis.report.model import write_model_report
from tamis.report.page import web_address
from tamis.report.snapshot import write_snapshot_report
from tests.train.factory import shapes_snapshot

HOSTILE = '<script>alert("title")</script>'


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> Snapshot:
    made = shapes_snapshot(tmp_path_factory.mktemp("shapes"), per_pair=4)
    samples = tuple(replace(sample, item_title=HOSTILE, item_url="javascript:alert(1)") for sample in made.samples[:30])
    hostile = replace(made, samples=samples + made.samples[30:])
    hostile.write()
    return hostile


@pytest.fixture(scope="module")
def model_folder(snapshot: Snapshot, tmp_path_factory: pytest.TempPathFactory) -> Path:
    settings = train.TrainSettings(backbone="resnet18", weights="none", size=32, epochs=2)
    out = tmp_path_factory.mktemp("models") / "shapes-1"
    train.train(snapshot.folder, out, settings, progress=lambda fraction, text: None)
    return out


def check_page(text: str) -> None:
    assert HOSTILE not in text
    assert "&lt;script&gt;" in text
    assert not re.findall(r'(?:href|src)="(?!https?://|data:image/jpeg;base64,)', text)
    assert not re.findall(r"<(?:script|link|iframe|object)\b", text)
    assert "url(" not in text
    assert "Content-Security-Policy" in text


def test_the_snapshot_report_counts_and_shows_every_class(snapshot: Snapshot, tmp_path: Path) -> None:
    text = write_snapshot_report(snapshot, tmp_path / "report.html").read_text(encoding="utf-8")
    check_page(text)
    for label in ("circle", "square", "triangle", "red", "green", "blue"):
        assert f"<b>{label}</b>" in text
    assert "29 of 36 samples are labelled" in text
    assert text.count("data:image/jpeg;base64,") == 36  # six of each of six classes
    assert "example.com" in text


@pytest.mark.slow
def test_the_model_report_tells_scores_mistakes_and_curves(model_folder: Path, snapshot: Snapshot) -> None:
    path = write_model_report(model_folder, snapshot)
    assert path == model_folder / "report.html"
    text = path.read_text(encoding="utf-8")
    check_page(text)
    evaluation = json.loads((model_folder / "evaluation.json").read_text())
    assert f"<b>{evaluation['macro_f1']:.3f}</b>" in text
    for scores in evaluation["attributes"]:
        wrong = scores["count"] - sum(row[place] for place, row in enumerate(scores["confusion"]))
        assert f"The surest of {wrong} mistakes" in text or not wrong
        assert f"{scores['macro_f1']['low']:.3f} to {scores['macro_f1']['high']:.3f}" in text
    assert text.count("Confusion matrix") == 2
    assert "Macro F1 on validation by epoch" in text


@pytest.mark.slow
def test_the_model_report_wants_the_model_s_own_snapshot(model_folder: Path, snapshot: Snapshot) -> None:
    with pytest.raises(UserError, match=r"model shapes-1 was trained on snapshot shapes-1, which .* is not"):
        write_model_report(model_folder, replace(snapshot, samples=snapshot.samples[1:]))


def test_only_web_addresses_become_links() -> None:
    assert web_address("https://example.com/a?b=c") == "https://example.com/a?b=c"
    assert [web_address(url) for url in ("javascript:alert(1)", "data:text/html,x", "", "http://[")] == [""] * 4


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_page_renders_in_either_theme_and_asks_nobody(snapshot: Snapshot, tmp_path: Path, scheme: str) -> None:
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    chromium = Path("/usr/bin/chromium")
    if not chromium.exists():
        pytest.skip("Chromium is not installed at /usr/bin/chromium")
    path = write_snapshot_report(snapshot, tmp_path / "report.html")
    quiet = ["--no-sandbox", "--disable-background-networking", "--disable-component-update", "--disable-sync"]
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=str(chromium), args=[*quiet, "--no-first-run"])
        page = browser.new_page(viewport={"width": 1000, "height": 800}, color_scheme=scheme)
        asked: list[str] = []
        said: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: said.append(message.text))
        page.goto(path.as_uri())
        assert [url for url in asked if not url.startswith("data:")] == [path.as_uri()]
        assert said == []
        assert page.evaluate("[...document.images].every(image => image.complete && image.naturalWidth > 0)")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert ground == ("rgb(246, 247, 249)" if scheme == "light" else "rgb(15, 20, 27)")
        browser.close()
