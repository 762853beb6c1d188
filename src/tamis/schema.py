"""The whole database in one file: every table, column and index, with what it means.

Keys of URLs and contents are fixed-length hexadecimal digests compared byte by byte; times are seconds since the
epoch (UTC); signatures are signed 64-bit integers. `docs/schema.md` is generated from the comments below.
"""

from __future__ import annotations

from sqlalchemy import (
    CHAR,
    JSON,
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)
from sqlalchemy.types import TypeEngine

#: Bytes that the medium texts and blobs of MySQL hold, a type that it takes for a bound as large.
_MEDIUM = 2**24 - 1
#: Bound on the text that one column holds, in characters.
TEXT_LIMIT = 1_000_000

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _id_type() -> TypeEngine[int]:
    """64-bit ids; SQLite numbers rows by itself only under the type INTEGER."""
    return BigInteger().with_variant(Integer, "sqlite")


def _digest(length: int) -> TypeEngine[str]:
    """A hexadecimal digest, compared byte by byte on every database."""
    return String(length).with_variant(CHAR(length, collation="ascii_bin"), "mysql", "mariadb")


def _exact(length: int) -> TypeEngine[str]:
    """A short name whose case and accents count, also where the database would fold them."""
    return String(length).with_variant(String(length, collation="utf8mb4_bin"), "mysql", "mariadb")


def _long_text() -> TypeEngine[str]:
    return Text().with_variant(Text(_MEDIUM), "mysql", "mariadb")


def _long_bytes() -> TypeEngine[bytes]:
    return LargeBinary().with_variant(LargeBinary(_MEDIUM), "mysql", "mariadb")


def _key(comment: str) -> Column[int]:
    return Column("id", _id_type(), primary_key=True, autoincrement=True, comment=comment)


def _refers(name: str, target: str, comment: str, *, nullable: bool = False) -> Column[int]:
    return Column(name, _id_type(), ForeignKey(target), nullable=nullable, comment=comment)


# --- crawl: where things were found -------------------------------------------------------------------------------

source = Table(
    "source",
    metadata,
    _key("number of the source"),
    Column("name", _exact(100), nullable=False, unique=True, comment="name in tamis.toml, or the host"),
    Column("kind", String(16), nullable=False, comment="site, urls, folder or saved"),
    Column("address", Text, nullable=False, comment="first URL, or the file or folder"),
    Column("recipe", _exact(100), nullable=False, comment="recipe that reads its pages"),
    Column(
        "round",
        Integer,
        nullable=False,
        default=1,
        comment="pass over its pages, from 1; `tamis crawl --again` begins the next",
    ),
    Column("round_began_at", Double, comment="when the pass began; null for the first"),
    Column("round_ended_at", Double, comment="when nothing was left to ask for in the pass"),
    comment="Where listings come from.",
)

host = Table(
    "host",
    metadata,
    Column("name", _exact(255), primary_key=True, comment="host and port, lower case"),
    Column("robots_status", Integer, comment="HTTP status of robots.txt; null before it was asked for"),
    Column("robots_body", _long_text(), comment="robots.txt as it was served (first 512 KiB)"),
    Column("robots_fetched_at", Double, comment="when robots.txt was read"),
    Column("delay", Double, nullable=False, comment="seconds between two requests now in force"),
    Column("next_request_at", Double, nullable=False, comment="no request before this time"),
    Column("failures", Integer, nullable=False, comment="failures in a row"),
    Column("paused_until", Double, comment="circuit breaker: no request before this time"),
    Column("paused_reason", Text, comment="why the host is paused"),
    Column("lease_owner", _exact(100), comment="crawler that may ask this host"),
    Column(
        "lease_fence",
        BigInteger,
        nullable=False,
        comment="grows with each lease, so that a late writer is refused",
    ),
    Column("lease_until", Double, nullable=False, comment="end of the lease"),
    comment="Politeness: one row a host, shared by all crawlers of the project.",
)

