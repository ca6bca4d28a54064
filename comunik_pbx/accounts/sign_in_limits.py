"""How often a password may be tried. Time is an argument; nothing waits here.

Bounds are per account from one address, per address, and per account from anywhere, over a sliding window. Who has
signed in before with the same browser is counted on his own: strangers who guess are slowed down, and lock no owner
out, neither from far away nor from the same office.
"""

import ipaddress
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

    def wait_seconds(self, account: str, address: str, now: float, device: str = "") -> float:
        """How long to wait before the next try, 0.0 if it may be made. `now` in seconds of a monotonic clock.

        `device` is where somebody has signed in to this account before, empty for a stranger.
        """
        return max(self._wait(key, most, now) for key, most in _keys(account, address, device))

    def failed(self, account: str, address: str, now: float, device: str = "") -> None:
        """A try failed, or is about to be made: then `succeeded` takes it back."""
        for key, _ in _keys(account, address, device):
            self._failures.setdefault(key, deque()).append(now)
            self._failures.move_to_end(key)
        while len(self._failures) > MOST_REMEMBERED:
            self._failures.popitem(last=False)

    def succeeded(self, account: str, address: str, device: str = "") -> None:
        """The owner is there: his own mistakes are forgotten, and this try counts against nobody."""
        (own, _), *others = _keys(account, address, device)
        self._failures.pop(own, None)
        for key, _ in others:
            if failures := self._failures.get(key):
                failures.pop()

    def _wait(self, key: tuple[str, str], most: int, now: float) -> float:
        failures = self._failures.get(key)
        if failures is None:
            return 0.0
        while failures and failures[0] <= now - WINDOW_SECONDS:
            failures.popleft()
        if len(failures) < most:
            return 0.0
        return failures[-most] + WINDOW_SECONDS - now


def _keys(account: str, address: str, device: str) -> tuple[tuple[tuple[str, str], int], ...]:
    if device:
        return (((account, f"device {device}"), PER_ACCOUNT_AND_ADDRESS),)
    network = _network(address)
    return (
        ((account, network), PER_ACCOUNT_AND_ADDRESS),
        (("", network), PER_ADDRESS),
        ((account, ""), PER_ACCOUNT),
    )


def _network(address: str) -> str:
    """What one person has of addresses: one of IPv4, 2^64 of IPv6 (RFC 6177)."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is None:
        return str(ipaddress.ip_network((int(parsed) >> 64 << 64, 64)))
    return address
