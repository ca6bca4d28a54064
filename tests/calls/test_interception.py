import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

import pytest

from comunik_pbx.asterisk.ari_resources import Channels
from comunik_pbx.asterisk.errors import ApplicationReplaced, AriError, AriTimeout, AriUnreachable, ChannelGone
from comunik_pbx.asterisk.plan_encoding import decode, encode
from comunik_pbx.calls.interception import Interception
from comunik_pbx.calls.records import Records
from comunik_pbx.calls.snapshot import Snapshot
from comunik_pbx.forwarding.call import Call, Caller
from comunik_pbx.forwarding.directory import Directory
from comunik_pbx.forwarding.plan import Plan, Usage, plan
from comunik_pbx.forwarding.rules import Rules
from comunik_pbx.forwarding.steps import Step
from tests.asterisk.fake_ari import FakeAri, channel, stasis_start
from tests.calls.test_records import Kept
from tests.forwarding.company import MOBILE, NOW, directory, extension, rules

COMPANY = Snapshot(directory(), rules(f"101 external 3 {MOBILE}", "101 internal 2 102"))
OUTSIDE = encode(
    plan(Call(caller=Caller(number="+33140000000"), called="101"), COMPANY.directory, COMPANY.rules, NOW).steps
)
PLACE = r"\*?(\d{3})(\d{12})(?:t[0-9.]+:\^[0-9.]+|(\d+))"
CONTINUE = r"continue\?context=comunik-execute&extension={}&priority=1"


class Pbx(FakeAri):
    """The fake with an interception running on it."""

    def __init__(self) -> None:
        super().__init__()
        self.sink = Kept()
        self.snapshot = COMPANY
        self.ticks = 0
        self.records = Records(self.sink, lambda: self.snapshot, clock=self.clock)

    def clock(self) -> datetime:
        self.ticks += 1
        return NOW + timedelta(milliseconds=self.ticks)

    @contextlib.asynccontextmanager
    async def intercepted(self, *, looked: bool = True, **options: Any) -> AsyncIterator["asyncio.Task[None]"]:
        async with self.client() as client:
            interception = Interception(client, lambda: self.snapshot, self.records, clock=self.clock, **options)
            self.interception = interception
            running = asyncio.create_task(interception.run())
            await (self.has_looked() if looked else self.opened.wait())
            try:
                yield running
            finally:
                running.cancel()
                await asyncio.gather(running, return_exceptions=True)

    async def has_looked(self) -> None:
        """Wait until the service is connected and has looked at what stands."""
        async with asyncio.timeout(5):
            await self.opened.wait()
            while not self.interception.connected:  # noqa: ASYNC110  some turns of the event loop
                await asyncio.sleep(0)
            await self.interception._reconciling.drain(5)

    async def call(self, channel_id: str, called: str = "101", endpoint: str = "carrier", number: str = "") -> None:
        await self.emit(stasis_start(channel_id, "incoming", called, endpoint, "allowed", number=number))

    def variable(self, channel_id: str) -> str:
        (value,) = self.handed_over(channel_id)
        return value

    def handed_over(self, channel_id: str, passes: int = 1) -> list[str]:
        """The plans that a channel was sent to, as the dialplan would find them."""
        variables: dict[str, str] = {}
        plans = []
        for _, path, body in self.about_channels():
            if path == "asterisk/variable":
                variables[body["variable"]] = body["value"]
            elif found := re.fullmatch(rf"channels/{channel_id}/{CONTINUE}".format(PLACE), path):
                tag, _, plan = variables[f"CK_HANDOVER_{found[1]}"].partition("!")
                plans += [plan] if (tag, int(found[3] or 1)) == (found[2], passes) else []
        return plans

    async def reconnected(self) -> None:
        """Close the event socket, and wait until the service has opened another."""
        self.opened.clear()
        closing = asyncio.create_task(self.sockets[-1].close())
        await self.opened.wait()
        await closing
        await self.has_looked()

    async def until_continued(self, number: int) -> None:
        """Wait until so many channels have been told to go on."""
        async with asyncio.timeout(5):
            while len([path for _, path, _ in self.about_channels() if "/continue" in path]) < number:
                self.asked.clear()
                await self.asked.wait()

    def continued(self) -> list[str]:
        return [path.split("/")[1] for _, path, _ in self.about_channels() if "/continue?" in path]


@pytest.fixture
async def pbx() -> AsyncIterator[Pbx]:
    async with Pbx() as fake:
        yield fake


async def test_a_call_gets_its_plan_and_goes_on(pbx: Pbx) -> None:
    async with pbx.intercepted():
        await pbx.call("7.1", number="0140000000")
        await pbx.until_continued(1)
    assert [path.partition("?")[0] for _, path, _ in pbx.about_channels()] == [
        "asterisk/variable",
        "channels/7.1/continue",
    ]
    assert pbx.variable("7.1") == OUTSIDE
    (record,) = pbx.sink.all
    assert (record.id, str(record.call.caller), record.extension) == ("7.1", "+33140000000", "101")


