"""What was done to a picture, told from how its scores exceed those of a copy."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tamis.vision.harm import Traits, added_bands, added_letters, harm, lost_content, softness
from tamis.vision.keepers import Facts

NONE = Traits(0, 0, 0, 0, 0, 0, 0, 0)
PHOTO = Facts(
    pixels=480_000, sharpness=6.0, contrast=0.2, blockiness=1.1, noise=0.01, colourfulness=0.3, text_share=0.005,
    border_share=0.0, size=60_000,
)  # fmt: skip
EXCESS = st.builds(Traits, *[st.floats(-2, 2)] * len(NONE))


@given(EXCESS)
def test_harm_to_the_one_is_that_of_the_other_turned_round(more: Traits) -> None:
    assert harm(more.negated()) == -harm(more)


def test_nothing_was_done_to_pictures_that_score_alike() -> None:
    traits = Traits.of(PHOTO)
    assert traits.beyond(traits) == NONE
    assert harm(NONE) == softness(NONE) == lost_content(traits, NONE) == added_bands(traits, NONE) == 0


def test_pictures_without_anything_have_traits() -> None:
    assert all(math.isfinite(trait) for trait in Traits.of(Facts(border_share=1.0, colourfulness=0.0)))


@pytest.mark.parametrize(
    "done",
    [
        NONE._replace(colour=-0.01),
        NONE._replace(letters=0.01),
        NONE._replace(edges=0.1, size=0.3),
        NONE._replace(colour=-0.01, edges=-0.2, size=0.4),
        NONE._replace(edges=0.1, noise=0.1, colour=0.002, size=-0.3),
        NONE._replace(blocks=0.1, size=-0.3),
        NONE._replace(edges=-0.07, noise=-0.3, colour=-0.012, size=-0.8),
        NONE._replace(edges=0.3, colour=0.07, size=-0.5),
    ],
    ids=[
        "faded",
        "lettered",
        "drawn on, coded better",
        "blurred, coded better",
        "ringing",
        "blocks",
        "smoothed",
        "coloured banner, coded worse",
    ],
)
def test_harm_is_told(done: Traits) -> None:
    assert harm(done) > 0.5


def test_a_change_of_colour_on_purpose_is_no_loss() -> None:
    assert harm(NONE._replace(colour=-0.3)) == 0
    assert softness(NONE._replace(edges=-1.0, noise=-1.0, colour=0.01)) == 0
    assert softness(NONE._replace(edges=-1.0, noise=-0.6, colour=-0.01)) == pytest.approx(0.6)


def test_a_frame_adds_no_content() -> None:
    plain, framed = Traits.of(PHOTO), Traits.of(Facts(pixels=640_000, border_share=0.25))
    assert lost_content(plain, plain.beyond(framed)) == lost_content(framed, framed.beyond(plain)) == 0
    assert added_bands(framed, framed.beyond(plain)) == pytest.approx(0.25)
    assert added_bands(plain, plain.beyond(framed)) == 0


def test_the_plain_ground_around_a_thing_is_no_frame() -> None:
    ground = Traits.of(Facts(pixels=480_000, border_share=0.6))
    marked = Traits.of(Facts(pixels=480_000, border_share=0.2))
    assert lost_content(ground, ground.beyond(marked)) == added_bands(ground, ground.beyond(marked)) == 0
    framed = Traits.of(Facts(pixels=640_000, border_share=0.25))
    assert lost_content(ground, ground.beyond(framed)) == 0
    half = Traits.of(Facts(pixels=120_000, border_share=0.6))
    assert lost_content(half, half.beyond(ground)) == pytest.approx(math.log(4))


def test_lettering_that_coding_smeared_was_not_added() -> None:
    text, smeared = Traits.of(Facts(text_share=0.08)), Traits.of(Facts(text_share=0.06))
    assert added_letters(text, text.beyond(smeared)) == pytest.approx(0)
    assert added_letters(text, text.beyond(Traits.of(Facts()))) == pytest.approx(0.08)