page = Table(
    "page",
    metadata,
    _key("number of the page"),
    Column("url_key", _digest(32), nullable=False, unique=True, comment="digest of the canonical URL"),
    Column("url", Text, nullable=False, comment="URL as it is requested"),
    _refers("source_id", "source.id", "source that it belongs to"),
    Column("host", _exact(255), nullable=False, comment="host of the URL"),
    Column("kind", String(16), nullable=False, comment="results, item, other, feed or unknown"),
    Column("state", String(16), nullable=False, comment="pending, done (an outcome) or failed (may be retried)"),
    Column(
        "outcome",
        String(32),
        comment="ok, not_found, gone, robots, redirected, offsite, trap, blocked, unreadable, server_error, ...",
    ),
    Column("reason", Text, comment="one line for people"),
    Column("depth", Integer, nullable=False, comment="links from the start page"),
    Column("priority", Integer, nullable=False, comment="larger first"),
    Column("found_on", _id_type(), comment="page that linked here first"),
    Column("listed_at", Double, comment="last time that a result page listed it as one of its results"),
    Column("form", _digest(32), comment="digest of the URL without its numbers and values: session traps repeat it"),
    Column(
        "found", Integer, comment="items, and links of another form, that it brought; 0 for many in a row is a trap"
    ),
    Column("status", Integer, comment="HTTP status"),
    Column("robots_verdict", String(32), comment="what robots.txt said: allowed, forbidden, unavailable, ignored"),
    Column("directives", Text, comment="X-Robots-Tag and robots meta of the page"),
    Column("content_type", Text, comment="as the server said"),
    Column("body_sha256", _digest(64), comment="stored body, gzip-compressed in the blob store"),
    Column("size", BigInteger, comment="bytes of the last answer's body, unpacked"),
    Column(
        "reader", _digest(32), comment="of the extractor and the recipe that read it; another one makes a replay due"
    ),
    Column("etag", Text, comment="for the next conditional request"),
    Column("last_modified", Text, comment="for the next conditional request"),
    Column("attempts", Integer, nullable=False, comment="requests made since it was last due"),
    Column("not_before", Double, nullable=False, comment="a failed page waits until then"),
    Column("fetched_at", Double, comment="time of the last answer"),
    Index(None, "state", "host", "priority"),
    Index("ix_page_tally", "state", "outcome"),
    Index(None, "host", "form", "fetched_at"),
    Index(None, "source_id", "state"),
    comment="The frontier and its history: a URL is a row before it is requested.",
)

item = Table(
    "item",
    metadata,
    _key("number of the item"),
    Column(
        "item_key",
        _digest(32),
        nullable=False,
        unique=True,
        comment="digest of the source and the item's own identity (URL)",
    ),
    _refers("source_id", "source.id", "source that it was found in"),
    _refers("page_id", "page.id", "page that it was read from; null for folders and lists", nullable=True),
    Column("url", Text, nullable=False, comment="address of the item"),
    Column("title", Text, nullable=False, comment="title"),
    Column("brand", Text, comment="brand or make"),
    Column("model", Text, comment="model"),
    Column("price", Double, comment="price in the currency given"),
    Column("currency", String(3), comment="ISO 4217"),
    Column("sku", Text, comment="the seller's number"),
    Column("seller", Text, comment="who sells it"),
    Column("availability", String(16), comment="InStock or OutOfStock"),
    Column("description", _long_text(), nullable=False, comment="description"),
    Column("attributes", JSON, nullable=False, comment="name to text, as the page states them"),
    Column("sources", JSON, nullable=False, comment="field to the place that it was read from"),
    Column("raw", JSON, nullable=False, comment="the raw record"),
    Column(
        "digest",
        _digest(32),
        nullable=False,
        comment="of all that is mined: a change makes mining pending again",
    ),
    Column("first_seen", Double, nullable=False, comment="first time"),
    Column("last_seen", Double, nullable=False, comment="last time"),
    Column("vanished_at", Double, comment="when it was no longer there"),
    Index(None, "page_id"),
    Index("ix_item_tally", "source_id", "first_seen", "last_seen", "vanished_at"),
    comment="One thing for sale.",
)

item_change = Table(
    "item_change",
    metadata,
    _key("number of the change; a larger one is later"),
    _refers("item_id", "item.id", "item that changed"),
    Column("at", Double, nullable=False, comment="when it was noticed"),
    Column("kind", String(16), nullable=False, comment="changed, vanished or returned"),
    Column(
        "cause",
        String(16),
        nullable=False,
        comment="crawl (its page), listing (the result pages) or replay (read otherwise)",
    ),
    Column("reason", Text, comment="why it counts as vanished"),
    Column(
        "fields", JSON, nullable=False, comment="field to what it was and what it is; of lists, what left and what came"
    ),
    Column("body_sha256", _digest(64), comment="stored body of the page before the change"),
    Index(None, "item_id"),
    Index(None, "at"),
    comment="What items were before: appended with each change, never changed itself.",
)

