"""Boxes: laws of overlap, suppression, grouping, matching, crops and placement."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tamis.records import PART_SHARE
from tamis.vision import boxes as bx

coordinates = st.floats(-50, 250, width=32)
sides = st.integers(1, 400)
sizes = st.tuples(sides, sides)


@st.composite
def box_arrays(draw: st.DrawFn, least: int = 0, most: int = 12) -> NDArray[np.float32]:
    rows = draw(st.lists(st.tuples(*[coordinates] * 4), min_size=least, max_size=most))
    raw = bx.as_boxes(rows)
    return np.concatenate([np.minimum(raw[:, :2], raw[:, 2:]), np.maximum(raw[:, :2], raw[:, 2:])], axis=1)


def detections(seed: int, count: int) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int64]]:
    random = np.random.default_rng(seed)
    low = random.uniform(0, 60, (count, 2))
    corners = np.concatenate([low, low + random.uniform(5, 60, (count, 2))], axis=1).astype(np.float32)
    return corners, random.random(count).astype(np.float32), random.integers(0, 3, count)


@given(box_arrays(), box_arrays())
def test_iou_is_symmetric_bounded_and_one_with_itself(first: NDArray[np.float32], second: NDArray[np.float32]) -> None:
    overlap = bx.iou(first, second)
    assert overlap.shape == (len(first), len(second))
    assert ((overlap >= 0) & (overlap <= 1 + 1e-4)).all()
    np.testing.assert_allclose(overlap, bx.iou(second, first).T, atol=1e-6)
    own = np.diag(bx.iou(first, first))
    np.testing.assert_allclose(own, (bx.area(first) > 0).astype(np.float32), atol=1e-4)


def test_iou_by_hand() -> None:
    boxes = bx.as_boxes([[0, 0, 10, 10], [5, 0, 15, 10], [20, 20, 30, 30], [3, 3, 3, 9]])
    np.testing.assert_allclose(bx.iou(boxes[:1], boxes)[0], [1, 50 / 150, 0, 0])


@given(st.integers(0, 1000), st.integers(0, 60), st.floats(0.1, 0.9))
@settings(max_examples=50)
def test_suppression_keeps_what_no_better_kept_box_covers(seed: int, count: int, max_iou: float) -> None:
    boxes, scores, classes = detections(seed, count)
    kept: list[int] = []
    for index in sorted(range(count), key=lambda row: (-scores[row], row)):
        rivals = [other for other in kept if classes[other] == classes[index]]
        if not rivals or bx.iou(boxes[[index]], boxes[rivals]).max() <= max_iou:
            kept.append(index)
    assert bx.suppress(boxes, scores, classes, max_iou).tolist() == kept


@pytest.mark.slow
@pytest.mark.parametrize("max_iou", [0.3, 0.7])
def test_suppression_equals_torchvision(max_iou: float) -> None:
    import torch
    from torchvision.ops import batched_nms

    for seed in range(5):
        boxes, scores, classes = detections(seed, 200)
        expected = batched_nms(torch.tensor(boxes), torch.tensor(scores), torch.tensor(classes), max_iou)
        np.testing.assert_array_equal(bx.suppress(boxes, scores, classes, max_iou), expected.numpy())


def test_suppression_of_nothing_and_of_equals() -> None:
    none = np.zeros(0, np.float32)
    assert bx.suppress(bx.as_boxes([]), none, none.astype(np.int64)).size == 0
    twice = bx.as_boxes([[0, 0, 9, 9]] * 3)
    scores = np.asarray([0.5, 0.5, 0.5], np.float32)
    assert bx.suppress(twice, scores, np.asarray([1, 1, 2])).tolist() == [0, 2]
    assert bx.suppress(bx.as_boxes([[4, 4, 4, 4]] * 2), scores[:2], np.zeros(2, np.int64)).tolist() == [0, 1]


@given(st.integers(0, 1000), st.integers(0, 40), st.floats(0.3, 1))
@settings(max_examples=50)
def test_every_box_that_goes_shows_what_a_better_one_shows(seed: int, count: int, min_iou: float) -> None:
    boxes, scores, classes = detections(seed, count)
    kept = bx.distinct(boxes, scores, classes, min_iou)
    overlaps = bx.iou(boxes, boxes)
    covered = bx.intersection(boxes, boxes) / np.maximum(bx.area(boxes), 1e-9)[:, None]
    for index in range(count):
        same = (overlaps[index] >= min_iou) | ((covered[index] >= PART_SHARE) & (classes == classes[index]))
        assert (index not in kept) == bool((same & (scores > scores[index])).any())
    assert bx.distinct(boxes, scores, classes, 2).tolist() == list(range(count))


def test_car_its_half_and_its_neighbour_are_two_objects() -> None:
    boxes = bx.as_boxes([[0, 0, 100, 50], [2, 1, 98, 52], [0, 0, 40, 50], [110, 0, 200, 50], [30, 10, 50, 30]])
    scores, classes = np.asarray([0.9, 0.8, 0.4, 0.6, 0.3], np.float32), np.asarray([1, 2, 1, 1, 3])
    assert bx.distinct(boxes, scores, classes).tolist() == [0, 3, 4]  # the last is the driver
    assert bx.distinct(boxes, scores, classes, 0.99).tolist() == [0, 1, 3, 4]


@given(st.integers(0, 1000))
def test_matching_finds_moved_boxes_again_one_to_one(seed: int) -> None:
    random = np.random.default_rng(seed)
    low = np.stack([np.arange(6) * 100.0, np.zeros(6)], axis=1)
    old = np.concatenate([low, low + 80], axis=1).astype(np.float32)
    order = random.permutation(6)
    new = (old[order] + random.uniform(-2, 2, (6, 4))).astype(np.float32)
    assert sorted(bx.match(old, new)) == [(int(order[index]), index) for index in np.argsort(order)]


@given(box_arrays(), box_arrays(), st.floats(0.1, 0.9))
def test_matching_is_one_to_one_and_leaves_no_free_pair(
    old: NDArray[np.float32], new: NDArray[np.float32], min_iou: float
) -> None:
    pairs = bx.match(old, new, min_iou)
    rows, columns = {first for first, _ in pairs}, {second for _, second in pairs}
    assert len(rows) == len(columns) == len(pairs)
    overlap = bx.iou(old, new)
    assert all(overlap[pair] >= min_iou for pair in pairs)
    free = [(i, j) for i in range(len(old)) for j in range(len(new)) if i not in rows and j not in columns]
    assert all(overlap[pair] < min_iou for pair in free)


def test_matching_prefers_the_best_overlap_then_the_earlier() -> None:
    old = bx.as_boxes([[0, 0, 100, 100], [5, 0, 105, 100]])
    new = bx.as_boxes([[5, 0, 105, 100], [4, 0, 104, 100]])
    assert bx.match(old, new) == [(1, 0), (0, 1)]
    same = bx.as_boxes([[0, 0, 10, 10]] * 2)
    assert bx.match(same, same) == [(0, 0), (1, 1)]


@given(st.tuples(*[coordinates] * 4), sizes, st.floats(0, 2), st.one_of(st.none(), st.floats(0.2, 5)))
@settings(max_examples=200)
def test_crop_lies_in_the_picture_and_shows_the_box(
    corners: tuple[float, float, float, float], size_wh: tuple[int, int], margin: float, aspect: float | None
) -> None:
    box = (
        min(corners[0], corners[2]),
        min(corners[1], corners[3]),
        max(corners[0], corners[2]),
        max(corners[1], corners[3]),
    )
    x0, y0, x1, y1 = bx.expand(box, size_wh, margin, aspect)
    assert 0 <= x0 < x1 <= size_wh[0]
    assert 0 <= y0 < y1 <= size_wh[1]
    inside = bx.clip(bx.as_boxes([box]), size_wh)[0]
    if bx.area(inside[None])[0] > 0:
        assert x0 <= inside[0]
        assert y0 <= inside[1]
        assert x1 >= inside[2]
        assert y1 >= inside[3]
    if aspect is not None and (x0, x1) != (0, size_wh[0]) and (y0, y1) != (0, size_wh[1]):
        assert abs((x1 - x0) - (y1 - y0) * aspect) <= max(1, aspect)


def test_crop_by_hand() -> None:
    assert bx.expand((10.2, 20, 50, 40), (100, 100)) == (10, 20, 50, 40)
    assert bx.expand((10, 20, 50, 40), (100, 100), margin=0.1) == (6, 16, 54, 44)
    assert bx.expand((10, 20, 50, 40), (100, 100), aspect=1.0) == (10, 10, 50, 50)
    assert bx.expand((0, 0, 40, 20), (100, 100), aspect=1.0) == (0, 0, 40, 40)
    assert bx.expand((0, 10, 90, 20), (100, 50), aspect=1.0) == (0, 0, 90, 50)


@given(sizes, st.integers(32, 700), st.integers(32, 700), st.booleans(), box_arrays(1, 5))
@settings(max_examples=150)
def test_placement_maps_there_and_back(
    size_wh: tuple[int, int], width: int, height: int, stretch: bool, boxes: NDArray[np.float32]
) -> None:
    kind = bx.Placement.stretched if stretch else bx.Placement.letterboxed
    placement = kind(size_wh, (width, height))
    boxes = bx.clip(boxes, size_wh)
    framed = placement.to_frame(boxes)
    assert (framed >= -1e-3).all()
    assert (framed[:, 2] <= width + 1e-2).all()
    np.testing.assert_allclose(placement.to_picture(framed), boxes, atol=0.02)


@pytest.mark.slow
@given(sizes, st.sampled_from([(640, 640), (512, 320), (37, 41)]))
@settings(max_examples=60, deadline=None)
def test_letterbox_lies_where_ultralytics_lays_it(size_wh: tuple[int, int], frame_wh: tuple[int, int]) -> None:
    from ultralytics.data.augment import LetterBox

    params = LetterBox(frame_wh[::-1]).get_params({"img": np.zeros((*size_wh[::-1], 3), np.uint8)})
    placement = bx.Placement.letterboxed(size_wh, frame_wh)
    assert placement.inner_wh == params["new_unpad"]
    assert (placement.left, placement.top) == (params["left"], params["top"])


def test_share_and_distance_from_the_centre() -> None:
    boxes = bx.as_boxes([[0, 0, 100, 50], [-50, 0, 50, 50], [0, 0, 0, 0], [25, 0, 75, 50]])
    np.testing.assert_allclose(bx.share(boxes, (100, 50)), [1, 0.5, 0, 0.5])
    assert bx.off_centre(boxes, (100, 50)).tolist() == [0, 100**2, 100**2 + 50**2, 0]


def test_other_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="shape"):
        bx.as_boxes([1.0, 2.0, 3.0])
