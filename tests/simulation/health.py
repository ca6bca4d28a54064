"""When everything was in order: only then may be demanded that the service decided a call itself."""

from collections.abc import Callable

RECOVERY_SECONDS = 12.0
"""How long after a disturbance the service may need until it decides again: restart, back-off, reconnection."""

UNNOTICED_SECONDS = 45.0
"""The same after one that only a missing pong tells, and the back-off after it; `World.patience` times as long."""


class Health:
    """Disturbances, each from a moment to one when its consequences must be over."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._disturbed: list[tuple[float, float]] = []
        self.wiped_at = -1.0
        self.published_from = 0.0  # there must be published plans once all has been well after this moment

    def disturb(self, seconds: float = 0.0, recovery: float = RECOVERY_SECONDS) -> None:
        """Something goes wrong from now on, for so long."""
        now = self._clock()
        self._disturbed.append((now, now + seconds + recovery))

    def wipe(self, notices: float) -> None:
        """AstDB is not what it was: until it is looked at and written again there may be no published plans."""
        now = self._clock()
        self.wiped_at = now
        self.published_from = max(self.published_from, now + notices + RECOVERY_SECONDS)

    def was_calm(self, since: float, until: float) -> bool:
        """Whether nothing was wrong at any moment between these."""
        return not any(begin <= until and end >= since for begin, end in self._disturbed)

    def last_calm(self, before: float) -> float:
        """The latest moment up to this one at which nothing was wrong."""
        moment = before
        while found := [begin for begin, end in self._disturbed if begin <= moment <= end]:
            moment = min(found) - 1e-6
        return moment
