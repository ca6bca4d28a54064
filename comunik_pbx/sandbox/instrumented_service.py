"""The service as it is, with two signals for `faults`: `python -m comunik_pbx.sandbox.instrumented_service run`.

SIGUSR1 writes how many asyncio tasks there are to standard error (`tasks=14`); SIGUSR2 blocks the event loop for
`BLOCKED_SECONDS`, as a library that does not return would.
"""

import asyncio
import signal
import sys
import time

from comunik_pbx.cli import main

BLOCKED_SECONDS = 5.0


def _count_tasks(*_: object) -> None:
    print(f"tasks={len(asyncio.all_tasks())}", file=sys.stderr, flush=True)


def _block(*_: object) -> None:
    time.sleep(BLOCKED_SECONDS)


if __name__ == "__main__":
    signal.signal(signal.SIGUSR1, _count_tasks)
    signal.signal(signal.SIGUSR2, _block)
    main()
