"""Which plans Asterisk is told, and that a channel never finds another's: whatever the order of calls."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comunik_pbx.asterisk.ari import AriClient
from comunik_pbx.asterisk.errors import ChannelGone
from comunik_pbx.calls.deciding import Decided
from comunik_pbx.calls.handover import TAGS, VARIABLES, Handover
from comunik_pbx.calls.interception import MOST_CALLS


class Asterisk:
    """What the dialplan would find of each call, in place of the pipeline."""

    def __init__(self, variables: int = VARIABLES) -> None:
        self.globals: dict[str, str] = {}
        self.found: list[tuple[str, str, str]] = []  # channel, pass, plan (empty: not there)
        self.sets = 0
        self.gone: set[str] = set()
        self.client = AriClient("http://127.0.0.1:8088/ari", "comunik", "sesame")
        self.client.pipeline = self.pipeline  # type: ignore[method-assign]
        self.handover = Handover(self.client, variables=variables)

    async def pipeline(self, *operations: tuple[str, str, bytes]) -> list[bytes]:
        await asyncio.sleep(0)
        for _, path, body in operations:
            if path == "/asterisk/variable":
                name, value = body.decode().split('"')[3::4]
                self.globals[name] = value
                self.sets += 1
                continue
            channel, place = path.split("/")[2], path.partition("extension=")[2].partition("&")[0]
            if channel in self.gone:
                raise ChannelGone(channel)
            tag, _, plan = self.globals.get(f"CK_HANDOVER_{place[:3]}", "").partition("!")
            self.found.append((channel, place[15:], plan if tag == place[3:15] else ""))
        return [b""] * len(operations)

    async def give(self, channel: str, plan: str, passes: int = 1) -> None:
        await self.handover.give(channel, Decided(passes, (), plan))


@given(
    st.lists(st.tuples(st.sampled_from("abcdefgh"), st.booleans(), st.booleans()), max_size=60),
    st.integers(1, 5),
)
def test_every_call_finds_its_own_plan_one_after_another(calls: list[tuple[str, bool, bool]], variables: int) -> None:
    async def play() -> None:
        asterisk = Asterisk(variables)
        for number, (plan, gone, restarted) in enumerate(calls):
            if restarted:
                asterisk.globals.clear()
                asterisk.handover.forget()
            if gone:
                asterisk.gone.add(f"c{number}")
                with pytest.raises(ChannelGone):
                    await asterisk.give(f"c{number}", plan)
            else:
                await asterisk.give(f"c{number}", plan)
                assert asterisk.found[-1] == (f"c{number}", "1", plan)
        assert len(asterisk.globals) <= variables

    asyncio.run(play())


@given(st.lists(st.lists(st.sampled_from("abcdefghij"), max_size=10), max_size=10))
def test_calls_at_the_same_moment_find_their_own_or_none(batches: list[list[str]]) -> None:
    async def play() -> None:
        asterisk = Asterisk(20)
        for batch in batches:
            before = len(asterisk.found)
            await asyncio.gather(*(asterisk.give(f"{plan}{i}", plan) for i, plan in enumerate(batch)))
            for channel, _, plan in asterisk.found[before:]:
                assert plan in ("", channel[0])

    asyncio.run(play())


@pytest.fixture
async def asterisk() -> Asterisk:
    return Asterisk(2)


async def test_a_plan_is_set_once_while_it_is_used(asterisk: Asterisk) -> None:
    for plan in "aababbacacb":
        await asterisk.give("c", plan)
    assert asterisk.sets == 4, "a, b, c in place of b, b in place of a: of the one used longest ago"


async def test_a_channel_that_is_gone_leaves_no_variable_taken(asterisk: Asterisk) -> None:
    asterisk.gone.add("gone")
    for _ in range(5):
        with pytest.raises(ChannelGone):
            await asterisk.give("gone", "a")
    for plan in "ab":
        await asterisk.give("c", plan)
    assert [plan for _, _, plan in asterisk.found] == ["a", "b"]


async def test_what_was_set_for_a_call_is_not_set_anew_at_once() -> None:
    asterisk = Asterisk(20)
    await asyncio.gather(asterisk.give("one", "a"), asterisk.give("two", "a"))
    await asterisk.give("three", "b")
    assert len(asterisk.globals) == 3, "one of the first two is free, but its call may not have read it yet"


async def test_an_admin_who_clears_the_globals_is_noticed_by_asking_again(asterisk: Asterisk) -> None:
    await asterisk.give("c", "a")
    asterisk.globals.clear()
    await asterisk.give("c", "a")
    asterisk.handover.forget()  # the interception does, of a call that it has decided already
    await asterisk.give("c", "a")
    assert [plan for _, _, plan in asterisk.found] == ["a", "", "a"]


async def test_the_pass_is_said(asterisk: Asterisk) -> None:
    await asterisk.give("c", "a", passes=12)
    assert asterisk.found == [("c", "12", "a")]


async def test_a_phone_that_rings_first_is_rung_at_once_for_its_time() -> None:
    sent: list[str] = []

    async def pipeline(*operations: tuple[str, str, bytes]) -> list[bytes]:
        sent.extend(path for _, path, _ in operations if "continue" in path)
        return [b""] * len(operations)

    asterisk = Asterisk()
    asterisk.client.pipeline = pipeline  # type: ignore[method-assign]
    for _ in range(2):
        await asterisk.handover.give("c", Decided(1, (), "1|…", at_once="25.9:^10"))
    assert [path.partition("extension=")[2][16:] for path in sent] == ["t25.9%3A%5E10&priority=1"] * 2


def test_there_are_variables_for_all_calls_that_may_be_in_hand() -> None:
    assert VARIABLES > MOST_CALLS
    assert VARIABLES <= 1000, "three digits"
    assert len(str(TAGS - 1)) == 12