crawl_run = Table(
    "crawl_run",
    metadata,
    _key("number of the run"),
    _refers("source_id", "source.id", "source that was read"),
    Column("kind", String(16), nullable=False, comment="crawl or replay"),
    Column("recipe", _exact(100), nullable=False, comment="recipe that read it"),
    Column("began_at", Double, nullable=False, comment="items read since then are counted"),
    Column("ended_at", Double, nullable=False, comment="when the run ended"),
    Column("expected", Integer, nullable=False, comment="pages that were to show an item"),
    Column("items", Integer, nullable=False, comment="items that were read"),
    Column("fields", JSON, nullable=False, comment="field to the number of items that had it"),
    Column("warnings", JSON, nullable=False, comment="what fell against the runs before, one line each"),
    Index(None, "source_id", "ended_at"),
    comment="What the recipe of a source gave in one run: the yield that later runs are held against.",
)

picture = Table(
    "picture",
    metadata,
    _key("number of the picture"),
    _refers("item_id", "item.id", "item that shows it"),
    Column("position", Integer, nullable=False, comment="place in the item's gallery, from 0"),
    Column(
        "url_key",
        _digest(32),
        nullable=False,
        comment="digest of the canonical URL; pictures with one key are downloaded once",
    ),
    Column("photo_key", _digest(32), comment="digest of the photo that the URL is a rendition of; empty for files"),
    Column("url", Text, nullable=False, comment="URL, or the path below a folder source"),
    Column("host", _exact(255), nullable=False, comment="host of the URL; empty for files"),
    Column("state", String(16), nullable=False, comment="pending, done (an outcome) or failed (may be retried)"),
    Column(
        "outcome",
        String(32),
        comment="ok, not_found, forbidden, robots, noai, not_image, truncated, too_large, too_many_pixels, ...",
    ),
    Column("reason", Text, comment="one line for people"),
    Column("status", Integer, comment="HTTP status"),
    Column("attempts", Integer, nullable=False, comment="requests made"),
    Column("not_before", Double, nullable=False, comment="a failed picture waits until then"),
    Column("downloaded_at", Double, comment="time of the last answer"),
    Column("left_at", Double, comment="when it left the item's gallery; null while it is there"),
    _refers("image_id", "image.id", "the bytes", nullable=True),
    UniqueConstraint("item_id", "url_key"),
    Index(None, "state", "host"),
    Index("ix_picture_tally", "state", "outcome"),
    Index(None, "image_id"),
    Index(None, "photo_key"),
    Index(None, "url_key"),
    comment="An item's reference to an image.",
)

image = Table(
    "image",
    metadata,
    _key("number of the image"),
    Column(
        "sha256",
        _digest(64),
        nullable=False,
        unique=True,
        comment="SHA-256 of the bytes, and their name in the store",
    ),
    Column("size", BigInteger, nullable=False, comment="bytes"),
    Column("first_seen", Double, nullable=False, comment="first time"),
    comment="Unique bytes. Byte copies are one image with several pictures.",
)

# --- curation: scores ---------------------------------------------------------------------------------------------

inspection = Table(
    "inspection",
    metadata,
    Column("image_id", _id_type(), ForeignKey("image.id"), primary_key=True, comment="image"),
    Column("readable", Boolean, nullable=False, comment="could be decoded within the limits"),
    Column("reason", Text, comment="why not"),
    Column("format", String(16), comment="JPEG, PNG, WEBP, ..."),
    Column("mode", String(16), comment="RGB, L, CMYK, ... before conversion"),
    Column("width", Integer, comment="pixels, upright"),
    Column("height", Integer, comment="pixels, upright"),
    Column("orientation", Integer, comment="EXIF orientation 1 to 8"),
    Column("sharpness", Double, comment="log of the Laplacian's variance, 256 px long side"),
    Column("brightness", Double, comment="mean luma, 0 to 1"),
    Column("contrast", Double, comment="standard deviation of the luma, 0 to 0.5"),
    Column("clipped_dark", Double, comment="share of pixels below 4 %"),
    Column("clipped_bright", Double, comment="share of pixels above 96 %"),
    Column("blockiness", Double, comment="step at the 8-pixel grid over the steps elsewhere; null at scale 1/8"),
    Column("noise", Double, comment="robust noise estimate, 0 to 1"),
    Column("entropy", Double, comment="bits of the luma histogram, 0 to 8"),
    Column("colourfulness", Double, comment="Hasler and Suesstrunk, 0 to about 1"),
    Column("text_share", Double, comment="share of the picture that looks like lettering or a banner"),
    Column("border_share", Double, comment="share of the picture that plain bands along its edges cover"),
    Column("phash", BigInteger, comment="DCT signature, signed 64-bit"),
    Column("phash_mirrored", BigInteger, comment="DCT signature of the mirrored picture"),
    Column("dhash", BigInteger, comment="gradient signature, signed 64-bit"),
    Column("parts", LargeBinary, comment="DCT signatures of windows of the picture, signed 64-bit, little-endian"),
    Column("pixel_digest", _digest(32), comment="of size and pixels at the decoded scale: equal for re-wrapped files"),
    comment="What one decode of an image told: facts, quality scores, signatures.",
)

