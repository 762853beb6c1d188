"""All real runs, one after the other: `python -m benchmarks.real.run`."""

from __future__ import annotations

import sys

from benchmarks.real import cars, clothing, fashion
from benchmarks.real.steps import DATA


def main() -> None:
    if not DATA.is_dir():
        sys.exit(f"real data not found at {DATA}: set TAMIS_TEST_DATA to its folder")
    for part in (cars, fashion, clothing):
        print(f"\n-- {part.__doc__}")
        part.main()


if __name__ == "__main__":
    main()
