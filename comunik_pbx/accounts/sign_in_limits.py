"""How often a password may be tried. Time is an argument; nothing waits here.

Bounds are per account from one address, per address, and per account from anywhere, over a sliding window; so that a
stranger who guesses is slowed down, and cannot lock the owner out who comes from another address.
"""

from collections import OrderedDict, deque
from dataclasses import dataclass, field

WINDOW_SECONDS = 15 * 60.0
PER_ACCOUNT_AND_ADDRESS = 5
PER_ADDRESS = 30
PER_ACCOUNT = 100
MOST_REMEMBERED = 20_000
"""Keys remembered at most: the oldest go first."""


@dataclass
class SignInLimits:
    """Failures of the last quarter of an hour, in memory: a restart of the service forgets them."""

    _failures: OrderedDict[tuple[str, str], deque[float]] = field(default_factory=OrderedDict)

    def wait_seconds(self, account: str, address: str, now: float) -> float:
        """How long to wait before the next try, 0.0 if it may be made. `now` in seconds of a monotonic clock."""
        return max(self._wait(key, most, now) for key, most in _keys(account, address))

    def failed(self, account: str, address: str, now: float) -> None:
        """A try failed."""
        for key, _ in _keys(account, address):
            self._failures.setdefault(key, deque()).append(now)
            self._failures.move_to_end(key)
        while len(self._failures) > MOST_REMEMBERED:
            self._failures.popitem(last=False)

    def succeeded(self, account: str, address: str) -> None:
        """The owner is there: his own mistakes from this address are forgotten."""
        self._failures.pop((account, address), None)

    def _wait(self, key: tuple[str, str], most: int, now: float) -> float:
        failures = self._failures.get(key)
        if failures is None:
            return 0.0
        while failures and failures[0] <= now - WINDOW_SECONDS:
            failures.popleft()
        if len(failures) < most:
            return 0.0
        return failures[-most] + WINDOW_SECONDS - now


def _keys(account: str, address: str) -> tuple[tuple[tuple[str, str], int], ...]:
    return (
        ((account, address), PER_ACCOUNT_AND_ADDRESS),
        (("", address), PER_ADDRESS),
        ((account, ""), PER_ACCOUNT),
    )
