"""Ring steps as tables of looks, and phones that behave in any way, seen only through looks."""

from dataclasses import dataclass, field, replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from comunik_pbx.calls.ring_watch import (
    EARLY_SECONDS,
    OFTEN_LOOKS,
    OFTEN_SECONDS,
    SOON_SECONDS,
    Look,
    RingWatch,
    RungEnough,
    Silent,
    Wait,
)
from comunik_pbx.forwarding.steps import Diversion, Forward, Reason, Ring, Voicemail

R10, R5, R1 = (Ring(str(seconds), (str(seconds),), 1, float(seconds)) for seconds in (10, 5, 1))
OUTSIDE = Forward("+33612345678", "carrier", "x", 60.0, 8.0, Diversion("101", "101", Reason.NO_ANSWER))
MAILBOX = Voicemail("101", "101@default")

Steps = tuple[Ring | Forward | Voicemail, ...]


def after(steps: Steps, *looks: Look) -> Wait | RungEnough | Silent | None:
    watched = RingWatch(steps)
    for look in looks[:-1]:
        watched.looked(look)
    return after_looked(watched, looks[-1])


def after_looked(watched: RingWatch, look: Look) -> Wait | RungEnough | Silent | None:
    outcome = watched.looked(look)
    return Wait(round(outcome.seconds, 6), outcome.at_legs) if isinstance(outcome, Wait) else outcome


def dialling(elapsed: float, rang: float | None = None, progressed: float | None = None, step: int = 1) -> Look:
    return Look(step, True, elapsed, rang, progressed)


@pytest.mark.parametrize(
    ("steps", "first"),
    [
        pytest.param((R10,), Wait(9.9), id="one phone, when it may have rung enough"),
        pytest.param((OUTSIDE, R10), Wait(9.9), id="a phone later"),
        pytest.param((R10, OUTSIDE, R5), Wait(4.9), id="the first may be declined at once"),
        pytest.param((OUTSIDE, MAILBOX), None, id="no phone at all"),
        pytest.param((), None, id="nothing"),
    ],
)
def test_when_to_look_first(steps: Steps, first: Wait | None) -> None:
    assert RingWatch(steps).begun() == first


def test_a_phone_known_to_say_183_is_looked_at_soon_and_often() -> None:
    watched = RingWatch((R10, R1), early=True)
    assert watched.begun() == Wait(SOON_SECONDS)
    assert watched.looked(dialling(0.4)) == Wait(SOON_SECONDS)
    assert RingWatch((OUTSIDE,), early=True).begun() is None


@pytest.mark.parametrize(
    ("looks", "outcome"),
    [
        pytest.param([dialling(9.9)], Wait(9.9), id="what does not ring yet needs as long again"),
        pytest.param([dialling(4, rang=3.5)], Wait(9.4), id="counted from the ringing"),
        pytest.param([dialling(13.3, rang=3.5)], Wait(0.1), id="not yet"),
        pytest.param([dialling(13.38, rang=3.5)], Wait(0.02), id="not quite yet"),
        pytest.param([dialling(13.4, rang=3.5)], RungEnough(R10), id="a tenth of a second early"),
        pytest.param([dialling(13.399, rang=3.5)], RungEnough(R10), id="what is left is not worth a look"),
        pytest.param([dialling(60, rang=3.5)], RungEnough(R10), id="a look that comes late"),
        pytest.param([dialling(4, progressed=3.5)], Wait(OFTEN_SECONDS, at_legs=True), id="183 alone: it may yet ring"),
        pytest.param(
            [dialling(4, progressed=3.5)] * OFTEN_LOOKS + [dialling(6, progressed=3.5)], Wait(7.4), id="or not"
        ),
        pytest.param([dialling(13.35, progressed=3.5)], Wait(0.05), id="183 alone: too late to ring"),
        pytest.param([dialling(13.4, progressed=3.5)], RungEnough(R10), id="183 alone counts"),
        pytest.param([dialling(13.4, 5.0, 3.5)], Wait(1.5), id="180 counts more than 183 before it"),
        pytest.param([dialling(13.4, 3.5, 5.0)], RungEnough(R10), id="183 after 180 is nothing"),
        pytest.param([Look(1, False)], Wait(9.9), id="an announcement before it"),
        pytest.param([Look(0, False)], Wait(9.9), id="before any step"),
        pytest.param([Look(2, False)], None, id="in the mailbox, or at the end"),
        pytest.param([dialling(3, rang=1, step=2)], None, id="a step that there is not"),
    ],
)
def test_one_phone(looks: list[Look], outcome: Wait | RungEnough | None) -> None:
    assert after((R10,), *looks) == outcome


