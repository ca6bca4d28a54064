"""What has come of calls so far, counted: plain numbers, for whoever watches to read when he likes."""

from bisect import bisect_left
from enum import StrEnum

DECISION_BOUNDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 1.5)
"""Seconds. At 1.5 the dialplan's guard has taken the call."""


class Fallen(StrEnum):
    """Why the service did not decide a call that asked it to: it goes by its fallback plan."""

    OVERLOAD = "overload"  # too many calls at once
    FAULT = "fault"  # the decision failed
    ASTERISK = "asterisk"  # the decision could not be handed over
    LATE = "late"  # the caller or the dialplan's guard was quicker


class DecisionFigures:
    """Decisions since the start. `seconds` are from the event to Asterisk's answer that it has the plan.

    `buckets` counts them by DECISION_BOUNDS, the last those above all.
    """

    def __init__(self) -> None:
        self.decided = 0
        self.seconds = 0.0
        self.buckets = [0] * (len(DECISION_BOUNDS) + 1)
        self.fallen = dict.fromkeys(Fallen, 0)

    def took(self, seconds: float) -> None:
        """A call was decided and Asterisk has its plan."""
        self.decided += 1
        self.seconds += seconds
        self.buckets[bisect_left(DECISION_BOUNDS, seconds)] += 1
