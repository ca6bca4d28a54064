"""Processes that change rules are killed by SIGKILL again and again: every change they confirmed must be there.

python -m tests.store.killed --changes 10000 --kills 20
"""

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from comunik_pbx.store import Store

WRITER = """
import asyncio, sys
from comunik_pbx.forwarding.rules import RuleKind, ToExtension
from comunik_pbx.store import Store
async def main():
    store = await Store.open("sqlite:///" + sys.argv[1])
    n = int(sys.argv[2])
    while True:
        n += 1
        rule = await store.set_rule(str(n), RuleKind.ALWAYS, ToExtension("7"), by="writer")
        print(rule.extension, flush=True)
asyncio.run(main())
"""


async def killed_again_and_again(path: Path, portions: Sequence[int]) -> int:
    """After each portion of confirmed changes the writer is killed, and all so far are looked for; how many it were."""
    confirmed = 0
    for wanted in portions:
        writer = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", WRITER, str(path), str(confirmed)), stdout=asyncio.subprocess.PIPE
        )
        assert writer.stdout is not None
        for _ in range(wanted):
            confirmed = int(await writer.stdout.readline())
        writer.kill()
        rest = (await writer.stdout.read()).split()
        await writer.wait()
        confirmed = int(rest[-1]) if rest else confirmed
        async with await Store.open(f"sqlite:///{path}") as store:
            rules = await store.rules()
            missing = {str(n) for n in range(1, confirmed + 1)} - set(rules)
            assert not missing, f"confirmed and lost: {sorted(missing, key=int)}"
            assert len(rules) - confirmed in (0, 1), "at most one was on its way"
            assert len(await store.history(limit=100_000)) == len(rules)
        confirmed = len(rules)
    return confirmed


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--changes", type=int, default=10_000)
    parser.add_argument("--kills", type=int, default=20)
    wanted = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as directory:
        portions = [wanted.changes // wanted.kills] * wanted.kills
        confirmed = asyncio.run(killed_again_and_again(Path(directory) / "comunik.db", portions))
    print(f"{confirmed} changes confirmed, {wanted.kills} times kill -9, all there; {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