@pytest.mark.parametrize(
    ("look", "outcome"),
    [
        pytest.param(Look(0, False), Wait(4.9), id="the soonest that a later one may have rung enough"),
        pytest.param(Look(1, False), Wait(4.9), id="between two steps"),
        pytest.param(dialling(9, rang=1, step=2), Wait(4.9), id="an outside number, which Dial() ends"),
        pytest.param(dialling(1, rang=1), Wait(4.9), id="it may be declined, and the next begin, at any moment"),
        pytest.param(dialling(10, rang=1), Wait(0.9), id="unless it ends before"),
        pytest.param(dialling(1, rang=1, step=3), Wait(4.9), id="the last"),
        pytest.param(dialling(5.9, rang=1, step=3), RungEnough(R5), id="the last has rung enough"),
        pytest.param(Look(3, False), Wait(4.9), id="an announcement before the last"),
        pytest.param(Look(4, False), None, id="in the mailbox"),
    ],
)
def test_a_chain(look: Look, outcome: Wait | RungEnough | None) -> None:
    assert after((R10, OUTSIDE, R5, MAILBOX), look) == outcome


@pytest.mark.parametrize(
    ("look", "outcome"),
    [
        pytest.param(dialling(4), Wait(4.9), id="a phone without a sign of life"),
        pytest.param(dialling(9.8), Wait(0.2), id="for almost too long"),
        pytest.param(dialling(10), Silent(R10), id="for too long"),
        pytest.param(dialling(10, progressed=9), Wait(OFTEN_SECONDS, at_legs=True), id="183 is one"),
        pytest.param(dialling(10, rang=1), Wait(0.9), id="180 is one"),
        pytest.param(dialling(10.9, rang=1), RungEnough(R10), id="it has rung enough"),
        pytest.param(dialling(5, step=2), Wait(3.0), id="a trunk without a sign of life"),
        pytest.param(dialling(8, step=2), Silent(OUTSIDE), id="a trunk, for too long"),
        pytest.param(dialling(8, progressed=1, step=2), Wait(4.9), id="a trunk with one"),
        pytest.param(dialling(5, step=4), Wait(3.0), id="the last trunk"),
        pytest.param(dialling(20, rang=1, step=4), None, id="the last trunk rings"),
        pytest.param(Look(3, False), Wait(4.9), id="between two"),
        pytest.param(Look(5, False), None, id="in the mailbox"),
    ],
)
def test_where_dial_does_not_give_up_what_shows_no_sign_of_life(
    look: Look, outcome: Wait | RungEnough | Silent | None
) -> None:
    assert after_looked(RingWatch((R10, OUTSIDE, R5, OUTSIDE, MAILBOX), gives_up=True), look) == outcome


def test_there_a_silent_trunk_after_a_phone_that_rings_long_is_noticed_in_time() -> None:
    """The phone may be declined at any moment."""
    watched = RingWatch((Ring("101", ("101",), 12, 60.0), OUTSIDE, MAILBOX), gives_up=True)
    assert watched.looked(dialling(1, rang=0.5)) == Wait(8.0)
    assert watched.looked(Look(1, False)) == Wait(8.0)
    assert watched.looked(dialling(7.5, step=2)) == Wait(0.5)
    assert watched.looked(dialling(8, step=2)) == Silent(OUTSIDE)


def test_there_trunks_are_looked_at_too() -> None:
    assert RingWatch((OUTSIDE, MAILBOX), gives_up=True).begun() == Wait(OUTSIDE.progress_seconds)
    assert RingWatch((R5, OUTSIDE), gives_up=True).begun() == Wait(4.9)
    assert RingWatch((MAILBOX,), gives_up=True).begun() is None


def test_a_leg_seen_to_ring_after_183_counts_from_then() -> None:
    watched = RingWatch((R10,))
    assert watched.looked(dialling(1, progressed=0.5)) == Wait(OFTEN_SECONDS, at_legs=True)
    assert watched.looked(dialling(1.1, progressed=0.5)) == Wait(OFTEN_SECONDS, at_legs=True)
    watched.leg_rings(look := dialling(2, progressed=0.5))
    assert watched.looked(look) == Wait(9.9)
    watched.leg_rings(dialling(3, progressed=0.5))  # the first counts
    assert watched.looked(dialling(11.9, progressed=0.5)) == RungEnough(R10)


def test_the_first_leg_counts_though_another_rings_later() -> None:
    watched = RingWatch((R10,))
    watched.looked(dialling(1, progressed=0.5))
    watched.looked(dialling(1.1, progressed=0.5))
    watched.leg_rings(dialling(2, progressed=0.5))
    assert watched.looked(dialling(11.9, rang=9, progressed=0.5)) == RungEnough(R10)


def test_a_180_with_sdp_counts_from_when_it_came() -> None:
    """To Dial() it is a 183: that the leg rings when it is first looked at says what it was."""
    watched = RingWatch((R10,))
    assert watched.looked(dialling(5, progressed=0.5)) == Wait(OFTEN_SECONDS, at_legs=True)
    watched.leg_rings(look := dialling(5.08, progressed=0.5))
    assert after_looked(watched, look) == Wait(5.32)


