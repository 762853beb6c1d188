"""`tamis fetch` beside img2dataset and `curl --parallel`, from nginx on the loopback, each in turn.

python -m benchmarks.fetch [--count N] [--repeat N] [--data DIR] [--json]

The pictures are JPEGs of 150 to 300 KB, made from the real photos where they are, else drawn; they are kept in the
system's folder for temporary files. nginx and curl come from the system, img2dataset from the interpreter that
TAMIS_PEER_PYTHON names (it asks for older libraries than tamis), else from this one; what is missing is left out.
Each tool writes plain files into an empty folder. Both the whole command and the rate without its start-up, measured
on 64 URLs, are shown, since img2dataset takes seconds to start.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image

from benchmarks.rules import default_data

FEW, SIDE = 64, 256
_SMALLEST, _LARGEST = 150_000, 300_000
_NGINX = """
worker_processes 1; daemon off; pid {folder}/pid; error_log {folder}/error.log;
events {{ worker_connections 1024; }}
http {{
  access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000; types {{ image/jpeg jpg; }}
  client_body_temp_path {folder}/1; proxy_temp_path {folder}/2; fastcgi_temp_path {folder}/3;
  uwsgi_temp_path {folder}/4; scgi_temp_path {folder}/5;
  server {{ listen 127.0.0.1:{port}; root {root}; }}
}}
"""
Command = Callable[[Path, Path], list[str]]


@dataclass(frozen=True, slots=True)
class Figure:
    """Seconds of the whole command and of its start-up, on the clock and of all cores, for so many pictures."""

    count: int
    seconds: float
    start: float
    cpu: float
    cpu_start: float

    @property
    def rate(self) -> float:
        """Images a second of the whole command."""
        return self.count / self.seconds

    @property
    def steady(self) -> float:
        """Images a second without the start-up."""
        return (self.count - FEW) / max(self.seconds - self.start, 1e-3)

    @property
    def work(self) -> float:
        """Milliseconds of all cores for one picture without the start-up: hardly moved by other load."""
        return 1000 * (self.cpu - self.cpu_start) / (self.count - FEW)


# --- pictures -----------------------------------------------------------------------------------------------------


def make_pictures(folder: Path, count: int, data: Path) -> None:
    """Fill the folder up to so many JPEGs of 1280x960 pixels and 150 to 300 KB."""
    folder.mkdir(parents=True, exist_ok=True)
    there = len(list(folder.glob("*.jpg")))
    if there >= count:
        return
    random = np.random.default_rng(there)
    tiles = real_tiles(data) or drawn_tiles(random)
    for number in range(there, count):
        chosen = [tiles[index] for index in random.integers(0, len(tiles), 4)]
        mosaic = np.vstack([np.hstack(chosen[:2]), np.hstack(chosen[2:])])
        (folder / f"{number:05d}.jpg").write_bytes(encode(np.ascontiguousarray(mosaic)))


def encode(image_rgb: NDArray[np.uint8]) -> bytes:
    """Encode at the quality nearest to 85 that gives 150 to 300 KB."""
    body = b""
    for quality in (85, 90, 95, 80, 70, 60, 50, 98):
        body = simplejpeg.encode_jpeg(image_rgb, quality=quality, colorsubsampling="420")
        if _SMALLEST <= len(body) <= _LARGEST:
            break
    return bytes(body)


def real_tiles(data: Path) -> list[NDArray[np.uint8]]:
    """Photos of cars at 640x480, where the real data is."""
    files = sorted((data / "cars" / "photos").rglob("*.jpg"))[:300]
    return [tile(cv2.cvtColor(cv2.imread(str(file)), cv2.COLOR_BGR2RGB)) for file in files]


def drawn_tiles(random: np.random.Generator) -> list[NDArray[np.uint8]]:
    """Gradients with shapes and noise, which compress like photos."""
    tiles = []
    for _ in range(100):
        image = cv2.resize(
            random.integers(0, 255, (6, 8, 3), dtype=np.uint8), (640, 480), interpolation=cv2.INTER_CUBIC
        )
        for _ in range(40):
            x, y, radius = (int(value) for value in random.integers(5, 480, 3))
            colour = tuple(int(value) for value in random.integers(0, 255, 3))
            cv2.circle(image, (x, y), radius // 6, colour, -1, cv2.LINE_AA)
        noisy = image.astype(np.int16) + random.normal(0, 5, image.shape).astype(np.int16)
        tiles.append(np.clip(noisy, 0, 255).astype(np.uint8))
    return tiles


def tile(image_rgb: Any) -> NDArray[np.uint8]:
    return np.asarray(cv2.resize(image_rgb, (640, 480), interpolation=cv2.INTER_AREA), dtype=np.uint8)


# --- the server and the tools ---------------------------------------------------------------------------------------


@contextmanager
def nginx(binary: str, root: Path) -> Iterator[str]:
    """Serve a folder; yields its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "nginx.conf").write_text(_NGINX.format(folder=folder, port=port, root=root))
        with subprocess.Popen([binary, "-c", f"{folder}/nginx.conf", "-e", f"{folder}/error.log"]) as process:
            try:
                wait_for(port)
                yield f"http://127.0.0.1:{port}"
            finally:
                process.terminate()


