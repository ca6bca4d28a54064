"""How long to wait before connecting again: exponential with jitter, forgiving only after a stable time."""

import random
from collections.abc import Callable


class Backoff:
    """Waits between attempts, in seconds.

    The first is at most `first`, each doubles up to `most`, and each is shortened at random by up to half so
    that several clients of one Asterisk do not return in step. Only a connection that stood for `stable`
    seconds starts the count again: one that breaks at once does not hammer Asterisk.
    """

    def __init__(
        self,
        first: float = 0.1,
        most: float = 5.0,
        stable: float = 30.0,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._first, self._most, self._stable, self._jitter = first, most, stable, jitter
        self._failures = 0

    def lost(self, uptime: float = 0.0) -> float:
        """Seconds to wait after a connection that stood for `uptime` seconds (0: it was never made)."""
        if uptime >= self._stable:
            self._failures = 0
        delay: float = min(self._most, self._first * 2.0 ** min(self._failures, 30))
        self._failures += 1
        return delay * (1 - self._jitter() / 2)
