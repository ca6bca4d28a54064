"""The task that ends the ringing, on a fake ARI."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

import pytest
from structlog.testing import capture_logs

from comunik_pbx.calls import exact_rings, ring_watch
from comunik_pbx.calls.exact_rings import CALLER, LEG, STALE_SECONDS, ExactRings
from comunik_pbx.calls.ring_watch import EARLY_SECONDS
from comunik_pbx.forwarding.steps import End, Ring
from tests.asterisk.fake_ari import FakeAri


def ring(extension: str, seconds: float) -> Ring:
    return Ring(extension, (extension,), 1, EARLY_SECONDS + seconds)


SOON, LATER, MUCH_LATER = ring("101", 0.15), ring("102", 0.3), ring("103", 60.0)


@pytest.fixture
async def ari(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FakeAri]:
    for module in (ring_watch, exact_rings):
        monkeypatch.setattr(module, "SOON_SECONDS", 0.02)
    monkeypatch.setattr(ring_watch, "OFTEN_SECONDS", 0.02)
    async with FakeAri() as fake:
        yield fake


@dataclass
class Caller:
    """A caller's channel, as the dialplan and Dial() leave it; moments in seconds after it was made."""

    ari: FakeAri
    channel: str = "call"
    decided: str = "1"
    passes: int = 1
    step: int | str = 1
    active: str = "dial"
    status: str = ""
    rang: float | None = 0.0
    progressed: float | None = None
    began: float = field(default_factory=time.time)

    def __post_init__(self) -> None:
        self.ari.variables[self.channel, CALLER] = self.said

    def said(self) -> str:
        def noted(moment: float | None) -> str:
            return "" if moment is None or self.began + moment > time.time() else str(round(moment * 1000))

        started, now = (str(round(moment * 1000)) for moment in (self.began, time.time()))
        active = self.active and f"{self.active}~{started}"
        said = (self.decided, self.passes, self.step, active, self.status, now)
        return "|".join(map(str, (*said, noted(self.rang), noted(self.progressed), self.channel)))

    def legs(self, endpoint: str = "101", **states: str) -> None:
        """The channels of a phone, and their states."""
        self.ari.endpoints[endpoint] = list(states)
        for leg, state in states.items():
            self.ari.variables[leg, LEG] = f"{self.channel}|{state}"


@contextlib.asynccontextmanager
async def watching(
    ari: FakeAri,
    lives: Callable[[str, int], bool] = lambda call, passes: True,
    clock: Callable[[], float] = time.monotonic,
) -> AsyncIterator[ExactRings]:
    async with ari.client() as client:
        rings = ExactRings(client, lives, clock=clock)
        running = asyncio.create_task(rings.run())
        try:
            yield rings
            assert not running.done()
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


def hung_up(ari: FakeAri) -> list[str]:
    return [path for method, path, _ in ari.commands if method == "DELETE"]


def looks(ari: FakeAri, call: str = "call") -> int:
    return ari.commands.count(("GET", f"channels/{call}/variable", CALLER))


