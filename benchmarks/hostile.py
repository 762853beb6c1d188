"""CPU seconds that the extractor takes for pages made to break it, the slowest first (aim: none takes one second)."""

from __future__ import annotations

import time

from tests.extract.test_hostile import HOSTILE, URL

from tamis.extract import extract_page


def main() -> None:
    taken = {}
    for name, page in HOSTILE.items():
        body = page.encode("utf-8", "surrogatepass")
        started = time.process_time()
        extract_page(body, URL)
        taken[name] = time.process_time() - started
    slowest = sorted(taken.items(), key=lambda pair: -pair[1])
    print(f"{len(taken)} pages of up to 4 MB; beyond one second: {sum(seconds >= 1 for seconds in taken.values())}")
    for name, seconds in slowest[:10]:
        print(f"  {seconds:6.3f} s  {name}")


if __name__ == "__main__":
    main()
