"""The command `tamis fetch`: a list of URLs to pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from tamis.commands.session import Session
from tamis.display import duration


@click.command()
@click.argument("urls", type=click.Path(path_type=Path, allow_dash=True), metavar="URLS")
@click.option("--out", required=True, type=click.Path(path_type=Path, file_okay=False), metavar="DIR",
              help="Folder of the pictures; made, or gone on with.")  # fmt: skip
@click.option("--format", "form", type=click.Choice(["files", "webdataset", "parquet"]), default="files",
              help="One file each, or shards.", show_default=True)  # fmt: skip
@click.option("--resize", type=click.IntRange(min=8), metavar="PIXELS",
              help="Fit pictures to this side; without, their bytes stay as served.")  # fmt: skip
@click.option("--resize-mode", "mode", type=click.Choice(["longest", "shortest", "crop", "border"]), default="longest",
              help="Which side; or a square: the middle cut out, or a white border.", show_default=True)  # fmt: skip
@click.option("--upscale", is_flag=True, help="Enlarge smaller pictures too.")
@click.option("--encode", "encoding", type=click.Choice(["jpg", "png", "webp"]), default="jpg",
              help="Kind of resized pictures.", show_default=True)  # fmt: skip
@click.option("--quality", type=click.IntRange(1, 100), default=95, help="Of resized pictures.", show_default=True)
@click.option("--shard-size", type=click.IntRange(min=1), default=10_000, help="Pictures in a shard at most.",
              show_default=True)  # fmt: skip
@click.option("--url-column", metavar="NAME", help="Column of the URL.  [default: by its name or what it holds]")
@click.option("--caption-column", "caption", metavar="NAME", help="Column that becomes .txt in WebDataset shards.")
@click.option("--min-side", type=click.IntRange(min=0), default=0, help="Pictures with a shorter side fail.")
@click.option("--max-aspect", type=click.FloatRange(min=0), default=0.0, help="Longer pictures fail; 0: none does.")
@click.option("--verify", is_flag=True, help="Decode originals in full; damaged ones fail.")
@click.option("--concurrency", type=click.IntRange(1, 1024), default=64, help="Requests under way in all.",
              show_default=True)  # fmt: skip
@click.option("--per-host", type=click.IntRange(1, 256), default=16, help="Requests under way at one host.",
              show_default=True)  # fmt: skip
@click.option("--processes", type=click.IntRange(0, 64), default=0, help="Worker processes.  [default: one a core]")
@click.option("--timeout", type=click.FloatRange(min=0.1), default=30.0, help="Seconds for one try of a picture.",
              show_default=True)  # fmt: skip
@click.option("--attempts", type=click.IntRange(1, 20), default=3, help="Tries of what may recover.", show_default=True)
@click.option("--max-bytes", type=click.IntRange(min=1000), default=50_000_000, help="Larger files fail.",
              show_default=True)  # fmt: skip
@click.option("--user-agent", help="Who asks; name a page or mail address of yours.")
@click.option("--retry-failed", is_flag=True, help="Ask again for the URLs of the list that failed before.")
@click.option("--allow-private", is_flag=True, help="Reach addresses on this machine and in private networks.")
@click.option("--ignore-robots", is_flag=True, help="Do not ask for robots.txt, where the sites are yours.")
@click.option("--ignore-noai", is_flag=True, help="Take pictures whose X-Robots-Tag says noai.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document on standard output.")
def fetch(
    urls: Path, out: Path, as_json: bool, url_column: str | None, retry_failed: bool, user_agent: str | None,
    **options: Any,
) -> int:  # fmt: skip
    """Fetch the pictures of a list of URLs into a folder, fast and resumable. Works outside a project.

    URLS is a text file of one URL a line, a CSV or Parquet table, a folder of those, or - for standard input. The
    table results.parquet in DIR says for every row what came of it, beside the list's other columns.

    \b
      tamis fetch urls.txt --out pictures                          the original bytes, one file each
      tamis fetch photos.csv --out small --resize 256              the longest side at most 256 pixels
      tamis fetch laion.parquet --out shards --format webdataset   tar shards with the facts beside each picture

    Killed or stopped, the same command goes on where it was; no URL with a result is asked for again unless it failed
    and --retry-failed is given. robots.txt, Retry-After and X-Robots-Tag are heeded.
    """  # noqa: D301 - \b is click's
    from tamis.fetch.options import FetchOptions  # noqa: PLC0415 - loaded on use
    from tamis.fetch.run import fetch as fetch_list  # noqa: PLC0415

    session = Session(out, as_json)
    if user_agent:
        options["user_agent"] = user_agent
    options["obey_robots"] = not options.pop("ignore_robots")
    options["obey_noai"] = not options.pop("ignore_noai")
    try:
        report = fetch_list(
            urls,
            out,
            FetchOptions(**options),
            url_column=url_column,
            retry_failed=retry_failed,
            progress=session.progress("fetch"),
            stop=session.stop,
        )
    finally:
        session.close()
    document = {name: getattr(report, name) for name in ("requested", "ok", "failed", "skipped", "bytes", "seconds")}
    took = f"{report.bytes / 1e6:.1f} MB in {duration(report.seconds)}"
    lines = [f"{report.requested} URLs asked for, {report.ok} pictures, {took}; {report.skipped} rows skipped"]
    lines += [f"  {count} {name}" for name, count in report.outcomes.most_common() if name != "ok"]
    lines += [f"  failed: {url}: {reason}" for url, reason in report.failures]
    lines.append(f"the table is {report.table}")
    session.finish(document, *lines)
    return 1 if report.passing else 0
