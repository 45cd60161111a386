"""Run all trials, or those whose names are given, and print the table.

python -m torture [--seed 1] [--share] [KIND...]
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

from torture import Kind, Skipped
from torture.kinds import KINDS


def run(kind: Kind, count: int, seed: int) -> tuple[str, str, list[str]]:
    """Return how many trials there were, how many failed, and how."""
    tried, failures = 0, []
    with tempfile.TemporaryDirectory() as folder:
        try:
            for failure in kind.run(count, seed, Path(folder)):
                tried += 1
                if failure:
                    failures.append(failure)
                    print(f"{kind.name}: {failure}", file=sys.stderr, flush=True)
        except Skipped as reason:
            return "skipped", str(reason), failures
    return f"{tried:,}", f"{len(failures):,}", failures


def main() -> None:
    """Print a row for each kind."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kinds", nargs="*", metavar="KIND", help="; ".join(kind.name for kind in KINDS))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--share", action="store_true", help="only as many as the tests try")
    parser.add_argument("--count", type=int, help="as many as this")
    arguments = parser.parse_args()
    print(f"seed {arguments.seed}\n\n| what | tried | failures | seconds |\n| --- | --- | --- | --- |", flush=True)
    failed = False
    for kind in KINDS:
        if arguments.kinds and kind.name not in arguments.kinds:
            continue
        begin = time.perf_counter()
        count = arguments.count or (kind.share if arguments.share else kind.whole)
        tried, result, failures = run(kind, count, arguments.seed)
        failed |= bool(failures)
        print(f"| {kind.name} | {tried} | {result} | {time.perf_counter() - begin:.0f} |", flush=True)
    sys.exit(failed)


if __name__ == "__main__":
    main()
