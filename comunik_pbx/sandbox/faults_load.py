"""Calls under which something fails, and the account of them: where each one arrived, and what is recorded of it.

Three kinds of call by turns, so that a call that loses its way is seen: to an extension that always forwards to
outside (`111`), to one that always forwards to a colleague (`112` to `102`), and to a DID whose phone answers (`101`).
Every call has a caller's number of its own.
"""

import asyncio
import tempfile
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from comunik_pbx import config as configuration
from comunik_pbx.forwarding.rules import Rule, RuleKind, ToExtension, ToNumber
from comunik_pbx.sandbox import sipp
from comunik_pbx.sandbox.bench_calls import MOBILE, phones_port
from comunik_pbx.sandbox.errors import NotHeard, SandboxError
from comunik_pbx.sandbox.sandbox import Sandbox
from comunik_pbx.sandbox.sip_message import SipMessage
from comunik_pbx.store import CallRow, Store

TO_OUTSIDE, TO_COLLEAGUE, TO_PHONE = "111", "112", "+33170000101"
PLACES = {TO_OUTSIDE: f"carrier {MOBILE}", TO_COLLEAGUE: "phone 102", TO_PHONE: "phone 101"}
"""What is called, and where that call must arrive."""

RING_SECONDS = 0.1
QUIET_SECONDS = 1.0
PUBLISHED_WITHIN = 15.0
RECORDED_WITHIN = 30.0
PATIENCE_SECONDS = 45.0
"""How long the last calls may take: an INVITE that Asterisk missed is repeated for half a minute."""

Window = tuple[float, float]
Fault = Callable[[], Awaitable[list[Window]]]
"""What goes wrong while the calls come; gives the times (epoch seconds) in which Asterisk itself was away."""


@dataclass(frozen=True)
class Account:
    """What became of `placed` calls.

    `lost` were not answered and ended in order, `misled` arrived elsewhere or twice, `cut` were in Asterisk's hands, or
    came, while it was away itself (they count as neither). `decided` counts the records by who decided; `unrecorded`
    are calls without a complete record, `doubled` those with two.
    """

    placed: int
    lost: int
    misled: int
    cut: int
    decided: dict[str, int]
    unrecorded: int
    doubled: int

    @property
    def good(self) -> bool:
        """Whether every call arrived where it should and is recorded once."""
        return not (self.lost or self.misled or self.unrecorded or self.doubled)

    def __str__(self) -> str:
        by = ", ".join(f"{count} {who}" for who, count in sorted(self.decided.items())) or "nobody"
        cut = f"{self.cut} cut with Asterisk, " if self.cut else ""
        return (
            f"{self.placed} calls: {cut}{self.lost} lost, {self.misled} misled; decided: {by}; "
            f"{self.unrecorded} without a record, {self.doubled} with two"
        )


def store_url(sandbox: Sandbox) -> str:
    """Where the service's store is."""
    return configuration.load(sandbox.config).store_url


async def prepare(sandbox: Sandbox) -> None:
    """The rules of `PLACES`, in force and published, and the phones registered; the service is up."""
    rules = [
        Rule(extension=TO_OUTSIDE, kind=RuleKind.ALWAYS, to=ToNumber(MOBILE)),
        Rule(extension=TO_COLLEAGUE, kind=RuleKind.ALWAYS, to=ToExtension("102")),
    ]
    async with await Store.open(store_url(sandbox)) as store:
        await store.set_rules(rules, by="faults")
    for extension, place in ((TO_OUTSIDE, MOBILE), (TO_COLLEAGUE, "ring~102")):
        async with asyncio.timeout(PUBLISHED_WITHIN):
            while place not in await sandbox.console(f"database get comunik-plan/external {extension}"):  # noqa: ASYNC110
                await asyncio.sleep(0.1)  # AstDB tells nobody
    await register(sandbox)


async def register(sandbox: Sandbox, *, expires: int = 3600) -> None:
    """Tell Asterisk where the two phones are (SIPp answers there while calls come), for so many seconds."""
    for extension in ("101", "102"):
        await sipp.register(sandbox, extension, phones_port(sandbox), expires=expires)