relation = Table(
    "relation",
    metadata,
    Column("level", String(8), primary_key=True, comment="image or region"),
    Column("first_id", _id_type(), primary_key=True, comment="smaller id of the pair"),
    Column("second_id", _id_type(), primary_key=True, comment="larger id of the pair"),
    Column(
        "kind",
        String(16),
        nullable=False,
        comment="same_pixels, recompressed, edited, mirrored, rotated or same_scene",
    ),
    Column("score", Double, nullable=False, comment="0 to 1, of the verification"),
    Column(
        "distance",
        Integer,
        nullable=False,
        comment="Hamming distance of the signatures that proposed the pair",
    ),
    Index(None, "level", "second_id"),
    comment="Pairs that were compared, with what they are to each other; a deciding threshold makes clusters of them.",
)

cluster = Table(
    "cluster",
    metadata,
    Column("level", String(8), primary_key=True, comment="image or region"),
    Column("member_id", _id_type(), primary_key=True, comment="image or region"),
    Column("keeper_id", _id_type(), nullable=False, comment="the one that stays; its own id for the keeper"),
    Column("kind", String(16), nullable=False, comment="relation to the keeper, or keeper, or confirmed (by a person)"),
    Column("score", Double, nullable=False, comment="score of that relation"),
    Index(None, "level", "keeper_id"),
    comment="Which shots are the same. An image that stands alone has no row.",
)

region = Table(
    "region",
    metadata,
    _key("number of the region"),
    Column(
        "region_key",
        _digest(32),
        nullable=False,
        unique=True,
        comment="digest of image, kind, origin, class and raw box; samples are named after it",
    ),
    _refers("image_id", "image.id", "image"),
    Column("kind", String(16), nullable=False, comment="whole, detected or drawn"),
    Column("origin", _exact(100), nullable=False, comment="digest of the model, or the person; empty for whole"),
    Column("class_name", _exact(100), nullable=False, comment="class that the detector gave; empty for whole"),
    Column("score", Double, nullable=False, comment="the detector's score, 0 to 1"),
    Column("x0", Double, nullable=False, comment="raw box, pixels of the upright image, left"),
    Column("y0", Double, nullable=False, comment="top"),
    Column("x1", Double, nullable=False, comment="right, exclusive"),
    Column("y1", Double, nullable=False, comment="bottom, exclusive"),
    Column("phash", BigInteger, comment="DCT signature of what the box shows, signed 64-bit"),
    Column("phash_mirrored", BigInteger, comment="DCT signature of the same, mirrored"),
    Column("dhash", BigInteger, comment="gradient signature of the same"),
    Column("created_at", Double, nullable=False, comment="when"),
    Column("superseded_at", Double, comment="when a newer detection replaced it"),
    Column(
        "superseded_by",
        _id_type(),
        comment="the new region that took over its labels; null while they wait for review",
    ),
    Index(None, "image_id", "superseded_at"),
    Index(None, "superseded_by"),
    comment="A part of an image that can become a sample.",
)

mask = Table(
    "mask",
    metadata,
    Column("region_id", _id_type(), ForeignKey("region.id"), primary_key=True, comment="region"),
    Column("method", _exact(100), nullable=False, comment="model or grabcut"),
    Column("width", Integer, nullable=False, comment="of the upright image"),
    Column("height", Integer, nullable=False, comment="of the upright image"),
    Column("counts", _long_bytes(), nullable=False, comment="COCO run lengths, column by column, compressed"),
    Column("area", Double, nullable=False, comment="share of the raw box that the mask fills"),
    Column("border", Double, nullable=False, comment="share of the image's border that the mask touches"),
    Column("holes", Integer, nullable=False, comment="holes in the mask"),
    comment="The segment of a region.",
)