@pytest.mark.parametrize(
    ("called", "passes", "at_once"),
    [
        pytest.param("101", "1", True, id="one phone"),
        pytest.param("101", "2", False, id="a transferred caller, whose channel has been used before"),
        pytest.param("102", "1", False, id="two phones"),
        pytest.param("103", "1", False, id="a phone that a call is diverted to"),
        pytest.param("104", "1", False, id="an outside number"),
        pytest.param("999", "1", False, id="nobody"),
    ],
)
async def test_what_rings_one_phone_first_rings_it_at_once(pbx: Pbx, called: str, passes: str, at_once: bool) -> None:
    company = directory(
        *(extension(number) for number in ("101", "103", "104", "105")), extension("102", endpoints=("102", "mobile"))
    )
    pbx.snapshot = Snapshot(company, rules("103 always 0 105", f"104 always 0 {MOBILE}"))
    async with pbx.intercepted():
        await pbx.emit(stasis_start("7.1", "incoming", called, "carrier", "allowed", passes))
        await pbx.until_continued(1)
    [(_, path, _)] = [command for command in pbx.about_channels() if "/continue?" in command[1]]
    assert path.partition("extension=")[2][17 if at_once else 15 :] == (
        "29.9:^10&priority=1" if at_once else f"{passes}&priority=1"
    )


async def test_rings_are_watched_from_when_the_plan_has_arrived(pbx: Pbx) -> None:
    begun: list[tuple[str, int, tuple[Step, ...]]] = []
    pbx.answers = {"7.1": 409}
    async with pbx.intercepted(rings=lambda *one: begun.append(one)):
        await pbx.call("7.1")  # the dialplan carries out another plan for it, perhaps with other rings
        await pbx.emit(stasis_start("7.2", "incoming", "101", "carrier", "allowed", "2"))
        await pbx.until_continued(2)
        async with asyncio.timeout(5):
            while not begun:  # noqa: ASYNC110
                await asyncio.sleep(0.005)
    [(channel_id, passes, steps)] = begun
    assert (channel_id, passes) == ("7.2", 2)
    assert encode(steps, watched=True) == pbx.handed_over("7.2", 2)[0]
    assert encode(steps) != pbx.handed_over("7.2", 2)[0], "the dialplan leaves it to us to end the ringing"


async def test_the_end_of_a_call_is_told(pbx: Pbx) -> None:
    told: list[str] = []
    missed: list[str] = []
    async with pbx.intercepted(on_end=told.append, on_missed=lambda: missed.append("")):
        await pbx.call("7.1")
        await pbx.until_continued(1)
        await pbx.emit(stasis_start("7.1", "ended", "Call: 7.1", "Pass: 1", "Plan: 1|end~17", "Steps: "))
        await pbx.emit(stasis_start("7.2", "ended"))
        await pbx.call("7.3")
        await pbx.until_continued(2)
    assert told == ["Call: 7.1,Pass: 1,Plan: 1|end~17,Steps: ", ""]
    assert pbx.continued() == ["7.1", "7.3"], "a call that has ended is not decided"
    assert missed == []


async def test_whoever_may_have_missed_an_end_looks_for_it(pbx: Pbx) -> None:
    happened: list[str] = []
    told: dict[str, Any] = {
        "on_missed": lambda: happened.append("again"),
        "on_connected": lambda: happened.append("connected"),
    }
    async with pbx.intercepted(**told):
        await pbx.call("7.1")
        await pbx.until_continued(1)
        assert happened == ["connected"]
        await pbx.emit(stasis_start("7.1", "incoming", "101", "carrier", "allowed", "2"))  # he was transferred
        await pbx.until_continued(2)
        assert happened == ["connected", "again"]
        await pbx.reconnected()
        await pbx.call("7.2")
        await pbx.until_continued(3)
        assert happened == ["connected", "again", "connected"]


async def test_the_origin_is_the_endpoints_never_the_caller_ids(pbx: Pbx) -> None:
    async with pbx.intercepted():
        await pbx.call("7.1", endpoint="carrier", number="102")
        await pbx.call("7.2", endpoint="103", number="+33140000000")
        await pbx.until_continued(2)
    assert "forward" in pbx.variable("7.1")
    assert "forward" not in pbx.variable("7.2")


async def test_a_change_acts_on_the_next_call(pbx: Pbx) -> None:
    async with pbx.intercepted():
        await pbx.call("7.1")
        await pbx.until_continued(1)
        pbx.snapshot = Snapshot(directory(), {})
        await pbx.call("7.2")
        await pbx.until_continued(2)
    assert [len(decode(pbx.variable(i))) for i in ("7.1", "7.2")] == [3, 2]