async def load(
    sandbox: Sandbox, fault: Fault, *, seconds: float, per_second: float, talk_seconds: float = 1.0
) -> Account:
    """Place calls for so long while `fault` runs; gives the account once the service has recorded them."""
    numbers, calls = tuple(PLACES), round(seconds * per_second)
    addresses, script = sandbox.layout.addresses, [180, RING_SECONDS, 200]
    began = datetime.now(UTC) - timedelta(seconds=1)  # without a service they begin in whole seconds, as UNIQUEID says
    callers = {f"+331{40000000 + n}": numbers[n % len(numbers)] for n in range(calls)}
    with tempfile.NamedTemporaryFile("w", prefix="calls-", suffix=".csv") as fields:
        fields.write("SEQUENTIAL\n" + "".join(f"{caller};{called}\n" for caller, called in callers.items()))
        fields.flush()
        async with (
            sipp.switch(sandbox, "carrier", script) as carrier,
            sipp.station(sandbox, addresses.host, phones_port(sandbox), script, who="the phones") as phones,
            sipp.caller(
                sandbox,
                "[field1]",
                from_uri=f"sip:[field0]@{addresses.carriers['carrier']}",
                talk_seconds=talk_seconds,
                calls=calls,
                per_second=per_second,
                fields=Path(fields.name),
            ) as caller,
        ):
            async with asyncio.TaskGroup() as group:
                failing = group.create_task(_run(fault))
                with suppress(NotHeard):  # what is not over by then is lost
                    await caller.finished(within=seconds + PATIENCE_SECONDS)
            said = caller.messages
            arrived = _arrivals((message, "carrier") for message in carrier.invites)
            for number, places in _arrivals((message, "phone") for message in phones.invites).items():
                arrived[number] += places
    placed, completed = _calls(said)
    return await _account(sandbox, _Seen(callers, placed, completed, arrived, failing.result()), began)


async def _run(fault: Fault) -> list[Window]:
    return await fault()


def _arrivals(invites: Iterable[tuple[SipMessage, str]]) -> dict[str, list[str]]:
    """By caller's number, the places where his call arrived."""
    found: dict[str, list[str]] = defaultdict(list)
    for message, place in invites:
        found[message.user_of("From") or ""].append(f"{place} {message.uri_user}")
    return found


@dataclass(frozen=True)
class _Seen:
    """What both ends saw, by caller's number; `callers` says whom each called, `away` when Asterisk was not there."""

    callers: dict[str, str]
    placed: dict[str, Window]
    completed: set[str]
    arrived: dict[str, list[str]]
    away: list[Window]

    def misled(self) -> set[str]:
        return {n for n in self.placed if self.arrived.get(n) and self.arrived[n] != [PLACES[self.callers[n]]]}

    def lost(self) -> set[str]:
        return {n for n in self.placed if n not in self.completed or not self.arrived.get(n)}

    def in_asterisks_hands(self, number: str) -> bool:
        first, last = self.placed[number]
        last += RING_SECONDS + QUIET_SECONDS  # a caller says nothing while it rings
        return any(start <= last and first <= end for start, end in self.away)


async def _account(sandbox: Sandbox, seen: _Seen, began: datetime) -> Account:
    placed, misled, lost = seen.placed, seen.misled(), seen.lost()
    cut = {number for number in lost | misled if seen.in_asterisks_hands(number)}
    expected = set(placed) - cut - lost
    rows = await _recorded(sandbox, began, expected)
    counted = Counter(row.caller for row in rows if row.caller in expected)
    return Account(
        placed=len(placed),
        lost=len(lost - cut),
        misled=len(misled - cut - lost),
        cut=len(cut),
        decided=dict(Counter(row.decided for row in rows if row.caller in expected)),
        unrecorded=sum(not counted[number] for number in expected),
        doubled=sum(count > 1 for count in counted.values()),
    )


def _calls(said: Iterable[SipMessage]) -> tuple[dict[str, Window], set[str]]:
    """Each caller's call, from its first message to its last, and the callers whose call was completed."""
    numbers: dict[str, str] = {}
    windows: dict[str, Window] = {}
    answered: set[str] = set()
    ended: set[str] = set()
    for message in said:
        if message.method == "INVITE" and message.sent:
            numbers.setdefault(message.call_id, message.user_of("From") or "")
        number = numbers.get(message.call_id)
        if number is None:
            continue
        first, _ = windows.get(number, (message.at, 0.0))
        windows[number] = (first, message.at)
        if not message.sent and message.status == 200:
            (answered if message.for_method == "INVITE" else ended).add(number)
    return windows, answered & ended


async def _recorded(sandbox: Sandbox, began: datetime, expected: set[str]) -> list[CallRow]:
    """The complete records of these calls; waits for them, for some time."""
    if sandbox.service is None:
        raise SandboxError("records can be counted only once the service is back")
    async with await Store.open(store_url(sandbox)) as store:
        for _ in range(int(RECORDED_WITHIN)):
            rows = [row for row in await store.calls(limit=1_000_000, after=began) if row.ended_at and row.status]
            if expected <= {row.caller for row in rows if row.status == "answered"}:
                break
            await asyncio.sleep(1)  # the store of another process tells us nothing
    return [row for row in rows if row.status == "answered"]