async def until(done: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not done():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


async def test_all_legs_are_ended_once_it_has_rung_enough(ari: FakeAri) -> None:
    call = Caller(ari)
    call.legs(a="Ringing", b="Down", gone="Ringing")
    del ari.variables["gone", LEG]
    ari.endpoints["101"].append("another call's")
    ari.variables["another call's", LEG] = "another call|Ringing"
    async with watching(ari) as rings:
        rings.begin("call", 1, (SOON, End(19)))
        await until(lambda: len(hung_up(ari)) == 2)
    assert sorted(hung_up(ari)) == ["channels/a?reason=no_answer", "channels/b?reason=no_answer"]
    assert time.time() - call.began >= 0.15


async def test_a_channel_seen_to_be_another_calls_is_not_asked_again(ari: FakeAri) -> None:
    for call in ("one", "other"):
        Caller(ari, call)
    ari.endpoints["101"] = ["a", "b", "c"]
    ari.variables |= {("a", LEG): "one|Ringing", ("b", LEG): "other|Ringing", ("c", LEG): "a third|Ringing"}
    async with watching(ari) as rings:
        rings.begin("one", 1, (SOON,))
        rings.begin("other", 1, (ring("101", 0.2),))
        await until(lambda: len(hung_up(ari)) == 2)
    assert hung_up(ari) == ["channels/a?reason=no_answer", "channels/b?reason=no_answer"]
    asked = {leg: ari.commands.count(("GET", f"channels/{leg}/variable", LEG)) for leg in "abc"}
    assert asked == {"a": 1, "b": 2, "c": 1}


async def test_a_leg_seen_while_it_was_made_is_asked_again(ari: FakeAri) -> None:
    """Dial() makes the channel, and then gives it what tells whose it is."""
    for call in ("one", "other"):
        Caller(ari, call)
    ari.endpoints["101"] = ["a", "b"]
    ari.variables |= {("a", LEG): "one|Ringing", ("b", LEG): "other&|Down"}
    async with watching(ari) as rings:
        rings.begin("one", 1, (SOON,))
        await until(lambda: len(hung_up(ari)) == 1)
        ari.endpoints["101"] = ["b", "new"]
        ari.variables |= {("b", LEG): "other|Ringing", ("new", LEG): "a third|Ringing"}
        rings.begin("other", 1, (ring("101", 0.05),))
        await until(lambda: len(hung_up(ari)) == 2)
    assert hung_up(ari) == ["channels/a?reason=no_answer", "channels/b?reason=no_answer"]
    assert looks(ari, "other") == 1


async def test_a_call_whose_linkedid_has_changed_finds_its_leg_all_the_same(ari: FakeAri) -> None:
    """An attended transfer joined it with another call after the leg was seen to be the old one's."""
    for call in ("one", "joined"):
        Caller(ari, call)
    ari.endpoints["101"] = ["a", "b"]
    ari.variables |= {("a", LEG): "one|Ringing", ("b", LEG): "old|Ringing"}
    async with watching(ari) as rings:
        rings.begin("one", 1, (SOON,))
        await until(lambda: len(hung_up(ari)) == 1)
        ari.endpoints["101"] = ["b"]
        ari.variables["b", LEG] = "joined|Ringing"
        rings.begin("joined", 1, (SOON,))
        await until(lambda: "channels/b?reason=no_answer" in hung_up(ari))


async def test_all_phones_of_the_extension(ari: FakeAri) -> None:
    call = Caller(ari)
    call.legs("101", a="Ringing")
    call.legs("mobile", b="Ringing")
    async with watching(ari) as rings:
        rings.begin("call", 1, (Ring("101", ("101", "mobile"), 1, SOON.seconds),))
        await until(lambda: len(hung_up(ari)) == 2)


async def test_nothing_is_ended_when_a_leg_has_just_been_answered(ari: FakeAri) -> None:
    call = Caller(ari)
    call.legs(a="Ringing", b="Up")
    async with watching(ari) as rings:
        rings.begin("call", 1, (SOON,))
        await until(lambda: ("GET", "channels/b/variable", LEG) in ari.commands)
        call.status = "ANSWER"
        before = looks(ari)
        await until(lambda: looks(ari) == before + 1)
        await asyncio.sleep(0.1)
    assert hung_up(ari) == []
    assert looks(ari) == before + 1, "and it is looked at no more"


async def test_the_steps_of_a_chain_one_after_the_other(ari: FakeAri) -> None:
    call = Caller(ari)
    call.legs("101", a="Ringing")
    call.legs("102", b="Ringing")
    async with watching(ari) as rings:
        rings.begin("call", 1, (SOON, LATER))
        await until(lambda: len(hung_up(ari)) == 1)
        call.step, call.began = 2, time.time()
        await until(lambda: len(hung_up(ari)) == 2)
        assert time.time() - call.began >= 0.3
    assert hung_up(ari) == ["channels/a?reason=no_answer", "channels/b?reason=no_answer"]


@pytest.mark.parametrize(
    "changed",
    [{"decided": "published1"}, {"decided": "default1"}, {"passes": 2}, {"status": "ANSWER"}],
)
async def test_a_plan_that_is_not_carried_out_or_answered_is_looked_at_once(
    ari: FakeAri, changed: dict[str, object]
) -> None:
    Caller(ari, **changed).legs(a="Ringing")  # type: ignore[arg-type]
    async with watching(ari) as rings:
        rings.begin("call", 1, (SOON,))
        await asyncio.sleep(0.3)
    assert looks(ari) == 1
    assert hung_up(ari) == []


async def test_a_plan_that_a_busy_asterisk_has_not_begun_is_waited_for(ari: FakeAri) -> None:
    call = Caller(ari, decided="", active="")
    call.legs(a="Ringing")
    async with watching(ari) as rings:
        rings.begin("call", 1, (SOON,))
        await until(lambda: looks(ari) >= 3)
        call.decided, call.active, call.began = "1", "dial", time.time()
        await until(lambda: len(hung_up(ari)) == 1)


async def test_what_an_earlier_pass_left_on_the_channel_is_not_this_ones(ari: FakeAri) -> None:
    """A transferred caller was answered once; before the Dial() of his second call he hears an announcement."""
    call = Caller(ari, passes=2, active="", status="ANSWER")
    call.legs(a="Ringing")
    async with watching(ari) as rings:
        rings.begin("call", 2, (SOON,))
        await until(lambda: looks(ari) >= 1)
        call.active, call.status, call.began = "dial", "", time.time()
        await until(lambda: len(hung_up(ari)) == 1)


async def test_a_plan_without_a_phone_costs_nothing(ari: FakeAri) -> None:
    Caller(ari)
    async with watching(ari) as rings:
        rings.begin("call", 1, (End(17),))
        await asyncio.sleep(0.1)
    assert ari.commands == []


async def test_a_call_that_has_ended_is_looked_at_no_more(ari: FakeAri) -> None:
    lives = {("call", 1), ("call", 2), ("gone", 1)}
    Caller(ari)
    with capture_logs() as logs:
        async with watching(ari, lambda call, passes: (call, passes) in lives) as rings:
            rings.begin("gone", 1, (SOON,))  # its end is not told yet
            rings.begin("call", 1, (SOON,))
            lives.discard(("call", 1))
            await until(lambda: looks(ari, "gone") == 1)
            await asyncio.sleep(0.1)
    assert (looks(ari, "gone"), looks(ari)) == (1, 0)
    assert logs == []


async def test_nothing_is_ended_by_a_look_that_took_too_long(ari: FakeAri) -> None:
    """We were stopped between the look and its answer: somebody may be talking by now."""
    stopped = 0.0

    def slow() -> str:
        nonlocal stopped
        stopped += STALE_SECONDS + 0.1
        return "call|Ringing"

    Caller(ari).legs(a="Ringing")
    ari.variables["a", LEG] = slow
    with capture_logs() as logs:
        async with watching(ari, clock=lambda: time.monotonic() + stopped) as rings:
            rings.begin("call", 1, (SOON,))
            await until(lambda: bool(logs))
            assert hung_up(ari) == []
            ari.variables["a", LEG] = "call|Ringing"  # and then it is looked at again
            await until(lambda: len(hung_up(ari)) == 1)
    assert [entry["event"] for entry in logs] == ["legs could not be looked at in time: left to the dialplan"]


async def test_a_caller_looked_at_too_late_is_looked_at_again_first(ari: FakeAri) -> None:
    call, stopped = Caller(ari), 0.0
    call.legs(a="Ringing")

    def slow() -> str:
        nonlocal stopped
        ari.variables["call", CALLER] = call.said
        stopped += STALE_SECONDS + 0.1
        call.began -= 60
        said = call.said()
        call.status = "ANSWER"
        return said

    ari.variables["call", CALLER] = slow
    async with watching(ari, clock=lambda: time.monotonic() + stopped) as rings:
        rings.begin("call", 1, (SOON,))
        await until(lambda: looks(ari) == 2)
        await asyncio.sleep(0.05)
    assert hung_up(ari) == []


async def test_the_one_due_first_is_ended_first(ari: FakeAri) -> None:
    one, other = Caller(ari, "one"), Caller(ari, "other")
    one.legs("103", a="Ringing")
    other.legs("101", b="Ringing")
    async with watching(ari) as rings:
        rings.begin("one", 1, (MUCH_LATER,))
        await asyncio.sleep(0.02)  # it waits for that one, a minute
        rings.begin("other", 1, (SOON,))
        await until(lambda: len(hung_up(ari)) == 1)
    assert hung_up(ari) == ["channels/b?reason=no_answer"]


async def test_a_leg_in_progress_that_rings_after_all_counts_from_then(ari: FakeAri) -> None:
    """A 180 with SDP after a 183, which Asterisk notes nowhere but in the leg's state."""
    teacher = Caller(ari, "another call", rang=None, progressed=0.0)
    teacher.legs("102", b="Down")
    async with watching(ari) as rings:
        rings.begin("another call", 1, (LATER,))  # this phone says 183: it is looked at sooner from now on
        await until(lambda: len(hung_up(ari)) == 1)
        assert time.time() - teacher.began >= 0.3
        ari.commands.clear()
        call = Caller(ari, rang=None, progressed=0.0)
        call.legs("102", a="Down")
        rings.begin("call", 1, (LATER,))
        await until(lambda: ari.commands.count(("GET", "channels/a/variable", LEG)) >= 3)
        assert hung_up(ari) == []
        rang_at = time.time()
        call.legs("102", a="Ringing")
        await until(lambda: len(hung_up(ari)) == 1)
        assert time.time() - rang_at >= 0.3


async def test_asterisk_refusing_disturbs_no_other_call(ari: FakeAri) -> None:
    Caller(ari).legs(b="Ringing")
    Caller(ari, "another").legs(b="Ringing")
    async with watching(ari) as rings:
        ari.status = 500
        with capture_logs() as logs:
            rings.begin("another", 1, (SOON,))
            await until(lambda: bool(logs))
        ari.status = None
        Caller(ari).legs(b="Ringing")
        rings.begin("call", 1, (SOON,))
        await until(lambda: len(hung_up(ari)) == 1)
    assert [entry["event"] for entry in logs] == ["ringing could not be looked at: left to the dialplan"]


@pytest.mark.parametrize(
    "said",
    [
        *("", "|" * 8, "1|1|1|dial~1", "1|1|one|dial~1||1|||call", "1|1|1|dial~x||y|||call"),
        *("1|1|7|dial~1||9|||call", "1|1|-1|dial~1||9|||call", "1|1|1|dial~1||9|1e9||call"),
    ],
)
async def test_nothing_that_a_channel_says_ends_the_watch(ari: FakeAri, said: str) -> None:
    ari.variables["call", CALLER] = said
    async with watching(ari) as rings:
        rings.begin("call", 1, (SOON,))
        await until(lambda: looks(ari) >= 1)
        Caller(ari, "good").legs(b="Ringing")
        rings.begin("good", 1, (SOON,))
        await until(lambda: len(hung_up(ari)) == 1)


async def test_a_phone_that_asterisk_does_not_know_spoils_nothing_for_the_others(ari: FakeAri) -> None:
    Caller(ari).legs("101", a="Ringing")
    async with watching(ari) as rings:
        rings.begin("call", 1, (Ring("101", ("nobody's", "101"), 1, SOON.seconds),))
        await until(lambda: len(hung_up(ari)) == 1)
