"""The renderer: geometry, visibility, framing, and pictures that come out the same whenever they are drawn."""

import math
from dataclasses import replace
from io import BytesIO
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tamis.demo.catalogue import all_cars
from tamis.demo.gallery import picture_file, read_picture, stored_pictures
from tamis.demo.redraw import write_gallery
from tamis.demo.render import views
from tamis.demo.render.bodies import BODY_STYLES, PAINTS, draw_design
from tamis.demo.render.camera import Camera, Stance, framing
from tamis.demo.render.car import Car, Part
from tamis.demo.render.mesh import rounded_box, vertex_normals
from tamis.demo.render.numerics import fractal_noise, normalise, seeded_generator
from tamis.demo.render.raster import nearest_fragments, rasterise
from tamis.demo.render.subject import Subject, View
from tamis.demo.render.views import design_of, draw_view

SMALL_WH = (160, 120)


def small_subject(body: str = "hatchback", colour: str = "red") -> Subject:
    return Subject(7, body, colour, 123_456, "Two Oaks Car Sales")


@given(st.tuples(*[st.floats(1.5, 24)] * 3))
@settings(max_examples=15, deadline=None)
def test_rounded_box_lies_on_its_superellipsoid(exponents: tuple[float, float, float]) -> None:
    shell = rounded_box((4, 5, 6), exponents)
    np.testing.assert_allclose((np.abs(shell.points) ** np.array(exponents)).sum(1), 1, atol=1e-5)
    outward = np.einsum("nk,nk->n", vertex_normals(shell.points, shell.triangles), shell.points)
    assert (outward > 0).all()


def test_rasteriser_covers_each_pixel_of_a_square_once_and_keeps_the_nearer_triangle() -> None:
    near, far = 1.0, 0.5
    corners = np.array([[0, 0], [8, 0], [8, 8], [0, 8]], float)
    screen = np.concatenate([corners, corners * 2])
    depth = np.array([near] * 4 + [far] * 4)
    triangles = np.array([[0, 1, 2], [0, 2, 3], [4, 5, 6], [4, 6, 7]])
    found = rasterise(screen, depth, triangles, (16, 16))
    chosen = nearest_fragments(found, np.arange(len(found.pixel)))
    assert sorted(found.pixel[chosen]) == list(range(256))
    is_near = found.triangle[chosen] < 2
    assert is_near.sum() == 64
    np.testing.assert_allclose(found.weights.sum(1), 1, atol=1e-5)


def test_triangles_behind_the_eye_are_left_out() -> None:
    screen = np.array([[0, 0], [8, 0], [0, 8], [8, 8]], float)
    found = rasterise(screen, np.array([1, 1, 1, -1.0]), np.array([[0, 1, 2], [1, 2, 3]]), (8, 8))
    assert set(found.triangle) == {0}


def test_noise_repeats_without_a_seam() -> None:
    noise = fractal_noise((256, 128), 8, np.random.default_rng(3), octaves=2)
    assert noise.shape == (128, 256)
    assert noise.min() >= -0.1
    assert noise.max() <= 1.1
    inside = np.abs(np.diff(noise, axis=1)).max()
    assert np.abs(noise[:, 0] - noise[:, -1]).max() <= inside * 1.5


