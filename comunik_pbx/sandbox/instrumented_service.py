"""The service as it is, with two signals for `faults`: `python -m comunik_pbx.sandbox.instrumented_service run`.

SIGUSR1 writes how many asyncio tasks there are to standard error (`tasks=14`); SIGUSR2 blocks the event loop for
`BLOCKED_SECONDS`, as a library that does not return would. It collects ends of calls that it did not decide every
`COLLECT_SECONDS` and deletes those stored after `DELETE_SECONDS`, so that nobody need wait a minute for his account.
"""

import asyncio
import signal
import sys
import time
from functools import partial

from comunik_pbx import service
from comunik_pbx.calls import kept_ends
from comunik_pbx.cli import main

BLOCKED_SECONDS = 5.0
COLLECT_SECONDS = 3.0
DELETE_SECONDS = 1.0


def _count_tasks(*_: object) -> None:
    print(f"tasks={len(asyncio.all_tasks())}", file=sys.stderr, flush=True)


def _block(*_: object) -> None:
    time.sleep(BLOCKED_SECONDS)


if __name__ == "__main__":
    kept_ends.COLLECT_SECONDS = COLLECT_SECONDS
    service.KeptEnds = partial(kept_ends.KeptEnds, delete_seconds=DELETE_SECONDS)  # type: ignore[attr-defined,assignment]
    signal.signal(signal.SIGUSR1, _count_tasks)
    signal.signal(signal.SIGUSR2, _block)
    main()
