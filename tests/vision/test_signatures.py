"""Signatures: laws of mirroring and turning, range, and nearness of copies."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from tamis.vision.signatures import (
    WINDOWS,
    as_unsigned,
    glance,
    hamming,
    mirrored_dhashes,
    mirrored_phash,
    part_phashes,
    signatures,
    turned_phashes,
    unpack_parts,
)

SIGNED = st.integers(-(2**63), 2**63 - 1)


def blobs(seed: int, size_wh: tuple[int, int] = (160, 120)) -> NDArray[np.uint8]:
    """A smooth random picture with energy in all low frequencies."""
    coarse = np.random.default_rng(seed).integers(0, 256, (9, 11)).astype(np.uint8)
    return np.asarray(cv2.resize(coarse, size_wh, interpolation=cv2.INTER_CUBIC), dtype=np.uint8)


@pytest.mark.parametrize("seed", range(8))
def test_derived_signatures_are_those_of_the_mirrored_and_turned_picture(seed: int) -> None:
    picture = blobs(seed)
    stored = signatures(picture)
    assert hamming(stored.phash_mirrored, signatures(np.ascontiguousarray(picture[:, ::-1])).phash) <= 2
    (mirrored,) = mirrored_dhashes(np.array([stored.dhash])).tolist()
    assert hamming(mirrored, signatures(np.ascontiguousarray(picture[:, ::-1])).dhash) <= 4
    for orientation in range(8):
        (derived,) = turned_phashes(np.array([stored.phash]), orientation).tolist()
        turned = np.rot90(picture[:, ::-1] if orientation >= 4 else picture, -orientation)
        assert hamming(derived, signatures(np.ascontiguousarray(turned)).phash) <= 2


@pytest.mark.parametrize("seed", range(4))
def test_each_part_is_the_signature_of_its_window_cut_out(seed: int) -> None:
    picture = blobs(seed, (800, 640))
    parts = unpack_parts(part_phashes(picture)).tolist()
    assert len(parts) == len(WINDOWS)
    for part, (left, top, width, height) in zip(parts, WINDOWS, strict=True):
        rows = slice(round(640 * top), round(640 * (top + height)))
        columns = slice(round(800 * left), round(800 * (left + width)))
        assert hamming(part, signatures(np.ascontiguousarray(picture[rows, columns])).phash) <= 3


@pytest.mark.parametrize("size_wh", [(161, 120), (320, 200), (500, 700)])
def test_a_glance_is_the_picture_averaged(size_wh: tuple[int, int]) -> None:
    picture = blobs(1, size_wh)
    fine = cv2.resize(picture, (40, 40), interpolation=cv2.INTER_AREA).astype(int)
    assert np.abs(glance(picture)[400:].reshape(40, 40) - fine).max() <= 2


@given(st.lists(SIGNED))
def test_mirroring_twice_and_turning_four_times_change_nothing(given_hashes: list[int]) -> None:
    hashes = np.array(given_hashes, dtype=np.int64)
    assert [mirrored_phash(mirrored_phash(one)) for one in given_hashes] == given_hashes
    assert turned_phashes(hashes, 4).tolist() == [mirrored_phash(one) for one in given_hashes]
    assert mirrored_dhashes(mirrored_dhashes(hashes)).tolist() == given_hashes
    turned = hashes
    for orientation in (1, 2, 3, 4):
        turned = turned_phashes(turned, 1)
        assert turned.tolist() == turned_phashes(hashes, orientation % 4).tolist()


@given(SIGNED, SIGNED)
def test_hamming_counts_differing_bits_of_signed_integers(first: int, second: int) -> None:
    unsigned = as_unsigned(np.array([first, second]))
    assert hamming(first, second) == int(np.bitwise_count(unsigned[0] ^ unsigned[1]))
    assert hamming(first, first) == 0


@pytest.mark.parametrize("seed", range(8))
def test_copies_are_near_and_strangers_far(seed: int) -> None:
    picture = blobs(seed)
    stored = signatures(picture)
    smaller = np.asarray(cv2.resize(picture, (64, 64), interpolation=cv2.INTER_AREA), dtype=np.uint8)
    brighter = (picture * 0.8 + 40).astype(np.uint8)
    noisy = np.clip(picture + np.random.default_rng(seed).normal(0, 8, picture.shape), 0, 255).astype(np.uint8)
    for copy in (smaller, brighter, noisy):
        assert hamming(stored.phash, signatures(copy).phash) <= 4
        assert hamming(stored.dhash, signatures(copy).dhash) <= 6
    assert hamming(stored.phash, signatures(blobs(seed + 100)).phash) >= 16


@pytest.mark.parametrize("shape", [(1, 1), (1, 50), (50, 1), (2, 3)])
def test_the_smallest_pictures_have_signatures_within_64_signed_bits(shape: tuple[int, int]) -> None:
    stored = signatures(np.full(shape, 77, dtype=np.uint8))
    for value in (stored.phash, stored.phash_mirrored, stored.dhash):
        assert -(2**63) <= value < 2**63
