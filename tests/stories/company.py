"""What call stories say about the company: whose calls go where, and what its records tell afterwards."""

import asyncio
import re
import signal
import time
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from datetime import UTC, datetime

from comunik_pbx.forwarding.rules import Rule, RuleKind, ToExtension, ToNumber, ToVoicemail
from comunik_pbx.sandbox.phones import IncomingCall
from comunik_pbx.sandbox.sandbox import Sandbox
from comunik_pbx.store import CallRow, Store

FOLLOWS_SECONDS = 15.0

RECORD_SECONDS = 15.0

CYCLE_SECONDS = 1.0
"""A ring in the stories: short, so that they are told quickly (tests/stories/rings_in_france is in real time)."""

MOBILE = "+33612345678"
CUSTOMER = "+33140000000"


async def whole_second() -> None:
    """Wait for the next second: calls the dialplan decides are recorded with the second they began in."""
    await asyncio.sleep(1.05 - time.time() % 1)  # a little more: Asterisk reads the second from a coarser clock


class Company:
    """The sandbox company: its rules through the store, as `comunik-pbx rules` changes them, and its records."""

    def __init__(self, sandbox: Sandbox, store: Store) -> None:
        self.sandbox = sandbox
        self.store = store
        self.normal: list[str] = []  # complaints of Asterisk that belong to the story
        self._began = datetime.now(UTC)

    async def forwards(
        self, extension: str, kind: str, to: str, *, rings: int = 0, until: datetime | None = None
    ) -> Rule:
        """Set a rule, in force when this returns: `await company.forwards("101", "external", "+336…", rings=3)`."""
        destination = ToVoicemail() if to == "voicemail" else ToNumber(to) if to[0] == "+" else ToExtension(to)
        rule = await self.store.set_rule(extension, RuleKind(kind), destination, rings=rings, until=until, by="story")
        await self.followed()
        return rule

    async def followed(self) -> None:
        """Wait until the service, if it is there, decides by the rules as they stand now: its log says so."""
        if self.sandbox.service is None:
            return
        written, log = await self.store.rules_written(), self.sandbox.layout.log / "service.log"
        async with asyncio.timeout(FOLLOWS_SECONDS):
            while int(re.findall(r'rules in force" changes=(\d+)', log.read_text())[-1]) < written:  # noqa: ASYNC110
                await asyncio.sleep(0.005)  # a file tells nobody when it grows

    async def clear(self) -> None:
        """Forget all rules."""
        for extension, its in (await self.store.rules()).items():
            for kind in RuleKind:
                if getattr(its, kind) is not None:
                    await self.store.clear_rule(extension, kind, by="story")
        await self.followed()

    @asynccontextmanager
    async def configured(self, change: Callable[[str], str]) -> AsyncIterator[None]:
        """Inside it the service works by a changed comunik.toml, reloaded as `comunik-pbx reload` does."""
        written = self.sandbox.config.read_text()
        changed = change(written)
        assert changed != written, "nothing was changed"
        await self._reload(changed)
        try:
            yield
        finally:
            await self._reload(written)

    async def reloads(self) -> None:
        """`comunik-pbx reload` of what is there."""
        await self._reload(self.sandbox.config.read_text())

    async def _reload(self, configuration: str) -> None:
        before = await self.store.service()
        assert before is not None
        assert self.sandbox.service is not None
        self.sandbox.config.write_text(configuration)
        self.sandbox.service.send_signal(signal.SIGHUP)
        after = await self.store.next_load(before)
        assert after is not None, "the service did not reload"
        assert after.load_outcome == ""

    async def record(self, *, number: int = 1) -> CallRow:
        """The complete record of this story's only call (of the `number` calls, the newest); awaits its end."""
        since = await self.store.calls_written()  # before looking at what there is, to miss none in between
        async with asyncio.timeout(RECORD_SECONDS), aclosing(self.store.follow_calls(since)) as news:
            while True:
                done = [row for row in await self.store.calls(limit=100, after=self._began) if row.ended_at]
                if len(done) >= number:
                    assert len(done) == number, f"one record too many: {done}"
                    return done[0]
                await anext(news)
        raise AssertionError

    async def records(self, number: int) -> list[CallRow]:
        """All complete records of this story, oldest first; awaits so many."""
        await self.record(number=number)
        return list(reversed(await self.store.calls(limit=100, after=self._began)))


def rang_seconds(call: IncomingCall) -> float:
    """How long a phone rang until the PBX gave up: from its own 180 Ringing to the CANCEL."""
    ringing = next(m for m in call.messages if m.sent and m.status == 180)
    cancelled = next(m for m in call.messages if m.method == "CANCEL")
    return cancelled.at - ringing.at


def setting(table: str, key: str, value: str) -> Callable[[str], str]:
    """For `Company.configured`: `key = value` (as TOML) in a table, such as `trunks.carrier`."""

    def change(text: str) -> str:
        head, header, rest = text.partition(f"[{table}]\n")
        assert header, f"there is no [{table}]"
        body, *others = re.split(r"^(?=\[)", rest, maxsplit=1, flags=re.MULTILINE)
        body = re.sub(rf"^{key} = .*\n", "", body, flags=re.MULTILINE)
        return head + header + f"{key} = {value}\n" + body + "".join(others)

    return change


def told(record: CallRow) -> str:
    """A record in a line: `external live: ring 101 NOANSWER/19, forward +336… ANSWER/16 → answered`."""
    steps = []
    for outcome in record.outcome:
        step = record.plan[outcome["index"] - 1] if outcome["index"] <= len(record.plan) else {"kind": "none"}
        what = step.get("extension") or step.get("trunk") or step.get("mailbox") or step.get("cause") or ""
        steps.append(f"{step['kind']} {what} {outcome['status']}/{outcome['cause']}")
    return f"{record.origin} {record.decided}: {', '.join(steps)} -> {record.status}"


@asynccontextmanager
async def company_of(sandbox: Sandbox) -> AsyncIterator[Company]:
    """The company, with no rules at the beginning and at the end."""
    async with await Store.open(f"sqlite:///{sandbox.config.parent / 'comunik.db'}") as store:
        company = Company(sandbox, store)
        await company.clear()
        try:
            yield company
        finally:
            await company.clear()


@asynccontextmanager
async def trunks_say(sandbox: Sandbox, instead: str, written: str) -> AsyncIterator[None]:
    """The trunks' endpoints in pjsip.conf say something else inside the `async with`."""
    pjsip = sandbox.layout.etc / "pjsip.conf"
    before = pjsip.read_text()
    head, trunks = before.split("[trunk](!)", 1)
    assert written in trunks
    pjsip.write_text(f"{head}[trunk](!){trunks.replace(written, instead, 1)}")
    try:
        await sandbox.console("module reload res_pjsip.so")
        yield
    finally:
        pjsip.write_text(before)
        await sandbox.console("module reload res_pjsip.so")
