"""When phones have rung enough: what a look at the caller's channel says, and when to look again. No I/O.

    plan handed over → N cycles later, the first look → N cycles after the first 180: the legs are to be ended → …

Asterisk itself notes on the caller's channel when a leg first rang (Dial()'s RINGTIME_MS), so that a look may come late
and the count is exact all the same, and a call that is answered before costs nothing: what has not rung when it is
looked at cannot have rung enough before N cycles more. N rings are counted from the first leg that rings, for all legs
of the step: who calls hears N rings, whichever phone began.

Asterisk does not note a 180 with SDP after a 183. Phones that say 183 at all are therefore looked at sooner, once they
are known to (`early`).
"""

import msgspec

from comunik_pbx.forwarding.steps import Forward, Ring, Step

EARLY_SECONDS = 0.1
"""So much less than N rings, so that ring N+1 never starts."""

SOON_SECONDS = 0.4
"""When a phone that is known to say 183, or 180 with SDP, is looked at first, and again while it has said nothing."""

OFTEN_SECONDS = 0.08
"""How often a leg that said 183 is looked at: it may yet say that it rings, by a 180 with SDP, which Asterisk does not
note on the caller's channel."""

OFTEN_LOOKS = 30
"""… and so many times. Then it is taken for one that says 183 alone (a trunk, some gateways)."""


class Look(msgspec.Struct, frozen=True):
    """What the caller's channel says now.

    `step` is the number of the plan's step that is carried out, `dialling` whether its Dial() goes on and nobody has
    answered. `elapsed` seconds ago Dial() began; `rang` and `progressed` are how long after that the first 180 and the
    first 183 (or 180 with SDP) came, in seconds, None if none did.
    """

    step: int
    dialling: bool
    elapsed: float = 0.0
    rang: float | None = None
    progressed: float | None = None


class Wait(msgspec.Struct, frozen=True):
    """Look again in `seconds`; `at_legs`: at the legs as well, one may ring."""

    seconds: float
    at_legs: bool = False


class RungEnough(msgspec.Struct, frozen=True):
    """The legs of this ring step are to be ended, unless one is answered by now."""

    ring: Ring


class Silent(msgspec.Struct, frozen=True):
    """The legs of this step have shown no sign of life for too long, and are to be given up."""

    step: Ring | Forward


class RingWatch:
    """The ring steps of one call's plan.

    `early` says that one of its phones is known to say 183, or 180 with SDP. With `gives_up` also those of trunks, and
    what shows no sign of life is given up: for an Asterisk whose Dial() cannot (before 20.7 and 21.2).
    """

    __slots__ = ("_early", "_gives_up", "_looks", "_rang", "steps")

    def __init__(self, steps: tuple[Step, ...], *, early: bool = False, gives_up: bool = False) -> None:
        self.steps = steps
        self._early = early
        self._gives_up = gives_up
        self._looks: dict[int, int] = {}
        self._rang: dict[int, float] = {}  # by step: when a leg was seen to ring, seconds after Dial() began

    def begun(self) -> Wait | None:
        """When to look first; None if nothing rings."""
        limits = [step.seconds - EARLY_SECONDS for step in self.steps if isinstance(step, Ring)]
        if limits and self._early:
            limits.append(SOON_SECONDS)
        if self._gives_up:
            limits += [_silent_seconds(step) for step in self.steps if isinstance(step, Ring | Forward)]
        return Wait(min(limits)) if limits else None

    def ringing(self, look: Look) -> Ring | None:
        """The ring step whose phones are being called."""
        step = self.steps[look.step - 1] if look.dialling and 0 < look.step <= len(self.steps) else None
        return step if isinstance(step, Ring) else None

    def leg_rings(self, look: Look) -> None:
        """A leg of the step that the look saw rings, though Asterisk has noted a 183 alone.

        If it did so when the legs were first looked at, it is taken for a 180 with SDP that came then: most say no 183.
        """
        first = self._looks.get(look.step, 0) <= 1 and look.progressed is not None
        self._rang.setdefault(look.step, (look.progressed or 0.0) if first else look.elapsed)

    def looked(self, look: Look) -> Wait | RungEnough | Silent | None:
        """What to do after a look; None: nothing rings any more that we have to end."""
        wait = self._rings(look)
        if not self._gives_up or isinstance(wait, RungEnough):
            return wait
        # Any that is yet to come may begin at any moment.
        limits = [_silent_seconds(step) for step in self._coming(look) if isinstance(step, Ring | Forward)]
        step = self.steps[look.step - 1] if look.dialling and 0 < look.step <= len(self.steps) else None
        if isinstance(step, Ring | Forward) and look.rang is None and look.progressed is None:
            limits.append(_silent_seconds(step) - look.elapsed)
            if limits[-1] <= 0:
                return Silent(step)
        if wait is not None:
            limits.append(wait.seconds)
        return Wait(min(limits), wait is not None and wait.at_legs) if limits else None

    def _rings(self, look: Look) -> Wait | RungEnough | None:
        ring = self.ringing(look)
        later = min((one.seconds for one in self._coming(look) if isinstance(one, Ring)), default=None)
        if ring is None:
            # A later one may begin at any moment, and end no sooner than:
            return None if later is None else Wait(later - EARLY_SECONDS)
        wait = self._of(ring, look)
        if isinstance(wait, Wait) and later is not None:
            return Wait(min(wait.seconds, later - EARLY_SECONDS), wait.at_legs)
        return wait

    def _coming(self, look: Look) -> tuple[Step, ...]:
        """The steps yet to be: one that is not being dialled too, for before it who calls may hear an announcement."""
        return self.steps[look.step if look.dialling else max(0, look.step - 1) :]

    def _of(self, ring: Ring, look: Look) -> Wait | RungEnough:
        seen = (look.rang, self._rang.get(look.step))
        rang = min((moment for moment in seen if moment is not None), default=None)
        enough = ring.seconds - EARLY_SECONDS
        if rang is None and look.progressed is None:
            return Wait(min(SOON_SECONDS, enough) if self._early else enough)
        if rang is None:
            looks = self._looks[look.step] = self._looks.get(look.step, 0) + 1
            rang = look.progressed or 0.0
            left = rang + enough - look.elapsed
            if looks <= OFTEN_LOOKS and left > OFTEN_SECONDS:
                return Wait(OFTEN_SECONDS, at_legs=True)
        left = rang + enough - look.elapsed
        return Wait(left) if left > 0.002 else RungEnough(ring)


def _silent_seconds(step: Ring | Forward) -> float:
    return step.start_seconds if isinstance(step, Ring) else step.progress_seconds
