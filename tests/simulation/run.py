"""Run one seed, and say what came of it."""

import gc
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec

from tests.simulation.scenario import Happening, scenario
from tests.simulation.world import World

HOURS = 2.0
"""How long a run is unless told otherwise."""


class RunOutcome(msgspec.Struct, frozen=True):
    """`hash` is of the whole event log: the same for the same seed and code. `seconds` are simulated."""

    violation: str
    hash: str
    calls: int
    seconds: float
    counts: dict[str, int]
    log: list[str]


def run(seed: int, hours: float = HOURS, *, keep_log: bool = False, only: list[int] | None = None) -> RunOutcome:
    """Run a seed: all of its scenario, or only some of its happenings, by their place in it."""
    happenings = scenario(seed, hours)
    if only is not None:
        happenings = [happenings[place] for place in only]
    with undisturbed():
        return _run(seed, happenings, keep_log)


def _run(seed: int, happenings: list[Happening], keep_log: bool) -> RunOutcome:
    world = World(seed, keep_log=keep_log)
    world.run(happenings)
    return RunOutcome(
        violation=world.violation,
        hash=world.hash,
        calls=len(world.truth.passes),
        seconds=world.loop.time(),
        counts=world.truth.counts,
        log=world.log or [],
    )


@contextmanager
def undisturbed() -> Iterator[None]:
    """Garbage is collected after a run, lest memory decide what happens when; what killed processes left is quiet."""
    hook = sys.unraisablehook
    gc.freeze()
    gc.disable()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="coroutine .* was never awaited")
        try:
            yield
        finally:
            sys.unraisablehook = lambda _: None
            gc.collect()
            sys.unraisablehook = hook
            gc.enable()
            gc.unfreeze()


def shrunk(seed: int, hours: float = HOURS) -> list[int]:
    """Some happenings of a seed that suffice for something to go wrong: without any one of them all is well.

    Raises ValueError if nothing goes wrong.
    """
    kept = list(range(len(scenario(seed, hours))))
    if not run(seed, hours).violation:
        raise ValueError(f"seed {seed}: nothing goes wrong")
    size = len(kept) // 2
    while size:
        for start in range(0, len(kept), size):
            fewer = kept[:start] + kept[start + size :]
            if len(fewer) < len(kept) and run(seed, hours, only=fewer).violation:
                kept = fewer
                break
        else:
            size //= 2
    return kept