embedding = Table(
    "embedding",
    metadata,
    Column("region_id", _id_type(), ForeignKey("region.id"), primary_key=True, comment="region"),
    Column("model", _digest(32), primary_key=True, comment="digest of the network and its preprocessing"),
    Column("vector", _long_bytes(), nullable=False, comment="float16, little-endian, unit length"),
    comment="Feature vectors of regions, for classifiers and search.",
)

# --- labels -------------------------------------------------------------------------------------------------------

label = Table(
    "label",
    metadata,
    _key("number of the claim; a larger one is later"),
    _refers("item_id", "item.id", "item that it is about", nullable=True),
    _refers("region_id", "region.id", "region that it is about", nullable=True),
    Column(
        "attribute",
        _exact(100),
        nullable=False,
        comment="attribute; `verdict` for keep, questionable, reject",
    ),
    Column("value", _exact(255), comment="value; null says: seen and passed over"),
    Column("who", String(8), nullable=False, comment="rule, model or person"),
    Column("actor", _exact(100), nullable=False, comment="the rule set, model or person by name"),
    Column("confidence", Double, nullable=False, comment="0 to 1"),
    Column("evidence", Text, comment="what it rests on: the words, the reason"),
    Column("created_at", Double, nullable=False, comment="when"),
    Column("retracts", _id_type(), comment="label that this row takes back; then the row claims nothing itself"),
    Column("batch", _digest(32), comment="rows confirmed in one step share it, and are undone together"),
    Index(None, "region_id", "attribute"),
    Index(None, "item_id", "attribute"),
    Index(None, "retracts"),
    Index("ix_label_tally", "who", "retracts"),
    Index(None, "attribute", "value"),
    Index(None, "batch"),
    comment="Claims, never changed or deleted: a later claim of the same actor supersedes, a later row retracts.",
)

comparison = Table(
    "comparison",
    metadata,
    _key("number of the claim; a larger one is later"),
    Column("level", String(8), nullable=False, comment="image or region"),
    Column("first_id", _id_type(), nullable=False, comment="smaller id of the pair"),
    Column("second_id", _id_type(), nullable=False, comment="larger id of the pair"),
    Column("same", Boolean, comment="whether both show the same shot; null says: seen and passed over"),
    Column("actor", _exact(100), nullable=False, comment="the person by name"),
    Column("created_at", Double, nullable=False, comment="when"),
    Column("retracts", _id_type(), comment="row that this one takes back; then the row claims nothing itself"),
    Column("batch", _digest(32), nullable=False, comment="rows said in one step share it, and are undone together"),
    Index(None, "level", "first_id", "second_id"),
    Index(None, "retracts"),
    Index(None, "batch"),
    comment="What people said of pairs: the same, or not. Never changed or deleted, like labels; clusters heed it.",
)

person = Table(
    "person",
    metadata,
    Column("name", _exact(100), primary_key=True, comment="name"),
    Column("password", Text, comment="scrypt hash with its salt and parameters; null on the loopback address"),
    Column("created_at", Double, nullable=False, comment="when"),
    comment="People who annotate.",
)

login = Table(
    "login",
    metadata,
    Column("token", _digest(64), primary_key=True, comment="SHA-256 of the session token"),
    Column("person", _exact(100), nullable=False, comment="who"),
    Column("expires_at", Double, nullable=False, comment="until"),
    comment="Signed-in browsers.",
)

assignment = Table(
    "assignment",
    metadata,
    Column("region_id", _id_type(), ForeignKey("region.id"), primary_key=True, comment="region"),
    Column("person", _exact(100), nullable=False, comment="who has it on the screen"),
    Column("until", Double, nullable=False, comment="end of the lease"),
    comment="The annotation queue's leases: two people never get the same sample.",
)

# --- engine -------------------------------------------------------------------------------------------------------

