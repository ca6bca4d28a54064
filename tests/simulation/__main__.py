"""`python -m tests.simulation`: many seeds, or one again."""

import argparse
import multiprocessing
import sys
import time
from collections import Counter
from collections.abc import Iterator
from functools import partial

from tests.simulation.run import HOURS, RunOutcome, run, shrunk


def runs(seeds: range, hours: float, jobs: int) -> Iterator[tuple[int, RunOutcome]]:
    """Run them all, each as it would run alone."""
    if jobs == 1:
        yield from ((seed, run(seed, hours)) for seed in seeds)
        return
    with multiprocessing.Pool(jobs) as pool:
        yield from zip(seeds, pool.imap(partial(run, hours=hours), seeds, chunksize=8), strict=True)


def replay(seed: int, hours: float, only: list[int] | None) -> int:
    """Print what happened in a run."""
    outcome = run(seed, hours, keep_log=True, only=only)
    print("\n".join(outcome.log))
    print(f"seed {seed}: {outcome.hash} {outcome.violation or 'nothing wrong'}")
    return bool(outcome.violation)


def many(seeds: range, hours: float, jobs: int) -> int:
    """Run many seeds and print how it went; how many failed."""
    began, calls, seconds, failed = time.perf_counter(), 0, 0.0, 0
    counts: Counter[str] = Counter()
    for seed, outcome in runs(seeds, hours, jobs):
        calls, seconds = calls + outcome.calls, seconds + outcome.seconds
        counts.update(outcome.counts)
        if outcome.violation:
            failed += 1
            again = f"python -m tests.simulation --first {seed} --hours {hours:g}"
            print(f"seed {seed}: {outcome.violation}\n  again: {again} --replay; the least of it: --shrink", flush=True)
    took = time.perf_counter() - began
    print(
        f"{len(seeds)} seeds in {took:.0f} s ({len(seeds) / took:.1f} a second): {seconds / 3600:.0f} simulated hours"
        f" ({seconds / 3600 / took:.1f} a second), {calls} calls, {failed} seeds failed"
    )
    print(", ".join(f"{what} {count}" for what, count in sorted(counts.items())))
    return failed


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=500, help="how many")
    parser.add_argument("--first", type=int, default=1, help="the first one")
    parser.add_argument("--hours", type=float, default=HOURS, help="simulated hours of each, and a quarter more")
    parser.add_argument("--jobs", type=int, default=1, help="processes at work")
    parser.add_argument("--replay", action="store_true", help="run the first seed alone and print its event log")
    parser.add_argument("--only", help="with --replay: only these happenings, such as 3,17")
    parser.add_argument("--shrink", action="store_true", help="find the few happenings that make the first seed fail")
    wanted = parser.parse_args()
    if wanted.shrink:
        least = ",".join(map(str, shrunk(wanted.first, wanted.hours)))
        print(f"python -m tests.simulation --first {wanted.first} --hours {wanted.hours:g} --replay --only {least}")
        return 1
    if wanted.replay:
        only = [int(place) for place in wanted.only.split(",")] if wanted.only else None
        return replay(wanted.first, wanted.hours, only)
    return bool(many(range(wanted.first, wanted.first + wanted.seeds), wanted.hours, wanted.jobs))


if __name__ == "__main__":
    sys.exit(main())
