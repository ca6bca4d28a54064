"""How long publishing takes, and whom it keeps waiting: `python -m comunik_pbx.sandbox.bench_publishing`."""

import asyncio
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from comunik_pbx.asterisk.ami import AmiClient
from comunik_pbx.calls.fallback_plans import FAMILY
from comunik_pbx.calls.publishing import Publisher
from comunik_pbx.calls.snapshot import Snapshot
from comunik_pbx.forwarding.directory import Directory, Extension, Trunk
from comunik_pbx.forwarding.rules import ExtensionRules, Rule, RuleKind, ToExtension, ToNumber, ToVoicemail
from comunik_pbx.sandbox.company import AMI_USER
from comunik_pbx.sandbox.layout import Layout
from comunik_pbx.sandbox.sandbox import Sandbox, running

EXTENSIONS = 10_000
PUBLISHED_WITHIN = 60.0
TURN_SECONDS = 0.001


@dataclass(frozen=True)
class PublishingFigures:
    """Seconds, but for `entries`. `stall` is the longest time the event loop kept others waiting."""

    extensions: int
    entries: int
    first: float
    first_stall: float
    restored: float
    restored_stall: float
    one_change: float
    one_change_stall: float

    def __str__(self) -> str:
        rows = (
            ("all of them, AstDB empty", self.first, self.first_stall),
            ("all of them again, AstDB wiped", self.restored, self.restored_stall),
            ("one rule changed", self.one_change, self.one_change_stall),
        )
        lines = [
            f"  {what:32} {seconds:6.3f} s, event loop kept at most {stall * 1000:.0f} ms"
            for what, seconds, stall in rows
        ]
        return "\n".join([f"{self.extensions} extensions, {self.entries} entries in AstDB", *lines])


async def publishing_figures(sandbox: Sandbox, extensions: int = EXTENSIONS) -> PublishingFigures:
    """Publish a large company into the sandbox's AstDB. The sandbox's own service must be away."""
    addresses = sandbox.layout.addresses
    snapshot = large_company(extensions)
    ami = AmiClient(addresses.host, addresses.ami, AMI_USER, sandbox.passwords.ami)
    publisher = Publisher(ami, lambda: snapshot)
    await sandbox.console(f"database deltree {FAMILY}")

    async def published() -> tuple[float, float]:
        began = time.perf_counter()
        async with _Stalls() as stalls, asyncio.timeout(PUBLISHED_WITHIN):
            await publisher.in_step()
        return time.perf_counter() - began, stalls.longest

    async with asyncio.TaskGroup() as group:
        publisher.reconcile()
        publishing = group.create_task(publisher.run())
        first, first_stall = await published()
        entries = publisher.written
        await sandbox.console(f"database deltree {FAMILY}")
        publisher.reconcile()
        restored, restored_stall = await published()
        snapshot = Snapshot(snapshot.directory, {**snapshot.rules, **_one_rule(snapshot.directory)})
        publisher.changed()
        one, one_stall = await published()
        publishing.cancel()
    ami.close()
    await sandbox.console(f"database deltree {FAMILY}")
    return PublishingFigures(extensions, entries, first, first_stall, restored, restored_stall, one, one_stall)


def large_company(extensions: int) -> Snapshot:
    """So many people, each with a phone, a mailbox and a DID; four in five have rules, some of which end."""
    people = [
        Extension(
            number=str(number),
            endpoints=(f"phone-{number}",),
            mailbox=f"{number}@default",
            did=(f"+331700{number}",),
        )
        for number in range(10_000, 10_000 + extensions)
    ]
    trunks = (
        Trunk(name="carrier", dial="PJSIP/{number}@carrier", company_number="+33170000100"),
        Trunk(name="backup", dial="PJSIP/{number}@backup"),
    )
    end = datetime.now(UTC) + timedelta(days=30)
    rules: dict[str, ExtensionRules] = {}
    for index, person in enumerate(people):
        if index % 5:
            own, colleague = person.number, people[(index + 1) % extensions].number
            rules[own] = ExtensionRules(
                external=Rule(
                    extension=own,
                    kind=RuleKind.EXTERNAL,
                    to=ToNumber(f"+336{index:08d}"),
                    rings=3,
                    until=end if index % 7 == 0 else None,
                ),
                internal=Rule(
                    extension=own,
                    kind=RuleKind.INTERNAL,
                    to=ToExtension(colleague) if index % 3 == 0 else ToVoicemail(),
                    rings=2,
                ),
            )
    return Snapshot(Directory.of(people, trunks=trunks), rules)


def _one_rule(directory: Directory) -> dict[str, ExtensionRules]:
    number = next(iter(directory.extensions))
    rule = Rule(extension=number, kind=RuleKind.ALWAYS, to=ToNumber("+33612345678"))
    return {number: ExtensionRules(always=rule)}


class _Stalls:
    """The longest time, in seconds, somebody who only wanted a turn had to wait for it."""

    longest = 0.0

    async def __aenter__(self) -> "_Stalls":
        self._task = asyncio.create_task(self._watch())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()

    async def _watch(self) -> None:
        while True:
            before = time.perf_counter()
            await asyncio.sleep(TURN_SECONDS)
            self.longest = max(self.longest, time.perf_counter() - before - TURN_SECONDS)


async def _main() -> None:
    layout = Layout.from_environment()
    async with running(layout, print, service=False) as sandbox:
        print(await publishing_figures(sandbox))


if __name__ == "__main__":
    sys.exit(asyncio.run(_main()))