def test_each_purpose_has_a_generator_of_its_own() -> None:
    first, again = (seeded_generator(5, "front").random(4) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert not np.allclose(first, seeded_generator(5, "rear").random(4))
    assert not np.allclose(first, seeded_generator(6, "front").random(4))


@pytest.mark.parametrize("body", BODY_STYLES)
def test_cars_have_their_measures(body: str) -> None:
    car = Car(draw_design(body, "blue", np.random.default_rng(1)))
    low, high = car.mesh.vertices.min(0), car.mesh.vertices.max(0)
    style = car.body
    assert high[0] - low[0] == pytest.approx(style.length, abs=0.2)
    assert style.width <= high[1] - low[1] <= style.width + 0.4  # with mirrors
    assert high[2] == pytest.approx(style.height, abs=0.08)
    assert low[2] == pytest.approx(0, abs=0.01)  # the tyres stand on the ground
    assert set(car.mesh.part) >= {Part.BODY, Part.CABIN, Part.TYRE, Part.RIM}


def test_designs_differ_from_car_to_car() -> None:
    designs = [design_of(car.subject) for car in all_cars()]
    assert len({(design.front.grille, design.front.lamp, design.front.light_bar) for design in designs}) >= 30
    assert len({(design.rear.lamp, design.rear.plate_in_bumper, design.rear.spoiler) for design in designs}) >= 12
    assert len({design.plate_text for design in designs}) == len(designs)


@given(st.sampled_from(sorted(BODY_STYLES)), st.floats(-180, 180), st.floats(36, 48), st.floats(0.5, 0.9))
@settings(max_examples=12, deadline=None)
def test_framing_fills_the_share_and_centres_the_car(body: str, azimuth: float, view_angle: float, fill: float) -> None:
    car = Car(draw_design(body, "red", np.random.default_rng(2)))
    distance, shift = framing(car, azimuth, view_angle, fill)
    stance = Stance(azimuth, distance, 0.0, (0, 0, 0.0), view_angle, (shift, 0))
    screen_x = Camera(car, stance, (1000, 750)).project(car.mesh.vertices)[0][:, 0]
    assert np.ptp(screen_x) / 1000 == pytest.approx(fill, abs=0.06)
    assert (screen_x.min() + screen_x.max()) / 2 == pytest.approx(500, abs=25)


def test_rays_go_where_points_are_projected_from() -> None:
    car = Car(draw_design("sedan", "red", np.random.default_rng(2)))
    camera = Camera(car, Stance(30, 7, 1.5, (0, 0, 0.6), 40), (40, 30))
    rays = camera.rays().reshape(30, 40, 3)
    point = camera.eye + rays[12, 33] * 5.0
    screen, inverse_depth = camera.project(point[None])
    np.testing.assert_allclose(screen[0], [33.5, 12.5], atol=1e-3)
    assert inverse_depth[0] == pytest.approx(1 / 5, rel=0.2)
    np.testing.assert_allclose(normalise(rays), rays, atol=1e-6)


def test_a_view_is_the_same_whatever_was_drawn_before() -> None:
    subject = small_subject()
    first = draw_view(subject, "front_left", SMALL_WH)
    draw_view(subject, "rear", SMALL_WH)
    views._studio.cache_clear()
    again = draw_view(subject, "front_left", SMALL_WH)
    np.testing.assert_array_equal(np.asarray(first.image), np.asarray(again.image))
    assert first.box_xyxy == again.box_xyxy


def test_the_box_is_where_the_car_stands_out_from_another_colour() -> None:
    """Two paints differ on the car, and little elsewhere: the differing pixels lie in the box and reach its sides."""
    drawn = [draw_view(small_subject(colour=colour), "side", SMALL_WH) for colour in ("white", "black")]
    box = drawn[0].box_xyxy
    assert box == drawn[1].box_xyxy
    assert box is not None
    white, black = (np.asarray(photograph.image).astype(int) for photograph in drawn)
    rows, columns = np.nonzero(np.abs(white - black).max(2) > 60)
    left, top, right, bottom = box
    assert left - 1 <= columns.min()
    assert columns.max() <= right + 1
    assert top - 1 <= rows.min()
    assert rows.max() <= bottom + 1
    assert columns.max() - columns.min() > 0.8 * (right - left)


def test_pictures_without_a_car_have_no_box() -> None:
    subject = small_subject()
    assert draw_view(subject, "odometer", SMALL_WH).box_xyxy is None
    assert draw_view(subject, "card", SMALL_WH).box_xyxy is None
    with pytest.raises(KeyError):
        draw_view(Subject(1, "van", "red", 5, "Nobody"), "card", SMALL_WH)


@pytest.mark.parametrize(("number", "view"), [(3, "front"), (11, "odometer"), (20, "rear")])
def test_redrawing_gives_the_stored_picture(number: int, view: View) -> None:
    """Drawn at a quarter of the size, so that it is quick; the stored one is reduced to compare."""
    car = all_cars()[number]
    stored = Image.open(BytesIO(read_picture(picture_file(car, view)))).convert("RGB").reduce(4)
    drawn = draw_view(car.subject, view, SMALL_WH).image
    difference = np.abs(np.asarray(stored).astype(float) - np.asarray(drawn).astype(float))
    assert difference.mean() < 6
    others = np.asarray(
        Image.open(BytesIO(read_picture(picture_file(all_cars()[number + 1], view)))).convert("RGB").reduce(4)
    )
    assert difference.mean() < np.abs(others.astype(float) - np.asarray(drawn).astype(float)).mean() / 2


@pytest.mark.slow
def test_redrawing_at_full_size_gives_the_stored_picture_and_its_box() -> None:
    car = all_cars()[5]
    photograph = draw_view(car.subject, "front")
    stored = Image.open(BytesIO(read_picture(picture_file(car, "front")))).convert("RGB")
    difference = np.asarray(photograph.image).astype(float) - np.asarray(stored).astype(float)
    assert math.sqrt((difference**2).mean()) < 8
    (truth,) = [picture for picture in stored_pictures() if picture.listing == 5 and picture.view == "front"]
    assert truth.box_xyxy == pytest.approx(photograph.box_xyxy, abs=1)


def test_write_gallery_writes_pictures_and_truth(tmp_path: Path) -> None:
    car = replace(all_cars()[4], views=("odometer", "card"))
    told: list[str] = []
    pictures = write_gallery(tmp_path / "new", [car], report=lambda picture: told.append(picture.file))
    assert told == [picture.file for picture in pictures] == ["04-odometer.webp", "card-harbour-street-motors.webp"]
    for name in told:
        with Image.open(tmp_path / "new" / name) as image:
            assert (image.format, image.size) == ("WEBP", (640, 480))
    assert '"odometer_km": 10748' in (tmp_path / "new" / "truth.json").read_text()


@pytest.mark.slow
def test_paints_keep_their_order_of_lightness_in_the_pictures() -> None:
    """White, silver, grey and black must be told apart by eye: the middle of the car's side gets darker in turn."""
    lightness = []
    for colour in ("white", "silver", "grey", "black"):
        photograph = draw_view(small_subject(colour=colour), "front", SMALL_WH)
        assert photograph.box_xyxy is not None
        left, top, right, bottom = photograph.box_xyxy
        width, height = right - left, bottom - top
        area = (left + 0.3 * width, top + 0.5 * height, right - 0.3 * width, top + 0.6 * height)
        bonnet = photograph.image.crop(tuple(round(value) for value in area))  # type: ignore[arg-type]
        lightness.append(float(np.asarray(bonnet.convert("L")).mean()))
    assert all(lighter > darker + 12 for lighter, darker in pairwise(lightness)), lightness
    assert set(PAINTS) >= {"white", "silver", "grey", "black"}
