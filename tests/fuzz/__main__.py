"""Fuzz for so many seconds, with another seed each round: python -m tests.fuzz --seconds 600."""

import argparse
import os
import random
import sys
import time
from pathlib import Path

import pytest


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--examples", type=int, default=1000, help="of each test in each round")
    parser.add_argument("--seed", type=int, help="of the first round, to do it again")
    wanted = parser.parse_args()
    os.environ["FUZZ_EXAMPLES"] = str(wanted.examples)
    seed = random.randrange(2**32) if wanted.seed is None else wanted.seed
    ends, rounds = time.monotonic() + wanted.seconds, 0
    while time.monotonic() < ends or not rounds:
        print(f"round {rounds + 1}, seed {seed}", flush=True)
        options = [
            "-q",
            "--no-header",
            "-m",
            "not pbx",
            "-p",
            "no:cacheprovider",
            "--timeout=1800",
            f"--hypothesis-seed={seed}",
        ]
        if status := pytest.main([*options, str(Path(__file__).parent)]):
            return int(status)
        seed, rounds = seed + 1, rounds + 1
    print(f"{rounds} rounds of {wanted.examples} examples of each test: nothing found")
    return 0


if __name__ == "__main__":
    sys.exit(main())