async def test_where_a_call_has_been_is_part_of_it(pbx: Pbx) -> None:
    async with pbx.intercepted():
        first = ("incoming", "101", "carrier", "allowed", "1")
        await pbx.emit(stasis_start("7.1", *first, "&+33170000101&0140000000", "&102&101", number=""))
        await pbx.emit(stasis_start("7.2", *first, "", "&101", number=""))
        await pbx.until_continued(2)
    came_back, plain = (record.call for record in pbx.sink.all)
    assert (came_back.diverted_by, came_back.passed) == (("+33170000101", "0140000000"), ("102",))
    assert (plain.diverted_by, plain.passed) == ((), ())


@pytest.mark.parametrize(
    "args",
    [(), ("incoming",), ("outgoing", "101", "carrier", "allowed"), ("incoming", "101", "carrier", "allowed", "x")],
)
async def test_a_call_that_cannot_be_read_is_given_back_at_once(pbx: Pbx, args: tuple[str, ...]) -> None:
    async with pbx.intercepted():
        await pbx.emit(stasis_start("7.1", *args))
        await pbx.until_continued(1)
        await pbx.call("7.2")
        await pbx.until_continued(2)
    assert pbx.about_channels()[0] == ("POST", "channels/7.1/continue", None)


async def test_a_decision_that_fails_is_given_back_at_once(pbx: Pbx) -> None:
    def broken(call: Call, d: Directory, r: Rules, now: datetime, usage: Mapping[str, Usage]) -> Plan:
        raise ZeroDivisionError

    async with pbx.intercepted(decide=broken):
        await pbx.call("7.1")
        await pbx.until_continued(1)
    assert pbx.about_channels() == [("POST", "channels/7.1/continue", None)]
    assert pbx.sink.all == []


@pytest.mark.parametrize("status", [404, 409, 500])
async def test_a_call_that_did_not_wait_disturbs_no_other(pbx: Pbx, status: int) -> None:
    pbx.answers["7.1"] = status
    async with pbx.intercepted() as running:
        await pbx.call("7.1")
        await pbx.call("7.2")
        await pbx.until_continued(2)
        assert not running.done()
    assert pbx.variable("7.2") == pbx.variable("7.1")


async def test_calls_already_waiting_are_decided_on_connection(pbx: Pbx) -> None:
    pbx.channels = [
        channel("7.1", "comunik-pbx,incoming,101,carrier,allowed,1", number="0140000000"),
        channel("7.2", "other-app,incoming,101,carrier,allowed"),
        channel("7.3", "comunik-pbx,incoming,101,carrier,allowed", app="Dial"),
        channel("7.5", "comunik-pbx,ended,Call: 7.5,Pass: 1"),
    ]
    async with pbx.intercepted():
        await pbx.until_continued(1)
        await pbx.call("7.4")
        await pbx.until_continued(2)
    assert pbx.variable("7.1") == OUTSIDE
    assert pbx.continued() == ["7.1", "7.4"]
    assert not [path for _, path, _ in pbx.about_channels() if "7.5" in path], "one whose end is being told"


async def test_calls_are_decided_again_after_a_restart_of_asterisk(pbx: Pbx) -> None:
    async with pbx.intercepted():
        await pbx.call("7.1")
        await pbx.until_continued(1)
        await pbx.reconnected()
        await pbx.call("7.2")
        await pbx.until_continued(2)
    # Asterisk has no channel any more, so the first call is over, however it ended.
    assert [(r.id, r.status) for r in pbx.sink.all if r.status] == [("7.1", "unknown")]


async def test_a_call_that_comes_while_the_channels_are_listed_is_decided_once(pbx: Pbx) -> None:
    pbx.channels = [channel("7.1", "comunik-pbx,incoming,101,carrier,allowed")]
    async with pbx.intercepted(looked=False):
        await pbx.call("7.1")
        await pbx.until_continued(1)
        await pbx.call("7.2")
        await pbx.until_continued(2)
    assert pbx.continued() == ["7.1", "7.2"]


async def test_a_replaced_application_ends_the_service(pbx: Pbx) -> None:
    async with pbx.intercepted() as running:
        await pbx.emit({"type": "ApplicationReplaced", "application": "comunik-pbx"})
        with pytest.raises(ApplicationReplaced):
            async with asyncio.timeout(5):
                await running


async def test_the_end_of_the_service_finishes_what_is_in_hand(pbx: Pbx) -> None:
    async with pbx.intercepted() as running:
        await pbx.call("7.0")
        await pbx.until_continued(1)
        for number in range(1, 21):
            await pbx.call(f"7.{number}")
        pbx.channels = [channel("7.99", "comunik-pbx,incoming,101,carrier,allowed")]  # its event never came
        await asyncio.sleep(0.01)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert all(socket.closed for socket in pbx.sockets)
    assert "7.99" in pbx.continued()


