"""Draws the pictures of the market place anew, as they are stored in the package."""

from collections.abc import Callable, Iterable
from pathlib import Path

from tamis.demo.catalogue import CarFacts
from tamis.demo.gallery import StoredPicture, describe_picture, encode_picture, write_truth
from tamis.demo.render.views import design_of, draw_view


def write_gallery(
    folder: Path, cars: Iterable[CarFacts], *, report: Callable[[StoredPicture], None] | None = None
) -> list[StoredPicture]:
    """Draw all views of `cars` into `folder`, with their truth beside them; seconds for each picture.

    `report` is told of each picture when it is written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    pictures: list[StoredPicture] = []
    for car in cars:
        plate = design_of(car.subject).plate_text
        for view in car.views:
            photograph = draw_view(car.subject, view)
            picture = describe_picture(car, view, plate, photograph.box_xyxy)
            (folder / picture.file).write_bytes(encode_picture(photograph.image))
            pictures.append(picture)
            if report is not None:
                report(picture)
    write_truth(folder, pictures)
    return pictures
