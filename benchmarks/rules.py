"""Rules written on one half of the fashion titles, scored on the other: coverage, precision and speed.

python benchmarks/rules.py [--data DIR] [--json] [--half even|odd]
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import time
from pathlib import Path

from tamis.text.mine import ItemText, mine
from tamis.text.rules import RuleSet, load_rules
from tamis.text.score import RuleScore, score_rules

RULES = Path(__file__).parent / "real" / "fashion_rules.toml"
ATTRIBUTES = ("gender", "articleType", "baseColour")

Row = tuple[ItemText, dict[str, str]]


def default_data() -> Path:
    """Return the folder of the real data: `TAMIS_TEST_DATA`, else `../shared/data` beside the project."""
    return Path(os.environ.get("TAMIS_TEST_DATA") or Path(__file__).resolve().parents[2] / "shared" / "data")


def read_rows(data: Path, half: str) -> list[Row]:
    """Return title and truth of the products with even or odd ids."""
    with (data / "fashion" / "products.csv").open(encoding="utf-8", newline="") as file:
        return [
            (ItemText(title=row["productDisplayName"]), {name: row[name] for name in ATTRIBUTES})
            for row in csv.DictReader(file)
            if int(row["id"]) % 2 == (0 if half == "even" else 1)
        ]


def titles_per_second(rules: RuleSet, rows: list[Row], seconds: float = 1.0) -> float:
    """Return how many titles a second are mined, on one core."""
    done, started = 0, time.process_time()
    while time.process_time() - started < seconds:
        for item, _ in rows:
            mine(item, rules)
        done += len(rows)
    return done / (time.process_time() - started)


def report(scores: dict[str, RuleScore], half: str, speed: float, worst: int) -> None:
    print(f"rules of {RULES.name}, scored on products with {half} ids; {speed:,.0f} titles/s on one core")
    print(f"{'attribute':14} {'known':>6} {'coverage':>9} {'precision':>10}")
    for name, score in scores.items():
        print(f"{name:14} {score.total.known:6} {score.total.coverage:9.3f} {score.total.precision:10.3f}")
    for name, score in scores.items():
        common = sorted(score.confusions.items(), key=lambda entry: -entry[1])[:worst]
        print(f"{name}: " + "; ".join(f"{wanted} read as {given} ({count})" for (wanted, given), count in common))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=default_data())
    parser.add_argument("--half", choices=["even", "odd"], default="odd", help="half to score on (default: odd)")
    parser.add_argument("--worst", type=int, default=8, help="confusions to list")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    given = parser.parse_args()
    rules = load_rules(RULES)
    rows = read_rows(given.data, given.half)
    scores = score_rules(rules, rows)
    speed = titles_per_second(rules, rows)
    if not given.json:
        report(scores, given.half, speed, given.worst)
        return
    table = {
        name: {
            "known": score.total.known,
            "coverage": round(score.total.coverage, 4),
            "precision": round(score.total.precision, 4),
        }
        for name, score in scores.items()
    }
    print(json.dumps({"half": given.half, "titles_per_second": round(speed), "attributes": table}))


if __name__ == "__main__":
    main()
