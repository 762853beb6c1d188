"""Clusters that other tools find in a folder, one tool a run, so that each brings its own libraries.

    python duplicatepeers.py TOOL FOLDER

Prints one JSON document: groups of file names, seconds on the clock and of all cores (and of encoding alone where the
tool parts it), or why the tool was skipped. It imports nothing of tamis: it runs under the interpreter that
TAMIS_PEER_PYTHON names.
"""

from __future__ import annotations

import contextlib
import io
import json
import resource
import sys
import time
from pathlib import Path
from typing import Any

Found = dict[str, Any]


def imagededup(method: str, folder: Path) -> Found:
    from imagededup import methods  # type: ignore[import-not-found]

    started = time.perf_counter()
    try:
        hasher = getattr(methods, method)()
    except OSError as error:
        return {"skipped": f"its weights are not at hand ({type(error).__name__})"}
    encoded = hasher.encode_images(image_dir=str(folder))
    encoding = time.perf_counter() - started
    found = hasher.find_duplicates(encoding_map=encoded)
    return {"groups": [[name, other] for name, others in found.items() for other in others], "encoding": encoding}


def czkawka(folder: Path) -> Found:
    from czkawka import ImageSimilarity  # type: ignore[import-not-found]

    finder = ImageSimilarity()
    finder.set_directories([folder])
    finder.set_similarity(10)
    return {"groups": [[Path(path).name for path in group] for group in finder.find_similar()]}


def cleanvision(folder: Path) -> Found:
    from cleanvision import Imagelab  # type: ignore[import-not-found]

    lab = Imagelab(data_path=str(folder))
    lab.find_issues({"exact_duplicates": {}, "near_duplicates": {}})
    sets = [group for kind in ("exact_duplicates", "near_duplicates") for group in lab.info[kind]["sets"]]
    return {"groups": [[Path(path).name for path in group] for group in sets]}


TOOLS = {
    "imagededup PHash": lambda folder: imagededup("PHash", folder),
    "imagededup CNN": lambda folder: imagededup("CNN", folder),
    "czkawka": czkawka,
    "cleanvision": cleanvision,
}


def main() -> None:
    tool, folder = sys.argv[1], Path(sys.argv[2])
    started = time.perf_counter()
    with contextlib.redirect_stdout(io.StringIO()):
        try:
            found = TOOLS[tool](folder)
        except ImportError as error:
            found = {"skipped": f"not installed ({error.name})"}
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    found["seconds"] = time.perf_counter() - started
    found["cpu"] = sum(one.ru_utime + one.ru_stime for one in used)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
