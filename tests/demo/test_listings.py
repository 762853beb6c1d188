"""Listings, their texts, planted faults and the truth about them."""

import json
import re
import struct
import zlib
from collections import Counter
from io import BytesIO

import pytest
from PIL import Image

from tamis.demo.catalogue import LISTING_COUNT, all_cars
from tamis.demo.faults import BROKEN_PICTURES, OUTCOMES, RECOVERING_PICTURES, RELISTED, bomb_png, truncate
from tamis.demo.listings import build_listings
from tamis.demo.pages import format_price, json_ld_node
from tamis.demo.texts import BODY_WORDS, COLOUR_WORDS, places_of
from tamis.demo.truth import load_truth, search_paths


def classes_in(text: str, words_of: dict[str, tuple[str, ...]]) -> set[str]:
    """Classes that a text names by one of their words."""
    return {
        name for name, words in words_of.items() if any(re.search(rf"\b{re.escape(word)}\b", text) for word in words)
    }


def test_cars_cover_all_bodies_and_colours() -> None:
    bodies = Counter(car.subject.body for car in all_cars())
    colours = Counter(car.subject.colour for car in all_cars())
    assert len(all_cars()) == LISTING_COUNT
    assert set(bodies) == set(BODY_WORDS)
    assert min(bodies.values()) >= 5
    assert set(colours) == set(COLOUR_WORDS)
    assert all(500 < car.price < 60_000 for car in all_cars())


def test_what_a_listing_states_stands_where_the_truth_says() -> None:
    truth = {item.listing: item for item in load_truth().items}
    for listing in build_listings():
        if listing.fate != "shown":
            continue
        item = truth[listing.id]
        text = f"{listing.title} {listing.description}"
        model_free = text.replace(listing.car.model, "")
        colours = classes_in(model_free, COLOUR_WORDS)
        assert colours == ({item.colour_stated} if item.colour_in_text else set()), listing.id
        bodies = classes_in(model_free, BODY_WORDS)
        assert bodies == ({item.body_stated} if item.body_in_text else set()), listing.id
        node = json_ld_node(listing, "")
        specified = places_of(listing.car)
        assert ("color" in node) == bool(item.colour_stated and specified.colour_in_specifications)
        assert ("bodyType" in node) == bool(item.body_stated and specified.body_in_specifications)
        assert node.get("vehicleModelDate") == (str(item.year_stated) if item.year_stated else None)


def test_some_statements_are_missing_and_some_are_wrong() -> None:
    items = [item for item in load_truth().items if item.listing <= 1040]
    for stated, true, wrong, missing in (
        ("colour_stated", "colour", 4, 7),
        ("body_stated", "body", 2, 7),
        ("year_stated", "year", 1, 3),
        ("mileage_stated_km", "mileage_km", 1, 3),
    ):
        values = [(getattr(item, stated), getattr(item, true)) for item in items]
        assert sum(said is None for said, _ in values) == missing, stated
        assert sum(said is not None and said != is_true for said, is_true in values) == wrong, stated


def test_prices_are_written_as_in_their_country() -> None:
    listings = {listing.id: listing for listing in build_listings()}
    assert format_price(listings[1004]) == "£21,300"
    assert format_price(listings[1003]) == "4.800 €"


def test_the_markup_is_of_all_kinds() -> None:
    assert {item.markup for item in load_truth().items} == {"both", "html", "json_ld", "broken_json_ld"}


@pytest.mark.parametrize("count", [1, 8, LISTING_COUNT])
def test_a_subset_is_the_beginning_of_the_whole(count: int) -> None:
    whole, part = load_truth(), load_truth(count)
    own = [item for item in part.items if item.listing <= 1040]
    assert own == list(whole.items[:count])
    assert {item.listing for item in part.items} - {item.listing for item in own} == {
        1041 + index for index, number in enumerate(RELISTED) if number < count
    }
    assert {page.outcome for page in part.pages} == {"ok", "not_found", "gone", "robots"}


def test_wrong_counts_are_refused() -> None:
    for count in (0, LISTING_COUNT + 1):
        with pytest.raises(ValueError, match="between 1 and 40"):
            build_listings(count)


