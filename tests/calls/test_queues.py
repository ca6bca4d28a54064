import asyncio

from comunik_pbx.calls.queues import CallQueues


async def test_events_of_one_call_in_order_and_of_others_meanwhile() -> None:
    done: list[tuple[str, int]] = []
    gate = asyncio.Event()

    async def handle(event: tuple[str, int]) -> None:
        if event == ("slow", 1):
            await gate.wait()
        done.append(event)

    queues = CallQueues(handle)
    for event in [("slow", 1), ("slow", 2), ("quick", 1), ("quick", 2)]:
        assert queues.put(event[0], event)
    await asyncio.sleep(0)
    assert done == [("quick", 1), ("quick", 2)]
    assert "slow" in queues
    gate.set()
    assert await queues.drain(1) == 0
    assert done[2:] == [("slow", 1), ("slow", 2)]
    assert len(queues) == 0


async def test_a_failing_event_stops_nothing() -> None:
    done: list[int] = []

    async def handle(event: int) -> None:
        if event == 1:
            raise RuntimeError("malformed")
        done.append(event)

    queues = CallQueues(handle)
    for event in (1, 2):
        queues.put("call", event)
    queues.put("other", 3)
    await queues.drain(1)
    assert done == [2, 3]
    assert len(queues) == 0


async def test_a_flood_is_refused_and_room_comes_back() -> None:
    gate = asyncio.Event()

    async def handle(event: int) -> None:
        await gate.wait()

    queues = CallQueues(handle, most_calls=2, most_events=2)
    assert queues.put("a", 1)
    assert queues.put("b", 1)
    assert not queues.put("c", 1)
    assert queues.put("a", 2)
    assert not queues.put("a", 3)
    gate.set()
    await queues.drain(1)
    assert queues.put("c", 1)
    await queues.drain(1)


async def test_what_does_not_end_in_time_is_given_up() -> None:
    async def handle(event: int) -> None:
        await asyncio.Event().wait()

    queues = CallQueues(handle)
    queues.put("a", 1)
    queues.put("b", 1)
    assert await queues.drain(0.01) == 2
    assert len(queues) == 0
