"""Routes that render pictures: crops of samples and whole pictures of the project, never anything else."""

from __future__ import annotations

from typing import Annotated

import sqlalchemy as sa
from fastapi import APIRouter, HTTPException, Query, Request, Response
from fastapi import Path as InPath

from tamis import schema
from tamis.annotate.messages import PublicId
from tamis.annotate.pictures import SIZES, nearest_size
from tamis.annotate.samples import crop_of, regions_by_public_id
from tamis.annotate.web import InWeb, Reader, Web
from tamis.blobs import BlobCorrupt, BlobMissing
from tamis.database import reading
from tamis.errors import Unreadable
from tamis.records import digest
from tamis.vision.boxes import CropBox

router = APIRouter(prefix="/image", tags=["pictures"])
Size = Annotated[int, Query(ge=16, le=SIZES[-1], description="longer side in pixels; rounded up")]
Version = Annotated[str, Query(max_length=16, description="with a version the picture may be kept for ever")]
Sha256 = Annotated[str, InPath(pattern=r"^[0-9a-f]{64}$")]


@router.get("/{public_id}/crop", response_class=Response)
def crop(public_id: PublicId, request: Request, web: InWeb, _: Reader, size: Size = 512, v: Version = "") -> Response:
    """The crop of a sample as JPEG."""
    region, image, inspection = schema.region, schema.image, schema.inspection
    with reading(web.project.engine) as connection:
        region_id = regions_by_public_id(connection, [public_id]).get(public_id)
        statement = (
            sa.select(image.c.sha256, region, inspection.c.width, inspection.c.height)
            .join(image, image.c.id == region.c.image_id)
            .outerjoin(inspection, inspection.c.image_id == image.c.id)
            .where(region.c.id == region_id)
        )
        row = connection.execute(statement).mappings().first()
    if row is None or row["width"] is None or row["height"] is None:
        raise HTTPException(404, f"no sample {public_id}")
    box = crop_of(web.project.settings, (row["x0"], row["y0"], row["x1"], row["y1"]), (row["width"], row["height"]))
    return _picture(request, web, row["sha256"], box, size, bool(v))


@router.get("/{sha256}/thumb", response_class=Response)
def thumb(sha256: Sha256, request: Request, web: InWeb, _: Reader, size: Size = 256, v: Version = "") -> Response:
    """A whole picture of the project as JPEG."""
    with reading(web.project.engine) as connection:
        known = connection.execute(sa.select(schema.image.c.id).where(schema.image.c.sha256 == sha256)).scalar()
    if known is None:
        raise HTTPException(404, f"no picture {sha256} in this project")
    return _picture(request, web, sha256, None, size, bool(v))


def _picture(request: Request, web: Web, sha256: str, box: CropBox | None, size: int, kept: bool) -> Response:
    size = nearest_size(size)
    headers = {
        "etag": f'"{digest(sha256, repr(box), size)}"',
        "cache-control": "private, max-age=31536000, immutable" if kept else "private, no-cache",
    }
    if request.headers.get("if-none-match") == headers["etag"]:
        return Response(status_code=304, headers=headers)
    try:
        data = web.pictures.jpeg(sha256, box, size)
    except (BlobMissing, BlobCorrupt) as error:
        raise HTTPException(404, f"the bytes of {sha256} are not in the store") from error
    except Unreadable as error:
        raise HTTPException(422, f"{sha256} cannot be shown: {error.reason}") from error
    return Response(data, media_type="image/jpeg", headers=headers)
