"""Redraws the pictures of the market place: `python -m tamis.demo.render --out DIR [--listing N]`."""

import sys
from pathlib import Path

import click

from tamis.demo.catalogue import LISTING_COUNT, all_cars
from tamis.demo.gallery import StoredPicture
from tamis.demo.redraw import write_gallery


@click.command()
@click.option(
    "--out", "folder", type=click.Path(file_okay=False, path_type=Path), required=True, help="folder to write to"
)
@click.option("--listing", type=click.IntRange(0, LISTING_COUNT - 1), help="draw this listing alone")
def redraw(folder: Path, listing: int | None) -> None:
    """Redraw the pictures as WebP, with `truth.json` beside them; a few seconds for each picture."""
    cars = all_cars() if listing is None else (all_cars()[listing],)

    def report(picture: StoredPicture) -> None:
        click.echo(picture.file, err=True)

    write_gallery(folder, cars, report=report)


if __name__ == "__main__":
    sys.exit(redraw())
