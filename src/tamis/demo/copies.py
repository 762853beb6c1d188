"""The pictures as the site serves them: originals in a web encoding, and copies edited in known ways."""

from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO
from typing import Literal

from PIL import Image, ImageDraw, ImageFont, ImageOps

from tamis.demo.gallery import Box, read_picture
from tamis.demo.render.subject import PICTURE_SIZE_WH

Alteration = Literal["reencoded", "resized", "cropped", "watermarked", "mirrored"]
Edit = Literal["none"] | Alteration
Encoding = Literal["jpeg", "webp"]

JPEG_QUALITY = 88
_COPY_QUALITY: dict[Encoding, int] = {"jpeg": 60, "webp": 45}
_RESIZED_WH = (448, 336)
_CROP_XYXY = (38, 36, 618, 456)
_WATERMARK = "www.two-oaks-cars.example"


@dataclass(frozen=True, slots=True)
class Rendition:
    """How a stored picture is served; equal renditions have equal bytes."""

    file: str
    edit: Edit
    encoding: Encoding

    @property
    def size_wh(self) -> tuple[int, int]:
        """Width and height in pixels as served."""
        if self.edit == "resized":
            return _RESIZED_WH
        if self.edit == "cropped":
            return _CROP_XYXY[2] - _CROP_XYXY[0], _CROP_XYXY[3] - _CROP_XYXY[1]
        return PICTURE_SIZE_WH

    def map_box(self, box_xyxy: Box) -> Box:
        """Carry a box over from the stored picture to the served one, both in pixels."""
        left, top, right, bottom = box_xyxy
        width, height = PICTURE_SIZE_WH
        if self.edit == "resized":
            scale_x, scale_y = _RESIZED_WH[0] / width, _RESIZED_WH[1] / height
            return left * scale_x, top * scale_y, right * scale_x, bottom * scale_y
        if self.edit == "mirrored":
            return width - right, top, width - left, bottom
        if self.edit == "cropped":
            shown_wh = self.size_wh
            xs = [min(max(x - _CROP_XYXY[0], 0), shown_wh[0]) for x in (left, right)]
            ys = [min(max(y - _CROP_XYXY[1], 0), shown_wh[1]) for y in (top, bottom)]
            return xs[0], ys[0], xs[1], ys[1]
        return box_xyxy


@lru_cache(maxsize=1024)
def render_bytes(rendition: Rendition) -> bytes:
    """Make the bytes of one rendition; the same on every call."""
    stored = read_picture(rendition.file)
    if rendition.edit == "none" and rendition.encoding == "webp":
        return stored
    image = _edited(Image.open(BytesIO(stored)).convert("RGB"), rendition.edit)
    quality = JPEG_QUALITY if rendition.edit == "none" else _COPY_QUALITY[rendition.encoding]
    return _encode(image, rendition.encoding, quality)


@lru_cache(maxsize=256)
def render_thumbnail(rendition: Rendition, size_wh: tuple[int, int]) -> bytes:
    """Make the small JPEG that search results show."""
    image = Image.open(BytesIO(render_bytes(rendition))).convert("RGB")
    return _encode(image.resize(size_wh, Image.Resampling.LANCZOS), "jpeg", 80)


def _edited(image: Image.Image, edit: Edit) -> Image.Image:
    if edit == "resized":
        return image.resize(_RESIZED_WH, Image.Resampling.LANCZOS)
    if edit == "cropped":
        return image.crop(_CROP_XYXY)
    if edit == "mirrored":
        return ImageOps.mirror(image)
    return _watermarked(image) if edit == "watermarked" else image


def _watermarked(image: Image.Image) -> Image.Image:
    """Write the dealer's address across the picture and on a strip below."""
    width, height = image.size
    layer = Image.new("RGBA", image.size)
    pen = ImageDraw.Draw(layer)
    pen.rectangle([0, height - 34, width, height], fill=(16, 70, 60, 200))
    pen.text(
        (width / 2, height - 17), _WATERMARK, font=ImageFont.load_default(22), fill=(255, 255, 255, 255), anchor="mm"
    )
    across = Image.new("RGBA", image.size)
    pen = ImageDraw.Draw(across)
    pen.text(
        (width / 2, height / 2), _WATERMARK, font=ImageFont.load_default(44), fill=(255, 255, 255, 92), anchor="mm"
    )
    layer.alpha_composite(across.rotate(28, Image.Resampling.BICUBIC))
    return Image.alpha_composite(image.convert("RGBA"), layer).convert("RGB")


def _encode(image: Image.Image, encoding: Encoding, quality: int) -> bytes:
    buffer = BytesIO()
    if encoding == "jpeg":
        image.save(buffer, "JPEG", quality=quality, optimize=True)
    else:
        image.save(buffer, "WEBP", quality=quality, method=4)
    return buffer.getvalue()