ledger = Table(
    "ledger",
    metadata,
    Column("stage", _exact(50), primary_key=True, comment="stage"),
    Column(
        "subject_id",
        _id_type(),
        primary_key=True,
        autoincrement=False,
        comment="row that the stage worked on",
    ),
    Column("fingerprint", _digest(32), nullable=False, comment="of the stage's version, settings and models"),
    Column("input_digest", _digest(32), nullable=False, comment="of the inputs; empty where they never change"),
    Column("state", String(16), nullable=False, comment="done, skipped, unreadable (outcomes) or failed"),
    Column("reason", Text, comment="why it was skipped or failed"),
    Column("attempts", Integer, nullable=False, comment="times tried since the last success"),
    Column("commits", Integer, nullable=False, comment="times its outputs were committed under this fingerprint"),
    Column("finished_at", Double, nullable=False, comment="when"),
    Index(None, "stage", "state"),
    comment="What each stage did with each row, written in the transaction of its outputs.",
)

counter = Table(
    "counter",
    metadata,
    Column("stage", _exact(50), primary_key=True, comment="stage"),
    Column("name", _exact(50), primary_key=True, comment="done, skipped, unreadable, failed, seconds, ..."),
    Column("amount", Double, nullable=False, comment="rows, or seconds"),
    comment="Totals kept by the runner, so that status never counts millions of rows.",
)

extent = Table(
    "extent",
    metadata,
    Column("kind", String(16), primary_key=True, comment="table that was written"),
    Column(
        "block",
        _id_type(),
        primary_key=True,
        autoincrement=False,
        comment="range of ids: of items for `item`, else of images; id / 1024",
    ),
    Column("version", BigInteger, nullable=False, comment="grows with each write about an id of the range"),
    comment="What was written where: a range whose versions are the same needs no second look.",
)

settled = Table(
    "settled",
    metadata,
    Column("stage", _exact(50), primary_key=True, comment="stage"),
    Column("block", _id_type(), primary_key=True, autoincrement=False, comment="range of ids, as in `extent`"),
    Column("token", _digest(32), nullable=False, comment="of the stage's fingerprint, its selection and the retries"),
    Column("version", BigInteger, nullable=False, comment="sum of the versions of what the stage's selection reads"),
    comment="Ranges in which a stage has nothing pending, as long as token and version are the same.",
)

lease = Table(
    "lease",
    metadata,
    Column("name", _exact(100), primary_key=True, comment="what is leased: a stage, the migration"),
    Column("owner", _exact(100), comment="host, process and time of the holder; null when free"),
    Column("fence", BigInteger, nullable=False, comment="grows with each lease, so that a late writer is refused"),
    Column("until", Double, nullable=False, comment="end of the lease"),
    comment="One process works on a stage at a time.",
)

# --- data sets and models -----------------------------------------------------------------------------------------

snapshot = Table(
    "snapshot",
    metadata,
    _key("number of the snapshot"),
    Column("name", _exact(100), nullable=False, unique=True, comment="name, such as cars-3"),
    Column("folder", Text, nullable=False, comment="where its manifest lies, relative to the project"),
    Column("digest", _digest(64), nullable=False, comment="SHA-256 of the rows and the manifest's facts"),
    Column("samples", Integer, nullable=False, comment="rows"),
    Column("settings", JSON, nullable=False, comment="settings that it was made with"),
    Column("created_at", Double, nullable=False, comment="when"),
    comment="Frozen, numbered refined data sets.",
)

sample = Table(
    "sample",
    metadata,
    Column("snapshot_id", _id_type(), ForeignKey("snapshot.id"), primary_key=True, comment="snapshot"),
    Column(
        "public_id",
        _digest(16),
        primary_key=True,
        comment="the first half of the region's key: stable over snapshots and machines",
    ),
    _refers("region_id", "region.id", "region"),
    _refers("item_id", "item.id", "item", nullable=True),
    Column("split", String(16), nullable=False, comment="train, validation or test"),
    Index(None, "public_id"),
    comment="Rows of snapshots, for tracing.",
)

model = Table(
    "model",
    metadata,
    _key("number of the model"),
    Column("name", _exact(100), nullable=False, unique=True, comment="name, such as view-1"),
    Column("folder", Text, nullable=False, comment="where it lies, relative to the project"),
    Column("digest", _digest(64), nullable=False, comment="SHA-256 of its weights and description"),
    _refers("snapshot_id", "snapshot.id", "snapshot that it learned from", nullable=True),
    Column("attributes", JSON, nullable=False, comment="attribute to its classes"),
    Column("metrics", JSON, nullable=False, comment="attribute to its test scores"),
    Column("created_at", Double, nullable=False, comment="when"),
    comment="Models trained here.",
)