async def test_a_flood_is_given_back_for_its_fallback_plans_and_beyond_left_to_the_guard(pbx: Pbx) -> None:
    async with pbx.intercepted(most_calls=1, most_given_back=2) as running:
        await pbx.call("7.1")
        await pbx.until_continued(1)
        pbx.frozen = True
        for number in range(2, 100):
            await pbx.call(f"7.{number}")
        await asyncio.sleep(0.05)
        pbx.frozen = False
        await pbx.until_continued(3)
        assert not running.done()
    assert len(pbx.handed_over("7.2")) == 1
    given_back = [path for _, path, _ in pbx.about_channels() if path.endswith("/continue")]
    assert sorted(given_back) == ["channels/7.3/continue", "channels/7.4/continue"]
    assert pbx.continued() == ["7.1", "7.2"], "all others are left to the guard"


async def test_a_call_that_asterisk_is_slow_to_continue_delays_no_other(pbx: Pbx) -> None:
    pbx.slow["7.1"] = 0.5
    clock = asyncio.get_running_loop().time
    async with pbx.intercepted():
        began = clock()
        await pbx.call("7.1")
        for number in range(2, 40):
            await pbx.call(f"7.{number}")
        await pbx.until_continued(38)
        assert clock() - began < 0.5
        assert "7.1" not in pbx.continued()
        await pbx.until_continued(39)
    assert pbx.continued()[-1] == "7.1"


async def test_a_plan_that_asterisk_has_is_not_handed_over_again(pbx: Pbx) -> None:
    async with pbx.intercepted():
        for number in range(1, 4):
            await pbx.call(f"7.{number}", number=f"+3314000000{number}")
            await pbx.until_continued(number)
    assert [path for _, path, _ in pbx.about_channels()].count("asterisk/variable") == 1
    assert {pbx.variable(f"7.{number}") for number in range(1, 4)} == {pbx.variable("7.1")}


async def test_who_asks_again_is_handed_the_plan_again(pbx: Pbx) -> None:
    """The dialplan did not find it where we said."""
    async with pbx.intercepted():
        await pbx.call("7.1")
        await pbx.until_continued(1)
        await pbx.call("7.1")
        await pbx.until_continued(2)
    assert [path for _, path, _ in pbx.about_channels()].count("asterisk/variable") == 2
    assert pbx.handed_over("7.1") == [pbx.handed_over("7.1")[0]] * 2
    assert len({record.id for record in pbx.sink.all}) == 1


async def test_who_asks_again_because_he_was_diverted_has_lost_no_plan(pbx: Pbx) -> None:
    """His second plan is another one; the first is still where it was."""
    async with pbx.intercepted():
        await pbx.call("7.1")
        await pbx.until_continued(1)
        await pbx.emit(stasis_start("7.1", "incoming", "101", "carrier", "allowed", "1", "&+33170000999"))
        await pbx.until_continued(2)
        await pbx.call("7.2")
        await pbx.until_continued(3)
    assert [path for _, path, _ in pbx.about_channels()].count("asterisk/variable") == 2
    assert pbx.handed_over("7.2") == pbx.handed_over("7.1")[:1]


async def test_a_new_connection_may_lead_to_an_asterisk_that_has_no_plan(pbx: Pbx) -> None:
    async with pbx.intercepted():
        await pbx.call("7.1")
        await pbx.until_continued(1)
        await pbx.reconnected()
        await pbx.call("7.2")
        await pbx.until_continued(2)
    assert [path for _, path, _ in pbx.about_channels()].count("asterisk/variable") == 2


@pytest.mark.parametrize(
    ("error", "again"),
    [
        pytest.param(AriUnreachable("the connection was closed"), True, id="Asterisk closed an idle connection"),
        pytest.param(AriTimeout("no answer"), False, id="Asterisk hangs"),
        pytest.param(ChannelGone("no channel"), False, id="the caller has hung up"),
    ],
)
async def test_what_a_lost_connection_swallowed_is_handed_over_again(
    pbx: Pbx, monkeypatch: pytest.MonkeyPatch, error: AriError, again: bool
) -> None:
    def lost(_: Any, channel: str, told: Callable[[AriError | None], None], **where: Any) -> bool:
        asyncio.get_running_loop().call_soon(told, error)
        return True

    async with pbx.intercepted():
        await pbx.call("7.1")
        await pbx.until_continued(1)
        monkeypatch.setattr(Channels, "begin_continue", lost)
        await pbx.call("7.2")
        await pbx.call("7.3", called="999")  # of another plan, which goes by a task
        await pbx.until_continued(3 if again else 2)
    assert sorted(pbx.continued()) == (["7.1", "7.2", "7.3"] if again else ["7.1", "7.3"])
    assert pbx.interception.undecided == 0
