"""Calls that prove an outside number somebody's: the system calls it, says a code, and the person types the code.

    refused? → originate by the trunks, the first that rings → dialplan/prove.conf says the code → typed → kept

What may not be forwarded to is not called either: policy, rights and limits of the extension hold before any call is
made, so that proofs cannot be used for fraud. They count as its calls to outside.
"""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import structlog

from comunik_pbx.asterisk.ari import AriClient
from comunik_pbx.asterisk.errors import AsteriskError, ChannelGone
from comunik_pbx.calls.proofs import Progress, Proofs
from comunik_pbx.calls.snapshot import SnapshotSource
from comunik_pbx.calls.usage import ForwardUsage
from comunik_pbx.forwarding.directory import CallerIdPolicy, Directory, Extension, Trunk
from comunik_pbx.forwarding.numbers import NumberFormat
from comunik_pbx.forwarding.plan import outside, used_up
from comunik_pbx.forwarding.refusals import Refusal, RefusalCode

log = structlog.get_logger(__name__)

CONTEXT = "comunik-prove"
RING_SECONDS = 45
LONGEST_SECONDS = RING_SECONDS + 130.0
LOOK_SECONDS = 0.3

_ENDED = {
    Progress.CALLING: Progress.UNANSWERED,
    Progress.RINGING: Progress.UNANSWERED,
    Progress.ASKED: Progress.UNHEARD,
}

Keep = Callable[[str, str, str], Awaitable[None]]
"""Extension, number, who proved it: in the store and in force when it returns."""


class Proving:
    """The proofs of one service. `proving()` gives one, and ends its tasks."""

    def __init__(
        self, ari: AriClient, snapshot: SnapshotSource, usage: ForwardUsage, keep: Keep, tasks: asyncio.TaskGroup
    ) -> None:
        self._ari = ari
        self._snapshot = snapshot
        self._usage = usage
        self._keep = keep
        self._tasks = tasks
        self._proofs = Proofs()

    def call(self, extension: Extension, number: str, by: str) -> Refusal | None:
        """Begin to call a number (as people write it), or say why not."""
        directory, now = self._snapshot().directory, datetime.now(UTC)
        if directory.called(number) is not None or not isinstance(outside(number, extension, directory), Refusal):
            return Refusal(RefusalCode.NEEDLESS, number)
        found = outside(number, extension, directory.trusting())
        if isinstance(found, Refusal):
            return found
        if refusal := used_up(extension, self._usage.at(now)):
            return refusal
        code = self._proofs.begin(extension.number, found.number, time.monotonic())
        if isinstance(code, Refusal):
            return code
        log.info("a number is called to be proven", extension=extension.number, number=found.number, by=by)
        self._usage.begin([extension.number], now)
        self._tasks.create_task(self._prove(extension, found.number, code, directory), name="proof")
        return None

    def progress(self, extension: str, number: str) -> Progress | None:
        """How far the proof of a number (E.164) has come; None if no code is awaited."""
        return self._proofs.progress(extension, number, time.monotonic())

    async def confirm(self, extension: str, number: str, code: str, by: str) -> Refusal | None:
        """Take the code that was heard: the number is proven when this returns None."""
        refusal = self._proofs.typed(extension, number, code, time.monotonic())
        if refusal is None:
            await self._keep(extension, number, by)
            self._proofs.used(extension, number)
        log.info("a code was typed", extension=extension, number=number, by=by, right=refusal is None)
        return refusal

    async def _prove(self, extension: Extension, number: str, code: str, directory: Directory) -> None:
        placed = False
        try:
            for trunk in directory.trunks:
                placed, rang = await self._by(trunk, extension, number, code, directory)
                if rang:
                    break
        except Exception:
            log.exception("a proof failed", extension=extension.number, number=number)
            self._proofs.reached(extension.number, number, Progress.FAILED)
        finally:
            self._proofs.ended(extension.number, number)
            self._usage.end([extension.number], [extension.number] if placed else [], datetime.now(UTC))

    async def _by(
        self, trunk: Trunk, extension: Extension, number: str, code: str, directory: Directory
    ) -> tuple[bool, bool]:
        """Call by one trunk until the call has ended: was it placed; did it ring, or was it answered."""
        call_id = f"comunik-proof-{secrets.token_hex(8)}"
        numbers, shown = directory.numbers, _shown(extension, trunk)
        reached = Progress.FAILED
        try:
            await self._ari.channels.originate(
                trunk.dial.replace("{number}", numbers.formatted(number, trunk.number_format)),
                call_id,
                context=CONTEXT,
                extension="s",
                caller_id=f"<{numbers.formatted(shown, trunk.number_format)}>" if shown else "",
                ring_seconds=RING_SECONDS,
                variables={
                    "CK_CODE": code,
                    "CK_EXTENSION": extension.number,
                    "CK_LANGUAGE": extension.language,
                    "CK_SHOWN": numbers.formatted(shown, NumberFormat.NATIONAL) if shown else "",
                },
            )
        except AsteriskError as error:
            log.warning("a number to be proven cannot be called", trunk=trunk.name, why=str(error))
            self._proofs.reached(extension.number, number, reached)
            return False, False
        reached, began = Progress.CALLING, time.monotonic()
        while (lasts := time.monotonic() - began) < LONGEST_SECONDS:
            try:
                state = (await self._ari.channels.get(call_id)).state
                if state == "Up" and reached is not Progress.SAID:
                    said = await self._ari.channels.variable(call_id, "CK_PROVE") == Progress.SAID
                    reached = Progress.SAID if said else Progress.ASKED
                elif state == "Ringing" or (state != "Up" and lasts > trunk.progress_seconds):
                    reached = Progress.RINGING  # some carriers play it themselves (183): then no state tells
            except ChannelGone:
                break
            except AsteriskError as error:
                log.warning("a call to prove a number cannot be seen now", call=call_id, why=str(error))
            else:
                self._proofs.reached(extension.number, number, reached)
            await asyncio.sleep(LOOK_SECONDS)
        self._proofs.reached(extension.number, number, _ENDED.get(reached, reached))
        return True, reached is not Progress.CALLING


def _shown(extension: Extension, trunk: Trunk) -> str | None:
    """Our own number that the call shows, as this trunk's policy has it; never an extension's."""
    own = extension.did[0] if extension.did else None
    company = trunk.company_number
    return (company or own) if trunk.caller_id is CallerIdPolicy.COMPANY else (own or company)


@asynccontextmanager
async def proving(ari: AriClient, snapshot: SnapshotSource, usage: ForwardUsage, keep: Keep) -> AsyncIterator[Proving]:
    """Proofs, whose calls are watched until this ends; the calls themselves go on."""
    async with asyncio.TaskGroup() as tasks:
        yield Proving(ari, snapshot, usage, keep, tasks)