def wait_for(port: int) -> None:
    for _ in range(100):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    sys.exit("nginx does not answer")


def curl(urls: Path, out: Path) -> list[str]:
    lines = [f'url = "{url}"\noutput = "{out / url.rsplit("/", 1)[1]}"' for url in urls.read_text().split()]
    config = urls.with_suffix(".curl")
    config.write_text("\n".join(lines))
    return ["curl", "--silent", "--show-error", "--parallel", "--parallel-max", "50", "--config", str(config)]


def tamis(*options: str) -> Command:
    def command(urls: Path, out: Path) -> list[str]:
        python = [sys.executable, "-m", "tamis", "fetch", str(urls), "--out", str(out)]
        return [*python, "--allow-private", "--json", *options]

    return command


def img2dataset(python: str, cores: int, *options: str) -> Command:
    def command(urls: Path, out: Path) -> list[str]:
        count = len(urls.read_text().split())
        entry = "from img2dataset.main import main; main()"
        return [
            python, "-c", entry, "--url_list", str(urls), "--output_folder", str(out), "--output_format", "files",
            "--processes_count", str(cores), "--thread_count", "64",
            "--number_sample_per_shard", str(-(-count // cores)), *options,
        ]  # fmt: skip

    return command


def peer_python() -> str | None:
    """The interpreter that has img2dataset."""
    python = os.environ.get("TAMIS_PEER_PYTHON") or sys.executable
    found = subprocess.run([python, "-c", "import img2dataset"], capture_output=True, check=False)
    return python if found.returncode == 0 else None


# --- measuring ----------------------------------------------------------------------------------------------------


def timed(command: Command, urls: Path, out: Path, side: int | None) -> tuple[float, float]:
    """Seconds of a command from its start to its end, on the clock and of all cores; its pictures are checked."""
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    line = command(urls, out)
    environment = os.environ | {"NO_ALBUMENTATIONS_UPDATE": "1"}
    began, used = time.perf_counter(), children_cpu()
    done = subprocess.run(line, capture_output=True, text=True, env=environment, check=False)
    seconds, cpu = time.perf_counter() - began, children_cpu() - used
    pictures = sorted(path for path in out.rglob("*") if path.suffix == ".jpg")
    wanted = len(urls.read_text().split())
    if done.returncode or len(pictures) != wanted:
        sys.exit(f"{line[:4]}: {len(pictures)} of {wanted} pictures: {done.stderr[-500:]}")
    for path in pictures[:: max(wanted // 20, 1)]:
        with Image.open(path) as picture:
            assert max(picture.size) == (side or 1280), f"{path}: {picture.size}"
    return seconds, cpu


def children_cpu() -> float:
    """Seconds that ended child processes have computed."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def measure(binary: str, count: int, repeat: int, data: Path) -> dict[str, Figure]:
    """Run all tools in turn, so many times, and keep the best time of each."""
    cores, python = len(os.sched_getaffinity(0)), peer_python()
    tools: dict[str, tuple[Command, int | None]] = {
        "tamis fetch, resize to 256": (tamis("--resize", str(SIDE)), SIDE),
        "tamis fetch, originals": (tamis(), None),
        "curl --parallel": (curl, None),
    }
    if python is None:
        print("img2dataset is not installed (TAMIS_PEER_PYTHON): left out", file=sys.stderr)
    else:
        fit = ("--image_size", str(SIDE), "--resize_mode", "keep_ratio_largest", "--resize_only_if_bigger", "True")
        as_is = ("--disable_all_reencoding", "True", "--resize_mode", "no")
        tools["img2dataset, resize to 256"] = (img2dataset(python, cores, *fit), SIDE)
        tools["img2dataset, no re-encoding"] = (img2dataset(python, cores, *as_is), None)
    pictures = Path(tempfile.gettempdir()) / "tamis-benchmark-fetch"
    make_pictures(pictures, count, data)
    best: dict[str, Figure] = {}
    with nginx(binary, pictures) as address, tempfile.TemporaryDirectory() as folder:
        many, few = Path(folder) / "many.txt", Path(folder) / "few.txt"
        urls = [f"{address}/{number:05d}.jpg" for number in range(count)]
        many.write_text("\n".join(urls))
        few.write_text("\n".join(urls[:FEW]))
        for _ in range(repeat):
            for name, (command, side) in tools.items():
                start, cpu_start = timed(command, few, Path(folder) / "out", side)
                seconds, cpu = timed(command, many, Path(folder) / "out", side)
                figure = Figure(count, seconds, start, cpu, cpu_start)
                if name not in best or figure.seconds < best[name].seconds:
                    best[name] = figure
    return best


def ratios(figures: dict[str, Figure]) -> list[tuple[str, float, float, float]]:
    """Name, aim, ratio of the whole commands, and ratio without the start-ups."""
    pairs = [
        ("resize to 256, times img2dataset", 3.0, "tamis fetch, resize to 256", "img2dataset, resize to 256"),
        ("originals, times img2dataset", 2.0, "tamis fetch, originals", "img2dataset, no re-encoding"),
        ("originals, share of curl", 0.7, "tamis fetch, originals", "curl --parallel"),
    ]
    return [
        (name, aim, figures[own].rate / figures[peer].rate, figures[own].steady / figures[peer].steady)
        for name, aim, own, peer in pairs
        if peer in figures
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=4000, help="pictures")
    parser.add_argument("--repeat", type=int, default=2, help="rounds, of which the best counts")
    parser.add_argument("--data", type=Path, default=default_data())
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    binary = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if binary is None or shutil.which("curl") is None:
        print(
            "benchmarks.fetch is left out: it needs nginx and curl (apt-get install nginx-light curl)", file=sys.stderr
        )
        return
    figures = measure(binary, options.count, options.repeat, options.data)
    compared = ratios(figures)
    if options.json:
        names = ("seconds", "start", "rate", "steady", "work")
        tools = {name: {key: getattr(figure, key) for key in names} for name, figure in figures.items()}
        print(json.dumps({"count": options.count, "tools": tools, "ratios": compared}, indent=2))
        return
    print(f"{options.count} pictures; images a second: whole command, without start-up; ms of all cores an image")
    for name, one in figures.items():
        took = f"({one.seconds:.1f} s, start {one.start:.1f} s)"
        print(f"  {name:<30} {one.rate:7.0f} {one.steady:7.0f} {one.work:7.2f}   {took}")
    for name, aim, whole, steady in compared:
        print(f"  {name:<34} {whole:5.2f} whole, {steady:5.2f} steady   (aim {aim:g})")


if __name__ == "__main__":
    main()
