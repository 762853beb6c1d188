"""Keepers: of a picture and its copies the one stays that lost and gained nothing, whatever the policy."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from io import BytesIO
from typing import Any, get_args

import cv2
import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont
from tests.realdata import data_folder
from tests.vision.pictures import resized, shot

from tamis.records import KeeperPolicy
from tamis.vision.inspect import inspect_image
from tamis.vision.keepers import INSPECTED, Facts, Ranking, facts_of

POLICIES = [policy for policy in get_args(KeeperPolicy) if policy != "first"]


def file(picture: Image.Image, format_name: str = "JPEG", **options: Any) -> bytes:
    stream = BytesIO()
    picture.save(stream, format_name, **options)
    return stream.getvalue()


def framed(picture: Image.Image, colour: str = "white") -> Image.Image:
    side = picture.width // 12
    canvas = Image.new("RGB", (picture.width + 2 * side, picture.height + 2 * side), colour)
    canvas.paste(picture, (side, side))
    return canvas


def brighter(picture: Image.Image) -> Image.Image:
    return Image.fromarray(np.clip(np.asarray(picture) * 1.4, 0, 255).astype(np.uint8))


def with_banner(picture: Image.Image) -> Image.Image:
    canvas = np.array(picture)
    height, width = canvas.shape[:2]
    canvas[-height // 8 :] = (30, 30, 60)
    place = round(0.02 * width), height - height // 36
    cv2.putText(canvas, "DEALER 0171 2345", place, cv2.FONT_HERSHEY_SIMPLEX, width / 330, (250, 250, 250), width // 160)
    return Image.fromarray(canvas)


COPIES: dict[str, Callable[[Image.Image], bytes]] = {
    "quality 50": lambda picture: file(picture, quality=50),
    "quality 30": lambda picture: file(picture, quality=30),
    "quality 12": lambda picture: file(picture, quality=12),
    "32 colours": lambda picture: file(picture.quantize(32), "PNG"),
    "256 colours": lambda picture: file(picture.quantize(256), "GIF"),
    "two tones": lambda picture: file(picture.convert("1"), "PNG"),
    "grey": lambda picture: file(picture.convert("L"), quality=95),
    "grey as colour": lambda picture: file(picture.convert("L").convert("RGB"), quality=95),
    "coded badly, then well": lambda picture: file(Image.open(BytesIO(file(picture, quality=12))), quality=97),
    "white frame": lambda picture: file(framed(picture), quality=95),
    "black frame": lambda picture: file(framed(picture, "black"), quality=95),
    "banner": lambda picture: file(with_banner(picture), quality=95),
    "smaller": lambda picture: file(picture.resize((picture.width // 2, picture.height // 2)), quality=95),
}

POOR = ("quality 30", "quality 12", "32 colours", "two tones", "white frame", "banner")


def facts(data: bytes, key: str = "") -> Facts:
    record = inspect_image(1, data)
    return facts_of(record, (record.width or 0) * (record.height or 0), len(data), key)


def keeper(policy: KeeperPolicy, files: dict[str, bytes]) -> str:
    """The one that stays of some files, whose names sort against them."""
    names = sorted(files)
    known = {number: facts(files[name], f"{len(names) - number:03}") for number, name in enumerate(names)}
    return names[min(known, key=ranking(policy, known))]


def ranking(policy: KeeperPolicy, known: dict[int, Facts], protected: frozenset[int] = frozenset()) -> Ranking:
    """The ranking of pictures that are all copies of each other."""
    return Ranking(policy, known, protected, {one: [other for other in known if other != one] for one in known})


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("copy", COPIES)
def test_the_original_stays(policy: KeeperPolicy, copy: str) -> None:
    stayed = []
    for seed in range(6):
        picture = Image.fromarray(shot(seed, 720, 540))
        stayed.append(keeper(policy, {"original": file(picture, quality=92), "copy": COPIES[copy](picture)}))
    assert stayed == ["original"] * 6


@pytest.mark.parametrize("policy", ["largest", "cleanest"])
def test_a_brightened_copy_is_no_better(policy: KeeperPolicy) -> None:
    dark = Image.fromarray((shot(3, 720, 540) * 0.6).astype(np.uint8))
    assert (
        keeper(policy, {"original": file(dark, quality=95), "brighter": file(brighter(dark), quality=85)}) == "original"
    )


def test_gain_makes_no_picture_sharper() -> None:
    dark = Image.fromarray((shot(3, 720, 540) * 0.6).astype(np.uint8))
    blurred = Image.fromarray(cv2.GaussianBlur(np.asarray(dark), (0, 0), 1.2))
    assert (
        keeper("sharpest", {"original": file(dark, quality=92), "bright": file(brighter(blurred), quality=95)})
        == "original"
    )


def test_the_largest_the_sharpest_and_the_first_differ() -> None:
    picture = shot(1, 720, 540)
    soft = cv2.resize(cv2.resize(picture, (240, 180)), (1080, 810), interpolation=cv2.INTER_CUBIC)
    files = {"blown up": file(Image.fromarray(soft), quality=95), "plain": file(Image.fromarray(picture), quality=95)}
    assert (keeper("largest", files), keeper("sharpest", files)) == ("blown up", "plain")
    known = {number: facts(data) for number, data in enumerate(files.values())}
    assert min(known, key=ranking("first", known)) == 0


def test_what_people_labelled_comes_first_and_the_unknown_last() -> None:
    known = {1: Facts(1000), 2: Facts(10)}
    assert sorted([1, 2, 3], key=ranking("largest", known, frozenset({2}))) == [2, 1, 3]


def test_ties_fall_by_content_not_by_number() -> None:
    known = {1: Facts(1000, key="b"), 2: Facts(1000, key="a")}
    assert min(known, key=ranking("largest", known)) == 2


def test_every_inspected_fact_is_one() -> None:
    record = inspect_image(1, file(Image.fromarray(resized(shot(1)))))
    found = facts_of(record, 1, 1)
    assert all(getattr(found, name) == getattr(record, name) for name in INSPECTED)
    assert facts_of(inspect_image(1, b"none"), 7, 3, "k") == Facts(7, size=3, key="k")


def test_a_copy_of_few_tones_is_no_measure_of_the_others() -> None:
    known = {1: Facts(1000, sharpness=5.0, size=90), 2: Facts(1000, sharpness=5.0, size=30, blockiness=1.1)}
    assert min(known, key=ranking("largest", known)) == 1
    beside_grey = known | {3: Facts(1000, mode="L", sharpness=1.0, text_share=0.0, size=10)}
    assert min(beside_grey, key=ranking("largest", beside_grey)) == 1


def test_an_id_is_judged_by_its_copies_alone() -> None:
    known = {1: Facts(1000, text_share=0.05), 2: Facts(1000, text_share=0.05), 3: Facts(1000)}
    apart = Ranking("cleanest", known, frozenset(), {1: [2], 2: [1]})
    assert apart(1)[1] == apart(2)[1] == apart(3)[1]
    together = ranking("cleanest", known)
    assert together(3) < min(together(1), together(2))


def marked(
    picture: Image.Image, height: float, places: list[tuple[float, float]], opacity: float, turn: int = 0
) -> bytes:
    """The picture with white letters, of a height as a share of its own, coded better than it was."""
    layer = Image.new("RGBA", picture.size)
    font = ImageFont.load_default(round(height * picture.height))
    for x, y in places:
        place = x * picture.width, y * picture.height
        ImageDraw.Draw(layer).text(place, "www.shop.example", (255, 255, 255, round(255 * opacity)), font)
    layer = layer.rotate(turn, Image.Resampling.BICUBIC)
    return file(Image.alpha_composite(picture.convert("RGBA"), layer).convert("RGB"), quality=95)


_EVERYWHERE = [(x, y) for y in (0.0, 0.2, 0.4, 0.6, 0.8) for x in (0.0, 0.5)]
MARKS: dict[str, Callable[[Image.Image], bytes]] = {
    "small": lambda picture: marked(picture, 0.035, [(0.03, 0.94)], 1.0),
    "half-transparent": lambda picture: marked(picture, 0.06, [(0.5, 0.03)], 0.5),
    "across the middle": lambda picture: marked(picture, 0.1, [(0.1, 0.45)], 0.4, turn=30),
    "all over": lambda picture: marked(picture, 0.045, _EVERYWHERE, 0.4, turn=15),
}


@pytest.fixture(scope="module")
def photos() -> list[dict[str, Facts]]:
    """Facts of photos by the name of what was done to them; the sort of names goes against the original."""
    cars, clothing = (sorted(data_folder(name).rglob("*.jpg")) for name in ("cars", "clothing"))
    found = []
    for path in [*cars[::90], *cars[7::90], *clothing[::240], *clothing[5::240]]:
        data = path.read_bytes()
        picture = Image.open(BytesIO(data)).convert("RGB")
        edited = {name: (COPIES | MARKS)[name](picture) for name in (*POOR, *MARKS)}
        found.append({name: facts(copy, name) for name, copy in edited.items()} | {"original": facts(data, "~")})
    return found


def kept(policy: KeeperPolicy, photo: dict[str, Facts], copies: Iterable[str]) -> str:
    """The name of what stays of a photo beside some of its copies."""
    known = dict(enumerate(photo[name] for name in ("original", *copies)))
    return ("original", *copies)[min(known, key=ranking(policy, known))]


@pytest.mark.real
@pytest.mark.parametrize("policy", POLICIES)
def test_the_photo_stays_beside_its_poor_copies(policy: KeeperPolicy, photos: list[dict[str, Facts]]) -> None:
    stayed = Counter(kept(policy, photo, POOR) for photo in photos)
    assert stayed["original"] >= 0.9 * len(photos), stayed


@pytest.mark.real
@pytest.mark.parametrize("policy", POLICIES)
def test_the_photo_stays_beside_copies_with_marks(policy: KeeperPolicy, photos: list[dict[str, Facts]]) -> None:
    stayed = Counter(mark for mark in MARKS for photo in photos if kept(policy, photo, [mark]) == "original")
    assert min(stayed[mark] for mark in MARKS) >= 0.9 * len(photos), stayed