def test_a_leg_of_an_earlier_step_says_nothing_of_a_later_one() -> None:
    watched = RingWatch((R10, R5))
    watched.leg_rings(dialling(1, progressed=0.5))
    assert watched.looked(dialling(1, step=2)) == Wait(4.9)


# Phones that behave in any way. Moments in milliseconds, whole ones, as Asterisk notes them.


@dataclass(frozen=True)
class Phone:
    """What it says, and when: 183, 180 (with `sdp` no more than a 183 to Dial()), then perhaps that it is busy."""

    progress: int | None
    ring: int | None
    sdp: bool
    busy: int | None

    def noted(self) -> tuple[int | None, int | None]:
        """When Dial() notes that it rang, and that it was in progress."""
        if self.ring is None or not self.sdp:
            return self.ring, self.progress
        return None, self.ring if self.progress is None else min(self.ring, self.progress)


@dataclass(frozen=True)
class Carried:
    """A step as it is carried out: `gap` after the one before, which is its own if it is `announced`.

    `taken` is how long a forward takes; `answered` when somebody answers.
    """

    step: Ring | Forward
    gap: int
    announced: bool = False
    phones: tuple[Phone, ...] = ()
    taken: int | None = None
    answered: int | None = None

    @property
    def rang(self) -> int | None:
        return min((at for at, _ in map(Phone.noted, self.phones) if at is not None), default=None)

    @property
    def progressed(self) -> int | None:
        return min((at for _, at in map(Phone.noted, self.phones) if at is not None), default=None)

    def signs(self, until: int) -> list[int]:
        return [at for phone in self.phones for at in (phone.progress, phone.ring) if at is not None and at <= until]

    def dial_ends(self) -> int:
        """When Dial() itself gives up: all busy, no sign of life, or the time that is there in case we are gone."""
        if not isinstance(self.step, Ring):
            return self.taken or 0
        busy = [phone.busy for phone in self.phones]
        ends = [ms(self.step.seconds) + 60_000]
        if all(at is not None for at in busy):
            ends.append(max((at for at in busy if at is not None), default=0))
        if not self.signs(ms(self.step.start_seconds)):
            ends.append(ms(self.step.start_seconds))
        return min(ends)


def ms(seconds: float) -> int:
    return round(seconds * 1000)


@dataclass
class Call:
    """One call in simulated time; `ended` is what was ended by the watch: step, after how long."""

    carried: tuple[Carried, ...]
    late: tuple[int, ...]
    early: bool = False
    now: int = 0
    index: int = 0
    began: int = 0
    looks: int = 0
    ended: list[tuple[Carried, int]] = field(default_factory=list)
    outlived: list[Carried] = field(default_factory=list)  # Dial() had to end it

    def __post_init__(self) -> None:
        self.began = self.carried[0].gap

    def played(self) -> "Call":
        watched = RingWatch(tuple(one.step for one in self.carried), early=self.early)
        wait = watched.begun()
        while wait is not None:
            self.now += max(1, ms(wait.seconds)) + self.late[self.looks % len(self.late)]
            self.looks += 1
            look = self.look()
            if look is None:
                return self
            one = self.carried[look.step - 1]  # if it is dialling
            ringing = [p for p in one.phones if p.ring is not None and p.ring <= ms(look.elapsed)]
            if wait.at_legs and look.dialling and look.rang is None and not all(map(self.is_busy, ringing)):
                watched.leg_rings(look)
            outcome = watched.looked(look)
            if isinstance(outcome, RungEnough):
                assert outcome.ring is one.step
                self.ended.append((one, self.now - self.began))
                self.next(self.now)
                wait = watched.begun()
                continue
            assert not isinstance(outcome, Silent), "Dial() gives up what is silent"
            wait = outcome
            coming = self.carried[look.step if look.dialling or not look.step else look.step - 1 :]
            later = [other.step.seconds for other in coming if isinstance(other.step, Ring)]
            if wait is not None:
                assert wait.seconds > 0
                assert wait.seconds <= min(later, default=1e9) - EARLY_SECONDS
            else:
                assert not later
        return self

    def is_busy(self, phone: Phone) -> bool:
        return phone.busy is not None and phone.busy <= self.now - self.began

    def next(self, at: int) -> None:
        self.index += 1
        if self.index < len(self.carried):
            self.began = at + self.carried[self.index].gap

    def look(self) -> Look | None:
        """What the caller's channel says now; None if somebody has answered, or all is over."""
        while self.index < len(self.carried) and self.began <= self.now:
            one, elapsed = self.carried[self.index], self.now - self.began
            ends = one.dial_ends()
            if one.answered is not None and one.answered <= min(elapsed, ends):
                return None
            if elapsed < ends:
                rang, progressed = (
                    at / 1000 if at is not None and at <= elapsed else None for at in (one.rang, one.progressed)
                )
                return Look(self.index + 1, True, elapsed / 1000, rang, progressed)
            if isinstance(one.step, Ring) and ends >= ms(one.step.seconds) + 60_000:
                self.outlived.append(one)
            self.next(self.began + ends)
        if self.index >= len(self.carried):
            return None
        return Look(self.index + self.carried[self.index].announced, False)