def test_without_faults_every_answer_is_good() -> None:
    truth = load_truth(faults=False)
    assert {page.outcome for page in truth.pages} == {"ok"}
    assert {picture.outcome for picture in truth.pictures} == {"ok"}
    assert "broken_json_ld" not in {item.markup for item in truth.items}
    assert {picture.relation for picture in truth.pictures} >= {"exact", "cropped", "mirrored"}


def test_all_faults_and_all_copies_are_in_the_first_eight_listings() -> None:
    truth = load_truth(8)
    planted = {fault for faults in BROKEN_PICTURES.values() for fault in faults} | set(RECOVERING_PICTURES.values())
    assert planted == set(OUTCOMES)
    assert {picture.outcome for picture in truth.pictures} == set(OUTCOMES.values())
    relations = {picture.relation for picture in truth.pictures}
    assert relations == {"original", "exact", "reencoded", "resized", "cropped", "watermarked", "mirrored"}


def test_urls_are_unique_but_for_the_one_that_two_listings_share() -> None:
    urls = Counter(picture.url for picture in load_truth().pictures)
    shared = [url for url, times in urls.items() if times > 1]
    assert len(shared) == len(RELISTED)
    assert all(urls[url] == 2 for url in shared)


def test_copies_name_the_shot_that_they_were_made_from() -> None:
    pictures = [picture for picture in load_truth().pictures if picture.outcome == "ok"]
    originals = {picture.file for picture in pictures if picture.relation == "original"}
    for picture in pictures:
        if picture.relation != "original":
            assert picture.file in originals, picture.url
    first_seen = {picture.same_bytes: picture for picture in reversed(pictures)}
    for picture in pictures:
        assert picture.same_bytes is not None
        if picture.relation == "exact":
            assert first_seen[picture.same_bytes] is not picture


def test_every_original_is_shown_once() -> None:
    pictures = [p for p in load_truth().pictures if p.relation == "original" and p.outcome == "ok"]
    files = Counter(picture.file for picture in pictures)
    assert set(files.values()) == {1}


def test_a_second_dealer_offers_the_same_car() -> None:
    items = load_truth().items
    by_car = Counter(item.car for item in items)
    assert {car for car, times in by_car.items() if times == 2} == set(RELISTED)
    for car, dealer in RELISTED.items():
        own, other = (item for item in items if item.car == car)
        assert own.dealer != other.dealer == dealer
        assert own.title != other.title
        assert own.price != other.price


def test_the_truth_is_a_document_of_plain_values() -> None:
    document = json.loads(json.dumps(load_truth(8, base_url="http://127.0.0.1:1").to_json()))
    assert set(document) == {"items", "pictures", "pages"}
    assert document["items"][0]["url"].startswith("http://127.0.0.1:1/cars/1001/")


def test_search_pages_hold_ten() -> None:
    assert search_paths(8) == ("/cars", "/cars?page=2")
    assert search_paths(8, faults=False) == ("/cars",)
    assert len(search_paths()) == 5


def test_the_bomb_is_a_whole_picture_of_forty_thousand_pixels_squared() -> None:
    body = bomb_png()
    assert len(body) < 300_000
    with pytest.raises(Image.DecompressionBombError):
        Image.open(BytesIO(body))
    position, chunks = 8, []
    while position < len(body):
        length, kind = struct.unpack(">I4s", body[position : position + 8])
        data = body[position + 8 : position + 8 + length]
        assert zlib.crc32(kind + data) == struct.unpack(">I", body[position + 8 + length : position + 12 + length])[0]
        chunks.append((kind, data))
        position += 12 + length
    assert [kind for kind, _ in chunks] == [b"IHDR", b"IDAT", b"IEND"]
    assert struct.unpack(">II", chunks[0][1][:8]) == (40_000, 40_000)
    inflate, size, waiting = zlib.decompressobj(), 0, chunks[1][1]
    while not inflate.eof:  # checks the stream's own checksum at its end
        size += len(inflate.decompress(waiting, 1 << 22))
        waiting = inflate.unconsumed_tail
    assert size == 40_000 * (1 + 5_000)


def test_a_truncated_picture_still_looks_like_one() -> None:
    assert truncate(bytes(100)) == bytes(55)
