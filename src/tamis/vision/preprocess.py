"""How a crop becomes the input of a network: one description that training, inference and the model card share.

What a network saw while it learned it must see ever after, so the description has a digest and travels with the model.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal, cast, get_args

from tamis.records import digest

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Fit = Literal["letterbox", "stretch", "crop"]
Interpolation = Literal["nearest", "bilinear", "bicubic"]

#: Part of every digest: raise it whenever the same description yields other pixels.
_VERSION = 1

#: Statistics of ImageNet, with which most pretrained networks were trained.
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """Geometry and scale of a network's input.

    `size` is the side of a square or (width, height) in pixels. `fit` says what becomes of another aspect: "letterbox"
    shows the whole picture undistorted on a ground of colour `pad_rgb`, "stretch" shows the whole of it distorted,
    "crop" fills the frame and loses what juts out on two sides. Pixels are divided by 255, less `mean`, over `std`.
    `interpolation` is used where a picture is enlarged; shrinking averages over areas ("nearest" apart).

    Raises:
        ValueError: a value out of range, named in the message.
    """

    size: int | tuple[int, int]
    fit: Fit = "letterbox"
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    interpolation: Interpolation = "bicubic"
    pad_rgb: tuple[int, int, int] = (114, 114, 114)

    def __post_init__(self) -> None:
        size = (self.size, self.size) if isinstance(self.size, int) else tuple(self.size)
        if len(size) != 2 or not all(1 <= side <= 8192 for side in size):
            raise ValueError(f"size {self.size} is neither a side nor (width, height) from 1 to 8192")
        if self.fit not in get_args(Fit):
            raise ValueError(f"fit {self.fit!r} is none of {', '.join(get_args(Fit))}")
        if self.interpolation not in get_args(Interpolation):
            raise ValueError(f"interpolation {self.interpolation!r} is none of {', '.join(get_args(Interpolation))}")
        if len(self.mean) != 3 or len(self.std) != 3 or min(self.std) <= 0:
            raise ValueError("mean and std take three values each, and std positive ones")
        if len(self.pad_rgb) != 3 or not all(0 <= value <= 255 for value in self.pad_rgb):
            raise ValueError(f"pad_rgb {self.pad_rgb} is no colour of three values from 0 to 255")
        object.__setattr__(self, "size", size)  # one form, so that equal descriptions are equal

    @property
    def size_wh(self) -> tuple[int, int]:
        """Width and height of the network's input in pixels."""
        return cast("tuple[int, int]", self.size)

    @property
    def digest(self) -> str:
        """Key of the description: equal digests give equal inputs."""
        return digest("preprocessing", _VERSION, json.dumps(self.to_json(), sort_keys=True))

    def to_json(self) -> dict[str, Any]:
        """The description as plain JSON values."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Preprocessing:
        """Read what `to_json` wrote.

        Raises:
            ValueError: a key is missing or unknown, or a value is out of range.
        """
        names = set(cls.__slots__)
        if unknown := set(values) ^ names:
            raise ValueError(f"preprocessing has missing or unknown keys: {', '.join(sorted(unknown))}")
        try:
            return cls(
                size=(int(values["size"][0]), int(values["size"][1])),
                fit=values["fit"],
                mean=_three_floats(values["mean"]),
                std=_three_floats(values["std"]),
                interpolation=values["interpolation"],
                pad_rgb=cast("tuple[int, int, int]", tuple(int(value) for value in values["pad_rgb"])),
            )
        except (TypeError, IndexError) as error:
            raise ValueError(f"preprocessing has a value of the wrong kind: {error}") from error

    def fit_image(self, image_rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return the picture in the network's size, uint8 (H, W, 3); `image_rgb` is uint8 (h, w, 3), not empty."""
        if image_rgb.ndim != 3 or image_rgb.shape[2] != 3 or 0 in image_rgb.shape or image_rgb.dtype.name != "uint8":
            raise ValueError(f"expected uint8 (height, width, 3), not {image_rgb.dtype} {image_rgb.shape}")
        if self.fit == "stretch":
            return resize(image_rgb, self.size_wh, self.interpolation)
        if self.fit == "crop":
            return resize(_centre_of_aspect(image_rgb, self.size_wh), self.size_wh, self.interpolation)
        return letterbox(image_rgb, self.size_wh, self.pad_rgb, self.interpolation)

    def normalise(self, fitted_rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return float32 (..., 3, H, W) of fitted pictures, uint8 (..., H, W, 3)."""
        import numpy as np  # noqa: PLC0415 - a description is read without it

        scale = np.float32(1 / 255) / np.asarray(self.std, np.float32)
        offset = np.asarray(self.mean, np.float32) / np.asarray(self.std, np.float32)
        scaled = fitted_rgb.astype(np.float32) * scale - offset
        return np.ascontiguousarray(np.moveaxis(scaled, -1, -3))

    def apply(self, image_rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the network's input, float32 (3, H, W), of a picture uint8 (h, w, 3)."""
        return self.normalise(self.fit_image(image_rgb))

    def batch(self, images_rgb: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """Return the network's input, float32 (n, 3, H, W), of n pictures of any sizes."""
        import numpy as np  # noqa: PLC0415

        width, height = self.size_wh
        if not images_rgb:
            return np.zeros((0, 3, height, width), np.float32)
        return self.normalise(np.stack([self.fit_image(image) for image in images_rgb]))


def resize(
    image: NDArray[np.uint8], size_wh: tuple[int, int], interpolation: Interpolation = "bicubic"
) -> NDArray[np.uint8]:
    """Return the picture, uint8 (h, w) or (h, w, channels), in another size without aliasing.

    An axis that shrinks is averaged over areas, an axis that grows is interpolated; OpenCV averages only where both
    shrink, hence the two steps where one does and the other doesn't.
    """
    import cv2  # noqa: PLC0415

    height, width = image.shape[:2]
    if (width, height) == size_wh:
        return image.copy()
    if interpolation == "nearest":
        return _resized(image, size_wh, cv2.INTER_NEAREST)
    smaller = (min(width, size_wh[0]), min(height, size_wh[1]))
    if smaller != (width, height):
        image = _resized(image, smaller, cv2.INTER_AREA)
    if smaller == size_wh:
        return image
    return _resized(image, size_wh, cv2.INTER_LINEAR if interpolation == "bilinear" else cv2.INTER_CUBIC)


def letterbox(
    image_rgb: NDArray[np.uint8],
    size_wh: tuple[int, int],
    pad_rgb: tuple[int, int, int],
    interpolation: Interpolation = "bicubic",
) -> NDArray[np.uint8]:
    """Return the whole picture, undistorted and centred, on a ground of one colour; uint8 (H, W, 3)."""
    import numpy as np  # noqa: PLC0415

    height, width = image_rgb.shape[:2]
    inner_wh = fitted_size((width, height), size_wh)
    inner = resize(image_rgb, inner_wh, interpolation)
    if inner_wh == size_wh:
        return inner
    framed = np.empty((size_wh[1], size_wh[0], 3), np.uint8)
    framed[:] = pad_rgb
    left, top = (size_wh[0] - inner_wh[0]) // 2, (size_wh[1] - inner_wh[1]) // 2
    framed[top : top + inner_wh[1], left : left + inner_wh[0]] = inner
    return framed


def fitted_size(size_wh: tuple[int, int], frame_wh: tuple[int, int]) -> tuple[int, int]:
    """Return the largest whole (width, height) of the same aspect inside the frame, at least one pixel a side."""
    scale = min(frame_wh[0] / size_wh[0], frame_wh[1] / size_wh[1])
    return (
        min(frame_wh[0], max(1, round(size_wh[0] * scale))),
        min(frame_wh[1], max(1, round(size_wh[1] * scale))),
    )


def _centre_of_aspect(image: NDArray[np.uint8], size_wh: tuple[int, int]) -> NDArray[np.uint8]:
    height, width = image.shape[:2]
    inner_width, inner_height = fitted_size(size_wh, (width, height))
    left, top = (width - inner_width) // 2, (height - inner_height) // 2
    return image[top : top + inner_height, left : left + inner_width]


def _resized(image: NDArray[np.uint8], size_wh: tuple[int, int], method: int) -> NDArray[np.uint8]:
    import cv2  # noqa: PLC0415

    return cast("NDArray[np.uint8]", cv2.resize(image, size_wh, interpolation=method))


def _three_floats(values: Sequence[Any]) -> tuple[float, float, float]:
    if len(values) != 3:
        raise ValueError(f"expected three values, not {len(values)}")
    return (float(values[0]), float(values[1]), float(values[2]))