moment = st.one_of(st.none(), st.integers(0, 12_000))
phones = st.builds(Phone, progress=moment, ring=moment, sdp=st.booleans(), busy=st.one_of(st.none(), moment))
rings = st.builds(
    lambda rings, cycle, gap, announced, phones, answered: Carried(
        Ring("101", ("101",), rings, rings * cycle), gap, announced, tuple(phones), answered=answered
    ),
    st.integers(1, 12),
    st.sampled_from([1.0, 2.5, 5.0, 6.0]),
    st.integers(0, 3000),
    st.booleans(),
    st.lists(phones, min_size=1, max_size=3),
    st.one_of(st.none(), st.none(), moment),
)
forwards = st.builds(Carried, st.just(OUTSIDE), st.integers(0, 3000), taken=st.integers(0, 60_000))
calls = st.lists(st.one_of(rings, rings, forwards), min_size=1, max_size=5).map(tuple)
lateness = st.lists(st.integers(0, 5), min_size=1, max_size=20).map(tuple)


@given(calls, lateness, st.booleans())
def test_whatever_phones_do_each_rings_as_often_as_it_should(
    carried: tuple[Carried, ...], late: tuple[int, ...], early: bool
) -> None:
    call = Call(carried, late, early).played()
    for one, rung in call.ended:
        enough = ms(one.step.seconds - EARLY_SECONDS)
        assert rung >= min(one.signs(rung)) + enough - 2, "never before, from its first sign of life"
        assert rung <= max(one.signs(rung)) + enough + ms(OFTEN_SECONDS) + 10
        if not any(phone.sdp for phone in one.phones):
            begun = one.progressed if one.rang is None or one.rang > rung else one.rang
            assert begun is not None
            assert -2 <= rung - begun - enough <= 10
    assert call.outlived == [], "Dial() did not have to end any"
    shortest = min((one.step.seconds for one in carried if isinstance(one.step, Ring)), default=60.0) - EARLY_SECONDS
    between = min(SOON_SECONDS, shortest) if early else shortest
    assert call.looks <= call.now / ms(between) + (OFTEN_LOOKS + 4) * len(carried) + 3


@given(st.integers(0, 1500), st.integers(0, 2000), st.integers(1, 12), lateness)
@example(0, 2000, 1, (0,))
def test_a_phone_that_says_183_and_rings_by_180_with_sdp_rings_as_often_as_it_should(
    progress: int, until_ring: int, times: int, late: tuple[int, ...]
) -> None:
    """Which Dial() notes nowhere: the leg alone knows. Only if 183 and 180 came before the first look is it the 183.

    (Of a phone that is known to say 183; the first time, it is the 183 in any case.)
    """
    phone = Phone(progress, progress + until_ring, sdp=True, busy=None)
    step = Ring("101", ("101",), times, times * 5.0)
    [(_, rung)] = Call((Carried(step, 0, phones=(phone,)),), late, early=True).played().ended
    after_enough = rung - progress - until_ring - ms(step.seconds - EARLY_SECONDS)
    unseen = ms(SOON_SECONDS + OFTEN_SECONDS) + 10
    assert -2 - min(until_ring, unseen) <= after_enough <= ms(OFTEN_SECONDS) + 20


@given(st.integers(0, 2000), st.integers(1, 12), lateness)
def test_a_phone_that_says_but_180_with_sdp_rings_exactly_as_often_as_it_should(
    ring: int, times: int, late: tuple[int, ...]
) -> None:
    step = Ring("101", ("101",), times, times * 5.0)
    [(_, rung)] = Call((Carried(step, 0, phones=(Phone(None, ring, sdp=True, busy=None),)),), late).played().ended
    assert -2 <= rung - ring - ms(step.seconds - EARLY_SECONDS) <= 10


def test_a_silent_phone_is_looked_at_no_more_often_than_need_be() -> None:
    silent = Carried(Ring("101", ("101",), 6, 30.0), 0, phones=(Phone(None, None, sdp=False, busy=None),))
    call = Call((silent,), (0,)).played()
    assert call.ended == []
    assert call.looks <= 1
    ringing = replace(silent, phones=(Phone(None, 100, sdp=False, busy=None),))
    assert Call((ringing,), (0,)).played().looks == 3, "when it may have rung enough, when it has, and after that"
